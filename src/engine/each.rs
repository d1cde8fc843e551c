//! `for_each`: the same step once for each item.

use super::control::Control;
use super::names::ScopeNames;
use super::panic::caught_now;
use super::past::{other_items, same_items};
use super::prepare::render;
use super::prepare::unevaluated;
use super::running::Running;
use super::scope::{Fault, Run, Scope};
use super::slots::Slots;
use super::step::{UnitEnd, label, may_run, run_unit, unsure};
use super::{Event, Failure, SkipReason, StepPath, StepStatus};
use crate::playbook::{ForEach, Items, Map, OnFailure, Step, TroubleKind, Value};
use std::collections::HashSet;

/// Runs a step for each of its items. `broken`: why it cannot even be tried.
pub(super) async fn run_each<'s>(
    run: &'s Run<'s>,
    scope: &'s Scope<'s>,
    step: &'s Step,
    each: &'s ForEach,
    path: StepPath,
    broken: Option<Failure>,
) -> UnitEnd {
    let names = ScopeNames::of(run, scope);
    let items = match broken {
        Some(failure) => Err(failure),
        None => items(each, names).and_then(|items| Ok((keys(each, &items, names)?, items))),
    };
    if let Err(failure) = &items
        && failure.kind == TroubleKind::Unknown
    {
        return may_run(run, path, failure);
    }
    let items = items.and_then(|(keys, items)| {
        if run.resumed && !same_items(&run.shared, &path, &keys) {
            return Err(other_items(&path));
        }
        Ok((keys, items))
    });
    let listed = items.as_ref().map(|(keys, _)| keys.clone());
    if !run.was_running(&path) {
        run.shared.emit(Event::StepStarted {
            path: path.clone(),
            action: label(step),
            node: None,
            items: Some(listed.unwrap_or_default()),
            inputs: None,
        });
    }
    let end = match items {
        Ok((keys, items)) => run_items(run, scope, step, each, &path, &keys, &items).await,
        Err(failure) => failed(&path, failure),
    };
    let end = unsure(run, &path, end);
    run.shared.emit(Event::StepEnded {
        at: end.fault.as_ref().and_then(|fault| fault.below(&path)),
        path,
        status: end.status,
        outputs: Map::new(),
        failure: end.fault.as_ref().map(|fault| fault.failure.clone()),
        unchanged: false,
    });
    end
}

fn failed(path: &StepPath, failure: Failure) -> UnitEnd {
    UnitEnd {
        status: StepStatus::Failed,
        fault: Some(Fault {
            path: path.clone(),
            failure,
        }),
    }
}

/// What became of the items so far.
#[derive(Default)]
struct Tally {
    failed: usize,
    cancelled: bool,
    fault: Option<Fault>,
}

impl Tally {
    fn ended(&mut self, end: UnitEnd) {
        self.failed += usize::from(end.status == StepStatus::Failed);
        self.cancelled |= end.status == StepStatus::Cancelled;
        if end.status == StepStatus::Failed
            && let Some(fault) = end.fault
        {
            self.fault = Some(Fault::decisive(self.fault.take(), fault));
        }
    }
}

async fn run_items<'s>(
    run: &'s Run<'s>,
    scope: &'s Scope<'s>,
    step: &'s Step,
    each: &ForEach,
    path: &StepPath,
    keys: &[String],
    items: &'s [Value],
) -> UnitEnd {
    let allowed = each.max_failures.allowed(items.len());
    let bound = each.max_parallel.unwrap_or(usize::MAX).max(1);
    let control = &scope.control;
    let mut slots = Slots::of(control.slots.as_ref());
    let mut running = Running::new();
    let (mut tally, todo) = taken_up(run, path, keys, items);
    tell_failed(run, control, step, &tally, allowed);
    let mut left = todo.into_iter();
    let mut next = left.next();
    loop {
        // A failure elsewhere in the scope stops nothing here: the items of a `for_each` that runs go on.
        let may_start = tally.failed <= allowed
            && !control.token.is_cancelled()
            && (control.after || run.shared.lost.why().is_none())
            || next.is_some_and(|(key, _)| run.was_running(&path.item(key)));
        while may_start
            && running.len() < bound
            && let Some((key, item)) = next
            && let Some(slot) = slots.take()
        {
            let path = path.item(key);
            running.push(async move {
                let _slot = slot;
                run_unit(run, scope, step, path, Some(item), None).await
            });
            next = left.next();
        }
        if !may_start || next.is_none() {
            slots.release();
        }
        if running.is_empty() && (next.is_none() || !may_start) {
            break;
        }
        tokio::select! {
            biased;
            () = control.token.cancelled(), if running.is_empty() => break,
            () = slots.granted(), if slots.asked() => {}
            end = running.next(), if !running.is_empty() => {
                tally.ended(end);
                tell_failed(run, control, step, &tally, allowed);
            }
        }
    }
    for (key, _) in next.into_iter().chain(left) {
        run.shared.emit(Event::StepSkipped {
            path: path.item(key),
            reason: if tally.failed > allowed {
                SkipReason::Failures
            } else {
                SkipReason::Stopping
            },
        });
    }
    conclude(run, scope, path, items.len(), allowed, tally)
}

/// More items failed than may: the scope hears of it at once.
fn tell_failed(run: &Run<'_>, control: &Control, step: &Step, tally: &Tally, allowed: usize) {
    if tally.failed > allowed
        && step.on_failure.value == OnFailure::Fail
        && let Some(fault) = &tally.fault
    {
        control.fail(&run.shared, &fault.path, &fault.failure);
    }
}

/// What became of the items that ended under a runner that died, and those that are left; what was under way first.
fn taken_up<'i>(
    run: &Run<'_>,
    path: &StepPath,
    keys: &'i [String],
    items: &'i [Value],
) -> (Tally, Vec<(&'i String, &'i Value)>) {
    let all = keys.iter().zip(items);
    let mut tally = Tally::default();
    if !run.resumed {
        return (tally, all.collect());
    }
    let (mut ended, mut todo) = (Vec::new(), Vec::new());
    for (key, item) in all {
        match run.ended_before(&path.item(key)) {
            Some(end) => ended.push(end),
            None => todo.push((key, item)),
        }
    }
    ended.sort_by_key(|(place, _)| *place);
    for (_, end) in ended {
        tally.ended(end);
    }
    todo.sort_by_key(|(key, _)| !run.was_running(&path.item(key)));
    (tally, todo)
}

fn conclude(
    run: &Run<'_>,
    scope: &Scope<'_>,
    path: &StepPath,
    total: usize,
    allowed: usize,
    tally: Tally,
) -> UnitEnd {
    if scope.control.token.is_cancelled() && (tally.cancelled || tally.failed <= allowed) {
        let stop = scope.control.stop();
        let status = match stop {
            super::control::Stop::Cancelled => StepStatus::Cancelled,
            super::control::Stop::Expired(_) => StepStatus::Failed,
        };
        return UnitEnd {
            status,
            ..failed(path, stop.failure())
        };
    }
    if !scope.control.after
        && let Some(failure) = run.shared.broken()
    {
        return failed(path, failure);
    }
    match tally.fault {
        Some(mut fault) if tally.failed > allowed => {
            let failure = &mut fault.failure;
            failure.message = format!(
                "{} of {total} items failed, {allowed} may: `{}`: {}",
                tally.failed, fault.path, failure.message
            );
            UnitEnd {
                status: StepStatus::Failed,
                fault: Some(fault),
            }
        }
        // Items that failed degrade the run: the state knows by itself.
        _ => UnitEnd {
            status: StepStatus::Ok,
            fault: None,
        },
    }
}

/// What to go over.
fn items(each: &ForEach, names: ScopeNames<'_>) -> Result<Vec<Value>, Failure> {
    let value = match &each.items {
        Items::List(tree) => render(tree, &names)?,
        Items::Expression(expression) => {
            caught_now("`items`", || expression.evaluate(&names))?.map_err(|e| unevaluated(&e))?
        }
    };
    match value {
        Value::List(items) => Ok(items),
        other => Err(Failure::new(
            TroubleKind::Failed,
            format!("`items` must be a list, this is {}", other.kind()),
        )),
    }
}

/// The identity of each item; no two are the same.
fn keys(each: &ForEach, items: &[Value], names: ScopeNames<'_>) -> Result<Vec<String>, Failure> {
    let wrong = |message: String| Failure::new(TroubleKind::Failed, message);
    let mut seen = HashSet::new();
    let mut keys = Vec::with_capacity(items.len());
    for item in items {
        let value = match &each.key {
            None => item.clone(),
            Some(key) => {
                let names = ScopeNames {
                    item: Some(item),
                    ..names
                };
                caught_now("`key`", || key.evaluate(&names))?
                    .map_err(|error| wrong(error.to_string()))?
            }
        };
        let key = key(&value).ok_or_else(|| {
            wrong(format!(
                "the key of an item must be text or a number, without brackets; this is {}",
                value.as_str().map_or_else(
                    || value.kind().to_owned(),
                    |text| format!("`{}`", text.escape_debug())
                )
            ))
        })?;
        if !seen.insert(key.clone()) {
            return Err(wrong(format!("two items have the key `{key}`"))
                .with_help("give `key` an expression that differs for each item"));
        }
        keys.push(key);
    }
    Ok(keys)
}

/// The text of a key; nodes and maps that carry a name go by it.
fn key(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Boolean(answer) => answer.to_string(),
        Value::Lsn(lsn) => lsn.to_string(),
        Value::Map(map) => map.get("name")?.as_str()?.to_owned(),
        Value::Null | Value::Duration(_) | Value::List(_) | Value::Secret(_) | Value::Unknown => {
            return None;
        }
    };
    // Brackets would make paths ambiguous.
    let good = !text.is_empty() && !text.contains(|c: char| c.is_control() || "[]".contains(c));
    good.then_some(text)
}
