//! What the exit codes mean; `docs/exit-codes.md` tells it to people.

use crate::engine::Outcome;

/// How a command ended, as the calling process sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Code {
    /// Everything reached its goal.
    Ok,
    /// It failed.
    Failed,
    /// Usage, or input that is not valid: nothing was touched.
    Invalid,
    /// A safety rule or gate refused.
    Refused,
    /// The goal was reached, not everything is as it should be.
    Degraded,
    /// Another run holds the cluster.
    Busy,
    /// A person must decide.
    Held,
    /// Cancelled.
    Cancelled,
}

impl Code {
    /// All of them; where several apply to one command, the first in this order is the exit code.
    pub(crate) const BY_PRECEDENCE: [Self; 8] = [
        Self::Invalid,
        Self::Busy,
        Self::Refused,
        Self::Held,
        Self::Cancelled,
        Self::Failed,
        Self::Degraded,
        Self::Ok,
    ];

    /// The number.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Ok => Outcome::Ok.exit_code(),
            Self::Failed => Outcome::Failed.exit_code(),
            Self::Invalid => 2,
            Self::Refused => Outcome::Refused.exit_code(),
            Self::Degraded => Outcome::Degraded.exit_code(),
            Self::Busy => 5,
            Self::Held => Outcome::Held.exit_code(),
            Self::Cancelled => Outcome::Cancelled.exit_code(),
        }
    }

    /// The one of this number.
    pub(crate) fn of(number: u8) -> Option<Self> {
        let mut all = Self::BY_PRECEDENCE.into_iter();
        all.find(|code| code.number() == number)
    }

    /// The one that counts where both apply.
    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        Self::BY_PRECEDENCE
            .into_iter()
            .find(|code| *code == self || *code == other)
            .unwrap_or(self)
    }
}

impl From<Outcome> for Code {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Ok => Self::Ok,
            Outcome::Degraded => Self::Degraded,
            Outcome::Failed => Self::Failed,
            Outcome::Refused => Self::Refused,
            Outcome::Held => Self::Held,
            Outcome::Cancelled => Self::Cancelled,
        }
    }
}

impl From<Code> for std::process::ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_the_language_page() {
        let numbers: Vec<u8> = Code::BY_PRECEDENCE.map(Code::number).into();
        assert_eq!(numbers, [2, 5, 3, 6, 130, 1, 4, 0]);
    }

    #[test]
    fn the_stronger_code_wins_whichever_comes_first() {
        for (index, strong) in Code::BY_PRECEDENCE.into_iter().enumerate() {
            for weak in &Code::BY_PRECEDENCE[index..] {
                assert_eq!(strong.and(*weak), strong);
                assert_eq!(weak.and(strong), strong);
            }
        }
    }

    #[test]
    fn every_outcome_of_a_run_has_its_code() {
        let table = [
            (Outcome::Ok, 0),
            (Outcome::Failed, 1),
            (Outcome::Refused, 3),
            (Outcome::Degraded, 4),
            (Outcome::Held, 6),
            (Outcome::Cancelled, 130),
        ];
        for (outcome, number) in table {
            assert_eq!(Code::from(outcome).number(), number, "{outcome:?}");
        }
    }
}
