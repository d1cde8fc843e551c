//! Who is told of what happens: `notify`.

mod lower;
mod schema;
#[cfg(test)]
mod tests;

pub(super) use lower::lower;
pub(super) use schema::schema;

use crate::cluster::SecretSource;
use crate::document::format_duration;
use serde_json::{Value as Json, json};
use std::time::Duration;

/// What somebody may be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NewsKind {
    /// A run has begun.
    RunStarted,
    /// A run has ended.
    RunEnded,
    /// A step of a run waits for a person.
    ApprovalAsked,
    /// Something is wrong with a primary.
    IncidentBegun,
    /// It has become something else.
    IncidentChanged,
    /// All is well again.
    IncidentEnded,
    /// A person decides whether a primary is replaced: by the site file only told, or asked.
    WouldFailOver,
    /// Something would have been started, and the gate was closed.
    HeldBack,
    /// A failover would not succeed any more.
    NotReady,
    /// It would again.
    Ready,
}

/// Their words.
pub(super) const NEWS: [(&str, NewsKind); 10] = [
    ("run_started", NewsKind::RunStarted),
    ("run_ended", NewsKind::RunEnded),
    ("approval_asked", NewsKind::ApprovalAsked),
    ("incident_begun", NewsKind::IncidentBegun),
    ("incident_changed", NewsKind::IncidentChanged),
    ("incident_ended", NewsKind::IncidentEnded),
    ("would_fail_over", NewsKind::WouldFailOver),
    ("held_back", NewsKind::HeldBack),
    ("not_ready", NewsKind::NotReady),
    ("ready", NewsKind::Ready),
];

impl serde::Serialize for NewsKind {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl NewsKind {
    /// Its word, as in the site file and in what is sent.
    pub fn as_str(self) -> &'static str {
        let found = NEWS.iter().find(|(_, kind)| *kind == self);
        found.map_or("", |(word, _)| word)
    }
}

/// Somebody who is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name, in logs and numbers.
    pub name: String,
    /// How.
    pub means: Means,
    /// Of what; of everything where that is not said.
    pub events: Option<Vec<NewsKind>>,
    /// Of which clusters; of all where that is not said.
    pub clusters: Option<Vec<String>>,
    /// How long one try may take.
    pub timeout: Duration,
    /// How often it is tried.
    pub tries: u32,
}

impl Target {
    /// How long one try may take unless told otherwise.
    pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
    /// How often it is tried unless told otherwise.
    pub(super) const TRIES: u32 = 4;

    /// Whether it is told of this.
    pub fn wants(&self, kind: NewsKind, cluster: &str) -> bool {
        let kinds = self.events.as_ref();
        let clusters = self.clusters.as_ref();
        kinds.is_none_or(|kinds| kinds.contains(&kind))
            && clusters.is_none_or(|clusters| clusters.iter().any(|name| name == cluster))
    }
}

/// How somebody is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Means {
    /// By a POST of JSON.
    Webhook(Webhook),
    /// By mail.
    Email(Email),
    /// By a program on this machine.
    Command(Vec<String>),
}

/// A POST of JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Where.
    pub url: Url,
    /// What it is signed with.
    pub secret: Option<SecretSource>,
}

/// A URL. Of many services it is the secret itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Url {
    /// It stands in the site file.
    Plain(String),
    /// It stands somewhere else.
    Kept(SecretSource),
}

/// A mail by SMTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    /// The server.
    pub server: String,
    /// Its port.
    pub port: u16,
    /// Whether the connection is encrypted.
    pub tls: MailTls,
    /// Who logs in, and the password.
    pub login: Option<(String, SecretSource)>,
    /// Who writes.
    pub from: String,
    /// Who reads.
    pub to: Vec<String>,
}

/// How a mail server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailTls {
    /// Plain first, then encrypted; nothing is sent where the server cannot.
    Starttls,
    /// Encrypted from the beginning.
    Tls,
    /// Plain.
    None,
}

/// The words of `tls`.
const MAIL_TLS: [(&str, MailTls); 3] = [
    ("starttls", MailTls::Starttls),
    ("tls", MailTls::Tls),
    ("none", MailTls::None),
];

impl MailTls {
    fn usual_port(self) -> u16 {
        match self {
            Self::Starttls => 587,
            Self::Tls => 465,
            Self::None => 25,
        }
    }
}

/// As the site file has it.
pub(super) fn written(target: &Target) -> Json {
    let (key, value) = match &target.means {
        Means::Webhook(webhook) => {
            let mut map = json!({ "url": match &webhook.url {
                Url::Plain(url) => json!(url),
                Url::Kept(source) => json!(source),
            } });
            if let Some(secret) = &webhook.secret {
                map["secret"] = json!(secret);
            }
            ("webhook", map)
        }
        Means::Email(email) => {
            let word = MAIL_TLS.iter().find(|(_, tls)| *tls == email.tls);
            let mut map = json!({
                "server": email.server,
                "port": email.port,
                "tls": word.map_or("", |(word, _)| word),
                "from": email.from,
                "to": email.to,
            });
            if let Some((user, password)) = &email.login {
                map["user"] = json!(user);
                map["password"] = json!(password);
            }
            ("email", map)
        }
        Means::Command(argv) => ("command", json!(argv)),
    };
    let mut map = serde_json::Map::from_iter([(key.to_owned(), value)]);
    if let Some(events) = &target.events {
        let words: Vec<&str> = events.iter().map(|kind| kind.as_str()).collect();
        map.insert("events".to_owned(), json!(words));
    }
    if let Some(clusters) = &target.clusters {
        map.insert("clusters".to_owned(), json!(clusters));
    }
    if target.timeout != Target::TIMEOUT {
        map.insert("timeout".to_owned(), json!(format_duration(target.timeout)));
    }
    if target.tries != Target::TRIES {
        map.insert("tries".to_owned(), json!(target.tries));
    }
    Json::Object(map)
}
