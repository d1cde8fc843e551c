//! What is asked of etcd, as its JSON gateway reads it: keys and values in base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A key or a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl From<&str> for Bytes {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD.decode(text).map(Self).map_err(D::Error::custom)
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "this is how serde hands it over"
)]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// Changes that happen together, if all that is compared is so; otherwise what is asked instead.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Txn {
    pub(super) compare: Vec<Compare>,
    pub(super) success: Vec<Op>,
    pub(super) failure: Vec<Op>,
}

impl Txn {
    /// All of this as it stands at one moment.
    pub(super) fn look(ops: Vec<Op>) -> Self {
        Self {
            success: ops,
            ..Self::default()
        }
    }
}

/// Something that must be so.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Compare {
    key: Bytes,
    result: &'static str,
    target: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mod_revision: Option<i64>,
}

impl Compare {
    /// The key was last changed at this revision; it is not there if that is 0.
    pub(super) fn changed_at(key: &str, revision: i64) -> Self {
        Self {
            key: key.into(),
            result: "EQUAL",
            target: "MOD",
            value: None,
            mod_revision: Some(revision),
        }
    }

    pub(super) fn is_absent(key: &str) -> Self {
        Self::changed_at(key, 0)
    }

    /// The key is there and has this value.
    pub(super) fn has(key: &str, value: &[u8]) -> Self {
        Self {
            key: key.into(),
            result: "EQUAL",
            target: "VALUE",
            value: Some(value.into()),
            mod_revision: None,
        }
    }
}

/// One thing to do in a transaction.
#[derive(Debug, Clone, Serialize)]
pub(super) enum Op {
    #[serde(rename = "request_put")]
    Put {
        key: Bytes,
        value: Bytes,
        #[serde(skip_serializing_if = "is_zero")]
        lease: i64,
    },
    #[serde(rename = "request_range")]
    Range(Range),
    #[serde(rename = "request_delete_range")]
    Delete {
        key: Bytes,
        #[serde(skip_serializing_if = "Option::is_none")]
        range_end: Option<Bytes>,
    },
}

/// Keys to be read. Always from a majority: what is decided by an answer must not be outdated.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Range {
    key: Bytes,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(rename = "range_end")]
    end: Option<Bytes>,
    #[serde(skip_serializing_if = "is_zero")]
    limit: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sort_order: Option<&'static str>,
}

impl Op {
    pub(super) fn put(key: &str, value: &[u8]) -> Self {
        Self::put_leased(key, value, 0)
    }

    /// The key goes with the lease.
    pub(super) fn put_leased(key: &str, value: &[u8], lease: i64) -> Self {
        Self::Put {
            key: key.into(),
            value: value.into(),
            lease,
        }
    }

    pub(super) fn get(key: &str) -> Self {
        Self::Range(Range {
            key: key.into(),
            ..Range::default()
        })
    }

    /// What begins with this, in the order of the keys.
    pub(super) fn all(prefix: &str) -> Self {
        Self::span(prefix, &after_all(prefix), 0)
    }

    /// The first keys from one to before another; of 0 all.
    pub(super) fn span(from: &str, to: &[u8], limit: i64) -> Self {
        Self::Range(Range {
            key: from.into(),
            end: Some(to.into()),
            limit,
            ..Range::default()
        })
    }

    /// The last key from one to before another.
    pub(super) fn last(from: &str, to: &[u8]) -> Self {
        Self::Range(Range {
            key: from.into(),
            end: Some(to.into()),
            limit: 1,
            sort_order: Some("DESCEND"),
        })
    }

    pub(super) fn delete(key: &str) -> Self {
        Self::Delete {
            key: key.into(),
            range_end: None,
        }
    }

    pub(super) fn delete_span(from: &str, to: &[u8]) -> Self {
        Self::Delete {
            key: from.into(),
            range_end: Some(to.into()),
        }
    }
}

/// The first key behind all that begin with this.
pub(super) fn after_all(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    // Keys are texts: no byte of them is the highest.
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

#[derive(Debug, Serialize)]
pub(super) struct Grant {
    #[serde(rename = "TTL")]
    pub(super) ttl: i64,
}

#[derive(Debug, Serialize)]
pub(super) struct LeaseId {
    #[serde(rename = "ID")]
    pub(super) id: i64,
}
