//! Sending: in the background, bounded, and given up rather than waited for.

use super::client::{Client, Went};
use super::trace::Trace;
use crate::engine::Envelope;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter as Otlp, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Mutex, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How many spans go in one request.
const BATCH: usize = 512;

/// How many traces may wait for the collector. What comes then is dropped.
const WAITING: usize = 64;

/// How long the end of the program waits for what is under way.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// One for the whole program, as the variables are that tell where to send: whoever runs something need not know of it.
static POST: OnceLock<Option<Post>> = OnceLock::new();

struct Post {
    /// Nothing else runs there: neither a name that is looked up for ever nor a certificate that takes its time to read is
    /// in anybody's way.
    runtime: Runtime,
    work: TaskTracker,
    desk: Arc<Desk>,
}

struct Desk {
    exporter: Mutex<Otlp>,
    went: watch::Receiver<Went>,
    waiting: AtomicUsize,
    closing: CancellationToken,
}

/// Whoever is told here of a run's events makes a trace of them; none where the environment asks for no traces.
pub fn observer() -> Option<mpsc::UnboundedSender<Arc<Envelope>>> {
    let post = POST.get_or_init(open).as_ref()?;
    let (observer, events) = mpsc::unbounded_channel();
    let desk = Arc::clone(&post.desk);
    post.work
        .spawn_on(desk.follow(events), post.runtime.handle());
    Some(observer)
}

/// Before the program ends: what is under way may arrive yet, for two seconds at most. What the collector has refused is
/// not tried again.
pub async fn post_the_rest() {
    let Some(Some(post)) = POST.get() else {
        return;
    };
    post.desk.closing.cancel();
    post.work.close();
    let ended = tokio::time::timeout(LAST_WORDS, post.work.wait()).await;
    if ended.is_err() {
        let traces = post.work.len();
        tracing::warn!(traces, "traces were dropped: the collector does not answer");
    }
}

fn open() -> Option<Post> {
    let set = |name: &str| {
        let value = std::env::var(name).ok()?;
        (!value.trim().is_empty()).then(|| value.trim().to_ascii_lowercase())
    };
    let endpoints = [
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    ];
    let asked = endpoints.iter().any(|name| set(name).is_some())
        && set("OTEL_SDK_DISABLED").as_deref() != Some("true")
        && set("OTEL_TRACES_EXPORTER").as_deref() != Some("none");
    if !asked {
        return None;
    }
    let protocol = set("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL");
    let protocol = protocol.or_else(|| set("OTEL_EXPORTER_OTLP_PROTOCOL"));
    if let Some(other) = protocol.filter(|protocol| protocol != "http/protobuf") {
        tracing::warn!(
            "no traces are sent: the environment asks for the protocol `{other}`, and only http/protobuf is spoken"
        );
        return None;
    }
    let post = Post::new();
    post.inspect_err(|why| tracing::warn!("no traces are sent: {why}"))
        .ok()
}

/// Why nothing can be sent.
#[derive(Debug, thiserror::Error)]
enum NoPost {
    #[error("the environment says something that cannot be: {0}")]
    Setting(#[from] ExporterBuildError),
    #[error("their thread cannot be started: {0}")]
    Thread(#[from] io::Error),
}

impl Post {
    fn new() -> Result<Self, NoPost> {
        let (tell, went) = watch::channel(Went::Open);
        let client = Client::from_env(tell);
        let builder = Otlp::builder().with_http().with_http_client(client);
        let mut exporter = builder.build()?;
        exporter.set_resource(&resource());
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("traces")
            .enable_all()
            .build()?;
        Ok(Self {
            runtime,
            work: TaskTracker::new(),
            desk: Arc::new(Desk {
                exporter: Mutex::new(exporter),
                went,
                waiting: AtomicUsize::new(0),
                closing: CancellationToken::new(),
            }),
        })
    }
}

impl Desk {
    /// Until the run has ended, or will not: nobody tells of it any more, or the program ends.
    async fn follow(self: Arc<Self>, mut events: mpsc::UnboundedReceiver<Arc<Envelope>>) {
        let mut trace: Option<Trace> = None;
        loop {
            let event = tokio::select! {
                biased;
                event = events.recv() => event,
                // What it has been told already stands in the queue, and was taken first.
                () = self.closing.cancelled() => None,
            };
            let Some(event) = event else {
                return;
            };
            match &mut trace {
                None => trace = Trace::begin(&event),
                Some(trace) => {
                    if let Some(spans) = trace.take(&event) {
                        return self.send(spans).await;
                    }
                }
            }
        }
    }

    async fn send(&self, spans: Vec<SpanData>) {
        let why = if self.waiting.fetch_add(1, Relaxed) < WAITING {
            self.deliver(spans).await.err()
        } else {
            Some("too many wait for the collector already".to_owned())
        };
        self.waiting.fetch_sub(1, Relaxed);
        if let Some(why) = why {
            tracing::warn!("a trace was dropped: {why}");
        }
    }

    /// One after the other: a collector that is slow is not asked to do more at once.
    async fn deliver(&self, spans: Vec<SpanData>) -> Result<(), String> {
        let exporter = self.exporter.lock().await;
        let mut spans = spans.into_iter();
        loop {
            let batch: Vec<SpanData> = spans.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                return Ok(());
            }
            tokio::select! {
                biased;
                sent = exporter.export(batch) => {
                    if let Err(error) = sent {
                        let went = self.went.borrow().clone();
                        return Err(match went {
                            Went::Wrong(why) => why,
                            Went::Open | Went::Well => error.to_string(),
                        });
                    }
                }
                why = self.hopeless() => return Err(why),
            }
        }
    }

    /// The program ends, and the last request has failed: it is not tried again.
    async fn hopeless(&self) -> String {
        self.closing.cancelled().await;
        let mut went = self.went.clone();
        loop {
            if let Went::Wrong(why) = &*went.borrow_and_update() {
                return why.clone();
            }
            if went.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

/// Who says so: by the variables, and this program where they do not name a service.
fn resource() -> Resource {
    let told = Resource::builder().build();
    let name = told.get(&opentelemetry::Key::from_static_str("service.name"));
    let named = name.is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy().into_owned();
    let own = [
        opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        opentelemetry::KeyValue::new("host.name", host),
    ];
    let own = own.into_iter().filter(|own| told.get(&own.key).is_none());
    let builder = Resource::builder().with_attributes(own);
    if named {
        builder.build()
    } else {
        builder.with_service_name("pgbaton").build()
    }
}
