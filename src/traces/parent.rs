//! The trace that a run goes on with: what a monitor sends with its request, as W3C's Trace Context writes it.

use crate::playbook::{Map, Value};

/// What it is called, as a header, and in what a run is told of its trigger.
const NAME: &str = "traceparent";

/// A span that somebody else makes, and that runs hang below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    trace: u128,
    span: u64,
}

impl Parent {
    /// The header's name.
    pub const HEADER: &'static str = NAME;

    /// Reads the header: `00-<32 hex digits>-<16>-<2>`. None where it is something else, or nobody keeps that trace.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let version = hex(parts.next()?, 2)?;
        let trace = hex(parts.next()?, 32)?;
        let span = hex(parts.next()?, 16)?;
        let flags = hex(parts.next()?, 2)?;
        // A later version may say more behind it.
        let fits = version != 0xff && (version != 0 || parts.next().is_none());
        let is_kept = flags & 1 == 1;
        let span = u64::try_from(span).ok()?;
        (fits && is_kept && trace != 0 && span != 0).then_some(Self { trace, span })
    }

    /// That of a run, by what it was told of its trigger.
    pub(super) fn of(trigger: &Map) -> Option<Self> {
        match trigger.get(NAME)? {
            Value::String(text) => Self::parse(text),
            _ => None,
        }
    }

    /// Tells a run of it.
    pub fn keep(self, trigger: &mut Map) {
        let text = format!("00-{:032x}-{:016x}-01", self.trace, self.span);
        trigger.insert(NAME.to_owned(), Value::from(text));
    }

    pub(super) fn trace(self) -> u128 {
        self.trace
    }

    pub(super) fn span(self) -> u64 {
        self.span
    }
}

/// So many digits, in lower case as the standard wants it.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let good = |c: u8| c.is_ascii_digit() || matches!(c, b'a'..=b'f');
    let fits = text.len() == digits && text.bytes().all(good);
    fits.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_standard_writes_and_somebody_keeps_is_gone_on_with() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parent = Parent::parse(good).unwrap();
        let mut trigger = Map::new();
        parent.keep(&mut trigger);
        assert_eq!(Parent::of(&trigger), Some(parent));
        assert_eq!(trigger["traceparent"], Value::from(good.to_owned()));
        let later = format!("01{}-more", &good[2..]);
        assert_eq!(Parent::parse(&later), Some(parent));
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6-00f067aa0ba902b7-01",
        ] {
            assert_eq!(Parent::parse(bad), None, "{bad}");
        }
    }
}
