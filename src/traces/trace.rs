//! A run's events, folded into its spans.

use super::ids::Ids;
use super::parent::Parent;
use super::span::{Attempt, Open, cut, status, word};
use crate::engine::{
    Envelope, Event, Failure, Outcome, Pins, RunId, SkipReason, StepPath, StepStatus, UndoStatus,
};
use crate::playbook::{Map, Value};
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanId, Status};
use opentelemetry_sdk::trace::SpanData;
use std::collections::BTreeMap;
use std::time::SystemTime;

/// A run has no more spans than this; what comes then is counted.
const SPANS: usize = 20_000;

/// The trace of one run, as far as it has come. Knows only what stands in the journal, where secrets are references; of
/// that neither parameters nor inputs, outputs or facts.
#[derive(Debug)]
pub(super) struct Trace {
    ids: Ids,
    /// The moment that events are counted from.
    clock: SystemTime,
    run: Open,
    /// Steps, items and undos that are under way.
    open: BTreeMap<String, Open>,
    done: Vec<SpanData>,
    dropped: i64,
    parent: Option<Parent>,
}

impl Trace {
    /// Begins with the run's first event; none of any other.
    pub(super) fn begin(envelope: &Envelope) -> Option<Self> {
        let Event::RunStarted {
            run,
            playbook,
            version,
            cluster,
            trigger,
            started,
            pins,
            ..
        } = &envelope.event
        else {
            return None;
        };
        let told = pins.as_deref().map(|pins: &Pins| &pins.trigger);
        let parent = told.and_then(Parent::of);
        let mut ids = Ids::of_run(&run.0, started, parent);
        let moment: jiff::Timestamp = started.parse().ok()?;
        let began = SystemTime::from(moment);
        let above = parent.map_or(SpanId::INVALID, |parent| SpanId::from(parent.span()));
        let mut open = Open::new(ids.next(""), above, playbook, began);
        open.attributes = about(run, cluster, playbook, trigger);
        if let Some(version) = version {
            open.tell("pgbaton.playbook.version", version);
        }
        if let Some(operator) = told.and_then(operator) {
            open.tell("pgbaton.operator", operator);
        }
        Some(Self {
            ids,
            clock: began,
            run: open,
            open: BTreeMap::new(),
            done: Vec::new(),
            dropped: 0,
            parent,
        })
    }

    /// Takes the next event. All spans when that is the run's end.
    pub(super) fn take(&mut self, envelope: &Envelope) -> Option<Vec<SpanData>> {
        let at = self.clock + envelope.at();
        match &envelope.event {
            Event::StepStarted {
                path, action, node, ..
            } => {
                let step = self.under(path, name_of(&path.0), at);
                step.tell("pgbaton.step", &path.0);
                step.tell("pgbaton.action", action);
                if let Some(node) = node {
                    step.tell("pgbaton.node", node);
                }
            }
            Event::StepSkipped { path, reason } => {
                let told = [word("step", &path.0), word("reason", &skipped(reason))];
                self.holder(&path.0).happens("step skipped", at, told);
            }
            Event::AttemptStarted { path, attempt, .. } => {
                if let Some(step) = self.open.get_mut(&*path.0) {
                    step.attempts.push(Attempt {
                        number: *attempt,
                        began: at,
                        failed: None,
                    });
                }
            }
            Event::AttemptFailed { path, failure, .. } => {
                let step = self.open.get_mut(&*path.0);
                if let Some(attempt) = step.and_then(|step| step.attempts.last_mut()) {
                    attempt.failed = Some((at, failure.clone()));
                }
            }
            Event::EffectIntended { .. } | Event::EffectSettled { .. } => {
                self.effect(&envelope.event, at);
            }
            Event::StepEnded {
                path,
                status,
                failure,
                unchanged,
                ..
            } => {
                if let Some(mut step) = self.open.remove(&*path.0) {
                    step.tell("pgbaton.status", status.as_str());
                    step.attributes
                        .push(KeyValue::new("pgbaton.unchanged", *unchanged));
                    let failed = *status == StepStatus::Failed;
                    self.close(step, at, failure.as_ref(), failed);
                }
            }
            Event::UndoStarted { .. } | Event::UndoEnded { .. } => self.undo(&envelope.event, at),
            Event::RunResumed {
                runner, at: wall, ..
            } => {
                // Events are counted on from the last one, however long nobody ran it.
                let wall: Option<jiff::Timestamp> = wall.parse().ok();
                let at = wall.map_or(at, SystemTime::from).max(at);
                self.clock = at.checked_sub(envelope.at()).unwrap_or(self.clock);
                let told = [word("runner", runner)];
                self.run.happens("run resumed", at, told);
            }
            Event::CancelRequested { accepted, .. } => {
                let told = [KeyValue::new("accepted", *accepted)];
                self.run.happens("cancel requested", at, told);
            }
            Event::RunEnded {
                outcome, failure, ..
            } => return Some(self.end(at, *outcome, failure.as_ref())),
            Event::RunStarted { .. }
            | Event::ScopeOpened { .. }
            | Event::ScopeClosed { .. }
            | Event::Probed { .. }
            | Event::Noted { .. }
            | Event::MessageHeard { .. } => {}
        }
        None
    }

    fn effect(&mut self, event: &Event, at: SystemTime) {
        match event {
            Event::EffectIntended {
                path,
                forecast,
                point_of_no_return,
                ..
            } => {
                let told = [
                    word("effect", &forecast.summary),
                    KeyValue::new("point_of_no_return", *point_of_no_return),
                ];
                self.at(path).happens("effect", at, told);
            }
            Event::EffectSettled {
                path,
                outcome,
                failure,
                ..
            } => {
                let why = failure.as_ref().map(|failure| failure.message.as_str());
                let told = [word("outcome", outcome), word("error", why.unwrap_or(""))];
                let told = told.into_iter().take(1 + usize::from(why.is_some()));
                self.at(path).happens("effect settled", at, told);
            }
            _ => {}
        }
    }

    fn undo(&mut self, event: &Event, at: SystemTime) {
        match event {
            Event::UndoStarted { path } => {
                let name = format!("undo {}", path.0);
                let step = self.under(&undo(path), &name, at);
                step.tell("pgbaton.step", &path.0);
            }
            Event::UndoEnded { path, status, what } => {
                if let Some(mut step) = self.open.remove(&*undo(path).0) {
                    step.tell("pgbaton.undo", what);
                    let failed = *status == UndoStatus::Failed;
                    let status = if failed {
                        Status::error(cut(what))
                    } else {
                        Status::Unset
                    };
                    self.finish(step, at, status);
                }
            }
            _ => {}
        }
    }

    /// A span for this path, below the one that it stands in.
    fn under(&mut self, path: &StepPath, name: &str, at: SystemTime) -> &mut Open {
        let parent = self.holder(&path.0).id;
        let id = self.ids.next(&path.0);
        let open = Open::new(id, parent, name, at);
        let text = path.0.to_string();
        // One that began again without having ended: whoever ran it died in between.
        if let Some(before) = self.open.remove(&text) {
            self.finish(before, at, Status::error("it did not end"));
        }
        self.open.entry(text).or_insert(open)
    }

    /// The innermost span under way that this path stands in; the run where there is none.
    fn holder(&mut self, path: &str) -> &mut Open {
        let ends = path.char_indices().rev();
        let mut ends = ends.filter(|(_, c)| matches!(c, '/' | '[' | '('));
        let found = ends.find_map(|(end, _)| {
            let before = &path[..end];
            self.open.contains_key(before).then_some(before)
        });
        match found {
            Some(before) => self.open.get_mut(before).unwrap_or(&mut self.run),
            None => &mut self.run,
        }
    }

    /// The span of this step, or the one that it stood in.
    fn at(&mut self, path: &StepPath) -> &mut Open {
        if self.open.contains_key(&*path.0) {
            return self.open.get_mut(&*path.0).unwrap_or(&mut self.run);
        }
        self.holder(&path.0)
    }

    fn close(&mut self, mut step: Open, at: SystemTime, failure: Option<&Failure>, failed: bool) {
        let attempts = std::mem::take(&mut step.attempts);
        let count = i64::try_from(attempts.len()).unwrap_or(i64::MAX);
        step.attributes
            .push(KeyValue::new("pgbaton.attempts", count));
        if let Some(failure) = failure {
            step.fail(failure);
        }
        // A single one would be the step once more.
        if attempts.len() > 1 {
            let ends: Vec<SystemTime> = attempts.iter().skip(1).map(|next| next.began).collect();
            for (place, attempt) in attempts.into_iter().enumerate() {
                self.tried(&step, attempt, ends.get(place).copied().unwrap_or(at));
            }
        }
        self.finish(step, at, status(failure.filter(|_| failed)));
    }

    /// One attempt of several; `next` is when the one after it began, or the step ended.
    fn tried(&mut self, step: &Open, attempt: Attempt, next: SystemTime) {
        let id = self.ids.next(&format!("{:?}#{}", step.id, attempt.number));
        let name = format!("{} attempt {}", step.name, attempt.number);
        let mut span = Open::new(id, step.id, &name, attempt.began);
        let number = i64::from(attempt.number);
        span.attributes
            .push(KeyValue::new("pgbaton.attempt", number));
        let (at, failure) = match attempt.failed {
            Some((at, failure)) => (at, Some(failure)),
            None => (next, None),
        };
        if let Some(failure) = &failure {
            span.fail(failure);
        }
        self.finish(span, at, status(failure.as_ref()));
    }

    fn end(
        &mut self,
        at: SystemTime,
        outcome: Outcome,
        failure: Option<&Failure>,
    ) -> Vec<SpanData> {
        for (_, left) in std::mem::take(&mut self.open) {
            self.finish(left, at, Status::error("it did not end"));
        }
        let open = Open::new(SpanId::INVALID, SpanId::INVALID, "", at);
        let mut run = std::mem::replace(&mut self.run, open);
        run.tell("pgbaton.outcome", outcome.as_str());
        run.attributes.push(KeyValue::new(
            "pgbaton.exit_code",
            i64::from(outcome.exit_code()),
        ));
        if self.dropped > 0 {
            run.attributes
                .push(KeyValue::new("pgbaton.spans_dropped", self.dropped));
        }
        if let Some(failure) = failure {
            run.fail(failure);
        }
        let failed = matches!(outcome, Outcome::Failed | Outcome::Refused | Outcome::Held);
        let status = match failure {
            None if failed => Status::error(outcome.as_str()),
            _ => status(failure.filter(|_| failed)),
        };
        // There is always room for it.
        self.done.truncate(SPANS);
        let remote = self.parent.is_some();
        self.done.push(run.into_span(&self.ids, at, status, remote));
        std::mem::take(&mut self.done)
    }

    fn finish(&mut self, open: Open, at: SystemTime, status: Status) {
        if self.done.len() >= SPANS {
            self.dropped += 1;
            return;
        }
        let span = open.into_span(&self.ids, at, status, false);
        self.done.push(span);
    }
}

fn about(run: &RunId, cluster: &str, playbook: &str, trigger: &str) -> Vec<KeyValue> {
    vec![
        word("pgbaton.run", &run.0),
        word("pgbaton.cluster", cluster),
        word("pgbaton.playbook", playbook),
        word("pgbaton.trigger", trigger),
    ]
}

/// Who started it, as its trigger tells: a person, or the token that a program came with.
fn operator(trigger: &Map) -> Option<&str> {
    ["by", "token"]
        .iter()
        .find_map(|name| match trigger.get(*name)? {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        })
}

/// The last part of a path: `promote`, `follow[node3]`. The key of an item may hold anything but brackets.
fn name_of(path: &str) -> &str {
    let mut inside = false;
    let mut begin = 0;
    for (at, c) in path.char_indices() {
        inside = (inside || c == '[') && c != ']';
        if c == '/' && !inside {
            begin = at + 1;
        }
    }
    &path[begin..]
}

/// An undo stands beside its step, which has ended.
fn undo(path: &StepPath) -> StepPath {
    StepPath(format!("undo {}", path.0).into())
}

fn skipped(reason: &SkipReason) -> String {
    match reason {
        SkipReason::When(condition) => format!("its condition does not hold: {condition}"),
        SkipReason::Disabled(why) => format!("switched off: {why}"),
        SkipReason::Needs(what) => format!("{what} did not end well"),
        SkipReason::Failures => "too many items failed".to_owned(),
        SkipReason::Stopping => "the run was stopping".to_owned(),
        SkipReason::Unknown(what) => format!("{what} is not known"),
    }
}
