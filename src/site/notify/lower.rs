//! `notify`, read and checked.

use super::super::{sql, words};
use super::{Email, MAIL_TLS, MailTls, Means, NEWS, NewsKind, Target, Url, Webhook};
use crate::cluster::SecretSource;
use crate::document::{Entry, Lowering, MapReader, Spanned, Tree, format_duration, parse_duration};
use std::path::Path;
use std::time::Duration;

/// A try is not given up sooner, nor later.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_mins(2);

/// All targets, by name; `clusters` are the names of the site's. None only after an error.
pub(in super::super) fn lower(
    to: &mut Lowering<'_>,
    value: &Spanned<Tree>,
    clusters: &[&str],
    base: &Path,
) -> Option<Vec<Target>> {
    let entries = to.entries("`notify`", value)?;
    let targets: Vec<Option<Target>> = entries
        .iter()
        .map(|entry| target(to, entry, clusters, base))
        .collect();
    let mut targets: Vec<Target> = targets.into_iter().collect::<Option<_>>()?;
    targets.sort_by(|a, b| a.name.cmp(&b.name));
    Some(targets)
}

fn target(to: &mut Lowering<'_>, entry: &Entry, clusters: &[&str], base: &Path) -> Option<Target> {
    let name = words::checked_name(to, "the name of a target", &entry.key);
    let mut map = to.map(format!("`{}`", entry.key.value), &entry.value)?;
    let means = means(to, &mut map, base);
    let events = map.optional(to, "events").map(|e| events(to, &e.value));
    let named = map.optional(to, "clusters");
    let named = named.map(|e| known(to, &e.value, clusters));
    let timeout = map.optional(to, "timeout").map(|e| time(to, &e.value));
    let tries = map.optional(to, "tries");
    let tries = tries.map(|e| to.integer("`tries`", &e.value, 1, 10));
    map.finish(to);
    Some(Target {
        name: name?,
        means: means?,
        events: given(events)?,
        clusters: given(named)?,
        timeout: given(timeout)?.unwrap_or(Target::TIMEOUT),
        tries: given(tries)?.map_or(Target::TRIES, |tries| u32::try_from(tries).unwrap_or(1)),
    })
}

/// Something that may be left out: none only where it was given and is wrong.
#[expect(clippy::option_option, reason = "absent, wrong, or there")]
fn given<T>(value: Option<Option<T>>) -> Option<Option<T>> {
    match value {
        None => Some(None),
        Some(value) => value.map(Some),
    }
}

fn means(to: &mut Lowering<'_>, map: &mut MapReader<'_>, base: &Path) -> Option<Means> {
    let span = map.span();
    let all = ["webhook", "email", "command"].map(|key| (key, map.optional(to, key)));
    let named = all.iter().filter(|(_, entry)| entry.is_some()).count();
    if named != 1 {
        to.error(
            "conflicting-keys",
            span,
            "a target has one of `webhook`, `email` and `command`",
        )
        .help = Some("who is to be told in two ways is two targets".to_owned());
        return None;
    }
    let [(_, by_webhook), (_, by_mail), (_, by_command)] = all;
    if let Some(entry) = by_webhook {
        return webhook(to, &entry.value, base).map(Means::Webhook);
    }
    if let Some(entry) = by_mail {
        return email(to, &entry.value, base).map(Means::Email);
    }
    let argv = words::argv(to, "`command`", &by_command?.value)?;
    Some(Means::Command(argv))
}

fn webhook(to: &mut Lowering<'_>, value: &Spanned<Tree>, base: &Path) -> Option<Webhook> {
    let mut map = to.map("`webhook`", value)?;
    let url = map
        .required(to, "url")
        .and_then(|e| url(to, &e.value, base));
    let secret = map
        .optional(to, "secret")
        .map(|e| reference(to, "`secret`", &e.value, base));
    map.finish(to);
    Some(Webhook {
        url: url?,
        secret: given(secret)?,
    })
}

fn url(to: &mut Lowering<'_>, value: &Spanned<Tree>, base: &Path) -> Option<Url> {
    if matches!(value.value, Tree::Map(_)) {
        return reference(to, "`url`", value, base).map(Url::Kept);
    }
    let text = words::text(to, "`url`", value)?;
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| text.value.strip_prefix(scheme));
    if rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(' ')) {
        return Some(Url::Plain(text.value));
    }
    // It is not repeated: a token may be part of it.
    to.error("bad-value", text.span, "this is not the URL of a webhook")
        .help =
        Some("write https://HOST/PATH, or `{ file: FILE }` where it is a secret".to_owned());
    None
}

fn email(to: &mut Lowering<'_>, value: &Spanned<Tree>, base: &Path) -> Option<Email> {
    let mut map = to.map("`email`", value)?;
    let server = map
        .required(to, "server")
        .and_then(|e| words::argument(to, "`server`", &e.value));
    let port = map.optional(to, "port").map(|e| words::port(to, &e.value));
    let tls = map.optional(to, "tls");
    let tls = tls.map(|e| to.one_of("`tls`", &e.value, &MAIL_TLS));
    let user = map.optional(to, "user");
    let named = user.map(|e| words::text(to, "`user`", &e.value));
    let password = map
        .optional(to, "password")
        .map(|e| sql::secret(to, "password", &e.value, base));
    let from = map
        .required(to, "from")
        .and_then(|e| mailbox(to, "`from`", &e.value));
    let readers = map.required(to, "to").and_then(|e| mailboxes(to, &e.value));
    map.finish(to);
    let tls = given(tls)?.map_or(MailTls::Starttls, |tls| tls.value);
    let login = match (given(named)?, given(password)?) {
        (None, None) => None,
        (Some(user), Some(password)) => Some((user.value, password)),
        _ => {
            let message = "`user` and `password` belong together";
            to.error("missing-key", value.span, message);
            return None;
        }
    };
    let server = server?;
    let near = matches!(server.as_str(), "localhost" | "127.0.0.1" | "::1");
    if login.is_some() && tls == MailTls::None && !near {
        let message = format!("without `tls` nobody can log in to {server}");
        to.error("bad-value", value.span, message).help = Some(
            "the password would cross the network for anybody to read: `tls: starttls`, or `tls: tls`"
                .to_owned(),
        );
        return None;
    }
    Some(Email {
        server,
        port: given(port)?.unwrap_or(tls.usual_port()),
        tls,
        login,
        from: from?,
        to: readers?,
    })
}

fn mailboxes(to: &mut Lowering<'_>, value: &Spanned<Tree>) -> Option<Vec<String>> {
    let items = to.list("`to`", value)?;
    if items.is_empty() {
        to.error("empty-value", value.span, "`to` names nobody");
        return None;
    }
    let all: Vec<Option<String>> = items
        .iter()
        .map(|item| mailbox(to, "an item of `to`", item))
        .collect();
    all.into_iter().collect()
}

fn mailbox(to: &mut Lowering<'_>, what: &str, value: &Spanned<Tree>) -> Option<String> {
    let text = words::text(to, what, value)?;
    if text.value.parse::<lettre::message::Mailbox>().is_ok() {
        return Some(text.value);
    }
    let message = format!("`{}` is no address of mail", text.value);
    to.error("bad-value", text.span, message).help =
        Some("write dba@example.org, or `The DBAs <dba@example.org>`".to_owned());
    None
}

/// Where a secret is; the secret itself is refused.
fn reference(
    to: &mut Lowering<'_>,
    what: &str,
    value: &Spanned<Tree>,
    base: &Path,
) -> Option<SecretSource> {
    if matches!(value.value, Tree::Map(_)) {
        return sql::secret_of(to, what, value, base);
    }
    let message = format!("{what} cannot stand in the site file");
    to.error("inline-secret", value.span, message).help = Some(
        "put it into a file that only pgbaton's user can read: `{ file: FILE }`, or take it from the environment: \
         `{ env: NAME }`"
            .to_owned(),
    );
    None
}

fn events(to: &mut Lowering<'_>, value: &Spanned<Tree>) -> Option<Vec<NewsKind>> {
    let items = to.list("`events`", value)?;
    if items.is_empty() {
        to.error("empty-value", value.span, "`events` names none")
            .help = Some("leave it out for all of them".to_owned());
        return None;
    }
    let all: Vec<Option<NewsKind>> = items
        .iter()
        .map(|item| Some(to.one_of("an item of `events`", item, &NEWS)?.value))
        .collect();
    all.into_iter().collect()
}

fn known(to: &mut Lowering<'_>, value: &Spanned<Tree>, clusters: &[&str]) -> Option<Vec<String>> {
    let items = to.list("`clusters`", value)?;
    if items.is_empty() {
        to.error("empty-value", value.span, "`clusters` names none")
            .help = Some("leave it out for all of them".to_owned());
        return None;
    }
    let mut all = Vec::new();
    for item in items {
        let text = words::text(to, "an item of `clusters`", item)?;
        if !clusters.contains(&text.value.as_str()) {
            let message = format!("the site has no cluster `{}`", text.value);
            to.error("unknown-value", text.span, message).help =
                Some(format!("it has: {}", clusters.join(", ")));
            return None;
        }
        all.push(text.value);
    }
    Some(all)
}

fn time(to: &mut Lowering<'_>, value: &Spanned<Tree>) -> Option<Duration> {
    let text = words::text(to, "`timeout`", value)?;
    match parse_duration(&text.value) {
        Some(time) if (SHORTEST..=LONGEST).contains(&time) => Some(time),
        Some(_) => {
            let (least, most) = (format_duration(SHORTEST), format_duration(LONGEST));
            let message = format!("`timeout` must be from {least} to {most}");
            to.error("out-of-range", text.span, message);
            None
        }
        None => {
            to.error("bad-value", text.span, "`timeout` is a time with its unit")
                .help = Some("write it like `500ms` or `10s`".to_owned());
            None
        }
    }
}
