//! Where passwords come from.

use super::secret::Secret;
use crate::cluster::{SecretSource, SqlAccess, Trouble, TroubleKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The password for a login, from the inventory's source, else from the passfile it names, else from `~/.pgpass`.
/// None when there is none: the server may not ask for one.
pub(crate) async fn password(
    access: &SqlAccess,
    host: &str,
    port: u16,
    dbname: &str,
) -> Result<Option<Secret>, Trouble> {
    if let Some(source) = &access.password {
        return from_source(source).await.map(Some);
    }
    let (path, named) = match &access.passfile {
        Some(path) => (path.clone(), true),
        None => match std::env::var_os("HOME") {
            Some(home) => (PathBuf::from(home).join(".pgpass"), false),
            None => return Ok(None),
        },
    };
    let text = match read_private(&path).await {
        Ok(text) => text,
        Err(_) if !named => return Ok(None),
        Err(why) => {
            return Err(Trouble::here(
                TroubleKind::Denied,
                format!("the passfile {} cannot be used: {why}", path.display()),
            ));
        }
    };
    Ok(lookup(&text, host, port, dbname, &access.user))
}

/// Looks a secret up.
pub(crate) async fn from_source(source: &SecretSource) -> Result<Secret, Trouble> {
    let denied = |message| Trouble::here(TroubleKind::Denied, message);
    match source {
        SecretSource::File(path) => {
            let text = tokio::fs::read_to_string(path).await.map_err(|error| {
                denied(format!(
                    "the file {}, which is to hold a secret, cannot be read: {error}",
                    path.display()
                ))
            })?;
            let line = text.strip_suffix('\n').unwrap_or(&text);
            Ok(Secret::new(line.strip_suffix('\r').unwrap_or(line)))
        }
        SecretSource::Env(name) => std::env::var(name).map(Secret::new).map_err(|_| {
            denied(format!(
                "the environment variable {name}, which is to hold a secret, is not set"
            ))
        }),
    }
}

/// Reads a file that nobody else may read, as libpq demands.
async fn read_private(path: &Path) -> Result<String, String> {
    let told = |error: std::io::Error| error.to_string();
    let metadata = tokio::fs::metadata(path).await.map_err(told)?;
    if !metadata.is_file() {
        return Err("it is not a file".to_owned());
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err("group or others have access to it; its mode must be 0600".to_owned());
    }
    tokio::fs::read_to_string(path).await.map_err(told)
}

/// The first line that fits: `host:port:database:user:password`, `*` for any, `\` before `:` and `\`.
fn lookup(text: &str, host: &str, port: u16, dbname: &str, user: &str) -> Option<Secret> {
    // libpq looks up a Unix socket as `localhost`, too.
    let hosts: &[&str] = if host.starts_with('/') {
        &[host, "localhost"]
    } else {
        &[host]
    };
    let port = port.to_string();
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| {
            let fields = fields(line)?;
            let fits = |field: &str, value: &str| field == "*" || field == value;
            let matched = hosts.iter().any(|h| fits(&fields[0], h))
                && fits(&fields[1], &port)
                && fits(&fields[2], dbname)
                && fits(&fields[3], user);
            matched.then(|| Secret::new(fields[4].clone()))
        })
}

fn fields(line: &str) -> Option<[String; 5]> {
    let mut fields: [String; 5] = Default::default();
    let mut index = 0;
    let mut chars = line.trim_end_matches('\r').chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => fields[index].push(chars.next().unwrap_or('\\')),
            ':' if index < 4 => index += 1,
            c => fields[index].push(c),
        }
    }
    (index == 4).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_counts() {
        let text = "# a comment\nbroken line\ndb1:5432:*:u:one\n*:*:replication:u:repl\n*:*:*:u:an\\:y\\\\\n*:*:*:*:last";
        for (host, port, dbname, user, expected) in [
            ("db1", 5432, "x", "u", "one"),
            ("db1", 5433, "replication", "u", "repl"),
            ("db2", 5432, "x", "u", r"an:y\"),
            ("db2", 5432, "x", "v", "last"),
            ("/tmp", 1, "replication", "u", "repl"),
        ] {
            let found = lookup(text, host, port, dbname, user).unwrap();
            assert_eq!(found.reveal(), expected);
        }
        assert!(lookup("db1:1:*:u:p", "db2", 1, "x", "u").is_none());
        assert!(lookup("localhost:1:*:u:p", "/run", 1, "x", "u").is_some());
    }

    #[tokio::test]
    async fn a_passfile_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pass");
        std::fs::write(&path, "*:*:*:*:hunter2").unwrap();
        let mut access = SqlAccess {
            user: "u".into(),
            dbname: "d".into(),
            passfile: Some(path.clone()),
            password: None,
            sslmode: crate::cluster::SslMode::Disable,
            sslrootcert: None,
        };
        for (mode, good) in [(0o644, false), (0o600, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let found = password(&access, "h", 1, "d").await;
            assert_eq!(found.is_ok(), good, "{found:?}");
        }
        access.password = Some(SecretSource::File(dir.path().join("absent")));
        let error = password(&access, "h", 1, "d").await.unwrap_err();
        assert_eq!(error.kind, TroubleKind::Denied);
    }
}
