//! The playbook's graph with how each step went.

use super::record::Record;
use crate::cli::console::{Entry, look};
use crate::cli::graph::{Drawing, Ending, Entered, Group, Picture, State, StepBox};
use crate::cli::paint::Tone;
use crate::cli::text;
use crate::engine::{StepPath, StepStatus};
use crate::playbook::Checked;
use std::collections::HashMap;

/// The picture.
pub(super) fn picture(record: &Record, playbook: &Checked) -> Picture {
    let drawing = Drawing::of(playbook, &crate::actions::catalog());
    Picture::of(&told(drawing, record))
}

/// The drawing with the states in it, without the groups that never had a turn.
fn told(mut drawing: Drawing, record: &Record) -> Drawing {
    let ran = Ran::of(record);
    let mut scopes: Vec<Vec<StepPath>> = Vec::new();
    for (place, group) in drawing.groups.iter().enumerate() {
        let found = ran.scopes_of(place, group, &drawing, &scopes);
        scopes.push(found);
    }
    let mut kept = Vec::new();
    for (group, scopes) in drawing.groups.iter_mut().zip(&scopes) {
        let mut any = false;
        for step in &mut group.boxes {
            let here: Vec<&Entry> = scopes
                .iter()
                .filter_map(|scope| ran.entry(&scope.step(&step.id)))
                .collect();
            any |= !here.is_empty();
            tell(step, &here, record);
        }
        kept.push(any);
    }
    without(drawing, &kept)
}

/// The lines of the run by their paths.
struct Ran<'r> {
    entries: HashMap<&'r str, &'r Entry>,
    children: HashMap<&'r str, Vec<&'r StepPath>>,
}

impl<'r> Ran<'r> {
    fn of(record: &'r Record) -> Self {
        let entries = &record.view.entries;
        let items = |entry: &'r Entry| {
            let below = entry.children.iter().map(|child| &entries[*child].path);
            below.filter(|path| path.is_item()).collect()
        };
        Self {
            entries: entries.iter().map(|e| (e.path.0.as_ref(), e)).collect(),
            children: entries
                .iter()
                .map(|e| (e.path.0.as_ref(), items(e)))
                .collect(),
        }
    }

    fn entry(&self, path: &StepPath) -> Option<&'r Entry> {
        self.entries.get(path.0.as_ref()).copied()
    }

    /// A step and its items.
    fn with_items(&self, path: StepPath) -> Vec<StepPath> {
        let items = self.children.get(path.0.as_ref());
        let items: Vec<StepPath> = items.into_iter().flatten().copied().cloned().collect();
        std::iter::once(path).chain(items).collect()
    }

    /// Where in the run the steps of a group stood: a nested playbook stands in several places.
    fn scopes_of(
        &self,
        place: usize,
        group: &Group,
        drawing: &Drawing,
        before: &[Vec<StepPath>],
    ) -> Vec<StepPath> {
        if let Some((main, ending)) = group.ends {
            let of = before.get(main).into_iter().flatten();
            return of
                .map(|scope| match ending {
                    Ending::Rescue => scope.playbook_rescue(),
                    Ending::Finally => scope.playbook_finally(),
                })
                .collect();
        }
        if place == 0 {
            return vec![StepPath::root()];
        }
        let mut found = Vec::new();
        for (from, step, how) in &group.entered_from {
            let id = &drawing.groups[*from].boxes[*step].id;
            for scope in before.get(*from).into_iter().flatten() {
                for path in self.with_items(scope.step(id)) {
                    found.push(match how {
                        Entered::Nested => path,
                        Entered::Rescue => path.rescue(),
                    });
                }
            }
        }
        found
    }
}

fn tell(step: &mut StepBox, here: &[&Entry], record: &Record) {
    // What was written in the playbook is for whoever runs it next; here counts what became of it.
    step.marks
        .retain(|mark| mark == "proof" || mark == "point of no return");
    let name = here.iter().find_map(|e| e.action.as_deref());
    if let Some(name) = name {
        let mut nodes: Vec<&str> = here.iter().filter_map(|e| e.node.as_deref()).collect();
        nodes.dedup();
        let on = if nodes.is_empty() {
            String::new()
        } else {
            format!("on {}", nodes.join(", "))
        };
        let name = if name == step.id { "" } else { name };
        let action = format!("{name} {on}");
        action.trim().clone_into(&mut step.action);
        if step.action.is_empty() {
            step.action.clone_from(&step.id);
        }
    }
    step.state = Some(match here {
        [] => State {
            class: "faint",
            text: "had no turn".to_owned(),
        },
        [one] => of_one(one, record),
        many => of_many(many),
    });
}

fn of_one(entry: &Entry, record: &Record) -> State {
    let (sign, _, word, tone) = look(entry.status);
    let mut text = format!("{sign} {word}");
    if entry.unchanged {
        text.push_str(", nothing to do");
    }
    if entry.has_items {
        let items = entry.children.len();
        text = format!("{text}, {}", text::count(items, "item", "items"));
    }
    if entry.attempts > 1 {
        text = format!("{text}, {} attempts", entry.attempts);
    }
    if let Some(took) = entry.took_ms(record.view.now_ms) {
        text = format!("{text}, {}", text::duration(took));
    }
    State {
        class: class(tone),
        text,
    }
}

/// The worst decides the colour.
fn of_many(entries: &[&Entry]) -> State {
    let mut counts: Vec<(StepStatus, usize)> = Vec::new();
    for entry in entries {
        match counts.iter_mut().find(|c| c.0 == entry.status) {
            Some(known) => known.1 += 1,
            None => counts.push((entry.status, 1)),
        }
    }
    let rank = |status: StepStatus| match look(status).3 {
        Tone::Bad => 0,
        Tone::Warn => 1,
        Tone::Busy => 2,
        Tone::Good => 3,
        _ => 4,
    };
    counts.sort_by_key(|(status, _)| rank(*status));
    let worst = counts.first().map_or(Tone::Faint, |(s, _)| look(*s).3);
    let told = counts.iter().map(|(status, count)| {
        let (sign, _, word, _) = look(*status);
        format!("{sign} {count} {word}")
    });
    State {
        class: class(worst),
        text: told.collect::<Vec<_>>().join(", "),
    }
}

/// As styles call it.
pub(super) fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Warn => "warn",
        Tone::Bad => "bad",
        Tone::Busy => "busy",
        Tone::Faint => "faint",
        Tone::Plain | Tone::Strong => "plain",
    }
}

/// Without the groups that are not kept; the first always is.
fn without(drawing: Drawing, kept: &[bool]) -> Drawing {
    let mut places = Vec::new();
    let mut next = 0;
    for (place, keep) in kept.iter().enumerate() {
        let stays = *keep || place == 0;
        places.push(stays.then_some(next));
        next += usize::from(stays);
    }
    let groups = drawing
        .groups
        .into_iter()
        .zip(&places)
        .filter(|(_, place)| place.is_some())
        .map(|(group, _)| Group {
            entered_from: group
                .entered_from
                .into_iter()
                .filter_map(|(from, step, how)| Some((places[from]?, step, how)))
                .collect(),
            ends: group
                .ends
                .and_then(|(main, ending)| Some((places[main]?, ending))),
            ..group
        })
        .collect();
    Drawing {
        title: drawing.title,
        groups,
    }
}
