//! A position in the write-ahead log.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A log sequence number: a byte offset into the WAL. Displayed as PostgreSQL does, `16/B374D848`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Lsn(pub u64);

/// Text that is no LSN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an LSN; it looks like `0/16B3748`")]
pub struct LsnParseError(pub String);

impl Lsn {
    /// Bytes from `earlier` up to here; negative when `earlier` is later.
    pub fn bytes_since(self, earlier: Self) -> i64 {
        let distance = i128::from(self.0) - i128::from(earlier.0);
        i64::try_from(distance).unwrap_or(if distance > 0 { i64::MAX } else { i64::MIN })
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl FromStr for Lsn {
    type Err = LsnParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || LsnParseError(text.to_owned());
        let (high, low) = text.split_once('/').ok_or_else(bad)?;
        let part = |digits: &str| {
            if digits.is_empty()
                || digits.len() > 8
                || !digits.bytes().all(|b| b.is_ascii_hexdigit())
            {
                return Err(bad());
            }
            u64::from_str_radix(digits, 16).map_err(|_| bad())
        };
        Ok(Self(part(high)? << 32 | part(low)?))
    }
}

impl TryFrom<String> for Lsn {
    type Error = LsnParseError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Lsn> for String {
    fn from(lsn: Lsn) -> Self {
        lsn.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_numeric_not_textual() {
        let (small, large): (Lsn, Lsn) =
            ("0/9000000".parse().unwrap(), "0/10000000".parse().unwrap());
        assert!(small < large);
        assert_eq!(large.bytes_since(small), 0x0700_0000);
        assert_eq!(small.bytes_since(large), -0x0700_0000);
    }

    #[test]
    fn what_is_no_lsn_is_refused() {
        for bad in ["", "/", "0/", "/0", "0/123456789", "0/+1", "x/1", "0/1/2"] {
            assert!(bad.parse::<Lsn>().is_err(), "{bad}");
        }
    }
}
