//! Constants: whether they are of the declared type, and turning them into it.

use crate::document::Spanned;
use crate::playbook::{
    Block, Body, Catalog, Playbook, Signature, TemplateTree, Type, Unreadable, Value, read_text,
};

/// A value in the declared type. Text is read where the type is written as text (durations, sizes, LSNs, secrets, nodes);
/// anything else must be of the type already. For values that no check before the run can see, like `site.vars`.
pub fn fit(ty: Type, value: &Value) -> Result<Value, Unreadable> {
    let written_as_text = matches!(
        ty,
        Type::Duration | Type::Bytes | Type::Lsn | Type::Secret | Type::Node
    );
    match value {
        Value::String(text) if written_as_text => read_text(ty, text),
        value if ty.admits(value) => Ok(value.clone()),
        Value::Integer(0) if ty == Type::Duration => read_text(ty, "0"),
        Value::Integer(number) if matches!(ty, Type::Duration | Type::Bytes) => {
            let unit = if ty == Type::Duration { "s" } else { "MiB" };
            Err(Unreadable {
                why: format!("`{number}` has no unit"),
                help: Some(format!("write its unit: `{number}{unit}`, for example")),
            })
        }
        value => Err(Unreadable {
            why: format!("it must be {}, this is {}", a(ty), value.kind()),
            help: match (ty, value) {
                (Type::Integer | Type::Boolean, Value::String(text))
                    if read_text(ty, text).is_ok() =>
                {
                    Some(format!("write it without quotes: {text}"))
                }
                (Type::String, Value::Integer(_) | Value::Boolean(_)) => {
                    Some("write it in quotes".to_owned())
                }
                (Type::List, _) => Some("a list stands in brackets: `[a, b]`".to_owned()),
                _ => None,
            },
        }),
    }
}

/// A type with its article.
pub(super) fn a(ty: Type) -> String {
    match ty {
        Type::Integer => "an integer".to_owned(),
        Type::Lsn => "an LSN".to_owned(),
        Type::Bytes => "a size".to_owned(),
        Type::Node => "the name of a node".to_owned(),
        _ => format!("a {}", ty.as_str()),
    }
}

/// Gives every constant input of every step the type that its action declares: text becomes durations, sizes, LSNs.
/// What does not fit stays as it is; it has been reported.
pub(super) fn settle(playbook: &mut Playbook, catalog: &Catalog) {
    let blocks = [playbook.rescue.as_mut(), playbook.finally.as_mut()];
    settle_block(&mut playbook.steps, catalog);
    for block in blocks.into_iter().flatten() {
        settle_block(block, catalog);
    }
}

fn settle_block(block: &mut Block, catalog: &Catalog) {
    for step in &mut block.steps {
        if let Body::Action {
            name, with, custom, ..
        } = &mut step.body
            && let Some(signature) = catalog.actions.get(name.value.as_str())
        {
            settle_inputs(with, signature);
            for inputs in [&mut custom.probe, &mut custom.undo].into_iter().flatten() {
                settle_inputs(&mut inputs.value, signature);
            }
            for (name, tree) in custom.assume.iter_mut().flat_map(|a| &mut a.value) {
                if let Some(field) = signature.output(&name.value) {
                    settle_one(tree, field.ty);
                }
            }
        }
        if let Some(rescue) = &mut step.rescue {
            settle_block(rescue, catalog);
        }
    }
}

fn settle_inputs(inputs: &mut [(Spanned<String>, TemplateTree)], signature: &Signature) {
    for (name, tree) in inputs {
        if let Some(field) = signature.input(&name.value) {
            settle_one(tree, field.ty);
        }
    }
}

fn settle_one(tree: &mut TemplateTree, ty: Type) {
    if matches!(ty, Type::List | Type::Map) {
        return;
    }
    if let Some(constant) = tree.constant()
        && let Ok(value) = fit(ty, &constant)
        && value != constant
    {
        *tree = TemplateTree::Constant(value, tree.span());
    }
}
