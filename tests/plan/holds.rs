//! `run --plan`: exactly what was planned, or a refusal that names what has changed.

use crate::situation::quiet;
use crate::support::Cluster;
use pgbaton::lab::Fault;

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_still_holds_is_run_and_one_that_does_not_names_the_fact() {
    let cluster = Cluster::up("plan-holds", 2).await;
    cluster.fault("n1", Fault::Kill).await;
    quiet(&cluster, "n1").await;
    let file = cluster.lab.dir().join("kept.plan");
    let file = file.to_str().unwrap();
    cluster
        .pgbaton(&["plan", "failover", "--out", file])
        .await
        .expect(0);
    let run = ["run", "failover", "--plan", file];

    let other = [&run[..], &["-p", "candidate=n3"]].concat();
    let said = cluster.pgbaton(&other).await.expect(2);
    assert!(
        said.stderr.contains("the plan has its own"),
        "{}",
        said.stderr
    );
    let said = cluster
        .pgbaton(&["run", "switchover", "--plan", file])
        .await
        .expect(2);
    assert!(said.stderr.contains("not of switchover"), "{}", said.stderr);

    cluster.fault("n3", Fault::Stop).await;
    let said = cluster.pgbaton(&run).await.expect(3);
    assert!(
        said.stderr
            .contains("n3: its server answers: yes → no (unreachable)"),
        "{}",
        said.stderr
    );
    cluster.fault("n3", Fault::Start).await;

    cluster
        .tell("n2", "ALTER SYSTEM SET synchronous_standby_names = 'x'")
        .await;
    cluster.tell("n2", "SELECT pg_reload_conf()").await;
    cluster
        .until("n2", "SHOW synchronous_standby_names", "x")
        .await;
    let said = cluster.pgbaton(&run).await.expect(3);
    assert!(
        said.stderr
            .contains("n2: setting synchronous_standby_names:"),
        "{}",
        said.stderr
    );
    cluster
        .tell("n2", "ALTER SYSTEM RESET synchronous_standby_names")
        .await;
    cluster.tell("n2", "SELECT pg_reload_conf()").await;
    cluster
        .until("n2", "SHOW synchronous_standby_names", "")
        .await;

    cluster.pgbaton(&run).await.expect(0);
    // It has been done: nothing is as the plan says.
    let said = cluster.pgbaton(&run).await.expect(3);
    assert!(
        said.stderr.contains("n2: role: standby → primary"),
        "{}",
        said.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_may_advance_under_a_plan() {
    let cluster = Cluster::up("plan-moves", 2).await;
    let writer = cluster.writer().await;
    let file = cluster.lab.dir().join("kept.plan");
    let file = file.to_str().unwrap();
    cluster
        .pgbaton(&["plan", "switchover", "-p", "candidate=n3", "--out", file])
        .await
        .expect(0);
    cluster
        .pgbaton(&["run", "switchover", "--plan", file])
        .await
        .expect(0);
    assert_eq!(cluster.primary().await, "n3");
    drop(writer);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_refuses_is_not_run_and_one_that_is_no_plan_is_told() {
    let cluster = Cluster::up("plan-none", 1).await;
    let file = cluster.lab.dir().join("kept.plan");
    let kept = file.to_str().unwrap();
    cluster
        .pgbaton(&["plan", "failover", "--out", kept])
        .await
        .expect(3);
    let run = ["run", "failover", "--plan", kept];
    let said = cluster.pgbaton(&run).await.expect(3);
    assert!(said.stderr.contains("n1 is alive"), "{}", said.stderr);
    let text = std::fs::read_to_string(&file).unwrap();
    let mut plan: serde_json::Value = serde_json::from_str(&text).unwrap();
    plan["surprise"] = true.into();
    std::fs::write(&file, plan.to_string()).unwrap();
    let said = cluster.pgbaton(&run).await.expect(2);
    assert!(said.stderr.contains("surprise"), "{}", said.stderr);
    plan["format"] = 99.into();
    std::fs::write(&file, plan.to_string()).unwrap();
    let said = cluster.pgbaton(&run).await.expect(2);
    assert!(said.stderr.contains("form 99"), "{}", said.stderr);
}
