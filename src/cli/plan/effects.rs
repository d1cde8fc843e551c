//! What would be sent, for people.

use super::super::paint::Paint;
use crate::runs::{Foreseen, PlannedEffect};
use std::fmt::Write as _;

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
