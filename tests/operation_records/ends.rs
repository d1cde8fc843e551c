//! How an operation ends: by its deadline, by itself, because nobody wants it, and what is kept of its output.

use crate::live_support::sshd::Sshd;
use crate::support::{LIMIT, Place, assert_waited, lives, local, ssh, until};
use pgbaton::transport::{Command, Late, Recorded, TransportError};
use std::sync::Arc;
use std::time::Duration;

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
        // Nor by whoever goes on with the run: nobody knows what it has done.
        for again in [false, true] {
            let recorded = Recorded {
                again,
                ..recorded.clone()
            };
            let error = recorded.run(&way, place.waits()).await.unwrap_err();
            assert!(matches!(error, TransportError::Lost { .. }), "{error:?}");
        }
        assert_eq!(place.count(), 1);
    }
}

/// A service that is stopped ends what it has begun; the next one goes on with the run.
#[tokio::test]
async fn what_was_ended_with_its_runner_is_done_again_for_the_next_one_where_that_may_be() {
    let sshd = Sshd::new().await;
    for way in [local(), ssh(&sshd)] {
        let place = Place::new();
        let recorded = Recorded {
            repeatable: true,
            ..place.once("r-1")
        };
        let again = Recorded {
            again: true,
            ..recorded.clone()
        };
        let call = |recorded: &Recorded| {
            let (recorded, way, command) = (recorded.clone(), Arc::clone(&way), place.waits());
            tokio::spawn(async move { recorded.run(&way, command).await })
        };
        let first = call(&recorded);
        let pid = place.begun().await;
        // The next runner may be there before the first one's has been ended.
        let next = call(&again);
        first.abort();
        until("it is ended", || !lives(pid)).await;
        until("it is begun again", || place.count() == 2).await;
        // What the first runner still had under way when it went finds it taken.
        let late = call(&recorded);
        place.go();
        assert_waited(&next.await.unwrap().unwrap());
        assert_waited(&late.await.unwrap().unwrap());
        assert_eq!(place.count(), 2);
    }
}

#[tokio::test]
async fn what_was_ended_before_it_began_is_begun_by_the_next_runner_alone() {
    let place = Place::new();
    std::fs::create_dir_all(place.record("r-1")).unwrap();
    for directory in place.record("r-1").ancestors().take(3) {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(directory, mode).unwrap();
    }
    // As a runner leaves it whose call has not got through when it gives up.
    std::fs::write(place.record("r-1").join("status"), "ended\n").unwrap();
    let recorded = place.once("r-1");
    let late = recorded.run(&local(), place.waits()).await.unwrap_err();
    assert!(matches!(late, TransportError::Lost { .. }), "{late:?}");
    assert_eq!(place.count(), 0);
    place.go();
    let again = Recorded {
        again: true,
        ..recorded
    };
    assert_waited(&again.run(&local(), place.waits()).await.unwrap());
    assert_eq!(place.count(), 1);
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
