//! Sessions that are kept open, so that a failover does not begin with logging in everywhere.

use super::fault::Fault;
use super::login::{Login, SessionKind};
use super::passfile;
use super::session::Session;
use super::tls::{self, Tls};
use super::wire::{Answer, Connection};
use crate::cluster::{Inventory, Knock, Node, NodeName, Product, Trouble, TroubleKind};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A session that is not open by then is given up.
pub(crate) const CONNECT: Duration = Duration::from_secs(3);
/// An answer that is not there by then is given up. A little more than the server's own limit, so that a server that
/// lives tells why.
pub(crate) const REPLY: Duration = Duration::from_secs(6);
/// How long a question waits for a session that is at work before it opens one of its own. A session takes the server
/// several milliseconds to open and answers its first question slowly, most answers are there sooner; a session that
/// hangs holds up nobody for longer than this.
const PATIENCE: Duration = Duration::from_millis(200);

/// Which of the two warm kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Warm {
    Sql,
    Replication,
}

impl Warm {
    /// How many sessions of this kind work on a node at once, and are kept when they are idle.
    fn most(self) -> usize {
        match self {
            Self::Sql => 2,
            Self::Replication => 1,
        }
    }
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

    async fn question(&mut self, question: &str) -> Result<Vec<Answer>, Fault> {
        match self {
            Self::Sql(session) => session.question(question, REPLY).await,
            // The replication protocol has no plans.
            Self::Replication(session) => session.simple(question, REPLY).await,
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
    /// Who may work with one of the kept sessions.
    turns: Mutex<BTreeMap<(NodeName, Warm), Arc<Semaphore>>>,
}

impl Pool {
    pub(crate) fn new(inventory: Arc<Inventory>) -> Self {
        Self {
            inventory,
            tls: OnceLock::new(),
            idle: Mutex::new(BTreeMap::new()),
            turns: Mutex::new(BTreeMap::new()),
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

    /// What anybody on this machine meets; see [`Login::knock`].
    pub(crate) async fn knock(&self, node: &Node, within: Duration) -> Knock {
        let access = &self.inventory.sql;
        let login = Login {
            host: node.host.clone(),
            port: node.port,
            user: access.user.clone(),
            password: None,
            tls: None,
            kind: SessionKind::Site(access.dbname.clone()),
        };
        login.knock(within).await
    }

    /// Whether a server lets this user replicate without a password, to whoever comes from this machine.
    pub(crate) async fn lets_replicate(&self, node: &Node, user: &str) -> bool {
        let login = Login {
            host: node.host.clone(),
            port: node.port,
            user: user.to_owned(),
            password: None,
            tls: None,
            kind: SessionKind::Replication,
        };
        login.open(CONNECT).await.is_ok()
    }

    async fn open_warm(&self, node: &NodeName, warm: Warm) -> Result<Open, Error> {
        let kind = match warm {
            Warm::Sql => SessionKind::Own(self.inventory.sql.dbname.clone()),
            Warm::Replication => SessionKind::Replication,
        };
        let login = self.login(node, kind).await?;
        let opened = match warm {
            Warm::Sql => self.open_own(&login).await.map(Open::Sql),
            Warm::Replication => login.open(CONNECT).await.map(Open::Replication),
        };
        opened.map_err(Error::Fault)
    }

    async fn open_own(&self, login: &Login) -> Result<Session, Fault> {
        let mut session = login.open_sql(CONNECT).await?;
        if self.inventory.product != Product::Postgresql {
            session.learn(REPLY).await?;
        }
        Ok(session)
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
        if sessions.len() < warm.most() {
            sessions.push(session);
        }
    }

    /// Waits for a turn with one of the kept sessions, but not for long: whoever gets none opens a session of its own.
    async fn turn(&self, node: &NodeName, warm: Warm) -> Option<OwnedSemaphorePermit> {
        let turns = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Semaphore::new(warm.most()));
            Arc::clone(turns.entry((node.clone(), warm)).or_insert_with(new))
        };
        let turn = tokio::time::timeout(PATIENCE, turns.acquire_owned());
        turn.await.ok()?.ok()
    }

    /// Opens the sessions of this kind that are kept, and asks each of them these questions once: what a server has to
    /// look up for a question, it has to look up in every session.
    pub(crate) async fn warm(
        &self,
        node: &NodeName,
        warm: Warm,
        questions: &[fn(u32) -> String],
    ) -> Result<(), Error> {
        let mut sessions = Vec::new();
        for _ in 0..warm.most() {
            let mut session = match self.idle(node, warm).await {
                Some(session) => session,
                None => self.open_warm(node, warm).await?,
            };
            for question in questions {
                let text = question(session.major());
                session.question(&text).await.map_err(Error::Fault)?;
            }
            sessions.push(session);
        }
        for session in sessions {
            self.keep(node, warm, session);
        }
        Ok(())
    }

    /// Asks a question. A session that broke while it was idle is replaced once.
    pub(crate) async fn ask(
        &self,
        node: &NodeName,
        warm: Warm,
        question: impl Fn(u32) -> String + Send,
    ) -> Result<Vec<Answer>, Error> {
        let _turn = self.turn(node, warm).await;
        if let Some(mut session) = self.idle(node, warm).await {
            let answered = session.question(&question(session.major())).await;
            match self.back(node, warm, session, answered) {
                Err(Error::Fault(fault)) if fault.ends_the_session() || fault.is_unsent() => {}
                other => return other,
            }
        }
        let mut session = self.open_warm(node, warm).await?;
        let answered = session.question(&question(session.major())).await;
        self.back(node, warm, session, answered)
    }

    /// Sends an effect, once.
    pub(crate) async fn tell(
        &self,
        node: &NodeName,
        statements: &str,
    ) -> Result<Vec<Answer>, Error> {
        let _turn = self.turn(node, Warm::Sql).await;
        if let Some(mut session) = self.idle(node, Warm::Sql).await {
            let told = session.simple(statements).await;
            match self.back(node, Warm::Sql, session, told) {
                Err(Error::Fault(fault)) if fault.is_unsent() => {}
                other => return other,
            }
        }
        let mut session = self.open_warm(node, Warm::Sql).await?;
        let told = session.simple(statements).await;
        self.back(node, Warm::Sql, session, told)
    }

    /// Keeps a session that is still good after what came of it.
    fn back(
        &self,
        node: &NodeName,
        warm: Warm,
        session: Open,
        result: Result<Vec<Answer>, Fault>,
    ) -> Result<Vec<Answer>, Error> {
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
