//! Our values as CEL sees them, and back.
//!
//! LSNs and durations are types of their own: as text `'0/9000000' < '0/10000000'` would be false. CEL's own duration needs
//! another library, allows negative ones and does not know our units.

use crate::cluster::Lsn;
use crate::playbook::Value;
use cel::ExecutionError;
use cel::common::traits::{Adder, Comparer, Subtractor};
use cel::common::types::{
    CelBool, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt, Type,
};
use cel::common::value::{CowVal, StaticVal, Val};
use std::any::Any;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::time::Duration;

static LSN: Type = Type::new_unspecified_type("lsn");
static DURATION: Type = Type::new_unspecified_type("duration");
static SECRET: Type = Type::new_unspecified_type("secret");

/// A position in the WAL. LSN − LSN is bytes; LSN ± bytes is an LSN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct LsnVal(pub(super) Lsn);

/// A span of time; never negative.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TimeSpan(pub(super) Duration);

/// Stands where a secret would be, or something that is not known. Nothing can be done with it, and it cannot leave an expression.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Hidden;

/// A value for CEL. Durations, LSNs and secrets keep their kind.
pub(super) fn to_cel(value: &Value) -> Box<dyn Val> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Boolean(b) => Box::new(CelBool::from(*b)),
        Value::Integer(i) => Box::new(CelInt::from(*i)),
        Value::String(s) => Box::new(CelString::from(s.clone())),
        Value::Duration(d) => Box::new(TimeSpan(*d)),
        Value::Lsn(lsn) => Box::new(LsnVal(*lsn)),
        Value::List(items) => Box::new(CelList::from(items.iter().map(to_cel).collect::<Vec<_>>())),
        // What is not known is not there: whatever decides by it is an error, and `|| true` still is true.
        Value::Map(map) => map_to_cel(
            map.iter()
                .filter(|(_, value)| **value != Value::Unknown)
                .map(|(key, value)| (key.clone(), to_cel(value))),
        ),
        Value::Secret(_) | Value::Unknown => Box::new(Hidden),
    }
}

pub(super) fn map_to_cel(entries: impl Iterator<Item = (String, Box<dyn Val>)>) -> Box<dyn Val> {
    let entries: HashMap<CelMapKey<'static>, Box<dyn Val>> = entries
        .map(|(key, value)| (CelMapKey::from(key), value))
        .collect();
    Box::new(CelMap::from(entries))
}

/// A result of CEL as one of our values; or what kind of thing it is, when it is none.
pub(super) fn from_cel(val: &dyn Val) -> Result<Value, String> {
    if val.downcast_ref::<CelNull>().is_some() {
        return Ok(Value::Null);
    }
    if let Some(b) = val.downcast_ref::<CelBool>() {
        return Ok(Value::Boolean(*b.inner()));
    }
    if let Some(i) = val.downcast_ref::<CelInt>() {
        return Ok(Value::Integer(*i.inner()));
    }
    if let Some(s) = val.downcast_ref::<CelString>() {
        return Ok(Value::String(s.inner().to_owned()));
    }
    if let Some(lsn) = val.downcast_ref::<LsnVal>() {
        return Ok(Value::Lsn(lsn.0));
    }
    if let Some(span) = val.downcast_ref::<TimeSpan>() {
        return Ok(Value::Duration(span.0));
    }
    if let Some(list) = val.downcast_ref::<CelList>() {
        let items = list.inner().iter().map(|item| from_cel(item.as_ref()));
        return Ok(Value::List(items.collect::<Result<_, _>>()?));
    }
    if let Some(map) = val.downcast_ref::<CelMap>() {
        let entries = map
            .inner()
            .iter()
            .map(|(key, value)| Ok((key_text(key), from_cel(value.as_ref())?)));
        return Ok(Value::Map(entries.collect::<Result<_, String>>()?));
    }
    if val.downcast_ref::<Hidden>().is_some() {
        return Err("a secret".to_owned());
    }
    Err(format!("of CEL's type {}", val.get_type().name()))
}

/// Keys of our maps are strings; those of CEL's may be numbers or booleans.
pub(super) fn key_text(key: &CelMapKey<'_>) -> String {
    let inner = key.inner();
    if let Some(text) = inner.downcast_ref::<CelString>() {
        text.inner().to_owned()
    } else if let Some(int) = inner.downcast_ref::<CelInt>() {
        int.inner().to_string()
    } else if let Some(uint) = inner.downcast_ref::<CelUInt>() {
        uint.inner().to_string()
    } else {
        inner
            .downcast_ref::<CelBool>()
            .is_some_and(|b| *b.inner())
            .to_string()
    }
}

fn no_overload(operator: &str, left: &Type, right: &dyn Val) -> ExecutionError {
    let types = vec![left.name().to_owned(), right.get_type().name().to_owned()];
    ExecutionError::no_such_overload(operator, types)
}

fn overflow(what: &str) -> ExecutionError {
    ExecutionError::function_error(what, "the result is out of range")
}

impl Val for LsnVal {
    fn get_type(&self) -> &Type {
        &LSN
    }

    fn cel_type() -> &'static Type {
        &LSN
    }

    fn as_adder<'b, 'v>(&'b self) -> Option<&'b (dyn Adder + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_subtractor<'b, 'v>(&'b self) -> Option<&'b (dyn Subtractor + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_comparer(&self) -> Option<&dyn Comparer> {
        Some(self)
    }

    fn equals(&self, other: &dyn Val) -> bool {
        other.downcast_ref::<Self>() == Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(*self)
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for LsnVal {}

impl LsnVal {
    fn moved<'b, 'v>(self, bytes: i128) -> Result<CowVal<'b, 'v>, ExecutionError> {
        u64::try_from(i128::from(self.0.0) + bytes)
            .map(|position| CowVal::owned(Self(Lsn(position))))
            .map_err(|_| overflow("lsn"))
    }
}

impl Adder for LsnVal {
    fn add<'b, 'v>(&'b self, rhs: &(dyn Val + 'v)) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        match rhs.downcast_ref::<CelInt>() {
            Some(bytes) => self.moved(i128::from(*bytes.inner())),
            None => Err(no_overload("_+_", &LSN, rhs)),
        }
    }
}

impl Subtractor for LsnVal {
    fn sub<'b, 'v>(&'b self, rhs: &(dyn Val + 'v)) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        if let Some(bytes) = rhs.downcast_ref::<CelInt>() {
            return self.moved(-i128::from(*bytes.inner()));
        }
        let Some(earlier) = rhs.downcast_ref::<Self>() else {
            return Err(no_overload("_-_", &LSN, rhs));
        };
        i64::try_from(i128::from(self.0.0) - i128::from(earlier.0.0))
            .map(|bytes| CowVal::owned(CelInt::from(bytes)))
            .map_err(|_| overflow("lsn"))
    }
}

impl Comparer for LsnVal {
    fn compare(&self, rhs: &dyn Val) -> Result<Ordering, ExecutionError> {
        match rhs.downcast_ref::<Self>() {
            Some(other) => Ok(self.0.cmp(&other.0)),
            None => Err(no_overload("_<_", &LSN, rhs)),
        }
    }
}

impl Val for TimeSpan {
    fn get_type(&self) -> &Type {
        &DURATION
    }

    fn cel_type() -> &'static Type {
        &DURATION
    }

    fn as_adder<'b, 'v>(&'b self) -> Option<&'b (dyn Adder + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_subtractor<'b, 'v>(&'b self) -> Option<&'b (dyn Subtractor + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_comparer(&self) -> Option<&dyn Comparer> {
        Some(self)
    }

    fn equals(&self, other: &dyn Val) -> bool {
        other.downcast_ref::<Self>() == Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(*self)
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for TimeSpan {}

impl Adder for TimeSpan {
    fn add<'b, 'v>(&'b self, rhs: &(dyn Val + 'v)) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let Some(other) = rhs.downcast_ref::<Self>() else {
            return Err(no_overload("_+_", &DURATION, rhs));
        };
        let sum = self.0.checked_add(other.0);
        sum.map(|sum| CowVal::owned(Self(sum)))
            .ok_or_else(|| overflow("duration"))
    }
}

impl Subtractor for TimeSpan {
    fn sub<'b, 'v>(&'b self, rhs: &(dyn Val + 'v)) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let Some(other) = rhs.downcast_ref::<Self>() else {
            return Err(no_overload("_-_", &DURATION, rhs));
        };
        let left = self.0.checked_sub(other.0);
        left.map(|left| CowVal::owned(Self(left))).ok_or_else(|| {
            ExecutionError::function_error("duration", "the result would be negative")
        })
    }
}

impl Comparer for TimeSpan {
    fn compare(&self, rhs: &dyn Val) -> Result<Ordering, ExecutionError> {
        match rhs.downcast_ref::<Self>() {
            Some(other) => Ok(self.0.cmp(&other.0)),
            None => Err(no_overload("_<_", &DURATION, rhs)),
        }
    }
}

impl Val for Hidden {
    fn get_type(&self) -> &Type {
        &SECRET
    }

    fn cel_type() -> &'static Type {
        &SECRET
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(*self)
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Hidden {}
