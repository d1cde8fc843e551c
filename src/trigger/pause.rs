//! A pause: for some time nothing is started automatically on a cluster. It ends by itself.
//!
//! What a person starts is not held back, and neither is going on with a run that was begun before.

use crate::journal::Note;
use crate::runs::{Records, RunsError};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The kind of note that a pause is.
const KIND: &str = "pause";

/// A cluster has one pause: the next takes its place.
const ID: &str = "automatic";

/// The version of its form that this program writes and reads.
const VERSION: u32 = 1;

/// A year. Who needs longer should not let the cluster be watched at all.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// How much a reason may hold, in bytes.
const REASON: usize = 4096;

/// A cluster on which nothing is started automatically for some time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// Who wants it.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// From when on.
    #[serde(with = "moment")]
    pub since: Timestamp,
    /// When it ends by itself.
    #[serde(with = "moment")]
    pub until: Timestamp,
}

/// Why a cluster is not paused, or why it cannot be told whether it is.
#[derive(Debug, thiserror::Error)]
pub enum PauseError {
    /// It would be over at once.
    #[error("a pause of no time holds nothing back")]
    Nothing,
    /// It would be forgotten.
    #[error("a pause lasts a year (8760h) at most")]
    TooLong,
    /// Nobody would know why.
    #[error("a pause has a reason")]
    NoReason,
    /// A novel.
    #[error("the reason of a pause has {bytes} bytes, {REASON} are the most")]
    LongReason {
        /// How many it has.
        bytes: usize,
    },
    /// What is kept is of another version, or damaged.
    #[error("the pause of cluster {cluster} cannot be read: {why}")]
    Unreadable {
        /// The cluster.
        cluster: String,
        /// Why.
        why: String,
    },
    /// The store of the site.
    #[error(transparent)]
    Records(#[from] RunsError),
}

/// A pause as it is kept.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    v: u32,
    pause: Pause,
}

#[derive(Deserialize)]
struct Version {
    v: u32,
}

/// Pauses a cluster for so long from now on, durably. Takes the place of an earlier pause, be it longer or shorter.
pub async fn pause(
    records: &Records,
    cluster: &str,
    owner: &str,
    reason: &str,
    lasts: Duration,
) -> Result<Pause, PauseError> {
    let pause = Pause::new(Timestamp::now(), owner, reason, lasts)?;
    records.keep_note(&pause.note(cluster)?).await?;
    Ok(pause)
}

/// Ends the pause of a cluster before its time; tells which one was in force. One that cannot be read is ended, too.
pub async fn unpause(records: &Records, cluster: &str) -> Result<Option<Pause>, PauseError> {
    let ended = match paused(records, cluster, Timestamp::now()).await {
        Err(PauseError::Unreadable { .. }) => None,
        other => other?,
    };
    records.discard_note(cluster, KIND, ID).await?;
    Ok(ended)
}

/// The pause that holds the cluster now; none when there is none or its time is over. Where this is an error nobody knows,
/// and nothing may be started automatically.
pub async fn paused(
    records: &Records,
    cluster: &str,
    now: Timestamp,
) -> Result<Option<Pause>, PauseError> {
    let newest = records.notes(Some(cluster), KIND, 1).await?;
    let Some(note) = newest.into_iter().next() else {
        return Ok(None);
    };
    let pause = Pause::of(&note)?;
    Ok(Some(pause).filter(|pause| now < pause.until))
}

impl Pause {
    fn new(
        since: Timestamp,
        owner: &str,
        reason: &str,
        lasts: Duration,
    ) -> Result<Self, PauseError> {
        let reason = reason.trim();
        if lasts.is_zero() {
            return Err(PauseError::Nothing);
        }
        if lasts > LONGEST {
            return Err(PauseError::TooLong);
        }
        if reason.is_empty() {
            return Err(PauseError::NoReason);
        }
        if reason.len() > REASON {
            return Err(PauseError::LongReason {
                bytes: reason.len(),
            });
        }
        let until = SignedDuration::try_from(lasts)
            .and_then(|lasts| since.checked_add(lasts))
            .map_err(|_| PauseError::TooLong)?;
        Ok(Self {
            owner: owner.to_owned(),
            reason: reason.to_owned(),
            since,
            until,
        })
    }

    fn note(&self, cluster: &str) -> Result<Note, PauseError> {
        let kept = Kept {
            v: VERSION,
            pause: self.clone(),
        };
        Ok(Note {
            cluster: cluster.to_owned(),
            kind: KIND.to_owned(),
            id: ID.to_owned(),
            at: self.since,
            body: serde_json::to_value(kept).map_err(|error| unreadable(cluster, &error))?,
        })
    }

    fn of(note: &Note) -> Result<Self, PauseError> {
        let damaged = |error: serde_json::Error| unreadable(&note.cluster, &error);
        // A later version may have any form beside its number.
        let Version { v } = Version::deserialize(&note.body).map_err(damaged)?;
        if v != VERSION {
            let why = format!(
                "it has version {v}, this pgbaton knows {VERSION}: use the pgbaton that wrote it, or a later one"
            );
            return Err(unreadable(&note.cluster, &why));
        }
        let kept = Kept::deserialize(&note.body).map_err(damaged)?;
        Ok(kept.pause)
    }
}

fn unreadable(cluster: &str, why: &dyn ToString) -> PauseError {
    PauseError::Unreadable {
        cluster: cluster.to_owned(),
        why: why.to_string(),
    }
}

/// A moment as text.
mod moment {
    use jiff::Timestamp;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(at)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn made(reason: &str, lasts: Duration) -> Result<Pause, PauseError> {
        let since = "2026-11-23T01:46:07.123456789Z".parse().unwrap();
        Pause::new(since, "dba@runner", reason, lasts)
    }

    #[test]
    fn a_pause_has_a_length_and_a_reason() {
        type Check = fn(&PauseError) -> bool;

        let pause = made(" OPS-4711\n", LONGEST).unwrap();
        assert_eq!(pause.reason, "OPS-4711");
        assert_eq!(pause.until.to_string(), "2027-11-23T01:46:07.123456789Z");
        let refused: [(&str, Duration, Check); 5] = [
            ("x", Duration::ZERO, |e| matches!(e, PauseError::Nothing)),
            ("x", LONGEST + Duration::from_nanos(1), |e| {
                matches!(e, PauseError::TooLong)
            }),
            ("x", Duration::MAX, |e| matches!(e, PauseError::TooLong)),
            (" \n", LONGEST, |e| matches!(e, PauseError::NoReason)),
            (&"x".repeat(REASON + 1), LONGEST, |e| {
                matches!(e, PauseError::LongReason { bytes: 4097 })
            }),
        ];
        for (reason, lasts, is_so) in refused {
            let error = made(reason, lasts).unwrap_err();
            assert!(is_so(&error), "{error}");
        }
    }

    #[test]
    fn what_is_kept_is_read_back_and_what_another_version_kept_is_not_guessed_at() {
        let pause = made("OPS-4711", LONGEST).unwrap();
        let note = pause.note("orders").unwrap();
        assert_eq!(Pause::of(&note).unwrap(), pause);
        for (body, says) in [
            (
                json!({ "v": 2, "pauses": [] }),
                "it has version 2, this pgbaton knows 1",
            ),
            (json!({ "v": 1, "pause": {} }), "missing field"),
            (json!("for ever"), "cannot be read"),
        ] {
            let other = Note {
                body,
                ..note.clone()
            };
            let error = Pause::of(&other).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
