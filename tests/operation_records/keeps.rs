//! What a host refuses, and what its records never hold: tokens, secrets, foreign directories, full disks, age.

use crate::live_support::run_as_self;
use crate::live_support::sshd::Sshd;
use crate::support::{LIMIT, Place, assert_waited, local, ssh, until};
use pgbaton::transport::{Command, Recorded, TransportError};
use std::path::PathBuf;

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

/// A runner that dies between the two must not keep all others from the host.
#[tokio::test]
async fn a_directory_that_root_made_and_did_not_give_away_is_given_away() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let place = Place::new();
    let record = place.record("x");
    let cluster = record.parent().unwrap();
    let own = cluster.parent().unwrap().with_file_name("pgbaton-65534");
    std::fs::create_dir(&own).unwrap();
    std::fs::set_permissions(&own, PermissionsExt::from_mode(0o700)).unwrap();
    let claimed = place.once("r-1").claim((65534, 65534));
    assert!(claimed.is_ok(), "{:?}", claimed.err());
    assert_eq!(std::fs::metadata(&own).unwrap().uid(), 65534);
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
        // Only root can mount a full file system.
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
        // Only root can mount a full file system.
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
