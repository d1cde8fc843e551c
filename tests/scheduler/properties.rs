//! Whatever the graph and whatever its steps do: the rules hold.

use crate::support::*;
use pgbaton::engine::{Event, Outcome, StepPath, StepStatus};
use pgbaton::playbook::{OnFailure, Playbook, Step};
use proptest::prelude::*;
use std::time::Duration;

/// A step as generated: needs among the steps before it, how it behaves, how long it takes.
#[derive(Debug, Clone)]
struct Plan {
    needs: Vec<usize>,
    behaviour: u8,
    on_failure: OnFailure,
    takes: u64,
    each: bool,
    rescued: bool,
}

fn plan(index: usize) -> impl Strategy<Value = Plan> {
    let needs = prop::collection::vec(0..index.max(1), 0..=index.min(3));
    let on_failure = prop_oneof![
        2 => Just(OnFailure::Fail),
        1 => Just(OnFailure::Degrade),
        1 => Just(OnFailure::Continue),
    ];
    (
        needs,
        0_u8..10,
        on_failure,
        0_u64..4,
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.2),
    )
        .prop_map(
            move |(needs, behaviour, on_failure, takes, each, rescued)| Plan {
                needs: if index == 0 { Vec::new() } else { needs },
                behaviour,
                on_failure,
                takes,
                each,
                rescued,
            },
        )
}

fn plans() -> impl Strategy<Value = Vec<Plan>> {
    (1_usize..14).prop_flat_map(|count| (0..count).map(plan).collect::<Vec<_>>())
}

fn script(plan: &Plan) -> Script {
    let applies = match plan.behaviour {
        0 => vec![Does::Fail(failure("told to"))],
        1 => vec![Does::Hang],
        2 => vec![Does::Panic],
        3 => vec![Does::Unknown(failure("lost"))],
        4 => vec![Does::Fail(failure("once")), Does::Done(map([]))],
        _ => vec![Does::Done(map([]))],
    };
    let probes = match plan.behaviour {
        5 => vec![Says::Satisfied],
        _ => vec![Says::Needed],
    };
    Script {
        probes,
        applies,
        takes: Duration::from_secs(plan.takes),
        ..Script::default()
    }
}

fn name(index: usize) -> String {
    format!("s{index}")
}

fn built(plans: &[Plan], bound: Option<usize>) -> Playbook {
    let steps: Vec<Step> = plans
        .iter()
        .enumerate()
        .map(|(index, plan)| {
            let needs: Vec<String> = plan.needs.iter().map(|need| name(*need)).collect();
            let needs: Vec<&str> = needs.iter().map(String::as_str).collect();
            let mut built = step(&name(index))
                .needs(&needs)
                .on_failure(plan.on_failure)
                .timeout(secs(5))
                .retry(attempts(2));
            if plan.each {
                built = built.each(&["x", "y"]);
            }
            if plan.rescued {
                built = built.rescue(vec![step("mend")]);
            }
            built
        })
        .collect();
    let mut playbook = playbook(steps);
    playbook.defaults.max_parallel = bound;
    playbook.rescue = Some(block(vec![step("save")]));
    playbook.finally = Some(block(vec![step("report")]));
    playbook
}

async fn run(plans: &[Plan], bound: Option<usize>, cancel: Option<u64>) -> Ran {
    let mut case = case(built(plans, bound));
    for (index, plan) in plans.iter().enumerate() {
        let paths = if plan.each {
            vec![format!("s{index}[x]"), format!("s{index}[y]")]
        } else {
            vec![name(index)]
        };
        for path in paths {
            case = case.script(&path, script(plan));
        }
    }
    if let Some(after) = cancel {
        case = case.cancel_after(secs(after));
    }
    // That it ends, that its events fold, and that each step ends once, is checked inside.
    case.run().await
}

fn started(event: &Event) -> Option<&StepPath> {
    match event {
        Event::StepStarted { path, .. } => Some(path),
        _ => None,
    }
}

fn ended(event: &Event) -> Option<&StepPath> {
    match event {
        Event::StepEnded { path, .. } | Event::StepSkipped { path, .. } => Some(path),
        _ => None,
    }
}

fn check(plans: &[Plan], bound: Option<usize>, ran: &Ran) -> Result<(), TestCaseError> {
    for (index, plan) in plans.iter().enumerate() {
        let path = name(index);
        if let Some(start) = ran.at(&path, started) {
            for need in &plan.needs {
                let end = ran.at(&name(*need), ended);
                prop_assert!(end.is_some_and(|end| end < start), "{path} before {need}");
                let tolerated = plans[*need].on_failure != OnFailure::Fail;
                let fine = match ran.status(&name(*need)) {
                    StepStatus::Ok | StepStatus::Rescued | StepStatus::Skipped => true,
                    StepStatus::Failed => tolerated,
                    _ => false,
                };
                prop_assert!(fine, "{path} started though {need} did not end well");
            }
        }
    }
    if let Some(bound) = bound {
        prop_assert!(ran.doubles.stage().most <= bound);
    }
    prop_assert_eq!(ran.status("(finally)/report"), StepStatus::Ok);
    check_end(ran)
}

fn check_end(ran: &Ran) -> Result<(), TestCaseError> {
    let log = ran.log();
    let undone: Vec<&str> = log.iter().filter_map(|l| l.strip_prefix("undo ")).collect();
    let goes_well = matches!(ran.outcome(), Outcome::Ok | Outcome::Degraded);
    if goes_well {
        prop_assert!(undone.is_empty(), "undone: {undone:?}");
        return Ok(());
    }
    // Every step with an effect that happened or may have, once, the newest first.
    let mut expected: Vec<String> = Vec::new();
    for effect in ran.state.effects().iter().rev() {
        let path = effect.path.to_string();
        let made_up_for = path.starts_with('(');
        if effect.may_have_happened()
            && !effect.undoing
            && !made_up_for
            && !expected.contains(&path)
        {
            expected.push(path);
        }
    }
    prop_assert_eq!(undone, expected);
    Ok(())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime")
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_rules_hold_for_any_graph(
        plans in plans(),
        bound in prop::option::of(1_usize..4),
    ) {
        let ran = runtime().block_on(run(&plans, bound, None));
        check(&plans, bound, &ran)?;
        let bad = plans.iter().enumerate().any(|(index, plan)| {
            plan.on_failure == OnFailure::Fail
                && ran.status(&name(index)) == StepStatus::Failed
        });
        prop_assert_eq!(ran.outcome() == Outcome::Failed, bad);
    }

    #[test]
    fn and_when_it_is_cancelled_at_any_moment(
        plans in plans(),
        bound in prop::option::of(1_usize..4),
        cancel in 0_u64..12,
    ) {
        let ran = runtime().block_on(run(&plans, bound, Some(cancel)));
        check(&plans, bound, &ran)?;
        prop_assert_eq!(ran.outcome() == Outcome::Cancelled, ran.state.cancelled());
    }

    #[test]
    fn the_same_run_gives_the_same_events(plans in plans()) {
        let events = |ran: Ran| ran.events;
        let first = events(runtime().block_on(run(&plans, Some(2), None)));
        let second = events(runtime().block_on(run(&plans, Some(2), None)));
        prop_assert_eq!(first, second);
    }
}
