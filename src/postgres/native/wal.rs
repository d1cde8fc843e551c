//! The WAL of a data directory of this machine.

use super::super::wal_walk::Walk;
use super::super::waldump;
use super::Native;
use crate::cluster::{Lsn, Timeline};
use rustix::fs::OFlags;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;

/// Segments of WAL.
pub(in crate::postgres) struct Segments {
    /// As the script [`super::scripts::WAL_END`] tells of them.
    pub(in crate::postgres) text: String,
    /// Where the last of them ends, if there are any that have to be read.
    pub(in crate::postgres) end: Option<Lsn>,
    /// The sizes of a page and of a segment.
    sizes: (u64, u64),
}

impl Native {
    /// The sizes of a page and of a segment of the WAL, and how many segments are there in a row from this position
    /// on, and whether the one before it is.
    pub(in crate::postgres) fn segments(&self, timeline: Timeline, from: Lsn) -> Option<Segments> {
        let wal = self.names.wal_dir;
        let (page, size) = std::fs::read_dir(self.data.join(wal))
            .ok()?
            .flatten()
            .filter(|entry| entry.file_name().len() == 24)
            .find_map(|entry| {
                let mut header = [0; 40];
                let mut file = File::open(entry.path()).ok()?;
                file.read_exact(&mut header).ok()?;
                waldump::sizes(&header)
            })?;
        let first = from.0 / size;
        let exists = |number: u64| {
            let name = waldump::segment_name(timeline, number, size);
            self.exists(&format!("{wal}/{name}"))
        };
        let mut end = first;
        while exists(end) {
            end += 1;
        }
        let mut text = format!("page {page}\nsegment {size}\n");
        if end > first {
            text.push_str("this\n");
        }
        if first.checked_sub(1).is_some_and(exists) {
            text.push_str("before\n");
        }
        let name = format!("{wal}/{}", waldump::segment_name(timeline, first, size));
        if end > first && self.ends_at(&name, from, page, size) {
            text.push_str("status 0\n");
            let end = None;
            return Some(Segments {
                text,
                end,
                sizes: (page, size),
            });
        }
        Some(Segments {
            text,
            end: (end > first).then_some(Lsn(end * size)),
            sizes: (page, size),
        })
    }

    /// Where the WAL of these segments ends, told by their records; none where their form is not known.
    pub(in crate::postgres) fn walk(
        &self,
        found: &Segments,
        timeline: Timeline,
        from: Lsn,
    ) -> Option<Lsn> {
        let (page, segment) = found.sizes;
        let mut open: Option<(u64, File)> = None;
        let read = |at: u64| {
            let number = at / segment;
            if open.as_ref().is_none_or(|(held, _)| *held != number) {
                let name = waldump::segment_name(timeline, number, segment);
                let path = format!("{}/{name}", self.names.wal_dir);
                open = Some((number, self.file(&path, OFlags::RDONLY).ok()?));
            }
            let mut bytes = vec![0; usize::try_from(page).ok()?];
            let (_, file) = open.as_ref()?;
            file.read_exact_at(&mut bytes, at % segment).ok()?;
            Some(bytes)
        };
        Walk {
            page,
            segment,
            read,
        }
        .end(from)
    }

    /// Whether it is certain, by the page of this position alone, that no record starts there or behind it.
    fn ends_at(&self, segment: &str, from: Lsn, page: u64, size: u64) -> bool {
        let (Ok(file), Ok(length)) = (self.file(segment, OFlags::RDONLY), usize::try_from(page))
        else {
            return false;
        };
        let mut bytes = vec![0; length];
        let start = from.0 - from.0 % page;
        file.read_exact_at(&mut bytes, start % size).is_ok() && waldump::ends_at(&bytes, from, size)
    }
}
