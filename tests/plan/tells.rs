//! What a plan says, beside what comes of it.

use crate::foretold::{decisions, plan_then_run, step};
use crate::situation::quiet;
use crate::support::Cluster;
use pgbaton::lab::Fault;

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_tells_the_candidate_the_loss_the_proof_and_the_branch() {
    let cluster = Cluster::up("plan-tells", 2).await;
    cluster.fault("n1", Fault::Kill).await;
    quiet(&cluster, "n1").await;
    let (plan, said) = plan_then_run(&cluster, &["failover"]).await;
    assert_eq!(said.code, 0);
    let choice = decisions(&plan, "choice");
    assert!(
        choice[0].contains("not n3: ") || choice[0].contains("not n2: "),
        "{choice:?}"
    );
    assert!(
        decisions(&plan, "loss")[0].contains("WAL that is lost"),
        "{plan:#}"
    );
    assert!(
        decisions(&plan, "proof")[0].contains("n1 is stopped"),
        "{plan:#}"
    );
    assert!(
        decisions(&plan, "branch")[0].contains("by a reload"),
        "{plan:#}"
    );
    let promote = &step(&plan, "promote")["effects"][0];
    assert_eq!(promote["point_of_no_return"], true);
    assert!(
        promote["rendered"][0]
            .as_str()
            .unwrap()
            .contains("pg_promote")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_living_primary_refuses_and_an_attached_standby_has_nothing_to_do() {
    let cluster = Cluster::up("plan-alive", 2).await;
    let said = cluster.pgbaton(&["plan", "failover"]).await.expect(3);
    assert!(said.stdout.contains("What refuses it"), "{}", said.stdout);
    assert!(said.stdout.contains("n1 is alive"), "{}", said.stdout);
    assert!(said.stdout.contains("REFUSES"), "{}", said.stdout);
    let follow = ["plan", "follow", "-p", "node=n2", "-p", "upstream=n1"];
    let said = cluster.pgbaton(&follow).await.expect(0);
    assert!(
        said.stdout.contains("set_upstream n2: nothing to do"),
        "{}",
        said.stdout
    );
    cluster
        .pgbaton(&["plan", "follow", "-p", "node=n9"])
        .await
        .expect(2);
    cluster.pgbaton(&["plan", "nonsense"]).await.expect(2);
}
