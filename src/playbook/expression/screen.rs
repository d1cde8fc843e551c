//! What may not stand in an expression although CEL would take it.

use super::functions::FUNCTIONS;
use super::parse::{SyntaxError, offset_of};
use crate::cluster::Lsn;
use crate::document::suggest;
use crate::playbook::parse_duration;
use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SourceInfo};

/// Finds unknown functions, literals of kinds that the language does not have, and LSNs and durations that are none.
pub(super) fn screen(node: &IdedExpr, places: &SourceInfo) -> Result<(), SyntaxError> {
    let at = offset_of(places, node);
    match &node.expr {
        Expr::Call(call) => {
            function(call, name_before(call, at, places))?;
            if let Some(target) = &call.target {
                screen(target, places)?;
            }
            each(&call.args, places)
        }
        Expr::Comprehension(c) => each(
            [
                &c.iter_range,
                &c.accu_init,
                &c.loop_cond,
                &c.loop_step,
                &c.result,
            ],
            places,
        ),
        Expr::List(list) if !list.optional_indices.is_empty() => Err(optional(at)),
        Expr::List(list) => each(&list.elements, places),
        Expr::Map(map) => {
            for entry in &map.entries {
                match &entry.expr {
                    EntryExpr::MapEntry(e) if e.optional => return Err(optional(at)),
                    EntryExpr::MapEntry(e) => each([&e.key, &e.value], places)?,
                    EntryExpr::StructField(e) => screen(&e.value, places)?,
                }
            }
            Ok(())
        }
        Expr::Select(select) => screen(&select.operand, places),
        Expr::Struct(s) => Err(SyntaxError::at(
            at,
            format!("there is no type `{}` to make a value of", s.type_name),
        )
        .with_help("a map is written `{'key': value}`")),
        Expr::Literal(LiteralValue::Double(_)) => {
            Err(SyntaxError::at(at, "numbers are whole in this language"))
        }
        Expr::Literal(LiteralValue::UInt(_)) => {
            Err(SyntaxError::at(at, "there are no unsigned numbers").with_help("leave out the `u`"))
        }
        Expr::Literal(LiteralValue::Bytes(_)) => {
            Err(SyntaxError::at(at, "there are no byte strings").with_help("leave out the `b`"))
        }
        Expr::Literal(_) | Expr::Ident(_) => Ok(()),
        Expr::Unspecified => Err(SyntaxError::at(at, "this is no expression")),
    }
}

fn each<'a>(
    nodes: impl IntoIterator<Item = &'a IdedExpr>,
    places: &SourceInfo,
) -> Result<(), SyntaxError> {
    nodes.into_iter().try_for_each(|node| screen(node, places))
}

fn optional(at: usize) -> SyntaxError {
    SyntaxError::at(at, "optional values are not part of the language")
        .with_help("compare with `null`, or test with `has(…)`")
}

/// Where the name of a called function begins: the parser notes its bracket.
fn name_before(call: &CallExpr, bracket: usize, places: &SourceInfo) -> usize {
    let before = places.source.get(..bracket).unwrap_or_default().trim_end();
    if before.ends_with(&call.func_name) {
        before.len() - call.func_name.len()
    } else {
        bracket
    }
}

fn function(call: &CallExpr, at: usize) -> Result<(), SyntaxError> {
    let name = call.func_name.as_str();
    if name == "_[?_]" || name == "_?._" {
        return Err(optional(at));
    }
    // Operators and what macros expand to carry signs that no written name can have.
    if name.starts_with(['_', '@', '!', '-']) {
        return Ok(());
    }
    // The macros, when they are called in a way that does not expand.
    if let Some(usage) = macro_usage(name) {
        return Err(
            SyntaxError::at(at, format!("`{name}` is not used like this")).with_help(usage),
        );
    }
    let Some(known) = FUNCTIONS.iter().find(|f| f.name == name) else {
        let error = SyntaxError::at(at, format!("there is no function `{name}`"));
        let names = FUNCTIONS.iter().map(|f| f.name);
        return Err(match suggest(name, names.clone()) {
            Some(near) => error.with_help(format!("did you mean `{near}`?")),
            None => error.with_help(format!(
                "the functions are {}",
                names.collect::<Vec<_>>().join(", ")
            )),
        });
    };
    let given = call.args.len() + usize::from(call.target.is_some());
    let placed = match call.target {
        Some(_) => known.member,
        None => known.global,
    };
    if given != known.arguments || !placed {
        return Err(
            SyntaxError::at(at, format!("`{name}` is not used like this"))
                .with_help(format!("write `{}`", known.usage)),
        );
    }
    literal(call, at)
}

fn macro_usage(name: &str) -> Option<&'static str> {
    Some(match name {
        "has" => "write `has(a.b)`",
        "all" => "write `list.all(x, condition)`",
        "exists" => "write `list.exists(x, condition)`",
        "exists_one" | "existsOne" => "write `list.exists_one(x, condition)`",
        "map" => "write `list.map(x, value)` or `list.map(x, condition, value)`",
        "filter" => "write `list.filter(x, condition)`",
        _ => return None,
    })
}

/// `lsn('…')` and `duration('…')` with constants are checked now, not during an outage.
fn literal(call: &CallExpr, at: usize) -> Result<(), SyntaxError> {
    let Some(Expr::Literal(literal)) = call.args.first().map(|arg| &arg.expr) else {
        return Ok(());
    };
    let LiteralValue::String(text) = literal else {
        if matches!(call.func_name.as_str(), "lsn" | "duration") {
            let example = if call.func_name == "lsn" {
                "lsn('0/16B3748')"
            } else {
                "duration('90s')"
            };
            return Err(
                SyntaxError::at(at, format!("`{}` takes a string", call.func_name))
                    .with_help(format!("write `{example}`")),
            );
        }
        return Ok(());
    };
    let text = text.inner();
    match call.func_name.as_str() {
        "lsn" if text.parse::<Lsn>().is_err() => {
            Err(SyntaxError::at(at, format!("`{text}` is not an LSN"))
                .with_help("an LSN looks like `0/16B3748`"))
        }
        "duration" if parse_duration(text).is_none() => {
            Err(SyntaxError::at(at, format!("`{text}` is not a duration"))
                .with_help("a duration has a unit, like `90s` or `1h30m`"))
        }
        _ => Ok(()),
    }
}
