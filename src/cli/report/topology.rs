//! The cluster before a run, and after it as far as the run knew: a fold over what it did and verified.

use super::record::{Effect, Record};
use super::sentence::named;
use crate::engine::StepStatus;
use crate::playbook::{Map, Value};

/// A node at one moment.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub(super) struct Place {
    /// Its name.
    pub(super) name: String,
    /// `primary` or `standby`; none when it was not known.
    pub(super) role: Option<String>,
    /// What it was set to follow.
    pub(super) upstream: Option<String>,
    /// It was seen to stream from there; none when nobody looked after a change.
    pub(super) attached: Option<bool>,
    /// Its server answered, or would; none when nobody looked.
    pub(super) up: Option<bool>,
    /// Its timeline.
    pub(super) timeline: Option<i64>,
    /// What the run did to it or found out, and which step that was; nothing before the run.
    pub(super) told: Vec<String>,
}

/// The nodes when the run started, in the order of their names.
pub(super) fn before(record: &Record) -> Vec<Place> {
    let facts = &record.start.facts;
    let primary = text(facts, "primary");
    let Some(Value::Map(nodes)) = facts.get("nodes") else {
        return Vec::new();
    };
    let place = |(name, facts): (&String, &Value)| {
        let Value::Map(facts) = facts else {
            return None;
        };
        let role = text(facts, "role").or_else(|| {
            // Of a dead primary the standbys tell.
            (primary == Some(name)).then_some("primary")
        });
        Some(Place {
            name: name.clone(),
            role: role.map(ToOwned::to_owned),
            upstream: text(facts, "upstream").map(ToOwned::to_owned),
            attached: truth(facts, "attached"),
            up: truth(facts, "reachable"),
            timeline: integer(facts, "timeline"),
            told: Vec::new(),
        })
    };
    nodes.iter().filter_map(place).collect()
}

/// The nodes when the run ended, or was last heard of.
pub(super) fn after(record: &Record) -> Vec<Place> {
    let before = before(record);
    let mut told = Told {
        now: before.clone(),
        before,
    };
    // What was done and what was verified, in the order in which it ended.
    let mut ends: Vec<(f64, End<'_>)> = record
        .effects
        .iter()
        .filter(|e| e.outcome.as_deref() == Some("done"))
        .map(|e| (e.ended_ms.unwrap_or(e.started_ms), End::Effect(e)))
        .collect();
    for (_, entry) in record.lines() {
        if entry.status == StepStatus::Ok
            && let (Some(action), Some(node)) = (&entry.action, &entry.node)
        {
            let step = Verified {
                path: entry.path.to_string(),
                action,
                node,
            };
            let at = entry.ended_ms.unwrap_or(record.view.now_ms);
            ends.push((at, End::Step(step)));
        }
    }
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (_, end) in &ends {
        match end {
            End::Effect(effect) => told.effect(effect),
            End::Step(step) => told.step(step, record),
        }
    }
    told.now
}

enum End<'r> {
    Effect(&'r Effect),
    Step(Verified<'r>),
}

struct Verified<'r> {
    path: String,
    action: &'r str,
    node: &'r str,
}

struct Told {
    before: Vec<Place>,
    now: Vec<Place>,
}

impl Told {
    fn on(&mut self, node: &str, change: impl FnOnce(&mut Place) -> String) {
        if let Some(place) = self.now.iter_mut().find(|place| place.name == node) {
            let told = change(place);
            if !place.told.contains(&told) {
                place.told.push(told);
            }
        }
    }

    fn effect(&mut self, effect: &Effect) {
        let operation = &effect.forecast.operation;
        let (Some(what), Some(node)) = (named(operation, "operation"), named(operation, "node"))
        else {
            return;
        };
        let path = &effect.path;
        let set = |place: &mut Place, upstream: Option<&str>| {
            place.upstream = upstream.map(ToOwned::to_owned);
            place.attached = None;
        };
        match what {
            "promote" => self.on(node, |place| {
                place.role = Some("primary".to_owned());
                place.upstream = None;
                place.attached = Some(false);
                format!("told to promote ({path})")
            }),
            "freeze" => self.on(node, |place| {
                set(place, None);
                place.attached = Some(false);
                format!("frozen ({path})")
            }),
            "set_upstream" => {
                let upstream = named(operation, "upstream").unwrap_or_default();
                self.on(node, |place| {
                    set(place, Some(upstream));
                    if place.role.as_deref() != Some("standby") {
                        place.role = Some("standby".to_owned());
                    }
                    format!("set to follow {upstream} ({path})")
                });
            }
            "restore_settings" if operation.get("archive_only") != Some(&true.into()) => {
                let was = self.before.iter().find(|place| place.name == node);
                let was = was.and_then(|place| place.upstream.clone());
                self.on(node, |place| {
                    set(place, was.as_deref());
                    format!("has its former settings again ({path})")
                });
            }
            "stop" => self.on(node, |place| {
                place.up = Some(false);
                place.attached = Some(false);
                format!("stopped ({path})")
            }),
            "start" => self.on(node, |place| {
                place.up = Some(true);
                format!("started ({path})")
            }),
            "forbid_return" => self.on(node, |_| format!("cannot come back as a primary ({path})")),
            "allow_return" => self.on(node, |place| {
                let gone = "cannot come back as a primary";
                place.told.retain(|told| !told.starts_with(gone));
                format!("may be a primary again ({path})")
            }),
            _ => {}
        }
    }

    fn step(&mut self, step: &Verified<'_>, record: &Record) {
        let path = crate::engine::StepPath(step.path.as_str().into());
        let Some(detail) = record.about(&path) else {
            return;
        };
        let given = detail.inputs.as_ref();
        match step.action {
            "verify_attach" => {
                let upstream = given.and_then(|i| i.get("upstream").as_str());
                self.on(step.node, |place| {
                    place.role = Some("standby".to_owned());
                    place.up = Some(true);
                    place.attached = Some(true);
                    if let Some(upstream) = upstream {
                        place.upstream = Some(upstream.to_owned());
                    }
                    place.timeline = integer(&detail.outputs, "timeline").or(place.timeline);
                    format!("seen to stream ({path})")
                });
            }
            "verify_primary" => self.on(step.node, |place| {
                place.role = Some("primary".to_owned());
                place.up = Some(true);
                place.timeline = integer(&detail.outputs, "timeline").or(place.timeline);
                format!("took a write ({path})")
            }),
            "confirm_down" => self.on(step.node, |place| {
                place.up = Some(false);
                format!("confirmed down ({path})")
            }),
            "fence" => {
                let proof = text(&detail.outputs, "proof").unwrap_or("proof");
                self.on(step.node, |place| {
                    if proof == "stopped" {
                        place.up = Some(false);
                    }
                    format!("fenced: {proof} ({path})")
                });
            }
            _ => {}
        }
    }
}

fn text<'m>(map: &'m Map, key: &str) -> Option<&'m str> {
    map.get(key)?.as_str()
}

fn truth(map: &Map, key: &str) -> Option<bool> {
    match map.get(key)? {
        Value::Boolean(value) => Some(*value),
        _ => None,
    }
}

fn integer(map: &Map, key: &str) -> Option<i64> {
    match map.get(key)? {
        Value::Integer(value) => Some(*value),
        _ => None,
    }
}
