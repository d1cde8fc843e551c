//! A mail, by SMTP.

use super::News;
use super::reveal::reveal;
use crate::site::{Email, MailTls};
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use std::error::Error as _;
use std::time::Duration;

/// Sends it. Only a server that took it for every reader says that it has arrived.
pub(super) async fn send(email: &Email, news: &News, limit: Duration) -> Result<(), String> {
    let message = message(email, news)?;
    let work = async {
        let transport = transport(email, limit).await?;
        transport.send(message).await.map_err(|error| told(&error))
    };
    match tokio::time::timeout(limit, work).await {
        Ok(sent) => sent.map(drop),
        Err(_) => Err(format!("time was up after {} s", limit.as_secs_f64())),
    }
}

async fn transport(
    email: &Email,
    limit: Duration,
) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
    let secured = || {
        // Verified against the authorities of the system.
        let parameters = TlsParameters::new(email.server.clone());
        parameters.map_err(|error| told(&error))
    };
    let tls = match email.tls {
        MailTls::Starttls => Tls::Required(secured()?),
        MailTls::Tls => Tls::Wrapper(secured()?),
        MailTls::None => Tls::None,
    };
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy().into_owned();
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(email.server.clone())
        .port(email.port)
        .tls(tls)
        .timeout(Some(limit))
        .hello_name(ClientId::Domain(host));
    if let Some((user, password)) = &email.login {
        let password = reveal(password).await?;
        builder = builder.credentials(Credentials::new(user.clone(), password));
    }
    Ok(builder.build())
}

fn message(email: &Email, news: &News) -> Result<Message, String> {
    let mailbox = |text: &str| {
        let mailbox = text.parse::<Mailbox>();
        mailbox.map_err(|error| format!("`{text}` is no address: {error}"))
    };
    let what = news.event.as_str().replace('_', " ");
    let mut builder = Message::builder()
        .from(mailbox(&email.from)?)
        .subject(format!("[pgbaton] {}: {what}", news.cluster))
        // The same for every try, so that a mail that came twice is shown once.
        .message_id(Some(format!("<{}@pgbaton>", news.id)))
        .header(ContentType::TEXT_PLAIN);
    for reader in &email.to {
        builder = builder.to(mailbox(reader)?);
    }
    builder
        .body(body(news))
        .map_err(|error| format!("the mail cannot be written: {error}"))
}

fn body(news: &News) -> String {
    let mut lines = vec![news.text.clone(), String::new()];
    lines.push(format!("cluster   {}", news.cluster));
    lines.push(format!("at        {}", news.at));
    if let Some(run) = &news.run {
        lines.push(format!("run       {run}  (pgbaton runs show {run})"));
    }
    if let Some(incident) = &news.incident {
        lines.push(format!("incident  {incident}"));
    }
    if news.details.as_object().is_some_and(|map| !map.is_empty()) {
        lines.push(String::new());
        lines.push(serde_json::to_string_pretty(&news.details).unwrap_or_default());
    }
    lines.join("\n") + "\n"
}

/// The error and what caused it. lettre keeps passwords out of both.
fn told(error: &lettre::transport::smtp::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
