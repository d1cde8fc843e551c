//! What lies in `pg_wal`: asked of the running server, and how the answer is read.

use super::questions::Garbled;
use super::wire::Answer;
use crate::cluster::{Lsn, Timeline, WalFiles};

/// Needs `pg_monitor`. Names only: the files themselves are not opened.
pub(crate) const WAL_FILES: &str = "SELECT pg_size_bytes(current_setting('wal_segment_size')), \
     min(substr(name, 9)) FILTER (WHERE name ~ '^[0-9A-F]{24}$'), \
     string_agg(substr(name, 1, 8), ' ' ORDER BY name) FILTER (WHERE name ~ '^[0-9A-F]{8}[.]history$') \
     FROM pg_ls_waldir()";

/// Reads the answer to [`WAL_FILES`].
pub(crate) fn wal_files(answers: &[Answer]) -> Result<WalFiles, Garbled> {
    let row = answers
        .first()
        .and_then(|a| a.rows.first())
        .ok_or(Garbled("row"))?;
    let text = |index: usize| row.get(index).and_then(Option::as_deref);
    let segment: u64 = text(0)
        .and_then(|t| t.parse().ok())
        .filter(|size: &u64| size.is_power_of_two())
        .ok_or(Garbled("wal_segment_size"))?;
    let oldest = text(1)
        .map(|name| start_of(name, segment).ok_or(Garbled("segment")))
        .transpose()?;
    let histories = text(2)
        .unwrap_or_default()
        .split_whitespace()
        .map(|name| u32::from_str_radix(name, 16).map(Timeline))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| Garbled("history"))?;
    Ok(WalFiles {
        segment,
        oldest,
        histories,
    })
}

/// The position at which a segment begins, from its name without the timeline: eight digits of the position's upper half,
/// eight of the segment's number within it.
fn start_of(name: &str, segment: u64) -> Option<Lsn> {
    let (upper, number) = name.split_at_checked(8)?;
    let upper = u64::from_str_radix(upper, 16).ok()?;
    let number = u64::from_str_radix(number, 16).ok()?;
    Some(Lsn((upper << 32) + number.checked_mul(segment)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segments_name_tells_where_it_begins() {
        let mib = 16 << 20;
        assert_eq!(start_of("0000000000000003", mib), Some(Lsn(0x300_0000)));
        assert_eq!(start_of("00000001000000FF", mib), Some(Lsn(0x1_FF00_0000)));
        assert_eq!(
            start_of("0000000200000001", 1 << 30),
            Some(Lsn(0x2_4000_0000))
        );
        assert_eq!(start_of("0000", mib), None);
    }
}
