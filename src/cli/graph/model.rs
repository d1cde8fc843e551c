//! What there is to draw: a playbook as groups of boxes and arrows, in no format yet.

use crate::playbook::{
    Block, Body, Catalog, Checked, Items, OnFailure, Playbook, Role, Step, TemplateTree,
};

/// A playbook with everything that it nests.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cli) struct Drawing {
    /// The playbook's name.
    pub(in crate::cli) title: String,
    /// Its top level first; then rescues, the finally, nested playbooks.
    pub(in crate::cli) groups: Vec<Group>,
}

/// Steps that are wired with each other.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cli) struct Group {
    /// What it is.
    pub(in crate::cli) title: String,
    /// The steps, in source order.
    pub(in crate::cli) boxes: Vec<StepBox>,
    /// `needs`, as places in `boxes`: the second needs the first.
    pub(in crate::cli) arrows: Vec<(usize, usize)>,
    /// The box of an earlier group that leads here, and why.
    pub(in crate::cli) entered_from: Vec<(usize, usize, Entered)>,
    /// The group whose playbook this ends, and how; none for any other group.
    pub(in crate::cli) ends: Option<(usize, Ending)>,
}

/// What comes after a playbook's steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Ending {
    /// They failed.
    Rescue,
    /// Always.
    Finally,
}

/// How a group is entered from a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Entered {
    /// The step runs it.
    Nested,
    /// The step failed.
    Rescue,
}

/// A step.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cli) struct StepBox {
    /// Its id.
    pub(in crate::cli) id: String,
    /// The action and its node.
    pub(in crate::cli) action: String,
    /// Conditions, repetition, what its failure means; a line each.
    pub(in crate::cli) marks: Vec<String>,
    /// What part it plays.
    pub(in crate::cli) part: Part,
    /// How it went; none where nothing ran.
    pub(in crate::cli) state: Option<State>,
}

/// How a step of a run went.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cli) struct State {
    /// For the colour: `good`, `warn`, `bad`, `busy`, `faint`.
    pub(in crate::cli) class: &'static str,
    /// In a few words.
    pub(in crate::cli) text: String,
}

/// What part a step plays, for the drawing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Part {
    /// Any step.
    Plain,
    /// A proof that the old primary acknowledges nothing more.
    Fence,
    /// After its intent nothing is undone.
    PointOfNoReturn,
    /// A nested playbook.
    Nested,
}

impl Drawing {
    /// What there is to draw of a playbook.
    pub(in crate::cli) fn of(checked: &Checked, catalog: &Catalog) -> Self {
        let mut drawing = Self {
            title: checked.playbook.name.value.clone(),
            groups: Vec::new(),
        };
        drawing.playbook(&checked.playbook, catalog, "");
        // A nested playbook is drawn once, however many steps run it.
        for (name, nested) in &checked.nested {
            let group = drawing.groups.len();
            drawing.playbook(nested, catalog, &format!("playbook {name}"));
            let label = format!("playbook {name}");
            let callers = drawing.boxes_where(group, |b| b.part == Part::Nested && b.calls(&label));
            drawing.groups[group]
                .entered_from
                .extend(callers.into_iter().map(|(g, b)| (g, b, Entered::Nested)));
        }
        drawing
    }

    fn playbook(&mut self, playbook: &Playbook, catalog: &Catalog, prefix: &str) {
        let top = if prefix.is_empty() {
            playbook.name.value.clone()
        } else {
            prefix.to_owned()
        };
        let main = self.groups.len();
        self.block(&playbook.steps, &top, catalog, prefix, None);
        let say = |what: &str| {
            if prefix.is_empty() {
                what.to_owned()
            } else {
                format!("{prefix}: {what}")
            }
        };
        for (block, ending, what) in [
            (
                &playbook.rescue,
                Ending::Rescue,
                "rescue, when the steps failed",
            ),
            (&playbook.finally, Ending::Finally, "finally, always"),
        ] {
            if let Some(block) = block {
                let group = self.groups.len();
                self.block(block, &say(what), catalog, prefix, None);
                self.groups[group].ends = Some((main, ending));
            }
        }
    }

    fn block(
        &mut self,
        block: &Block,
        title: &str,
        catalog: &Catalog,
        prefix: &str,
        from: Option<(usize, usize)>,
    ) {
        let place = |id: &str| block.steps.iter().position(|s| s.id.value.as_str() == id);
        let mut arrows = Vec::new();
        for (to, step) in block.steps.iter().enumerate() {
            for need in &step.needs {
                arrows.extend(place(need.value.as_str()).map(|from| (from, to)));
            }
        }
        let group = self.groups.len();
        self.groups.push(Group {
            title: title.to_owned(),
            boxes: block.steps.iter().map(|s| step_box(s, catalog)).collect(),
            arrows,
            entered_from: from
                .map(|(g, b)| (g, b, Entered::Rescue))
                .into_iter()
                .collect(),
            ends: None,
        });
        for (index, step) in block.steps.iter().enumerate() {
            if let Some(rescue) = &step.rescue {
                let title = if prefix.is_empty() {
                    format!("rescue of {}", step.id.value)
                } else {
                    format!("{prefix}: rescue of {}", step.id.value)
                };
                self.block(rescue, &title, catalog, prefix, Some((group, index)));
            }
        }
    }

    fn boxes_where(&self, before: usize, wanted: impl Fn(&StepBox) -> bool) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        for (g, group) in self.groups.iter().enumerate().take(before) {
            for (b, candidate) in group.boxes.iter().enumerate() {
                if wanted(candidate) {
                    found.push((g, b));
                }
            }
        }
        found
    }
}

impl StepBox {
    fn calls(&self, label: &str) -> bool {
        self.action == label
    }
}

fn step_box(step: &Step, catalog: &Catalog) -> StepBox {
    let (action, part) = match &step.body {
        Body::Action { name, node, .. } => {
            let part = catalog
                .actions
                .get(name.value.as_str())
                .map_or(Part::Plain, |signature| {
                    if signature.has_role(Role::PointOfNoReturn) {
                        Part::PointOfNoReturn
                    } else if signature.has_role(Role::Fence) {
                        Part::Fence
                    } else {
                        Part::Plain
                    }
                });
            let node = node.as_ref().map(|n| format!(" on {}", written(n)));
            (name.value.clone() + &node.unwrap_or_default(), part)
        }
        Body::Playbook { name, .. } => (format!("playbook {}", name.value), Part::Nested),
    };
    let mut marks = Vec::new();
    match part {
        Part::PointOfNoReturn => marks.push("point of no return".to_owned()),
        Part::Fence => marks.push("proof".to_owned()),
        Part::Plain | Part::Nested => {}
    }
    if let Some(reason) = &step.disabled {
        marks.push(format!("switched off: {}", reason.value));
    }
    if let Some(when) = &step.when {
        marks.push(format!("when {}", when.text));
    }
    if let Some(for_each) = &step.for_each {
        let items = match &for_each.items {
            Items::Expression(expression) => expression.text.clone(),
            Items::List(list) => written(list),
        };
        marks.push(format!("for each of {items}"));
    }
    if let Some(until) = &step.until {
        marks.push(format!("until {}", until.text));
    }
    if let Some(retry) = &step.retry {
        marks.push(match (retry.attempts, retry.within) {
            (Some(attempts), _) => format!("up to {attempts} attempts"),
            (None, Some(within)) => {
                format!("again within {}", crate::playbook::format_duration(within))
            }
            (None, None) => "up to 3 attempts".to_owned(),
        });
    }
    match step.on_failure.value {
        OnFailure::Fail => {}
        OnFailure::Degrade => marks.push("on failure: degrade".to_owned()),
        OnFailure::Continue => marks.push("on failure: continue".to_owned()),
    }
    StepBox {
        id: step.id.value.to_string(),
        action,
        marks,
        part,
        state: None,
    }
}

/// A template as its author wrote it; a single reference without its braces.
fn written(tree: &TemplateTree) -> String {
    match tree {
        TemplateTree::Constant(value, _) => value.to_json().to_string(),
        TemplateTree::Expression(expression) => expression.text.clone(),
        TemplateTree::Template(template) => {
            let text = template.text.trim();
            text.strip_prefix("{{")
                .and_then(|t| t.strip_suffix("}}"))
                .filter(|inner| !inner.contains("{{"))
                .map_or(text, str::trim)
                .to_owned()
        }
        TemplateTree::List(items, _) => {
            let items: Vec<String> = items.iter().map(written).collect();
            format!("[{}]", items.join(", "))
        }
        TemplateTree::Map(entries, _) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|(key, value)| format!("{key}: {}", written(value)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

#[cfg(test)]
pub(super) mod samples {
    use super::*;

    pub(crate) fn step(id: &str, action: &str, marks: &[&str], part: Part) -> StepBox {
        StepBox {
            id: id.to_owned(),
            action: action.to_owned(),
            marks: marks.iter().map(ToString::to_string).collect(),
            part,
            state: None,
        }
    }

    /// A follow and what it nests, with texts that every format must escape.
    pub(crate) fn drawing() -> Drawing {
        let p = Part::Plain;
        Drawing {
            title: "failover".to_owned(),
            groups: vec![
                Group {
                    title: "failover".to_owned(),
                    boxes: vec![
                        step("end", "confirm_down on params.primary", &[], p),
                        step("freeze", "freeze", &["up to 3 attempts"], p),
                        step("fence", "fence on params.primary", &["proof"], Part::Fence),
                        step("choose", "choose", &[], p),
                        step(
                            "promote",
                            "promote on steps.choose.node",
                            &[
                                "point of no return",
                                "when steps.choose.loss <= params.max_loss && \"a\" != '<b>'",
                            ],
                            Part::PointOfNoReturn,
                        ),
                        step(
                            "follow",
                            "playbook follow",
                            &["for each of steps.choose.followers", "on failure: degrade"],
                            Part::Nested,
                        ),
                        step("report", "notify", &[], p),
                    ],
                    arrows: vec![
                        (0, 1),
                        (0, 2),
                        (1, 3),
                        (3, 4),
                        (2, 4),
                        (4, 5),
                        (0, 6),
                        (5, 6),
                    ],
                    entered_from: Vec::new(),
                    ends: None,
                },
                Group {
                    title: "rescue of promote".to_owned(),
                    boxes: vec![step("tell", "exec on runner", &["C:\\new `x` #1;"], p)],
                    arrows: Vec::new(),
                    entered_from: vec![(0, 4, Entered::Rescue)],
                    ends: None,
                },
                Group {
                    title: "playbook follow".to_owned(),
                    boxes: vec![
                        step("check_lsn", "check_lsn on params.node", &[], p),
                        step("set_upstream", "set_upstream on params.node", &[], p),
                    ],
                    arrows: vec![(0, 1)],
                    entered_from: vec![(0, 5, Entered::Nested)],
                    ends: None,
                },
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stock_failover_is_drawn_with_its_parts() {
        let shelves = crate::runs::Shelves::beside(None);
        let source = crate::playbook::Library::find(&shelves, "failover")
            .unwrap()
            .unwrap();
        let mut diagnostics = crate::document::Diagnostics::default();
        let catalog = crate::actions::catalog();
        let checked =
            crate::playbook::check(&source, &catalog, &shelves, &mut diagnostics).unwrap();
        let drawing = Drawing::of(&checked, &catalog);
        let parts: Vec<Part> = drawing.groups[0].boxes.iter().map(|b| b.part).collect();
        for part in [Part::Fence, Part::PointOfNoReturn, Part::Nested] {
            assert!(parts.contains(&part), "{part:?}");
        }
        let nested = drawing.groups.iter().find(|g| g.title == "playbook follow");
        assert!(!nested.unwrap().entered_from.is_empty());
    }
}
