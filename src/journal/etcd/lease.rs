//! Leases: who may change a cluster, and under which token.

use super::super::belief::{Belief, Term, now_ms};
use super::answer::Kv;
use super::gateway::{Gateway, Trouble};
use super::rows::{self, HolderRow, TokenRow, VERSION};
use super::shared::{Holding, Shared};
use super::wire::{Compare, Op, Txn};
use super::worker::Worker;
use crate::engine::{Held, RunId};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How often others may be first before it is given up.
const TRIES: usize = 10;

/// A lease of etcd, on which keys hang. It is kept alive until this is dropped; then it runs out, unless it is ended.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) id: i64,
    belief: Belief,
    _keeper: DropGuard,
}

impl Kept {
    pub(super) async fn new(shared: &Shared) -> Result<Self, Trouble> {
        // Its time began somewhere between here and the answer.
        let sent = now_ms();
        let granted = shared.gateway.grant(shared.ttl).await?;
        let term = Term::new(seconds(granted.ttl));
        let belief = Belief::until(sent + term.ttl_ms(), term);
        let over = CancellationToken::new();
        let keeper = Keeper {
            gateway: Arc::clone(&shared.gateway),
            id: granted.id,
            term,
            belief: belief.clone(),
        };
        tokio::spawn(keeper.keep(over.clone()));
        Ok(Self {
            id: granted.id,
            belief,
            _keeper: over.drop_guard(),
        })
    }

    /// A comparison of clocks: it asks nobody.
    pub(super) fn is_valid(&self) -> bool {
        self.belief.holds()
    }

    /// Ends it at once, with the keys that hang on it.
    async fn end(self, shared: &Shared) {
        if let Err(trouble) = shared.gateway.revoke(self.id).await {
            let why = trouble.words();
            tracing::warn!(
                lease = self.id,
                why,
                "the lease was not given back; it runs out"
            );
        }
    }
}

fn seconds(count: i64) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or(0))
}

struct Keeper {
    gateway: Arc<Gateway>,
    id: i64,
    term: Term,
    belief: Belief,
}

impl Keeper {
    /// Until it is told to end, or there is nothing to keep.
    async fn keep(self, over: CancellationToken) {
        let ms = |ms: i64| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
        let mut pause = self.term.renewal_ms();
        loop {
            let renewed = async {
                tokio::time::sleep(ms(pause)).await;
                let sent = now_ms();
                let within = ms(self.term.renewal_ms());
                (sent, self.gateway.keep(self.id, within).await)
            };
            let (sent, renewed) = tokio::select! {
                () = over.cancelled() => return,
                renewed = renewed => renewed,
            };
            pause = match renewed {
                Ok(Some(ttl)) => {
                    let ttl_ms = ttl.saturating_mul(1000);
                    self.belief.renew(sent + ttl_ms, self.term);
                    self.term.renewal_ms() - (now_ms() - sent)
                }
                Ok(None) => {
                    tracing::warn!(lease = self.id, "the lease is lost");
                    self.belief.end();
                    return;
                }
                Err(trouble) => {
                    let why = trouble.words();
                    tracing::warn!(lease = self.id, why, "the lease was not renewed");
                    self.term.again_ms()
                }
            };
        }
    }
}

/// What became of a wish for a lease: it is taken, or this run has it.
pub(super) enum Taken<T> {
    Held(T),
    Busy(String),
}

/// A cluster's lease in somebody's hands.
#[derive(Debug)]
pub(super) struct Grant {
    run: RunId,
    token: u64,
    kept: Kept,
}

impl Grant {
    /// Gives it back: the holder's key goes with the lease of etcd. What cannot be said now happens at its end.
    pub(super) async fn give_back(self, shared: &Shared) {
        self.kept.belief.end();
        shared.holds_no_more(&self.run, self.token);
        self.kept.end(shared).await;
    }
}

/// Takes the lease if nobody has it. The holder's key hangs on a lease of etcd, and comes together with the next token.
pub(super) async fn take(
    shared: &Shared,
    cluster: &str,
    run: &RunId,
) -> Result<Taken<Grant>, String> {
    shared.identify().await?;
    let mut kept = None;
    let tried = try_take(shared, cluster, run, &mut kept).await;
    match (tried, kept) {
        (Ok(Taken::Held(holding)), Some(kept)) if kept.is_valid() => {
            let (run, token) = (run.clone(), holding.token);
            shared.holds(&run, holding);
            Ok(Taken::Held(Grant { run, token, kept }))
        }
        (tried, kept) => {
            if let Some(kept) = kept {
                kept.end(shared).await;
            }
            match tried? {
                Taken::Busy(holder) => Ok(Taken::Busy(holder)),
                Taken::Held(_) => Err("taking it took longer than it lasts".to_owned()),
            }
        }
    }
}

async fn try_take(
    shared: &Shared,
    cluster: &str,
    run: &RunId,
    kept: &mut Option<Kept>,
) -> Result<Taken<Holding>, String> {
    let (holder_key, token_key) = (shared.keys.holder(cluster), shared.keys.token(cluster));
    for _ in 0..TRIES {
        let there = [Op::get(&holder_key), Op::get(&token_key)];
        let [holder, token] = shared.gateway.look(there).await.map_err(Trouble::words)?;
        if let Some(holder) = holder.one() {
            return Ok(Taken::Busy(name_of(&holder)?));
        }
        let kept = match kept {
            Some(kept) => kept,
            None => kept.insert(Kept::new(shared).await.map_err(Trouble::words)?),
        };
        let (last, changed_at) = last_token(token.one())?;
        let token = last + 1;
        let value = rows::write(&HolderRow {
            v: VERSION,
            run: run.clone(),
            token,
            lease: kept.id,
        })?;
        let next = rows::write(&TokenRow {
            v: VERSION,
            last: token,
        })?;
        let wish = Txn {
            compare: vec![
                Compare::is_absent(&holder_key),
                Compare::changed_at(&token_key, changed_at),
            ],
            success: vec![
                Op::put(&token_key, &next),
                Op::put_leased(&holder_key, &value, kept.id),
            ],
            failure: vec![Op::get(&holder_key)],
        };
        let answer = shared.gateway.txn(&wish).await.map_err(Trouble::words)?;
        let is_taken = answer.succeeded;
        let [there] = answer.found();
        // A try whose answer was lost may have taken it.
        if is_taken || there.one().is_some_and(|holder| holder.value.0 == value) {
            return Ok(Taken::Held(Holding {
                cluster: cluster.to_owned(),
                token,
                value,
            }));
        }
    }
    Err("others take it and give it back all the time".to_owned())
}

fn name_of(holder: &Kv) -> Result<String, String> {
    let row: HolderRow = rows::read(&holder.value.0).map_err(|odd| odd.words("its holder"))?;
    Ok(row.run.to_string())
}

/// The last token that was given, and when.
fn last_token(there: Option<Kv>) -> Result<(u64, i64), String> {
    let Some(there) = there else {
        return Ok((0, 0));
    };
    let row: TokenRow = rows::read(&there.value.0).map_err(|odd| odd.words("its last token"))?;
    Ok((row.last, there.mod_revision))
}

/// A lease that is held. It is given back when this is dropped.
pub(super) struct HeldInEtcd {
    grant: Option<Grant>,
    shared: Arc<Shared>,
    worker: Arc<Worker>,
}

impl HeldInEtcd {
    pub(super) fn new(grant: Grant, shared: Arc<Shared>, worker: Arc<Worker>) -> Self {
        Self {
            grant: Some(grant),
            shared,
            worker,
        }
    }

    /// For the thread itself, which must not wait for what it would have to do.
    pub(super) async fn give_back(mut self) {
        if let Some(grant) = self.grant.take() {
            grant.give_back(&self.shared).await;
        }
    }
}

impl Held for HeldInEtcd {
    fn token(&self) -> u64 {
        self.grant.as_ref().map_or(0, |grant| grant.token)
    }

    /// A comparison of clocks: a process that slept past the end of its lease knows before it has asked anybody.
    fn is_valid(&self) -> bool {
        let grant = self.grant.as_ref();
        grant.is_some_and(|grant| grant.kept.is_valid())
    }
}

impl Drop for HeldInEtcd {
    fn drop(&mut self) {
        let Some(grant) = self.grant.take() else {
            return;
        };
        grant.kept.belief.end();
        let shared = Arc::clone(&self.shared);
        self.worker.begins(async move {
            let _turn = shared.turn.lock().await;
            grant.give_back(&shared).await;
        });
    }
}
