//! A throw-away machine on which a package can be installed with the real dpkg, under the real systemd.

mod lacking;

pub(crate) use lacking::{lacking, lacking_programs};

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What a command said and how it ended.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            err: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        }
    }

    /// Everything, for messages of failures.
    pub(crate) fn all(&self) -> String {
        format!("exit code {}\n{}\n{}", self.code, self.out, self.err)
    }
}

/// A copy of this machine; nothing that happens on it is left when it is dropped.
pub(crate) struct Machine {
    child: Child,
    /// While it is open the machine lives.
    lifeline: Option<ChildStdin>,
    first: String,
    _folder: TempDir,
}

impl Machine {
    /// Boots one that sees `shared` as `/mnt`.
    pub(crate) fn boot(shared: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/package_support/machine");
        let mut child = Command::new(script)
            .args([folder.path(), shared])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lifeline = child.stdin.take();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut first)
            .unwrap();
        let machine = Self {
            child,
            lifeline,
            first: first.trim().to_owned(),
            _folder: folder,
        };
        assert!(!machine.first.is_empty(), "the machine did not begin");
        let begun = Instant::now();
        while machine.run("systemctl is-active machine.target").out != "active" {
            assert!(
                begun.elapsed() < Duration::from_mins(1),
                "systemd did not come up: {}",
                machine.run("systemctl is-system-running").all()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        machine
    }

    /// Runs a line of shell on it, as root.
    pub(crate) fn run(&self, line: &str) -> Said {
        let output = Command::new("nsenter")
            .args([
                "--target",
                &self.first,
                "--mount",
                "--pid",
                "--uts",
                "--ipc",
                "--net",
            ])
            .args([
                "--root", "--wdns=/", "--", "timeout", "120", "sh", "-c", line,
            ])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root")
            .env("LC_ALL", "C.UTF-8")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Said::of(&output)
    }

    /// The same, where it must succeed: what it said on standard output.
    #[track_caller]
    pub(crate) fn ok(&self, line: &str) -> String {
        let said = self.run(line);
        assert_eq!(said.code, 0, "`{line}`: {}\n{}", said.all(), self.log());
        said.out
    }

    /// Whether something is there.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.run(&format!("test -e {path}")).code == 0
    }

    /// Owner, group and mode.
    #[track_caller]
    pub(crate) fn owner(&self, path: &str) -> String {
        self.ok(&format!("stat --format '%U:%G %a' {path}"))
    }

    /// The number of the service's process.
    pub(crate) fn process(&self) -> String {
        self.ok("systemctl show --property MainPID --value pgbaton")
    }

    /// What the service logged, for messages of failures.
    fn log(&self) -> String {
        self.run("journalctl --unit pgbaton --no-pager | tail -n 30")
            .out
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        let _ = self.child.wait();
    }
}
