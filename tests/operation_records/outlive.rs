//! The command goes on without its caller, runs once, and is found again.

use crate::live_support::sshd::Sshd;
use crate::support::{
    LIMIT, Place, WAITS, Way, assert_waited, clients, kill, lives, local, ssh, until,
};
use pgbaton::transport::{Claim, Command, Recorded, TransportError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

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
        .args(["--exact", "outlive::calls_for_another_test"])
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
