//! The thread that owns the connection. SQLite blocks; everybody else sends work here and waits for the answer.

use super::super::belief::{Belief, Term, now_ms};
use super::append::{Refused, Writer, append};
use super::error::{JournalError, is_passing, words};
use super::job::{Announcement, HeldInStore, Job, Taken, Wish};
use super::lease::{Grant, Granted, give_back, renew, take};
use super::messages::{messages, post};
use super::notes::{discard, keep};
use super::open::open_to_write;
use super::process::Process;
use crate::engine::{Durability, RunId};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// How long nobody may have wanted anything before the log is copied into the file.
const IDLE: Duration = Duration::from_millis(500);

/// How much of what waits becomes one transaction at most.
const GROUP: usize = 64;

/// Opens the store in a thread of its own, which ends when all senders are gone; gives its name, too.
pub(super) fn start(path: &Path, term: Term) -> Result<(Sender<Job>, String), JournalError> {
    let failed = |error: std::io::Error| JournalError::Open {
        path: path.to_owned(),
        why: error.to_string(),
    };
    let process = Process::current().map_err(failed)?;
    let connection = open_to_write(path)?;
    let name = connection
        .query_row("SELECT name FROM store", [], |row| row.get(0))
        .map_err(|error| JournalError::of(path, &error))?;
    let (jobs, incoming) = channel();
    let worker = Worker {
        connection,
        process,
        term,
        ours: HashSet::new(),
        broken: HashMap::new(),
        lost: None,
        held: Vec::new(),
        untidy: false,
    };
    std::thread::Builder::new()
        .name("journal".to_owned())
        .spawn(move || worker.work(&incoming))
        .map_err(failed)?;
    Ok((jobs, name))
}

struct Worker {
    connection: Connection,
    process: Process,
    term: Term,
    /// Runs that this process writes and that have not ended.
    ours: HashSet<RunId>,
    /// Runs of which a batch was refused, and why: nothing more is accepted for them.
    broken: HashMap<RunId, String>,
    /// Why nothing at all can be written any more.
    lost: Option<String>,
    held: Vec<Holding>,
    /// Something stands in the log that is not in the file.
    untidy: bool,
}

/// A lease to be renewed.
struct Holding {
    grant: Grant,
    belief: Belief,
    due: i64,
}

impl Worker {
    fn work(mut self, incoming: &Receiver<Job>) {
        loop {
            match incoming.recv_timeout(self.patience()) {
                Ok(first) => {
                    let more = incoming.try_iter().take(GROUP - 1);
                    let (records, others): (Vec<Job>, Vec<Job>) = std::iter::once(first)
                        .chain(more)
                        .partition(|job| matches!(job, Job::Record(..)));
                    // Whoever gives a lease back or takes one has had the answer to what it recorded before.
                    self.record(records);
                    for job in others {
                        self.perform(job);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    if self.untidy && self.ours.is_empty() && self.held.is_empty() {
                        let _ = self.tidy();
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.renew_due();
        }
    }

    /// How long to wait for work before something else is due.
    fn patience(&self) -> Duration {
        let now = now_ms();
        let renewal = self.held.iter().map(|holding| holding.due - now).min();
        let renewal = renewal.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0)));
        renewal.map_or(IDLE, |renewal| renewal.min(IDLE))
    }

    /// All batches that wait, of whatever runs, in one transaction, as durable as the strictest of them asks.
    fn record(&mut self, jobs: Vec<Job>) {
        let mut batches = Vec::new();
        for job in jobs {
            let Job::Record(batch, run, answer) = job else {
                continue;
            };
            match (self.broken.get(&run), batch) {
                (Some(why), _) => {
                    let _ = answer.send(Err(format!("an earlier write failed: {why}")));
                }
                (None, Err(error)) => {
                    self.broken.insert(run, error.to_string());
                    let _ = answer.send(Err(error.to_string()));
                }
                (None, Ok(batch)) => batches.push((batch, answer)),
            }
        }
        if batches.is_empty() {
            return;
        }
        let synced = batches
            .iter()
            .any(|(batch, _)| batch.durability == Durability::Synced);
        let (process, ours) = (self.process.clone(), self.ours.clone());
        let written = self.write(synced, |change| {
            let mut seen = ours;
            let mut refused = HashMap::new();
            let mut results = Vec::new();
            for (batch, _) in &batches {
                let writer = Writer::Runner {
                    process: &process,
                    is_first_batch: !seen.contains(&batch.run),
                };
                let result = match refused.get(&batch.run) {
                    Some(why) => Err(format!("an earlier write failed: {why}")),
                    None => fitting(append(change, batch, &writer))?,
                };
                match &result {
                    Ok(()) => drop(seen.insert(batch.run.clone())),
                    Err(why) => drop(refused.insert(batch.run.clone(), why.clone())),
                }
                results.push(result);
            }
            Ok(results)
        });
        let results = written.unwrap_or_else(|why| vec![Err(why); batches.len()]);
        for ((batch, answer), result) in batches.into_iter().zip(results) {
            match &result {
                Ok(()) if batch.ends() => {
                    self.ours.remove(&batch.run);
                }
                Ok(()) => {
                    self.ours.insert(batch.run);
                }
                Err(why) => {
                    self.ours.remove(&batch.run);
                    self.broken.insert(batch.run, why.clone());
                }
            }
            // Whoever gave up waiting finds what was written in the journal.
            let _ = answer.send(result);
        }
    }

    fn perform(&mut self, job: Job) {
        match job {
            Job::Record(..) => {}
            Job::Import(batch, answer) => {
                let imported = self.write(true, |change| {
                    fitting(append(change, &batch, &Writer::Nobody))
                });
                let _ = answer.send(imported.and_then(|result| result));
            }
            Job::Announce(announcement, answer) => {
                let _ = answer.send(self.write(false, |change| announce(change, &announcement)));
            }
            Job::Take(wish, answer) => {
                if let Err(Ok(Taken::Held(held))) = answer.send(self.take(wish)) {
                    // Before whoever asks next, who may wait already.
                    self.give_back(held.grant());
                    held.drop_at_once();
                }
            }
            Job::GiveBack(grant, done) => {
                self.give_back(&grant);
                let _ = done.send(());
            }
            Job::Post(run, letter, answer) => {
                let _ = answer.send(self.write(true, |change| post(change, &run, &letter)));
            }
            Job::Messages(run, after, answer) => {
                let there = messages(&self.connection, &run, after);
                let _ = answer.send(there.map_err(|error| words(&error)));
            }
            Job::Keep(row, earlier, answer) => {
                let _ = answer.send(self.write(true, |change| keep(change, &row, earlier)));
            }
            Job::Discard(name, answer) => {
                let _ = answer.send(self.write(true, |change| discard(change, &name)));
            }
            Job::Tidy(answer) => {
                let _ = answer.send(self.tidy());
            }
        }
    }

    /// A token is durable before it is granted, so that it never comes twice.
    fn take(&mut self, wish: Wish) -> Result<Taken, String> {
        let (process, term) = (self.process.clone(), self.term);
        let granted = self.write(true, |change| {
            take(change, &wish.cluster, &wish.run.0, &process, term)
        })?;
        Ok(match granted {
            Granted::Busy(holder) => Taken::Busy(holder),
            Granted::Taken(grant, expires) => {
                let belief = Belief::until(expires, term);
                self.held.push(Holding {
                    grant: grant.clone(),
                    belief: belief.clone(),
                    due: now_ms() + term.renewal_ms(),
                });
                Taken::Held(HeldInStore::new(grant, belief, wish.jobs))
            }
        })
    }

    fn give_back(&mut self, grant: &Grant) {
        self.held.retain(|holding| {
            (&holding.grant.cluster, holding.grant.token) != (&grant.cluster, grant.token)
        });
        if let Err(why) = self.write(false, |change| give_back(change, grant)) {
            // It runs out by itself, or with this process.
            tracing::warn!(cluster = grant.cluster, why, "the lease was not given back");
        }
    }

    /// Power that fails ends all leases, so renewals need not survive it.
    fn renew_due(&mut self) {
        let now = now_ms();
        if self.held.iter().all(|holding| now < holding.due) {
            return;
        }
        let mut held = std::mem::take(&mut self.held);
        let (due, term) = (|holding: &&mut Holding| holding.due <= now, self.term);
        for holding in held.iter_mut().filter(due) {
            match self.write(false, |change| renew(change, &holding.grant, term)) {
                Ok(Some(expires)) => {
                    holding.belief.renew(expires, term);
                    holding.due = now_ms() + term.renewal_ms();
                }
                Ok(None) => {
                    tracing::warn!(cluster = holding.grant.cluster, "the lease is lost");
                    holding.belief.end();
                }
                Err(why) => {
                    tracing::warn!(
                        cluster = holding.grant.cluster,
                        why,
                        "the lease was not renewed"
                    );
                    holding.due = now_ms() + term.again_ms();
                }
            }
        }
        held.retain(|holding| !holding.belief.has_ended());
        self.held = held;
    }

    /// One transaction. Without `synced` it survives the death of this process, and that of the machine once a later
    /// synced one has: the log is one file, and a sync covers all of it.
    fn write<T>(
        &mut self,
        synced: bool,
        what: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, String> {
        if let Some(why) = &self.lost {
            return Err(format!("an earlier write failed: {why}"));
        }
        let written = transact(&mut self.connection, synced, what);
        self.untidy = true;
        written.map_err(|error| {
            let why = words(&error);
            if !is_passing(&error) {
                self.lost = Some(why.clone());
            }
            why
        })
    }

    /// Copies what of the log nobody reads any more. Others who write do not wait for it.
    fn tidy(&mut self) -> Result<(), String> {
        self.untidy = false;
        self.connection
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
            .map_err(|error| words(&error))
    }
}

/// What does not fit is refused by itself; what SQLite cannot do ends the whole transaction.
fn fitting(appended: Result<(), Refused>) -> rusqlite::Result<Result<(), String>> {
    match appended {
        Ok(()) => Ok(Ok(())),
        Err(Refused::Unfit(why)) => Ok(Err(why)),
        Err(Refused::Sql(error)) => Err(error),
    }
}

pub(super) fn transact<T>(
    connection: &mut Connection,
    synced: bool,
    what: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let level = if synced { "FULL" } else { "NORMAL" };
    connection
        .prepare_cached(&format!("PRAGMA synchronous = {level}"))?
        .raw_execute()?;
    // Never a lock that is taken late: what was read before it could be outdated.
    let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let result = what(&change)?;
    change.commit()?;
    Ok(result)
}

fn announce(change: &Connection, new: &Announcement) -> rusqlite::Result<Option<RunId>> {
    let earlier: Option<String> = change
        .prepare_cached(
            "SELECT id FROM runs WHERE cluster = ?1 AND key = ?2 AND id <> ?3 \
             ORDER BY started DESC, number DESC LIMIT 1",
        )?
        .query_row([&new.cluster, &new.key, &*new.run.0], |row| row.get(0))
        .optional()?;
    if let Some(earlier) = earlier {
        return Ok(Some(RunId(earlier.into())));
    }
    change
        .prepare_cached("INSERT OR REPLACE INTO announced (run, cluster, key) VALUES (?1, ?2, ?3)")?
        .execute([&*new.run.0, &new.cluster, &new.key])?;
    Ok(None)
}
