//! Durations and sizes: always written with a unit.
//!
//! Sizes are as in the SI and IEC standards: `kB`, `MB`, `GB`, `TB` count in thousands, `KiB`, `MiB`, `GiB`, `TiB` in
//! 1024s. (PostgreSQL's own configuration files call 1024 bytes `kB`: write `KiB` here for those.)

use std::fmt::Write as _;
use std::time::Duration;

/// Units of time, largest first, in nanoseconds.
const TIMES: [(&str, u64); 5] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
];

/// Units of size, in bytes.
const SIZES: [(&str, u64); 9] = [
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Reads `90s`, `500ms`, `1h30m`, `1.5s`, `2d`. Units are `d`, `h`, `m`, `s`, `ms`, larger ones first and each at most
/// once; the last number may have a fraction. A number without a unit is refused, except `0`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut units = TIMES.iter();
    let mut nanos: u64 = 0;
    loop {
        let (number, after) = number(rest)?;
        let letters = after.len()
            - after
                .trim_start_matches(|c: char| c.is_ascii_lowercase())
                .len();
        let (unit, next) = after.split_at(letters);
        // The iterator is not reset: a unit that repeats or is larger than the one before is not found.
        let (_, size) = units.find(|(name, _)| *name == unit)?;
        nanos = nanos.checked_add(number.times(*size)?)?;
        if next.is_empty() {
            return Some(Duration::from_nanos(nanos));
        }
        if number.fraction_digits > 0 {
            return None;
        }
        rest = next;
    }
}

/// Writes a duration so that [`parse_duration`] reads it: `1h30m`, `1m30s`, `1.5s`, `500ms`, `0s`.
/// Durations beyond [`parse_duration`]'s reach of 584 years are written as that.
pub fn format_duration(duration: Duration) -> String {
    let mut nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, size) in &TIMES[..3] {
        let count = nanos / size;
        nanos %= size;
        if count > 0 {
            let _ = write!(text, "{count}{unit}");
        }
    }
    let (unit, size, digits) = if nanos < 1_000_000_000 && text.is_empty() && nanos > 0 {
        ("ms", 1_000_000, 6)
    } else {
        ("s", 1_000_000_000, 9)
    };
    if nanos > 0 || text.is_empty() {
        let _ = write!(text, "{}", nanos / size);
        let fraction = format!("{:0digits$}", nanos % size);
        let fraction = fraction.trim_end_matches('0');
        if !fraction.is_empty() {
            let _ = write!(text, ".{fraction}");
        }
        text.push_str(unit);
    }
    text
}

/// Reads `0B`, `16MiB`, `1kB`, `1.5GiB`. A number without a unit is refused, and so is what is no whole number of bytes
/// or does not fit.
pub fn parse_bytes(text: &str) -> Option<i64> {
    let (number, unit) = number(text)?;
    let (_, size) = SIZES.iter().find(|(name, _)| *name == unit)?;
    i64::try_from(number.times(*size)?).ok()
}

/// Writes a size so that [`parse_bytes`] reads it: in the largest unit of 1024s that is exact. (It does not read sizes
/// below zero; they are written with their sign.)
pub fn format_bytes(bytes: i64) -> String {
    let magnitude = bytes.unsigned_abs();
    let sign = if bytes < 0 { "-" } else { "" };
    for (unit, size) in SIZES[5..].iter().rev() {
        if magnitude >= *size && magnitude.is_multiple_of(*size) {
            return format!("{sign}{}{unit}", magnitude / size);
        }
    }
    format!("{bytes}B")
}

/// A decimal number: `whole` and `fraction` over ten to the `fraction_digits`.
struct Number {
    whole: u64,
    fraction: u64,
    fraction_digits: u32,
}

impl Number {
    /// The product, where it is whole and fits.
    fn times(&self, unit: u64) -> Option<u64> {
        let scale = 10_u128.checked_pow(self.fraction_digits)?;
        let part = u128::from(self.fraction).checked_mul(u128::from(unit))?;
        if !part.is_multiple_of(scale) {
            return None;
        }
        self.whole
            .checked_mul(unit)?
            .checked_add(u64::try_from(part / scale).ok()?)
    }
}

/// The number at the beginning of `text`, and what follows it.
fn number(text: &str) -> Option<(Number, &str)> {
    let digits =
        |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (whole, rest) = text.split_at(digits(text));
    let whole = whole.parse().ok()?;
    let Some(rest) = rest.strip_prefix('.') else {
        let number = Number {
            whole,
            fraction: 0,
            fraction_digits: 0,
        };
        return Some((number, rest));
    };
    let (fraction, rest) = rest.split_at(digits(rest));
    let number = Number {
        whole,
        fraction: fraction.parse().ok()?,
        fraction_digits: u32::try_from(fraction.len()).ok()?,
    };
    Some((number, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_have_units() {
        let table = [
            ("0", Some(0)),
            ("0s", Some(0)),
            ("90s", Some(90_000_000)),
            ("500ms", Some(500_000)),
            ("1h30m", Some(5_400_000_000)),
            ("1.5s", Some(1_500_000)),
            ("1.5h", Some(5_400_000_000)),
            ("1m1.5s", Some(61_500_000)),
            ("2d", Some(172_800_000_000)),
            ("0.001ms", Some(1)),
            ("", None),
            ("10", None),
            ("s", None),
            ("1.s", None),
            (".5s", None),
            ("-1s", None),
            ("1 s", None),
            ("1h 30m", None),
            ("30m1h", None),
            ("1s1s", None),
            ("1.5h30m", None),
            ("10sec", None),
            ("1w", None),
            ("1e3s", None),
            ("0.0000001ms", None),
            ("999999999999999d", None),
            ("99999999999999999999s", None),
            ("1.99999999999999999999999999999999999999999s", None),
        ];
        for (text, micros) in table {
            assert_eq!(
                parse_duration(text),
                micros.map(Duration::from_micros),
                "{text}"
            );
        }
    }

    #[test]
    fn durations_are_written_in_units_that_people_use() {
        let table = [
            (0, "0s"),
            (500, "500ms"),
            (1_500, "1.5s"),
            (90_000, "1m30s"),
            (3_600_000, "1h"),
            (5_400_000, "1h30m"),
            (86_400_000, "1d"),
            (61_001, "1m1.001s"),
        ];
        for (millis, text) in table {
            assert_eq!(format_duration(Duration::from_millis(millis)), text);
        }
        assert_eq!(format_duration(Duration::from_nanos(1)), "0.000001ms");
        assert!(parse_duration(&format_duration(Duration::MAX)).is_some());
    }

    #[test]
    fn sizes_have_units() {
        let table = [
            ("0B", Some(0)),
            ("16MiB", Some(16 << 20)),
            ("1kB", Some(1000)),
            ("1.5GiB", Some(3 << 29)),
            ("2TB", Some(2_000_000_000_000)),
            ("0.5KiB", Some(512)),
            ("9223372036854775807B", Some(i64::MAX)),
            ("9223372036854775808B", None),
            ("99999999TiB", None),
            ("0.5B", None),
            ("0", None),
            ("16", None),
            ("16M", None),
            ("16mb", None),
            ("16 MiB", None),
            ("-1B", None),
            ("", None),
        ];
        for (text, bytes) in table {
            assert_eq!(parse_bytes(text), bytes, "{text}");
        }
        assert_eq!(format_bytes(16 << 20), "16MiB");
        assert_eq!(format_bytes(1000), "1000B");
        assert_eq!(format_bytes(0), "0B");
        assert_eq!(format_bytes(-2048), "-2KiB");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(nanos in any::<u64>(), bytes in 0..=i64::MAX) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Some(duration));
            prop_assert_eq!(parse_bytes(&format_bytes(bytes)), Some(bytes));
        }

        #[test]
        fn nonsense_never_panics(text in "[0-9.]{0,40}[a-zA-Z]{0,3}|\\PC{0,20}") {
            let _ = (parse_duration(&text), parse_bytes(&text));
        }
    }
}
