//! What a step does: its action or playbook, and what it hands to it.

use super::kind::Kind;
use super::place::Place;
use super::resolve::param_kind;
use super::seals::gives_nothing;
use super::steps::Checker;
use super::templates::Want;
use crate::document::{Spanned, suggest};
use crate::playbook::{Body, Custom, NodeRule, Signature, Step, TemplateTree, Type};

type Given = [(Spanned<String>, TemplateTree)];

impl Checker<'_> {
    pub(super) fn body(&mut self, step: &Step, place: &Place<'_>) {
        match &step.body {
            Body::Action {
                name,
                node,
                with,
                custom,
            } => {
                if let Some(signature) = self.catalog.actions.get(name.value.as_str()) {
                    self.node(step, signature, node.as_ref(), place);
                    self.inputs(name, signature, with, place);
                    self.custom(name, signature, custom, place);
                    return;
                }
                self.unknown_action(name);
                // Its references can be checked all the same.
                for tree in node.iter().chain(with.iter().map(|(_, tree)| tree)) {
                    self.unjudged(tree, place);
                }
            }
            Body::Playbook { name, with } => self.nested(name, with, place),
        }
    }

    fn unknown_action(&mut self, name: &Spanned<String>) {
        let known = self.catalog.actions.keys().copied();
        let near = suggest(&name.value, known);
        let playbook = self.library.names().contains(&name.value);
        let error = self.error(
            "unknown-action",
            name.span,
            format!("there is no action `{}`", name.value),
        );
        error.help = match near {
            _ if playbook => Some(format!(
                "there is a playbook of this name: `playbook: {}`",
                name.value
            )),
            Some(near) => Some(format!("did you mean `{near}`?")),
            None => Some("own commands are `action: exec`".to_owned()),
        };
    }

    fn node(
        &mut self,
        step: &Step,
        signature: &Signature,
        node: Option<&TemplateTree>,
        place: &Place<'_>,
    ) {
        match (signature.node, node) {
            (NodeRule::Required, None) => {
                self.error(
                    "missing-node",
                    step.id.span,
                    format!(
                        "step `{}` needs a `node`: action `{}` works on one",
                        step.id.value, signature.name
                    ),
                )
                .help = Some("for example `node: \"{{ params.node }}\"`".to_owned());
            }
            (NodeRule::Refused, Some(node)) => {
                self.error(
                    "unexpected-node",
                    node.span(),
                    format!("action `{}` works on no single node", signature.name),
                )
                .help = Some("leave out `node`".to_owned());
            }
            (NodeRule::Required | NodeRule::Optional, Some(node)) => {
                let want = Want {
                    what: "`node`".to_owned(),
                    ty: Type::Node,
                    allowed: Vec::new(),
                    nullable: false,
                    environment: false,
                };
                self.value(node, &want, place);
            }
            (NodeRule::Optional | NodeRule::Refused, None) => {}
        }
    }

    /// `with`, `probe` or `undo`, against the inputs of the action.
    fn inputs(
        &mut self,
        at: &Spanned<String>,
        signature: &Signature,
        given: &Given,
        place: &Place<'_>,
    ) {
        for (name, tree) in given {
            let Some(field) = signature.input(&name.value) else {
                let known: Vec<&str> = signature.inputs.iter().map(|f| f.name).collect();
                self.unknown_input(name, &format!("action `{}`", signature.name), &known);
                self.unjudged(tree, place);
                continue;
            };
            let want = Want {
                what: format!("input `{}`", field.name),
                ty: if field.secret_too && field.ty != Type::Map && is_secret(self, tree) {
                    Type::Secret
                } else {
                    field.ty
                },
                allowed: field.allowed.to_vec(),
                nullable: !field.required,
                environment: field.secret_too && field.ty == Type::Map,
            };
            self.value(tree, &want, place);
        }
        let missing: Vec<&str> = signature
            .inputs
            .iter()
            .filter(|f| f.required && !given.iter().any(|(name, _)| name.value == f.name))
            .map(|f| f.name)
            .collect();
        if !missing.is_empty() {
            let of = if at.value == signature.name {
                format!("action `{}`", signature.name)
            } else {
                format!("`{}` of action `{}`", at.value, signature.name)
            };
            let helps: Vec<String> = signature
                .inputs
                .iter()
                .filter(|f| missing.contains(&f.name) && !f.help.is_empty())
                .map(|f| format!("`{}`: {}", f.name, f.help))
                .collect();
            let message = format!("{of} needs {}", inputs_listed(&missing));
            let help = (!helps.is_empty()).then(|| helps.join("; "));
            self.error("missing-input", at.span, message).help = help;
        }
    }

    fn unknown_input(&mut self, name: &Spanned<String>, of: &str, known: &[&str]) {
        let near = suggest(&name.value, known.iter().copied());
        let error = self.error(
            "unknown-input",
            name.span,
            format!("{of} has no input `{}`", name.value),
        );
        error.help = Some(match near {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => "it has no inputs".to_owned(),
            None => format!("its inputs are {}", known.join(", ")),
        });
    }

    fn custom(
        &mut self,
        name: &Spanned<String>,
        signature: &Signature,
        custom: &Custom,
        place: &Place<'_>,
    ) {
        if !signature.is_custom() {
            let keys = [
                ("effect", custom.effect.as_ref().map(|e| e.span)),
                ("probe", custom.probe.as_ref().map(|e| e.span)),
                ("undo", custom.undo.as_ref().map(|e| e.span)),
                ("assume", custom.assume.as_ref().map(|e| e.span)),
            ];
            for (key, span) in keys {
                if let Some(span) = span {
                    self.error("custom-only", span, format!("action `{}` has no `{key}`", name.value))
                        .help = Some(
                        "only `exec`, `sql` and `http` say this about themselves; other actions know it".to_owned(),
                    );
                }
            }
            return;
        }
        if custom.effect.is_none() {
            self.error(
                "missing-effect",
                name.span,
                format!(
                    "a step with `{}` must say what doing it twice means",
                    name.value
                ),
            )
            .help = Some(
                "`effect: read` changes nothing, `idempotent` can be repeated, `once` must not be"
                    .to_owned(),
            );
        }
        for (key, inputs) in [("probe", &custom.probe), ("undo", &custom.undo)] {
            if let Some(inputs) = inputs {
                let at = Spanned::new(key.to_owned(), inputs.span);
                self.inputs(&at, signature, &inputs.value, place);
            }
        }
        for (output, tree) in custom.assume.iter().flat_map(|a| &a.value) {
            let Some(field) = signature.output(&output.value) else {
                let known: Vec<&str> = signature.outputs.iter().map(|f| f.name).collect();
                let near = suggest(&output.value, known.iter().copied());
                let message = format!("action `{}` has no output `{}`", name.value, output.value);
                self.error("unknown-output", output.span, message).help = Some(match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("its outputs are {}", known.join(", ")),
                });
                continue;
            };
            let want = Want {
                what: format!("output `{}`", field.name),
                ty: field.ty,
                allowed: field.allowed.to_vec(),
                nullable: !field.required,
                environment: false,
            };
            self.value(tree, &want, place);
        }
    }

    /// A nested playbook's parameters.
    fn nested(&mut self, name: &Spanned<String>, with: &Given, place: &Place<'_>) {
        let Some(Some(contract)) = self.nested.get(&name.value) else {
            for (_, tree) in with {
                self.unjudged(tree, place);
            }
            return;
        };
        let playbook = contract.playbook.clone();
        let of = format!("playbook `{}`", name.value);
        for (given, tree) in with {
            let Some(param) = playbook.param(&given.value) else {
                let known: Vec<&str> = playbook
                    .params
                    .iter()
                    .map(|p| p.name.value.as_str())
                    .collect();
                self.unknown_input(given, &of, &known);
                self.unjudged(tree, place);
                continue;
            };
            if param.sealed {
                if gives_nothing(self.playbook, tree) {
                    continue;
                }
                self.error(
                    "sealed",
                    given.span,
                    format!("parameter `{}` of {of} is sealed", given.value),
                )
                .help = Some("leave it out; the playbook itself sets it".to_owned());
                continue;
            }
            let allowed = match param_kind(param) {
                Kind::String(Some(words)) => words,
                _ => Vec::new(),
            };
            let want = Want {
                what: format!("parameter `{}`", given.value),
                ty: param.ty,
                allowed: allowed.iter().map(String::as_str).collect(),
                nullable: !param.required,
                environment: false,
            };
            self.value(tree, &want, place);
        }
        let missing: Vec<&str> = playbook
            .params
            .iter()
            .filter(|p| p.required && !with.iter().any(|(given, _)| given.value == p.name.value))
            .map(|p| p.name.value.as_str())
            .collect();
        if !missing.is_empty() {
            let message = format!(
                "{of} needs {}",
                inputs_listed(&missing).replace("input", "parameter")
            );
            self.error("missing-input", name.span, message).help =
                Some("give it in `with`".to_owned());
        }
    }
}

fn inputs_listed(names: &[&str]) -> String {
    let listed: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    let noun = if names.len() == 1 { "input" } else { "inputs" };
    format!("the {noun} {}", listed.join(", "))
}

/// Whether a value is a single reference to a secret parameter.
fn is_secret(checker: &Checker<'_>, tree: &TemplateTree) -> bool {
    let TemplateTree::Template(template) = tree else {
        return false;
    };
    let Some(reference) = template.single() else {
        return false;
    };
    match reference.path.as_slice() {
        [root, name] if root == "params" => checker
            .playbook
            .param(name)
            .is_some_and(|p| p.ty == Type::Secret),
        _ => false,
    }
}
