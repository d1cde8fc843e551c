//! Asks whichever member of etcd answers.

use super::super::JournalError;
use super::answer::{Found, Granted, Renewed, Revoked, Said, TxnAnswer, understand};
use super::wire::{Grant, LeaseId, Op, Txn};
use reqwest::Url;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// How long one question may take over all tries. An election among the members takes one to two seconds a round, and now
/// and then it takes several rounds.
const WITHIN: Duration = Duration::from_secs(8);

/// How long a member may take to answer before another one is asked.
const TRY: Duration = Duration::from_secs(2);

/// So many members may stay silent, one after the other, before the time is up: as many as five can miss, and one.
const SILENT: u32 = 3;

/// How long a member may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(1);

/// The pause before all members are asked once more.
const PAUSE: Duration = Duration::from_millis(50);

/// More of an answer than this is not read; ours are below 5 MiB.
const ANSWER: usize = 32 << 20;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Nobody gave one in time. What was asked for may happen all the same.
    Silent(String),
    /// It was refused, and nothing was changed.
    Refused(String),
    /// A lease that the question names is not there any more; nothing was changed.
    NoLease,
}

impl Trouble {
    /// For people, and what can be done.
    pub(super) fn words(self) -> String {
        match self {
            Self::Silent(why) => {
                format!("{why}; a majority of its members must run and reach each other")
            }
            Self::Refused(why) => format!("etcd refuses: {why}"),
            Self::NoLease => "the lease has run out in etcd".to_owned(),
        }
    }
}

/// The members of one etcd cluster.
#[derive(Debug)]
pub(super) struct Gateway {
    endpoints: Vec<Url>,
    http: reqwest::Client,
    /// Who answered last is asked first.
    first: AtomicUsize,
}

/// What one try came to.
enum Missed {
    /// Another member may have an answer.
    Here(String),
    /// They all would say the same.
    Everywhere(Trouble),
}

impl Gateway {
    /// Asks nobody yet.
    pub(super) fn new(endpoints: Vec<String>) -> Result<Self, JournalError> {
        let endpoints: Vec<Url> = endpoints
            .into_iter()
            .map(|endpoint| parse(&endpoint))
            .collect::<Result<_, _>>()?;
        if endpoints.is_empty() {
            return Err(JournalError::Endpoint {
                endpoint: "etcd".to_owned(),
                why: "no endpoint is given".to_owned(),
            });
        }
        let secure = endpoints.iter().any(|url| url.scheme() == "https");
        let http = client(secure).map_err(|error| JournalError::Endpoint {
            endpoint: shown(&endpoints),
            why: causes(error),
        })?;
        Ok(Self {
            endpoints,
            http,
            first: AtomicUsize::new(0),
        })
    }

    /// The members, for people.
    pub(super) fn shown(&self) -> String {
        shown(&self.endpoints)
    }

    pub(super) async fn txn(&self, txn: &Txn) -> Result<TxnAnswer, Trouble> {
        self.ask("v3/kv/txn", txn, WITHIN).await
    }

    /// What stands there now, of this many ranges.
    pub(super) async fn look<const N: usize>(&self, ops: [Op; N]) -> Result<[Found; N], Trouble> {
        self.look_within(ops, WITHIN).await
    }

    /// The same for who cannot wait as long.
    pub(super) async fn look_within<const N: usize>(
        &self,
        ops: [Op; N],
        within: Duration,
    ) -> Result<[Found; N], Trouble> {
        let look = Txn::look(ops.to_vec());
        let answer: TxnAnswer = self.ask("v3/kv/txn", &look, within).await?;
        Ok(answer.found())
    }

    /// A lease of etcd for so many seconds. One that was granted to a try whose answer was lost runs out by itself.
    pub(super) async fn grant(&self, ttl: i64) -> Result<Granted, Trouble> {
        self.ask("v3/lease/grant", &Grant { ttl }, WITHIN).await
    }

    /// Says that its holder lives; answers for how many seconds it lasts from now, none when it is there no more.
    pub(super) async fn keep(&self, id: i64, within: Duration) -> Result<Option<i64>, Trouble> {
        let renewed: Renewed = self
            .ask("v3/lease/keepalive", &LeaseId { id }, within)
            .await?;
        Ok(renewed.ttl())
    }

    /// Ends a lease, and all keys that hang on it.
    pub(super) async fn revoke(&self, id: i64) -> Result<(), Trouble> {
        match self.ask("v3/lease/revoke", &LeaseId { id }, WITHIN).await {
            Ok(Revoked {}) | Err(Trouble::NoLease) => Ok(()),
            Err(trouble) => Err(trouble),
        }
    }

    /// Asks one member after the other until one answers or the time is up. So everything that is asked may happen
    /// twice, or after it was given up: whatever changes something must compare first.
    async fn ask<A: DeserializeOwned>(
        &self,
        path: &str,
        question: &impl Serialize,
        within: Duration,
    ) -> Result<A, Trouble> {
        let body = serde_json::to_vec(question)
            .map_err(|error| Trouble::Refused(format!("it cannot be asked: {error}")))?;
        let begun = Instant::now();
        let first = self.first.load(Ordering::Relaxed);
        let mut said = BTreeMap::new();
        for turn in 0.. {
            let at = (first + turn) % self.endpoints.len();
            let left = within.saturating_sub(begun.elapsed());
            if left.is_zero() {
                break;
            }
            let is_cut_short = left < TRY.min(within / SILENT);
            let patience = left.min(TRY).min(within / SILENT);
            let tried = self.try_at(at, path, &body);
            match tokio::time::timeout(patience, tried).await {
                Ok(Ok(answer)) => {
                    self.first.store(at, Ordering::Relaxed);
                    return Ok(answer);
                }
                Ok(Err(Missed::Everywhere(trouble))) => return Err(trouble),
                Ok(Err(Missed::Here(why))) => drop(said.insert(at, why)),
                // The last try may have had no time at all: what was said before tells more.
                Err(_) if is_cut_short && said.contains_key(&at) => {}
                Err(_) => {
                    let silence = format!("no answer for {} s", patience.as_secs_f64());
                    said.insert(at, silence);
                }
            }
            if (turn + 1) % self.endpoints.len() == 0 {
                tokio::time::sleep(PAUSE).await;
            }
        }
        Err(Trouble::Silent(self.each_said(within, &said)))
    }

    fn each_said(&self, within: Duration, said: &BTreeMap<usize, String>) -> String {
        let each: Vec<String> = said
            .iter()
            .filter_map(|(at, why)| Some(format!("{}: {why}", name(self.endpoints.get(*at)?))))
            .collect();
        format!(
            "no answer of etcd within {} s ({})",
            within.as_secs_f64(),
            each.join("; ")
        )
    }

    async fn try_at<A: DeserializeOwned>(
        &self,
        at: usize,
        path: &str,
        body: &[u8],
    ) -> Result<A, Missed> {
        let here = |error| Missed::Here(causes(error));
        let odd = |why: String| {
            Missed::Here(format!(
                "is it etcd 3.4 or newer, with its JSON gateway? {why}"
            ))
        };
        let url = self.endpoints.get(at).and_then(|url| url.join(path).ok());
        let url = url.ok_or_else(|| odd("it has no such address".to_owned()))?;
        let request = self
            .http
            .post(url)
            .header("content-type", "application/json")
            // A member that is cut off from the others says so at once, instead of waiting for them.
            .header("grpc-metadata-hasleader", "true")
            .body(body.to_vec());
        let mut response = request.send().await.map_err(here)?;
        let status = response.status();
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(here)? {
            answer.extend_from_slice(&chunk);
            if answer.len() > ANSWER {
                return Err(odd(format!("its answer has more than {ANSWER} bytes")));
            }
        }
        match understand(&answer) {
            Said::Answer(answer) if status.is_success() => Ok(answer),
            Said::Answer(_) | Said::Odd(_) if !status.is_success() => {
                Err(odd(format!("it answered with status {}", status.as_u16())))
            }
            Said::Answer(_) => Err(odd("its answer contradicts itself".to_owned())),
            Said::Odd(why) => Err(odd(why)),
            Said::Refused { code, message } => Err(refused(code, message)),
        }
    }
}

/// Codes of gRPC: 1 cancelled, 2 unknown, 4 too late, 5 not found, 8 exhausted, 13 internal, 14 unavailable.
fn refused(code: i64, message: String) -> Missed {
    match code {
        1 | 2 | 4 | 13 | 14 => Missed::Here(message),
        // Only leases are looked for by us in a way that this can be the answer.
        5 => Missed::Everywhere(Trouble::NoLease),
        8 => Missed::Everywhere(Trouble::Refused(format!(
            "{message} (if its space is used up: compact and defragment it, then disarm its alarm)"
        ))),
        _ => Missed::Everywhere(Trouble::Refused(message)),
    }
}

fn parse(endpoint: &str) -> Result<Url, JournalError> {
    let refused = |shown: &str, why: &str| JournalError::Endpoint {
        endpoint: shown.to_owned(),
        why: why.to_owned(),
    };
    let url = match Url::parse(endpoint) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => url,
        // Not shown when it may hold a password.
        _ if endpoint.contains('@') => {
            return Err(refused("etcd", "an endpoint cannot be read"));
        }
        _ => return Err(refused(endpoint, "it must begin with http:// or https://")),
    };
    let place = name(&url);
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused(&place, "no user or password may stand in it"));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(refused(&place, "nothing may follow its port"));
    }
    Ok(url)
}

/// Without a password that may stand in it.
fn name(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{}://{host}:{port}", url.scheme()),
        None => format!("{}://{host}", url.scheme()),
    }
}

fn shown(endpoints: &[Url]) -> String {
    let names: Vec<String> = endpoints.iter().map(name).collect();
    names.join(", ")
}

fn client(secure: bool) -> reqwest::Result<reqwest::Client> {
    // reqwest takes the process-wide provider. Another one that is there already is as good.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        let provider = rustls::crypto::ring::default_provider();
        let _: Result<(), Arc<rustls::crypto::CryptoProvider>> = provider.install_default();
    }
    let mut builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT)
        .no_proxy();
    if !secure {
        // Without this, a machine that has no certificate authorities could not even speak plain HTTP.
        builder = builder.tls_certs_only([]);
    }
    builder.build()
}

/// The error and what caused it. Endpoints hold no secret, and are named beside it anyway.
fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
