//! The site's own commands and requests where a stock action would call them: nothing is run, and that it would end well
//! is an assumption that is named.

use super::model::Supposed;
use crate::cluster::{Operation, Outcome};
use crate::simulate::Outside;
use serde_json::json;
use std::sync::{Arc, Mutex, PoisonError};

/// Answers that everything ends well, and keeps what was assumed by that.
#[derive(Debug, Clone, Default)]
pub(super) struct Taken(Arc<Mutex<Vec<Supposed>>>);

impl Taken {
    /// What was assumed so far, each once.
    pub(super) fn all(&self) -> Vec<Supposed> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Remembers an assumption.
    pub(super) fn suppose(&self, about: String, text: String) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let supposed = Supposed { about, text };
        if !all.contains(&supposed) {
            all.push(supposed);
        }
    }
}

impl Outside for Taken {
    fn answer(&self, operation: &Operation) -> Outcome {
        let about = operation
            .node()
            .map_or_else(|| "outside".to_owned(), ToString::to_string);
        let (what, returned) = match operation {
            Operation::Exec { argv, .. } => (
                format!("`{}`", argv.join(" ")),
                json!({ "status": 0, "stdout": "" }),
            ),
            Operation::Http { request, .. } => (
                format!("the {} request", request.method),
                json!({ "status": 200, "body": "" }),
            ),
            Operation::Sql { .. } => (
                "the site's statement".to_owned(),
                json!({ "rows": [], "count": 0 }),
            ),
            _ => (
                "the site's command".to_owned(),
                json!({ "status": 0, "stdout": "" }),
            ),
        };
        self.suppose(about, format!("{what} is taken to succeed; it is not run"));
        Outcome::Done(returned)
    }
}
