//! Whether runs could be recorded: said when it changes, and again for as long as they could not.

use crate::cli::error::chain;
use crate::runs::RunsError;
use std::time::{Duration, Instant};

/// How often it is said while it lasts: who looks at the log the next morning finds it there.
const AGAIN: Duration = Duration::from_mins(10);

/// What was said of the journal.
#[derive(Debug, Default)]
pub(super) struct Journal {
    /// When it was last said that it cannot be used; none while it can.
    said: Option<Instant>,
}

impl Journal {
    /// What is to be said, now that it was looked at.
    pub(super) fn told(&mut self, found: &Result<(), RunsError>, now: Instant) -> Option<String> {
        match (found, self.said) {
            (Ok(()), None) => None,
            (Ok(()), Some(_)) => {
                self.said = None;
                Some("runs can be recorded again".to_owned())
            }
            (Err(_), Some(before)) if now.duration_since(before) < AGAIN => None,
            (Err(error), _) => {
                self.said = Some(now);
                Some(format!(
                    "no run can be started or gone on with, the clusters are only watched: {}",
                    chain(error).join(": ")
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_at_once_and_again_and_so_is_its_end() {
        let wrong = || {
            Err(RunsError::Journal {
                place: "/x/journal.db".to_owned(),
                source: std::io::Error::other("the disk is gone"),
            })
        };
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let mut journal = Journal::default();
        assert_eq!(journal.told(&Ok(()), begun), None);
        let first = journal.told(&wrong(), begun).unwrap();
        assert!(first.contains("only watched: the journal /x/journal.db"));
        assert!(first.ends_with(": the disk is gone"), "{first}");
        assert_eq!(journal.told(&wrong(), after(1)), None, "not every second");
        assert_eq!(journal.told(&wrong(), after(599)), None);
        assert_eq!(journal.told(&wrong(), after(600)), Some(first.clone()));
        assert_eq!(journal.told(&wrong(), after(900)), None);
        assert!(journal.told(&Ok(()), after(901)).unwrap().contains("again"));
        assert_eq!(journal.told(&Ok(()), after(902)), None);
        assert_eq!(journal.told(&wrong(), after(903)), Some(first));
    }
}
