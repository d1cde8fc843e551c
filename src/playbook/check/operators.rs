//! Which operators and functions take what, and what they give.

use super::kind::Kind;
use cel::common::ast::operators as op;

/// Why an operator cannot be applied; a message and perhaps advice.
pub(super) struct Misfit(pub(super) String, pub(super) Option<String>);

/// How the operator is written.
pub(super) fn symbol(function: &str) -> &str {
    function.trim_start_matches('@').trim_matches('_')
}

/// The result of an operator with two operands.
pub(super) fn binary(function: &str, left: &Kind, right: &Kind) -> Result<Kind, Misfit> {
    use Kind::{Any, Boolean, Duration, Integer, List, Lsn, Never, Null, String};
    let open = |kind: &Kind| matches!(kind, Any | Never | Null);
    match function {
        op::EQUALS | op::NOT_EQUALS => {
            if left.may_be(right) {
                known_words(left, right)?;
                Ok(Boolean)
            } else {
                let outcome = if function == op::EQUALS {
                    "false"
                } else {
                    "true"
                };
                Err(Misfit(
                    format!("{left} is compared with {right}: the result is always {outcome}"),
                    literal_advice(left, right),
                ))
            }
        }
        op::LESS | op::LESS_EQUALS | op::GREATER | op::GREATER_EQUALS => match (left, right) {
            (l, r) if open(l) || open(r) => Ok(Boolean),
            (Integer, Integer) | (String(_), String(_)) | (Lsn, Lsn) | (Duration, Duration) => {
                Ok(Boolean)
            }
            _ => Err(Misfit(
                format!("{left} cannot be ordered against {right}"),
                literal_advice(left, right),
            )),
        },
        op::ADD => match (left, right) {
            (Integer, Integer) => Ok(Integer),
            (String(_), String(_)) => Ok(Kind::TEXT),
            (Duration, Duration) => Ok(Duration),
            (Lsn, Integer) => Ok(Lsn),
            (List(a), List(b)) => Ok(List(Box::new(
                a.as_ref().clone().either(b.as_ref().clone()),
            ))),
            (l, r) if open(l) || open(r) => Ok(Any),
            _ => Err(misfit(function, left, right)),
        },
        op::SUBSTRACT => match (left, right) {
            (Integer, Integer) | (Lsn, Lsn) => Ok(Integer),
            (Duration, Duration) => Ok(Duration),
            (Lsn, Integer) => Ok(Lsn),
            (l, r) if open(l) || open(r) => Ok(Any),
            _ => Err(misfit(function, left, right)),
        },
        op::MULTIPLY | op::DIVIDE | op::MODULO => match (left, right) {
            (l, r) if Integer.may_be(l) && Integer.may_be(r) => Ok(Integer),
            _ => Err(misfit(function, left, right)),
        },
        op::IN => match right {
            List(element) => {
                known_words(left, element)?;
                Ok(Boolean)
            }
            Any | Never | Null | Kind::Map => Ok(Boolean),
            _ => Err(Misfit(
                format!("`in` looks into a list or map, this is {right}"),
                None,
            )),
        },
        op::INDEX => match (left, right) {
            (List(element), index) if Integer.may_be(index) => Ok(element.as_ref().clone()),
            (Kind::Map | Any | Never | Null, _) => Ok(Any),
            _ => Err(Misfit(format!("{left} has nothing at {right}"), None)),
        },
        _ => Ok(Any),
    }
}

fn misfit(function: &str, left: &Kind, right: &Kind) -> Misfit {
    Misfit(
        format!(
            "`{}` cannot be applied to {left} and {right}",
            symbol(function)
        ),
        literal_advice(left, right),
    )
}

/// Text where a position or duration belongs is usually a literal without its function.
fn literal_advice(left: &Kind, right: &Kind) -> Option<String> {
    match (left, right) {
        (Kind::Lsn, Kind::String(_)) | (Kind::String(_), Kind::Lsn) => {
            Some("an LSN is written `lsn('0/16B3748')`".to_owned())
        }
        (Kind::Duration, Kind::String(_) | Kind::Integer)
        | (Kind::String(_) | Kind::Integer, Kind::Duration) => {
            Some("a duration is written `duration('90s')`".to_owned())
        }
        _ => None,
    }
}

/// Where one side has only a few values and the other is none of them, somebody mistyped.
fn known_words(left: &Kind, right: &Kind) -> Result<(), Misfit> {
    let (Kind::String(Some(a)), Kind::String(Some(b))) = (left, right) else {
        return Ok(());
    };
    // Literals are lists of one.
    let (written, allowed) = match (a.as_slice(), b.as_slice()) {
        ([one], many) if many.len() > 1 => (one, many),
        (many, [one]) if many.len() > 1 => (one, many),
        _ => {
            let (few, many) = if a.len() < b.len() { (a, b) } else { (b, a) };
            match few.iter().find(|word| !many.contains(word)) {
                Some(word) if many.len() > 1 && few.len() > 1 => (word, many.as_slice()),
                _ => return Ok(()),
            }
        }
    };
    if allowed.contains(written) {
        return Ok(());
    }
    let help = match crate::document::suggest(written, allowed.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("it can be {}", allowed.join(", ")),
    };
    Err(Misfit(format!("this can never be '{written}'"), Some(help)))
}

/// The result of a function; `arguments` with the target of a method first.
pub(super) fn call(function: &str, arguments: &[Kind]) -> Result<Kind, Misfit> {
    let takes = |what: &Kind, others: &[Kind]| {
        let fits = |kind: &&Kind| !(what.may_be(kind) || others.iter().any(|o| o.may_be(kind)));
        match arguments.iter().find(fits) {
            Some(kind) => Err(Misfit(
                format!("`{function}` cannot be applied to {kind}"),
                None,
            )),
            None => Ok(()),
        }
    };
    match function {
        "lsn" => takes(&Kind::TEXT, &[Kind::Lsn]).map(|()| Kind::Lsn),
        "duration" => takes(&Kind::TEXT, &[Kind::Duration]).map(|()| Kind::Duration),
        "size" => takes(&Kind::TEXT, &[Kind::List(Box::new(Kind::Any)), Kind::Map])
            .map(|()| Kind::Integer),
        "string" => takes(
            &Kind::TEXT,
            &[Kind::Integer, Kind::Boolean, Kind::Lsn, Kind::Duration],
        )
        .map(|()| Kind::TEXT),
        "int" => takes(&Kind::TEXT, &[Kind::Integer]).map(|()| Kind::Integer),
        "bool" => takes(&Kind::TEXT, &[Kind::Boolean]).map(|()| Kind::Boolean),
        "contains" | "startsWith" | "endsWith" => takes(&Kind::TEXT, &[]).map(|()| Kind::Boolean),
        _ => Ok(Kind::Any),
    }
}
