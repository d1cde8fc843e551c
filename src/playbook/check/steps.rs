//! A playbook from top to bottom.

use super::facts::learn;
use super::graph::Graph;
use super::kind::{Kind, Output};
use super::names::Text;
use super::place::{From, Names, Place, Visible};
use super::playbooks::{Library, Nested};
use super::safety;
use crate::document::{Diagnostic, Diagnostics, Span};
use crate::playbook::{Block, Catalog, ForEach, Items, Playbook, Step, TemplateTree, Type, Value};

/// What a check of one playbook works with.
pub(super) struct Checker<'a> {
    pub(super) playbook: &'a Playbook,
    pub(super) catalog: &'a Catalog,
    pub(super) library: &'a dyn Library,
    /// The playbooks that this one nests, those that could be loaded.
    pub(super) nested: &'a Nested,
    pub(super) diagnostics: &'a mut Diagnostics,
}

/// Checks one playbook; gives its outputs.
pub(super) fn check_playbook(
    playbook: &Playbook,
    catalog: &Catalog,
    library: &dyn Library,
    nested: &Nested,
    diagnostics: &mut Diagnostics,
) -> Vec<Output> {
    let mut found = Diagnostics::default();
    let mut checker = Checker {
        playbook,
        catalog,
        library,
        nested,
        diagnostics: &mut found,
    };
    let outputs = checker.whole();
    // A name that is used twice in one expression, and what both passes over outputs find, is said once.
    let mut seen = std::collections::HashSet::new();
    found
        .0
        .retain(|d| seen.insert((d.code, d.span, d.message.clone())));
    found.sort();
    diagnostics.append(found);
    outputs
}

impl Checker<'_> {
    /// Reports an error at a place of an expression or template.
    pub(super) fn report(
        &mut self,
        code: &'static str,
        text: Text<'_>,
        offset: usize,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        let span = text.place(&self.playbook.source, offset);
        self.error(code, span, message)
    }

    /// Reports an error at a place of the playbook.
    pub(super) fn error(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.diagnostics
            .error(code, &self.playbook.source, span, message)
    }

    fn whole(&mut self) -> Vec<Output> {
        let playbook = self.playbook;
        self.params();
        if let Some(condition) = playbook
            .defaults
            .retry
            .as_ref()
            .and_then(|r| r.condition.as_ref())
        {
            let place = Place {
                error: true,
                ..Place::default()
            };
            self.condition("`if`", condition, &place);
        }
        let top = self.block(&playbook.steps, &Place::default());
        let seen = |from| Place {
            blocks: vec![Visible { graph: &top, from }],
            ..Place::default()
        };
        let rescue = playbook.rescue.as_ref().map(|rescue| {
            let place = Place {
                error: true,
                ..seen(From::Anytime)
            };
            self.block(rescue, &place)
        });
        let finally = playbook
            .finally
            .as_ref()
            .map(|finally| self.block(finally, &seen(From::Anytime)));
        let outputs = self.own_outputs(&seen(From::End));
        safety::check(self, &top, [rescue.as_ref(), finally.as_ref()]);
        outputs
    }

    fn params(&mut self) {
        let playbook = self.playbook;
        let place = Place {
            names: Names::Defaults,
            ..Place::default()
        };
        for param in &playbook.params {
            let Some(default) = &param.default else {
                continue;
            };
            if default.constant().is_none() {
                if param.ty == Type::Secret {
                    continue;
                }
                self.inside(default, &place, false);
            }
        }
    }

    /// Checks a block that stands at `outer`; gives its order.
    fn block<'b>(&mut self, block: &'b Block, outer: &Place<'_>) -> Graph<'b> {
        let graph = Graph::of(block, &self.playbook.source, self.diagnostics);
        for (index, step) in block.steps.iter().enumerate() {
            let mut place = Place {
                blocks: vec![Visible {
                    graph: &graph,
                    from: From::Step(index),
                }],
                ..outer.clone()
            };
            place.blocks.extend(outer.blocks.iter().copied());
            self.step(step, index, place);
        }
        graph
    }

    fn step(&mut self, step: &Step, index: usize, mut place: Place<'_>) {
        if let Some(when) = &step.when {
            self.condition("`when`", when, &place);
            let mut facts = std::mem::take(&mut place.facts);
            learn(&mut facts, &place, when, when.tree(), true);
            place.facts = facts;
        }
        if let Some(each) = &step.for_each {
            self.for_each(each, &mut place);
        }
        self.body(step, &place);
        if let Some(until) = &step.until {
            let place = Place {
                result: Some(self.outputs_of(step)),
                ..place.clone()
            };
            self.condition("`until`", until, &place);
        }
        if let Some(condition) = step.retry.as_ref().and_then(|r| r.condition.as_ref()) {
            let place = Place {
                error: true,
                ..place.clone()
            };
            self.condition("`if`", condition, &place);
        }
        if let Some(rescue) = &step.rescue {
            if let Some(own) = place.blocks.first_mut() {
                own.from = From::RescueOf(index);
            }
            place.error = true;
            let graph = self.block(rescue, &place);
            let mut end = Place {
                blocks: vec![Visible {
                    graph: &graph,
                    from: From::End,
                }],
                ..place.clone()
            };
            end.blocks.extend(place.blocks.iter().copied());
            self.rescue_outputs(step, rescue, &end);
        }
    }

    fn for_each(&mut self, each: &ForEach, place: &mut Place<'_>) {
        let element = match &each.items {
            Items::Expression(items) => match self.expression(items, place) {
                Kind::List(element) => *element,
                Kind::Any | Kind::Never => Kind::Any,
                other => {
                    let error = self.error(
                        "wrong-type",
                        items.span,
                        format!("`for_each` goes over a list, this is {other}"),
                    );
                    if other == Kind::Map {
                        let text = &items.text;
                        error.help = Some(format!("go over its keys: `{text}.map(key, key)`"));
                    }
                    Kind::Any
                }
            },
            Items::List(list) => {
                self.inside(list, place, false);
                if each.key.is_none() {
                    self.items_differ(list);
                }
                match list.constant().map(|value| Kind::of_value(&value)) {
                    Some(Kind::List(element)) => *element,
                    _ => Kind::Any,
                }
            }
        };
        place.item = Some(element);
        if let Some(key) = &each.key {
            let kind = self.expression(key, place);
            if matches!(kind, Kind::List(_) | Kind::Duration | Kind::Null) {
                let message = format!("the key of an item is text or a number, this is {kind}");
                self.error("wrong-type", key.span, message);
            }
        }
    }

    /// Items without a `key` are told apart by what they are.
    fn items_differ(&mut self, list: &TemplateTree) {
        let TemplateTree::List(items, _) = list else {
            return;
        };
        let mut seen: Vec<Value> = Vec::new();
        for item in items {
            let Some(value) = item.constant() else {
                continue;
            };
            if seen.contains(&value) {
                self.error("duplicate-value", item.span(), "this item is there already")
                    .help = Some("give `key` an expression that differs for each item".to_owned());
            }
            seen.push(value);
        }
    }
}
