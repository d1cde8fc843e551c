//! Every situation has its name, and the votes that lead to it can be read.

use super::support::{auto, name, watched};
use pgbaton::cluster::Detector;
use pgbaton::simulate::{Disruption as D, Door, Place, Shell};
use pgbaton::trigger::Code;

/// What happens, and what the watch says some seconds later.
#[test]
fn what_happens_to_the_primary_has_a_name() {
    let (n1, n2, n3) = (name("n1"), name("n2"), name("n3"));
    let cut_off = |node: &str| D::Cut(Place::Runner, Place::Node(name(node)));
    let table: Vec<(&str, Vec<D>, Code)> = vec![
        ("nothing", vec![], Code::Ok),
        (
            "killed",
            vec![D::KillServer(n1.clone())],
            Code::PostgresDownHostUp,
        ),
        (
            "stopped by somebody",
            vec![D::StopServer(n1.clone())],
            Code::PostgresDownHostUp,
        ),
        (
            "its host is down",
            vec![D::HostDown(n1.clone())],
            Code::PrimaryDead,
        ),
        (
            "its host is cut off",
            vec![D::Isolate(n1.clone())],
            Code::PrimaryDead,
        ),
        (
            "its host is down, and a standby's",
            vec![D::HostDown(n1.clone()), D::HostDown(n3.clone())],
            Code::PrimaryDeadAndSomeStandbys,
        ),
        ("frozen", vec![D::Freeze(n1.clone())], Code::PrimaryHangs),
        (
            "frozen, and its disk stalls",
            vec![D::Freeze(n1.clone()), D::StallDisk(n1.clone())],
            Code::PrimaryHangs,
        ),
        (
            "cut off from here alone",
            vec![D::Lose(n1.clone())],
            Code::PrimaryUnreachable,
        ),
        (
            "here is cut off from all",
            vec![cut_off("n1"), cut_off("n2"), cut_off("n3")],
            Code::NobodyReachable,
        ),
        (
            "nobody can try: no ssh anywhere, host down",
            vec![
                D::HostDown(n1.clone()),
                D::Shell(n2.clone(), Shell::Refuses),
                D::Shell(n3.clone(), Shell::Refuses),
            ],
            Code::PrimaryUnreachable,
        ),
        (
            "no connection left",
            vec![D::Door(n1.clone(), Door::Full)],
            Code::ConnectionsExhausted,
        ),
        (
            "pg_hba broken",
            vec![D::Door(n1.clone(), Door::Barred)],
            Code::AuthFailure,
        ),
        (
            "password rotated",
            vec![D::Door(n1.clone(), Door::Password)],
            Code::Ok,
        ),
        (
            "both standbys down: commits wait",
            vec![D::HostDown(n2.clone()), D::HostDown(n3.clone())],
            Code::CommitStalled,
        ),
        (
            "its disk stalls",
            vec![D::StallDisk(n1.clone())],
            Code::DiskStalled,
        ),
        (
            "a second primary",
            vec![D::Promote(n3.clone())],
            Code::TwoPrimaries,
        ),
    ];
    for (what, disruptions, code) in table {
        watched(Detector::default(), 1, async |site| {
            for disruption in disruptions {
                site.disrupt(disruption);
            }
            site.seconds(25.0).await;
            assert_eq!(site.code(), code, "{what}: {:?}", site.analysis());
            assert_eq!(site.orders(), 0, "it only tells");
        });
    }
}

#[test]
fn what_is_wrong_with_a_standby_has_a_name() {
    let n2 = name("n2");
    let table: Vec<(&str, D, Code)> = vec![
        ("down", D::HostDown(n2.clone()), Code::StandbyDown),
        (
            "its link is cut",
            D::Part(n2.clone()),
            Code::StandbyNotStreaming,
        ),
        (
            "its slot is lost",
            D::LoseSlot(name("n1"), n2.slot()),
            Code::SlotAtRisk,
        ),
    ];
    for (what, disruption, code) in table {
        watched(Detector::default(), 1, async |site| {
            site.disrupt(disruption);
            // As long as a receiver takes to give up.
            site.seconds(90.0).await;
            assert!(
                site.findings().contains(&code),
                "{what}: {:?}",
                site.analysis()
            );
        });
    }
}

/// "Why was nothing done?"
#[test]
fn every_witness_says_what_it_met() {
    watched(auto(), 1, async |site| {
        site.disrupt(D::Lose(name("n1")));
        site.seconds(6.0).await;
        let analysis = site.analysis();
        let votes: Vec<(&str, Option<bool>)> = analysis
            .votes
            .iter()
            .map(|v| (v.witness.as_str(), v.alive))
            .collect();
        assert_eq!(
            votes,
            [
                ("here", Some(false)),
                ("n2", Some(true)),
                ("n3", Some(true))
            ]
        );
        assert!(
            analysis
                .text
                .contains("n1 is not reached from here, and lives"),
            "{}",
            analysis.text
        );
        assert_eq!(site.orders(), 0);
    });
}
