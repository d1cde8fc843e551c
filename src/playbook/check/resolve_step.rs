//! `steps.id…`: from the name of a step's output to what is known about it, and whether it may be null.

use super::facts::{Fact, follows};
use super::kind::{Kind, Outputs};
use super::names::{Name, Part};
use super::place::{From, Place, Seen};
use super::resolve::{Use, guard, words};
use super::steps::Checker;
use crate::document::suggest;
use crate::playbook::OnFailure;

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

impl Checker<'_> {
    pub(super) fn step_name(&mut self, name: &Name, place: &Place<'_>, used: &Use<'_>) -> Kind {
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
                let strict_items = each.max_failures.is_none();
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
            || (none_may_fail && doubt(seen, whole, used).is_none());
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

    fn must_be_ok(&mut self, seen: &Seen<'_>, written: &str, part: &Part, used: &Use<'_>) {
        let Some(doubt) = doubt(seen, written, used) else {
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
            _ if seen.step.disabled.is_some() => seen.step.disabled.as_ref().map(|why| why.span),
            (Some(when), _) if doubt.starts_with("it is skipped") => Some(when.span),
            (_, OnFailure::Degrade | OnFailure::Continue) => Some(seen.step.on_failure.span),
            _ => None,
        };
        let error = self.report("maybe-null", used.text, part.at, message);
        doubt.clone_into(&mut error.label);
        if let Some(span) = because {
            error.related.push(crate::document::Label {
                span,
                text: "because of this".to_owned(),
            });
        }
        error.help = Some(guard(used.text, &format!("{written}.status == 'ok'")));
    }
}

/// Why the outputs of a step may be null here.
fn doubt(seen: &Seen<'_>, written: &str, used: &Use<'_>) -> Option<&'static str> {
    if used.facts.contains(&Fact::Ok(written.to_owned())) {
        return None;
    }
    if let Some(doubt) = seen.doubt() {
        return Some(doubt);
    }
    let when = seen.step.when.as_ref()?;
    (!follows(used.facts, when.tree())).then_some("it is skipped where its `when` does not hold")
}
