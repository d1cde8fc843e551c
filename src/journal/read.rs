//! Reads a journal back.

use crate::engine::Envelope;
use std::path::{Path, PathBuf};

/// The version of the format that this program writes and reads.
const VERSION: u32 = 1;

/// Why a journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("the journal {path} cannot be read")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line that is not the last one is no event.
    #[error("line {line} of the journal {path} is damaged")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
    /// An event of another version of this format.
    #[error("line {line} of the journal {path} has version {version}, this program reads {VERSION}")]
    Version {
        /// Which.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What it says.
        version: u32,
    },
    /// Events are missing.
    #[error("line {line} of the journal {path} is event {found}, expected {expected}")]
    Gap {
        /// Which.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// Its number.
        found: u64,
        /// The number that was due.
        expected: u64,
    },
}

/// All events of a journal, in order. The last line may be torn, by a crash or by a writer at work: it is left out.
/// Blocks while it reads.
pub fn read(path: &Path) -> Result<Vec<Envelope>, ReadError> {
    let content = std::fs::read(path).map_err(|source| ReadError::File {
        path: path.to_owned(),
        source,
    })?;
    let whole = &content[..whole_lines(&content)];
    let mut events: Vec<Envelope> = Vec::new();
    let lines = whole.split(|byte| *byte == b'\n');
    for (index, text) in lines.enumerate().filter(|(_, text)| !text.is_empty()) {
        let line = index + 1;
        let path = || path.to_owned();
        let envelope: Envelope =
            serde_json::from_slice(text).map_err(|source| ReadError::Damaged {
                path: path(),
                line,
                source,
            })?;
        if envelope.v != VERSION {
            return Err(ReadError::Version {
                path: path(),
                line,
                version: envelope.v,
            });
        }
        let expected = events.last().map_or(0, |last| last.seq + 1);
        if envelope.seq != expected {
            return Err(ReadError::Gap {
                path: path(),
                line,
                found: envelope.seq,
                expected,
            });
        }
        events.push(envelope);
    }
    Ok(events)
}

/// How much of a journal consists of whole lines. After a loss of power the last one can be there in length but not in
/// content; then it is not whole either.
pub(super) fn whole_lines(content: &[u8]) -> usize {
    let Some(end) = content.iter().rposition(|byte| *byte == b'\n') else {
        return 0;
    };
    let start = content[..end]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |before| before + 1);
    // Only what can be no event at all is taken for torn; a complete line of another kind is damage, and is said so.
    if serde_json::from_slice::<serde_json::Value>(&content[start..end]).is_ok() {
        end + 1
    } else {
        start
    }
}
