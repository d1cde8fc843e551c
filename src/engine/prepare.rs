//! What a step is to do, with everything that it refers to filled in.

use super::Failure;
use super::action::Inputs;
use super::attempt::ActionWork;
use super::attempts::Work;
use super::names::ScopeNames;
use super::nested::PlaybookWork;
use super::panic::caught_now;
use super::scope::{Run, Scope};
use crate::playbook::{
    Body, Custom, EffectClass, EvaluationError, Expression, Fields, Map, Playbook, Signature, Step,
    TemplateTree, TroubleKind, Unreadable, Value, bind, fit,
};
use std::sync::Arc;

/// How deep playbooks may be nested. The checker refuses recursion; this is for what it did not see.
const DEEPEST: usize = 32;

/// Walks over declared fields by name, without their places in the source.
macro_rules! by_name {
    ($fields:expr) => {
        $fields
            .iter()
            .map(|(name, field)| (name.value.as_str(), field))
    };
}
pub(super) use by_name;

/// Fills in what a step refers to.
pub(super) fn prepare<'s>(
    run: &'s Run<'s>,
    scope: &'s Scope<'s>,
    step: &'s Step,
    names: &ScopeNames<'s>,
) -> Result<Work<'s>, Failure> {
    match &step.body {
        Body::Action {
            name,
            node,
            with,
            custom,
        } => {
            let action = run.actions.find(&name.value).ok_or_else(|| {
                let message = format!("there is no action `{}`", name.value);
                Failure::new(TroubleKind::Failed, message)
            })?;
            let signature = action.signature();
            let fields = |fields| inputs(fields, names, signature);
            let inputs = Inputs {
                node: node
                    .as_ref()
                    .map(|node| node_name(node, names))
                    .transpose()?,
                with: fields(with)?,
                effect: custom.effect.as_ref().map(|effect| effect.value.into()),
                probe: custom
                    .probe
                    .as_ref()
                    .map(|probe| fields(&probe.value))
                    .transpose()?,
                undo: custom
                    .undo
                    .as_ref()
                    .map(|undo| fields(&undo.value))
                    .transpose()?,
                assume: assumed(run, custom, names)?,
            };
            let class = inputs.effect.or(signature.effect);
            let timeout = step.timeout.as_ref().map(|timeout| timeout.value);
            let limit = timeout
                .or(scope.playbook.defaults.timeout)
                .unwrap_or(signature.timeout);
            Ok(Work::Action(ActionWork {
                action,
                inputs: Arc::new(inputs),
                limit,
                // Whoever says nothing about itself is not done twice.
                class: class.unwrap_or(EffectClass::Once),
            }))
        }
        Body::Playbook { name, with } => {
            let playbook: &'s Playbook = run.playbooks.get(&name.value).ok_or_else(|| {
                let message = format!("there is no playbook `{}`", name.value);
                Failure::new(TroubleKind::Failed, message)
            })?;
            if scope.depth >= DEEPEST {
                let message = format!("playbooks are nested more than {DEEPEST} deep");
                return Err(Failure::new(TroubleKind::Failed, message));
            }
            let given = render_fields(by_name!(with), names)?;
            let bound = caught_now("a default", || bind(playbook, &given, &run.base))?;
            let params = bound.map_err(|errors| {
                let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
                let message = format!(
                    "playbook `{}` cannot be run with these parameters: {}",
                    name.value,
                    all.join("; ")
                );
                Failure::new(TroubleKind::Failed, message)
            })?;
            Ok(Work::Playbook(PlaybookWork {
                playbook,
                params: Arc::new(params),
                limit: step.timeout.as_ref().map(|timeout| timeout.value),
            }))
        }
    }
}

/// Evaluates declared outputs; all must have a value, which may be null.
pub(super) fn outputs<'f>(
    declared: impl Iterator<Item = (&'f str, &'f Expression)>,
    names: &ScopeNames<'_>,
) -> Result<Map, Failure> {
    declared
        .map(|(name, expression)| {
            caught_now("an output", || expression.evaluate(names))?
                .map(|value| (name.to_owned(), value))
                .map_err(|error| {
                    let failure = unevaluated(&error);
                    let message = format!("output `{name}`: {}", failure.message);
                    Failure { message, ..failure }
                })
        })
        .collect()
}

/// The same where what cannot be evaluated is null: the outputs of playbooks.
pub(super) fn lenient_outputs<'f>(
    declared: impl Iterator<Item = (&'f str, &'f Expression)>,
    names: &ScopeNames<'_>,
) -> Map {
    let value = |name: &str, expression: &Expression| {
        let value = caught_now("an output", || expression.evaluate(names));
        match value {
            Ok(Ok(value)) => value,
            Ok(Err(error)) if error.unknown.is_some() => Value::Unknown,
            Ok(Err(error)) => {
                tracing::debug!(output = name, %error, "an output has no value");
                Value::Null
            }
            Err(failure) => {
                tracing::debug!(output = name, error = %failure.message, "an output has no value");
                Value::Null
            }
        }
    };
    declared
        .map(|(name, expression)| (name.to_owned(), value(name, expression)))
        .collect()
}

/// The value of a template; null is a value only where the playbook itself says so.
pub(super) fn render(tree: &TemplateTree, names: &ScopeNames<'_>) -> Result<Value, Failure> {
    if let TemplateTree::Constant(value, _) = tree {
        return Ok(value.clone());
    }
    caught_now("a template", || tree.render(names))?.map_err(|error| {
        let kind = kind_of(error.unknown.as_ref());
        Failure::new(kind, error.to_string())
    })
}

/// Why an expression has no value. One that hangs on what a preview cannot know is `unknown`, never `failed`.
pub(super) fn unevaluated(error: &EvaluationError) -> Failure {
    Failure::new(kind_of(error.unknown.as_ref()), error.to_string())
}

fn kind_of(unknown: Option<&String>) -> TroubleKind {
    match unknown {
        Some(_) => TroubleKind::Unknown,
        None => TroubleKind::Failed,
    }
}

/// What a preview or a rehearsal is to take for an own step's outputs; a live run does not even look at it. What `assume` itself cannot
/// know is simply not assumed.
fn assumed(run: &Run<'_>, custom: &Custom, names: &ScopeNames<'_>) -> Result<Option<Map>, Failure> {
    let Some(assume) = custom.assume.as_ref().filter(|_| run.suppose) else {
        return Ok(None);
    };
    match render_fields(by_name!(&assume.value), names) {
        Ok(assumed) => Ok(Some(assumed)),
        Err(failure) if failure.kind == TroubleKind::Unknown => Ok(None),
        Err(failure) => Err(named("assume", failure)),
    }
}

/// The inputs of an action, in the types that it declares: what is text until the run (`site.vars`, an output) becomes
/// a duration, a size, an LSN here. Null stays null.
fn inputs(fields: &Fields, names: &ScopeNames<'_>, signature: &Signature) -> Result<Map, Failure> {
    let mut inputs = render_fields(by_name!(fields), names)?;
    for (name, value) in &mut inputs {
        let Some(field) = signature.input(name) else {
            continue;
        };
        let secret = field.secret_too && matches!(value, Value::Secret(_));
        if *value != Value::Null && !secret {
            *value = fit(field.ty, value).map_err(|unreadable| misfit(name, &unreadable))?;
        }
    }
    Ok(inputs)
}

fn misfit(name: &str, unreadable: &Unreadable) -> Failure {
    let help = unreadable.help.as_deref().map(|help| format!("; {help}"));
    let message = format!("`{name}`: {}{}", unreadable.why, help.unwrap_or_default());
    Failure::new(TroubleKind::Failed, message)
}

fn render_fields<'f>(
    fields: impl Iterator<Item = (&'f str, &'f TemplateTree)>,
    names: &ScopeNames<'_>,
) -> Result<Map, Failure> {
    fields
        .map(|(name, tree)| {
            render(tree, names)
                .map(|value| (name.to_owned(), value))
                .map_err(|failure| named(name, failure))
        })
        .collect()
}

fn node_name(tree: &TemplateTree, names: &ScopeNames<'_>) -> Result<String, Failure> {
    match render(tree, names).map_err(|failure| named("node", failure))? {
        Value::String(name) => Ok(name),
        other => Err(Failure::new(
            TroubleKind::Failed,
            format!(
                "`node` must be the name of a node, this is {}",
                other.kind()
            ),
        )),
    }
}

fn named(name: &str, mut failure: Failure) -> Failure {
    failure.message = format!("`{name}`: {}", failure.message);
    failure
}
