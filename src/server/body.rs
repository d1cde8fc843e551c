//! What a request brings along, within limits.

use super::kinds::Kind;
use super::problem::Problem;
use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// More than this is not read.
const LARGEST: usize = 64 << 10;

/// How long it may take to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// An idempotency key is a word, not a document.
const LONGEST_KEY: usize = 128;

/// The body as what it should be.
pub(super) async fn read<T: DeserializeOwned>(request: Request) -> Result<T, Problem> {
    if !is_json(request.headers()) {
        return Err(Problem::new(
            Kind::WrongMediaType,
            "the request says that its body is no JSON, or does not say what it is",
        ));
    }
    let bytes = bytes(request.into_body()).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let kind = if error.is_data() {
            Kind::InvalidRequest
        } else {
            Kind::NotJson
        };
        Problem::new(kind, format!("the body cannot be read: {error}"))
    })
}

/// The body as it came.
pub(super) async fn bytes(body: Body) -> Result<axum::body::Bytes, Problem> {
    let large = || {
        Problem::new(
            Kind::BodyTooLarge,
            format!("it has more than {LARGEST} bytes"),
        )
    };
    // Said beforehand it need not come first.
    if body.size_hint().lower() > LARGEST as u64 {
        return Err(large());
    }
    match tokio::time::timeout(PATIENCE, to_bytes(body, LARGEST)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_limit(&error) => Err(large()),
        Ok(Err(error)) => Err(Problem::new(
            Kind::BadRequest,
            format!("the body did not come: {error}"),
        )),
        Err(_) => Err(Problem::new(
            Kind::BodyTooSlow,
            format!("it was not complete after {PATIENCE:?}"),
        )),
    }
}

fn is_limit(error: &axum::Error) -> bool {
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        if cause.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        next = cause.source();
    }
    false
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

/// The idempotency key, where there is one.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(key) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let good = key
        .to_str()
        .ok()
        .map(str::trim)
        .filter(|key| (1..=LONGEST_KEY).contains(&key.len()));
    match good {
        Some(key) => Ok(Some(key.to_owned())),
        None => Err(Problem::new(
            Kind::BadRequest,
            format!("Idempotency-Key must be 1 to {LONGEST_KEY} printable ASCII characters"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use std::convert::Infallible;

    async fn kind(kind: &str, body: Body) -> Option<Kind> {
        let request = Request::builder().header("content-type", kind).body(body);
        let read = read::<Vec<u8>>(request.unwrap()).await;
        read.err().map(|problem| problem.kind)
    }

    /// Chunks whose number nobody says beforehand.
    fn chunks(bytes: usize) -> Body {
        let text = format!("[{}]", " ".repeat(bytes - 2));
        let chunks: Vec<_> = text.as_bytes().chunks(1000).map(<[u8]>::to_vec).collect();
        Body::from_stream(stream::iter(chunks.into_iter().map(Ok::<_, Infallible>)))
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_limit_said_beforehand_or_not() {
        let json = "application/JSON; charset=utf-8";
        assert_eq!(kind(json, chunks(LARGEST)).await, None);
        assert_eq!(
            kind(json, chunks(LARGEST + 1)).await,
            Some(Kind::BodyTooLarge)
        );
        let said = Body::from(vec![b' '; LARGEST + 1]);
        assert_eq!(kind(json, said).await, Some(Kind::BodyTooLarge));
        assert_eq!(kind(json, Body::from("[")).await, Some(Kind::NotJson));
        assert_eq!(
            kind(json, Body::from("{}")).await,
            Some(Kind::InvalidRequest)
        );
        assert_eq!(
            kind("text/json", Body::from("[]")).await,
            Some(Kind::WrongMediaType)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_given_up() {
        let silent = Body::from_stream(stream::pending::<Result<Vec<u8>, Infallible>>());
        assert_eq!(
            kind("application/json", silent).await,
            Some(Kind::BodyTooSlow)
        );
    }
}
