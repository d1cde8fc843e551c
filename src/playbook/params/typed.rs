//! Text as a value of a declared type.

use crate::cluster::{Lsn, NodeName};
use crate::document::suggest;
use crate::playbook::{SecretSource, Type, Value, parse_bytes, parse_duration};

/// Text that is no value of a type. Never holds the text of what might be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Unreadable {
    /// What is wrong, a lower-case fragment.
    pub why: String,
    /// How to write it.
    pub help: Option<String>,
}

impl Unreadable {
    fn new(why: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            help: Some(help.into()),
        }
    }
}

/// Reads text as a value of `ty`, as `-p name=value` and constants in playbooks are written. Lists are JSON, or words
/// between commas; maps are JSON; secrets are `file:PATH` or `env:NAME`, never the secret itself. Whether a node exists
/// is not looked at.
pub fn read_text(ty: Type, text: &str) -> Result<Value, Unreadable> {
    match ty {
        Type::String => Ok(Value::from(text)),
        Type::Integer => text.parse().map(Value::Integer).map_err(|_| {
            Unreadable::new(
                format!("`{text}` is not an integer"),
                "integers are whole numbers of at most 64 bits, like `3`",
            )
        }),
        Type::Boolean => match text {
            "true" => Ok(Value::Boolean(true)),
            "false" => Ok(Value::Boolean(false)),
            _ => Err(Unreadable::new(
                format!("`{text}` is not a boolean"),
                "write `true` or `false`",
            )),
        },
        Type::List => read_list(text),
        Type::Map => match serde_json::from_str(text) {
            Ok(json @ serde_json::Value::Object(_)) => Ok(Value::from_json(&json)),
            _ => Err(Unreadable::new(
                "this is not a map",
                "write it as JSON: `{\"key\": \"value\"}`",
            )),
        },
        Type::Node => NodeName::parse(text)
            .map(|_| Value::from(text))
            .map_err(|error| Unreadable {
                why: error.to_string(),
                help: None,
            }),
        Type::Duration => parse_duration(text)
            .map(Value::Duration)
            .ok_or_else(|| bad_duration(text)),
        Type::Bytes => parse_bytes(text)
            .map(Value::Integer)
            .ok_or_else(|| bad_bytes(text)),
        Type::Lsn => text
            .parse::<Lsn>()
            .map(Value::Lsn)
            .map_err(|error| Unreadable {
                why: error.to_string(),
                help: None,
            }),
        Type::Secret => read_secret(text),
    }
}

fn read_list(text: &str) -> Result<Value, Unreadable> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(Value::List(Vec::new()));
    }
    if text.starts_with(['[', '{']) {
        return match serde_json::from_str(text) {
            Ok(json @ serde_json::Value::Array(_)) => Ok(Value::from_json(&json)),
            _ => Err(Unreadable::new(
                "this is not a list",
                "write it as JSON, `[\"a\", \"b\"]`, or as words between commas, `a,b`",
            )),
        };
    }
    let words = text.split(',').map(|word| Value::from(word.trim()));
    Ok(Value::List(words.collect()))
}

fn read_secret(text: &str) -> Result<Value, Unreadable> {
    let secret = match text.split_once(':') {
        Some(("file", path)) if !path.is_empty() => SecretSource::File(path.into()),
        Some(("env", name)) if !name.is_empty() => SecretSource::Env(name.to_owned()),
        // What was given is not repeated: it may be the secret.
        _ => {
            return Err(Unreadable::new(
                "a secret is given by reference, never as itself",
                "write `file:PATH` or `env:NAME`; if this was a real secret, change it",
            ));
        }
    };
    Ok(Value::Secret(secret))
}

/// Why text is no duration, and how to write one.
pub(in crate::playbook) fn bad_duration(text: &str) -> Unreadable {
    let units = "units are `ms`, `s`, `m`, `h`, `d`";
    if is_number(text) {
        return Unreadable::new(
            format!("`{text}` has no unit"),
            format!("write `{text}s` if seconds are meant; {units}"),
        );
    }
    let joined: String = text.split_whitespace().collect();
    let (number, unit) = split(&joined);
    let meant = match unit.to_ascii_lowercase().as_str() {
        "sec" | "secs" | "second" | "seconds" => Some("s"),
        "min" | "mins" | "minute" | "minutes" => Some("m"),
        "hour" | "hours" | "hr" | "hrs" => Some("h"),
        "day" | "days" => Some("d"),
        "msec" | "msecs" | "millis" | "milliseconds" => Some("ms"),
        other => suggest(other, ["ms", "s", "m", "h", "d"]).or_else(|| {
            ["ms", "s", "m", "h", "d"]
                .into_iter()
                .find(|known| *known == other)
        }),
    };
    let help = match meant.map(|unit| format!("{number}{unit}")) {
        Some(meant) if is_number(number) && parse_duration(&meant).is_some() => {
            format!("write `{meant}`; {units}")
        }
        _ => format!("durations look like `90s`, `500ms`, `1h30m`; {units}"),
    };
    Unreadable::new(format!("`{text}` is not a duration"), help)
}

/// Why text is no size, and how to write one.
pub(in crate::playbook) fn bad_bytes(text: &str) -> Unreadable {
    let units =
        "units are `B`, `kB`, `MB`, `GB`, `TB` (thousands) and `KiB`, `MiB`, `GiB`, `TiB` (1024s)";
    if is_number(text) {
        return Unreadable::new(
            format!("`{text}` has no unit"),
            format!("write `{text}B` if bytes are meant; {units}"),
        );
    }
    let joined: String = text.split_whitespace().collect();
    let (number, unit) = split(&joined);
    let meant = match unit.to_ascii_lowercase().as_str() {
        "b" | "byte" | "bytes" => Some("B"),
        "k" | "kb" | "kib" => Some("KiB"),
        "m" | "mb" | "mib" => Some("MiB"),
        "g" | "gb" | "gib" => Some("GiB"),
        "t" | "tb" | "tib" => Some("TiB"),
        _ => None,
    };
    let help = match meant.map(|unit| format!("{number}{unit}")) {
        Some(meant) if is_number(number) && parse_bytes(&meant).is_some() => {
            format!("write `{meant}`; {units}")
        }
        Some(_) if is_number(number) => "the largest size is a little under 8388608TiB".to_owned(),
        _ => format!("sizes look like `0B`, `16MiB`; {units}"),
    };
    Unreadable::new(format!("`{text}` is not a size"), help)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.len() < 40 && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

fn split(text: &str) -> (&str, &str) {
    let digits = text
        .trim_start_matches(|c: char| c.is_ascii_digit() || c == '.')
        .len();
    text.split_at(text.len() - digits)
}
