//! A monitor of the site's: the configuration that `docs/monitors.md` shows, filled with a lab's paths, run as who runs it.
#![allow(dead_code, reason = "each test uses its part")]

pub(crate) mod pgpool;

use crate::support::{Cluster, name};
use pgbaton::cluster::Transport;
use pgbaton::site::Site;
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

/// A bound on anything that a monitor's program does in a test.
const PATIENCE: Duration = Duration::from_mins(3);

/// What stands in a block of the page, whose fence names the file.
#[track_caller]
pub(crate) fn block(file: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/monitors.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut lines = page.lines();
    let opens = |line: &str| line.starts_with("```") && line.split(' ').nth(1) == Some(file);
    assert!(
        lines.any(opens),
        "docs/monitors.md shows no {file}: has it been renamed?"
    );
    let own = lines.take_while(|line| *line != "```");
    own.fold(String::new(), |text, line| text + line + "\n")
}

/// Replaces each text, which must be there.
#[track_caller]
pub(crate) fn filled(text: &str, with: &[(&str, &str)]) -> String {
    with.iter().fold(text.to_owned(), |text, (from, to)| {
        crate::support::swap(&text, from, to)
    })
}

/// Where a monitor of the servers' user finds pgbaton, its site file and its journal.
pub(crate) struct Place {
    pub(crate) dir: PathBuf,
    /// The servers' user, where it is not the current one.
    pub(crate) user: Option<String>,
}

impl Place {
    /// In the lab's directory: a copy of the program, for the servers' user may not get to where it was built.
    pub(crate) fn new(cluster: &Cluster) -> Self {
        let site = Site::load(cluster.lab.site_file()).unwrap();
        let nodes = &site.clusters.values().next().unwrap().nodes;
        let user = match &nodes[&name("n1")].transport {
            Transport::Local { user } => user.clone(),
            _ => None,
        };
        let place = Self {
            dir: cluster.lab.dir().join("monitor"),
            user,
        };
        std::fs::create_dir(&place.dir).unwrap();
        if place.user.is_some() {
            // Whoever runs the monitor makes its journal there. Where that is root, keepalived minds.
            open_to(&place.dir, 0o777);
        }
        std::fs::copy(env!("CARGO_BIN_EXE_pgbaton"), place.pgbaton()).unwrap();
        let text = std::fs::read_to_string(cluster.lab.site_file()).unwrap();
        place.site(&text);
        place
    }

    /// Writes the site file of the monitor's: that text, with a journal of its own.
    pub(crate) fn site(&self, text: &str) {
        let lines = text.lines().filter(|line| !line.starts_with("journal:"));
        let rest: Vec<&str> = lines.collect();
        let journal = self.dir.join("journal");
        let text = format!("journal: {}\n{}\n", journal.display(), rest.join("\n"));
        std::fs::write(self.dir.join("site.yaml"), text).unwrap();
    }

    pub(crate) fn pgbaton(&self) -> PathBuf {
        self.dir.join("pgbaton")
    }

    /// A path in the directory, as text.
    pub(crate) fn path(&self, file: &str) -> String {
        self.dir.join(file).to_str().unwrap().to_owned()
    }

    /// Writes a script of the page's, with pgbaton and the site file where they are.
    #[track_caller]
    pub(crate) fn script(&self, shown: &str, with: &[(&str, &str)]) -> String {
        let own = [
            ("/usr/bin/pgbaton", self.path("pgbaton")),
            ("/etc/pgbaton/site.yaml", self.path("site.yaml")),
        ];
        let own = own.each_ref().map(|(from, to)| (*from, to.as_str()));
        let text = filled(&filled(&block(shown), &own), with);
        let file = self.dir.join(Path::new(shown).file_name().unwrap());
        std::fs::write(&file, text).unwrap();
        open_to(&file, 0o755);
        file.to_str().unwrap().to_owned()
    }

    /// A command as the servers' user.
    pub(crate) fn command(&self, program: &Path, arguments: &[&str]) -> tokio::process::Command {
        let mut command = match &self.user {
            None => tokio::process::Command::new(program),
            Some(user) => {
                let mut command = tokio::process::Command::new("setpriv");
                let ids = ["--reuid", "--regid"].map(|id| format!("{id}={user}"));
                command.args(ids).arg("--init-groups").arg(program);
                command
            }
        };
        command
            .args(arguments)
            .current_dir("/")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs a command as the servers' user, to its end.
    pub(crate) async fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let output = self.command(Path::new(program), arguments).output();
        let output = tokio::time::timeout(PATIENCE, output).await;
        output
            .unwrap_or_else(|_| panic!("{program} does not end"))
            .unwrap()
    }

    /// Starts a program whose words go to a file, until it is dropped.
    pub(crate) fn start(&self, mut command: tokio::process::Command, log: &str) -> Daemon {
        let log = std::fs::File::create(self.dir.join(log)).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        command.stdin(Stdio::null()).kill_on_drop(true);
        Daemon(command.spawn().unwrap())
    }

    /// The runs of this playbook, as whoever started them sees them.
    pub(crate) async fn runs(&self, playbook: &str) -> Vec<serde_json::Value> {
        let words = ["--site", &self.path("site.yaml"), "--json", "runs", "list"];
        let said = self.run(&self.path("pgbaton"), &words).await;
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        let runs = text.lines().map(|l| serde_json::from_str(l).unwrap());
        runs.filter(|run: &serde_json::Value| run["playbook"] == playbook)
            .collect()
    }

    /// Waits until there is a run of this playbook and it has ended; it must be the only one, and this its outcome.
    pub(crate) async fn until_one_ended(&self, playbook: &str, outcome: &str) -> String {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let runs = self.runs(playbook).await;
            assert!(runs.len() < 2, "more than one run: {runs:?}");
            if let Some(run) = runs.first().filter(|run| run["outcome"].is_string()) {
                let id = run["run"].as_str().unwrap_or_default().to_owned();
                if run["outcome"] != outcome {
                    let words = ["--site", &self.path("site.yaml"), "runs", "show", &id];
                    let shown = self.run(&self.path("pgbaton"), &words).await;
                    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
                    panic!("{run} is not {outcome}: {shown}");
                }
                return id;
            }
            assert!(
                tokio::time::Instant::now() < end,
                "nobody ran {playbook}: {runs:?}\n{}",
                self.logs()
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until a program that was started has written this to its log.
    pub(crate) async fn until_logged(&self, log: &str, words: &str) {
        let file = self.dir.join(log);
        for _ in 0..300 {
            if std::fs::read_to_string(&file).is_ok_and(|text| text.contains(words)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("{log} does not say `{words}`\n{}", self.logs());
    }

    /// All that was written to logs here.
    pub(crate) fn logs(&self) -> String {
        let entries = std::fs::read_dir(&self.dir).unwrap().flatten();
        let logs = entries.filter(|e| e.path().extension().is_some_and(|x| x == "log"));
        logs.fold(String::new(), |all, log| {
            let text = std::fs::read_to_string(log.path()).unwrap_or_default();
            format!("{all}--- {}\n{text}\n", log.path().display())
        })
    }
}

/// A program that has children of its own, and ends them when it is asked to end.
pub(crate) struct Daemon(tokio::process::Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let id = self.0.id().and_then(|id| i32::try_from(id).ok());
        let Some(pid) = id.and_then(Pid::from_raw) else {
            return;
        };
        // pgpool takes SIGTERM as a wish to end when everybody has gone.
        let _ = kill_process(pid, Signal::INT);
        for _ in 0..200 {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn open_to(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// One primary, which is not `n1`, and the other standby streams from it; their names.
pub(crate) async fn assert_moved(cluster: &Cluster) -> (String, String) {
    let new = cluster.primary().await;
    let other = match new.as_str() {
        "n2" => "n3",
        "n3" => "n2",
        other => panic!("{other} is the primary"),
    };
    cluster.assert_streams(other, &new).await;
    (new, other.to_owned())
}
