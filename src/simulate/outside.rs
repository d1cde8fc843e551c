//! What a simulated run cannot know: the site's own programs, statements and requests. Nothing of them is ever run.

use crate::cluster::{Operation, Outcome, Trouble, TroubleKind};

/// Answers for the site's own `Exec`, `Sql` and `Http`, and for its commands that forbid and allow a return.
pub trait Outside: Send + Sync {
    /// How this operation would end.
    fn answer(&self, operation: &Operation) -> Outcome;
}

/// Nobody can tell: every answer is [`Outcome::Unknown`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Unknowable;

impl Outside for Unknowable {
    fn answer(&self, operation: &Operation) -> Outcome {
        let what = match operation {
            Operation::Exec { .. } => "a program of the site's",
            Operation::Sql { .. } => "a statement of the site's",
            _ => "a request of the site's",
        };
        Outcome::Unknown(Trouble {
            kind: TroubleKind::Unknown,
            node: operation.node().cloned(),
            message: format!(
                "nothing is run in a simulation, and nobody can tell what {what} would do"
            ),
            help: None,
        })
    }
}

impl<F: Fn(&Operation) -> Outcome + Send + Sync> Outside for F {
    fn answer(&self, operation: &Operation) -> Outcome {
        self(operation)
    }
}
