//! A steady writer: the client whose view of an outage counts.
//!
//! An id is used for one attempt and never again. It counts as acknowledged only when a server said that its row was
//! committed; what ended otherwise is *unknown* or *refused*. So nothing is counted twice, and whatever is acknowledged
//! must be there in the end.

use super::sql::{self, ConnectError, Session};
use super::verdict::{Ack, WriterReport};
use crate::cluster::{Node, SqlAccess};
use futures_util::future::select_all;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_postgres::error::SqlState;
use tokio_postgres::{SimpleQueryMessage, Statement};
use tokio_util::sync::CancellationToken;

/// The bound on one login.
pub(super) const LOGIN: Duration = Duration::from_secs(2);

/// `IF NOT EXISTS`: a new primary may be one that the table never reached.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS pgbaton_writes (
    writer text, id bigint, at timestamptz DEFAULT clock_timestamp(), PRIMARY KEY (writer, id))";
const INSERT: &str = "INSERT INTO pgbaton_writes (writer, id) VALUES ($1, $2) RETURNING id";
/// A writer's rows.
pub(super) const SELECT: &str = "SELECT id FROM pgbaton_writes WHERE writer = $1";
/// Whether a server accepts writes.
const WRITABLE: &str =
    "SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'";

/// Where to log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name, address, or directory of a Unix socket.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User; without a password.
    pub user: String,
    /// Database.
    pub dbname: String,
}

impl Endpoint {
    /// A node of an inventory.
    pub fn of(node: &Node, sql: &SqlAccess) -> Self {
        Self {
            host: node.host.clone(),
            port: node.port,
            user: sql.user.clone(),
            dbname: sql.dbname.clone(),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// How to write.
#[derive(Debug, Clone)]
pub struct WriterOptions {
    /// How many sessions, each with one row at a time; at least 1.
    pub sessions: usize,
    /// Between an acknowledgement and the session's next row.
    pub pause: Duration,
    /// Between two attempts to log in at one host.
    pub retry: Duration,
    /// The bound on one attempt to log in: a frozen host accepts and stays silent.
    pub login: Duration,
    /// The bound on one row: after it the row's outcome is unknown, and the session is given up.
    pub row: Duration,
    /// The bound on the first acknowledgement.
    pub first: Duration,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            sessions: 1,
            pause: Duration::from_millis(1),
            retry: Duration::from_millis(5),
            login: LOGIN,
            row: Duration::from_secs(2),
            first: Duration::from_secs(15),
        }
    }
}

/// Why a writer could not write or compare.
#[derive(Debug, thiserror::Error)]
pub enum WriterError {
    /// No host accepted a row.
    #[error("no row was accepted within {:.0} s by any of {}", after.as_secs_f64(), hosts.join(", "))]
    NoPrimary {
        /// The hosts tried.
        hosts: Vec<String>,
        /// The bound.
        after: Duration,
    },
    /// A server did not let us in.
    #[error("failed to log in at {host}")]
    Connect {
        /// The server.
        host: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A server did not give the rows.
    #[error("failed to read the written rows at {host}")]
    Read {
        /// The server.
        host: String,
        /// Why.
        source: tokio_postgres::Error,
    },
    /// A server took too long.
    #[error("failed to read the written rows at {host} within {:.0} s", after.as_secs_f64())]
    Late {
        /// The server.
        host: String,
        /// The bound.
        after: Duration,
    },
}

/// A writer at work. Dropped without [`Writer::finish`], it stops.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    sessions: JoinSet<()>,
    acknowledged: watch::Receiver<u64>,
}

#[derive(Debug)]
struct Shared {
    tag: String,
    hosts: Vec<Endpoint>,
    options: WriterOptions,
    began: Instant,
    started: SystemTime,
    next: AtomicI64,
    unknown: AtomicU64,
    refused: AtomicU64,
    log: Mutex<Vec<Ack>>,
    count: watch::Sender<u64>,
    stop: CancellationToken,
}

impl Writer {
    /// Starts one session over these hosts, of which any may be the primary at any time. Back after the first
    /// acknowledged row.
    pub async fn start(hosts: Vec<Endpoint>) -> Result<Self, WriterError> {
        Self::start_with(hosts, WriterOptions::default()).await
    }

    /// [`Writer::start`] with options.
    pub async fn start_with(
        hosts: Vec<Endpoint>,
        options: WriterOptions,
    ) -> Result<Self, WriterError> {
        let started = SystemTime::now();
        let nanos = started
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |d| d.as_nanos());
        let (count, acknowledged) = watch::channel(0);
        let first = options.first;
        let names: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        let shared = Arc::new(Shared {
            tag: format!("{}-{nanos}", std::process::id()),
            hosts,
            options,
            began: Instant::now(),
            started,
            next: AtomicI64::new(1),
            unknown: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            log: Mutex::new(Vec::new()),
            count,
            stop: CancellationToken::new(),
        });
        let mut sessions = JoinSet::new();
        if !shared.hosts.is_empty() {
            for _ in 0..shared.options.sessions.max(1) {
                sessions.spawn(write(shared.clone()));
            }
        }
        let writer = Self {
            shared,
            sessions,
            acknowledged,
        };
        if writer.wait_for(1, first).await {
            Ok(writer)
        } else {
            Err(WriterError::NoPrimary {
                hosts: names,
                after: first,
            })
        }
    }

    /// How many rows are acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        *self.acknowledged.borrow()
    }

    /// Waits until `more` further rows are acknowledged; false when `bound` is over before.
    pub async fn wait_for(&self, more: u64, bound: Duration) -> bool {
        let mut seen = self.acknowledged.clone();
        let goal = *seen.borrow_and_update() + more;
        let reached = seen.wait_for(|count| *count >= goal);
        matches!(tokio::time::timeout(bound, reached).await, Ok(Ok(_)))
    }

    /// Stops. Rows on the way are waited for, within the bound on one row.
    pub async fn finish(mut self) -> WriterReport {
        let ran = self.shared.began.elapsed();
        self.shared.stop.cancel();
        while self.sessions.join_next().await.is_some() {}
        let mut acknowledged = std::mem::take(&mut *self.shared.log());
        acknowledged.sort_by_key(|ack| ack.at);
        let last = acknowledged.last().map_or(ran, |ack| ack.at);
        WriterReport {
            tag: self.shared.tag.clone(),
            hosts: self.shared.hosts.clone(),
            started: self.shared.started,
            ran: ran.max(last),
            acknowledged,
            unknown: self.shared.unknown.load(Ordering::Relaxed),
            refused: self.shared.refused.load(Ordering::Relaxed),
        }
    }
}

impl Shared {
    fn log(&self) -> std::sync::MutexGuard<'_, Vec<Ack>> {
        // A vector of plain numbers is whole whatever happened to a thread that held it.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One session, for as long as the writer lives: find a primary, write until something is wrong, again.
async fn write(shared: Arc<Shared>) {
    loop {
        let found = tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            found = find_primary(&shared) => found,
        };
        while !shared.stop.is_cancelled() {
            if !insert(&shared, &found).await {
                break;
            }
            tokio::select! {
                biased;
                () = shared.stop.cancelled() => return,
                () = tokio::time::sleep(shared.options.pause) => {}
            }
        }
    }
}

struct Primary {
    session: Session,
    insert: Statement,
    host: usize,
}

/// Writes one row; whether the session can go on.
async fn insert(shared: &Shared, primary: &Primary) -> bool {
    let id = shared.next.fetch_add(1, Ordering::Relaxed);
    let row = async {
        let client = &primary.session.client;
        client.query_one(&primary.insert, &[&shared.tag, &id]).await
    };
    match tokio::time::timeout(shared.options.row, row).await {
        Ok(Ok(row)) if row.get::<_, i64>(0) == id => {
            let at = shared.began.elapsed();
            shared.log().push(Ack {
                id,
                at,
                host: primary.host,
            });
            shared.count.send_modify(|count| *count += 1);
            true
        }
        // Refused before it was tried. Any other error may have come after the commit.
        Ok(Err(e)) if e.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION) => {
            shared.refused.fetch_add(1, Ordering::Relaxed);
            false
        }
        Ok(_) | Err(_) => {
            shared.unknown.fetch_add(1, Ordering::Relaxed);
            false
        }
    }
}

/// Tries all hosts at once, each again and again, until one accepts writes; a silent one delays no other.
async fn find_primary(shared: &Shared) -> Primary {
    let tries = shared.hosts.iter().enumerate().map(|(host, endpoint)| {
        Box::pin(async move {
            // Kept while it answers: a login each time, on every standby, would take a core from the failover it waits for.
            let mut kept = None;
            loop {
                let limit = shared.options.login;
                let attempt = try_primary(endpoint, kept.take(), limit);
                match tokio::time::timeout(limit, attempt).await {
                    Ok(Ok(Tried::Primary(session, insert))) => {
                        return Primary {
                            session,
                            insert,
                            host,
                        };
                    }
                    Ok(Ok(Tried::ReadOnly(session))) => kept = Some(session),
                    Ok(Err(_)) | Err(_) => {}
                }
                tokio::time::sleep(shared.options.retry).await;
            }
        })
    });
    select_all(tries).await.0
}

/// What a host turned out to be.
enum Tried {
    Primary(Session, Statement),
    ReadOnly(Session),
}

/// Asks a host whether it accepts writes, on this session or on a new one.
async fn try_primary(
    endpoint: &Endpoint,
    session: Option<Session>,
    bound: Duration,
) -> Result<Tried, ConnectError> {
    let session = match session {
        Some(session) => session,
        None => sql::connect(endpoint, "", bound).await?,
    };
    let refused = ConnectError::Refused;
    let client = &session.client;
    let answer = client.simple_query(WRITABLE).await.map_err(refused)?;
    let writable = answer.iter().any(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0) == Some("t"),
        _ => false,
    });
    if !writable {
        return Ok(Tried::ReadOnly(session));
    }
    // Two sessions that make the table at once: the second of them tries again.
    client.batch_execute(TABLE).await.map_err(refused)?;
    let insert = client.prepare(INSERT).await.map_err(refused)?;
    Ok(Tried::Primary(session, insert))
}
