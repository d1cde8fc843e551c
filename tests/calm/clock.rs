//! A wall clock that can be set for one process and its children, and goes on from there.

use std::path::{Path, PathBuf};

/// Where Debian's package puts the library.
const LIBRARIES: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
];

/// The clock, by the file that says how far off it is.
#[derive(Debug)]
pub(crate) struct Clock {
    file: PathBuf,
}

impl Clock {
    /// One that is right.
    pub(crate) fn new(dir: &Path, name: &str) -> Self {
        let clock = Self {
            file: dir.join(format!("clock-{name}")),
        };
        clock.jump(0);
        clock
    }

    /// What a process has to have in its environment to go by it. The monotonic clock stays as it is, as it does on a host
    /// whose time is set.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let library = LIBRARIES.iter().find(|file| Path::new(file).exists());
        vec![
            (
                "LD_PRELOAD",
                (*library.expect("libfaketime is not installed: scripts/test installs it"))
                    .to_owned(),
            ),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("DONT_FAKE_MONOTONIC", "1".to_owned()),
            // What only programs that look at files' times, or at other processes' clocks, would want.
            ("NO_FAKE_STAT", "1".to_owned()),
            ("FAKETIME_DISABLE_SHM", "1".to_owned()),
        ]
    }

    /// Sets it this many seconds before or after what is right. At once: a reader sees the old file or the new one.
    pub(crate) fn jump(&self, seconds: i64) {
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{seconds:+}\n")).unwrap();
        std::fs::rename(&new, &self.file).unwrap();
    }
}
