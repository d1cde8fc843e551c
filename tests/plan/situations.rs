//! As many situations as there are: plan before, run after, compare.

use crate::foretold::{decisions, plan_then_run, step};
use crate::support::Cluster;
use futures_util::StreamExt;
use pgbaton::lab::Fault;

/// What happens before the plan is made.
#[derive(Clone, Copy)]
enum Before {
    Fault(&'static str, Fault),
    /// Statements on a node.
    Sql(&'static str, &'static str),
}

struct Situation {
    name: &'static str,
    synchronous: bool,
    standbys: u32,
    before: &'static [Before],
    /// One after the other on the same cluster, each with its own plan; with the exit code.
    runs: &'static [(&'static [&'static str], i32)],
}

const KILLED: Before = Before::Fault("n1", Fault::Kill);

const SITUATIONS: &[Situation] = &[
    Situation {
        name: "killed, then the others are led on",
        synchronous: true,
        standbys: 2,
        before: &[KILLED],
        runs: &[
            (&["failover"], 0),
            // n1 is still down: it is left out and named.
            (
                &["switchover", "-p", "candidate=n3", "-p", "old_primary=n2"],
                4,
            ),
        ],
    },
    Situation {
        name: "killed, asynchronous, followers restart",
        synchronous: false,
        standbys: 2,
        before: &[KILLED],
        runs: &[(&["failover", "-p", "apply=restart"], 0)],
    },
    Situation {
        name: "killed, one standby down",
        synchronous: false,
        standbys: 2,
        before: &[Before::Fault("n3", Fault::Stop), KILLED],
        runs: &[(&["failover"], 4)],
    },
    Situation {
        name: "killed, a wish for the candidate",
        synchronous: true,
        standbys: 3,
        before: &[KILLED],
        runs: &[(&["failover", "-p", "candidate=n4"], 0)],
    },
    Situation {
        name: "stopped cleanly, and back again",
        synchronous: true,
        standbys: 2,
        before: &[Before::Fault("n1", Fault::Stop)],
        runs: &[
            (&["failover"], 0),
            (&["follow", "-p", "node=n1", "-p", "upstream=n2"], 0),
            (
                &["switchover", "-p", "candidate=n1", "-p", "old_primary=n2"],
                0,
            ),
        ],
    },
    Situation {
        name: "alive",
        synchronous: true,
        standbys: 2,
        before: &[],
        runs: &[
            (&["failover"], 3),
            (&["follow", "-p", "node=n2", "-p", "upstream=n1"], 0),
            (&["follow", "-p", "node=n3", "-p", "upstream=n2"], 0),
            (&["switchover", "-p", "candidate=n2"], 0),
        ],
    },
    Situation {
        name: "no standby left",
        synchronous: false,
        standbys: 2,
        before: &[
            Before::Fault("n2", Fault::Stop),
            Before::Fault("n3", Fault::Stop),
            KILLED,
        ],
        runs: &[(&["failover", "-p", "old_primary=n1"], 3)],
    },
    Situation {
        name: "switchover with a standby down",
        synchronous: false,
        standbys: 2,
        before: &[Before::Fault("n3", Fault::Stop)],
        runs: &[(&["switchover", "-p", "candidate=n2"], 4)],
    },
    Situation {
        name: "a slot of the follower is there already",
        synchronous: false,
        standbys: 2,
        before: &[
            Before::Sql(
                "n2",
                "SELECT pg_create_physical_replication_slot('pgbaton_n3', true)",
            ),
            KILLED,
        ],
        runs: &[(&["failover", "-p", "candidate=n2"], 0)],
    },
    Situation {
        name: "hangs",
        synchronous: true,
        standbys: 2,
        before: &[Before::Fault("n1", Fault::Freeze)],
        runs: &[(&["failover"], 0)],
    },
    Situation {
        name: "killed, and led back",
        synchronous: true,
        standbys: 2,
        before: &[KILLED],
        runs: &[
            (&["failover", "-p", "candidate=n2"], 0),
            (&["follow", "-p", "node=n1", "-p", "upstream=n2"], 0),
        ],
    },
    Situation {
        name: "replay is paused",
        synchronous: false,
        standbys: 2,
        before: &[Before::Sql("n3", "SELECT pg_wal_replay_pause()"), KILLED],
        runs: &[(&["failover"], 4)],
    },
    Situation {
        name: "a standby that is down is led",
        synchronous: false,
        standbys: 2,
        before: &[Before::Fault("n3", Fault::Stop)],
        runs: &[(&["follow", "-p", "node=n3", "-p", "upstream=n1"], 0)],
    },
    Situation {
        name: "the upstream is down",
        synchronous: false,
        standbys: 2,
        before: &[Before::Fault("n2", Fault::Stop)],
        runs: &[(&["follow", "-p", "node=n3", "-p", "upstream=n2"], 1)],
    },
    Situation {
        name: "a standby without a slot",
        synchronous: false,
        standbys: 2,
        before: &[
            Before::Sql("n3", "ALTER SYSTEM RESET primary_slot_name"),
            Before::Sql("n3", "SELECT pg_reload_conf()"),
        ],
        runs: &[
            (&["follow", "-p", "node=n3", "-p", "upstream=n1"], 0),
            (&["switchover", "-p", "candidate=n2"], 0),
        ],
    },
    Situation {
        name: "a standby was frozen before",
        synchronous: false,
        standbys: 2,
        before: &[
            Before::Sql("n3", "ALTER SYSTEM SET primary_conninfo = ''"),
            Before::Sql("n3", "SELECT pg_reload_conf()"),
            KILLED,
        ],
        runs: &[(&["failover"], 0)],
    },
    Situation {
        name: "commits wait in another form",
        synchronous: false,
        standbys: 2,
        before: &[
            Before::Sql(
                "n1",
                "ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (n2)'",
            ),
            Before::Sql("n1", "SELECT pg_reload_conf()"),
        ],
        runs: &[(&["switchover", "-p", "candidate=n3"], 0)],
    },
];

/// How many clusters there are at once: most of a situation is waiting.
const AT_ONCE: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_foretold_is_what_happens() {
    // To look at one situation alone.
    let only = std::env::var("PLAN_SITUATION").unwrap_or_default();
    let chosen = SITUATIONS.iter().enumerate();
    let chosen = chosen.filter(|(_, situation)| situation.name.contains(&only));
    let ran =
        futures_util::stream::iter(chosen.map(|(index, situation)| compare(index, situation)))
            .buffer_unordered(AT_ONCE)
            .count()
            .await;
    assert!(ran > 0, "there is no situation `{only}`");
}

async fn compare(index: usize, situation: &Situation) {
    let name = format!("plan-s{index}");
    let cluster = if situation.synchronous {
        Cluster::up(&name, situation.standbys).await
    } else {
        Cluster::asynchronous(&name, situation.standbys).await
    };
    for before in situation.before {
        match before {
            Before::Fault(node, fault) => cluster.fault(node, *fault).await,
            Before::Sql(node, statement) => cluster.tell(node, statement).await,
        }
    }
    for (arguments, code) in situation.runs {
        let (plan, said) = plan_then_run(&cluster, arguments).await;
        assert_eq!(
            said.code, *code,
            "{}: {arguments:?}: {}",
            situation.name, plan["failure"]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_tells_the_candidate_the_loss_the_proof_and_the_branch() {
    let cluster = Cluster::up("plan-tells", 2).await;
    cluster.fault("n1", Fault::Kill).await;
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
