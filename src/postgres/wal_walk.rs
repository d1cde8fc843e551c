//! Where WAL ends, followed from record to record: for servers that come without the program that prints it.
//!
//! A record counts only with its checksum and with the position of the one before it, as in a recovery. Pages and records
//! are laid out as [`super::waldump::ends_at`] says; the checksum (4 bytes at 20) is CRC-32C over what follows the record's
//! header (24 bytes), then over the header up to itself.

use super::waldump::{is_known, page_header};
use crate::cluster::Lsn;

/// Flags of a page: it begins with the rest of a record; such a rest never came, and what had begun is void.
const CONTINUES: u16 = 1;
const VOIDS: u16 = 8;
/// The size of a record's header.
const HEADER: usize = 24;

/// WAL, page by page.
pub(super) struct Walk<R> {
    /// The sizes of a page and of a segment.
    pub(super) page: u64,
    pub(super) segment: u64,
    /// The page that begins at a position; none where there is no such file.
    pub(super) read: R,
}

/// What was met.
enum Met {
    Record {
        begins: u64,
        next: u64,
    },
    /// It was never finished: a server went on at this page.
    Void(u64),
    /// No record.
    End,
}

/// WAL of a form that is not known.
struct Foreign;

impl<R: FnMut(u64) -> Option<Vec<u8>>> Walk<R> {
    /// The end of the last record, `from` where none ends behind it; none where the form is not known.
    pub(super) fn end(&mut self, from: Lsn) -> Option<Lsn> {
        // What a standby has received may end with a page, in the middle of a record.
        let back = super::waldump::start(from).0;
        self.followed(back - back % self.page, from.0).ok().map(Lsn)
    }

    fn followed(&mut self, page: u64, from: u64) -> Result<u64, Foreign> {
        let mut end = from;
        let mut before = None;
        let Some(mut at) = self.first_record(page)? else {
            return Ok(end);
        };
        loop {
            match self.record(at, before)? {
                Met::Record { begins, next } => {
                    before = Some(begins);
                    end = end.max(next);
                    at = next;
                }
                Met::Void(page) => at = page,
                Met::End => return Ok(end),
            }
        }
    }

    /// A whole page of this position; none where something else stands there, as in a segment that was used before.
    fn page(&mut self, start: u64) -> Result<Option<Vec<u8>>, Foreign> {
        let Some(bytes) = (self.read)(start).filter(|b| b.len() as u64 == self.page) else {
            return Ok(None);
        };
        if long(&bytes, 8) != Some(start) {
            return Ok(None);
        }
        if is_known(&bytes) {
            Ok(Some(bytes))
        } else {
            Err(Foreign)
        }
    }

    /// The first record that begins in this page, or in one behind it.
    fn first_record(&mut self, mut start: u64) -> Result<Option<u64>, Foreign> {
        while let Some(page) = self.page(start)? {
            let rest = match flags(&page) & CONTINUES {
                0 => 0,
                _ => short(&page, 16).unwrap_or_default(),
            };
            let first = page_header(start, self.segment) + u64::from(rest).next_multiple_of(8);
            if first < self.page {
                return Ok(Some(start + first));
            }
            start += self.page;
        }
        Ok(None)
    }

    fn record(&mut self, start: u64, before: Option<u64>) -> Result<Met, Foreign> {
        let mut at = start;
        let mut begins = start;
        let mut total = 0;
        let mut bytes = Vec::new();
        loop {
            let base = at - at % self.page;
            let Some(page) = self.page(base)? else {
                return Ok(Met::End);
            };
            let mut within = usize::try_from(at - base).map_err(|_| Foreign)?;
            if within == 0 {
                let rest = short(&page, 16).unwrap_or_default() as usize;
                let flags = flags(&page);
                if !bytes.is_empty() && flags & VOIDS != 0 && flags & CONTINUES == 0 {
                    return Ok(Met::Void(base));
                }
                if rest != total - bytes.len() {
                    return Ok(Met::End);
                }
                within = usize::try_from(page_header(base, self.segment)).map_err(|_| Foreign)?;
            }
            if bytes.is_empty() {
                begins = base + within as u64;
                total = short(&page, within).unwrap_or_default() as usize;
                if total < HEADER {
                    return Ok(Met::End);
                }
            }
            let piece = (page.len() - within).min(total - bytes.len());
            bytes.extend_from_slice(&page[within..within + piece]);
            at = base + (within + piece) as u64;
            if bytes.len() == total {
                break;
            }
        }
        let follows = long(&bytes, 8).is_some_and(|previous| match before {
            Some(before) => previous == before,
            None => previous < begins,
        });
        if !follows || short(&bytes, 20) != Some(checksum(&bytes)) {
            return Ok(Met::End);
        }
        let next = at.next_multiple_of(8);
        // The rest of the segment is skipped behind a switch.
        let is_switch = bytes[17] == 0 && bytes[16] & 0xF0 == 0x40;
        let next = if is_switch {
            next.next_multiple_of(self.segment)
        } else {
            next
        };
        Ok(Met::Record { begins, next })
    }
}

fn flags(page: &[u8]) -> u16 {
    u16::from_ne_bytes([page[2], page[3]])
}

fn short(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// Of a record.
fn checksum(record: &[u8]) -> u32 {
    let (header, rest) = record.split_at(HEADER);
    !crc(crc(u32::MAX, rest), &header[..20])
}

/// CRC-32C, the polynomial of Castagnoli, bit-reversed.
fn crc(start: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(start, |crc, byte| {
        let index = (crc ^ u32::from(*byte)) & 0xFF;
        TABLE[index as usize] ^ (crc >> 8)
    })
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 {
                (value >> 1) ^ 0x82F6_3B78
            } else {
                value >> 1
            };
            bit += 1;
        }
        table[index as usize] = value;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = 8192;
    const SEGMENT: u64 = 1 << 20;
    const START: u64 = 3 * SEGMENT;

    /// WAL from the start of a segment on, as a server writes it.
    struct Wal {
        bytes: Vec<u8>,
        before: u64,
    }

    impl Wal {
        fn new() -> Self {
            let bytes = Vec::new();
            Self { bytes, before: 0 }
        }

        fn at(&self) -> u64 {
            START + self.bytes.len() as u64
        }

        fn header(&mut self, rest: usize) {
            let at = self.at();
            let size = usize::try_from(page_header(at, SEGMENT)).unwrap();
            let mut header = vec![0; size];
            header[0..2].copy_from_slice(&0xD110_u16.to_ne_bytes());
            header[2..4].copy_from_slice(&u16::from(rest > 0).to_ne_bytes());
            header[8..16].copy_from_slice(&at.to_ne_bytes());
            header[16..20].copy_from_slice(&u32::try_from(rest).unwrap().to_ne_bytes());
            self.bytes.extend(header);
        }

        /// A record of this length; its end.
        fn record(&mut self, length: usize, info: u8, manager: u8) -> u64 {
            while !self.bytes.len().is_multiple_of(8) {
                self.bytes.push(0);
            }
            if self.at().is_multiple_of(PAGE) {
                self.header(0);
            }
            let mut record = vec![7; length];
            record[0..4].copy_from_slice(&u32::try_from(length).unwrap().to_ne_bytes());
            record[8..16].copy_from_slice(&self.before.to_ne_bytes());
            (record[16], record[17]) = (info, manager);
            let sum = checksum(&record);
            record[20..24].copy_from_slice(&sum.to_ne_bytes());
            self.before = self.at();
            for (index, byte) in record.iter().enumerate() {
                if self.at().is_multiple_of(PAGE) {
                    self.header(length - index);
                }
                self.bytes.push(*byte);
            }
            self.at().next_multiple_of(8)
        }

        fn end(&self, from: u64) -> Option<u64> {
            let read = |at: u64| {
                let at = usize::try_from(at.checked_sub(START)?).unwrap();
                let mut page = self.bytes.get(at..)?.to_vec();
                page.resize(usize::try_from(PAGE).unwrap(), 0);
                Some(page)
            };
            let (page, segment) = (PAGE, SEGMENT);
            let mut walk = Walk {
                page,
                segment,
                read,
            };
            walk.end(Lsn(from)).map(|end| end.0)
        }
    }

    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(!crc(u32::MAX, b"123456789"), 0xE306_9283);
    }

    #[test]
    fn records_are_followed_across_pages_to_the_last() {
        let mut wal = Wal::new();
        let first = wal.record(54, 0, 1);
        let second = wal.record(20_000, 0, 1);
        let last = wal.record(114, 0, 1);
        for from in [START, first, second - 8, second, last] {
            assert_eq!(wal.end(from), Some(last), "{from:x}");
        }
        let switch = wal.record(24, 0x40, 0);
        assert!(switch < START + SEGMENT);
        assert_eq!(wal.end(first), Some(START + SEGMENT));
    }

    #[test]
    fn half_a_record_an_old_one_and_a_damaged_one_do_not_count() {
        let mut wal = Wal::new();
        let first = wal.record(54, 0, 1);
        wal.record(20_000, 0, 1);
        let mut half = Wal {
            bytes: wal.bytes[..9000].to_vec(),
            before: 0,
        };
        assert_eq!(half.end(START), Some(first), "half a record");
        half.bytes.truncate(usize::try_from(first - START).unwrap());
        half.before = START - 64;
        half.record(64, 0, 1);
        assert_eq!(half.end(START), Some(first), "it does not follow");
        for byte in [100, 8192 + 16, 9000, 16_384] {
            let mut damaged = Wal {
                bytes: wal.bytes.clone(),
                before: 0,
            };
            damaged.bytes[byte] ^= 1;
            if byte > 8192 + 16 && byte < 16_384 {
                assert_eq!(damaged.end(START), Some(first), "{byte}");
            } else {
                assert!(damaged.end(START).is_none_or(|end| end == first), "{byte}");
            }
        }
    }

    #[test]
    fn wal_of_another_form_is_left_to_its_own_program() {
        let mut wal = Wal::new();
        wal.record(54, 0, 1);
        wal.bytes[0] ^= 1;
        assert_eq!(wal.end(START), None);
    }
}
