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
        return End::At(if switch {
            Lsn(end.0.next_multiple_of(segment))
        } else {
            end
        });
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
    let header = |at: u64| {
        if at.is_multiple_of(segment) {
            LONG_HEADER
        } else {
            SHORT_HEADER
        }
    };
    let mut at = start.0;
    let mut left = length;
    loop {
        if at.is_multiple_of(page) {
            at += header(at);
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
}
