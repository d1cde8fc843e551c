//! What a site's own programs, statements and requests answer in a rehearsal: all of them work, unless a fault meets them.

use super::here::{Phase, here};
use crate::cluster::{CustomEffect, Operation, Outcome, Trouble, TroubleKind};
use crate::engine::StepPath;
use crate::simulate::Outside;
use serde_json::json;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// A step's probe says no until that step has done something, so that steps with a probe are rehearsed and not passed over,
/// whatever others have done. Whoever only looks for itself (`effect: read`) is answered with yes.
#[derive(Default)]
pub(super) struct Willing {
    /// The steps that have done something, and have not taken it back.
    done: Mutex<HashSet<StepPath>>,
}

impl Outside for Willing {
    fn answer(&self, operation: &Operation) -> Outcome {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let looks = operation.effect() == CustomEffect::Read;
        match here() {
            Some((path, Phase::Probe | Phase::Verify)) if looks && !done.contains(&path) => {
                return Outcome::Failed(Trouble {
                    kind: TroubleKind::Failed,
                    node: operation.node().cloned(),
                    message: "nothing was done yet (rehearsed)".to_owned(),
                    help: None,
                });
            }
            Some((path, Phase::Undo)) if !looks => {
                done.remove(&path);
            }
            Some((path, _)) if !looks => {
                done.insert(path);
            }
            _ => {}
        }
        Outcome::Done(match operation {
            Operation::Sql { .. } => json!({ "rows": [{ "ok": true }], "count": 1 }),
            Operation::Http { .. } => json!({ "status": 200, "body": "" }),
            _ => json!({ "status": 0, "stdout": "" }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::here::within;
    use super::*;
    use crate::cluster::ExecPlace;
    use futures_util::FutureExt as _;
    use std::collections::BTreeMap;
    use std::time::Duration;

    fn says_yes(outside: &Willing, step: &str, phase: Phase, effect: CustomEffect) -> bool {
        let program = Operation::Exec {
            place: ExecPlace::Runner,
            argv: vec!["x".to_owned()],
            env: BTreeMap::new(),
            stdin: None,
            effect,
            deadline: Duration::from_secs(5),
        };
        let work = async move { outside.answer(&program) };
        let path = StepPath(step.into());
        let outcome = within(&path, phase, Box::pin(work)).now_or_never();
        matches!(outcome.unwrap(), Outcome::Done(_))
    }

    #[test]
    fn a_probe_says_what_its_own_step_has_done_and_not_taken_back() {
        use CustomEffect::{Idempotent, Read};
        let outside = Willing::default();
        let probe = |step| says_yes(&outside, step, Phase::Probe, Read);
        assert!(!probe("vip") && !probe("dns"));
        assert!(says_yes(&outside, "look", Phase::Apply, Read));
        assert!(!probe("vip"), "somebody has only looked");
        assert!(says_yes(&outside, "vip", Phase::Apply, Idempotent));
        assert!(probe("vip") && !probe("dns"));
        assert!(says_yes(&outside, "vip", Phase::Verify, Read));
        assert!(says_yes(&outside, "vip", Phase::Undo, Idempotent));
        assert!(!probe("vip"), "it was taken back");
    }
}
