//! `pgbaton serve` with an API, and a client of it.

use crate::live_support::free_port;
use crate::support::{Said, UnderWay, pgbaton};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use rustix::process::Signal;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Whether connections are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    Tls,
    Plain,
}

/// A server, its client, and a token of each role, which is called as its role is.
pub(crate) struct Served {
    serving: UnderWay,
    site: PathBuf,
    pub(crate) port: u16,
    pub(crate) url: String,
    pub(crate) keys: tempfile::TempDir,
    pub(crate) tokens: BTreeMap<String, String>,
    client: Client,
}

/// An answer that was read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) async fn of(response: Response) -> Self {
        Self {
            status: response.status(),
            headers: response.headers().clone(),
            body: response.text().await.unwrap(),
        }
    }

    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self
    }

    /// The kind of problem that it is.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16) -> String {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let json = self.json();
        assert_eq!(json["status"], status);
        let id = self.headers["x-request-id"].to_str().unwrap();
        assert!(json["instance"].as_str().unwrap().ends_with(id), "{json}");
        assert!(!json["next"].as_array().unwrap().is_empty(), "{json}");
        let kind = json["type"].as_str().unwrap();
        kind.strip_prefix("urn:pgbaton:problem:")
            .unwrap()
            .to_owned()
    }

    pub(crate) fn text(&self, header: &str) -> String {
        self.headers[header].to_str().unwrap().to_owned()
    }
}

impl Served {
    /// Serves this site, whose file is given an `api`.
    pub(crate) async fn start(site: &Path, over: Over) -> Self {
        Self::with(site, over, &[]).await
    }

    /// The same with these environment variables.
    pub(crate) async fn with(site: &Path, over: Over, environment: &[(&str, &str)]) -> Self {
        // The client takes the provider of the process.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let keys = tempfile::tempdir().unwrap();
        let mut tokens = BTreeMap::new();
        let mut lines = String::new();
        for role in ["view", "operate", "approve", "admin"] {
            let (token, line) = fresh(role, role).await;
            tokens.insert(role.to_owned(), token);
            lines = format!("{lines}{line}\n");
        }
        write_private(&keys.path().join("tokens"), &lines);
        let client = match over {
            Over::Tls => encrypted(keys.path()),
            Over::Plain => Client::builder().no_proxy().build().unwrap(),
        };
        let port = free_port();
        let mut api = serde_json::json!({
            "listen": format!("127.0.0.1:{port}"),
            "tokens": keys.path().join("tokens"),
        });
        if over == Over::Tls {
            let file = |name| keys.path().join(name);
            api["tls"] =
                serde_json::json!({ "cert": file("server.crt"), "key": file("server.key") });
        }
        let text = std::fs::read_to_string(site).unwrap();
        std::fs::write(site, format!("api: {api}\n{text}")).unwrap();
        let scheme = if over == Over::Tls { "https" } else { "http" };
        let served = Self {
            serving: UnderWay::with(site, &["serve"], environment),
            site: site.to_owned(),
            port,
            url: format!("{scheme}://127.0.0.1:{port}"),
            keys,
            tokens,
            client,
        };
        served.until_there().await;
        served
    }

    async fn until_there(&self) {
        for _ in 0..600 {
            if let Ok(response) = self
                .client
                .get(format!("{}/v1/health", self.url))
                .send()
                .await
            {
                assert_eq!(response.text().await.unwrap(), "{\"status\":\"ok\"}");
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the API does not answer");
    }

    /// The same after a stop, on the same port.
    pub(crate) async fn again(self) -> (Said, Self) {
        self.serving.signal(Signal::TERM);
        let said = self.serving.end().await;
        let served = Self {
            serving: UnderWay::of(&self.site, &["serve"]),
            ..self
        };
        served.until_there().await;
        (said, served)
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        self.serving.signal(Signal::TERM);
    }

    /// What it said, once it has ended.
    pub(crate) async fn end(self) -> Said {
        self.serving.end().await
    }

    /// Stops it.
    pub(crate) async fn stop(self) -> Said {
        self.terminate();
        self.end().await
    }

    pub(crate) fn request(&self, role: &str, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        match self.tokens.get(role) {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub(crate) async fn get(&self, role: &str, path: &str) -> Answer {
        Answer::of(self.request(role, Method::GET, path).send().await.unwrap()).await
    }

    pub(crate) async fn post(&self, role: &str, path: &str, body: &Json) -> Answer {
        let request = self.request(role, Method::POST, path).json(body);
        Answer::of(request.send().await.unwrap()).await
    }

    /// Another authority and another certificate, in the same files; the client trusts only these from now on.
    pub(crate) fn renew(&mut self) {
        self.client = encrypted(self.keys.path());
    }

    /// Replaces the file of tokens.
    pub(crate) fn write_tokens(&self, lines: &str) {
        write_private(&self.keys.path().join("tokens"), lines);
    }
}

/// A token by the command line, and its line.
pub(crate) async fn fresh(name: &str, role: &str) -> (String, String) {
    let said = pgbaton(&["token", name, "--role", role]).await.expect(0);
    let line = said.stderr.lines().last().unwrap().to_owned();
    (said.stdout.trim().to_owned(), line)
}

fn write_private(file: &Path, text: &str) {
    std::fs::write(file, text).unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// An authority made just now, and the certificate of a server by it.
pub(crate) fn authority(dir: &Path) {
    let openssl = |words: &str| {
        let done = std::process::Command::new("openssl")
            .current_dir(dir)
            .args(words.split_whitespace())
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
    };
    openssl(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.crt",
    );
    openssl(
        "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=server -keyout server.key -out server.csr",
    );
    std::fs::write(dir.join("san"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    openssl(
        "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile san -out server.crt",
    );
}

/// A client that trusts an authority made just now, and no other; the server's certificate is of it.
fn encrypted(dir: &Path) -> Client {
    authority(dir);
    let pem = std::fs::read(dir.join("ca.crt")).unwrap();
    let authority = reqwest::Certificate::from_pem(&pem).unwrap();
    let client = Client::builder().no_proxy();
    client.tls_certs_only([authority]).build().unwrap()
}
