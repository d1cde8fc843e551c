//! The rules of `docs/safety.md` that can be seen in a playbook: 1 (proof before promotion), 2 (freeze, then compare), 4 (no
//! step without an end), 5 and 6 (evidence, and forward only, after the point of no return).
//!
//! The rules hold within one playbook; a nested playbook counts as one step that plays the parts that its own steps play for
//! sure. So a playbook that promotes carries its own proof, whoever nests it.

use super::graph::Graph;
use super::parts::{Cast, Coverage, coverage};
use super::proof;
use super::steps::Checker;
use crate::document::{Label, Span};
use crate::playbook::{Block, Body, OnFailure, Role, Step};

/// Checks the rules; `others` are the playbook's rescue and finally.
pub(super) fn check(checker: &mut Checker<'_>, top: &Graph<'_>, others: [Option<&Graph<'_>>; 2]) {
    let playbook = checker.playbook;
    let cast = Cast {
        catalog: checker.catalog,
        nested: checker.nested,
    };
    for step in playbook.all_steps() {
        bounded(checker, &cast, step);
        switched_off(checker, &cast, step);
    }
    for (index, step) in top.block.steps.iter().enumerate() {
        if cast.any(step).contains(&Role::Choose) && is_action(step) {
            frozen_before(checker, &cast, top, index);
        }
    }
    let points: Vec<usize> = (0..top.block.steps.len())
        .filter(|&index| cast.points(&top.block.steps[index]) > 0)
        .collect();
    misplaced_points(checker, &cast, top, others);
    let count: usize = points
        .iter()
        .map(|&i| cast.points(&top.block.steps[i]))
        .sum();
    if let (true, Some(&last)) = (count > 1, points.last()) {
        let first = top.block.steps[points[0]].id.span;
        let id = &top.block.steps[last].id;
        let error = checker.error(
            "PB007",
            id.span,
            "a run has at most one point of no return, and this would be another",
        );
        error.related.push(Label {
            span: first,
            text: "the first one".to_owned(),
        });
        error.help = Some("choose the node first, and promote in one step".to_owned());
    }
    for &point in &points {
        if is_action(&top.block.steps[point]) {
            promotion(checker, &cast, top, point);
            proof::bound(checker, &cast, top, point);
        }
        only_forward(checker, &cast, top, others, point);
    }
    if let (Some(&point), None) = (points.first(), &playbook.timeout) {
        let id = &top.block.steps[point].id;
        let error = checker.error(
            "PB008",
            playbook.name.span,
            "a playbook with a point of no return needs a `timeout` of its own",
        );
        error.related.push(Label {
            span: id.span,
            text: "the point of no return".to_owned(),
        });
        error.help = Some("say how long a run may take, for example `timeout: 10m`".to_owned());
    }
}

fn is_action(step: &Step) -> bool {
    matches!(step.body, Body::Action { .. })
}

/// Rule 4: every attempt has a limit.
fn bounded(checker: &mut Checker<'_>, cast: &Cast<'_>, step: &Step) {
    let own = step.timeout.as_ref().map(|t| t.value);
    let (limit, what) = match &step.body {
        Body::Action { name, .. } => {
            let Some(signature) = cast.catalog.actions.get(name.value.as_str()) else {
                return;
            };
            let default = Some(signature.timeout);
            (
                own.or(checker.playbook.defaults.timeout).or(default),
                "its action has none",
            )
        }
        Body::Playbook { name, .. } => match cast.nested.get(&name.value) {
            Some(Some(contract)) => {
                let budget = contract.playbook.timeout.as_ref().map(|t| t.value);
                (own.or(budget), "the playbook has none")
            }
            _ => return,
        },
    };
    if limit.is_none_or(|limit| limit.is_zero()) {
        let message = format!("step `{}` has no `timeout`, and {what}", step.id.value);
        checker.error("PB008", step.id.span, message).help =
            Some("no step may run without end: give it a `timeout`".to_owned());
    }
}

/// Rules 1, 5 and 6: what a run answers for is not switched off, whatever else may make up for it.
fn switched_off(checker: &mut Checker<'_>, cast: &Cast<'_>, step: &Step) {
    let Some(reason) = &step.disabled else {
        return;
    };
    let played = cast.would(step);
    // A playbook that is not run at all leaves nothing behind that its own verification would have seen.
    let plays = |role: Role| (is_action(step) || role == Role::Fence) && played.contains(&role);
    let what = if plays(Role::Fence) {
        "proves that the old primary is out"
    } else if plays(Role::Verification) {
        "verifies what was done"
    } else if plays(Role::PointOfNoReturn) {
        "promotes"
    } else {
        return;
    };
    let error = checker.error(
        "PB011",
        reason.span,
        format!(
            "step `{}` {what}, and cannot be switched off",
            step.id.value
        ),
    );
    error.related.push(Label {
        span: step.id.span,
        text: "this step".to_owned(),
    });
    error.help = Some("change its values, or write a playbook of your own".to_owned());
}

/// Rule 2: positions are compared only where nothing moves any more.
fn frozen_before(checker: &mut Checker<'_>, cast: &Cast<'_>, top: &Graph<'_>, choose: usize) {
    let step = &top.block.steps[choose];
    let found = coverage(cast, top, top.ancestors_of(choose), Role::Freeze);
    let message = format!(
        "step `{}` compares positions, and no step that it needs freezes the standbys",
        step.id.value
    );
    let help =
        "positions move until receivers are stopped: let it need a step with `action: freeze`";
    missing(checker, top, step.id.span, "PB004", (found, &message, help));
}

/// Says what is missing, or that it is there but not for sure.
fn missing(
    checker: &mut Checker<'_>,
    top: &Graph<'_>,
    span: Span,
    code: &'static str,
    (coverage, message, help): (Coverage, &str, &str),
) {
    let perhaps = match coverage {
        Coverage::Sure => return,
        Coverage::Perhaps(index) => Some(&top.block.steps[index]),
        Coverage::Missing => None,
    };
    let message = match perhaps {
        None => message.to_owned(),
        Some(_) => format!("{message} for sure"),
    };
    let error = checker.error(code, span, message);
    error.help = Some(help.to_owned());
    if let Some(step) = perhaps {
        let why = if step.disabled.is_some() {
            "this one is switched off"
        } else if step.when.is_some() {
            "this one may be skipped"
        } else if step.rescue.is_some() {
            "this one may fail and be rescued"
        } else if step.on_failure.value != OnFailure::Fail {
            "this one may fail"
        } else {
            "this one is done for items only"
        };
        error.related.push(Label {
            span: step.id.span,
            text: why.to_owned(),
        });
    }
}

/// A point of no return stands where failures before and after it are told apart: at the top level, once.
fn misplaced_points(
    checker: &mut Checker<'_>,
    cast: &Cast<'_>,
    top: &Graph<'_>,
    others: [Option<&Graph<'_>>; 2],
) {
    fn inner<'s>(block: &'s Block, found: &mut Vec<&'s Step>) {
        for step in &block.steps {
            found.push(step);
            if let Some(rescue) = &step.rescue {
                inner(rescue, found);
            }
        }
    }
    let mut elsewhere = Vec::new();
    for rescue in top
        .block
        .steps
        .iter()
        .filter_map(|step| step.rescue.as_ref())
    {
        inner(rescue, &mut elsewhere);
    }
    for graph in others.into_iter().flatten() {
        inner(graph.block, &mut elsewhere);
    }
    for step in elsewhere.into_iter().filter(|step| cast.points(step) > 0) {
        checker
            .error(
                "PB006",
                step.id.span,
                format!("step `{}` promotes in a rescue or finally", step.id.value),
            )
            .help =
            Some("a promotion stands among the playbook's own `steps`, below its proof".to_owned());
    }
    for step in top.block.steps.iter().filter(|step| cast.points(step) > 0) {
        if let Some(each) = &step.for_each {
            checker
                .error(
                    "PB006",
                    each.span,
                    format!(
                        "step `{}` promotes, and would do so for each item",
                        step.id.value
                    ),
                )
                .help = Some("one node is promoted: choose it first, then promote it".to_owned());
        }
        if step.on_failure.value != OnFailure::Fail {
            checker
                .error(
                    "PB006",
                    step.on_failure.span,
                    format!(
                        "step `{}` promotes, and what needs it would go on when it fails",
                        step.id.value
                    ),
                )
                .help = Some(
                "leave out `on_failure`: after a failed promotion nobody may guess".to_owned(),
            );
        }
    }
}

/// Rules 1 and 5: a proof before a promotion, evidence after it.
fn promotion(checker: &mut Checker<'_>, cast: &Cast<'_>, top: &Graph<'_>, point: usize) {
    let step = &top.block.steps[point];
    let id = &step.id;
    let fenced = coverage(cast, top, top.ancestors_of(point), Role::Fence);
    let certain = matches!(fenced, Coverage::Sure);
    let message = format!(
        "step `{}` promotes, and no step that it needs proves that the old primary is out",
        id.value
    );
    let help = "two primaries would both acknowledge commits: let it need a step with `action: fence` that has no `when`, \
                `for_each`, `rescue` or `on_failure`";
    missing(checker, top, id.span, "PB001", (fenced, &message, help));
    let verified = coverage(cast, top, top.descendants_of(point), Role::Verification);
    let message = format!(
        "step `{}` promotes, and no step after it verifies the new primary",
        id.value
    );
    let help =
        "no success without evidence: add a step with `action: verify_primary` that needs this one";
    missing(checker, top, id.span, "PB005", (verified, &message, help));
    for index in top.ancestors_of(point) {
        let before = &top.block.steps[index];
        // A fence that only tries what it can may fail where another one must hold.
        let proves = |role: &Role| match role {
            Role::Fence => !certain,
            other => *other == Role::Verification,
        };
        if before.on_failure.value != OnFailure::Fail && cast.any(before).iter().any(proves) {
            let error = checker.error(
                "PB002",
                before.on_failure.span,
                format!(
                    "`{}` is a proof, and the promotion would go on without it",
                    before.id.value
                ),
            );
            error.related.push(Label {
                span: id.span,
                text: "the promotion".to_owned(),
            });
            error.help = Some("leave out `on_failure`".to_owned());
        }
    }
}

/// Rule 6: nothing is taken back after the point of no return.
fn only_forward(
    checker: &mut Checker<'_>,
    cast: &Cast<'_>,
    top: &Graph<'_>,
    others: [Option<&Graph<'_>>; 2],
    point: usize,
) {
    let promotion = top.block.steps[point].id.clone();
    let status = format!("steps.{}.status", promotion.value);
    let mut too_late: Vec<(&Step, &'static str)> = Vec::new();
    for (index, step) in top.block.steps.iter().enumerate() {
        if index == point || top.is_ancestor(index, point) {
            continue;
        }
        if cast.any(step).contains(&Role::Unfreeze) {
            let when = if top.is_ancestor(point, index) {
                "after"
            } else {
                "perhaps after"
            };
            too_late.push((step, when));
        }
        if top.is_ancestor(point, index)
            && let Body::Action { custom, .. } = &step.body
            && let Some(undo) = &custom.undo
        {
            let error = checker.error(
                "PB009",
                undo.span,
                format!(
                    "`undo` of `{}` would never be done: it comes after the point of no return",
                    step.id.value
                ),
            );
            error.related.push(Label {
                span: promotion.span,
                text: "after this nothing is undone".to_owned(),
            });
            error.help = Some("leave it out, or do this before the promotion".to_owned());
        }
    }
    for step in others
        .into_iter()
        .flatten()
        .flat_map(|graph| &graph.block.steps)
    {
        let asks = step
            .when
            .as_ref()
            .is_some_and(|when| when.references().iter().any(|r| r.path.join(".") == status));
        if cast.any(step).contains(&Role::Unfreeze) && !asks {
            too_late.push((step, "perhaps after"));
        }
    }
    for (step, when) in too_late {
        let error = checker.error(
            "PB010",
            step.id.span,
            format!(
                "step `{}` lets standbys receive again, {when} the point of no return",
                step.id.value
            ),
        );
        error.related.push(Label {
            span: promotion.span,
            text: "the point of no return".to_owned(),
        });
        error.help = Some(format!(
            "before that point a failing run unfreezes by itself; after it only `only: archive` is allowed (in a rescue, a \
             `when` that asks for `{status}` will do)"
        ));
    }
}
