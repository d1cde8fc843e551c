//! The functions of the language: a part of CEL's, and `lsn` and `duration`.

use super::values::{LsnVal, TimeSpan};
use crate::cluster::Lsn;
use crate::playbook::{format_duration, parse_duration};
use cel::common::types::CelString;
use cel::common::value::{CowVal, StaticVal, Val};
use cel::{DeclarationError, Env, ExecutionError};
use std::sync::{Arc, LazyLock};

/// A function that an expression may call.
#[derive(Debug)]
pub(in crate::playbook) struct Function {
    pub(in crate::playbook) name: &'static str,
    /// How it is written.
    pub(in crate::playbook) usage: &'static str,
    /// Arguments, the target of a method included.
    pub(in crate::playbook) arguments: usize,
    /// It can be called as `f(x)`.
    pub(in crate::playbook) global: bool,
    /// It can be called as `x.f()`.
    pub(in crate::playbook) member: bool,
}

/// All of them; operators and macros (`has`, `all`, `exists`, `exists_one`, `map`, `filter`) aside.
pub(in crate::playbook) const FUNCTIONS: &[Function] = &[
    global("lsn", "lsn('0/16B3748')"),
    global("duration", "duration('90s')"),
    Function {
        member: true,
        ..global("size", "size(x)")
    },
    global("string", "string(x)"),
    global("int", "int(x)"),
    global("bool", "bool(x)"),
    method("contains", "x.contains('part')"),
    method("startsWith", "x.startsWith('start')"),
    method("endsWith", "x.endsWith('end')"),
];

const fn global(name: &'static str, usage: &'static str) -> Function {
    Function {
        name,
        usage,
        arguments: 1,
        global: true,
        member: false,
    }
}

const fn method(name: &'static str, usage: &'static str) -> Function {
    Function {
        name,
        usage,
        arguments: 2,
        global: false,
        member: true,
    }
}

/// Through this goes everything that a comprehension goes over; nobody can write such a name.
pub(super) const RANGE: &str = "@range";

/// Takes the result of an expression.
pub(super) const RESULT: &str = "@keep";

/// The functions, shared by all evaluations.
pub(super) fn environment() -> &'static Arc<Env> {
    static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
        let mut env = Env::stdlib().with_optional_support(false);
        let declared = declare(&mut env);
        debug_assert!(declared.is_ok(), "{declared:?}");
        Arc::new(env)
    });
    &ENVIRONMENT
}

fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    let text = || vec![CelString::cel_type().to_owned()];
    let lsn = || vec![LsnVal::cel_type().to_owned()];
    let span = || vec![TimeSpan::cel_type().to_owned()];
    env.add_overload("lsn", "string_to_lsn", text(), lsn_of_text)?;
    env.add_overload("lsn", "lsn_to_lsn", lsn(), itself)?;
    env.add_overload("duration", "string_to_duration", text(), duration_of_text)?;
    env.add_overload("duration", "duration_to_duration", span(), itself)?;
    env.add_overload("string", "lsn_to_string", lsn(), text_of_lsn)?;
    env.add_overload("string", "duration_to_string", span(), text_of_duration)
}

fn argument<'b, T: StaticVal>(args: &'b [CowVal<'_, '_>]) -> Result<&'b T, ExecutionError> {
    let first = args
        .first()
        .ok_or_else(|| ExecutionError::invalid_argument_count(1, 0))?;
    first
        .as_any()
        .and_then(|any| any.downcast_ref::<T>())
        .ok_or_else(ExecutionError::missing_argument_or_target)
}

fn text_argument(args: &[CowVal<'_, '_>]) -> Result<String, ExecutionError> {
    let first = args
        .first()
        .ok_or_else(|| ExecutionError::invalid_argument_count(1, 0))?;
    first
        .downcast_ref::<CelString>()
        .map(|text| text.inner().to_owned())
        .ok_or_else(ExecutionError::missing_argument_or_target)
}

fn itself<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    args.pop()
        .ok_or_else(|| ExecutionError::invalid_argument_count(1, 0))
}

#[expect(clippy::needless_pass_by_value, reason = "CEL's signature")]
fn lsn_of_text<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let text = text_argument(&args)?;
    match text.parse::<Lsn>() {
        Ok(lsn) => Ok(CowVal::owned(LsnVal(lsn))),
        Err(error) => Err(ExecutionError::function_error("lsn", error)),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "CEL's signature")]
fn duration_of_text<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let text = text_argument(&args)?;
    match parse_duration(&text) {
        Some(duration) => Ok(CowVal::owned(TimeSpan(duration))),
        None => Err(ExecutionError::function_error(
            "duration",
            format!("`{text}` is not a duration; it looks like `90s`"),
        )),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "CEL's signature")]
fn text_of_lsn<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let lsn = argument::<LsnVal>(&args)?.0;
    Ok(CowVal::owned(CelString::from(lsn.to_string())))
}

#[expect(clippy::needless_pass_by_value, reason = "CEL's signature")]
fn text_of_duration<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let duration = argument::<TimeSpan>(&args)?.0;
    Ok(CowVal::owned(CelString::from(format_duration(duration))))
}
