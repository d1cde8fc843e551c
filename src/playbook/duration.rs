//! Durations and sizes: always written with a unit.

use std::time::Duration;

/// Reads `90s`, `500ms`, `1h30m`, `1.5s`. A number without a unit is refused, except `0`.
pub fn parse_duration(_text: &str) -> Option<Duration> {
    None
}

/// Writes a duration so that [`parse_duration`] reads it: the largest units that are exact.
pub fn format_duration(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

/// Reads `0B`, `16MiB`, `1kB`. A number without a unit is refused.
pub fn parse_bytes(_text: &str) -> Option<i64> {
    None
}

/// Writes a size so that [`parse_bytes`] reads it.
pub fn format_bytes(bytes: i64) -> String {
    format!("{bytes}B")
}
