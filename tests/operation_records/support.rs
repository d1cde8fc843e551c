//! A place for records, and a command that waits.

use crate::live_support::PATIENCE;
use crate::live_support::sshd::Sshd;
use pgbaton::transport::{Command, Finished, Late, Local, Recorded, Ssh, Transport};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Tells that it has begun, counts itself, and ends when it is let go.
pub(crate) const WAITS: &str = r#"echo ran >>"$1/count"; echo $$ >"$1/pid"; mv "$1/pid" "$1/begun"; echo out; echo err >&2
    while [ ! -e "$1/go" ]; do sleep 0.05; done; echo gone; exit 7"#;

pub(crate) type Way = Arc<dyn Transport>;

/// A place for records, beside a directory that the commands work in.
pub(crate) struct Place {
    pub(crate) dir: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("pgr").tempdir_in("/tmp");
        let place = Self { dir: dir.unwrap() };
        std::fs::create_dir(place.dir.path().join("base")).unwrap();
        std::fs::create_dir(place.dir.path().join("work")).unwrap();
        place
    }

    pub(crate) fn base(&self) -> PathBuf {
        self.dir.path().join("base")
    }

    pub(crate) fn work(&self, file: &str) -> PathBuf {
        self.dir.path().join("work").join(file)
    }

    pub(crate) fn once(&self, id: &str) -> Recorded {
        Recorded {
            base: self.base(),
            cluster: "c1".into(),
            id: id.into(),
            fence: None,
            again: false,
            repeatable: false,
            late: Late::End,
        }
    }

    pub(crate) fn record(&self, id: &str) -> PathBuf {
        let user = format!("pgbaton-{}", rustix::process::geteuid().as_raw());
        self.base().join(user).join("c1").join(id)
    }

    pub(crate) fn script(&self, script: &str, deadline: Duration) -> Command {
        let work = self.work("").display().to_string();
        Command::script(script, &[work.trim_end_matches('/')], deadline)
    }

    pub(crate) fn waits(&self) -> Command {
        self.script(WAITS, LIMIT)
    }

    pub(crate) async fn begun(&self) -> u32 {
        let file = self.work("begun");
        until("the command begins", || file.exists()).await;
        let pid = std::fs::read_to_string(file).unwrap();
        pid.trim().parse().unwrap()
    }

    pub(crate) fn go(&self) {
        std::fs::write(self.work("go"), "").unwrap();
    }

    /// How often a command ran.
    pub(crate) fn count(&self) -> usize {
        std::fs::read_to_string(self.work("count"))
            .unwrap_or_default()
            .lines()
            .count()
    }

    pub(crate) fn leader(&self, id: &str) -> u32 {
        let text = std::fs::read_to_string(self.record(id).join("leader")).unwrap();
        text.split(' ').next().unwrap().parse().unwrap()
    }
}

pub(crate) async fn until(what: &str, check: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !check() {
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn lives(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.contains(") Z "))
}

pub(crate) fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

pub(crate) fn local() -> Way {
    Arc::new(Local::runner())
}

pub(crate) fn ssh(sshd: &Sshd) -> Way {
    Arc::new(Ssh::new(sshd.options(), Duration::from_secs(5)))
}

#[track_caller]
pub(crate) fn assert_waited(finished: &Finished) {
    let said = (finished.status, finished.out(), &finished.stderr[..]);
    assert_eq!(said, (7, "out\ngone\n".to_owned(), &b"err\n"[..]));
}

/// The processes of the ssh clients that talk to this server.
pub(crate) fn clients(sshd: &Sshd) -> Vec<u32> {
    let port = format!("\0-p\0{}\0", sshd.port);
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|p| {
            let pid = p.file_name().to_str()?.parse().ok()?;
            let line = std::fs::read(p.path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).into_owned();
            (line.starts_with("ssh") && line.contains(&port)).then_some(pid)
        })
        .collect()
}
