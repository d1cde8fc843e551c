//! What would be sent, for people.

use super::super::paint::Paint;
use super::super::text;
use crate::runs::{Foreseen, PlannedEffect};
use std::fmt::Write as _;
use unicode_width::UnicodeWidthChar;

/// What an effect is, in one line.
pub(super) fn headline(effect: &PlannedEffect, paint: Paint) -> String {
    let arrow = paint.sign("→", "->");
    let mut line = if effect.undo {
        format!("{arrow} takes back: {}", effect.summary)
    } else {
        format!("{arrow} {}", effect.summary)
    };
    if effect.outcome != "done" {
        let _ = write!(line, " [{}]", effect.outcome);
    }
    if effect.point_of_no_return {
        line.push_str(" [POINT OF NO RETURN: from here on only forward]");
    }
    line
}

/// Where an own step's outputs come from.
pub(super) fn outputs(foreseen: Foreseen) -> &'static str {
    match foreseen {
        Foreseen::Read => "it was really read, just now",
        Foreseen::Assumed => "not executed; its outputs are what `assume` says",
        Foreseen::Unknown => "not executed; its outputs are not known",
    }
}

/// The line in parts of at most `columns`, with every character of it but those that would move the cursor.
pub(super) fn broken(line: &str, columns: usize) -> Vec<String> {
    let mut parts = Vec::new();
    let mut part = String::new();
    for c in line.chars().filter(|c| !c.is_control()) {
        if text::width(&part) + c.width().unwrap_or(0) > columns {
            parts.push(std::mem::take(&mut part));
        }
        part.push(c);
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_line_keeps_every_character() {
        let line = "n2: ALTER SYSTEM SET primary_conninfo = 'host=主库  port=5432'";
        let parts = broken(line, 20);
        assert!(parts.iter().all(|part| text::width(part) <= 20));
        assert_eq!(parts.concat(), line);
        assert_eq!(broken("a\u{1b}[2Jb", 20), ["a[2Jb"]);
    }
}
