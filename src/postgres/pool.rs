//! Sessions that are kept open, so that a failover does not begin with logging in everywhere.

use super::fault::Fault;
use super::login::{Login, SessionKind};
use super::passfile;
use super::session::Session;
use super::tls::{self, Tls};
use super::wire::{Answer, Connection};
use crate::cluster::{Inventory, Node, NodeName, Trouble, TroubleKind};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// A session that is not open by then is given up.
pub(crate) const CONNECT: Duration = Duration::from_secs(3);
/// An answer that is not there by then is given up. A little more than the server's own limit, so that a server that
/// lives tells why.
pub(crate) const REPLY: Duration = Duration::from_secs(6);
/// Idle sessions kept for each node and kind.
const KEEP: usize = 2;

/// Which of the two warm kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Warm {
    Sql,
    Replication,
}

/// An open session of one of the warm kinds.
enum Open {
    Sql(Session),
    Replication(Connection),
}

impl Open {
    async fn is_usable(&mut self) -> bool {
        match self {
            Self::Sql(session) => session.is_usable().await,
            Self::Replication(session) => session.is_usable().await,
        }
    }

    fn is_spent(&self) -> bool {
        match self {
            Self::Sql(session) => session.is_spent(),
            Self::Replication(session) => session.is_spent(),
        }
    }

    fn major(&self) -> u32 {
        match self {
            Self::Sql(session) => session.major(),
            Self::Replication(session) => session.major(),
        }
    }

    async fn simple(&mut self, statements: &str) -> Result<Vec<Answer>, Fault> {
        match self {
            Self::Sql(session) => session.simple(statements, REPLY).await,
            Self::Replication(session) => session.simple(statements, REPLY).await,
        }
    }
}

/// The sessions of a cluster.
pub(crate) struct Pool {
    inventory: Arc<Inventory>,
    tls: OnceLock<Result<Option<Tls>, String>>,
    idle: Mutex<BTreeMap<(NodeName, Warm), Vec<Open>>>,
}

impl Pool {
    pub(crate) fn new(inventory: Arc<Inventory>) -> Self {
        Self {
            inventory,
            tls: OnceLock::new(),
            idle: Mutex::new(BTreeMap::new()),
        }
    }

    /// Opens a new session for statements of ours.
    pub(crate) async fn open(
        &self,
        node: &NodeName,
        kind: SessionKind,
        within: Duration,
    ) -> Result<Session, Error> {
        let login = self.login(node, kind).await?;
        login.open_sql(within).await.map_err(Error::Fault)
    }

    /// Opens a new session for a statement of the site's.
    pub(crate) async fn open_site(
        &self,
        node: &NodeName,
        dbname: &str,
        within: Duration,
    ) -> Result<Connection, Error> {
        let kind = SessionKind::Site(dbname.to_owned());
        let login = self.login(node, kind).await?;
        login.open(within).await.map_err(Error::Fault)
    }

    /// Whether a server answers, to anybody on this machine; see [`Login::answers`].
    pub(crate) async fn answers(&self, node: &Node, within: Duration) -> Option<bool> {
        let access = &self.inventory.sql;
        let login = Login {
            host: node.host.clone(),
            port: node.port,
            user: access.user.clone(),
            password: None,
            tls: None,
            kind: SessionKind::Site(access.dbname.clone()),
        };
        login.answers(within).await
    }

    async fn open_warm(&self, node: &NodeName, warm: Warm) -> Result<Open, Error> {
        let kind = match warm {
            Warm::Sql => SessionKind::Own(self.inventory.sql.dbname.clone()),
            Warm::Replication => SessionKind::Replication,
        };
        let login = self.login(node, kind).await?;
        let opened = match warm {
            Warm::Sql => login.open_sql(CONNECT).await.map(Open::Sql),
            Warm::Replication => login.open(CONNECT).await.map(Open::Replication),
        };
        opened.map_err(Error::Fault)
    }

    async fn login(&self, name: &NodeName, kind: SessionKind) -> Result<Login, Error> {
        let node = self.inventory.node(name).ok_or_else(|| {
            Trouble::on(
                TroubleKind::Failed,
                name,
                "there is no such node in the site file",
            )
        })?;
        let access = &self.inventory.sql;
        let dbname = match &kind {
            SessionKind::Own(dbname) | SessionKind::Site(dbname) => dbname,
            // What libpq looks up for replication.
            SessionKind::Replication => "replication",
        };
        let password = passfile::password(access, &node.host, node.port, dbname)
            .await
            .map_err(|trouble| Trouble {
                node: Some(name.clone()),
                ..trouble
            })?;
        let tls = self
            .tls
            .get_or_init(|| tls::prepare(access))
            .clone()
            .map_err(|why| Trouble::on(TroubleKind::Denied, name, why))?;
        Ok(Login {
            host: node.host.clone(),
            port: node.port,
            user: access.user.clone(),
            password,
            tls,
            kind,
        })
    }

    /// A session that is open and good.
    async fn idle(&self, node: &NodeName, warm: Warm) -> Option<Open> {
        loop {
            let mut session = {
                let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
                idle.get_mut(&(node.clone(), warm))?.pop()?
            };
            if session.is_usable().await {
                return Some(session);
            }
        }
    }

    fn keep(&self, node: &NodeName, warm: Warm, session: Open) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let sessions = idle.entry((node.clone(), warm)).or_default();
        if sessions.len() < KEEP {
            sessions.push(session);
        }
    }

    /// Opens a session of this kind, unless one is open.
    pub(crate) async fn warm(&self, node: &NodeName, warm: Warm) -> Result<(), Error> {
        let session = match self.idle(node, warm).await {
            Some(session) => session,
            None => self.open_warm(node, warm).await?,
        };
        self.keep(node, warm, session);
        Ok(())
    }

    /// Asks a question. A session that broke while it was idle is replaced once.
    pub(crate) async fn ask(
        &self,
        node: &NodeName,
        warm: Warm,
        question: impl Fn(u32) -> String + Send,
    ) -> Result<Vec<Answer>, Error> {
        if let Some(session) = self.idle(node, warm).await {
            match self.exchange(node, warm, session, &question).await {
                Err(Error::Fault(fault)) if fault.ends_the_session() || fault.is_unsent() => {}
                other => return other,
            }
        }
        let session = self.open_warm(node, warm).await?;
        self.exchange(node, warm, session, &question).await
    }

    /// Sends an effect, once.
    pub(crate) async fn tell(
        &self,
        node: &NodeName,
        statements: &str,
    ) -> Result<Vec<Answer>, Error> {
        let statements = &|_| statements.to_owned();
        if let Some(session) = self.idle(node, Warm::Sql).await {
            match self.exchange(node, Warm::Sql, session, statements).await {
                Err(Error::Fault(fault)) if fault.is_unsent() => {}
                other => return other,
            }
        }
        let session = self.open_warm(node, Warm::Sql).await?;
        self.exchange(node, Warm::Sql, session, statements).await
    }

    async fn exchange(
        &self,
        node: &NodeName,
        warm: Warm,
        mut session: Open,
        question: &(impl Fn(u32) -> String + Send),
    ) -> Result<Vec<Answer>, Error> {
        let text = question(session.major());
        let result = session.simple(&text).await;
        if !session.is_spent() {
            self.keep(node, warm, session);
        }
        result.map_err(Error::Fault)
    }
}

/// Why there is no answer: on the way to the server or before it.
#[derive(Debug, Clone)]
pub(crate) enum Error {
    /// Before anything was sent: the site file, a password, a certificate.
    Trouble(Trouble),
    Fault(Fault),
}

impl From<Trouble> for Error {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl Error {
    /// The trouble of a question.
    pub(crate) fn when_asking(self, node: &NodeName, what: &str) -> Trouble {
        match self {
            Self::Trouble(trouble) => trouble,
            Self::Fault(fault) => fault.when_asking(node, what),
        }
    }
}
