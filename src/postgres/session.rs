//! One session for statements of ours, over tokio-postgres: statements in text, answers in text.
//!
//! Like [`super::wire::Connection`], a session that was given up with a statement under way is never used again, and
//! its statement is cancelled on the server.

use super::fault::{Fault, ServerError, causes};
use super::login::{Login, SessionKind};
use super::vocabulary::Vocabulary;
use super::wire::{Answer, Column, ROWS};
use futures_util::StreamExt;
use std::pin::pin;
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::DbError;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use tokio_util::sync::CancellationToken;

/// What a cancelled statement's server is given to hear of it.
const CANCEL: Duration = Duration::from_secs(2);

/// More questions than this are not kept planned: most are the same few, some hold a name.
const PLANS: usize = 32;

/// An open session.
pub(crate) struct Session {
    client: Client,
    /// What moves the bytes.
    task: AbortHandle,
    ended: CancellationToken,
    login: Login,
    major: u32,
    /// Where the server has names of its own.
    vocabulary: Option<Vocabulary>,
    /// Something was sent that has no complete answer.
    busy: bool,
    /// It ended with an error: a transaction of ours may still be open.
    spoiled: bool,
    /// The questions that the server has a plan for in this session; each is named after its place.
    planned: Vec<String>,
}

impl Session {
    /// Opens a session. The caller bounds it.
    pub(super) async fn open(login: &Login) -> Result<Self, Fault> {
        // TLS is made by us, as libpq's `sslmode` means it; so there is none left for the client to make.
        let stream = login.secured().await?;
        let mut config = tokio_postgres::Config::new();
        config
            .user(&login.user)
            .application_name(super::login::APPLICATION)
            .ssl_mode(SslMode::Disable);
        match &login.kind {
            SessionKind::Own(dbname) => config.dbname(dbname).options(super::login::OWN),
            SessionKind::Site(dbname) => config.dbname(dbname),
            SessionKind::Replication => {
                return Err(login.denied("the replication protocol is spoken elsewhere"));
            }
        };
        if let Some(password) = &login.password {
            config.password(password.reveal());
        }
        let (client, connection) = config
            .connect_raw(stream, NoTls)
            .await
            .map_err(|error| refused(login, &error))?;
        let major = connection.parameter("server_version").map_or(0, major);
        // Its error reaches the client's calls too.
        let ended = CancellationToken::new();
        let end = ended.clone().drop_guard();
        let task = tokio::spawn(async move {
            let _ = connection.await;
            drop(end);
        });
        Ok(Self {
            client,
            task: task.abort_handle(),
            ended,
            login: login.clone(),
            major,
            vocabulary: None,
            busy: false,
            spoiled: false,
            planned: Vec::new(),
        })
    }

    /// The server's major version.
    pub(crate) fn major(&self) -> u32 {
        self.major
    }

    /// Learns what the server calls things, and its version in PostgreSQL's count; for products that are not PostgreSQL.
    pub(super) async fn learn(&mut self, within: Duration) -> Result<(), Fault> {
        let answers = self.simple(&Vocabulary::question(), within).await?;
        let vocabulary = Vocabulary::read(&answers)
            .map_err(|garbled| self.login.denied(format!("its own names: {garbled}")))?;
        self.major = vocabulary.major;
        self.vocabulary = Some(vocabulary);
        Ok(())
    }

    /// Whether an idle session is still good, without asking the server.
    pub(crate) async fn is_usable(&self) -> bool {
        // Lets the runtime look at its sockets, and the session's task read a farewell that has just arrived.
        for _ in 0..2 {
            tokio::task::yield_now().await;
        }
        !self.is_spent() && !self.client.is_closed()
    }

    /// Waits for its end, which is told by whoever ends it.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// It was given up with a statement under way, or ended with an error.
    pub(crate) fn is_spent(&self) -> bool {
        self.busy || self.spoiled
    }

    /// One `SELECT` without parameters, that the server plans once in this session: to plan some of ours takes it seven
    /// times as long as to answer them. Ends within this time.
    pub(crate) async fn question(
        &mut self,
        question: &str,
        within: Duration,
    ) -> Result<Vec<Answer>, Fault> {
        let known = self.planned.iter().position(|known| known == question);
        let text = match known {
            Some(place) => format!("EXECUTE {}", name(place)),
            None if self.planned.len() >= PLANS => return self.simple(question, within).await,
            None => {
                let name = name(self.planned.len());
                format!("PREPARE {name} AS {question}; EXECUTE {name}")
            }
        };
        let mut answers = self.simple(&text, within).await?;
        if known.is_none() {
            self.planned.push(question.to_owned());
            // Of the planning.
            answers.drain(..answers.len().min(1));
        }
        Ok(answers)
    }

    /// One or more statements without parameters, in one round trip; an answer for each. Ends within this time.
    pub(crate) async fn simple(
        &mut self,
        statements: &str,
        within: Duration,
    ) -> Result<Vec<Answer>, Fault> {
        let unsent = |why: &str| Fault::Unreachable {
            address: self.login.address(),
            why: why.to_owned(),
        };
        if statements.contains('\0') {
            return Err(self
                .login
                .denied("the statement holds a zero byte and cannot be sent"));
        }
        if self.client.is_closed() {
            return Err(unsent("the session was closed before anything was sent"));
        }
        let spoken = match &self.vocabulary {
            Some(vocabulary) => vocabulary.spoken(statements),
            None => statements.into(),
        };
        self.busy = true;
        let result = tokio::time::timeout(within, answers(&self.client, &spoken))
            .await
            .unwrap_or(Err(Fault::Silent(within)));
        self.busy = !matches!(result, Ok(_) | Err(Fault::Server(_)));
        self.spoiled |= result.is_err();
        result
    }
}

/// The name of the question at this place.
fn name(place: usize) -> String {
    format!("pgbaton_{place}")
}

async fn answers(client: &Client, statements: &str) -> Result<Vec<Answer>, Fault> {
    let stream = client.simple_query_raw(statements).await.map_err(lost)?;
    let mut stream = pin!(stream);
    let mut answers = Vec::new();
    let mut current = Answer::default();
    while let Some(message) = stream.next().await {
        match message.map_err(lost)? {
            SimpleQueryMessage::RowDescription(columns) => {
                current.columns = columns
                    .iter()
                    .map(|column| Column {
                        name: column.name().to_owned(),
                        kind: 0,
                    })
                    .collect();
            }
            SimpleQueryMessage::Row(row) => {
                current.count += 1;
                if current.rows.len() < ROWS {
                    let values = (0..row.len()).map(|i| Ok(row.try_get(i)?.map(str::to_owned)));
                    current
                        .rows
                        .push(values.collect::<Result<_, _>>().map_err(lost)?);
                }
            }
            SimpleQueryMessage::CommandComplete(_) => answers.push(std::mem::take(&mut current)),
            _ => {}
        }
    }
    Ok(answers)
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.busy {
            // The task says farewell to the server and ends.
            return;
        }
        self.task.abort();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (login, token) = (self.login.clone(), self.client.cancel_token());
        runtime.spawn(async move {
            let cancel = async {
                let stream = login.secured().await.ok()?;
                token.cancel_query_raw(stream, NoTls).await.ok()
            };
            let _ = tokio::time::timeout(CANCEL, cancel).await;
        });
    }
}

fn major(version: &str) -> u32 {
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

/// Why there is no session.
fn refused(login: &Login, error: &tokio_postgres::Error) -> Fault {
    if let Some(error) = error.as_db_error() {
        return Fault::Refused {
            address: login.address(),
            error: told(error),
        };
    }
    let source = std::error::Error::source(error);
    let broken = source.is_some_and(|source| {
        source.downcast_ref::<std::io::Error>().is_some_and(|io| {
            // What does not come from the network is what the client itself thinks of the server's answers.
            !matches!(
                io.kind(),
                std::io::ErrorKind::InvalidInput
                    | std::io::ErrorKind::InvalidData
                    | std::io::ErrorKind::Other
            )
        })
    });
    if broken || error.is_closed() {
        login.unreachable(causes(error))
    } else if login.password.is_none() {
        login.denied(format!(
            "{} (none is known for user `{}`)",
            causes(error),
            login.user
        ))
    } else {
        login.denied(causes(error))
    }
}

/// Why there is no answer to what was sent, or may have been.
#[expect(clippy::needless_pass_by_value, reason = "it is handed to `map_err`")]
fn lost(error: tokio_postgres::Error) -> Fault {
    match error.as_db_error() {
        Some(error) => Fault::Server(told(error)),
        None => Fault::Lost(causes(&error)),
    }
}

fn told(error: &DbError) -> ServerError {
    ServerError {
        code: error.code().code().to_owned(),
        message: error.message().to_owned(),
        detail: error.detail().unwrap_or_default().to_owned(),
        hint: error.hint().unwrap_or_default().to_owned(),
    }
}
