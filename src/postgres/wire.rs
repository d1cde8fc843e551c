//! One session for what tokio-postgres does not offer: the replication protocol, and statements of the site's, whose
//! parameters *and* results travel as text (tokio-postgres asks for results in binary, which has no text for types
//! that it does not know).
//!
//! A session carries one statement at a time and knows at every moment whether something was sent that has no answer
//! yet. One that was given up in that state is never used again; its statement is cancelled on the server.

use super::fault::Fault;
use super::login::{Login, server_error};
use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use futures_util::FutureExt;
use postgres_protocol::IsNull;
use postgres_protocol::message::backend::{
    DataRowBody, Message, ParameterStatusBody, RowDescriptionBody,
};
use postgres_protocol::message::frontend;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// More rows than this are counted, but not kept.
pub(super) const ROWS: usize = 10_000;

/// A stream to a server, whatever it is made of.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// An open session.
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    input: BytesMut,
    login: Login,
    /// Process id and secret for cancelling.
    pub(super) key: Option<(i32, i32)>,
    /// The server's major version, as it told in the greeting.
    major: u32,
    /// Something was sent that has no complete answer.
    busy: bool,
    /// Its transaction is still open, or worse: not to be used again.
    spoiled: bool,
}

/// The answer to one statement.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Answer {
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Vec<Option<String>>>,
    /// Rows that came, kept or not.
    pub(crate) count: u64,
    /// `SELECT 1`, `UPDATE 3`, …
    pub(crate) tag: String,
}

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// The type's object id.
    pub(crate) kind: u32,
}

impl Connection {
    pub(super) fn new(stream: Box<dyn Stream>, login: Login) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            login,
            key: None,
            major: 0,
            busy: false,
            spoiled: false,
        }
    }

    /// The server's major version.
    pub(crate) fn major(&self) -> u32 {
        self.major
    }

    pub(super) fn parameter(&mut self, body: &ParameterStatusBody) {
        if body.name().is_ok_and(|name| name == "server_version")
            && let Ok(version) = body.value()
        {
            let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
            self.major = digits.parse().unwrap_or(0);
        }
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    pub(super) async fn read(&mut self) -> io::Result<Message> {
        loop {
            if let Some(message) = Message::parse(&mut self.input)? {
                return Ok(message);
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the server closed the connection",
                ));
            }
        }
    }

    /// Whether an idle session is still good, without asking the server: a session that the server ended has its
    /// farewell waiting here.
    pub(crate) async fn is_usable(&mut self) -> bool {
        if self.is_spent() {
            return false;
        }
        // Lets the runtime look at its sockets: it would not know yet of a farewell that has just arrived.
        tokio::task::yield_now().await;
        loop {
            match self.stream.read_buf(&mut self.input).now_or_never() {
                None => break,
                Some(Ok(read)) if read > 0 => {}
                Some(_) => return false,
            }
        }
        loop {
            match Message::parse(&mut self.input) {
                Ok(None) => return true,
                Ok(Some(Message::NoticeResponse(_))) => {}
                Ok(Some(Message::ParameterStatus(body))) => self.parameter(&body),
                Ok(Some(_)) | Err(_) => return false,
            }
        }
    }

    /// It was given up with a statement under way, or left in an open transaction.
    pub(crate) fn is_spent(&self) -> bool {
        self.busy || self.spoiled
    }

    /// One or more statements without parameters; an answer for each. Ends within this time.
    pub(crate) async fn simple(
        &mut self,
        statements: &str,
        within: Duration,
    ) -> Result<Vec<Answer>, Fault> {
        let mut out = BytesMut::new();
        frontend::query(statements, &mut out).map_err(|error| self.unsendable(&error))?;
        self.exchange(&out, within).await
    }

    /// One statement with parameters, given as text and read by the server as whatever type the statement needs.
    pub(crate) async fn extended(
        &mut self,
        statement: &str,
        parameters: &[Option<String>],
        within: Duration,
    ) -> Result<Answer, Fault> {
        let mut out = BytesMut::new();
        let encoded = frontend::parse("", statement, [], &mut out).and_then(|()| {
            frontend::bind(
                "",
                "",
                [0],
                parameters,
                |value, buf| {
                    Ok(match value {
                        Some(text) => {
                            buf.extend_from_slice(text.as_bytes());
                            IsNull::No
                        }
                        None => IsNull::Yes,
                    })
                },
                [0],
                &mut out,
            )
            .map_err(|_| io::Error::other("the parameters cannot be encoded"))?;
            frontend::describe(b'P', "", &mut out)?;
            frontend::execute("", 0, &mut out)?;
            frontend::sync(&mut out);
            Ok(())
        });
        encoded.map_err(|error| self.unsendable(&error))?;
        Ok(self.exchange(&out, within).await?.pop().unwrap_or_default())
    }

    fn unsendable(&self, error: &io::Error) -> Fault {
        Fault::Denied {
            address: self.login.address(),
            why: format!("the statement cannot be sent: {error}"),
        }
    }

    async fn exchange(&mut self, out: &[u8], within: Duration) -> Result<Vec<Answer>, Fault> {
        self.busy = true;
        let exchange = async {
            let lost = |error: io::Error| Fault::Lost(error.to_string());
            self.write(out).await.map_err(lost)?;
            self.answers().await
        };
        let result = tokio::time::timeout(within, exchange)
            .await
            .unwrap_or(Err(Fault::Silent(within)));
        if matches!(result, Ok(_) | Err(Fault::Server(_))) {
            self.busy = false;
        }
        result
    }

    /// Reads up to the next `ReadyForQuery`.
    async fn answers(&mut self) -> Result<Vec<Answer>, Fault> {
        let mut answers = Vec::new();
        let mut current = Answer::default();
        let mut error = None;
        loop {
            let message = match self.read().await {
                Ok(message) => message,
                // A server that ends the session tells why, and then only closes it.
                Err(closed) => {
                    return Err(error.unwrap_or_else(|| Fault::Lost(closed.to_string())));
                }
            };
            let garbled = |e: io::Error| Fault::Lost(format!("the answer is garbled: {e}"));
            match message {
                Message::RowDescription(body) => {
                    current.columns = columns(&body).map_err(garbled)?;
                }
                Message::DataRow(body) => {
                    current.count += 1;
                    if current.rows.len() < ROWS {
                        current.rows.push(row(&body).map_err(garbled)?);
                    }
                }
                Message::CommandComplete(body) => {
                    body.tag().map_err(garbled)?.clone_into(&mut current.tag);
                    answers.push(std::mem::take(&mut current));
                }
                Message::ErrorResponse(body) => error = Some(Fault::Server(server_error(&body))),
                Message::ParameterStatus(body) => self.parameter(&body),
                Message::CopyInResponse(_) => {
                    let mut out = BytesMut::new();
                    let refused = frontend::copy_fail("pgbaton does not feed COPY", &mut out);
                    frontend::sync(&mut out);
                    refused.map_err(garbled)?;
                    self.write(&out).await.map_err(garbled)?;
                }
                Message::ReadyForQuery(body) => {
                    self.spoiled |= body.status() != b'I';
                    return error.map_or(Ok(answers), Err);
                }
                _ => {}
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let (true, Some((process, secret))) = (self.busy, self.key) else {
            return;
        };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let login = self.login.clone();
        runtime.spawn(async move {
            let cancel = async {
                let mut stream = login.secured().await.ok()?;
                let mut out = BytesMut::new();
                frontend::cancel_request(process, secret, &mut out);
                stream.write_all(&out).await.ok()?;
                stream.flush().await.ok()
            };
            let _ = tokio::time::timeout(Duration::from_secs(2), cancel).await;
        });
    }
}

fn columns(body: &RowDescriptionBody) -> io::Result<Vec<Column>> {
    body.fields()
        .map(|field| {
            Ok(Column {
                name: field.name().to_owned(),
                kind: field.type_oid(),
            })
        })
        .collect()
}

fn row(body: &DataRowBody) -> io::Result<Vec<Option<String>>> {
    let buffer = body.buffer();
    body.ranges()
        .map(|range| Ok(range.map(|range| String::from_utf8_lossy(&buffer[range]).into_owned())))
        .collect()
}
