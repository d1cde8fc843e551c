//! The run as a person sees it: a fold over its events.

use super::parts::{Effect, Ended, Entry, Header, Note, Undone, heard};
use crate::engine::{Envelope, Event, Evidence, ScopeKind, SkipReason, StepPath, StepStatus};
use std::collections::HashMap;

/// A run so far.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// What it is; none before its first event.
    pub(crate) header: Option<Header>,
    /// Steps, items, rescues and the finally, in the order in which they became known.
    pub(crate) entries: Vec<Entry>,
    /// Those at the top level.
    pub(crate) roots: Vec<usize>,
    /// Decisions and findings, in order.
    pub(crate) notes: Vec<Note>,
    /// What was taken back, or could not be.
    pub(crate) undone: Vec<Undone>,
    /// What was done or tried, in order.
    pub(crate) effects: Vec<Effect>,
    /// Where and when there was no way back any more.
    pub(crate) point_of_no_return: Option<(StepPath, f64)>,
    /// The last answer to a request to cancel: accepted, or the reason why not.
    pub(crate) cancel: Option<Result<(), String>>,
    /// How it ended.
    pub(crate) ended: Option<Ended>,
    /// The time of the run, in milliseconds from its start.
    pub(crate) now_ms: f64,
    places: HashMap<StepPath, usize>,
}

impl View {
    /// Takes in the next event.
    pub(crate) fn apply(&mut self, envelope: &Envelope) {
        let at = envelope.at_ms;
        self.now_ms = self.now_ms.max(at);
        match &envelope.event {
            Event::ScopeOpened { path, kind, steps } => self.open(path, *kind, steps, at),
            Event::ScopeClosed { path, ok, .. } => self.close(path, *ok, at),
            event @ (Event::StepStarted { .. }
            | Event::StepSkipped { .. }
            | Event::AttemptStarted { .. }
            | Event::AttemptFailed { .. }
            | Event::StepEnded { .. }) => self.apply_to_step(event, at),
            event @ (Event::EffectIntended { .. }
            | Event::EffectSettled { .. }
            | Event::UndoStarted { .. }
            | Event::UndoEnded { .. }) => self.apply_to_effects(event, at),
            event => self.apply_to_run(event, at),
        }
    }

    /// A step's turn, attempts and end.
    fn apply_to_step(&mut self, event: &Event, at: f64) {
        match event {
            Event::StepStarted {
                path,
                action,
                node,
                items,
                ..
            } => {
                let entry = self.entry(path);
                entry.status = StepStatus::Running;
                entry.started_ms.get_or_insert(at);
                entry.action = Some(action.clone());
                entry.node.clone_from(node);
                entry.has_items = items.is_some();
                for key in items.iter().flatten() {
                    self.child(path, &path.item(key), format!("[{key}]"));
                }
            }
            Event::StepSkipped { path, reason } => {
                let entry = self.entry(path);
                entry.status = match reason {
                    SkipReason::When(_) | SkipReason::Disabled(_) => StepStatus::Skipped,
                    SkipReason::Needs(_) | SkipReason::Failures | SkipReason::Stopping => {
                        StepStatus::NotRun
                    }
                    SkipReason::Unknown(_) => StepStatus::MayRun,
                };
                entry.skipped = Some(reason.clone());
            }
            Event::AttemptStarted { path, attempt, .. } => {
                let entry = self.entry(path);
                entry.status = StepStatus::Running;
                entry.started_ms.get_or_insert(at);
                entry.attempts = *attempt;
                entry.retry_at_ms = None;
                entry.doing = None;
            }
            Event::AttemptFailed {
                path,
                attempt,
                failure,
                retry_in_ms,
                ..
            } => {
                let entry = self.entry(path);
                entry.attempts = *attempt;
                entry.failure = Some(failure.clone());
                entry.doing = None;
                #[expect(clippy::cast_precision_loss, reason = "milliseconds of a run")]
                let retry_at = retry_in_ms.map(|wait| at + wait as f64);
                entry.retry_at_ms = retry_at;
            }
            Event::StepEnded {
                path,
                status,
                failure,
                unchanged,
                ..
            } => {
                let entry = self.entry(path);
                entry.status = *status;
                entry.ended_ms = Some(at);
                entry.unchanged = *unchanged;
                entry.retry_at_ms = None;
                entry.doing = None;
                // A step that ended well keeps no failure of an earlier attempt; one that was rescued keeps its own.
                if *status != StepStatus::Rescued || failure.is_some() {
                    entry.failure.clone_from(failure);
                }
            }
            _ => {}
        }
    }

    /// What is done, and taken back.
    fn apply_to_effects(&mut self, event: &Event, at: f64) {
        match event {
            Event::EffectIntended {
                path,
                effect,
                forecast,
                point_of_no_return,
            } => {
                if *point_of_no_return {
                    self.point_of_no_return = Some((path.clone(), at));
                }
                self.entry(path).doing = Some(forecast.summary.clone());
                self.effects.push(Effect {
                    path: path.clone(),
                    number: *effect,
                    summary: forecast.summary.clone(),
                    outcome: None,
                });
            }
            Event::EffectSettled {
                path,
                effect,
                outcome,
                ..
            } => {
                self.entry(path).doing = None;
                if let Some(known) = self.effects.iter_mut().find(|e| e.number == *effect) {
                    known.outcome = Some(outcome.clone());
                }
            }
            Event::UndoStarted { path } => self.undone.push(Undone {
                path: path.clone(),
                status: None,
                what: String::new(),
            }),
            Event::UndoEnded { path, status, what } => {
                let open = self
                    .undone
                    .iter_mut()
                    .rfind(|u| u.path == *path && u.status.is_none());
                if let Some(undone) = open {
                    undone.status = Some(*status);
                    undone.what.clone_from(what);
                }
            }
            _ => {}
        }
    }

    /// The run as a whole, and what is noted.
    fn apply_to_run(&mut self, event: &Event, at: f64) {
        match event {
            Event::RunStarted {
                run,
                playbook,
                version,
                cluster,
                ..
            } => {
                let version = version.as_deref().map(|v| format!(" {v}"));
                self.header = Some(Header {
                    run: run.to_string(),
                    playbook: playbook.clone() + &version.unwrap_or_default(),
                    cluster: cluster.clone(),
                });
            }
            Event::Noted { path, evidence } => self.notes.push(Note {
                path: path.clone(),
                evidence: evidence.clone(),
            }),
            Event::MessageHeard { message, why, .. } => {
                let (path, text) = heard(message, why.as_deref());
                self.notes.push(Note {
                    path,
                    evidence: Evidence {
                        topic: "message".to_owned(),
                        text,
                        data: serde_json::json!({ "at": message.letter.at }),
                    },
                });
            }
            Event::CancelRequested { accepted, reason } => {
                self.cancel = Some(if *accepted {
                    Ok(())
                } else {
                    Err(reason.clone().unwrap_or_default())
                });
            }
            Event::RunEnded {
                outcome,
                failure,
                at: decisive,
                debts,
                ..
            } => {
                // The console's own clock may have gone a little further.
                self.now_ms = at;
                self.ended = Some(Ended {
                    outcome: *outcome,
                    failure: failure.clone(),
                    at: decisive.clone(),
                    debts: debts.clone(),
                });
            }
            _ => {}
        }
    }

    /// The step whose failure decided how the run ended.
    pub(crate) fn culprit(&self) -> Option<&Entry> {
        let at = self.ended.as_ref()?.at.as_ref()?;
        self.places.get(at).map(|place| &self.entries[*place])
    }

    /// Takes in an end that could not be written down, so that no event told it. What was under way then is not known.
    pub(crate) fn end_unrecorded(&mut self, end: &Event) {
        for entry in &mut self.entries {
            if entry.status == StepStatus::Running {
                entry.status = StepStatus::Cancelled;
                entry.ended_ms = Some(self.now_ms);
            }
        }
        self.apply_to_run(end, self.now_ms);
    }

    fn open(&mut self, path: &StepPath, kind: ScopeKind, steps: &[String], at: f64) {
        let label = match kind {
            ScopeKind::Run => None,
            ScopeKind::Rescue => Some(("(rescue)", "rescue")),
            ScopeKind::Finally => Some(("(finally)", "finally")),
            ScopeKind::Item | ScopeKind::Playbook => Some(("", "")),
        };
        if let Some((suffix, label)) = label {
            if suffix.is_empty() {
                self.entry(path);
            } else {
                let owner = path.0.strip_suffix(suffix).unwrap_or_default();
                self.child(&StepPath(owner.into()), path, label.to_owned());
            }
            let entry = self.entry(path);
            entry.status = StepStatus::Running;
            entry.started_ms.get_or_insert(at);
        }
        for id in steps {
            self.child(path, &path.step(id), id.clone());
        }
    }

    fn close(&mut self, path: &StepPath, ok: bool, at: f64) {
        let Some(entry) = self.places.get(path).map(|i| &mut self.entries[*i]) else {
            return;
        };
        // A nested playbook's scope has the path of its step, which ends with an event of its own.
        if entry.status == StepStatus::Running && entry.action.is_none() {
            entry.status = if ok {
                StepStatus::Ok
            } else {
                StepStatus::Failed
            };
            entry.ended_ms = Some(at);
        }
    }

    /// Makes a line below `parent` known, once.
    fn child(&mut self, parent: &StepPath, path: &StepPath, label: String) {
        if self.places.contains_key(path) {
            return;
        }
        let place = self.entries.len();
        self.entries.push(Entry {
            path: path.clone(),
            label,
            status: StepStatus::Pending,
            action: None,
            node: None,
            started_ms: None,
            ended_ms: None,
            attempts: 0,
            failure: None,
            retry_at_ms: None,
            skipped: None,
            doing: None,
            unchanged: false,
            has_items: false,
            children: Vec::new(),
        });
        self.places.insert(path.clone(), place);
        match self.places.get(parent) {
            Some(parent) => {
                let parent = *parent;
                self.entries[parent].children.push(place);
            }
            None => self.roots.push(place),
        }
    }

    /// The line of this path. One that was never announced stands at the top level under its whole path.
    fn entry(&mut self, path: &StepPath) -> &mut Entry {
        if !self.places.contains_key(path) {
            self.child(&StepPath::root(), path, path.to_string());
        }
        let place = self.places[path];
        &mut self.entries[place]
    }
}

#[cfg(test)]
mod tests {
    use super::super::script::Script;

    #[test]
    fn items_stand_below_their_step_and_their_steps_below_them() {
        let view = Script::failover().view_until("follow[n3]/set_upstream");
        let labels = |places: &[usize]| -> Vec<String> {
            places
                .iter()
                .map(|i| view.entries[*i].label.clone())
                .collect()
        };
        let follow = view
            .entries
            .iter()
            .find(|e| e.path.0.as_ref() == "follow")
            .unwrap();
        assert_eq!(labels(&follow.children), ["[n3]", "[n4]"]);
        let item = &view.entries[follow.children[0]];
        assert_eq!(
            labels(&item.children),
            ["check_lsn", "set_upstream", "verify_attach"]
        );
    }

    #[test]
    fn the_culprit_is_the_step_that_the_end_names() {
        let view = Script::failure().view();
        assert_eq!(view.culprit().unwrap().path.to_string(), "promote");
    }

    #[test]
    fn a_path_that_nobody_announced_is_shown_all_the_same() {
        let mut script = Script::new();
        script.start("stray/step", "wait", None).ok("stray/step");
        let view = script.view();
        assert_eq!(view.entries[view.roots[0]].label, "stray/step");
    }
}
