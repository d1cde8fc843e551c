//! The run as lines, for pipes and files: `+0.123s  step  status  detail`.

use super::parts::heard;
use super::summary;
use super::tree::{look, outcome_look, why_not};
use crate::cli::paint::{Paint, Tone};
use crate::cli::text;
use crate::engine::{
    Envelope, Event, Failure, ScopeKind, SkipReason, StepStatus, UndoStatus, Verdict,
};

/// The line of an event; none for what a reader of a log can do without.
pub(crate) fn line(envelope: &Envelope, paint: Paint) -> Option<String> {
    let (place, tone, word, detail) = describe(&envelope.event)?;
    let at = text::pad_left(&format!("+{}", text::duration(envelope.at_ms)), 8);
    let place = text::one_line(&place);
    let word = format!("{word:<9}");
    let line = format!(
        "{at}  {place:<28}  {}  {}",
        paint.tone(tone, &word),
        text::one_line(&detail)
    );
    Some(line.trim_end().to_owned())
}

/// What a line says: where, in which tone, the word, the detail.
type Told = (String, Tone, &'static str, String);

fn describe(event: &Event) -> Option<Told> {
    of_run(event)
        .or_else(|| of_step(event))
        .or_else(|| of_attempt(event))
        .or_else(|| of_effect(event))
}

/// The run as a whole: its start, its end, its scopes, a request to cancel.
fn of_run(event: &Event) -> Option<Told> {
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
        Event::RunResumed { runner, .. } => {
            let detail = format!("its runner died; {runner} goes on");
            (run(), Tone::Busy, "resumed", detail)
        }
        Event::ScopeOpened {
            path,
            kind: ScopeKind::Rescue | ScopeKind::Finally,
            ..
        } => (path.to_string(), Tone::Busy, "started", String::new()),
        Event::CancelRequested { accepted: true, .. } => {
            let detail = "cancelling; a second signal leaves the run as it is";
            (run(), Tone::Warn, "cancel", detail.to_owned())
        }
        Event::CancelRequested { reason, .. } => {
            let reason = reason.as_deref().unwrap_or_default();
            let detail = format!("cancel refused: {reason}");
            (run(), Tone::Warn, "refused", detail)
        }
        Event::MessageHeard {
            message,
            accepted,
            why,
        } => {
            let (path, text) = heard(message, why.as_deref());
            let (word, tone) = if *accepted {
                ("message", Tone::Busy)
            } else {
                ("refused", Tone::Warn)
            };
            let path = if path.is_root() {
                run()
            } else {
                path.to_string()
            };
            (path, tone, word, text)
        }
        Event::RunEnded {
            outcome, failure, ..
        } => {
            let (word, tone) = outcome_look(*outcome);
            let detail = failure.as_ref().map(reason).unwrap_or_default();
            (run(), tone, word, detail)
        }
        _ => return None,
    })
}

/// A step's start and end.
fn of_step(event: &Event) -> Option<Told> {
    Some(match event {
        Event::StepStarted {
            path,
            action,
            node,
            items,
            ..
        } => {
            let node = node.as_ref().map(|n| format!(" on {n}"));
            let items = items.as_ref().map(|i| format!(" for {}", i.join(", ")));
            let detail = action.clone() + &node.unwrap_or_default() + &items.unwrap_or_default();
            (path.to_string(), Tone::Busy, "running", detail)
        }
        Event::StepSkipped { path, reason } => {
            let status = match reason {
                SkipReason::When(_) | SkipReason::Disabled(_) => StepStatus::Skipped,
                SkipReason::Needs(_) | SkipReason::Failures | SkipReason::Stopping => {
                    StepStatus::NotRun
                }
                SkipReason::Unknown(_) => StepStatus::MayRun,
            };
            let (_, _, word, tone) = look(status);
            (path.to_string(), tone, word, why_not(reason))
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
        _ => return None,
    })
}

/// What happens between a step's start and its end. The first attempt begins with the step, and the last failed one is
/// told by the step's end.
fn of_attempt(event: &Event) -> Option<Told> {
    Some(match event {
        Event::AttemptStarted { path, attempt, .. } if *attempt > 1 => {
            let detail = format!("attempt {attempt}");
            (path.to_string(), Tone::Busy, "running", detail)
        }
        Event::AttemptFailed {
            path,
            attempt,
            failure,
            retry_in_ms: Some(wait),
            ..
        } => {
            #[expect(clippy::cast_precision_loss, reason = "milliseconds of a run")]
            let wait = text::duration(*wait as f64);
            let detail = format!("attempt {attempt}: {}; again in {wait}", reason(failure));
            (path.to_string(), Tone::Warn, "failed", detail)
        }
        Event::Probed {
            path, verdict, why, ..
        } => {
            let (tone, word) = match verdict {
                Verdict::Satisfied => (Tone::Good, "is so"),
                Verdict::Needed => return None,
                Verdict::Conflict => (Tone::Bad, "conflict"),
                Verdict::Unknown => (Tone::Warn, "unknown"),
            };
            (path.to_string(), tone, word, why.clone())
        }
        Event::Noted { path, evidence } => {
            let tone = if summary::is_waived(evidence) {
                Tone::Bad
            } else {
                Tone::Plain
            };
            let detail = format!("{}: {}", summary::heading(evidence), evidence.text);
            (path.to_string(), tone, "note", detail)
        }
        _ => return None,
    })
}

/// What is done, and taken back. An effect that happened needs no second line.
fn of_effect(event: &Event) -> Option<Told> {
    Some(match event {
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
        } if outcome != "done" => {
            let (tone, word) = if outcome == "failed" {
                (Tone::Bad, "not done")
            } else {
                (Tone::Warn, "unknown")
            };
            let detail = failure.as_ref().map(reason).unwrap_or_default();
            (path.to_string(), tone, word, detail)
        }
        Event::UndoEnded { path, status, what } => {
            let (tone, word) = match status {
                UndoStatus::Nothing => return None,
                UndoStatus::Done => (Tone::Warn, "undone"),
                UndoStatus::Failed => (Tone::Bad, "left"),
            };
            (path.to_string(), tone, word, what.clone())
        }
        _ => return None,
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
