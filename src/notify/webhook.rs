//! A POST of JSON, signed where there is a secret.

use super::News;
use super::reveal::reveal;
use crate::site::{Url, Webhook};
use crate::transport::{HttpClient, HttpSend};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// Sends it. Only an answer of 2xx says that it has arrived.
pub(super) async fn send(webhook: &Webhook, news: &News, limit: Duration) -> Result<(), String> {
    let url = match &webhook.url {
        Url::Plain(url) => url.clone(),
        Url::Kept(source) => reveal(source).await?,
    };
    let body = news.to_json();
    let mut headers = BTreeMap::from([
        ("content-type".to_owned(), "application/json".to_owned()),
        (
            "user-agent".to_owned(),
            concat!("pgbaton/", env!("CARGO_PKG_VERSION")).to_owned(),
        ),
        ("x-pgbaton-id".to_owned(), news.id.clone()),
        ("x-pgbaton-event".to_owned(), news.event.as_str().to_owned()),
    ]);
    if let Some(secret) = &webhook.secret {
        let secret = reveal(secret).await?;
        // Of each try: who checks it can refuse what is old.
        let time = jiff::Timestamp::now().as_second().to_string();
        let signature = signature(&secret, &time, &body)?;
        headers.insert("x-pgbaton-time".to_owned(), time);
        headers.insert("x-pgbaton-signature".to_owned(), signature);
    }
    let request = HttpSend {
        method: "POST".to_owned(),
        url,
        headers,
        body: Some(body.into()),
        deadline: limit,
    };
    let answer = HttpClient.send(request).await;
    let answer = answer.map_err(|error| error.to_string())?;
    if (200..300).contains(&answer.status) {
        return Ok(());
    }
    Err(format!("it answered {}", answer.status))
}

/// Of the time, a dot and the body: neither can be changed, and a copy of it is old one day.
fn signature(secret: &str, time: &str, body: &str) -> Result<String, String> {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes());
    let mut mac = mac.map_err(|error| format!("the secret cannot sign: {error}"))?;
    for part in [time, ".", body] {
        mac.update(part.as_bytes());
    }
    let mut text = "sha256=".to_owned();
    for byte in mac.finalize().into_bytes() {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf %s '1764288000.{"a":1}' | openssl dgst -sha256 -hmac key`
    #[test]
    fn what_is_signed_is_what_openssl_signs() {
        let signature = signature("key", "1764288000", "{\"a\":1}").unwrap();
        assert_eq!(
            signature,
            "sha256=e7178f43d2c14e957e1270ac9c8ed66c169e13adc122edeebb73fc813d4878a4"
        );
    }
}
