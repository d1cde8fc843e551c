//! Whether this machine shows any other manager at all, told without a shell.

use crate::cluster::ManagerKind;
use std::path::Path;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long an answer is as good as a new one: all nodes of this machine are asked at once.
const FRESH: Duration = Duration::from_millis(100);

/// Asks, and shares the answer among those who ask at the same time.
#[derive(Debug, Default)]
pub(super) struct AloneHere(Mutex<Option<(Instant, bool)>>);

impl AloneHere {
    /// Nothing on this machine can be another manager. False where something may be, or nobody can tell.
    pub(super) async fn ask(&self) -> bool {
        let mut last = self.0.lock().await;
        if let Some((at, alone)) = *last
            && at.elapsed() < FRESH
        {
            return alone;
        }
        let alone = tokio::task::spawn_blocking(nothing_here).await;
        let alone = alone.unwrap_or(false);
        *last = Some((Instant::now(), alone));
        alone
    }
}

/// A quick look at this machine, whose processes everybody may see: nothing on it can be another manager. A shell would
/// take tens of milliseconds to say so, and a failover waits for it.
fn nothing_here() -> bool {
    let no_process = std::fs::read_dir("/proc").is_ok_and(|processes| {
        processes.flatten().all(|entry| {
            let path = entry.path();
            let comm = std::fs::read_to_string(path.join("comm")).unwrap_or_default();
            let comm = comm.trim_end();
            if comm.starts_with("python") {
                let words = std::fs::read(path.join("cmdline")).unwrap_or_default();
                return !String::from_utf8_lossy(&words).contains("patroni");
            }
            ManagerKind::parse(comm).is_none()
        })
    });
    let mentions = |file: &Path| {
        std::fs::read(file).is_ok_and(|text| String::from_utf8_lossy(&text).contains("kbha"))
    };
    // Where there is none of these directories there is nothing in it.
    let in_cron = ["/etc/cron.d", "/var/spool/cron/crontabs", "/var/spool/cron"]
        .into_iter()
        .any(|dir| match std::fs::read_dir(dir) {
            Ok(files) => files.flatten().any(|file| mentions(&file.path())),
            Err(error) => error.kind() != std::io::ErrorKind::NotFound,
        });
    no_process && !in_cron && !mentions(Path::new("/etc/crontab"))
}
