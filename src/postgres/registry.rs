//! What repmgr keeps about a cluster, read from any of its nodes with a connection string. Only asks.

use super::conninfo::{Conninfo, ConninfoError};
use super::fault::Fault;
use super::login::{Login, SessionKind};
use super::passfile;
use super::pool::{CONNECT, REPLY};
use super::session::Session;
use super::tls;
use crate::cluster::{Product, SecretSource, SqlAccess, SslMode, Trouble, TroubleKind};
use std::path::PathBuf;

/// The environment variables that libpq would look at, too.
const PASSWORD: &str = "PGPASSWORD";
const USERS: [&str; 3] = ["PGUSER", "USER", "LOGNAME"];

/// A connection string of repmgr's. Its passwords stay in here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Door {
    info: Conninfo,
}

impl Door {
    /// Reads it. The error says nothing of its contents.
    pub(crate) fn parse(text: &str) -> Result<Self, ConninfoError> {
        let info = Conninfo::parse(text)?;
        info.target(5432)?;
        Ok(Self { info })
    }

    /// The same with this passfile, where it names none.
    pub(crate) fn or_passfile(mut self, file: Option<&str>) -> Self {
        if let (None, Some(file)) = (self.info.get("passfile"), file) {
            self.info.push("passfile", file);
        }
        self
    }

    /// A parameter that is no secret.
    pub(crate) fn plain(&self, keyword: &str) -> Option<&str> {
        (!Conninfo::is_secret(keyword))
            .then(|| self.info.get(keyword))
            .flatten()
    }

    /// All parameters that are no secrets, and their values.
    pub(crate) fn plain_pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.info
            .keywords()
            .filter_map(|keyword| Some((keyword, self.plain(keyword)?)))
    }

    /// Whether a password stands in it.
    pub(crate) fn has_password(&self) -> bool {
        self.info.get("password").is_some()
    }

    /// Its servers, in the order in which they are tried. None where it names none: the socket's place is libpq's secret.
    pub(crate) fn servers(&self) -> Vec<(String, u16)> {
        let hosts = self.info.get("host").or_else(|| self.info.get("hostaddr"));
        let ports: Vec<&str> = self.info.get("port").unwrap_or("5432").split(',').collect();
        let port_of = |index: usize| {
            let text = ports.get(index).or(ports.first()).copied();
            text.and_then(|text| text.trim().parse().ok())
                .unwrap_or(5432)
        };
        let hosts = hosts.unwrap_or_default().split(',').map(str::trim);
        hosts
            .enumerate()
            .filter(|(_, host)| !host.is_empty())
            .map(|(index, host)| (host.to_owned(), port_of(index)))
            .collect()
    }

    /// How it logs in, less a password that stands in it.
    pub(crate) fn access(&self) -> Result<SqlAccess, Trouble> {
        let user = self.info.get("user").map(str::to_owned);
        let user = user.or_else(|| USERS.iter().find_map(|name| std::env::var(name).ok()));
        let user = user.ok_or_else(|| {
            Trouble::here(
                TroubleKind::Failed,
                "the connection string names no user, and the environment does not either",
            )
        })?;
        Ok(SqlAccess {
            dbname: self.info.get("dbname").unwrap_or(&user).to_owned(),
            passfile: self.info.get("passfile").map(PathBuf::from),
            password: (self.info.get("passfile").is_none() && std::env::var_os(PASSWORD).is_some())
                .then(|| SecretSource::Env(PASSWORD.to_owned())),
            sslmode: match self.info.get("sslmode") {
                Some("disable") => SslMode::Disable,
                Some("require") => SslMode::Require,
                Some("verify-ca") => SslMode::VerifyCa,
                Some("verify-full") => SslMode::VerifyFull,
                // `allow` begins without TLS; a server that accepts both gets it with TLS here.
                _ => SslMode::Prefer,
            },
            sslrootcert: self.info.get("sslrootcert").map(PathBuf::from),
            user,
        })
    }

    /// A session on the first of its servers that gives one. What it lacks to log in is taken from `other`.
    async fn open(&self, other: &Self) -> Result<Session, Trouble> {
        let servers = self.servers();
        let mut last = Trouble::here(
            TroubleKind::Failed,
            "the connection string names no host: say `host=…`, which may be the directory of a socket",
        );
        for (host, port) in servers {
            match self.login(other, &host, port).await {
                Ok(login) => match login.open_sql(CONNECT).await {
                    Ok(session) => return Ok(session),
                    Err(fault) => last = fault.about("no session"),
                },
                Err(trouble) => last = trouble,
            }
        }
        Err(last)
    }

    async fn login(&self, other: &Self, host: &str, port: u16) -> Result<Login, Trouble> {
        let mut access = self.access()?;
        let same_user = other.access().is_ok_and(|other| other.user == access.user);
        if access.passfile.is_none() {
            access.passfile = other.info.get("passfile").map(PathBuf::from);
        }
        let own = self.info.secret("password");
        let lent = other.info.secret("password").filter(|_| same_user);
        let password = match own.or(lent) {
            Some(password) => Some(password.clone()),
            None => passfile::password(&access, host, port, &access.dbname).await?,
        };
        let tls = tls::prepare(&access).map_err(|why| Trouble::here(TroubleKind::Denied, why))?;
        Ok(Login {
            host: host.to_owned(),
            port,
            user: access.user,
            password,
            tls,
            kind: SessionKind::Own(access.dbname),
        })
    }
}

/// One row of `repmgr.nodes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Registered {
    pub(crate) id: u32,
    pub(crate) name: String,
    /// `primary`, `standby` or `witness`.
    pub(crate) kind: String,
    /// None where it cannot be read.
    pub(crate) door: Option<Door>,
    pub(crate) priority: i64,
    pub(crate) location: String,
    pub(crate) active: bool,
    pub(crate) upstream: Option<u32>,
    pub(crate) slot: Option<String>,
    /// Who standbys log in as.
    pub(crate) repluser: String,
    pub(crate) config_file: Option<String>,
}

/// The whole table, and what keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Registry {
    pub(crate) product: Product,
    pub(crate) nodes: Vec<Registered>,
}

/// What one server says of itself; what its user may not ask is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) in_recovery: bool,
    pub(crate) version: u32,
    pub(crate) data: Option<String>,
    pub(crate) bin: Option<String>,
    pub(crate) synchronous: Option<String>,
}

const NODES: &str = "SELECT node_id, node_name, type, conninfo, priority, location, active::int, upstream_node_id, \
    slot_name, repluser, config_file FROM repmgr.nodes ORDER BY node_id";

/// Reads the table of nodes.
pub(crate) async fn registry(door: &Door) -> Result<Registry, Trouble> {
    let mut session = door.open(door).await?;
    let version = one(&mut session, "SELECT version()")
        .await
        .map_err(|fault| fault.about("the server does not tell its version"))?;
    let answers = session
        .simple(NODES, REPLY)
        .await
        .map_err(|fault| no_table(&fault))?;
    let rows = answers.first().map_or(&[][..], |a| a.rows.as_slice());
    Ok(Registry {
        product: match version {
            Some(text) if text.starts_with("Kingbase") => Product::Kingbase,
            _ => Product::Postgresql,
        },
        nodes: rows.iter().filter_map(|row| registered(row)).collect(),
    })
}

/// The table is missing in most cases because it is in another database.
fn no_table(fault: &Fault) -> Trouble {
    let missing = matches!(fault.code(), Some("42P01" | "3F000"));
    let trouble = fault.about("repmgr's table of nodes, `repmgr.nodes`, cannot be read");
    if missing {
        trouble.with_help(
            "name the database that repmgr keeps it in: `dbname=repmgr`, for KingbaseES `dbname=esrep`",
        )
    } else {
        trouble
    }
}

fn registered(row: &[Option<String>]) -> Option<Registered> {
    let text = |index: usize| row.get(index).and_then(Option::as_deref);
    let number = |index: usize| text(index).and_then(|t| t.parse().ok());
    Some(Registered {
        id: number(0)?,
        name: text(1)?.to_owned(),
        kind: text(2)?.to_owned(),
        door: Door::parse(text(3)?).ok(),
        priority: text(4).and_then(|t| t.parse().ok()).unwrap_or(100),
        location: text(5).unwrap_or("default").to_owned(),
        active: text(6) == Some("1"),
        upstream: number(7),
        slot: text(8).filter(|t| !t.is_empty()).map(str::to_owned),
        repluser: text(9).unwrap_or_default().to_owned(),
        config_file: text(10).filter(|t| !t.is_empty()).map(str::to_owned),
    })
}

/// Asks a node that the table names. What its own connection string lacks to log in is taken from `entry`.
pub(crate) async fn seen(node: &Door, entry: &Door, product: Product) -> Result<Seen, Trouble> {
    let mut session = node.open(entry).await?;
    if product == Product::Kingbase {
        let learned = session.learn(REPLY).await;
        learned
            .map_err(|fault| fault.about("the server does not tell how it names its functions"))?;
    }
    let session = &mut session;
    let untold = |fault: Fault| fault.about("the server does not tell what it is");
    let in_recovery = one(session, "SELECT pg_is_in_recovery()::int")
        .await
        .map_err(untold)?;
    let version = one(session, "SELECT current_setting('server_version_num')")
        .await
        .map_err(untold)?;
    let mut may = async |question| one(session, question).await.ok().flatten();
    Ok(Seen {
        in_recovery: in_recovery.as_deref() == Some("1"),
        version: version.and_then(|v| v.parse().ok()).unwrap_or(0),
        data: may("SELECT current_setting('data_directory')").await,
        bin: may("SELECT setting FROM pg_config WHERE name = 'BINDIR'").await,
        synchronous: may("SELECT current_setting('synchronous_standby_names')").await,
    })
}

/// The first column of the first row.
async fn one(session: &mut Session, question: &str) -> Result<Option<String>, Fault> {
    let answers = session.simple(question, REPLY).await?;
    let row = answers.first().and_then(|a| a.rows.first());
    Ok(row.and_then(|row| row.first().cloned().flatten()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_has_its_port_and_no_host_is_no_server() {
        for (text, servers) in [
            ("host=a user=u", vec![("a", 5432)]),
            ("host=a,b port=1,2", vec![("a", 1), ("b", 2)]),
            ("host=a,b port=7", vec![("a", 7), ("b", 7)]),
            ("hostaddr=10.0.0.1", vec![("10.0.0.1", 5432)]),
            ("user=u", vec![]),
        ] {
            let servers: Vec<(String, u16)> = servers
                .into_iter()
                .map(|(h, p)| (h.to_owned(), p))
                .collect();
            assert_eq!(Door::parse(text).unwrap().servers(), servers, "{text}");
        }
    }

    #[test]
    fn a_password_does_not_get_out() {
        let door =
            Door::parse("host=h user=u password=hunter2 sslpassword=hunter2 connect_timeout=3");
        let door = door.unwrap();
        assert!(door.has_password());
        assert_eq!(door.plain("password"), None);
        let shown: Vec<(&str, &str)> = door.plain_pairs().collect();
        assert_eq!(
            shown,
            [("host", "h"), ("user", "u"), ("connect_timeout", "3")]
        );
        assert!(!format!("{door:?}").contains("hunter2"));
    }
}
