//! From a program and names to a value.

use super::Expression;
use super::functions::{RANGE, RESULT, environment};
use super::values::{from_cel, key_text, map_to_cel, to_cel};
use crate::playbook::names::lookup_longest;
use crate::playbook::{Names, Value};
use cel::common::types::{CelList, CelMap, CelNull, CelString};
use cel::common::value::{CowVal, Val};
use cel::extractors::IntoFunction;
use cel::{Context, ExecutionError, FunctionContext};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// How many elements all comprehensions of one evaluation may go over together.
pub(super) const MAX_ITERATIONS: usize = 100_000;

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` cannot be evaluated: {why}")]
pub struct EvaluationError {
    /// The expression.
    pub text: String,
    /// What is wrong.
    pub why: String,
    /// The name that it hangs on, where that is something which a preview cannot know.
    pub unknown: Option<String>,
}

impl Expression {
    /// Its value with these names. Only the names that it refers to are looked up. Names that do not exist and values that
    /// are null are errors only where they decide: `steps.a.x == 1 || true` is true.
    pub fn evaluate(&self, names: &dyn Names) -> Result<Value, EvaluationError> {
        if let Some(value) = self.named(names) {
            return Ok(value);
        }
        let Gathered {
            roots,
            unknown,
            partly,
        } = self.gather(names);
        let fail = |why: String| EvaluationError {
            text: self.text.clone(),
            why: unknown
                .as_ref()
                .map_or(why, |name| format!("`{name}` is not known before the run")),
            unknown: unknown.clone(),
        };
        let result = Arc::default();
        let mut context = Context::with_env(environment().clone());
        context
            .add_function(RANGE, counted())
            .and_then(|()| context.add_function(RESULT, kept(&result)))
            .map_err(|error| fail(error.to_string()))?;
        for (name, node) in roots {
            if let Some(value) = node.into_val() {
                context.add_variable_as_val(name, value);
            }
        }
        cel::Value::resolve(&self.program.runnable, &context)
            .map_err(|error| fail(explain(&error)))?;
        let kept = result.lock().map_or(None, |mut result| result.take());
        match kept {
            // It looked at something as a whole, of which a part is not known: what it makes of the rest is a guess.
            Some(Ok(_)) if partly => Err(fail(String::new())),
            Some(Ok(value)) => Ok(value),
            Some(Err(kind)) => Err(fail(format!("the result is {kind}"))),
            None => Err(fail("there is no result".to_owned())),
        }
    }

    /// The value of an expression that is one name and no more, as most are, where it is as simple as that: an evaluation
    /// would come to the same, in a long way round.
    fn named(&self, names: &dyn Names) -> Option<Value> {
        let [path] = self.program.lookups.as_slice() else {
            return None;
        };
        let written = self.text.trim().split('.');
        if !written.eq(path.iter().map(String::as_str)) {
            return None;
        }
        let (length, value) = lookup_longest(names, path)?;
        let whole = length == path.len();
        let simple = match &value {
            Value::List(items) => items.iter().all(is_scalar),
            other => is_scalar(other),
        };
        (whole && simple).then_some(value)
    }

    /// Its value, which must be `true` or `false`.
    pub fn holds(&self, names: &dyn Names) -> Result<bool, EvaluationError> {
        match self.evaluate(names)? {
            Value::Boolean(answer) => Ok(answer),
            other => Err(EvaluationError {
                text: self.text.clone(),
                why: format!(
                    "a condition must be true or false, this is {}",
                    other.kind()
                ),
                unknown: None,
            }),
        }
    }

    /// The values that the expression refers to, as a tree by name.
    fn gather(&self, names: &dyn Names) -> Gathered {
        let mut roots = BTreeMap::new();
        let (mut unknown, mut partly) = (None, false);
        for path in &self.program.lookups {
            // Names below the value of an output (a map, or null) are for the evaluation: give it what is above.
            if let Some((length, value)) = lookup_longest(names, path) {
                if value.is_unknown() {
                    unknown.get_or_insert_with(|| path[..length].join("."));
                    partly |= value != Value::Unknown;
                }
                insert(&mut roots, &path[..length], value);
            }
        }
        Gathered {
            roots,
            unknown,
            partly,
        }
    }
}

/// Nothing that may hide something: no secret, nothing unknown, no null.
fn is_scalar(value: &Value) -> bool {
    matches!(
        value,
        Value::Boolean(_)
            | Value::Integer(_)
            | Value::String(_)
            | Value::Duration(_)
            | Value::Lsn(_)
    )
}

/// What an expression refers to.
struct Gathered {
    roots: BTreeMap<String, Node>,
    /// The first name whose value is not known, or holds something that is not.
    unknown: Option<String>,
    /// A value that was looked up holds something that is not known.
    partly: bool,
}

/// A name's value, or what is known below it.
enum Node {
    Value(Value),
    Below(BTreeMap<String, Node>),
}

impl Node {
    /// Nothing for what is not known.
    fn into_val(self) -> Option<Box<dyn Val>> {
        match self {
            Self::Value(Value::Unknown) => None,
            Self::Value(value) => Some(to_cel(&value)),
            Self::Below(nodes) => {
                let known = nodes
                    .into_iter()
                    .filter_map(|(key, node)| Some((key, node.into_val()?)));
                Some(map_to_cel(known))
            }
        }
    }
}

fn insert(nodes: &mut BTreeMap<String, Node>, path: &[String], value: Value) {
    let [first, rest @ ..] = path else { return };
    if rest.is_empty() {
        nodes.insert(first.clone(), Node::Value(value));
        return;
    }
    let node = nodes
        .entry(first.clone())
        .or_insert_with(|| Node::Below(BTreeMap::new()));
    // A whole value that stands here already covers what is below.
    if let Node::Below(below) = node {
        insert(below, rest, value);
    }
}

type Native = Box<
    dyn for<'c, 'v> Fn(&mut FunctionContext<'c, 'v>) -> Result<CowVal<'c, 'v>, ExecutionError>
        + Send
        + Sync,
>;

type Kept = Arc<Mutex<Option<Result<Value, String>>>>;

/// Puts the result of the whole expression aside. CEL's own way out knows nothing of our types; its other way out would be
/// compiled into this crate, where a debug build needs megabytes of stack for it.
fn kept(result: &Kept) -> impl IntoFunction<Native> + Send + Sync + 'static {
    let result = Arc::clone(result);
    let function: Native = Box::new(move |call| {
        let value = call.args.first().map(|value| from_cel(value.as_ref()));
        if let Ok(mut result) = result.lock() {
            *result = value;
        }
        Ok(CowVal::owned(CelNull))
    });
    function
}

/// Counts what comprehensions go over and ends an evaluation that goes on and on. Maps become the list of their keys, in
/// order: CEL goes over them in an order that differs from run to run.
fn counted() -> impl IntoFunction<Native> + Send + Sync + 'static {
    let left = AtomicUsize::new(MAX_ITERATIONS);
    let function: Native = Box::new(move |call| {
        let Some(range) = call.args.pop() else {
            return Err(ExecutionError::invalid_argument_count(1, 0));
        };
        let range = match range.downcast_ref::<CelMap>() {
            Some(map) => {
                let mut keys: Vec<String> = map.inner().keys().map(key_text).collect();
                keys.sort();
                let keys = keys
                    .into_iter()
                    .map(|key| -> Box<dyn Val> { Box::new(CelString::from(key)) });
                CowVal::owned(CelList::from(keys.collect::<Vec<_>>()))
            }
            None => range,
        };
        // An empty list costs something too.
        let cost = range
            .downcast_ref::<CelList>()
            .map_or(1, |list| list.inner().len() + 1);
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(cost)
        })
        .map(|_| range)
        .map_err(|_| {
            ExecutionError::function_error(
                RANGE,
                format!("it goes over more than {MAX_ITERATIONS} elements"),
            )
        })
    });
    function
}

/// An error of CEL in our words. Values are left out: they may be long, and they may be private.
fn explain(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => format!("there is no `{key}`"),
        ExecutionError::UndeclaredReference(name) => format!("there is no `{name}`"),
        ExecutionError::NoSuchOverload(overload) => {
            overload_error(overload.function(), overload.argument_types())
        }
        ExecutionError::UnsupportedBinaryOperator(operator, left, right) => {
            let symbol = match *operator {
                "add" => "_+_",
                "sub" => "_-_",
                "mul" => "_*_",
                "div" => "_/_",
                "rem" => "_%_",
                other => other,
            };
            let types = [left, right].map(|value| match value.type_of() {
                // Types of our own look like null from here.
                cel::objects::ValueType::Null => "null, an LSN or a duration".to_owned(),
                other => type_name(&other.to_string()),
            });
            overload_error(symbol, &types)
        }
        ExecutionError::UnexpectedType { got, want } => {
            format!("expected {}, found {}", type_name(want), type_name(got))
        }
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            "division by zero".to_owned()
        }
        ExecutionError::Overflow(..) => "a number is out of range".to_owned(),
        ExecutionError::IndexOutOfBounds(_) => "the list is shorter than that index".to_owned(),
        ExecutionError::FunctionError { message, .. } => message.clone(),
        ExecutionError::DuplicateKey(_) => "a map has the same key twice".to_owned(),
        ExecutionError::ValuesNotComparable(..) => "these values cannot be compared".to_owned(),
        ExecutionError::UnsupportedKeyType(_) => "this cannot be the key of a map".to_owned(),
        other => other.to_string(),
    }
}

fn overload_error(function: &str, types: &[String]) -> String {
    let names: Vec<String> = types.iter().map(|name| type_name(name)).collect();
    let symbol = function
        .trim_matches(|c| c == '_')
        .trim_start_matches('@')
        .to_owned();
    match (function, names.as_slice()) {
        ("_._" | "_[_]", [null, _]) if null == "null" => {
            "a value is null where a name is selected from it".to_owned()
        }
        ("_._" | "_[_]", [of, _]) => format!("nothing can be selected from {}", article(of)),
        (_, [one]) => format!("`{symbol}` cannot be applied to {}", article(one)),
        (_, [left, right]) => format!(
            "`{symbol}` cannot be applied to {} and {}",
            article(left),
            article(right)
        ),
        _ => format!("`{symbol}` cannot be applied to these values"),
    }
}

/// CEL's name of a type as the language says it.
fn type_name(cel: &str) -> String {
    match cel {
        "int" => "integer",
        "bool" => "boolean",
        "null_type" => "null",
        "iterable" => "list",
        other => other,
    }
    .to_owned()
}

fn article(name: &str) -> String {
    match name {
        "null" => name.to_owned(),
        name if name.starts_with("null,") => name.to_owned(),
        "integer" | "lsn" => format!("an {name}"),
        name => format!("a {name}"),
    }
}
