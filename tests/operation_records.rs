//! Operations on hosts outlive whoever asked for them, and a second call with the same id finds what became of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod live_support;

use live_support::sshd::Sshd;
use live_support::{PATIENCE, run_as_self};
use pgbaton::transport::{
    Claim, Command, Finished, Late, Local, Recorded, Ssh, Transport, TransportError,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(20);

/// Tells that it has begun, counts itself, and ends when it is let go.
const WAITS: &str = r#"echo ran >>"$1/count"; echo $$ >"$1/pid"; mv "$1/pid" "$1/begun"; echo out; echo err >&2
    while [ ! -e "$1/go" ]; do sleep 0.05; done; echo gone; exit 7"#;

type Way = Arc<dyn Transport>;

/// A place for records, beside a directory that the commands work in.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("pgr").tempdir_in("/tmp");
        let place = Self { dir: dir.unwrap() };
        std::fs::create_dir(place.dir.path().join("base")).unwrap();
        std::fs::create_dir(place.dir.path().join("work")).unwrap();
        place
    }

    fn base(&self) -> PathBuf {
        self.dir.path().join("base")
    }

    fn work(&self, file: &str) -> PathBuf {
        self.dir.path().join("work").join(file)
    }

    fn once(&self, id: &str) -> Recorded {
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

    fn record(&self, id: &str) -> PathBuf {
        let user = format!("pgbaton-{}", rustix::process::geteuid().as_raw());
        self.base().join(user).join("c1").join(id)
    }

    fn script(&self, script: &str, deadline: Duration) -> Command {
        let work = self.work("").display().to_string();
        Command::script(script, &[work.trim_end_matches('/')], deadline)
    }

    fn waits(&self) -> Command {
        self.script(WAITS, LIMIT)
    }

    async fn begun(&self) -> u32 {
        let file = self.work("begun");
        until("the command begins", || file.exists()).await;
        let pid = std::fs::read_to_string(file).unwrap();
        pid.trim().parse().unwrap()
    }

    fn go(&self) {
        std::fs::write(self.work("go"), "").unwrap();
    }

    /// How often a command ran.
    fn count(&self) -> usize {
        std::fs::read_to_string(self.work("count"))
            .unwrap_or_default()
            .lines()
            .count()
    }

    fn leader(&self, id: &str) -> u32 {
        let text = std::fs::read_to_string(self.record(id).join("leader")).unwrap();
        text.split(' ').next().unwrap().parse().unwrap()
    }
}

async fn until(what: &str, check: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !check() {
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn lives(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.contains(") Z "))
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

fn local() -> Way {
    Arc::new(Local::runner())
}

fn ssh(sshd: &Sshd) -> Way {
    Arc::new(Ssh::new(sshd.options(), Duration::from_secs(5)))
}

#[track_caller]
fn assert_waited(finished: &Finished) {
    let said = (finished.status, finished.out(), &finished.stderr[..]);
    assert_eq!(said, (7, "out\ngone\n".to_owned(), &b"err\n"[..]));
}

/// The processes of the ssh clients that talk to this server.
fn clients(sshd: &Sshd) -> Vec<u32> {
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

#[tokio::test]
async fn a_command_goes_on_without_its_ssh_client_and_the_call_finds_it_again() {
    let (place, sshd) = (Place::new(), Sshd::new().await);
    let way = ssh(&sshd);
    let (recorded, command) = (place.once("r-1"), place.waits());
    let call = {
        let (recorded, way) = (recorded.clone(), Arc::clone(&way));
        tokio::spawn(async move { recorded.run(&way, command).await })
    };
    let pid = place.begun().await;
    let clients = clients(&sshd);
    assert!(!clients.is_empty());
    clients.into_iter().for_each(kill);
    until("the same call comes back", || sshd.logins() == 2).await;
    assert!(lives(pid), "the command goes on");
    place.go();
    assert_waited(&call.await.unwrap().unwrap());
    let again = recorded.run(&way, place.waits()).await.unwrap();
    assert_waited(&again);
    assert_eq!(place.count(), 1);
}

/// The other process of the next test.
#[tokio::test]
async fn calls_for_another_test() {
    let Some(dir) = std::env::var_os("PGBATON_TEST_CALLER") else {
        return;
    };
    let work = Path::new(&dir).join("work").display().to_string();
    let recorded = Recorded {
        base: Path::new(&dir).join("base"),
        ..Place::new().once("r-1")
    };
    let command = Command::script(WAITS, &[&work], LIMIT);
    let _ = recorded.run(&local(), command).await;
}

#[tokio::test]
async fn a_command_goes_on_after_kill_9_of_its_caller_and_another_one_attaches() {
    let place = Place::new();
    let mut caller = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "calls_for_another_test"])
        .env("PGBATON_TEST_CALLER", place.dir.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let pid = place.begun().await;
    caller.kill().unwrap();
    caller.wait().unwrap();
    assert!(lives(pid));
    let attached = {
        let (recorded, command) = (place.once("r-1"), place.waits());
        tokio::spawn(async move { recorded.run(&local(), command).await })
    };
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!attached.is_finished(), "it waits for what runs");
    place.go();
    assert_waited(&attached.await.unwrap().unwrap());
    assert_eq!(place.count(), 1);
}

#[tokio::test]
async fn calls_of_one_id_at_once_run_it_once() {
    let (place, sshd) = (Place::new(), Sshd::new().await);
    place.go();
    let (near, far) = (local(), ssh(&sshd));
    let recorded = place.once("r-1");
    let ways = [&near, &far, &near, &far, &near, &far];
    let calls = ways.map(|way| recorded.run(way, place.waits()));
    for call in futures_util::future::join_all(calls).await {
        assert_waited(&call.unwrap());
    }
    assert_eq!(place.count(), 1);
    assert_waited(&recorded.run(&far, place.waits()).await.unwrap());
    assert_eq!(place.count(), 1, "what has ended is not run again");
    let other = place.once("r-2").run(&near, place.waits()).await;
    assert_waited(&other.unwrap());
    assert_eq!(place.count(), 2, "another id is another operation");
}

#[tokio::test]
async fn one_that_has_gone_without_a_result_is_in_doubt_unless_it_may_be_repeated() {
    let place = Place::new();
    let recorded = place.once("r-1");
    let call = {
        let (recorded, command) = (recorded.clone(), place.waits());
        tokio::spawn(async move { recorded.run(&local(), command).await })
    };
    let pid = place.begun().await;
    kill(place.leader("r-1"));
    kill(pid);
    for result in [
        call.await.unwrap(),
        recorded.run(&local(), place.waits()).await,
    ] {
        let error = result.unwrap_err();
        assert!(matches!(error, TransportError::Lost { .. }), "{error:?}");
        assert!(error.to_string().contains("r-1"), "it says where: {error}");
    }
    assert_eq!(place.count(), 1);
    let uid = rustix::process::geteuid().as_raw();
    let claimed = recorded.claim((uid, rustix::process::getegid().as_raw()));
    assert!(
        matches!(&claimed, Ok(Claim::Ended(Err(TransportError::Lost { .. })))),
        "{claimed:?}"
    );
    place.go();
    let repeatable = Recorded {
        repeatable: true,
        ..recorded
    };
    assert_waited(&repeatable.run(&local(), place.waits()).await.unwrap());
    assert_eq!(place.count(), 2);
}

#[tokio::test]
async fn a_record_from_before_a_reboot_is_nobodys() {
    let place = Place::new();
    let recorded = place.once("r-1");
    let call = {
        let (recorded, command) = (recorded.clone(), place.waits());
        tokio::spawn(async move { recorded.run(&local(), command).await })
    };
    place.begun().await;
    let file = place.record("r-1").join("leader");
    let leader = std::fs::read_to_string(&file).unwrap();
    let (same, _) = leader.rsplit_once(' ').unwrap();
    std::fs::write(&file, format!("{same} another-boot\n")).unwrap();
    let error = recorded.run(&local(), place.waits()).await.unwrap_err();
    assert!(matches!(error, TransportError::Lost { .. }), "{error:?}");
    place.go();
    assert_waited(&call.await.unwrap().unwrap());
    assert_eq!(place.count(), 1);
}

#[tokio::test]
async fn a_lower_token_is_refused_before_anything_runs() {
    let (place, sshd) = (Place::new(), Sshd::new().await);
    place.go();
    let fenced = |id: &str, store: &str, token| Recorded {
        fence: Some((store.into(), token)),
        ..place.once(id)
    };
    let owner = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    for way in [local(), ssh(&sshd)] {
        let before = place.count();
        let id = format!("r-{before}");
        let new = fenced(&format!("{id}.new"), "s1", 12);
        new.run(&way, place.waits()).await.unwrap();
        let old = fenced(&format!("{id}.old"), "s1", 9);
        let error = old.run(&way, place.waits()).await.unwrap_err();
        assert!(matches!(error, TransportError::Refused { .. }), "{error:?}");
        let told = error.to_string();
        assert!(told.contains("12") && told.contains('9'), "{told}");
        let error = old.claim(owner).unwrap_err();
        assert!(matches!(error, TransportError::Refused { .. }), "{error:?}");
        assert!(!place.record(&old.id).exists());
        assert_eq!(place.count(), before + 1);
        let other = fenced(&format!("{id}.other"), "s2", 3);
        other.run(&way, place.waits()).await.unwrap();
        assert_eq!(
            place.count(),
            before + 2,
            "another store says nothing of it"
        );
    }
    // What is done without a shell leaves the same.
    drop(fenced("r-n", "s1", 20).claim(owner).unwrap());
    let error = fenced("r-m", "s1", 12)
        .run(&local(), place.waits())
        .await
        .unwrap_err();
    assert!(matches!(error, TransportError::Refused { .. }), "{error:?}");
}

#[tokio::test]
async fn the_deadline_ends_all_of_the_session() {
    let (place, sshd) = (Place::new(), Sshd::new().await);
    // A child, a grandchild in a group of its own that ignores TERM, and the command itself, which does too.
    let script = r#"trap '' TERM; cd "$1"; sleep 300 & echo $! >child
        timeout 300 sh -c 'trap "" TERM; echo $$ >grandchild; while :; do sleep 300; done' &
        while [ ! -s grandchild ]; do sleep 0.05; done; echo out; mv child one; wait; sleep 300"#;
    for (id, way) in [("r-1", local()), ("r-2", ssh(&sshd))] {
        let command = place.script(script, Duration::from_secs(1));
        let error = place.once(id).run(&way, command).await.unwrap_err();
        assert!(
            matches!(error, TransportError::Deadline { .. }),
            "{error:?}"
        );
        for file in ["one", "grandchild"] {
            let pid = std::fs::read_to_string(place.work(file)).unwrap();
            assert!(!lives(pid.trim().parse().unwrap()), "{id}: {file} lives");
            std::fs::remove_file(place.work(file)).unwrap();
        }
        let again = place.once(id).run(&way, place.waits()).await.unwrap_err();
        assert!(
            matches!(again, TransportError::Deadline { .. }),
            "{again:?}"
        );
    }
}

#[tokio::test]
async fn what_is_to_finish_is_let_finish() {
    let place = Place::new();
    let recorded = Recorded {
        late: Late::Finish,
        ..place.once("r-1")
    };
    let command = Command {
        deadline: Duration::from_millis(200),
        ..place.waits()
    };
    let call = {
        let recorded = recorded.clone();
        tokio::spawn(async move { recorded.run(&local(), command).await })
    };
    let pid = place.begun().await;
    // Nobody wants it any more, and its time is up.
    call.abort();
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(lives(pid));
    place.go();
    assert_waited(&recorded.run(&local(), place.waits()).await.unwrap());
    assert_eq!(place.count(), 1);
}

#[tokio::test]
async fn what_nobody_wants_any_more_is_ended_on_its_host() {
    let sshd = Sshd::new().await;
    for way in [local(), ssh(&sshd)] {
        let place = Place::new();
        let recorded = place.once("r-1");
        let call = {
            let (recorded, way, command) = (recorded.clone(), Arc::clone(&way), place.waits());
            tokio::spawn(async move { recorded.run(&way, command).await })
        };
        let pid = place.begun().await;
        call.abort();
        until("it is ended", || !lives(pid)).await;
        let error = recorded.run(&way, place.waits()).await.unwrap_err();
        assert!(matches!(error, TransportError::Lost { .. }), "{error:?}");
        assert_eq!(place.count(), 1);
    }
}

#[tokio::test]
async fn secrets_are_in_no_record_and_in_no_command_line() {
    let (place, sshd) = (Place::new(), Sshd::new().await);
    // Patterns, so that the script itself holds neither secret.
    let script = r#"in=$(cat); case $TOKEN+$in in hunter[2]+hunter[3]*more) echo ran >>"$1/count" ;; esac
        echo $$ >"$1/pid"; mv "$1/pid" "$1/begun"; while [ ! -e "$1/go" ]; do sleep 0.05; done"#;
    for (id, way) in [("r-1", local()), ("r-2", ssh(&sshd))] {
        let command = place
            .script(script, LIMIT)
            .with_stdin("hunter3\nmore\n")
            .with_env([("TOKEN".to_owned(), "hunter2".to_owned())].into());
        let call = {
            let recorded = place.once(id);
            tokio::spawn(async move { recorded.run(&way, command).await })
        };
        place.begun().await;
        let look = || {
            let base = place.base().display().to_string();
            let found = std::process::Command::new("grep")
                .args(["-r", "-l", "--devices=skip", "-e", "hunter[23]", &base])
                .output()
                .unwrap();
            assert_eq!(found.status.code(), Some(1), "{found:?}");
        };
        look();
        let secrets = ["hunter2", "hunter3"];
        for process in std::fs::read_dir("/proc").unwrap().flatten() {
            let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            assert!(!secrets.iter().any(|s| line.contains(s)), "{line}");
        }
        place.go();
        assert_eq!(call.await.unwrap().unwrap().status, 0);
        look();
        std::fs::remove_file(place.work("go")).unwrap();
        std::fs::remove_file(place.work("begun")).unwrap();
    }
    assert_eq!(place.count(), 2, "what it was given arrived");
}

#[tokio::test]
async fn records_are_removed_after_a_week_and_that_of_a_running_one_is_not() {
    let place = Place::new();
    let quick = || Command::new(["true"], LIMIT);
    let call = {
        let (recorded, command) = (place.once("r-runs"), place.waits());
        tokio::spawn(async move { recorded.run(&local(), command).await })
    };
    place.begun().await;
    let owner = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    for native in [false, true] {
        for id in ["r-old", "r-young"] {
            place.once(id).run(&local(), quick()).await.unwrap();
        }
        for id in ["r-old", "r-runs"] {
            let path = place.record(id).display().to_string();
            run_as_self(&["touch", "-d", "8 days ago", &path]);
        }
        // It is done once an hour.
        let stamp = place.record("x").parent().unwrap().with_file_name("tidied");
        let _ = std::fs::remove_file(stamp);
        if native {
            drop(place.once("r-new").claim(owner).unwrap());
        } else {
            place.once("r-next").run(&local(), quick()).await.unwrap();
        }
        until("the old one goes", || !place.record("r-old").exists()).await;
        assert!(place.record("r-young").exists());
        assert!(place.record("r-runs").exists());
    }
    place.go();
    assert_waited(&call.await.unwrap().unwrap());
}

#[tokio::test]
async fn a_directory_that_is_not_ours_alone_holds_no_records() {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};
    let root = rustix::process::geteuid().is_root();
    let owner = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    for case in ["of somebody else", "a link", "open to others"] {
        if case == "of somebody else" && !root {
            continue;
        }
        let place = Place::new();
        let own = place
            .record("x")
            .parent()
            .unwrap()
            .parent()
            .unwrap()
            .to_owned();
        let elsewhere = place.work("elsewhere");
        std::fs::create_dir(&elsewhere).unwrap();
        let closed = PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(&elsewhere, closed).unwrap();
        if case == "a link" {
            symlink(&elsewhere, &own).unwrap();
        } else {
            std::fs::create_dir(&own).unwrap();
            let mode = if case == "open to others" {
                0o777
            } else {
                0o700
            };
            std::fs::set_permissions(&own, PermissionsExt::from_mode(mode)).unwrap();
        }
        if case == "of somebody else" {
            chown(&own, Some(65534), Some(65534)).unwrap();
        }
        let recorded = place.once("r-1");
        let error = recorded.run(&local(), place.waits()).await.unwrap_err();
        for error in [error, recorded.claim(owner).unwrap_err()] {
            let TransportError::NotStarted { why } = &error else {
                panic!("{case}: {error:?}")
            };
            assert!(why.starts_with("nothing was run: "), "{case}: {why}");
            let told = ["somebody else", "link"].iter().any(|w| why.contains(w));
            assert!(told, "{case}: {why}");
        }
        assert_eq!(place.count(), 0);
        assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 0);
    }
}

/// A file system of a few pages, which is full; it goes with the test.
struct Full(PathBuf);

impl Full {
    fn over(path: PathBuf) -> Self {
        let text = path.display().to_string();
        run_as_self(&["mount", "-t", "tmpfs", "-o", "size=64k", "pgbaton", &text]);
        let full = Self(path);
        let filled = std::fs::write(full.0.join("filling"), vec![b'x'; 1 << 17]);
        assert!(filled.is_err());
        full
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}

#[tokio::test]
async fn where_the_disk_of_the_records_is_full_nothing_runs() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("only root can mount a full file system");
        return;
    }
    let place = Place::new();
    place.go();
    let full = Full::over(place.base());
    let recorded = place.once("r-1");
    let error = recorded.run(&local(), place.waits()).await.unwrap_err();
    for error in [error, recorded.claim((0, 0)).unwrap_err()] {
        let TransportError::NotStarted { why } = &error else {
            panic!("{error:?}")
        };
        let told = why.contains("room on its disk") || why.contains("No space left");
        assert!(told, "{why}");
    }
    assert!(!place.record("r-1").exists());
    assert_eq!(place.count(), 0);
    // Room again: the same id is free.
    std::fs::remove_file(full.0.join("filling")).unwrap();
    assert_waited(&recorded.run(&local(), place.waits()).await.unwrap());
}

#[tokio::test]
async fn a_disk_that_fills_up_meanwhile_costs_the_output_and_not_the_result() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("only root can mount a full file system");
        return;
    }
    let place = Place::new();
    let full = Full::over(place.base());
    std::fs::remove_file(full.0.join("filling")).unwrap();
    let script = r#"dd if=/dev/zero of="$2" bs=4096 2>/dev/null; seq 1 20000; echo ran >>"$1/count"; exit 3"#;
    let (work, filling) = (place.work(""), full.0.join("filling"));
    let parameters = [work.to_str().unwrap(), filling.to_str().unwrap()];
    let command = Command::script(script, &parameters, LIMIT);
    let finished = place.once("r-1").run(&local(), command).await.unwrap();
    assert_eq!((finished.status, place.count()), (3, 1));
}

#[tokio::test]
async fn a_call_that_was_made_before_is_never_said_not_to_have_happened() {
    let place = Place::new();
    let nowhere: Way = Arc::new(pgbaton::transport::Template::new(
        &["sh".into(), "-c".into(), "exit 1".into(), "x".into()],
        "h",
    ));
    let recorded = place.once("r-1");
    let error = recorded.run(&nowhere, place.waits()).await.unwrap_err();
    assert!(
        matches!(error, TransportError::NotStarted { .. }),
        "{error:?}"
    );
    let again = Recorded {
        again: true,
        ..recorded
    };
    let error = again.run(&nowhere, place.waits()).await.unwrap_err();
    assert!(matches!(error, TransportError::Lost { .. }), "{error:?}");
    place.go();
    assert_waited(&again.run(&local(), place.waits()).await.unwrap());
    assert_eq!(place.count(), 1, "what was never started is done");
}

#[tokio::test]
async fn outputs_are_bounded_and_input_is_whole_or_nothing_runs() {
    let place = Place::new();
    let mut command = Command::new(["seq", "1", "2000000"], LIMIT);
    command.keep = 16;
    let finished = place.once("r-1").run(&local(), command).await.unwrap();
    assert_eq!(finished.stdout, b"1999999\n2000000\n");
    assert!(finished.truncated);
    let kept = std::fs::metadata(place.record("r-1").join("out"))
        .unwrap()
        .len();
    assert!(kept <= 16, "{kept}");
    let big = "x".repeat(300_000) + "\n\n";
    let command = Command::new(["wc", "-c"], LIMIT).with_stdin(big);
    let finished = place.once("r-2").run(&local(), command).await.unwrap();
    assert_eq!(
        (finished.out().trim(), finished.truncated),
        ("300002", false)
    );
    let error = place
        .once("r-3")
        .run(&local(), Command::new(["/no/such/program"], LIMIT))
        .await
        .unwrap_err();
    assert!(
        matches!(error, TransportError::NotStarted { .. }),
        "{error:?}"
    );
    assert!(!place.record("r-3").exists());
}
