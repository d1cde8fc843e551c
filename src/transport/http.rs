//! One HTTP request, bounded in time and size.

use bytes::Bytes;
use std::collections::BTreeMap;
use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// More of an answer's body than this is not kept.
const BODY: usize = 1 << 20;

/// Sends requests. Redirects are not followed, no proxy is used, nothing is sent twice.
#[derive(Debug, Clone, Default)]
pub struct HttpClient;

/// What to send. `Debug` shows neither headers' values nor the body.
#[derive(Clone)]
pub struct HttpSend {
    /// `GET`, `POST`, …
    pub method: String,
    /// Absolute.
    pub url: String,
    /// Headers.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Option<Bytes>,
    /// The whole exchange ends after this long.
    pub deadline: Duration,
}

impl fmt::Debug for HttpSend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSend")
            .field("method", &self.method)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// What came back, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status code.
    pub status: u16,
    /// The first mebibyte of the body, as text.
    pub body: String,
    /// The body was longer.
    pub truncated: bool,
}

/// Why nothing came back. Never holds the URL, a header or the body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The request cannot be made.
    #[error("the request cannot be made: {0}")]
    Invalid(String),
    /// No connection: it was certainly not sent.
    #[error("no connection: {0}")]
    NotSent(String),
    /// It may have been sent, and no complete answer came.
    #[error("no complete answer: {0}")]
    Lost(String),
}

impl HttpClient {
    /// Sends one request and reads the answer.
    pub async fn send(&self, request: HttpSend) -> Result<HttpAnswer, HttpError> {
        let method = reqwest::Method::from_bytes(request.method.as_bytes())
            .map_err(|_| HttpError::Invalid(format!("`{}` is no method", request.method)))?;
        let url = reqwest::Url::parse(&request.url)
            .map_err(|error| HttpError::Invalid(format!("the URL cannot be read: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(HttpError::Invalid(
                "the URL must begin with http:// or https://".to_owned(),
            ));
        }
        let client = client(url.scheme() == "https", request.deadline)?;
        let mut builder = client.request(method, url);
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        if let Some(body) = request.body {
            builder = builder.body(body);
        }
        let exchange = async {
            let mut response = builder.send().await.map_err(told)?;
            let status = response.status().as_u16();
            let mut body = Vec::new();
            let lost = |error| HttpError::Lost(causes(error));
            while let Some(chunk) = response.chunk().await.map_err(lost)? {
                body.extend_from_slice(&chunk);
                if body.len() > BODY {
                    break;
                }
            }
            let truncated = body.len() > BODY;
            body.truncate(BODY);
            Ok(HttpAnswer {
                status,
                body: String::from_utf8_lossy(&body).into_owned(),
                truncated,
            })
        };
        tokio::time::timeout(request.deadline, exchange)
            .await
            .unwrap_or_else(|_| {
                Err(HttpError::Lost(format!(
                    "time was up after {} s",
                    request.deadline.as_secs_f64()
                )))
            })
    }
}

fn client(tls: bool, deadline: Duration) -> Result<reqwest::Client, HttpError> {
    // reqwest takes the process-wide provider. Another one that is there already is as good.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        let provider = rustls::crypto::ring::default_provider();
        let _: Result<(), Arc<rustls::crypto::CryptoProvider>> = provider.install_default();
    }
    let mut builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(deadline)
        .no_proxy();
    if !tls {
        // Without this, a machine that has no certificate authorities could not even speak plain HTTP.
        builder = builder.tls_certs_only([]);
    }
    builder
        .build()
        .map_err(|error| HttpError::Invalid(causes(error)))
}

fn told(error: reqwest::Error) -> HttpError {
    if error.is_builder() {
        HttpError::Invalid(causes(error))
    } else if error.is_connect() {
        HttpError::NotSent(causes(error))
    } else {
        HttpError::Lost(causes(error))
    }
}

/// The error and what caused it, without the URL: it may hold a token.
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    fn get(url: String) -> HttpSend {
        HttpSend {
            method: "POST".into(),
            url,
            headers: [("x-token".to_owned(), "t".to_owned())].into(),
            body: Some("hello".into()),
            deadline: Duration::from_secs(5),
        }
    }

    async fn answering(reply: Option<&'static str>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut seen = Vec::new();
            while !seen.ends_with(b"hello") {
                let mut chunk = [0; 1024];
                let read = stream.read(&mut chunk).await.unwrap();
                seen.extend_from_slice(&chunk[..read]);
            }
            assert!(String::from_utf8_lossy(&seen).contains("x-token: t"));
            if let Some(reply) = reply {
                stream.write_all(reply.as_bytes()).await.unwrap();
            }
        });
        format!("http://{address}/path?token=secret")
    }

    #[tokio::test]
    async fn every_status_is_an_answer_and_redirects_are_not_followed() {
        for (reply, status, body) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", 200, "ok"),
            (
                "HTTP/1.1 503 No\r\ncontent-length: 4\r\n\r\nbusy",
                503,
                "busy",
            ),
            (
                "HTTP/1.1 302 Go\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
                302,
                "",
            ),
        ] {
            let answer = HttpClient.send(get(answering(Some(reply)).await)).await;
            let answer = answer.unwrap();
            assert_eq!((answer.status, answer.body.as_str()), (status, body));
        }
    }

    #[tokio::test]
    async fn sent_without_an_answer_is_not_the_same_as_not_sent() {
        let lost = HttpClient
            .send(get(answering(None).await))
            .await
            .unwrap_err();
        assert!(matches!(lost, HttpError::Lost(_)), "{lost}");
        assert!(!lost.to_string().contains("secret"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/?token=secret", listener.local_addr().unwrap());
        drop(listener);
        let refused = HttpClient.send(get(url)).await.unwrap_err();
        assert!(matches!(refused, HttpError::NotSent(_)), "{refused}");
        assert!(!refused.to_string().contains("secret"));
    }

    #[tokio::test]
    async fn what_cannot_be_a_request_is_told_before_anything_is_sent() {
        for (method, url) in [
            ("GE T", "http://x/"),
            ("GET", "nowhere"),
            ("GET", "file:///etc/passwd"),
        ] {
            let mut request = get(url.to_owned());
            method.clone_into(&mut request.method);
            let error = HttpClient.send(request).await.unwrap_err();
            assert!(matches!(error, HttpError::Invalid(_)), "{error}");
        }
    }
}
