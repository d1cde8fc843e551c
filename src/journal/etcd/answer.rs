//! What etcd answers, as its JSON gateway writes it: numbers are texts, and what is zero or empty is left out.

use super::wire::Bytes;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};

fn number<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map_err(D::Error::custom)
}

/// A key as it stands in etcd.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Kv {
    pub(super) key: Bytes,
    #[serde(default)]
    pub(super) value: Bytes,
    #[serde(default, deserialize_with = "number")]
    pub(super) mod_revision: i64,
}

/// What became of a transaction.
#[derive(Debug, Deserialize)]
pub(super) struct TxnAnswer {
    pub(super) header: Header,
    #[serde(default)]
    pub(super) succeeded: bool,
    #[serde(default)]
    responses: Vec<Response>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Header {
    #[serde(deserialize_with = "number")]
    pub(super) revision: i64,
}

#[derive(Debug, Deserialize)]
struct Response {
    response_range: Option<Found>,
}

/// What a range found.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Found {
    #[serde(default)]
    pub(super) kvs: Vec<Kv>,
    /// There are more than the limit allowed.
    #[serde(default)]
    pub(super) more: bool,
}

impl TxnAnswer {
    /// What its ranges found, in their order; as many as are asked for.
    pub(super) fn found<const N: usize>(self) -> [Found; N] {
        let mut found = self
            .responses
            .into_iter()
            .filter_map(|response| response.response_range);
        std::array::from_fn(|_| found.next().unwrap_or_default())
    }
}

impl Found {
    /// For a range of one key.
    pub(super) fn one(self) -> Option<Kv> {
        self.kvs.into_iter().next()
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Granted {
    #[serde(rename = "ID", deserialize_with = "number")]
    pub(super) id: i64,
    #[serde(rename = "TTL", deserialize_with = "number")]
    pub(super) ttl: i64,
}

/// The answer to a sign of life of a lease; the gateway wraps what is a stream.
#[derive(Debug, Deserialize)]
pub(super) struct Renewed {
    result: RenewedFor,
}

#[derive(Debug, Deserialize)]
struct RenewedFor {
    #[serde(default, rename = "TTL", deserialize_with = "number")]
    ttl: i64,
}

impl Renewed {
    /// For how many seconds from now; none when there is no such lease any more.
    pub(super) fn ttl(&self) -> Option<i64> {
        (self.result.ttl > 0).then_some(self.result.ttl)
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Revoked {}

/// What the gateway says when it refuses: a code and a message, or both in an error in the midst of a stream.
#[derive(Debug, Deserialize)]
struct Refusal {
    code: Option<i64>,
    message: Option<String>,
    error: Option<serde_json::Value>,
}

impl Refusal {
    fn parts(self) -> Option<(i64, String)> {
        if let (Some(code), Some(message)) = (self.code, self.message) {
            return Some((code, message));
        }
        let error = self.error?;
        let code = error.get("grpc_code")?.as_i64()?;
        Some((code, error.get("message")?.as_str()?.to_owned()))
    }
}

/// An answer, or the code of gRPC and the words with which it was refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said<A> {
    Answer(A),
    Refused {
        code: i64,
        message: String,
    },
    /// Neither; it may come from something else than etcd.
    Odd(String),
}

pub(super) fn understand<A: DeserializeOwned>(body: &[u8]) -> Said<A> {
    let refusal = serde_json::from_slice::<Refusal>(body).ok();
    if let Some((code, message)) = refusal.and_then(Refusal::parts) {
        return Said::Refused { code, message };
    }
    match serde_json::from_slice(body) {
        Ok(answer) => Said::Answer(answer),
        Err(error) => Said::Odd(error.to_string()),
    }
}
