//! Connections: accepted up to a number, spoken to within limits, ended when the server stops.

use super::guard::Remote;
use super::looks::{self, Watch};
use super::patient::Patient;
use super::routes::router;
use super::signed;
use super::state::{Api, Outside, Show};
use super::tls::Tls;
use super::tokens;
use crate::runs::World;
use crate::site;
use axum::{Extension, Router};
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How many connections at once; more wait in the kernel.
const CONNECTIONS: usize = 256;

/// With fewer places than this left, a connection has one answer and no second.
const SCARCE: usize = CONNECTIONS / 4;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long the head of a request may take, and how long a connection may be idle.
const HEAD: Duration = Duration::from_secs(20);

/// Longer heads are refused.
const LONGEST_HEAD: usize = 16 << 10;

/// How long what is under way may go on when the server stops.
const GRACE: Duration = Duration::from_secs(3);

/// Why the API cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A file that it needs cannot be used.
    #[error("{0}")]
    File(String),
    /// It cannot listen.
    #[error("the API cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// The API, being served.
pub struct Server {
    address: SocketAddr,
    secure: bool,
    api: Arc<Api>,
    connections: TaskTracker,
}

impl Server {
    /// Begins to serve these clusters, which share one journal.
    pub async fn start(
        options: &site::Api,
        clusters: Vec<World>,
        outside: Outside,
        show: Show,
    ) -> Result<Self, ServerError> {
        let Some(first) = clusters.first() else {
            return Err(ServerError::File("there is no cluster to serve".to_owned()));
        };
        let records = Arc::clone(first.records());
        let tls = options.tls.as_ref().map(Tls::new).transpose();
        let tls = tls.map_err(ServerError::File)?.map(Arc::new);
        let tokens = tokens::watch(&options.tokens);
        tokens.get().map_err(ServerError::File)?;
        for hook in outside.hooks.values() {
            if let Some(source) = &hook.secret
                && let Err(why) = signed::secret(source).await
            {
                let why = format!(
                    "the secret of the hook `{}` cannot be used: {why}",
                    hook.name
                );
                return Err(ServerError::File(why));
            }
        }
        let cannot = |source| ServerError::Listen {
            address: options.listen,
            source,
        };
        let listener = TcpListener::bind(options.listen).await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let named = clusters.into_iter().map(|world| {
            let name = world.inventory().cluster.clone();
            (name, Arc::new(Watch::new(world)))
        });
        let stop = CancellationToken::new();
        let api = Arc::new(Api::new(
            named.collect(),
            records,
            tokens,
            outside,
            show,
            stop,
        ));
        let connections = TaskTracker::new();
        for watch in api.clusters.values() {
            connections.spawn(Arc::clone(watch).keep_looking(api.stop.clone()));
        }
        connections.spawn(keep_counting(Arc::clone(&api)));
        let door = Door {
            router: router(&api),
            tls: tls.clone(),
            stop: api.stop.clone(),
            connections: connections.clone(),
        };
        connections.spawn(door.open(listener));
        Ok(Self {
            address,
            secure: tls.is_some(),
            api,
            connections,
        })
    }

    /// Where it is.
    pub fn url(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Stops within a few seconds: streams end, requests under way have a moment. How many runs that were started here have
    /// not ended; they are left as they are, to be resumed.
    pub async fn stop(self) -> usize {
        self.api.stop.cancel();
        self.connections.close();
        let all = self.connections.wait();
        if timeout(GRACE + Duration::from_secs(1), all).await.is_err() {
            tracing::debug!("connections were left open");
        }
        self.api.runs.len()
    }
}

/// Counts runs until the server stops.
async fn keep_counting(api: Arc<Api>) {
    loop {
        tokio::select! {
            biased;
            () = api.stop.cancelled() => return,
            () = api.tally.look(&api.records) => {}
        }
        tokio::select! {
            biased;
            () = api.stop.cancelled() => return,
            () = sleep(looks::EVERY) => {}
        }
    }
}

/// One of the places for connections.
struct Place {
    /// It may be used for more than one request.
    keep: bool,
    _held: OwnedSemaphorePermit,
}

/// What every connection is given.
#[derive(Clone)]
struct Door {
    router: Router,
    tls: Option<Arc<Tls>>,
    stop: CancellationToken,
    connections: TaskTracker,
}

impl Door {
    async fn open(self, listener: TcpListener) {
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        let next = async || {
            let place = Arc::clone(&room).acquire_owned().await.ok()?;
            Some((listener.accept().await, place))
        };
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                accepted = next() => accepted,
            };
            // Idle clients are not to keep out others.
            let keep = room.available_permits() >= SCARCE;
            match accepted {
                Some((Ok((stream, from)), place)) => {
                    let door = self.clone();
                    self.connections
                        .spawn(door.admit(stream, from, Place { keep, _held: place }));
                }
                // Too many open files, most likely: others may end meanwhile.
                Some((Err(error), _)) => {
                    tracing::warn!(%error, "no connection to the API can be accepted");
                    sleep(Duration::from_millis(100)).await;
                }
                None => return,
            }
        }
    }

    /// One connection, to its end; its place is free then.
    async fn admit(self, stream: TcpStream, from: SocketAddr, place: Place) {
        // Small answers are not to wait for each other.
        let _ = stream.set_nodelay(true);
        let stream = Patient::new(stream);
        let router = self.router.layer(Extension(Remote(from)));
        let Some(tls) = self.tls else {
            return talk(TokioIo::new(stream), router, place.keep, &self.stop).await;
        };
        let handshake = TlsAcceptor::from(tls.current()).accept(stream);
        let secured = tokio::select! {
            biased;
            () = self.stop.cancelled() => return,
            secured = timeout(HANDSHAKE, handshake) => secured,
        };
        match secured {
            Ok(Ok(stream)) => talk(TokioIo::new(stream), router, place.keep, &self.stop).await,
            Ok(Err(error)) => tracing::debug!(%from, %error, "no TLS"),
            Err(_) => tracing::debug!(%from, "the handshake took too long"),
        }
    }
}

async fn talk<I>(stream: I, router: Router, keep: bool, stop: &CancellationToken)
where
    I: Read + Write + Unpin + 'static,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .keep_alive(keep)
        .header_read_timeout(HEAD)
        .max_header_size(LONGEST_HEAD);
    let service = TowerToHyperService::new(router);
    let mut connection = pin!(http.serve_connection(stream, service));
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        ended = connection.as_mut() => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection to the API broke");
            }
            return;
        }
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(GRACE, connection).await;
}
