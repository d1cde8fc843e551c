//! From a name to what is known about its value.

use super::facts::{Fact, Facts, follows};
use super::kind::{Kind, Output, Outputs};
use super::names::{Name, Part, Text};
use super::place::{From, Place, Seen};
use super::steps::Checker;
use crate::document::suggest;
use crate::playbook::{MaxFailures, OnFailure, TroubleKind};

/// As `StepStatus` writes them.
const STATUSES: [&str; 8] = [
    "pending",
    "running",
    "ok",
    "rescued",
    "skipped",
    "failed",
    "not_run",
    "cancelled",
];

const KINDS: [TroubleKind; 7] = [
    TroubleKind::Unreachable,
    TroubleKind::Timeout,
    TroubleKind::Denied,
    TroubleKind::Failed,
    TroubleKind::Conflict,
    TroubleKind::Unmet,
    TroubleKind::Unknown,
];

/// How a name is used.
pub(super) struct Use<'u> {
    pub(super) text: Text<'u>,
    pub(super) facts: &'u Facts,
    /// It must not be null.
    pub(super) strict: bool,
}

fn words<'w>(words: impl IntoIterator<Item = &'w str>) -> Kind {
    Kind::String(Some(words.into_iter().map(str::to_owned).collect()))
}

impl Checker<'_> {
    /// What is known about the value of `name`. What is wrong with it is reported.
    pub(super) fn resolve(&mut self, name: &Name, place: &Place<'_>, used: &Use<'_>) -> Kind {
        if place.defaults && !matches!(name.root.as_str(), "site" | "cluster") {
            self.report(
                "unknown-name",
                used.text,
                name.at,
                format!("a default cannot use `{}`", name.root),
            )
            .help = Some("defaults may use `site.vars` and `cluster`".to_owned());
            return Kind::Any;
        }
        match name.root.as_str() {
            "params" => self.param(name, used),
            "site" => match name.parts.split_first() {
                None => Kind::Map,
                Some((vars, [])) if vars.text.as_deref() == Some("vars") => Kind::Map,
                Some((vars, _)) if vars.text.as_deref() == Some("vars") => Kind::Any,
                Some((part, _)) => self.unknown_part("site", part, &["vars"], used),
            },
            "cluster" if name.parts.is_empty() => Kind::Map,
            "cluster" => Kind::Any,
            "trigger" => Kind::Any,
            "run" => self.fields(
                name,
                used,
                &[
                    ("id", Kind::TEXT),
                    ("started", Kind::TEXT),
                    ("trigger", Kind::TEXT),
                ],
            ),
            "steps" => self.step_name(name, place, used),
            "item" => match &place.item {
                Some(kind) => self.selected(kind.clone(), &name.root, &name.parts, used),
                None => {
                    self.out_of_place(name, used, "`item` exists only in a step with `for_each`")
                }
            },
            "result" => match &place.result {
                Some(Outputs::Unknown) => Kind::Any,
                Some(Outputs::Known(outputs)) => self.result(name, outputs, used),
                None => self.out_of_place(name, used, "`result` exists only in `until`"),
            },
            "error" if place.error => {
                let kinds = words(KINDS.map(TroubleKind::as_str));
                self.fields(
                    name,
                    used,
                    &[
                        ("step", Kind::TEXT),
                        ("kind", kinds),
                        ("message", Kind::TEXT),
                    ],
                )
            }
            "error" => self.out_of_place(
                name,
                used,
                "`error` exists only in a rescue and in `retry.if`",
            ),
            _ => self.unknown_root(name, place, used),
        }
    }

    fn unknown_root(&mut self, name: &Name, place: &Place<'_>, used: &Use<'_>) -> Kind {
        let mut known = vec!["params", "site", "cluster", "steps", "run", "trigger"];
        known.extend(place.item.as_ref().map(|_| "item"));
        known.extend(place.result.as_ref().map(|_| "result"));
        known.extend(place.error.then_some("error"));
        let root = name.root.as_str();
        let param = self.playbook.param(root).is_some();
        let step = place.find(root).is_some();
        let error = self.report(
            "unknown-name",
            used.text,
            name.at,
            format!("there is no name `{root}`"),
        );
        error.help = Some(if param {
            format!("the parameter is `params.{root}`")
        } else if step {
            format!("the step is `steps.{root}`")
        } else if let Some(near) = suggest(root, known.iter().copied()) {
            format!("did you mean `{near}`?")
        } else if name.parts.is_empty() && matches!(used.text, Text::Expression(_)) {
            format!(
                "the names here are {}; text stands in quotes: `'{root}'`",
                known.join(", ")
            )
        } else {
            format!("the names here are {}", known.join(", "))
        });
        Kind::Any
    }

    fn out_of_place(&mut self, name: &Name, used: &Use<'_>, why: &str) -> Kind {
        self.report("unknown-name", used.text, name.at, why);
        Kind::Any
    }

    fn unknown_part(&mut self, of: &str, part: &Part, known: &[&str], used: &Use<'_>) -> Kind {
        let Some(text) = &part.text else {
            return Kind::Any;
        };
        let error = self.report(
            "unknown-name",
            used.text,
            part.at,
            format!("there is no `{text}` in `{of}`"),
        );
        error.help = Some(match suggest(text, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("it has: {}", known.join(", ")),
        });
        Kind::Any
    }

    fn fields(&mut self, name: &Name, used: &Use<'_>, fields: &[(&str, Kind)]) -> Kind {
        let Some((part, rest)) = name.parts.split_first() else {
            return Kind::Map;
        };
        let Some(text) = &part.text else {
            return Kind::Any;
        };
        match fields.iter().find(|(field, _)| field == text) {
            Some((_, kind)) => self.selected(kind.clone(), &part.upto, rest, used),
            None => {
                let known: Vec<&str> = fields.iter().map(|(field, _)| *field).collect();
                self.unknown_part(&name.root, part, &known, used)
            }
        }
    }

    /// What is left after selecting `rest` from a value of `kind`.
    fn selected(&mut self, kind: Kind, of: &str, rest: &[Part], used: &Use<'_>) -> Kind {
        let Some((part, rest)) = rest.split_first() else {
            return kind;
        };
        match kind {
            Kind::Any | Kind::Never | Kind::Map | Kind::Null => Kind::Any,
            Kind::List(element) if part.text.is_none() => {
                self.selected(*element, &part.upto, rest, used)
            }
            other => {
                self.report(
                    "wrong-type",
                    used.text,
                    part.at,
                    format!("`{of}` is {other}: nothing can be selected from it"),
                );
                Kind::Any
            }
        }
    }

    fn param(&mut self, name: &Name, used: &Use<'_>) -> Kind {
        let Some((part, rest)) = name.parts.split_first() else {
            return Kind::Map;
        };
        let Some(text) = &part.text else {
            return Kind::Any;
        };
        let playbook = self.playbook;
        let Some(param) = playbook.param(text) else {
            let known: Vec<&str> = playbook
                .params
                .iter()
                .map(|p| p.name.value.as_str())
                .collect();
            let error = self.report(
                "unknown-param",
                used.text,
                part.at,
                format!("there is no parameter `{text}`"),
            );
            error.help = Some(match suggest(text, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if known.is_empty() => "declare it under `params`".to_owned(),
                None => format!("the parameters are {}", known.join(", ")),
            });
            return Kind::Any;
        };
        let nullable = !param.required && param.default.is_none();
        if nullable && used.strict && !used.facts.contains(&Fact::Set(part.upto.clone())) {
            let written = &part.upto;
            let error = self.report(
                "maybe-null",
                used.text,
                part.at,
                format!("`{written}` may be null: it is neither required nor has it a default"),
            );
            error.help = Some(match used.text {
                Text::Expression(_) => {
                    format!("guard it: `{written} != null && …`; or give it a default")
                }
                Text::Template(_) => format!(
                    "make it `required`, give it a default, or give this step `when: {written} != null`"
                ),
            });
        }
        self.selected(param_kind(param), &part.upto, rest, used)
    }

    fn result(&mut self, name: &Name, outputs: &[Output], used: &Use<'_>) -> Kind {
        let Some((part, rest)) = name.parts.split_first() else {
            return Kind::Map;
        };
        self.output(&name.root, part, rest, outputs, used)
    }

    /// An output of something that ended ok.
    fn output(
        &mut self,
        of: &str,
        part: &Part,
        rest: &[Part],
        outputs: &[Output],
        used: &Use<'_>,
    ) -> Kind {
        let Some(text) = &part.text else {
            return Kind::Any;
        };
        let Some(output) = outputs.iter().find(|o| o.name == *text) else {
            let known: Vec<&str> = outputs.iter().map(|o| o.name.as_str()).collect();
            let error = self.report(
                "unknown-output",
                used.text,
                part.at,
                format!("`{of}` has no output `{text}`"),
            );
            error.help = Some(match suggest(text, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if known.is_empty() => "it has no outputs, only `status`".to_owned(),
                None => format!("its outputs are {}", known.join(", ")),
            });
            return Kind::Any;
        };
        if output.nullable && used.strict && !used.facts.contains(&Fact::Set(part.upto.clone())) {
            let written = &part.upto;
            let error = self.report(
                "maybe-null",
                used.text,
                part.at,
                format!("`{written}` may be null even where `{of}` ended ok"),
            );
            error.help = Some(guard(used.text, &format!("{written} != null")));
        }
        self.selected(output.kind.clone(), &part.upto, rest, used)
    }

    fn step_name(&mut self, name: &Name, place: &Place<'_>, used: &Use<'_>) -> Kind {
        let Some((id, rest)) = name.parts.split_first() else {
            self.report(
                "unknown-step",
                used.text,
                name.at,
                "`steps` needs the id of a step",
            )
            .help = Some("write `steps.id.output`".to_owned());
            return Kind::Any;
        };
        let Some(text) = &id.text else {
            self.report(
                "unknown-step",
                used.text,
                id.at,
                "the id of a step cannot be computed",
            )
            .help = Some("write it out: `steps.id.output`".to_owned());
            return Kind::Any;
        };
        let Some(seen) = place.find(text) else {
            let known = place.steps();
            let error = self.report(
                "unknown-step",
                used.text,
                id.at,
                format!("there is no step `{text}`"),
            );
            if let Some(near) = suggest(text, known) {
                error.help = Some(format!("did you mean `{near}`?"));
            }
            return Kind::Any;
        };
        if !seen.has_ended() {
            self.not_an_ancestor(&seen, id, used);
            return Kind::Any;
        }
        let Some((part, below)) = rest.split_first() else {
            return Kind::Map;
        };
        match (part.text.as_deref(), &seen.step.for_each) {
            (Some("status"), _) => self.selected(words(STATUSES), &part.upto, below, used),
            (Some("items"), Some(each)) => {
                let strict_items = each.max_failures == MaxFailures::Count(0);
                self.item_name(&seen, strict_items, &part.upto, below, used)
            }
            (Some(output), Some(_)) => {
                self.report(
                    "unknown-output",
                    used.text,
                    part.at,
                    format!("`{text}` has a `for_each`, so its outputs are those of its items"),
                )
                .help = Some(format!("write `steps.{text}.items[key].{output}`"));
                Kind::Any
            }
            (_, _) => {
                if used.strict {
                    self.must_be_ok(&seen, &id.upto, part, used);
                }
                match self.outputs_of(seen.step) {
                    Outputs::Unknown => Kind::Any,
                    Outputs::Known(outputs) => self.output(&id.upto, part, below, &outputs, used),
                }
            }
        }
    }

    fn not_an_ancestor(&mut self, seen: &Seen<'_>, id: &Part, used: &Use<'_>) {
        let text = id.text.as_deref().unwrap_or_default();
        let (From::Step(from) | From::RescueOf(from)) = seen.block.from else {
            return;
        };
        let me = &seen.block.graph.block.steps[from].id.value;
        if from == seen.index {
            self.report(
                "not-an-ancestor",
                used.text,
                id.at,
                format!("`{text}` refers to its own outcome"),
            )
            .help = Some("in `until` the outputs of the attempt are `result.…`".to_owned());
            return;
        }
        let message = format!("`{me}` does not need `{text}`, so `{text}` may not have ended yet");
        let circle = seen.block.graph.is_ancestor(from, seen.index);
        let span = seen.step.id.span;
        let error = self.report("not-an-ancestor", used.text, id.at, message);
        error.related.push(crate::document::Label {
            span,
            text: "this step".to_owned(),
        });
        error.help = Some(if circle {
            format!("`{text}` itself needs `{me}`")
        } else {
            format!("add `{text}` to the `needs` of `{me}`")
        });
    }

    /// `steps.id.items`, and what is selected from it.
    fn item_name(
        &mut self,
        seen: &Seen<'_>,
        none_may_fail: bool,
        of: &str,
        rest: &[Part],
        used: &Use<'_>,
    ) -> Kind {
        let Some((key, rest)) = rest.split_first() else {
            return Kind::Map;
        };
        let Some((part, below)) = rest.split_first() else {
            return Kind::Map;
        };
        if part.text.as_deref() == Some("status") {
            return self.selected(words(STATUSES), &part.upto, below, used);
        }
        let whole = of.trim_end_matches(".items");
        let sure = used.facts.contains(&Fact::Ok(key.upto.clone()))
            || used.facts.contains(&Fact::Set(part.upto.clone()))
            || (none_may_fail && self.doubt(seen, whole, used).is_none());
        if !sure && used.strict {
            let written = &part.upto;
            let error = self.report(
                "maybe-null",
                used.text,
                part.at,
                format!("`{written}` is null where this item did not end ok"),
            );
            error.help = Some(guard(used.text, &format!("{}.status == 'ok'", key.upto)));
        }
        match self.outputs_of(seen.step) {
            Outputs::Unknown => Kind::Any,
            Outputs::Known(outputs) => self.output(&key.upto, part, below, &outputs, used),
        }
    }

    /// Why the outputs of a step may be null here.
    fn doubt(&self, seen: &Seen<'_>, written: &str, used: &Use<'_>) -> Option<&'static str> {
        if used.facts.contains(&Fact::Ok(written.to_owned())) {
            return None;
        }
        if let Some(doubt) = seen.doubt() {
            return Some(doubt);
        }
        let when = seen.step.when.as_ref()?;
        (!follows(used.facts, when.tree()))
            .then_some("it is skipped where its `when` does not hold")
    }

    fn must_be_ok(&mut self, seen: &Seen<'_>, written: &str, part: &Part, used: &Use<'_>) {
        let Some(doubt) = self.doubt(seen, written, used) else {
            return;
        };
        if used.facts.contains(&Fact::Set(part.upto.clone())) {
            return;
        }
        let message = format!(
            "`{}` may be null: `{}` may not have ended ok",
            part.upto, seen.step.id.value
        );
        let because = match (&seen.step.when, seen.step.on_failure.value) {
            (Some(when), _) if doubt.starts_with("it is skipped") => Some(when.span),
            (_, OnFailure::Degrade | OnFailure::Continue) => Some(seen.step.on_failure.span),
            _ => None,
        };
        let error = self.report("maybe-null", used.text, part.at, message);
        error.label = doubt.to_owned();
        if let Some(span) = because {
            error.related.push(crate::document::Label {
                span,
                text: "because of this".to_owned(),
            });
        }
        error.help = Some(guard(used.text, &format!("{written}.status == 'ok'")));
    }
}

pub(super) fn param_kind(param: &crate::playbook::Param) -> Kind {
    let allowed = param.allowed.iter().flatten().filter_map(|v| v.as_str());
    Kind::declared(param.ty, allowed)
}

fn guard(text: Text<'_>, condition: &str) -> String {
    match text {
        Text::Expression(_) => format!("guard it: `{condition} && …`"),
        Text::Template(_) => format!("give this step `when: {condition}`"),
    }
}
