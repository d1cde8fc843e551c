//! What a site's own programs, statements and requests answer in a rehearsal: all of them work, unless a fault meets them.

use crate::cluster::{CustomEffect, Operation, Outcome, Trouble, TroubleKind};
use crate::simulate::Outside;
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};

/// Probes say no until something was done, so that steps with a probe are rehearsed and not passed over.
pub(super) struct Willing {
    done: AtomicBool,
}

impl Willing {
    /// `at_once`: what only looks is answered with yes from the beginning.
    pub(super) fn new(at_once: bool) -> Self {
        Self {
            done: AtomicBool::new(at_once),
        }
    }
}

impl Outside for Willing {
    fn answer(&self, operation: &Operation) -> Outcome {
        if operation.effect() != CustomEffect::Read {
            self.done.store(true, Ordering::Relaxed);
        } else if !self.done.load(Ordering::Relaxed) {
            return Outcome::Failed(Trouble {
                kind: TroubleKind::Failed,
                node: operation.node().cloned(),
                message: "nothing was done yet (rehearsed)".to_owned(),
                help: None,
            });
        }
        Outcome::Done(match operation {
            Operation::Sql { .. } => json!({ "rows": [{ "ok": true }], "count": 1 }),
            Operation::Http { .. } => json!({ "status": 200, "body": "" }),
            _ => json!({ "status": 0, "stdout": "" }),
        })
    }
}
