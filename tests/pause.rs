//! A pause, by the real binary: who holds back automatic runs of a cluster, why and until when, is seen by all. No server
//! is needed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod support;

use pgbaton::runs::Records;
use pgbaton::trigger::{Pause, PauseError, paused};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;
use support::Said;

/// Two clusters that nobody listens for; the journal is beside the site file.
const SITE: &str = "site: nowhere
journal: journal
clusters:
  orders:
    product: postgresql
    sql: { user: dba }
    transport: none
    defaults: { data: /nowhere/data, bin: /nowhere/bin }
    nodes:
      n1: { host: 127.0.0.1, port: 1 }
      n2: { host: 127.0.0.1, port: 2 }
  billing:
    product: postgresql
    sql: { user: dba }
    transport: none
    defaults: { data: /nowhere/data, bin: /nowhere/bin }
    nodes:
      n3: { host: 127.0.0.1, port: 3 }
";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("site.yaml"), SITE).unwrap();
        let playbook = "playbook: nothing\nsteps:\n  one: { action: wait, with: { for: 1ms } }\n";
        std::fs::write(folder.path().join("nothing.yaml"), playbook).unwrap();
        Self(folder)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    async fn says(&self, cluster: &str, words: &[&str]) -> Said {
        let site = self.file("site.yaml");
        let mut all = vec!["--site", site.to_str().unwrap(), "--cluster", cluster];
        all.extend_from_slice(words);
        support::pgbaton(&all).await
    }

    async fn pause(&self, lasts: &str, reason: &str) -> Pause {
        let words = ["--json", "pause", "--for", lasts, "--reason", reason];
        let said = self.says("orders", &words).await.expect(0);
        let said: Value = serde_json::from_str(&said.stdout).unwrap();
        assert_eq!(said["cluster"], "orders");
        serde_json::from_value(said["pause"].clone()).unwrap()
    }

    /// What `status` says, as data and as text. No primary answers.
    async fn status(&self, cluster: &str) -> (Value, String) {
        let data = self.says(cluster, &["--json", "status"]).await.expect(1);
        let text = self.says(cluster, &["status"]).await.expect(1);
        (serde_json::from_str(&data.stdout).unwrap(), text.stdout)
    }
}

/// Who runs this test, as others than pgbaton tell.
fn somebody() -> String {
    let said = |program: &str, words: &[&str]| {
        let output = std::process::Command::new(program).args(words).output();
        String::from_utf8(output.unwrap().stdout)
            .unwrap()
            .trim()
            .to_owned()
    };
    let user = std::env::var("SUDO_USER").ok();
    let user = user.filter(|_| said("id", &["-u"]) == "0");
    let user = user.unwrap_or_else(|| said("id", &["-un"]));
    format!("{user}@{}", said("uname", &["-n"]))
}

fn minutes(pause: &Pause) -> i64 {
    pause.since.duration_until(pause.until).as_mins()
}

#[tokio::test]
async fn everybody_sees_who_paused_a_cluster_and_why_until_it_is_taken_back() {
    let folder = Folder::new();
    let (before, text) = folder.status("orders").await;
    assert_eq!(before["pause"], Value::Null);
    assert!(!text.contains("paused"), "{text}");
    let said = folder.says("orders", &["unpause"]).await.expect(0);
    assert_eq!(said.stderr, "automatic runs of orders are not paused\n");
    assert!(
        !folder.file("journal").exists(),
        "whoever looks makes nothing"
    );

    let first = folder.pause("2h", "OPS-4711: new\nfirmware").await;
    assert_eq!((first.owner.clone(), minutes(&first)), (somebody(), 120));
    let (seen, text) = folder.status("orders").await;
    assert_eq!(seen["pause"], serde_json::to_value(&first).unwrap());
    let until = first.until.strftime("%Y-%m-%d %H:%M:%S UTC");
    let by = &first.owner;
    let line =
        format!("\nautomatic runs are paused until {until} by {by}: OPS-4711: new firmware\n");
    assert!(text.contains(&line), "{text}");
    // It is about this cluster and no other.
    assert_eq!(folder.status("billing").await.0["pause"], Value::Null);

    // The next takes its place, be it shorter.
    let words = ["pause", "--for", "90s", "--reason", "almost done"];
    let said = folder.says("orders", &words).await.expect(0);
    assert_eq!(said.stdout, "", "standard output is for data");
    assert!(
        said.stderr
            .starts_with("automatic runs of orders are paused until ")
            && said.stderr.ends_with(&format!(" by {by}: almost done\n")),
        "{}",
        said.stderr
    );
    let (seen, _) = folder.status("orders").await;
    assert_eq!(seen["pause"]["reason"], "almost done");

    let said = folder
        .says("orders", &["--json", "unpause"])
        .await
        .expect(0);
    let said: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(said, json!({ "cluster": "orders", "ended": seen["pause"] }));
    let (seen, text) = folder.status("orders").await;
    assert_eq!(seen["pause"], Value::Null);
    assert!(!text.contains("paused"), "{text}");
    let said = folder
        .says("orders", &["--json", "unpause"])
        .await
        .expect(0);
    let said: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(said["ended"], Value::Null);
}

#[tokio::test]
async fn what_a_person_starts_goes_on_and_says_that_the_cluster_is_paused() {
    let folder = Folder::new();
    let playbook = folder.file("nothing.yaml");
    let run = ["run", playbook.to_str().unwrap()];
    let detached = [run[0], "--detach", run[1]];
    let said = folder.says("orders", &run).await.expect(0);
    assert!(!said.all().contains("paused"), "{}", said.all());
    let pause = folder.pause("2h", "OPS-4711").await;
    let until = pause.until.strftime("%Y-%m-%d %H:%M:%S UTC");
    let line = format!(
        "this run goes on, although automatic runs of orders are paused until {until} by {}: OPS-4711",
        pause.owner
    );
    for words in [&run[..], &detached] {
        let said = folder.says("orders", words).await.expect(0);
        let lines: Vec<&str> = said
            .stderr
            .lines()
            .filter(|l| l.contains("paused"))
            .collect();
        assert_eq!(lines, [line.as_str()], "{words:?}");
    }
    let said = folder.says("billing", &run).await.expect(0);
    assert!(!said.all().contains("paused"), "{}", said.all());
}

#[tokio::test]
async fn a_pause_ends_by_itself() {
    let folder = Folder::new();
    let records = Records::open(Some(&folder.file("site.yaml"))).unwrap();
    let pause = folder.pause("2h", "OPS-4711").await;
    let in_force = async |at| paused(&records, "orders", at).await.unwrap();
    let last = pause.until - Duration::from_nanos(1);
    assert_eq!(in_force(pause.since).await, Some(pause.clone()));
    assert_eq!(in_force(last).await, Some(pause.clone()));
    assert_eq!(in_force(pause.until).await, None);
    assert_eq!(paused(&records, "billing", last).await.unwrap(), None);

    // Nobody takes this one back.
    folder.pause("1ms", "a moment").await;
    let (seen, text) = folder.status("orders").await;
    assert_eq!(seen["pause"], Value::Null);
    assert!(!text.contains("paused"), "{text}");
    let said = folder
        .says("orders", &["--json", "unpause"])
        .await
        .expect(0);
    assert!(said.stdout.contains("\"ended\":null"), "{}", said.stdout);
}

#[tokio::test]
async fn a_pause_that_cannot_be_is_refused_and_nothing_is_kept() {
    let folder = Folder::new();
    for (lasts, reason, says) in [
        ("0s", "x", "a pause of no time"),
        ("8761h", "x", "a year (8760h) at most"),
        ("2", "x", "a number with a unit"),
        ("-2h", "x", "--for"),
        ("2h", " \n", "has a reason"),
        ("2h", &"x".repeat(5000), "has 5000 bytes"),
    ] {
        let words = ["pause", "--for", lasts, "--reason", reason];
        let said = folder.says("orders", &words).await.expect(2);
        assert!(said.stderr.contains(says), "{}", said.stderr);
    }
    let words = ["pause", "--for", "2h", "--reason", "x"];
    let said = folder.says("nobody", &words).await.expect(2);
    assert!(said.stderr.contains("orders"), "{}", said.stderr);
    assert!(!folder.file("journal").exists(), "nothing is kept");
    folder.pause("8760h", "the longest").await;
}

/// Whoever starts something automatically must not take what it cannot read for no pause.
#[tokio::test]
async fn a_pause_that_cannot_be_read_is_no_leave_to_start_anything() {
    let folder = Folder::new();
    let pause = folder.pause("2h", "OPS-4711").await;
    let file = rusqlite::Connection::open(folder.file("journal/journal.db")).unwrap();
    file.execute_batch("UPDATE notes SET json = '{\"v\":2}'")
        .unwrap();
    let records = Records::open(Some(&folder.file("site.yaml"))).unwrap();
    let error = paused(&records, "orders", pause.since).await.unwrap_err();
    assert!(matches!(error, PauseError::Unreadable { .. }), "{error}");
    let (seen, text) = folder.status("orders").await;
    let says = "the pause of cluster orders cannot be read: it has version 2";
    let why = seen["pause"]["unknown"].as_str().unwrap();
    assert!(why.contains(says), "{why}");
    assert!(
        text.contains("whether automatic runs are paused is not known"),
        "{text}"
    );
    folder.says("orders", &["unpause"]).await.expect(0);
    let (seen, _) = folder.status("orders").await;
    assert_eq!(seen["pause"], Value::Null);
}
