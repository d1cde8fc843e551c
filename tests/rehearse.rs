//! The stock playbooks withstand a rehearsal, and those that lack a guard do not: a rehearsal can fail.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

use pgbaton::actions::catalog;
use pgbaton::document::Diagnostics;
use pgbaton::engine::{
    Action, Actions, Applied, Evidence, Failure, Forecast, Outcome, Probe, StepContext,
};
use pgbaton::playbook::{Checked, Map, Playbook, Signature, StepId, Value, check};
use pgbaton::rehearse::{
    Effort, Explored, Invariant, Scenario, Situation, Subject, Want, explore, play,
};
use pgbaton::runs::Shelves;
use std::sync::Arc;

fn stock(name: &str) -> Checked {
    let shelves = Shelves::beside(None);
    let source = shelves.open(name).unwrap();
    check(&source, &catalog(), &shelves, &mut Diagnostics::default()).unwrap()
}

fn subject(playbook: Checked) -> Subject {
    Subject::without_site(playbook, Some(stock("follow")))
}

/// At every so-many-th call, in these situations.
fn rehearsed(subject: &Subject, situations: &[&str], every: usize) -> Explored {
    let parse = |name: &&str| Situation::parse(name).unwrap();
    let effort = Effort {
        situations: Some(situations.iter().map(parse).collect()),
        every,
        ..Effort::default()
    };
    explore(subject, &effort).unwrap()
}

fn told(explored: &Explored) -> String {
    let lines = explored.findings.iter().map(|finding| {
        let violation = &finding.violation;
        format!(
            "{}: {} ({})",
            violation.invariant, violation.detail, violation.scenario
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_stock_playbooks_break_no_invariant() {
    for (playbook, situations) in [
        (
            "failover",
            &[
                "server-dead-sync",
                "host-dead-sync",
                "partition-sync",
                "partition-async",
            ][..],
        ),
        ("switchover", &["healthy-sync"]),
        ("follow", &["healthy-async", "promoted-async"]),
        (
            "restart",
            &["server-dead-sync", "host-dead-sync", "orphans-sync"],
        ),
        (
            "rejoin",
            &["healthy-sync", "promoted-sync", "diverged-async"],
        ),
    ] {
        let explored = rehearsed(&subject(stock(playbook)), situations, 9);
        assert!(
            explored.findings.is_empty(),
            "{playbook}\n{}",
            told(&explored)
        );
        assert!(!explored.never_promotes, "{playbook}");
        assert!(explored.tally.total().runs > 20, "{playbook}");
    }
}

/// Where nothing goes wrong an old primary that is ahead comes back.
#[test]
fn a_rejoin_reaches_its_goal() {
    for situation in ["diverged-async", "diverged-sync"] {
        let scenario: Scenario = format!("{situation}.1").parse().unwrap();
        let played = play(&subject(stock("rejoin")), &scenario, Want::Story).unwrap();
        let story = played.story.join("\n");
        assert_eq!(played.outcome, Some(Outcome::Ok), "{story}");
        assert!(story.contains("rewind n1"), "{story}");
        assert!(played.violations.is_empty(), "{story}");
    }
}

/// The playbook with another shape, which no check has seen.
fn mutated(checked: &Checked, change: impl FnOnce(&mut Playbook)) -> Checked {
    let mut playbook = (*checked.playbook).clone();
    change(&mut playbook);
    Checked {
        playbook: Arc::new(playbook),
        nested: checked.nested.clone(),
        sources: checked.sources.clone(),
    }
}

type Change = fn(&mut Playbook);

/// Takes a step out; whoever needed it needs what it needed.
fn remove(playbook: &mut Playbook, id: &str) {
    let gone = playbook.steps.step(id).unwrap().clone();
    playbook.steps.steps.retain(|s| s.id.value.as_str() != id);
    for step in &mut playbook.steps.steps {
        if step.needs.iter().any(|n| n.value.as_str() == id) {
            step.needs.retain(|n| n.value.as_str() != id);
            step.needs.extend(gone.needs.clone());
        }
    }
}

fn needs(playbook: &mut Playbook, id: &str, needed: &[&str]) {
    let step = playbook.steps.steps.iter_mut();
    let step = step
        .into_iter()
        .find(|s| s.id.value.as_str() == id)
        .unwrap();
    let like = step.needs[0].clone();
    step.needs = needed
        .iter()
        .map(|name| {
            let mut need = like.clone();
            need.value = StepId::parse(name).unwrap();
            need
        })
        .collect();
}

/// It is found, with this invariant, and a replay of what was found breaks the same.
fn is_caught(subject: &Subject, explored: &Explored, invariant: Invariant) {
    let finding = explored
        .findings
        .iter()
        .find(|f| f.violation.invariant == invariant)
        .unwrap_or_else(|| panic!("{invariant} is not among:\n{}", told(explored)));
    let text = finding.violation.scenario.to_string();
    let scenario: Scenario = text.parse().unwrap();
    let replayed = play(subject, &scenario, Want::Story).unwrap();
    assert!(replayed.violations.contains(&finding.violation), "{text}");
    assert!(replayed.story.iter().any(|line| line.contains("VIOLATED")));
}

/// Found by pairs of faults: the first run lets commits wait for nobody, the new primary dies at once, and the next run took what
/// they had waited for before that as evidence that none is lost.
#[test]
fn what_commits_waited_for_before_a_run_changed_it_is_no_evidence() {
    let scenario = "server-dead-sync.1.e20-apart+e22-node".parse().unwrap();
    let played = play(&subject(stock("failover")), &scenario, Want::Story).unwrap();
    assert!(played.violations.is_empty(), "{:#?}", played.violations);
    let told = played.story.join("\n");
    assert!(told.contains("wait for nobody"), "{told}");
    assert!(told.contains("run 2 begins"), "{told}");
}

#[test]
fn a_failover_that_lacks_a_guard_never_promotes() {
    let no_freeze = |p: &mut Playbook| {
        remove(p, "follow_absent");
        remove(p, "freeze");
    };
    let compare_first = |p: &mut Playbook| {
        needs(p, "choose", &["fence_host"]);
        needs(p, "freeze", &["choose"]);
        needs(p, "check_candidate", &["fence", "choose"]);
        needs(p, "fast_forward", &["fence", "choose"]);
    };
    let no_fence = |p: &mut Playbook| {
        remove(p, "fence");
        remove(p, "fence_host");
    };
    let mutants: [(&str, Change); 3] = [
        ("no freeze", no_freeze),
        ("compare first", compare_first),
        ("no fence", no_fence),
    ];
    for (name, change) in mutants {
        let mutant = mutated(&stock("failover"), change);
        let explored = rehearsed(
            &subject(mutant),
            &["server-dead-async", "host-dead-sync"],
            99,
        );
        assert!(explored.never_promotes, "{name}");
    }
}

#[test]
fn a_freeze_that_only_claims_is_caught() {
    let subject = claiming(stock("failover"), "freeze", |_| {
        Map::from([
            ("frozen".to_owned(), true.into()),
            ("drained".to_owned(), true.into()),
        ])
    });
    let explored = rehearsed(&subject, &["server-dead-async"], 99);
    is_caught(&subject, &explored, Invariant::GoalReached);
}

#[test]
fn a_comparison_before_the_freeze_is_caught_whoever_makes_it() {
    let mutant = mutated(&stock("failover"), |p| {
        remove(p, "follow_absent");
        remove(p, "freeze");
    });
    let subject = claiming(mutant, "choose", |_| {
        Map::from([
            ("node".to_owned(), "n2".into()),
            ("position".to_owned(), pgbaton::cluster::Lsn(0).into()),
            ("timeline".to_owned(), 1.into()),
            ("loss".to_owned(), 0.into()),
            ("loss_known".to_owned(), true.into()),
            ("followers".to_owned(), Value::List(Vec::new())),
            ("absent".to_owned(), Value::List(Vec::new())),
        ])
    });
    let explored = rehearsed(&subject, &["server-dead-async"], 40);
    is_caught(&subject, &explored, Invariant::FrozenBeforeCompared);
}

#[test]
fn a_fence_that_only_claims_its_proof_is_caught() {
    let subject = claiming(stock("failover"), "fence", |_| {
        Map::from([("proof".to_owned(), "stopped".into())])
    });
    let explored = rehearsed(&subject, &["orphans-async"], 40);
    is_caught(&subject, &explored, Invariant::OnePrimary);
    is_caught(&subject, &explored, Invariant::GoalReached);
}

#[test]
fn a_failover_that_does_not_look_whether_it_worked_is_caught() {
    let mut failover = mutated(&stock("failover"), |p| remove(p, "verify_primary"));
    let follow = mutated(&stock("follow"), |p| remove(p, "verify_attach"));
    failover.nested.insert("follow".to_owned(), follow.playbook);
    let subject = subject(failover);
    let explored = rehearsed(&subject, &["server-dead-sync"], 1);
    is_caught(&subject, &explored, Invariant::Evidence);
}

#[test]
fn a_handover_withstands_a_primary_that_comes_back_at_any_moment() {
    // To the millisecond: with the comparison beside the fence, as it was, every seventh of these seeds lost commits.
    let subject = subject(stock("switchover"));
    for seed in 1..=24 {
        for effect in 5..=11 {
            let text = format!("healthy-sync.{seed}.e{effect}-back");
            let scenario: Scenario = text.parse().unwrap();
            let played = play(&subject, &scenario, Want::Outcome).unwrap();
            assert_eq!(played.violations, [], "{scenario}");
        }
    }
}

#[test]
fn one_scenario_tells_one_story() {
    let subject = subject(stock("failover"));
    let situations = Situation::of(&subject);
    for seed in 1..6 {
        let scenario = Scenario::random(&situations, seed).unwrap();
        let one = play(&subject, &scenario, Want::Story).unwrap();
        let same = play(&subject, &scenario, Want::Story).unwrap();
        assert_eq!(one, same, "{scenario}");
        let untold = play(&subject, &scenario, Want::Outcome).unwrap();
        assert_eq!(one.violations, untold.violations, "{scenario}");
        assert_eq!((one.outcome, one.gap), (untold.outcome, untold.gap));
    }
}

type Says = fn(&StepContext) -> Map;

/// With one action that does nothing and says that it did.
fn claiming(playbook: Checked, name: &'static str, says: Says) -> Subject {
    let mut subject = subject(playbook);
    subject.alter = Some(Arc::new(move |actions| {
        Arc::new(Claiming {
            actions,
            name,
            says,
        })
    }));
    subject
}

struct Claiming {
    actions: Arc<dyn Actions>,
    name: &'static str,
    says: Says,
}

impl Actions for Claiming {
    fn find(&self, name: &str) -> Option<Arc<dyn Action>> {
        let action = self.actions.find(name)?;
        if name == self.name {
            return Some(Arc::new(Claim(action, self.says)));
        }
        Some(action)
    }
}

struct Claim(Arc<dyn Action>, Says);

#[async_trait::async_trait]
impl Action for Claim {
    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    async fn probe(&self, _: &StepContext) -> Probe {
        Probe::Needed("it claims".to_owned())
    }

    async fn plan(&self, _: &StepContext) -> Vec<Forecast> {
        Vec::new()
    }

    async fn apply(&self, step: &StepContext) -> Applied {
        let says = (self.1)(step);
        if let Some(proof) = says.get("proof").and_then(Value::as_str) {
            let evidence = Evidence {
                topic: "proof".to_owned(),
                text: "honestly".to_owned(),
                data: serde_json::json!({ "node": step.inputs.node, "proof": proof }),
            };
            step.effects.note(&step.path, evidence).await;
        }
        Applied::Done(says)
    }

    async fn verify(&self, _: &StepContext, outputs: Map) -> Result<Map, Failure> {
        Ok(outputs)
    }
}
