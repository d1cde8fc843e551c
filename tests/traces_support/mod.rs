//! A collector (rotel), what it hands on, and plain questions to a trace.
#![allow(dead_code, reason = "each test file uses its own part")]

use crate::live_support::free_port;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span, status::StatusCode};
use prost::Message as _;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::sync::mpsc;

/// A hang is a failure.
const PATIENCE: Duration = Duration::from_mins(1);
/// Of PyPI; `scripts/test` has it there.
const VERSION: &str = "0.0.1a15";

/// Receives and hands on, until it is dropped.
pub(crate) struct Collector {
    pub(crate) url: String,
    _rotel: tokio::process::Child,
    handed_on: mpsc::UnboundedReceiver<ExportTraceServiceRequest>,
}

fn program() -> PathBuf {
    let set = |name| std::env::var_os(name).map(PathBuf::from);
    let folder = set("PGBATON_ROTEL").unwrap_or_else(|| {
        let cache = set("XDG_CACHE_HOME");
        let cache = cache.unwrap_or_else(|| set("HOME").unwrap().join(".cache"));
        cache.join(format!("pgbaton/rotel-{VERSION}"))
    });
    let program = folder.join("rotel/rotel-agent");
    assert!(
        program.exists(),
        "scripts/test fetches {}",
        program.display()
    );
    program
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let (tell, handed_on) = mpsc::unbounded_channel();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap();
        let take = move |body: axum::body::Bytes| async move {
            // It packs what it hands on.
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(&body[..])
                .read_to_end(&mut plain)
                .unwrap();
            let request = ExportTraceServiceRequest::decode(&plain[..]).unwrap();
            tell.send(request).unwrap();
            let headers = [("content-type", "application/x-protobuf")];
            (
                headers,
                ExportTraceServiceResponse::default().encode_to_vec(),
            )
        };
        let router = axum::Router::new().route("/v1/traces", axum::routing::post(take));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let service = hyper_util::service::TowerToHyperService::new(router.clone());
                let stream = hyper_util::rt::TokioIo::new(stream);
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(stream, service),
                );
            }
        });
        let (http, grpc) = (free_port(), free_port());
        let rotel = tokio::process::Command::new(program())
            .arg("start")
            .args(["--otlp-http-endpoint", &format!("127.0.0.1:{http}")])
            .args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{grpc}")])
            .args(["--exporter", "otlp", "--otlp-exporter-protocol", "http"])
            .args(["--otlp-exporter-endpoint", &format!("http://{here}")])
            .args([
                "--otlp-exporter-compression",
                "none",
                "--batch-timeout",
                "100ms",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let listens = async {
            while tokio::net::TcpStream::connect(("127.0.0.1", http))
                .await
                .is_err()
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let listens = tokio::time::timeout(PATIENCE, listens).await;
        listens.expect("rotel does not listen");
        Self {
            url: format!("http://127.0.0.1:{http}"),
            _rotel: rotel,
            handed_on,
        }
    }

    /// What arrived, up to the span of a run; it comes last.
    pub(crate) async fn trace(mut self) -> Trace {
        let mut all = Vec::new();
        loop {
            let next = tokio::time::timeout(PATIENCE, self.handed_on.recv()).await;
            let next = next.expect("no trace arrived").unwrap();
            all.extend(next.resource_spans);
            let trace = Trace::of(&all);
            if trace.spans.iter().any(Spanned::is_root) {
                return trace;
            }
        }
    }
}

/// Spans that arrived.
#[derive(Debug)]
pub(crate) struct Trace {
    spans: Vec<Spanned>,
    resource: Vec<KeyValue>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Spanned(Span);

impl Trace {
    fn of(all: &[ResourceSpans]) -> Self {
        let scopes = all.iter().flat_map(|resource| &resource.scope_spans);
        let spans = scopes.flat_map(|scope| &scope.spans);
        let resource = all.first().and_then(|first| first.resource.clone());
        Self {
            spans: spans.cloned().map(Spanned).collect(),
            resource: resource.unwrap_or_default().attributes,
        }
    }

    pub(crate) fn root(&self) -> &Spanned {
        let mut roots = self.spans.iter().filter(|span| span.is_root());
        let root = roots.next().unwrap();
        assert!(roots.next().is_none(), "one run");
        let of_it = |span: &Spanned| span.trace() == root.trace();
        assert!(self.spans.iter().all(of_it), "one trace");
        root
    }

    pub(crate) fn resource(&self, key: &str) -> String {
        text(&self.resource, key).unwrap_or_else(|| panic!("{key}: {:?}", self.resource))
    }

    pub(crate) fn with<'t>(&'t self, key: &'t str) -> impl Iterator<Item = &'t Spanned> {
        self.spans.iter().filter(move |span| span.has(key))
    }

    /// The paths of its steps, sorted.
    pub(crate) fn steps(&self) -> Vec<String> {
        let steps = self.with("pgbaton.action");
        let mut steps: Vec<String> = steps.map(|span| span.text("pgbaton.step")).collect();
        steps.sort();
        steps
    }

    pub(crate) fn step(&self, path: &str) -> &Spanned {
        let mut found = self.with("pgbaton.step");
        let found = found.find(|span| span.text("pgbaton.step") == path);
        found.unwrap_or_else(|| panic!("no step {path}"))
    }

    pub(crate) fn parent(&self, span: &Spanned) -> &Spanned {
        let found = self.spans.iter().find(|other| other.id() == span.above());
        found.unwrap_or_else(|| panic!("no parent of {span:?}"))
    }

    /// Those that lie right below, in the order in which they began.
    pub(crate) fn below(&self, span: &Spanned) -> Vec<&Spanned> {
        let below = self.spans.iter().filter(|other| other.above() == span.id());
        let mut below: Vec<&Spanned> = below.collect();
        below.sort_by_key(|span| span.began());
        below
    }
}

impl Spanned {
    fn is_root(&self) -> bool {
        self.has("pgbaton.run")
    }

    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    fn id(&self) -> String {
        hex(&self.0.span_id)
    }

    pub(crate) fn trace(&self) -> String {
        hex(&self.0.trace_id)
    }

    /// The id of the span that it lies below.
    pub(crate) fn above(&self) -> String {
        hex(&self.0.parent_span_id)
    }

    pub(crate) fn began(&self) -> u64 {
        self.0.start_time_unix_nano
    }

    pub(crate) fn ended(&self) -> u64 {
        self.0.end_time_unix_nano
    }

    pub(crate) fn failed(&self) -> bool {
        let status = self.0.status.as_ref();
        status.is_some_and(|status| status.code() == StatusCode::Error)
    }

    /// What its status says.
    pub(crate) fn error(&self) -> &str {
        &self.0.status.as_ref().unwrap().message
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.attributes.iter().any(|had| had.key == key)
    }

    pub(crate) fn text(&self, key: &str) -> String {
        text(&self.0.attributes, key).unwrap_or_else(|| panic!("{key}: {self:?}"))
    }

    pub(crate) fn number(&self, key: &str) -> i64 {
        match value(&self.0.attributes, key) {
            Some(Value::IntValue(number)) => *number,
            other => panic!("{key} is {other:?}"),
        }
    }

    /// Whether it has such an event.
    pub(crate) fn tells(&self, event: &str) -> bool {
        self.0.events.iter().any(|told| told.name == event)
    }
}

fn value<'a>(all: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    let found = all.iter().find(|had| had.key == key)?;
    match &found.value {
        Some(AnyValue { value }) => value.as_ref(),
        None => None,
    }
}

fn text(all: &[KeyValue], key: &str) -> Option<String> {
    match value(all, key)? {
        Value::StringValue(text) => Some(text.clone()),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}
