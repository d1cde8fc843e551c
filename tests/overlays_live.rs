//! An overlay on a real cluster: what the site adds is done where it belongs, what it seals stays as it is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod support;

use pgbaton::lab::Fault;
use support::Cluster;

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_does_what_the_site_adds_and_refuses_what_it_seals() {
    let cluster = Cluster::up("overlay", 2).await;
    let folder = cluster.lab.site_file().parent().unwrap().to_owned();
    let mark = folder.join("moved-to");
    std::fs::create_dir_all(folder.join("overlays")).unwrap();
    let overlay = format!(
        r#"overlay: failover
version: ">=1.0, <2"
params:
  max_loss: {{ default: 0B, sealed: true }}
steps:
  move_vip:
    needs: [promote]
    needed_by: [follow]
    action: exec
    with: {{ argv: [sh, -c, 'printf %s "$1" >"$2"', sh, "{{{{ steps.choose.node }}}}", "{mark}"] }}
    probe: {{ argv: [test, -e, "{mark}"] }}
    effect: idempotent
    timeout: 10s
  update_repmgr: {{ disable: "no repmgr here, OPS-4711" }}
"#,
        mark = mark.display()
    );
    std::fs::write(folder.join("overlays/vip.yaml"), overlay).unwrap();

    let refused = cluster
        .pgbaton(&["run", "failover", "-p", "max_loss=1GiB"])
        .await;
    assert!(refused.stderr.contains("sealed"), "{}", refused.stderr);
    refused.expect(2);
    assert!(!mark.exists());

    cluster.fault("n1", Fault::Kill).await;
    cluster.pgbaton(&["plan", "failover"]).await.expect(0);
    assert!(!mark.exists(), "a plan runs nothing");
    let said = cluster.pgbaton(&["run", "failover", "--json"]).await;
    let said = said.expect(0);
    let new = cluster.primary().await;
    assert_eq!(std::fs::read_to_string(&mark).unwrap(), new);

    // After the promotion and before anybody followed; what is switched off counts as skipped, with the reason.
    let events = said.events();
    let at = |kind: &str, path: &str| {
        let is_it = |event: &serde_json::Value| {
            event["event"]["event"] == kind && event["event"]["path"] == path
        };
        let found = events.iter().position(is_it);
        found.unwrap_or_else(|| panic!("{kind} of {path}\n{}", said.all()))
    };
    assert!(at("step_ended", "promote") < at("step_started", "move_vip"));
    assert!(at("step_ended", "move_vip") < at("step_started", "follow"));
    let off = events[at("step_skipped", "update_repmgr")].to_string();
    assert!(off.contains("no repmgr here, OPS-4711"), "{off}");
    // What the run keeps is the playbook as it was merged.
    let kept = events[0]["event"]["pins"]["playbooks"][0]["text"].to_string();
    assert!(
        kept.contains("move_vip") && !kept.contains("overlay: failover"),
        "{kept}"
    );
}
