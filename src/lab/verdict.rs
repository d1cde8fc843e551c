//! What a writer saw, and what became of it.

use super::writer::{Endpoint, WriterError};
use super::{sql, writer};
use std::collections::HashSet;
use std::time::{Duration, SystemTime};

/// The bound on the comparison with a server.
const READ: Duration = Duration::from_secs(30);

/// One acknowledged row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// Its id; an id is used once.
    pub id: i64,
    /// When the acknowledgement arrived, from the writer's start.
    pub at: Duration,
    /// Which of the hosts gave it, as an index into [`WriterReport::hosts`].
    pub host: usize,
}

/// What a writer saw.
#[derive(Debug, Clone)]
pub struct WriterReport {
    /// Tells its rows from those of other writers.
    pub tag: String,
    /// Where it wrote.
    pub hosts: Vec<Endpoint>,
    /// When it began.
    pub started: SystemTime,
    /// How long it wrote.
    pub ran: Duration,
    /// Rows that a server said were committed, in the order of the acknowledgements.
    pub acknowledged: Vec<Ack>,
    /// Rows of which nobody said whether they were committed: they may be there or not.
    pub unknown: u64,
    /// Rows that a server refused because it was read-only.
    pub refused: u64,
}

/// A time without any acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// When it began, from the writer's start.
    pub from: Duration,
    /// How long it was.
    pub length: Duration,
    /// Whether something was acknowledged after it; if not, the writer was stopped in it.
    pub ended: bool,
}

/// What a server has of a writer's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How many of them it has.
    pub present: u64,
    /// Acknowledged rows that it does not have.
    pub lost: Vec<Ack>,
    /// Rows that it has and nobody acknowledged.
    pub unacknowledged: u64,
}

impl WriterReport {
    /// The longest time, over all sessions, in which nothing was acknowledged; the time after the last acknowledgement
    /// counts.
    pub fn longest_gap(&self) -> Gap {
        longest_gap(&self.acknowledged, self.ran)
    }

    /// Compares with what a server, normally the present primary, has. Bounded by half a minute.
    pub async fn verify(&self, primary: &Endpoint) -> Result<Verdict, WriterError> {
        let read = async {
            let session = sql::connect(primary, "", writer::LOGIN)
                .await
                .map_err(|e| WriterError::Connect {
                    host: primary.to_string(),
                    source: Box::new(e),
                })?;
            let rows = session
                .client
                .query(writer::SELECT, &[&self.tag])
                .await
                .map_err(|source| WriterError::Read {
                    host: primary.to_string(),
                    source,
                })?;
            Ok(rows.iter().map(|row| row.get(0)).collect::<HashSet<i64>>())
        };
        let present = tokio::time::timeout(READ, read)
            .await
            .map_err(|_| WriterError::Late {
                host: primary.to_string(),
                after: READ,
            })??;
        Ok(judge(&self.acknowledged, &present))
    }
}

fn longest_gap(acknowledged: &[Ack], ran: Duration) -> Gap {
    let mut longest = Gap {
        from: Duration::ZERO,
        length: Duration::ZERO,
        ended: true,
    };
    let ends = acknowledged.iter().map(|ack| (ack.at, true));
    let mut from = Duration::ZERO;
    for (at, ended) in ends.chain([(ran, false)]) {
        let length = at.saturating_sub(from);
        if length > longest.length {
            longest = Gap {
                from,
                length,
                ended,
            };
        }
        from = at;
    }
    longest
}

fn judge(acknowledged: &[Ack], present: &HashSet<i64>) -> Verdict {
    let lost: Vec<Ack> = acknowledged
        .iter()
        .copied()
        .filter(|ack| !present.contains(&ack.id))
        .collect();
    let kept = (acknowledged.len() - lost.len()) as u64;
    let present = present.len() as u64;
    Verdict {
        present,
        lost,
        unacknowledged: present.saturating_sub(kept),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acks(list: &[(i64, u64)]) -> Vec<Ack> {
        list.iter()
            .map(|(id, at)| Ack {
                id: *id,
                at: Duration::from_millis(*at),
                host: 0,
            })
            .collect()
    }

    #[test]
    fn the_longest_gap_counts_the_silence_at_the_end() {
        let ms = Duration::from_millis;
        let all = acks(&[(1, 10), (2, 20), (3, 90), (4, 100)]);
        let middle = longest_gap(&all, ms(110));
        assert_eq!(
            (middle.from, middle.length, middle.ended),
            (ms(20), ms(70), true)
        );
        let never_back = longest_gap(&all, ms(900));
        assert_eq!(
            (never_back.from, never_back.length, never_back.ended),
            (ms(100), ms(800), false)
        );
        assert_eq!(longest_gap(&[], ms(5)).length, ms(5));
    }

    #[test]
    fn only_acknowledged_rows_can_be_lost() {
        // 3 was acknowledged and is gone; 9 is there though nobody said so.
        let verdict = judge(&acks(&[(1, 1), (3, 2), (4, 3)]), &[1, 4, 9].into());
        assert_eq!(verdict.lost, acks(&[(3, 2)]));
        assert_eq!((verdict.present, verdict.unacknowledged), (3, 1));
    }
}
