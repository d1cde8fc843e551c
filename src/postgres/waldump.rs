//! Where the WAL of a node ends, by its own files.

use crate::cluster::{Lsn, Timeline};

/// The name of a segment.
pub(crate) fn segment_name(timeline: Timeline, number: u64, segment: u64) -> String {
    let per = (1_u64 << 32) / segment;
    format!("{:08X}{:08X}{:08X}", timeline.0, number / per, number % per)
}

/// The sizes of a page and of a segment, from the header of a segment's first page; none where it is none.
pub(crate) fn sizes(header: &[u8]) -> Option<(u64, u64)> {
    let word = |at: usize| Some(u32::from_ne_bytes(header.get(at..at + 4)?.try_into().ok()?));
    let (segment, page) = (word(32)?, word(36)?);
    let good = header.get(2)? & 2 != 0
        && segment.is_power_of_two()
        && (1 << 20..=1 << 30).contains(&segment)
        && page.is_power_of_two()
        && (1 << 10..=1 << 16).contains(&page);
    good.then_some((page.into(), segment.into()))
}

/// From where on the program has to look to tell where the WAL ends that begins at this position. What a standby has received
/// may end with a page, in the middle of a record, and the program tells of no record that began before.
pub(crate) fn start(from: Lsn) -> Lsn {
    // Not into the segment before: it may not be there.
    let back = from.0.is_multiple_of(PAGE) && !from.0.is_multiple_of(1 << 20);
    Lsn(from.0 - if back { PAGE } else { 0 })
}

/// The magic numbers of WAL whose pages and records begin as below: PostgreSQL 12 to 18.
const KNOWN: [u16; 7] = [0xD101, 0xD106, 0xD10D, 0xD110, 0xD113, 0xD116, 0xD118];

/// Whether a page is of such WAL.
pub(crate) fn is_known(page: &[u8]) -> bool {
    let magic = page.get(..2).and_then(|two| two.try_into().ok());
    magic.is_some_and(|two| KNOWN.contains(&u16::from_ne_bytes(two)))
}

/// The size of the header of the page that begins at this position.
pub(crate) fn page_header(start: u64, segment: u64) -> u64 {
    if start.is_multiple_of(segment) {
        LONG_HEADER
    } else {
        SHORT_HEADER
    }
}

/// Whether it is certain, by the page that holds this position, that the WAL ends there: the page's records, followed from
/// the first that begins in it, lead to exactly that position, and where the next one would tell its length there is zero.
///
/// False decides nothing. A standby may have received half a record, so that zeros alone prove nothing; behind a switch to
/// the next segment there are zeros, too; and a segment that was used before is full of old records, which only their
/// checksums tell from new ones.
///
/// A page begins with a magic number, flags (2 bytes each), its timeline (4), its own position (8) and how much of a record
/// of the page before goes on in it (4): `XLogPageHeaderData` in PostgreSQL's `src/include/access/xlog_internal.h`. A record
/// begins at a multiple of eight with its length (4 bytes, never zero), transaction (4), the position before (8), kind (1) and
/// resource manager (1): `XLogRecord` in `xlogrecord.h` beside it.
pub(crate) fn ends_at(page: &[u8], from: Lsn, segment: u64) -> bool {
    let short = |at: usize| Some(u32::from_ne_bytes(page.get(at..at + 4)?.try_into().ok()?));
    let long = |at: usize| Some(u64::from_ne_bytes(page.get(at..at + 8)?.try_into().ok()?));
    let within = from.0 % page.len() as u64;
    let start = from.0 - within;
    if long(8) != Some(start) || !is_known(page) {
        return false;
    }
    let mut at = u64::from(short(16).unwrap_or_default()) + page_header(start, segment);
    let mut met = false;
    while at.next_multiple_of(8) < within {
        let Ok(record) = usize::try_from(at.next_multiple_of(8)) else {
            return false;
        };
        let is_switch = page.get(record + 16).is_none_or(|kind| kind & 0xF0 == 0x40)
            && page.get(record + 17).is_none_or(|manager| *manager == 0);
        match short(record) {
            Some(length @ 1..) if !is_switch => at = record as u64 + u64::from(length),
            _ => return false,
        }
        met = true;
    }
    met && at.next_multiple_of(8) == within
        && usize::try_from(within).ok().and_then(short) == Some(0)
}

/// What pg_controldata and pg_waldump told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// The end of the last valid record.
    At(Lsn),
    /// There is no valid record from the given position on; its segment is there, so that position is the end.
    Nothing,
    /// The segment of the position is not there: nothing can be told.
    NoSegment,
    /// The program did not get as far as the end, and its words.
    Untold(String),
}

/// Where `pg_waldump` ended, if that is the end of the WAL: it read everything that is there, or met what is no record.
/// Everything else (it is not installed, may not read, was killed) tells nothing, least of all that nothing is there.
fn reached_the_end(text: &str) -> Result<(), String> {
    const ENDS: [&str; 2] = [
        "error in WAL record at",
        "could not find a valid record after",
    ];
    let status = text.lines().find_map(|line| line.strip_prefix("status "));
    let said = text
        .lines()
        .rfind(|line| line.starts_with("said "))
        .map_or("", |line| &line[5..]);
    if status == Some("0") || ENDS.iter().any(|end| said.contains(end)) {
        return Ok(());
    }
    Err(match (said, status) {
        ("", Some(status)) => format!("the program that reads WAL exited with {status}"),
        ("", None) => "the program that reads WAL did not run".to_owned(),
        (said, _) => said.to_owned(),
    })
}

const PAGE: u64 = 8192;
const SEGMENT: u64 = 16 << 20;
/// Sizes of the headers of a page and of the first page of a segment.
const SHORT_HEADER: u64 = 24;
const LONG_HEADER: u64 = 40;

/// Reads the answer of the script [`super::scripts::WAL_END`]. At the start of a segment the segment itself may not
/// exist yet; the one before then must.
pub(crate) fn read(text: &str, from: Lsn) -> End {
    let line = |word: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(word)?.strip_prefix(' '))
    };
    let size = |word: &str, otherwise: u64| {
        line(word)
            .and_then(|value| value.trim().parse().ok())
            .filter(|size| *size > 0)
            .unwrap_or(otherwise)
    };
    let (page, segment) = (size("page", PAGE), size("segment", SEGMENT));
    let there = |word: &str| text.lines().any(|line| line == word);
    if there("this")
        && let Err(why) = reached_the_end(text)
    {
        return End::Untold(why);
    }
    if let Some(record) = line("record")
        && let Some((start, length)) = last_record(record)
    {
        let end = record_end(start, length, page, segment);
        // The rest of its segment is skipped.
        let switch = record.starts_with("rmgr: XLOG") && record.contains("desc: SWITCH");
        let end = if switch {
            Lsn(end.0.next_multiple_of(segment))
        } else {
            end
        };
        return if end > from {
            End::At(end)
        } else {
            End::Nothing
        };
    }
    if there("this") || (from.0.is_multiple_of(segment) && there("before")) {
        End::Nothing
    } else {
        End::NoSegment
    }
}

/// `rmgr: … len (rec/tot): 54/ 114, tx: 0, lsn: 0/03000148, prev …`: where a record starts and how long it is.
fn last_record(line: &str) -> Option<(Lsn, u64)> {
    let (_, rest) = line.split_once("len (rec/tot):")?;
    let (lengths, rest) = rest.split_once(',')?;
    let total = lengths.split_once('/')?.1.trim().parse().ok()?;
    let (_, rest) = rest.split_once("lsn:")?;
    let start = rest.split(',').next()?.trim().parse().ok()?;
    Some((start, total))
}

/// A record goes on behind the header of every page that it crosses; the next begins at a multiple of eight.
fn record_end(start: Lsn, length: u64, page: u64, segment: u64) -> Lsn {
    let mut at = start.0;
    let mut left = length;
    loop {
        if at.is_multiple_of(page) {
            at += page_header(at, segment);
        }
        let room = page - at % page;
        if left <= room {
            at += left;
            break;
        }
        left -= room;
        at += room;
    }
    Lsn(at.div_ceil(8) * 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_ends_behind_the_page_headers_it_crosses() {
        for (start, length, end) in [
            (0x300_0148, 54, 0x300_0180),
            (0x300_1FE0, 32, 0x300_2000),
            (0x300_1FE0, 40, 0x300_2020),
            (0x2FF_FFF8, 16, 0x300_0030),
            (0x300_1F00, 256 + 8168 + 8, 0x300_4020),
        ] {
            let found = record_end(Lsn(start), length, PAGE, SEGMENT);
            assert_eq!(found, Lsn(end), "{start:x} + {length}");
        }
    }

    #[test]
    fn silence_is_the_end_only_where_the_segment_is_there() {
        for (from, files, end) in [
            (
                0x300_0180,
                "this\nstatus 1\nsaid pg_waldump: error: could not find a valid record after 0/3000180\nbefore\n",
                End::Nothing,
            ),
            (0x300_0180, "this\nstatus 0\n", End::Nothing),
            (0x300_0180, "before\n", End::NoSegment),
            (0x300_0180, "", End::NoSegment),
            (0x300_0000, "before\n", End::Nothing),
        ] {
            let text = format!("page 8192\nsegment 16777216\n{files}");
            assert_eq!(read(&text, Lsn(from)), end, "{from:x} {files}");
        }
    }

    #[test]
    fn a_program_that_did_not_get_to_the_end_tells_nothing() {
        let record = "record rmgr: XLOG        len (rec/tot):     24/    24, tx:          0, lsn: 0/03000148, prev 0/03000110, desc: NOOP\n";
        for (told, why) in [
            ("", "the program that reads WAL did not run"),
            ("status 137\n", "the program that reads WAL exited with 137"),
            (
                "status 127\nsaid sh: 1: /x/pg_waldump: not found\n",
                "sh: 1: /x/pg_waldump: not found",
            ),
            (
                "status 1\nsaid pg_waldump: error: could not open file \"0001\": Permission denied\n",
                "pg_waldump: error: could not open file \"0001\": Permission denied",
            ),
        ] {
            for before in ["this\n", &format!("this\n{record}")] {
                let text = format!("page 8192\nsegment 16777216\n{before}{told}");
                assert_eq!(read(&text, Lsn(0x300_0180)), End::Untold(why.to_owned()));
            }
        }
    }

    #[test]
    fn the_last_record_tells_the_end() {
        let switch = "this\nstatus 0\nrecord rmgr: XLOG        len (rec/tot):     24/    24, tx:          0, lsn: 0/03000148, prev 0/03000110, desc: SWITCH";
        assert_eq!(read(switch, Lsn(0x300_0000)), End::At(Lsn(0x400_0000)));
        let text = "page 8192\nsegment 16777216\n\
            record rmgr: Standby     len (rec/tot):     50/    50, tx:          0, lsn: 0/03000148, prev 0/03000110, desc: RUNNING_XACTS\n\
            this\nstatus 1\nsaid pg_waldump: error: error in WAL record at 0/3000148: invalid record length\n";
        assert_eq!(read(text, Lsn(0x300_0000)), End::At(Lsn(0x300_0180)));
    }

    /// A page with records of these lengths and kinds, the rest zeros.
    fn page(start: u64, rest: u32, records: &[(u32, u8)]) -> (Vec<u8>, u64) {
        let mut bytes = vec![0; 8192];
        bytes[0..2].copy_from_slice(&0xD110_u16.to_ne_bytes());
        bytes[8..16].copy_from_slice(&start.to_ne_bytes());
        bytes[16..20].copy_from_slice(&rest.to_ne_bytes());
        let header = usize::try_from(SHORT_HEADER).unwrap();
        let mut at = (header + rest as usize).next_multiple_of(8);
        for (length, kind) in records {
            bytes[at..at + 4].copy_from_slice(&length.to_ne_bytes());
            bytes[at + 16] = *kind;
            bytes[at + 17] = u8::from(*kind == 0);
            at = (at + *length as usize).next_multiple_of(8);
        }
        (bytes, start + at as u64)
    }

    #[test]
    fn zeros_are_the_end_only_behind_whole_records() {
        const START: u64 = 0x300_2000;
        let (bytes, end) = page(START, 20, &[(54, 0), (106, 0)]);
        assert!(ends_at(&bytes, Lsn(end), SEGMENT));
        for (from, why) in [
            (end - 8, "in a record"),
            (end - 112, "a record follows"),
            (end + 8, "behind zeros"),
            (START, "at the start of a page nothing was met"),
            (START + 48, "what was met is the rest of a record"),
            (end + 8192, "the page of another position"),
        ] {
            assert!(!ends_at(&bytes, Lsn(from), SEGMENT), "{why}");
        }
        let (switch, end) = page(START, 0, &[(54, 0), (24, 0x40)]);
        assert!(!ends_at(&switch, Lsn(end), SEGMENT), "a switch");
        let (mut other, end) = page(START, 0, &[(54, 0)]);
        other[0] ^= 1;
        assert!(!ends_at(&other, Lsn(end), SEGMENT), "another format");
        let (long, end) = page(START, 9000, &[]);
        assert!(
            !ends_at(&long[..8192], Lsn(end), SEGMENT),
            "it goes on in the next page"
        );
    }
}
