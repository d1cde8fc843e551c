//! `sql`: how pgbaton logs in.

use super::words;
use crate::cluster::{Product, SecretSource, SqlAccess, SslMode};
use crate::document::{Entry, Lowering, Span, Spanned, Tree};
use std::path::Path;

/// The words of `sslmode`.
pub(super) const SSL_MODES: [(&str, SslMode); 5] = [
    ("disable", SslMode::Disable),
    ("prefer", SslMode::Prefer),
    ("require", SslMode::Require),
    ("verify-ca", SslMode::VerifyCa),
    ("verify-full", SslMode::VerifyFull),
];

/// How to log in, and the port where it is given here. `cluster` is shown where `sql` is missing.
pub(super) fn lower(
    to: &mut Lowering<'_>,
    entry: Option<&Entry>,
    cluster: Span,
    product: Product,
    base: &Path,
) -> Option<(SqlAccess, Option<u16>)> {
    let Some(entry) = entry else {
        let d = to.error("missing-key", cluster, "a cluster needs `sql`");
        "`sql` is missing".clone_into(&mut d.label);
        d.help = Some("say at least as whom to log in: `sql: { user: NAME }`".to_owned());
        return None;
    };
    let mut map = to.map("`sql`", &entry.value)?;
    let user = map
        .required(to, "user")
        .and_then(|e| words::text(to, "`user`", &e.value));
    let dbname = map
        .optional(to, "dbname")
        .and_then(|e| words::text(to, "`dbname`", &e.value));
    let port = map
        .optional(to, "port")
        .and_then(|e| words::port(to, &e.value));
    let passfile = map.optional(to, "passfile");
    let password = map.peek("password");
    if let (Some(file), Some(word)) = (passfile, password) {
        let d = to.error(
            "conflicting-keys",
            word.key.span,
            "`password` and `passfile` exclude each other",
        );
        d.related.push(crate::document::Label {
            span: file.key.span,
            text: "given here".to_owned(),
        });
    }
    let passfile = passfile.and_then(|e| words::local_path(to, "`passfile`", &e.value, base));
    let password = password.and_then(|e| secret(to, "password", &e.value, base));
    let sslmode = map
        .optional(to, "sslmode")
        .and_then(|e| to.one_of("`sslmode`", &e.value, &SSL_MODES));
    let sslrootcert = map
        .optional(to, "sslrootcert")
        .and_then(|e| words::local_path(to, "`sslrootcert`", &e.value, base));
    if let Some(mode) = &sslmode
        && matches!(mode.value, SslMode::VerifyCa | SslMode::VerifyFull)
        && sslrootcert.is_none()
        && map.peek("sslrootcert").is_none()
    {
        to.error(
            "missing-key",
            mode.span,
            "a certificate can be verified only against `sslrootcert`",
        );
    }
    map.finish(to);
    let access = SqlAccess {
        user: user?.value,
        dbname: dbname.map_or_else(|| default_database(product).to_owned(), |d| d.value),
        passfile,
        password,
        sslmode: sslmode.map_or(SslMode::Prefer, |mode| mode.value),
        sslrootcert,
    };
    Some((access, port))
}

/// The database that every server of the product has from the beginning.
pub(super) fn default_database(product: Product) -> &'static str {
    match product {
        Product::Postgresql => "postgres",
        Product::Kingbase => "test",
    }
}

/// A reference to a secret; the secret itself is refused.
pub(super) fn secret(
    to: &mut Lowering<'_>,
    key: &str,
    value: &Spanned<Tree>,
    base: &Path,
) -> Option<SecretSource> {
    if !matches!(value.value, Tree::Map(_)) {
        if key == "password" {
            inline_secret(to, value.span);
        } else {
            let message = "a secret cannot stand in the site file";
            to.error("inline-secret", value.span, message).help = Some(format!(
                "put it into a file that only pgbaton's user can read: `{key}: {{ file: FILE }}`, or take it from the \
                 environment: `{key}: {{ env: NAME }}`"
            ));
        }
        return None;
    }
    let mut map = to.map(format!("`{key}`"), value)?;
    let file = map
        .optional(to, "file")
        .and_then(|e| words::local_path(to, "`file`", &e.value, base));
    let env = map
        .optional(to, "env")
        .and_then(|e| words::text(to, "`env`", &e.value));
    let given = [map.peek("file"), map.peek("env")];
    if given.iter().flatten().count() != 1 {
        to.error(
            "conflicting-keys",
            value.span,
            format!("`{key}` needs either `file` or `env`"),
        );
        map.finish(to);
        return None;
    }
    map.finish(to);
    file.map(SecretSource::File)
        .or(env.map(|name| SecretSource::Env(name.value)))
}

/// Refuses a password in the file.
pub(super) fn inline_secret(to: &mut Lowering<'_>, span: Span) {
    to.error(
        "inline-secret",
        span,
        "a password cannot stand in the site file",
    )
    .help = Some(
        "put it into a file that only pgbaton's user can read: `passfile: FILE` (as ~/.pgpass), \
         `password: { file: FILE }`, or take it from the environment: `password: { env: NAME }`"
            .to_owned(),
    );
}
