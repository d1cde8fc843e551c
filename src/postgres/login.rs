//! Opening a session: socket, TLS, authentication.

use super::fault::{Fault, ServerError};
use super::secret::Secret;
use super::session::Session;
use super::tls::{self, Tls};
use super::wire::{Connection, Stream};
use crate::cluster::Knock;
use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::backend::{AuthenticationSaslBody, ErrorResponseBody, Message};
use postgres_protocol::message::frontend;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

/// The name under which servers show our sessions.
pub(super) const APPLICATION: &str = "pgbaton";
/// The catalog alone: nobody's objects can take the place of the server's functions.
pub(super) const OWN: &str = "-c statement_timeout=5s -c lock_timeout=4s -c search_path=pg_catalog";

/// Everything that a session needs to be opened.
#[derive(Clone)]
pub(crate) struct Login {
    /// A name, an address, or the directory of a Unix socket.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: Option<Secret>,
    pub(crate) tls: Option<Tls>,
    pub(crate) kind: SessionKind,
}

/// What the session is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SessionKind {
    /// pgbaton's own statements in this database: short, with a server-side limit.
    Own(String),
    /// A statement of the site's, or one that may take long: no settings of ours.
    Site(String),
    /// The replication protocol.
    Replication,
}

impl Login {
    /// Where, for error texts.
    pub(crate) fn address(&self) -> String {
        if self.host.starts_with('/') {
            format!("{}/.s.PGSQL.{}", self.host, self.port)
        } else if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    fn parameters(&self) -> Vec<(&'static str, &str)> {
        let mut parameters = vec![
            ("user", self.user.as_str()),
            ("application_name", APPLICATION),
            ("client_encoding", "UTF8"),
        ];
        match &self.kind {
            SessionKind::Own(dbname) => {
                parameters.extend([("database", dbname.as_str()), ("options", OWN)]);
            }
            SessionKind::Site(dbname) => parameters.push(("database", dbname.as_str())),
            SessionKind::Replication => parameters.push(("replication", "true")),
        }
        parameters
    }

    /// Opens a session of our own client within this time.
    pub(crate) async fn open(&self, within: Duration) -> Result<Connection, Fault> {
        self.bounded(within, self.steps()).await
    }

    /// Opens a session over tokio-postgres within this time.
    pub(crate) async fn open_sql(&self, within: Duration) -> Result<Session, Fault> {
        self.bounded(within, Session::open(self)).await
    }

    /// A server that accepts the connection and stays silent is given up too.
    async fn bounded<T>(
        &self,
        within: Duration,
        open: impl Future<Output = Result<T, Fault>> + Send,
    ) -> Result<T, Fault> {
        tokio::time::timeout(within, open)
            .await
            .unwrap_or_else(|_| {
                Err(self.unreachable(format!("no session within {} s", within.as_secs_f64())))
            })
    }

    /// What a new connection meets, up to the server's first word. Like `pg_isready`, it logs in as nobody in particular
    /// and needs no password.
    pub(crate) async fn knock(&self, within: Duration) -> Knock {
        let end = tokio::time::Instant::now() + within;
        let plain = Self {
            tls: None,
            ..self.clone()
        };
        let stream = match tokio::time::timeout_at(end, plain.socket()).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                return Knock::Closed;
            }
            // The socket of a server that is not there.
            Ok(Err(error))
                if error.kind() == io::ErrorKind::NotFound && plain.host.starts_with('/') =>
            {
                return Knock::Closed;
            }
            _ => return Knock::Silent,
        };
        let ask = async {
            let mut connection = Connection::new(stream, plain.clone());
            let mut out = BytesMut::new();
            frontend::startup_message(plain.parameters(), &mut out).ok()?;
            connection.write(&out).await.ok()?;
            Some(match connection.read().await.ok()? {
                Message::ErrorResponse(body) => match server_error(&body).code.as_str() {
                    "57P03" => Knock::NotNow,
                    "53300" => Knock::Full,
                    code if code.starts_with("28") => Knock::Denied,
                    _ => Knock::Refuses,
                },
                _ => Knock::Opens,
            })
        };
        let met = tokio::time::timeout_at(end, ask).await;
        // One that ends in the middle of a word was ended with its server.
        met.map_or(Knock::Mute, |met| met.unwrap_or(Knock::Closed))
    }

    async fn steps(&self) -> Result<Connection, Fault> {
        let stream = self.secured().await?;
        let mut connection = Connection::new(stream, self.clone());
        self.authenticate(&mut connection).await?;
        Ok(connection)
    }

    pub(super) fn unreachable(&self, why: impl Into<String>) -> Fault {
        Fault::Unreachable {
            address: self.address(),
            why: why.into(),
        }
    }

    pub(super) fn denied(&self, why: impl Into<String>) -> Fault {
        Fault::Denied {
            address: self.address(),
            why: why.into(),
        }
    }

    /// A connection, before anything is said.
    async fn socket(&self) -> io::Result<Box<dyn Stream>> {
        if self.host.starts_with('/') {
            let stream = UnixStream::connect(self.address()).await?;
            return Ok(Box::new(stream));
        }
        Ok(Box::new(self.tcp().await?))
    }

    async fn tcp(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        // Without it, small statements wait for the peer's delayed acknowledgement.
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// The socket, with TLS where that is wanted and to be had.
    pub(crate) async fn secured(&self) -> Result<Box<dyn Stream>, Fault> {
        let lost = |error: io::Error| self.unreachable(error.to_string());
        if self.host.starts_with('/') {
            return self.socket().await.map_err(lost);
        }
        let mut stream = self.tcp().await.map_err(lost)?;
        let Some(tls) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let mut request = BytesMut::new();
        frontend::ssl_request(&mut request);
        stream.write_all(&request).await.map_err(lost)?;
        let mut answer = [0];
        stream.read_exact(&mut answer).await.map_err(lost)?;
        match answer[0] {
            b'S' => {
                let name = tls::server_name(&self.host).map_err(|why| self.denied(why))?;
                let secured = TlsConnector::from(std::sync::Arc::clone(&tls.config))
                    .connect(name, stream)
                    .await
                    .map_err(|error| self.denied(format!("TLS failed: {error}")))?;
                Ok(Box::new(secured))
            }
            b'N' if !tls.required => Ok(Box::new(stream)),
            b'N' => Err(self.denied("the server offers no TLS, and sslmode demands it")),
            _ => Err(self.denied("the server did not understand the request for TLS")),
        }
    }

    async fn authenticate(&self, connection: &mut Connection) -> Result<(), Fault> {
        let mut out = BytesMut::new();
        frontend::startup_message(self.parameters(), &mut out)
            .map_err(|error| self.denied(error.to_string()))?;
        self.send(connection, out).await?;
        loop {
            let mut out = BytesMut::new();
            match self.receive(connection).await? {
                Message::AuthenticationOk | Message::NoticeResponse(_) => {}
                Message::AuthenticationCleartextPassword => {
                    let password = self.need_password()?;
                    frontend::password_message(password.as_bytes(), &mut out)
                        .map_err(|error| self.denied(error.to_string()))?;
                    self.send(connection, out).await?;
                }
                Message::AuthenticationMd5Password(body) => {
                    let password = self.need_password()?;
                    let hash = md5_hash(self.user.as_bytes(), password.as_bytes(), body.salt());
                    frontend::password_message(hash.as_bytes(), &mut out)
                        .map_err(|error| self.denied(error.to_string()))?;
                    self.send(connection, out).await?;
                }
                Message::AuthenticationSasl(body) => self.scram(connection, &body).await?,
                Message::ParameterStatus(body) => connection.parameter(&body),
                Message::BackendKeyData(body) => {
                    connection.key = Some((body.process_id(), body.secret_key()));
                }
                Message::ReadyForQuery(_) => return Ok(()),
                _ => {
                    return Err(self.denied(
                        "the server asks for a way to log in that pgbaton does not know (it knows trust, password, md5 and scram-sha-256)",
                    ));
                }
            }
        }
    }

    async fn scram(
        &self,
        connection: &mut Connection,
        body: &AuthenticationSaslBody,
    ) -> Result<(), Fault> {
        let protocol = |error: io::Error| self.denied(format!("SCRAM failed: {error}"));
        let mut known = false;
        let mut mechanisms = body.mechanisms();
        while let Some(mechanism) = mechanisms.next().map_err(protocol)? {
            known |= mechanism == SCRAM_SHA_256;
        }
        if !known {
            return Err(self.denied("the server offers no SCRAM-SHA-256"));
        }
        let password = self.need_password()?;
        let mut scram = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
        let mut out = BytesMut::new();
        frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), &mut out)
            .map_err(protocol)?;
        self.send(connection, out).await?;
        let Message::AuthenticationSaslContinue(body) = self.receive(connection).await? else {
            return Err(self.denied("SCRAM failed: an unexpected answer"));
        };
        scram.update(body.data()).map_err(protocol)?;
        let mut out = BytesMut::new();
        frontend::sasl_response(scram.message(), &mut out).map_err(protocol)?;
        self.send(connection, out).await?;
        let Message::AuthenticationSaslFinal(body) = self.receive(connection).await? else {
            return Err(self.denied("SCRAM failed: an unexpected answer"));
        };
        scram.finish(body.data()).map_err(protocol)
    }

    fn need_password(&self) -> Result<&str, Fault> {
        self.password.as_ref().map(Secret::reveal).ok_or_else(|| {
            self.denied(format!(
                "the server asks for a password, and none is known for user `{}`",
                self.user
            ))
        })
    }

    async fn send(&self, connection: &mut Connection, out: BytesMut) -> Result<(), Fault> {
        connection
            .write(&out)
            .await
            .map_err(|error| self.unreachable(error.to_string()))
    }

    /// The next message; an error of the server's refuses the session.
    async fn receive(&self, connection: &mut Connection) -> Result<Message, Fault> {
        match connection.read().await {
            Ok(Message::ErrorResponse(body)) => Err(Fault::Refused {
                address: self.address(),
                error: server_error(&body),
            }),
            Ok(message) => Ok(message),
            Err(error) => Err(self.unreachable(error.to_string())),
        }
    }
}

/// Takes an error message apart.
pub(crate) fn server_error(body: &ErrorResponseBody) -> ServerError {
    let mut error = ServerError::default();
    let mut fields = body.fields();
    while let Ok(Some(field)) = fields.next() {
        let value = String::from_utf8_lossy(field.value_bytes()).into_owned();
        match field.type_() {
            b'C' => error.code = value,
            b'M' => error.message = value,
            b'D' => error.detail = value,
            b'H' => error.hint = value,
            _ => {}
        }
    }
    error
}
