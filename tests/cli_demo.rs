//! The demo on real servers: what it promises, and that it leaves nothing behind, not even when it is interrupted.
#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A place for labs that the servers' user can enter.
fn place() -> tempfile::TempDir {
    let place = tempfile::Builder::new()
        .prefix("pgbaton-demo-")
        .tempdir_in("/var/tmp")
        .unwrap();
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    place
}

fn demo(place: &Path, words: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_pgbaton"))
        .arg("demo")
        .args(words)
        .current_dir(place)
        .env("PGBATON_LAB_DIR", place.join("labs"))
        .env("LC_ALL", "C.UTF-8")
        .env_remove("PGBATON_SITE")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Neither files nor processes of a lab are left.
#[track_caller]
fn assert_nothing_left(place: &Path) {
    let labs = place.join("labs");
    let files: Vec<_> = std::fs::read_dir(&labs)
        .into_iter()
        .flatten()
        .flatten()
        .collect();
    assert!(files.is_empty(), "{files:?}");
    let mark = labs.to_string_lossy().into_owned();
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        assert!(!line.contains(&mark), "still there: {line}");
    }
}

#[test]
fn a_demo_loses_no_acknowledged_row_and_leaves_nothing_behind() {
    let place = place();
    let output = demo(place.path(), &["--json"]).wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["outcome"], "ok");
    assert_eq!(told["killed"], "n1");
    assert_eq!(told["writer"]["lost"], 0);
    assert!(told["writer"]["acknowledged"].as_u64().unwrap() > 300);
    assert!(told["writer"]["longest_gap_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(told["before"]["health"], "ok");
    let promoted = told["steps"]
        .as_array()
        .unwrap()
        .iter()
        .find(|s| s["path"] == "promote");
    assert_eq!(promoted.unwrap()["status"], "ok");
    let after = told["after"]["rows"].as_array().unwrap();
    let role = |role: &str| after.iter().filter(|r| r["role"] == role).count();
    assert_eq!((role("primary"), role("standby")), (1, 1), "{after:?}");
    assert_nothing_left(place.path());
}

#[test]
fn a_demo_for_people_shows_both_tables_the_steps_and_the_gap() {
    let place = place();
    let output = demo(place.path(), &["--standbys", "1"])
        .wait_with_output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{stdout}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for part in [
        "\nBefore\n",
        "\nAfter\n",
        "\nSteps\n",
        "LSN_Lag",
        "promote",
        "longest gap",
        "lost          0",
    ] {
        assert!(stdout.contains(part), "{part}: {stdout}");
    }
    assert_nothing_left(place.path());
}

#[test]
fn an_interrupted_demo_leaves_nothing_behind() {
    // While the lab is made, and in the middle of the failover.
    for moment in ["Making a cluster", "Running the playbook failover"] {
        let place = place();
        let mut child = demo(place.path(), &[]);
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains(moment) {
            line.clear();
            assert_ne!(
                stderr.read_line(&mut line).unwrap(),
                0,
                "it ended before: {moment}"
            );
        }
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let mut rest = String::new();
        let output = child.wait_with_output().unwrap();
        stderr.read_to_string(&mut rest).unwrap();
        assert_eq!(output.status.code(), Some(130), "{moment}: {rest}");
        assert!(rest.contains("interrupted"), "{moment}: {rest}");
        assert_nothing_left(place.path());
    }
}
