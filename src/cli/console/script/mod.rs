//! Runs for the tests of this room: events as the engine would send them.

mod stories;

use crate::cli::console::view::View;
use crate::engine::{
    Envelope, Event, Evidence, Failure, Forecast, Outcome, RunId, ScopeKind, SkipReason, StepPath,
    StepStatus, Verdict,
};
use crate::playbook::Map;
use serde_json::json;

/// A run under construction; the clock goes on by 10 ms with every event.
pub(crate) struct Script {
    events: Vec<(String, Envelope)>,
    at_ms: f64,
    effects: u64,
}

fn path(text: &str) -> StepPath {
    StepPath(text.into())
}

impl Script {
    pub(crate) fn new() -> Self {
        Self {
            events: Vec::new(),
            at_ms: 0.0,
            effects: 0,
        }
    }

    pub(crate) fn push(&mut self, tag: &str, event: Event) -> &mut Self {
        let envelope = Envelope {
            v: 1,
            seq: self.events.len() as u64,
            at_ms: self.at_ms,
            event,
        };
        self.events.push((tag.to_owned(), envelope));
        self.at_ms += 10.0;
        self
    }

    pub(crate) fn wait(&mut self, ms: f64) -> &mut Self {
        self.at_ms += ms;
        self
    }

    pub(crate) fn begin(&mut self, playbook: &str, steps: &[&str]) -> &mut Self {
        self.push(
            "",
            Event::RunStarted {
                run: RunId("20250102T030405Z-7f3a".into()),
                playbook: playbook.to_owned(),
                version: Some("1.0.0".to_owned()),
                cluster: "orders".to_owned(),
                trigger: "cli".to_owned(),
                started: "2025-01-02T03:04:05Z".to_owned(),
                params: Map::new(),
                cluster_facts: Map::new(),
                seed: 1,
                pins: None,
            },
        );
        self.open("", ScopeKind::Run, steps)
    }

    pub(crate) fn open(&mut self, scope: &str, kind: ScopeKind, steps: &[&str]) -> &mut Self {
        let steps = steps.iter().map(ToString::to_string).collect();
        let path = path(scope);
        self.push("", Event::ScopeOpened { path, kind, steps })
    }

    pub(crate) fn close(&mut self, scope: &str, ok: bool) -> &mut Self {
        let path = path(scope);
        self.push(
            "",
            Event::ScopeClosed {
                path,
                ok,
                failure: None,
                at: None,
                cancelled: false,
            },
        )
    }

    pub(crate) fn start(&mut self, step: &str, action: &str, node: Option<&str>) -> &mut Self {
        self.push(
            step,
            Event::StepStarted {
                path: path(step),
                action: action.to_owned(),
                node: node.map(ToOwned::to_owned),
                items: None,
                inputs: None,
            },
        );
        self.attempt(step, 1)
    }

    pub(crate) fn each(&mut self, step: &str, action: &str, keys: &[&str]) -> &mut Self {
        self.push(
            step,
            Event::StepStarted {
                path: path(step),
                action: action.to_owned(),
                node: None,
                items: Some(keys.iter().map(ToString::to_string).collect()),
                inputs: None,
            },
        )
    }

    pub(crate) fn attempt(&mut self, step: &str, attempt: u32) -> &mut Self {
        self.push(
            step,
            Event::AttemptStarted {
                path: path(step),
                attempt,
                limit_ms: 10_000,
            },
        )
    }

    pub(crate) fn effect(
        &mut self,
        step: &str,
        summary: &str,
        outcome: &str,
        last: bool,
    ) -> &mut Self {
        self.effects += 1;
        let effect = self.effects;
        self.push(
            &format!("{step}#effect"),
            Event::EffectIntended {
                path: path(step),
                effect,
                forecast: Forecast {
                    summary: summary.to_owned(),
                    rendered: Vec::new(),
                    operation: json!({}),
                },
                point_of_no_return: last,
            },
        );
        self.push(
            &format!("{step}#settled"),
            Event::EffectSettled {
                path: path(step),
                effect,
                outcome: outcome.to_owned(),
                returned: json!(null),
                failure: None,
            },
        )
    }

    pub(crate) fn note(
        &mut self,
        step: &str,
        topic: &str,
        text: &str,
        data: serde_json::Value,
    ) -> &mut Self {
        let evidence = Evidence {
            topic: topic.to_owned(),
            text: text.to_owned(),
            data,
        };
        let path = path(step);
        self.push(step, Event::Noted { path, evidence })
    }

    pub(crate) fn attempt_failed(
        &mut self,
        step: &str,
        attempt: u32,
        failure: Failure,
        retry_in_ms: Option<u64>,
    ) -> &mut Self {
        self.push(
            &format!("{step}#retry"),
            Event::AttemptFailed {
                path: path(step),
                attempt,
                failure,
                retry_in_ms,
                at: None,
            },
        )
    }

    pub(crate) fn end(
        &mut self,
        step: &str,
        status: StepStatus,
        failure: Option<Failure>,
    ) -> &mut Self {
        self.push(
            step,
            Event::StepEnded {
                path: path(step),
                status,
                outputs: Map::new(),
                failure,
                unchanged: false,
                at: None,
            },
        )
    }

    pub(crate) fn ok(&mut self, step: &str) -> &mut Self {
        self.end(step, StepStatus::Ok, None)
    }

    pub(crate) fn unchanged(&mut self, step: &str) -> &mut Self {
        self.push(
            step,
            Event::Probed {
                path: path(step),
                verdict: Verdict::Satisfied,
                why: "it is there already".to_owned(),
                forecast: Vec::new(),
            },
        );
        self.push(
            step,
            Event::StepEnded {
                path: path(step),
                status: StepStatus::Ok,
                outputs: Map::new(),
                failure: None,
                unchanged: true,
                at: None,
            },
        )
    }

    pub(crate) fn skip(&mut self, step: &str, reason: SkipReason) -> &mut Self {
        let path = path(step);
        self.push(step, Event::StepSkipped { path, reason })
    }

    pub(crate) fn finish(
        &mut self,
        outcome: Outcome,
        failure: Option<Failure>,
        debts: &[&str],
    ) -> &mut Self {
        let failed = |e: &&(String, Envelope)| {
            matches!(
                e.1.event,
                Event::StepEnded {
                    status: StepStatus::Failed,
                    ..
                }
            )
        };
        let at = failure
            .as_ref()
            .and_then(|_| self.events.iter().rfind(failed));
        let at = at.map(|(step, _)| path(step));
        self.push(
            "",
            Event::RunEnded {
                outcome,
                failure,
                at,
                outputs: Map::new(),
                debts: debts.iter().map(ToString::to_string).collect(),
            },
        )
    }

    pub(crate) fn envelopes(&self) -> impl Iterator<Item = &Envelope> {
        self.events.iter().map(|(_, envelope)| envelope)
    }

    /// After the whole run.
    pub(crate) fn view(&self) -> View {
        let mut view = View::default();
        self.envelopes().for_each(|e| view.apply(e));
        view
    }

    /// After the last of the first events with this tag that follow each other.
    pub(crate) fn view_until(&self, tag: &str) -> View {
        let mut view = View::default();
        let mut seen = false;
        for (name, envelope) in &self.events {
            if seen && name != tag {
                break;
            }
            seen |= name == tag;
            view.apply(envelope);
        }
        assert!(seen, "no event of {tag}");
        view
    }
}
