//! Events to record, processes to lose, disks to fill.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test file uses a part of it, as a module of its own"
)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test, or a process that one started"
)]

use pgbaton::engine::{
    Durability, Envelope, Event, Evidence, Lease, Outcome, Owed, PAID, Recorder, RunId, StepPath,
};
use pgbaton::journal::{Note, SqliteHistory, SqliteJournal, Store as _};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Everything that waits in a test ends after this long.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn run(name: &str) -> RunId {
    RunId(name.into())
}

fn envelope(seq: u64, event: Event) -> Envelope {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let at_ms = seq as f64;
    Envelope {
        v: 1,
        seq,
        at_ms,
        event,
    }
}

/// Starts at the second that its id says, if it says one.
pub fn started(run: &RunId, cluster: &str) -> Envelope {
    let second = run.0.get(13..15).unwrap_or("00");
    let event = Event::RunStarted {
        run: run.clone(),
        playbook: "failover".to_owned(),
        version: Some("1.0.0".to_owned()),
        cluster: cluster.to_owned(),
        trigger: "cli".to_owned(),
        started: format!("2026-11-23T01:46:{second}Z"),
        params: BTreeMap::new(),
        cluster_facts: BTreeMap::new(),
        seed: u64::MAX,
        pins: None,
    };
    envelope(0, event)
}

pub fn note(seq: u64) -> Envelope {
    let event = Event::CancelRequested {
        accepted: false,
        reason: Some("because 'of' this, and\nof \"that\"".to_owned()),
    };
    envelope(seq, event)
}

/// Something is left to do, or done.
fn debt(seq: u64, paid: bool, owed: &Owed) -> Envelope {
    let evidence = Evidence {
        topic: if paid { PAID } else { "debt" }.to_owned(),
        text: format!("about {seq}"),
        data: owed.data(),
    };
    let path = StepPath::root();
    envelope(seq, Event::Noted { path, evidence })
}

/// Two runs of a cluster, of which the second does a part of what the first left, and one of another. What is left then.
pub async fn leave_something_to_do(to: &dyn Recorder) -> Vec<Owed> {
    let slot = |on: &str, slot: Option<&str>| Owed::Slot {
        on: on.to_owned(),
        slot: slot.map(str::to_owned),
    };
    let stop = Owed::Stop {
        node: "n1".to_owned(),
    };
    let (first, second) = (run("20261123-014607-a001"), run("20261123-014608-a002"));
    let other = run("20261123-014609-a003");
    let left = [
        started(&first, "orders"),
        debt(1, false, &stop),
        debt(2, false, &slot("n1", Some("pgbaton_n2"))),
        debt(3, false, &slot("n3", None)),
        ended(4, Outcome::Degraded),
    ];
    record(to, &first, &left, Durability::Synced).await;
    let foreign = [started(&other, "payments"), debt(1, false, &stop)];
    record(to, &other, &foreign, Durability::Synced).await;
    record(
        to,
        &second,
        &[started(&second, "orders")],
        Durability::Synced,
    )
    .await;
    let done = [debt(1, true, &slot("n1", None)), ended(2, Outcome::Ok)];
    record(to, &second, &done, Durability::Synced).await;
    vec![stop, slot("n3", None)]
}

/// An event of so many bytes and some more.
pub fn lengthy(seq: u64, length: usize) -> Envelope {
    let event = Event::CancelRequested {
        accepted: false,
        reason: Some("x".repeat(length)),
    };
    envelope(seq, event)
}

pub fn ended(seq: u64, outcome: Outcome) -> Envelope {
    let event = Event::RunEnded {
        outcome,
        failure: None,
        at: None,
        outputs: BTreeMap::new(),
        debts: Vec::new(),
    };
    envelope(seq, event)
}

pub async fn record(to: &dyn Recorder, run: &RunId, events: &[Envelope], durability: Durability) {
    to.record(run, events, durability).await.unwrap();
}

/// Asks until there is an answer.
pub fn until<T>(question: impl Fn() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = question() {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "it never came");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A process that uses a journal; it ends with the test.
pub struct Helper {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Helper {
    pub fn start(part: &str, path: &Path, words: &[&str]) -> Self {
        Self::spawn(
            Command::new(std::env::current_exe().unwrap()),
            part,
            path,
            words,
        )
    }

    /// One that trusts this authority and no other.
    pub fn trusting(authority: &Path, part: &str, path: &Path, words: &[&str]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env("SSL_CERT_FILE", authority);
        Self::spawn(command, part, path, words)
    }

    /// One that may write no file of more than 200 KiB, and hears so as an error instead of by a signal.
    pub fn limited(part: &str, path: &Path, words: &[&str]) -> Self {
        let mut shell = Command::new("sh");
        let limit = "trap '' XFSZ; ulimit -f 400; exec \"$0\" \"$@\"";
        shell
            .args(["-c", limit])
            .arg(std::env::current_exe().unwrap());
        Self::spawn(shell, part, path, words)
    }

    fn spawn(mut command: Command, part: &str, path: &Path, words: &[&str]) -> Self {
        let mut child = command
            .args(["another_process", "--exact", "--ignored", "--nocapture"])
            .env("JOURNAL_PART", part)
            .env("JOURNAL_PATH", path)
            .env("JOURNAL_WORDS", words.join(" "))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// The next thing that it says. What the test harness around it says is left out.
    pub fn line(&mut self) -> String {
        self.rest().next().expect("it says something")
    }

    pub fn rest(&mut self) -> impl Iterator<Item = String> {
        let lines = self.output.by_ref().lines().map_while(Result::ok);
        lines.filter_map(|line| line.strip_prefix("says: ").map(str::to_owned))
    }

    pub fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Without asking for its status, as if nobody had noticed yet.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        // Its last thread takes a moment.
        until(|| {
            let stat = self.stat();
            (stat[0] == "Z" && stat[17].parse::<u32>().unwrap() <= 1).then_some(())
        });
    }

    /// Stops it, and not in the middle of a transaction: nobody could write then.
    pub fn stop(&mut self, path: &Path) {
        let other = rusqlite::Connection::open(path).unwrap();
        other.busy_timeout(Duration::ZERO).unwrap();
        until(|| {
            self.freeze();
            let is_free = other.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_ok();
            if !is_free {
                self.signal(Signal::CONT);
            }
            is_free.then_some(())
        });
    }

    /// Stops it wherever it is.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
        until(|| (self.stat()[0] == "T").then_some(()));
    }

    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// `/proc/PID/stat` from its third field, the state.
    fn stat(&self) -> Vec<String> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let (_, rest) = stat.rsplit_once(") ").unwrap();
        rest.split(' ').map(str::to_owned).collect()
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Says something to the test that started this process.
pub fn says(what: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "says: {what}").unwrap();
    out.flush().unwrap();
}

/// What a helper is to do: its part, where the journal is, and more words.
pub fn told() -> (String, String, String) {
    let word = |name: &str| std::env::var(name).expect("started by a test of this file");
    // Whatever the harness printed ends here.
    std::io::stdout().write_all(b"\n").unwrap();
    (
        word("JOURNAL_PART"),
        word("JOURNAL_PATH"),
        word("JOURNAL_WORDS"),
    )
}

/// What a helper does.
pub async fn play() {
    let (part, path, words) = told();
    let words: Vec<&str> = words.split(' ').collect();
    match part.as_str() {
        "write" => write(&path, words[0], words[1].parse().unwrap()).await,
        "answer" => answer(&path, words[0]).await,
        "hold" => hold(&path, words[0], words[1].parse().unwrap()).await,
        "fixture" => fixture(&path).await,
        "crowd" => crowd(&path).await,
        other => panic!("no part {other}"),
    }
}

/// Records so many events, some of them synced, and says the number of each that was acknowledged.
async fn write(path: &str, name: &str, count: u64) {
    let journal = SqliteJournal::open(path).unwrap();
    let name = run(name);
    for seq in 0..count {
        let event = if seq == 0 {
            started(&name, "orders")
        } else {
            note(seq)
        };
        let durability = if seq % 4 == 0 {
            Durability::Synced
        } else {
            Durability::Ordered
        };
        if let Err(error) = journal.record(&name, &[event], durability).await {
            says(error);
            std::process::exit(1);
        }
        says(seq);
    }
}

/// Begins a run, and records the events whose numbers it is told.
async fn answer(path: &str, name: &str) {
    let journal = SqliteJournal::open(path).unwrap();
    let name = run(name);
    record(
        &journal,
        &name,
        &[started(&name, "orders")],
        Durability::Synced,
    )
    .await;
    says(0);
    for line in std::io::stdin().lines() {
        let seq = line.unwrap().parse().unwrap();
        match journal
            .record(&name, &[note(seq)], Durability::Synced)
            .await
        {
            Ok(()) => says(seq),
            Err(error) => says(error),
        }
    }
}

/// Makes each journal that it is told of and begins a run in it, while others of this process look at it.
async fn crowd(path: &str) {
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let place = Path::new(path).join(&line);
        let is_done = Arc::new(AtomicBool::new(false));
        let looks = [(); 2].map(|()| {
            let (place, is_done) = (place.clone(), Arc::clone(&is_done));
            std::thread::spawn(move || {
                while !is_done.load(Ordering::Relaxed) {
                    // What is not there yet cannot be looked at.
                    let _ = SqliteHistory::open(&place);
                }
            })
        });
        let name = run(&format!("{line}-{}", std::process::id()));
        let made = match SqliteJournal::open(&place) {
            Ok(journal) => journal
                .record(&name, &[started(&name, "orders")], Durability::Synced)
                .await
                .err()
                .map(|error| error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        is_done.store(true, Ordering::Relaxed);
        for look in looks {
            look.join().unwrap();
        }
        says(made.unwrap_or_else(|| "recorded".to_owned()));
    }
}

/// What `tests/fixtures/journal` holds of each version: its dump by the sqlite3 shell, behind its `application_id` and
/// `user_version`.
async fn fixture(path: &str) {
    let journal = SqliteJournal::open(path).unwrap();
    let runs = [
        "20261123-014607-v001",
        "20261123-014608-v002",
        "20261123-014609-v003",
    ]
    .map(run);
    for (run, outcome) in runs
        .iter()
        .zip([Some(Outcome::Ok), None, Some(Outcome::Held)])
    {
        let begin = [started(run, "orders")];
        if outcome == Some(Outcome::Held) {
            record(&journal, run, &begin, Durability::Synced).await;
        } else {
            let _held = journal.acquire("orders", run).await.unwrap();
            let key = if outcome.is_none() {
                "alert-7"
            } else {
                "alert-6"
            };
            journal.announce(run, "orders", key).await.unwrap();
            record(&journal, run, &begin, Durability::Synced).await;
        }
        if let Some(outcome) = outcome {
            let rest = [note(1), ended(2, outcome)];
            record(&journal, run, &rest, Durability::Synced).await;
        }
    }
    journal.keep_note(&kept_note()).await.unwrap();
    journal.tidy().await.unwrap();
}

/// The note of a fixture.
pub fn kept_note() -> Note {
    Note {
        cluster: "orders".to_owned(),
        kind: "pause".to_owned(),
        id: "automatic".to_owned(),
        at: "2026-11-23T01:46:09.123456789Z".parse().unwrap(),
        body: serde_json::json!({ "v": 1, "because": "'of' \"that\"\n" }),
    }
}

/// Holds a lease, and says whether it believes in it when asked.
async fn hold(path: &str, name: &str, ttl_ms: u64) {
    let journal = SqliteJournal::open_with_ttl(path, Duration::from_millis(ttl_ms)).unwrap();
    let held = journal.acquire("orders", &run(name)).await.unwrap();
    says(held.token());
    for _ in std::io::stdin().lines().map_while(Result::ok) {
        says(held.is_valid());
    }
}

/// A file system of its own, of 1 MiB.
pub struct Mount(tempfile::TempDir);

impl Mount {
    /// None where this user may not mount.
    pub fn small() -> Option<Self> {
        let place = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "none"])
            .arg(place.path())
            .stderr(Stdio::null())
            .status();
        mount
            .is_ok_and(|status| status.success())
            .then(|| Self(place))
    }

    pub fn path(&self) -> PathBuf {
        self.0.path().to_owned()
    }

    /// Once nobody writes any more.
    pub fn remount(&self, how: &str) {
        until(|| {
            let options = format!("remount,{how}");
            let mut mount = Command::new("mount");
            let mount = mount.args(["-o", &options]).arg(self.0.path());
            let status = mount.stderr(Stdio::null()).status().unwrap();
            status.success().then_some(())
        });
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Whoever still has a file open there keeps it, not its name.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}
