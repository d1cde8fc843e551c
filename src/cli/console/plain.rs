//! The run as lines, for pipes and files: `+0.123s  step  status  detail`.

use super::tree::{look, outcome_look, why_not};
use crate::cli::paint::{Paint, Tone};
use crate::cli::text;
use crate::engine::{Envelope, Event, Failure, ScopeKind, UndoStatus, Verdict};

/// The line of an event; none for what a reader of a log can do without.
pub(crate) fn line(envelope: &Envelope, paint: Paint) -> Option<String> {
    let (place, tone, word, detail) = describe(&envelope.event)?;
    let at = text::pad_left(&format!("+{}", text::duration(envelope.at_ms)), 8);
    let place = text::one_line(&place);
    let word = format!("{word:<9}");
    let line = format!(
        "{at}  {place:<24}  {}  {}",
        paint.tone(tone, &word),
        text::one_line(&detail)
    );
    Some(line.trim_end().to_owned())
}

fn describe(event: &Event) -> Option<(String, Tone, &'static str, String)> {
    let run = || "run".to_owned();
    Some(match event {
        Event::RunStarted {
            run: id,
            playbook,
            version,
            cluster,
            ..
        } => {
            let version = version.as_deref().map(|v| format!(" {v}"));
            let version = version.unwrap_or_default();
            let detail = format!("{playbook}{version} on {cluster}, run {id}");
            (run(), Tone::Busy, "started", detail)
        }
        Event::ScopeOpened { path, kind, .. } => match kind {
            ScopeKind::Rescue | ScopeKind::Finally => {
                (path.to_string(), Tone::Busy, "started", String::new())
            }
            ScopeKind::Run | ScopeKind::Item | ScopeKind::Playbook => return None,
        },
        Event::ScopeClosed { .. } | Event::UndoStarted { .. } => return None,
        Event::StepStarted {
            path,
            action,
            node,
            items,
        } => {
            let mut detail = action.clone();
            if let Some(node) = node {
                detail += &format!(" on {node}");
            }
            if let Some(items) = items {
                detail += &format!(" for {}", items.join(", "));
            }
            (path.to_string(), Tone::Busy, "running", detail)
        }
        Event::StepSkipped { path, reason } => {
            use crate::engine::{SkipReason, StepStatus};
            let status = match reason {
                SkipReason::When(_) | SkipReason::Disabled(_) => StepStatus::Skipped,
                SkipReason::Needs(_) | SkipReason::Stopping => StepStatus::NotRun,
            };
            let (_, _, word, tone) = look(status);
            (path.to_string(), tone, word, why_not(reason))
        }
        Event::AttemptStarted { path, attempt, .. } if *attempt > 1 => (
            path.to_string(),
            Tone::Busy,
            "running",
            format!("attempt {attempt}"),
        ),
        Event::AttemptStarted { .. } => return None,
        Event::Probed {
            path, verdict, why, ..
        } => match verdict {
            Verdict::Satisfied => (path.to_string(), Tone::Good, "is so", why.clone()),
            Verdict::Needed => return None,
            Verdict::Conflict => (path.to_string(), Tone::Bad, "conflict", why.clone()),
            Verdict::Unknown => (path.to_string(), Tone::Warn, "unknown", why.clone()),
        },
        Event::EffectIntended {
            path,
            forecast,
            point_of_no_return,
            ..
        } => {
            let mut detail = forecast.summary.clone();
            if *point_of_no_return {
                detail += " (the point of no return)";
            }
            (path.to_string(), Tone::Plain, "doing", detail)
        }
        Event::EffectSettled {
            path,
            outcome,
            failure,
            ..
        } => match outcome.as_str() {
            "done" => return None,
            outcome => {
                let tone = if outcome == "failed" {
                    Tone::Bad
                } else {
                    Tone::Warn
                };
                let word = if outcome == "failed" {
                    "not done"
                } else {
                    "unknown"
                };
                let detail = failure.as_ref().map(reason).unwrap_or_default();
                (path.to_string(), tone, word, detail)
            }
        },
        Event::Noted { path, evidence } => {
            let tone = if super::summary::is_waived(evidence) {
                Tone::Bad
            } else {
                Tone::Plain
            };
            let detail = format!("{}: {}", super::summary::heading(evidence), evidence.text);
            (path.to_string(), tone, "note", detail)
        }
        Event::AttemptFailed {
            path,
            attempt,
            failure,
            retry_in_ms,
        } => {
            // The last failed attempt is told by the step's own end.
            let wait = (*retry_in_ms)?;
            #[expect(clippy::cast_precision_loss, reason = "milliseconds of a run")]
            let wait = text::duration(wait as f64);
            let detail = format!("attempt {attempt}: {}; again in {wait}", reason(failure));
            (path.to_string(), Tone::Warn, "failed", detail)
        }
        Event::StepEnded {
            path,
            status,
            failure,
            unchanged,
            ..
        } => {
            let (_, _, word, tone) = look(*status);
            let detail = match failure {
                Some(failure) => reason(failure),
                None if *unchanged => "nothing to do".to_owned(),
                None => String::new(),
            };
            (path.to_string(), tone, word, detail)
        }
        Event::CancelRequested { accepted, reason } => {
            let (word, detail) = if *accepted {
                (
                    "cancel",
                    "cancelling; a second signal leaves the run as it is".to_owned(),
                )
            } else {
                (
                    "refused",
                    format!("cancel refused: {}", reason.clone().unwrap_or_default()),
                )
            };
            (run(), Tone::Warn, word, detail)
        }
        Event::UndoEnded { path, status, what } => match status {
            UndoStatus::Nothing => return None,
            UndoStatus::Done => (path.to_string(), Tone::Warn, "undone", what.clone()),
            UndoStatus::Failed => (path.to_string(), Tone::Bad, "left", what.clone()),
        },
        Event::RunEnded {
            outcome, failure, ..
        } => {
            let (word, tone) = outcome_look(*outcome);
            let detail = failure.as_ref().map(reason).unwrap_or_default();
            (run(), tone, word, detail)
        }
    })
}

fn reason(failure: &Failure) -> String {
    format!("{}: {}", failure.kind.as_str(), failure.message)
}

#[cfg(test)]
mod tests {
    use super::super::script::Script;
    use super::*;

    fn lines(script: &Script) -> String {
        let all: Vec<String> = script
            .envelopes()
            .filter_map(|e| line(e, Paint::plain()))
            .collect();
        assert!(all.iter().all(|l| !l.contains('\n')), "one event, one line");
        all.join("\n")
    }

    #[test]
    fn a_failover_in_a_pipe() {
        insta::assert_snapshot!(lines(&Script::failover()));
    }

    #[test]
    fn a_failure_in_a_pipe() {
        insta::assert_snapshot!(lines(&Script::failure()));
    }
}
