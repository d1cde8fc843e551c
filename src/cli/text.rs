//! Text for terminals: widths, cutting, wrapping, durations, sizes.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// How many columns a text takes.
pub(crate) fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// One line that a terminal shows as it stands: control characters (a newline in an error text, an escape sequence in
/// a value from a server) become spaces, and runs of spaces one.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || c.is_whitespace() {
            if !line.is_empty() && !line.ends_with(' ') {
                line.push(' ');
            }
        } else {
            line.push(c);
        }
    }
    line.truncate(line.trim_end().len());
    line
}

/// The text, cut to at most `limit` columns; a cut shows as `…`.
pub(crate) fn cut(text: &str, limit: usize) -> String {
    if width(text) <= limit {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut columns = 0;
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if columns + wide + 1 > limit {
            break;
        }
        columns += wide;
        kept.push(c);
    }
    if limit > 0 {
        kept.push('…');
    }
    kept
}

/// Cut or filled up with spaces on the right to exactly `columns`.
pub(crate) fn pad(text: &str, columns: usize) -> String {
    let mut padded = cut(text, columns);
    let missing = columns.saturating_sub(width(&padded));
    padded.extend(std::iter::repeat_n(' ', missing));
    padded
}

/// Cut or filled up with spaces on the left to exactly `columns`.
pub(crate) fn pad_left(text: &str, columns: usize) -> String {
    let kept = cut(text, columns);
    let missing = columns.saturating_sub(width(&kept));
    " ".repeat(missing) + &kept
}

/// Broken at spaces into lines of at most `columns`; a longer word gets a line of its own.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(word) <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The line in parts of at most `columns`, with every character of it but those that would move the cursor.
pub(crate) fn broken(line: &str, columns: usize) -> Vec<String> {
    let mut parts = Vec::new();
    let mut part = String::new();
    for c in line.chars().filter(|c| !c.is_control()) {
        if width(&part) + c.width().unwrap_or(0) > columns {
            parts.push(std::mem::take(&mut part));
        }
        part.push(c);
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

/// `0.412s`, `12.3s`, `1m05s`, `2h03m`.
pub(crate) fn duration(ms: f64) -> String {
    let seconds = ms.max(0.0) / 1000.0;
    if seconds < 9.9995 {
        format!("{seconds:.3}s")
    } else if seconds < 59.95 {
        format!("{seconds:.1}s")
    } else {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole seconds, not negative; a cast saturates"
        )]
        let whole = seconds.round() as u64;
        if whole < 3600 {
            format!("{}m{:02}s", whole / 60, whole % 60)
        } else {
            format!("{}h{:02}m", whole / 3600, whole % 3600 / 60)
        }
    }
}

/// `0 bytes`, `512 bytes`, `16 kB`, `1.5 MB`, as PostgreSQL's `pg_size_pretty` counts (1024).
pub(crate) fn bytes(count: i64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    let magnitude = count.unsigned_abs();
    if magnitude < 10 * 1024 {
        return format!("{count} bytes");
    }
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut amount = magnitude as f64 / 1024.0;
    let mut unit = 0;
    while amount >= 999.5 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    let sign = if count < 0 { "-" } else { "" };
    let digits = usize::from(amount < 9.95);
    format!("{sign}{amount:.digits$} {}", UNITS[unit])
}

/// `1 step`, `2 steps`.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    if number == 1 {
        format!("1 {one}")
    } else {
        format!("{number} {many}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_never_takes_more_columns_than_allowed() {
        for (text, limit, expected) in [
            ("promote", 7, "promote"),
            ("promote", 6, "promo…"),
            ("主库切换", 8, "主库切换"),
            ("主库切换", 6, "主库…"),
            ("ab", 0, ""),
        ] {
            assert_eq!(cut(text, limit), expected);
            assert!(width(&cut(text, limit)) <= limit);
        }
        assert_eq!(pad("主库切换", 6), "主库… ");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(one_line("a\n\tb\u{1b}[2Jc "), "a b [2Jc");
    }

    #[test]
    fn durations_and_sizes_are_short() {
        for (ms, expected) in [
            (0.0, "0.000s"),
            (412.4, "0.412s"),
            (9_999.9, "10.0s"),
            (59_940.0, "59.9s"),
            (65_000.0, "1m05s"),
            (7_380_000.0, "2h03m"),
        ] {
            assert_eq!(duration(ms), expected);
        }
        for (size, expected) in [
            (0, "0 bytes"),
            (-24, "-24 bytes"),
            (16 * 1024, "16 kB"),
            (1_572_864, "1.5 MB"),
            (i64::MAX, "8192 PB"),
        ] {
            assert_eq!(bytes(size), expected);
        }
    }

    #[test]
    fn wrapping_keeps_every_word() {
        let text = "stop n1 at first contact before it serves reads";
        let lines = wrap(text, 20);
        assert!(lines.iter().all(|line| width(line) <= 20));
        assert_eq!(lines.join(" "), text);
    }

    #[test]
    fn a_broken_line_keeps_every_character() {
        let line = "n2: ALTER SYSTEM SET primary_conninfo = 'host=主库  port=5432'";
        let parts = broken(line, 20);
        assert!(parts.iter().all(|part| width(part) <= 20));
        assert_eq!(parts.concat(), line);
        assert_eq!(broken("a\u{1b}[2Jb", 20), ["a[2Jb"]);
    }
}
