//! A run's playbooks as they were when it started, kept with it and read back to go on with it.

use super::RunsError;
use crate::actions::catalog;
use crate::document::{Diagnostics, Source};
use crate::engine::{Envelope, Event, Pinned, Pins, RunId};
use crate::playbook::{Checked, Library, Map, UnreadablePlaybook, check};

/// Why a journal without its first record is of no use.
const NOTHING: &str = "its journal does not say how it started, so nothing of it has happened";

fn unresumable(run: &str, why: &str) -> RunsError {
    RunsError::Unresumable {
        run: run.to_owned(),
        why: why.to_owned(),
    }
}

/// What a run keeps of what it was started with.
pub(super) fn pins(checked: &Checked, site_vars: &Map, trigger: &Map) -> Pins {
    let pinned = |(name, source): &(String, Source)| Pinned {
        name: name.clone(),
        origin: source.name.to_string(),
        text: source.text.to_string(),
    };
    Pins {
        playbooks: checked.sources.iter().map(pinned).collect(),
        site_vars: site_vars.clone(),
        trigger: trigger.clone(),
    }
}

/// What a run was started with, by its first record.
pub(super) struct Started {
    pub(super) run: RunId,
    pub(super) at: jiff::Timestamp,
    pub(super) playbook: Checked,
    pub(super) cluster_name: String,
    pub(super) params: Map,
    pub(super) site_vars: Map,
    pub(super) cluster: Map,
    pub(super) trigger: String,
    pub(super) trigger_payload: Map,
    pub(super) seed: u64,
}

impl Started {
    /// Reads it. The playbooks are checked again: this program may know more than the one that started the run.
    pub(super) fn of(id: &str, events: &[Envelope]) -> Result<Self, RunsError> {
        let Some(Event::RunStarted {
            run,
            cluster,
            trigger,
            started,
            params,
            cluster_facts,
            seed,
            pins,
            ..
        }) = events.first().map(|first| &first.event)
        else {
            return Err(unresumable(id, NOTHING));
        };
        let playbook = playbook_of(events)?;
        // Without them there would be no playbook either.
        let pins = pins.as_deref().cloned().unwrap_or_default();
        Ok(Self {
            run: run.clone(),
            at: started
                .parse()
                .map_err(|_| unresumable(id, "its journal does not tell when it started"))?,
            playbook,
            cluster_name: cluster.clone(),
            params: params.clone(),
            site_vars: pins.site_vars,
            cluster: cluster_facts.clone(),
            trigger: trigger.clone(),
            trigger_payload: pins.trigger,
            seed: *seed,
        })
    }
}

/// The playbook of a run, checked with what this program knows.
pub(super) fn playbook_of(events: &[Envelope]) -> Result<Checked, RunsError> {
    let Some(Event::RunStarted { run, pins, .. }) = events.first().map(|first| &first.event) else {
        return Err(unresumable("", NOTHING));
    };
    let Some(pins) = pins else {
        return Err(unresumable(
            &run.0,
            "its journal is of a version of pgbaton that kept no playbooks: look at `pgbaton status`, and run again",
        ));
    };
    let Some(first) = pins.playbooks.first() else {
        return Err(unresumable(&run.0, "its journal holds no playbook"));
    };
    let source = Source::new(first.origin.as_str(), first.text.as_str());
    let mut diagnostics = Diagnostics::default();
    let playbook = check(&source, &catalog(), &Kept(pins), &mut diagnostics);
    playbook.ok_or_else(|| RunsError::Invalid {
        what: format!("the playbook that run {run} was started with"),
        diagnostics,
    })
}

/// Finds a run's playbooks in what was kept, whatever has become of the files since.
struct Kept<'p>(&'p Pins);

impl Library for Kept<'_> {
    fn find(&self, name: &str) -> Result<Option<Source>, UnreadablePlaybook> {
        let nested = self.0.playbooks.iter().skip(1);
        let mut found = nested.filter(|pinned| pinned.name == name);
        Ok(found
            .next()
            .map(|pinned| Source::new(pinned.origin.as_str(), pinned.text.as_str())))
    }

    fn names(&self) -> Vec<String> {
        let pinned = self.0.playbooks.iter();
        pinned.map(|pinned| pinned.name.clone()).collect()
    }
}
