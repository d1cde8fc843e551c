//! A site's own version of a playbook, with own steps, is rehearsed like the stock one, and its mistakes are found.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const SITE: &str = r"
site: own
clusters:
  own:
    product: postgresql
    sql: { user: postgres, dbname: postgres }
    replication: { user: replicator }
    synchronous: { mode: quorum, acks: 1 }
    nodes:
      east: { id: 1, host: 10.0.0.1, data: /data, bin: /bin }
      west: { id: 2, host: 10.0.0.2, data: /data, bin: /bin }
      south: { id: 3, host: 10.0.0.3, data: /data, bin: /bin }
";

/// The traffic is moved once there is a primary; the step tells by itself whether that is done.
const TRAFFIC: &str = r#"
  traffic:
    needs: [verify_primary]
    action: exec
    with: { argv: [/usr/local/bin/move-vip, "{{ steps.choose.node }}"] }
    probe: { argv: [/usr/local/bin/vip-is-at, "{{ steps.choose.node }}"] }
    effect: idempotent
    timeout: 20s
    retry: { attempts: 2, delay: 1s }
    on_failure: degrade

"#;

/// A folder with a site file and its own `failover`.
fn site(own: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("site.yaml");
    std::fs::write(&file, SITE).unwrap();
    std::fs::create_dir(folder.path().join("playbooks")).unwrap();
    std::fs::write(folder.path().join("playbooks/failover.yaml"), own).unwrap();
    (folder, file)
}

fn stock() -> String {
    std::fs::read_to_string("playbooks/failover.yaml").unwrap()
}

/// The text without what is between the two, the second not included.
fn without(text: &str, from: &str, to: &str) -> String {
    let (before, rest) = text.split_once(from).unwrap();
    let (_, after) = rest.split_once(to).unwrap();
    format!("{before}{to}{after}")
}

fn rehearse(site: &Path, arguments: &[&str]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_pgbaton"))
        .arg("--site")
        .arg(site)
        .args(["rehearse", "failover"])
        .args(arguments)
        .current_dir(site.parent().unwrap())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    (output, text)
}

#[test]
fn an_own_playbook_with_an_own_step_is_rehearsed_on_the_sites_nodes() {
    let follow = "  # All at once, each on its own:";
    let own = stock().replacen(follow, &format!("{TRAFFIC}{follow}"), 1);
    assert_ne!(own, stock());
    let (_folder, site) = site(&own);
    let (output, text) = rehearse(&site, &["--situation", "orphans-sync"]);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("no violations"), "{text}");
    // Only the site's way of replicating is rehearsed, and on its nodes.
    let (_, story) = rehearse(&site, &["--replay", "orphans-sync.1"]);
    for word in ["east", "west", "south", "traffic", "move-vip"] {
        assert!(story.contains(word), "{word}: {story}");
    }
}

/// A step that waits for what only the site's own servers tell gets it from `assume`; without that it never reaches its goal.
#[test]
fn what_an_own_step_is_assumed_to_tell_is_what_it_tells() {
    let waits = |assume: &str| {
        format!(
            "
  settled:
    needs: [verify_primary]
    action: sql
    node: \"{{{{ steps.choose.node }}}}\"
    with: {{ statement: SELECT count(*) AS busy FROM queue }}
    effect: read
    {assume}
    until: result.rows[0].busy == 0
    retry: {{ attempts: 2, delay: 1s }}
    timeout: 20s
    on_failure: degrade

"
        )
    };
    let follow = "  # All at once, each on its own:";
    for (assume, told) in [
        ("assume: { rows: [{ busy: 0 }] }", "settled: ok"),
        ("", "settled: failed"),
    ] {
        let own = stock().replacen(follow, &format!("{}{follow}", waits(assume)), 1);
        let (_folder, site) = site(&own);
        let (_, story) = rehearse(&site, &["--replay", "server-dead-sync.1"]);
        assert!(story.contains(told), "{told}: {story}");
    }
}

#[test]
fn what_an_own_playbook_forgets_is_found_and_can_be_replayed() {
    // `west` is looked after by somebody else, it was said; so it stays frozen, and nobody is told.
    let own = without(
        &stock(),
        "  # The slot of one that did not follow",
        "  complete_synchronous:",
    );
    let all = "items: steps.choose.followers, max_failures";
    let some = "items: \"steps.choose.followers.filter(name, name != 'west')\", max_failures";
    assert!(own.contains(all));
    let own = own.replacen(all, some, 1);
    let (_folder, site) = site(&own);
    let (output, text) = rehearse(&site, &["--situation", "server-dead-async"]);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let replay = text
        .lines()
        .find_map(|line| line.split_once("--replay "))
        .map(|(_, scenario)| scenario.trim().to_owned());
    let Some(replay) = replay else {
        panic!("no command to replay in {text}");
    };
    let (output, story) = rehearse(&site, &["--replay", &replay]);
    assert_eq!(output.status.code(), Some(1), "{story}");
    assert!(story.contains("named"), "{story}");
}
