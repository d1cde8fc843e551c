//! Who is told: a listener of HTTP, a mail server, both real.

use crate::live_support::free_port;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value as Json;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// Asks until there is an answer.
pub(crate) async fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    let found = until_or(look).await;
    found.unwrap_or_else(|| panic!("{what} never comes"))
}

async fn until_or<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    for _ in 0..600 {
        let found = look();
        if found.is_some() {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    None
}

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Post {
    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A server of HTTP that keeps what comes.
pub(crate) struct Hook {
    pub(crate) url: String,
    got: Arc<Mutex<Vec<Post>>>,
    _serves: AbortOnDropHandle<()>,
}

impl Hook {
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let got: Arc<Mutex<Vec<Post>>> = Arc::default();
        let kept = Arc::clone(&got);
        let serves = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let kept = Arc::clone(&kept);
                tokio::spawn(async move {
                    let keep = service_fn(|request| keep(request, Arc::clone(&kept)));
                    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), keep);
                    let _ = served.await;
                });
            }
        });
        Self {
            url,
            got,
            _serves: AbortOnDropHandle::new(serves),
        }
    }

    pub(crate) fn all(&self) -> Vec<Post> {
        self.got.lock().unwrap().clone()
    }

    /// The first one of this kind, once it has come.
    pub(crate) async fn until(&self, event: &str) -> Post {
        until(event, || {
            let mut all = self.all().into_iter();
            all.find(|post| post.json()["event"] == event)
        })
        .await
    }
}

async fn keep(
    request: Request<Incoming>,
    kept: Arc<Mutex<Vec<Post>>>,
) -> Result<Response<String>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    kept.lock().unwrap().push(Post {
        headers: head.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    });
    Ok(Response::new("taken".to_owned()))
}

/// aiosmtpd: encrypted from the beginning, by STARTTLS, and plain.
pub(crate) struct MailServer {
    pub(crate) tls: u16,
    pub(crate) starttls: u16,
    pub(crate) plain: u16,
    folder: PathBuf,
    child: Child,
}

impl MailServer {
    /// With the certificate of `keys`. Who logs in is `pgbaton`, with this password.
    pub(crate) async fn start(keys: &Path, password: &str) -> Self {
        let folder = keys.join("mail");
        std::fs::create_dir(&folder).unwrap();
        let [tls, starttls, plain] = [free_port(), free_port(), free_port()];
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api/smtpd.py");
        // Debian's own, for which the package is.
        let child = Command::new("/usr/bin/python3")
            .arg(script)
            .args([keys, &folder])
            .args([tls, starttls, plain].map(|port| port.to_string()))
            .env("MAIL_PASSWORD", password)
            .stdin(Stdio::null())
            .spawn()
            .expect("scripts/test installs python3-aiosmtpd");
        let ready = folder.join("ready");
        until("the mail server", || ready.exists().then_some(())).await;
        Self {
            tls,
            starttls,
            plain,
            folder,
            child,
        }
    }

    /// The first mail that came by this port and has these words.
    pub(crate) async fn until(&self, port: u16, words: &str) -> String {
        let begins = format!("{port}-");
        let mut came = String::new();
        let found = until_or(|| {
            let files = std::fs::read_dir(&self.folder).unwrap().flatten();
            let mails: Vec<String> = files
                .filter(|file| file.file_name().to_string_lossy().starts_with(&begins))
                .filter_map(|file| std::fs::read_to_string(file.path()).ok())
                .collect();
            came = mails.join("\n");
            mails.into_iter().find(|mail| mail.contains(words))
        })
        .await;
        found.unwrap_or_else(|| panic!("no mail says `{words}`, these came:\n{came}"))
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
