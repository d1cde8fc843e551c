//! The bounded end of a stream.

/// Keeps the last bytes of what is pushed.
#[derive(Debug)]
pub(super) struct Tail {
    kept: Vec<u8>,
    limit: usize,
    dropped: bool,
}

impl Tail {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            kept: Vec::new(),
            limit,
            dropped: false,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
        // Twice the limit, so that a long stream does not move the kept bytes at every read.
        if self.kept.len() > self.limit.saturating_mul(2) {
            self.trim();
        }
    }

    fn trim(&mut self) {
        if self.kept.len() > self.limit {
            let excess = self.kept.len() - self.limit;
            self.kept.drain(..excess);
            self.dropped = true;
        }
    }

    /// What was kept, and whether more had been written.
    pub(super) fn finish(mut self) -> (Vec<u8>, bool) {
        self.trim();
        (self.kept, self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept_and_the_loss_is_told() {
        let mut tail = Tail::new(4);
        for chunk in ["ab", "cdef", "ghijkl", "m"] {
            tail.push(chunk.as_bytes());
        }
        assert_eq!(tail.finish(), (b"jklm".to_vec(), true));
        let mut short = Tail::new(4);
        short.push(b"abcd");
        assert_eq!(short.finish(), (b"abcd".to_vec(), false));
    }
}
