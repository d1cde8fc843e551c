//! Runs a playbook and looks at what came of it.

use super::build::map;
use super::double::{Doubles, Script};
use pgbaton::engine::{
    Durability, Engine, Envelope, Event, Held, Outcome, RecordError, Recorder, Report, Request,
    RunId, RunState, StepPath, StepStatus,
};
use pgbaton::journal::MemoryRecorder;
use pgbaton::playbook::{Checked, Map, Playbook, Value};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A run to be.
pub struct Case {
    playbook: Playbook,
    nested: BTreeMap<String, Arc<Playbook>>,
    pub doubles: Doubles,
    params: Map,
    cancel_after: Option<Duration>,
    cancel_when: Option<(&'static str, Duration)>,
    lose_journal_at: Option<fn(&Event) -> bool>,
    journal_breaks: Option<Breaks>,
    lease: Option<Arc<TestLease>>,
    seed: u64,
}

/// A lease that a test can take away.
pub struct TestLease(pub AtomicBool);

impl Held for TestLease {
    fn token(&self) -> u64 {
        1
    }
    fn is_valid(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

pub fn case(playbook: Playbook) -> Case {
    Case {
        playbook,
        nested: BTreeMap::new(),
        doubles: Doubles::default(),
        params: Map::new(),
        cancel_after: None,
        cancel_when: None,
        lose_journal_at: None,
        journal_breaks: None,
        lease: Some(Arc::new(TestLease(AtomicBool::new(true)))),
        seed: 7,
    }
}

/// What a journal does when it breaks.
#[derive(Clone, Copy)]
pub enum Breaks {
    Hang,
    Panic,
}

/// A journal that fails from the first event on that a test picks.
struct Failing {
    inner: MemoryRecorder,
    at: Option<fn(&Event) -> bool>,
    how: Option<Breaks>,
    failed: AtomicBool,
}

#[async_trait::async_trait]
impl Recorder for Failing {
    async fn record(
        &self,
        run: &RunId,
        events: &[Envelope],
        durability: Durability,
    ) -> Result<(), RecordError> {
        let hit = |envelope: &Envelope| self.at.is_some_and(|at| at(&envelope.event));
        if events.iter().any(hit) {
            self.failed.store(true, Ordering::SeqCst);
        }
        if self.failed.load(Ordering::SeqCst) {
            match self.how {
                Some(Breaks::Hang) => std::future::pending().await,
                Some(Breaks::Panic) => std::panic::resume_unwind(Box::new("broke")),
                None => {}
            }
            return Err(RecordError {
                place: "/full/run.jsonl".to_owned(),
                why: "no space left on device".to_owned(),
            });
        }
        self.inner.record(run, events, durability).await
    }
}

impl Case {
    pub fn script(self, path: &str, script: Script) -> Self {
        self.doubles.stage().scripts.insert(path.to_owned(), script);
        self
    }

    pub fn nest(mut self, playbook: Playbook) -> Self {
        self.nested
            .insert(playbook.name.value.clone(), Arc::new(playbook));
        self
    }

    pub fn params<const N: usize>(mut self, params: [(&str, Value); N]) -> Self {
        self.params = map(params);
        self
    }

    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Cancels this long after the start.
    pub fn cancel_after(mut self, after: Duration) -> Self {
        self.cancel_after = Some(after);
        self
    }

    /// Cancels this long after an action was asked this, like `apply a`.
    pub fn cancel_when(mut self, asked: &'static str, after: Duration) -> Self {
        self.cancel_when = Some((asked, after));
        self
    }

    pub fn lose_journal_at(mut self, at: fn(&Event) -> bool) -> Self {
        self.lose_journal_at = Some(at);
        self
    }

    /// Not with an error, but like this.
    pub fn journal_breaks(mut self, how: Breaks) -> Self {
        self.journal_breaks = Some(how);
        self
    }

    pub fn without_lease(mut self) -> Self {
        self.lease = None;
        self
    }

    pub fn lease(mut self, lease: Arc<TestLease>) -> Self {
        self.lease = Some(lease);
        self
    }

    /// Runs it and checks what must be true of every run.
    pub async fn run(self) -> Ran {
        let recorder = MemoryRecorder::new();
        let engine = Engine {
            actions: Arc::new(self.doubles.clone()),
            recorder: Arc::new(Failing {
                inner: recorder.clone(),
                at: self.lose_journal_at,
                how: self.journal_breaks,
                failed: AtomicBool::new(false),
            }),
        };
        let (watch, mut watched) = mpsc::unbounded_channel();
        let cancel = CancellationToken::new();
        let run = RunId("test-run".into());
        let request = Request {
            run: run.clone(),
            started: jiff::Timestamp::UNIX_EPOCH,
            playbook: Checked {
                playbook: Arc::new(self.playbook),
                nested: self.nested,
                sources: Vec::new(),
            },
            cluster_name: "orders".to_owned(),
            params: self.params,
            site_vars: map([("vip", "10.0.0.1".into())]),
            cluster: map([("primary", "node1".into())]),
            trigger: "test".to_owned(),
            trigger_payload: Map::new(),
            seed: self.seed,
            forecast: true,
            suppose: true,
            pins: None,
            lease: self.lease.map(|lease| lease as Arc<dyn Held>),
            cancel: cancel.clone(),
            inbox: None,
            observers: vec![watch],
        };
        let begun = tokio::time::Instant::now();
        let canceller = tokio::spawn(cancelling(
            cancel,
            self.cancel_after,
            self.cancel_when,
            self.doubles.clone(),
        ));
        // Whatever a test gets wrong, it must not hang: an hour of paused time passes in no time.
        let running = tokio::time::timeout(Duration::from_hours(1), async move {
            let running = tokio::spawn(async move { engine.run(request).await });
            running.await.expect("it does not panic")
        });
        let report = running.await.expect("the run ends");
        let took = begun.elapsed();
        canceller.abort();
        let events = recorder.events(&run);
        let mut seen = Vec::new();
        while let Some(envelope) = watched.recv().await {
            seen.push((*envelope).clone());
        }
        assert_eq!(seen, events, "observers see what was recorded");
        let ran = Ran {
            state: RunState::fold(&events).expect("every sequence folds"),
            report,
            events,
            doubles: self.doubles,
            took,
        };
        ran.check(self.lose_journal_at.is_none());
        ran
    }
}

async fn cancelling(
    cancel: CancellationToken,
    after: Option<Duration>,
    when: Option<(&'static str, Duration)>,
    doubles: Doubles,
) {
    match (after, when) {
        (Some(after), _) => tokio::time::sleep(after).await,
        (_, Some((asked, after))) => {
            while !doubles.stage().log.iter().any(|line| line == asked) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::time::sleep(after).await;
        }
        (None, None) => std::future::pending().await,
    }
    cancel.cancel();
}

/// A run that has ended.
pub struct Ran {
    pub report: Report,
    pub events: Vec<Envelope>,
    pub state: RunState,
    pub doubles: Doubles,
    pub took: Duration,
}

impl Ran {
    fn check(&self, whole: bool) {
        for (index, envelope) in self.events.iter().enumerate() {
            assert_eq!(envelope.seq, index as u64, "no gaps");
            assert_eq!(envelope.v, 1);
        }
        let json = serde_json::to_string(&self.events).expect("events are JSON");
        let back: Vec<Envelope> = serde_json::from_str(&json).expect("and come back");
        assert_eq!(back, self.events);
        assert_eq!(RunState::fold(&back).as_ref(), Ok(&self.state));
        let message = self.report.failure.as_ref().map(|f| f.message.as_str());
        assert!(
            !message.is_some_and(|m| m.contains("contradicted")),
            "{message:?}"
        );
        if whole {
            assert_eq!(self.state.outcome(), Some(self.report.outcome));
            let ends = self.ends();
            for (path, count) in ends {
                assert_eq!(count, 1, "`{path}` ends exactly once");
            }
        }
    }

    /// How often each step ended, within one opening of its scope.
    fn ends(&self) -> HashMap<String, usize> {
        let mut ends: HashMap<String, usize> = HashMap::new();
        for envelope in &self.events {
            match &envelope.event {
                Event::ScopeOpened { path, steps, .. } => {
                    for step in steps {
                        ends.insert(path.step(step).to_string(), 0);
                    }
                }
                Event::StepStarted {
                    path,
                    items: Some(items),
                    ..
                } => {
                    for key in items {
                        ends.insert(path.item(key).to_string(), 0);
                    }
                }
                Event::StepEnded { path, .. } | Event::StepSkipped { path, .. } => {
                    *ends.entry(path.to_string()).or_default() += 1;
                }
                _ => {}
            }
        }
        ends
    }

    pub fn status(&self, path: &str) -> StepStatus {
        self.state
            .step(path)
            .unwrap_or_else(|| panic!("there is no step `{path}`"))
            .status
    }

    pub fn outcome(&self) -> Outcome {
        self.report.outcome
    }

    /// The message of the failure that decided.
    pub fn message(&self) -> &str {
        self.report
            .failure
            .as_ref()
            .map_or("", |failure| failure.message.as_str())
    }

    /// What the actions were asked, without probes and verifies.
    pub fn log(&self) -> Vec<String> {
        let stage = self.doubles.stage();
        let acts = stage
            .log
            .iter()
            .filter(|line| line.starts_with("apply") || line.starts_with("undo"));
        acts.cloned().collect()
    }

    /// What the actions were asked, all of it.
    pub fn whole_log(&self) -> Vec<String> {
        self.doubles.stage().log.clone()
    }

    /// Position of the first event of this kind about this path.
    pub fn at(&self, path: &str, kind: fn(&Event) -> Option<&StepPath>) -> Option<usize> {
        self.events
            .iter()
            .position(|e| kind(&e.event).is_some_and(|p| &*p.0 == path))
    }

    pub fn started(&self, path: &str) -> bool {
        self.at(path, |event| match event {
            Event::StepStarted { path, .. } => Some(path),
            _ => None,
        })
        .is_some()
    }

    /// Failures of the attempts of a step, with the waits that follow.
    pub fn attempts(&self, of: &str) -> Vec<(String, Option<u64>)> {
        let failed = self.events.iter().filter_map(|e| match &e.event {
            Event::AttemptFailed {
                path,
                failure,
                retry_in_ms,
                ..
            } if &*path.0 == of => Some((failure.kind.as_str().to_owned(), *retry_in_ms)),
            _ => None,
        });
        failed.collect()
    }
}
