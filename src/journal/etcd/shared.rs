//! What all parts of a store share.

use super::gateway::{Gateway, Trouble};
use super::keys::Keys;
use super::page::Page;
use super::rows::{self, StoreRow, VERSION, unique};
use super::wire::{Compare, Op, Txn};
use crate::engine::RunId;
use crate::journal::JournalError;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A store as its own parts see it.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) gateway: Arc<Gateway>,
    pub(super) keys: Keys,
    /// Tells what this store object writes from what others do.
    pub(super) writer: String,
    /// How long leases last, in seconds.
    pub(super) ttl: i64,
    /// Leases are taken and given back one after the other, in the order in which it was asked.
    pub(super) turn: tokio::sync::Mutex<()>,
    name: Mutex<Option<String>>,
    held: Mutex<HashMap<RunId, Holding>>,
    pages: Mutex<HashMap<RunId, Arc<tokio::sync::Mutex<Page>>>>,
}

/// A lease that a run of this store holds, as it stands in etcd.
#[derive(Debug, Clone)]
pub(super) struct Holding {
    pub(super) cluster: String,
    pub(super) token: u64,
    /// The value of the holder's key.
    pub(super) value: Vec<u8>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in here can be left half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(
        endpoints: Vec<String>,
        prefix: Option<String>,
        ttl: Duration,
    ) -> Result<Self, JournalError> {
        let seconds = i64::try_from(ttl.as_millis().div_ceil(1000)).unwrap_or(i64::MAX);
        Ok(Self {
            gateway: Arc::new(Gateway::new(endpoints)?),
            keys: Keys::below(prefix),
            writer: unique(),
            ttl: seconds.max(1),
            turn: tokio::sync::Mutex::default(),
            name: Mutex::default(),
            held: Mutex::default(),
            pages: Mutex::default(),
        })
    }

    pub(super) fn place(&self) -> String {
        format!("etcd {} {}", self.gateway.shown(), self.keys.prefix())
    }

    pub(super) fn name(&self) -> Option<String> {
        lock(&self.name).clone()
    }

    /// Names the store if nobody has, and refuses one of another version. Asked before every lease: what was emptied
    /// meanwhile is another store.
    pub(super) async fn identify(&self) -> Result<(), String> {
        let key = self.keys.store();
        let mut row = StoreRow {
            v: VERSION,
            name: unique(),
        };
        let name_it = Txn {
            compare: vec![Compare::is_absent(&key)],
            success: vec![Op::put(&key, &rows::write(&row)?)],
            failure: vec![Op::get(&key)],
        };
        let answer = self.gateway.txn(&name_it).await.map_err(Trouble::words)?;
        if !answer.succeeded {
            let [there] = answer.found();
            let there = there.one().ok_or("its name cannot be read")?;
            row = rows::read(&there.value.0).map_err(|odd| odd.words("it"))?;
        }
        *lock(&self.name) = Some(row.name);
        Ok(())
    }

    /// The same, once.
    pub(super) async fn identified(&self) -> Result<(), String> {
        if lock(&self.name).is_some() {
            return Ok(());
        }
        self.identify().await
    }

    /// The lease that a run holds on this cluster by this store.
    pub(super) fn held(&self, run: &RunId, cluster: &str) -> Option<Holding> {
        let held = lock(&self.held);
        let holding = held.get(run).filter(|holding| holding.cluster == cluster);
        holding.cloned()
    }

    pub(super) fn holds(&self, run: &RunId, holding: Holding) {
        lock(&self.held).insert(run.clone(), holding);
    }

    pub(super) fn holds_no_more(&self, run: &RunId, token: u64) {
        let mut held = lock(&self.held);
        if held.get(run).is_some_and(|holding| holding.token == token) {
            held.remove(run);
        }
    }

    /// Where a run is written. Whoever has locked it writes alone.
    pub(super) fn page(&self, run: &RunId) -> Arc<tokio::sync::Mutex<Page>> {
        Arc::clone(lock(&self.pages).entry(run.clone()).or_default())
    }

    /// The run has ended.
    pub(super) fn turn_page(&self, run: &RunId) {
        lock(&self.pages).remove(run);
    }
}
