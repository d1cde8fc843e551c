//! What steps and playbooks give.

use super::kind::{Kind, Output, Outputs};
use super::place::Place;
use super::steps::Checker;
use crate::document::Label;
use crate::playbook::{Block, Body, Signature, Step};

pub(super) fn of_action(signature: &Signature) -> Vec<Output> {
    signature
        .outputs
        .iter()
        .map(|field| Output {
            name: field.name.to_owned(),
            kind: Kind::declared(field.ty, field.allowed.iter().copied()),
            nullable: !field.required,
        })
        .collect()
}

impl Checker<'_> {
    /// The outputs of a step that ended ok (of one item, for a `for_each`).
    pub(super) fn outputs_of(&self, step: &Step) -> Outputs {
        match &step.body {
            Body::Action { name, .. } => match self.catalog.actions.get(name.value.as_str()) {
                Some(signature) => Outputs::Known(of_action(signature)),
                None => Outputs::Unknown,
            },
            Body::Playbook { name, .. } => match self.nested.get(&name.value) {
                Some(Some(contract)) => Outputs::Known(contract.outputs.clone()),
                _ => Outputs::Unknown,
            },
        }
    }

    /// The outputs of the playbook itself, seen from its end.
    pub(super) fn own_outputs(&mut self, place: &Place<'_>) -> Vec<Output> {
        let playbook = self.playbook;
        let mut outputs = Vec::with_capacity(playbook.outputs.len());
        for (name, expression) in &playbook.outputs {
            let tolerant = Place {
                tolerant: true,
                ..place.clone()
            };
            let kind = self.expression(expression, &tolerant);
            // Whether it may be null: whether guards would be demanded of a condition here.
            let before = self.diagnostics.0.len();
            self.expression(expression, place);
            let nullable = self.diagnostics.0[before..]
                .iter()
                .any(|d| d.code == "maybe-null");
            self.diagnostics.0.truncate(before);
            outputs.push(Output {
                name: name.value.clone(),
                nullable: nullable || kind == Kind::Null,
                kind,
            });
        }
        outputs
    }

    /// What a rescue puts in place of its step's outputs: the same names and types.
    pub(super) fn rescue_outputs(&mut self, step: &Step, rescue: &Block, place: &Place<'_>) {
        if rescue.outputs.is_empty() {
            return;
        }
        let expected = self.outputs_of(step);
        for (name, expression) in &rescue.outputs {
            let expected_one = expected.find(&name.value).cloned();
            let own = Place {
                tolerant: expected_one.as_ref().is_none_or(|o| o.nullable),
                ..place.clone()
            };
            let kind = self.expression(expression, &own);
            match (expected_one, &expected) {
                (_, Outputs::Unknown) => {}
                (Some(output), _) if !kind.may_be(&output.kind) => {
                    let message = format!(
                        "output `{}` of `{}` is {}, and its rescue gives {kind}",
                        name.value, step.id.value, output.kind
                    );
                    self.error("rescue-outputs", expression.span, message);
                }
                (Some(_), _) => {}
                (None, Outputs::Known(known)) => {
                    let known: Vec<&str> = known.iter().map(|o| o.name.as_str()).collect();
                    let near = crate::document::suggest(&name.value, known.iter().copied());
                    let message = format!(
                        "`{}` has no output `{}` that its rescue could replace",
                        step.id.value, name.value
                    );
                    self.error("rescue-outputs", name.span, message).help = Some(match near {
                        Some(near) => format!("did you mean `{near}`?"),
                        None if known.is_empty() => "it has no outputs".to_owned(),
                        None => format!("its outputs are {}", known.join(", ")),
                    });
                }
            }
        }
        let Outputs::Known(known) = expected else {
            return;
        };
        let given = |name: &str| rescue.outputs.iter().any(|(n, _)| n.value == name);
        let missing: Vec<&str> = known
            .iter()
            .filter(|o| !o.nullable && !given(&o.name))
            .map(|o| o.name.as_str())
            .collect();
        if !missing.is_empty() {
            let id = step.id.clone();
            let error = self.error(
                "rescue-outputs",
                rescue.span,
                format!("the outputs of this rescue lack {}", missing.join(", ")),
            );
            error.related.push(Label {
                span: id.span,
                text: "which this step gives".to_owned(),
            });
            error.help = Some("a rescue gives all outputs of its step, or none".to_owned());
        }
    }
}
