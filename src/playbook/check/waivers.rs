//! What a site puts aside with its reason: a rule of `safety.rs` that it breaks knowingly.
//!
//! Only where a run stays one that the engine can hold to its promises. What the proof and the point of no return rest on is
//! never put aside in a file: who promotes without a proof says so to the run, which records who and why.

use super::steps::Checker;
use crate::document::{Diagnostic, Severity, suggest};

/// The rules that a file may put aside.
const WAIVABLE: [&str; 3] = ["PB004", "PB005", "PB009"];

/// Those that it may not, each with the way out.
const HELD: [(&str, &str); 8] = [
    (
        "PB001",
        "keep the fence, and let the run say who accepts the risk: its input `waive`",
    ),
    (
        "PB002",
        "keep the fence, and let the run say who accepts the risk: its input `waive`",
    ),
    ("PB003", "a promotion needs the proof that a fence recorded"),
    (
        "PB006",
        "what may be undone is told from what may not by where the promotion stands",
    ),
    (
        "PB007",
        "what may be undone is told from what may not by the one promotion",
    ),
    (
        "PB008",
        "nothing runs without end; a long `timeout` is a limit, too",
    ),
    (
        "PB010",
        "a standby that receives from the old primary after the promotion may be lost to the new one",
    ),
    (
        "PB011",
        "change its values, or write a playbook of your own: what is switched off leaves no trace in a run",
    ),
];

/// Turns what the playbook waives into warnings that give its reasons; a waiver that waives nothing is said, too.
pub(super) fn apply(checker: &mut Checker<'_>) {
    for waiver in &checker.playbook.waivers {
        let code = waiver.code.value.as_str();
        if let Some((_, why)) = HELD.iter().find(|(held, _)| *held == code) {
            checker
                .error(
                    "not-waivable",
                    waiver.code.span,
                    format!("{code} cannot be waived in a file"),
                )
                .help = Some((*why).to_owned());
            continue;
        }
        if !WAIVABLE.contains(&code) {
            let error = checker.error(
                "unknown-rule",
                waiver.code.span,
                format!("no rule is called `{code}`"),
            );
            error.help = Some(match suggest(code, WAIVABLE) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("what can be waived: {}", WAIVABLE.join(", ")),
            });
            continue;
        }
        let mut met = false;
        for broken in checker.diagnostics.0.iter_mut().filter(|d| d.code == code) {
            waive(broken, &waiver.reason);
            met = true;
        }
        if !met {
            let unused = checker.error(
                "unused-waiver",
                waiver.code.span,
                format!("nothing here breaks {code}"),
            );
            unused.severity = Severity::Warning;
            unused.help =
                Some("take the waiver away, or it will hide what somebody breaks later".to_owned());
        }
    }
}

fn waive(broken: &mut Diagnostic, reason: &str) {
    broken.severity = Severity::Warning;
    broken.help = Some(format!("waived: {reason}"));
}
