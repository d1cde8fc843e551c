//! `for_each`: keys, bounds, failures, outputs; and nested playbooks.

use crate::support::*;
use pgbaton::document::Span;
use pgbaton::engine::{Event, Outcome, ScopeKind, StepStatus};
use pgbaton::playbook::{
    ForEach, Items, Map, MaxFailures, OnFailure, Param, Playbook, Step, Type, Value,
};

fn many(change: impl FnOnce(&mut ForEach)) -> Playbook {
    let mut each = over(&["1", "2", "3", "4"]);
    change(&mut each);
    playbook(vec![
        step("many").for_each(each),
        step("next").needs(&["many"]),
    ])
}

#[tokio::test(start_paused = true)]
async fn all_items_run_at_once_each_with_its_own_name() {
    let mut case = case(playbook(vec![
        step("many")
            .each(&["a", "b", "c"])
            .node(template("{{ item }}"))
            .with("text", template("for {{ item }}")),
    ]));
    for key in ["a", "b", "c"] {
        case = case.script(&format!("many[{key}]"), takes(10));
    }
    let ran = case.run().await;
    assert_eq!(ran.outcome(), Outcome::Ok);
    assert_eq!(ran.took, secs(10));
    assert_eq!(
        ran.state.step("many[b]").unwrap().node.as_deref(),
        Some("b")
    );
    let inputs = ran.doubles.stage().inputs["many[b]"].clone();
    assert_eq!(inputs["text"], Value::from("for b"));
    let scope = ran.state.scope("many[b]").unwrap();
    assert_eq!(scope.kind, ScopeKind::Item);
    assert!(scope.ended.as_ref().is_some_and(|end| end.ok));
}

#[tokio::test(start_paused = true)]
async fn max_parallel_bounds_the_items() {
    let mut case = case(many(|each| each.max_parallel = Some(2)));
    for key in 1..=4 {
        case = case.script(&format!("many[{key}]"), takes(10));
    }
    let ran = case.run().await;
    assert_eq!(ran.doubles.stage().most, 2);
    assert_eq!(ran.took, secs(20));
}

#[tokio::test(start_paused = true)]
async fn one_failed_item_fails_the_step_but_the_others_that_run_go_on() {
    let ran = case(many(|_| {}))
        .script("many[2]", fails("no"))
        .script("many[3]", takes(10))
        .run()
        .await;
    assert_eq!(ran.outcome(), Outcome::Failed);
    assert_eq!(ran.status("many"), StepStatus::Failed);
    assert_eq!(ran.status("many[3]"), StepStatus::Ok);
    assert_eq!(ran.status("next"), StepStatus::NotRun);
    assert_eq!(
        ran.message(),
        "step `many[2]`: 1 of 4 items failed, 0 may: `many[2]`: no"
    );
    assert!(ran.report.debts.contains(&"many[2] failed: no".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn up_to_max_failures_the_step_is_ok_and_the_run_degraded() {
    for (allowed, failing, ok) in [
        (MaxFailures::Count(1), 1, true),
        (MaxFailures::Count(1), 2, false),
        (MaxFailures::Percent(50), 2, true),
        (MaxFailures::Percent(49), 2, false),
        (MaxFailures::Percent(0), 0, true),
    ] {
        let mut case = case(many(|each| each.max_failures = allowed));
        for key in 1..=failing {
            case = case.script(&format!("many[{key}]"), fails("no"));
        }
        let ran = case.run().await;
        let expected = match (ok, failing) {
            (true, 0) => Outcome::Ok,
            (true, _) => Outcome::Degraded,
            (false, _) => Outcome::Failed,
        };
        assert_eq!(ran.outcome(), expected, "{allowed:?} {failing}");
        assert_eq!(ran.started("next"), ok);
        assert!(ran.report.debts.len() >= failing);
    }
}

#[tokio::test(start_paused = true)]
async fn beyond_max_failures_no_new_item_starts() {
    let ran = case(many(|each| {
        each.max_parallel = Some(1);
        each.max_failures = MaxFailures::Count(1);
    }))
    .script("many[1]", fails("no"))
    .script("many[2]", fails("no"))
    .run()
    .await;
    assert_eq!(ran.status("many[2]"), StepStatus::Failed);
    assert_eq!(ran.status("many[3]"), StepStatus::NotRun);
    assert_eq!(ran.status("many[4]"), StepStatus::NotRun);
}

#[tokio::test(start_paused = true)]
async fn a_failure_beside_it_does_not_stop_its_items() {
    let mut each = over(&["1", "2"]);
    each.max_parallel = Some(1);
    let ran = case(playbook(vec![step("many").for_each(each), step("bad")]))
        .script("many[1]", takes(5))
        .script("bad", fails("no"))
        .run()
        .await;
    assert_eq!(ran.status("many[2]"), StepStatus::Ok);
    assert_eq!(ran.outcome(), Outcome::Failed);
}

#[tokio::test(start_paused = true)]
async fn every_step_key_applies_per_item() {
    let ran = case(playbook(vec![
        step("many")
            .each(&["1", "2"])
            .retry(attempts(2))
            .timeout(secs(3))
            .rescue(vec![step("mend").with("which", template("{{ item }}"))]),
    ]))
    .script("many[2]", fails("no"))
    .run()
    .await;
    assert_eq!(ran.outcome(), Outcome::Ok);
    assert_eq!(ran.status("many[1]"), StepStatus::Ok);
    assert_eq!(ran.status("many[2]"), StepStatus::Rescued);
    assert_eq!(ran.state.step("many[2]").unwrap().attempts, 2);
    assert_eq!(
        ran.doubles.stage().inputs["many[2](rescue)/mend"]["which"],
        Value::from("2")
    );
}

#[tokio::test(start_paused = true)]
async fn outputs_and_status_of_each_item_are_there_by_key() {
    for (condition, runs) in [
        ("steps.many.items['a'].value == 1", true),
        ("steps.many.items['a'].status == 'ok'", true),
        ("steps.many.items['b'].status == 'failed'", true),
        ("steps.many.items['b'].value == null", true),
        ("steps.many.status == 'ok'", true),
        ("steps.many.items.size() == 2", true),
    ] {
        let mut each = over(&["a", "b"]);
        each.max_failures = MaxFailures::Count(1);
        let ran = case(playbook(vec![
            step("many").for_each(each),
            step("asks").needs(&["many"]).when(condition),
        ]))
        .script("many[a]", gives([("value", 1.into())]))
        .script("many[b]", fails("no"))
        .run()
        .await;
        assert_eq!(
            ran.outcome(),
            Outcome::Degraded,
            "{condition}: {}",
            ran.message()
        );
        assert_eq!(ran.started("asks"), runs, "{condition}");
    }
}

fn each_of(items: Items, key: Option<&str>) -> Step {
    step("many").for_each(ForEach {
        span: Span::default(),
        items,
        key: key.map(expression),
        max_parallel: None,
        max_failures: MaxFailures::Count(0),
    })
}

#[tokio::test(start_paused = true)]
async fn items_come_from_an_expression_and_keys_too() {
    let rows = vec![
        Value::Map(map([("port", 5432.into()), ("name", "x".into())])),
        Value::Map(map([("port", 5433.into()), ("name", "y".into())])),
    ];
    let items = || Items::Expression(expression("params.rows"));
    for (key, expected) in [(Some("item.port"), "many[5433]"), (None, "many[y]")] {
        let ran = case(playbook(vec![each_of(items(), key)]))
            .params([("rows", Value::List(rows.clone()))])
            .run()
            .await;
        assert_eq!(ran.outcome(), Outcome::Ok, "{}", ran.message());
        assert_eq!(ran.status(expected), StepStatus::Ok);
    }
}

#[tokio::test(start_paused = true)]
async fn items_and_keys_that_cannot_be_are_failures() {
    let list = |items: Vec<Value>| Items::List(constant(Value::List(items)));
    for (items, key, says) in [
        (
            list(vec!["a".into(), "a".into()]),
            None,
            "two items have the key `a`",
        ),
        (
            list(vec!["a]".into()]),
            None,
            "without brackets; this is `a]`",
        ),
        (list(vec![Value::Null]), None, "this is nothing"),
        (
            list(vec!["a".into()]),
            Some("item.x"),
            "cannot be evaluated",
        ),
        (
            Items::Expression(expression("params.text")),
            None,
            "`items` must be a list, this is a string",
        ),
        (
            Items::Expression(expression("params.ghost")),
            None,
            "cannot be evaluated",
        ),
    ] {
        let ran = case(playbook(vec![each_of(items, key)]))
            .params([("text", "a".into())])
            .run()
            .await;
        assert_eq!(ran.outcome(), Outcome::Failed, "{says}");
        assert!(ran.message().contains(says), "{says}: {}", ran.message());
        assert!(ran.whole_log().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn no_items_are_fine() {
    let ran = case(playbook(vec![each_of(
        Items::List(constant(Value::List(Vec::new()))),
        None,
    )]))
    .run()
    .await;
    assert_eq!(ran.outcome(), Outcome::Ok);
    assert_eq!(ran.status("many"), StepStatus::Ok);
}

fn child() -> Playbook {
    let mut child = named(
        "child",
        vec![
            step("x").with("node", template("{{ params.node }}")),
            step("y").needs(&["x"]),
        ],
    );
    child.params = vec![
        Param {
            name: here("node".to_owned()),
            ty: Type::String,
            required: true,
            default: None,
            allowed: None,
            help: None,
            sealed: false,
        },
        Param {
            name: here("mode".to_owned()),
            ty: Type::String,
            required: false,
            default: Some(template("{{ site.vars.vip }}")),
            allowed: None,
            help: None,
            sealed: false,
        },
    ];
    child.outputs = vec![
        (here("value".to_owned()), expression("steps.x.value")),
        (here("mode".to_owned()), expression("params.mode")),
    ];
    child
}

fn nest(name: &str) -> Step {
    nesting(name, "child").with("node", constant("node2"))
}

#[tokio::test(start_paused = true)]
async fn a_nested_playbook_is_a_scope_with_names_of_its_own() {
    let ran = case(playbook(vec![
        nest("nest"),
        step("next")
            .needs(&["nest"])
            .with("value", template("{{ steps.nest.value }}"))
            .with("mode", template("{{ steps.nest.mode }}")),
    ]))
    .nest(child())
    .script("nest/x", gives([("value", 3.into())]))
    .run()
    .await;
    assert_eq!(ran.outcome(), Outcome::Ok, "{}", ran.message());
    assert_eq!(ran.log(), ["apply nest/x", "apply nest/y", "apply next"]);
    let stage = ran.doubles.stage();
    assert_eq!(stage.inputs["nest/x"]["node"], Value::from("node2"));
    let expected = map([("value", 3.into()), ("mode", "10.0.0.1".into())]);
    assert_eq!(stage.inputs["next"], expected);
    let scope = ran.state.scope("nest").unwrap();
    assert_eq!(scope.kind, ScopeKind::Playbook);
}

#[tokio::test(start_paused = true)]
async fn it_does_not_see_what_is_around_it() {
    for (name, text) in [("steps", "{{ steps.outer.value }}"), ("item", "{{ item }}")] {
        let mut child = child();
        child.steps.steps[0] = step("x").with("peek", template(text));
        let ran = case(playbook(vec![
            step("outer"),
            nest("nest").needs(&["outer"]).each(&["1"]),
        ]))
        .nest(child)
        .script("outer", gives([("value", 3.into())]))
        .run()
        .await;
        assert_eq!(ran.outcome(), Outcome::Failed, "{name}");
        assert!(ran.message().contains("`peek`"), "{}", ran.message());
    }
}

#[tokio::test(start_paused = true)]
async fn its_parameters_are_bound_like_those_of_a_run() {
    let ran = case(playbook(vec![nesting("nest", "child")]))
        .nest(child())
        .run()
        .await;
    assert_eq!(ran.outcome(), Outcome::Failed);
    assert!(
        ran.message().contains("parameter `node`"),
        "{}",
        ran.message()
    );
    let ran = case(playbook(vec![nesting("nest", "ghost")])).run().await;
    assert_eq!(ran.message(), "step `nest`: there is no playbook `ghost`");
}

#[tokio::test(start_paused = true)]
async fn its_unhandled_failure_fails_the_step_which_can_make_up_for_it() {
    let with = |step: Step| case(playbook(vec![step])).nest(child());
    let fail = || fails("deep");
    let ran = with(nest("nest")).script("nest/x", fail()).run().await;
    assert_eq!(ran.outcome(), Outcome::Failed);
    assert_eq!(ran.message(), "step `nest/x`: deep");
    assert_eq!(ran.status("nest/y"), StepStatus::NotRun);
    assert_eq!(ran.status("nest"), StepStatus::Failed);
    let rescued = nest("nest").rescue(vec![
        step("mend").with("step", template("{{ error.step }}")),
    ]);
    let ran = with(rescued).script("nest/x", fail()).run().await;
    assert_eq!(ran.outcome(), Outcome::Ok);
    assert_eq!(
        ran.doubles.stage().inputs["nest(rescue)/mend"]["step"],
        Value::from("nest/x")
    );
    let tolerated = nest("nest").on_failure(OnFailure::Degrade);
    let ran = with(tolerated).script("nest/x", fail()).run().await;
    assert_eq!(ran.outcome(), Outcome::Degraded);
    assert_eq!(ran.report.debts, ["nest/x failed: deep"]);
}

#[tokio::test(start_paused = true)]
async fn its_own_rescue_and_finally_run_and_it_still_failed() {
    let mut child = child();
    child.rescue = Some(block(vec![step("save")]));
    child.finally = Some(block(vec![step("tidy").when("steps.x.status == 'failed'")]));
    let ran = case(playbook(vec![nest("nest")]))
        .nest(child)
        .script("nest/x", fails("deep"))
        .run()
        .await;
    assert_eq!(
        ran.log(),
        [
            "apply nest/x",
            "apply nest/(rescue)/save",
            "apply nest/(finally)/tidy",
        ]
    );
    assert_eq!(ran.outcome(), Outcome::Failed);
    assert_eq!(ran.message(), "step `nest/x`: deep");
}

#[tokio::test(start_paused = true)]
async fn the_timeout_of_the_step_bounds_it() {
    let mut own = child();
    own.timeout = Some(here(secs(20)));
    for (step, limit) in [(nest("nest").timeout(secs(10)), 10), (nest("nest"), 20)] {
        let ran = case(playbook(vec![step]))
            .nest(own.clone())
            .script("nest/x", takes(50))
            .run()
            .await;
        assert_eq!(ran.outcome(), Outcome::Failed);
        assert_eq!(
            ran.message(),
            format!("step `nest`: `nest` did not end within {limit}s: `nest/x` was under way")
        );
        assert_eq!(ran.took, secs(limit + 5));
    }
}

#[tokio::test(start_paused = true)]
async fn when_the_run_around_it_is_out_of_time_it_tidies_up_and_rescues_nothing() {
    let mut own = child();
    own.rescue = Some(block(vec![step("save")]));
    own.finally = Some(block(vec![step("tidy")]));
    let mut outer = playbook(vec![nest("nest")]);
    outer.timeout = Some(here(secs(10)));
    let ran = case(outer)
        .nest(own)
        .script("nest/x", does(vec![Does::Hang]))
        .run()
        .await;
    assert_eq!(ran.outcome(), Outcome::Failed);
    assert!(ran.state.scope("nest/(rescue)").is_none());
    assert_eq!(ran.status("nest/(finally)/tidy"), StepStatus::Ok);
}

#[tokio::test(start_paused = true)]
async fn it_is_tried_again_as_a_whole_where_its_step_says_so() {
    let script = does(vec![Does::Fail(failure("no")), Does::Done(Map::new())]);
    let ran = case(playbook(vec![nest("nest").retry(attempts(2))]))
        .nest(child())
        .script("nest/y", script)
        .run()
        .await;
    assert_eq!(ran.outcome(), Outcome::Ok, "{}", ran.message());
    assert_eq!(
        ran.log(),
        [
            "apply nest/x",
            "apply nest/y",
            "apply nest/x",
            "apply nest/y"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn items_can_be_nested_playbooks() {
    let follow = nesting("follow", "child")
        .with("node", template("{{ item }}"))
        .for_each(ForEach {
            max_failures: MaxFailures::Percent(100),
            ..over(&["node2", "node3"])
        });
    let ran = case(playbook(vec![follow]))
        .nest(child())
        .script("follow[node3]/x", fails("it does not answer"))
        .run()
        .await;
    assert_eq!(ran.outcome(), Outcome::Degraded);
    assert_eq!(ran.status("follow[node2]/y"), StepStatus::Ok);
    assert_eq!(ran.status("follow[node3]/y"), StepStatus::NotRun);
    assert_eq!(
        ran.report.debts,
        ["follow[node3] failed: it does not answer"]
    );
    let opened = ran.events.iter().find_map(|e| match &e.event {
        Event::ScopeOpened { path, kind, steps } if &*path.0 == "follow[node2]" => {
            Some((*kind, steps.clone()))
        }
        _ => None,
    });
    assert_eq!(
        opened,
        Some((ScopeKind::Item, vec!["x".to_owned(), "y".to_owned()]))
    );
}

#[tokio::test(start_paused = true)]
async fn playbooks_that_nest_each_other_end() {
    let circle = named("child", vec![nesting("again", "child")]);
    let ran = case(playbook(vec![nesting("nest", "child")]))
        .nest(circle)
        .run()
        .await;
    assert_eq!(ran.outcome(), Outcome::Failed);
    assert!(
        ran.message().contains("nested more than"),
        "{}",
        ran.message()
    );
}
