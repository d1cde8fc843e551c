//! The engine alone: how long it takes to run 10,000 steps that do nothing, and how much memory.
//!
//! `cargo bench --bench engine` prints one line per shape; the journal is in memory.

#![expect(
    clippy::expect_used,
    reason = "a measurement that cannot run must stop"
)]

use pgbaton::document::{Source, Span, Spanned};
use pgbaton::engine::{
    Action, Actions, Applied, Engine, Failure, Forecast, Outcome, Probe, Request, RunId,
    StepContext,
};
use pgbaton::journal::MemoryRecorder;
use pgbaton::playbook::{
    Block, Body, Checked, Custom, Defaults, EffectClass, Map, NodeRule, OnFailure, Playbook,
    Signature, Step, StepId,
};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

const STEPS: usize = 10_000;
const ROUNDS: usize = 3;

struct Nothing(Signature);

#[async_trait::async_trait]
impl Action for Nothing {
    fn signature(&self) -> &Signature {
        &self.0
    }
    async fn probe(&self, _: &StepContext) -> Probe {
        Probe::Needed("always".to_owned())
    }
    async fn plan(&self, _: &StepContext) -> Vec<Forecast> {
        Vec::new()
    }
    async fn apply(&self, _: &StepContext) -> Applied {
        Applied::Done(Map::new())
    }
    async fn verify(&self, _: &StepContext, outputs: Map) -> Result<Map, Failure> {
        Ok(outputs)
    }
}

struct Only(Arc<Nothing>);

impl Actions for Only {
    fn find(&self, _: &str) -> Option<Arc<dyn Action>> {
        Some(Arc::clone(&self.0) as Arc<dyn Action>)
    }
}

fn here<T>(value: T) -> Spanned<T> {
    Spanned::new(value, Span::default())
}

fn id(index: usize) -> Spanned<StepId> {
    here(StepId::parse(&format!("step_{index}")).expect("an id"))
}

fn step(index: usize, needs: &[usize]) -> Step {
    Step {
        id: id(index),
        needs: needs.iter().map(|need| id(*need)).collect(),
        when: None,
        for_each: None,
        body: Body::Action {
            name: here("nothing".to_owned()),
            node: None,
            with: Vec::new(),
            custom: Custom::default(),
        },
        timeout: None,
        retry: None,
        until: None,
        on_failure: here(OnFailure::Fail),
        rescue: None,
        sealed: false,
        disabled: None,
    }
}

fn playbook(needs: impl Fn(usize) -> Vec<usize>) -> Playbook {
    let steps = (0..STEPS).map(|index| step(index, &needs(index))).collect();
    Playbook {
        source: Source::new("bench", ""),
        name: here("bench".to_owned()),
        version: None,
        summary: None,
        waivers: Vec::new(),
        params: Vec::new(),
        timeout: None,
        defaults: Defaults::default(),
        steps: Block {
            steps,
            ..Block::default()
        },
        rescue: None,
        finally: None,
        outputs: Vec::new(),
    }
}

/// Up to four needs among all earlier steps, the same in every run.
fn random(index: usize) -> Vec<usize> {
    let mut state = index as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).expect("31 bits")
    };
    let mut needs: Vec<usize> = match index {
        0 => Vec::new(),
        _ => (0..next() % 5).map(|_| next() % index).collect(),
    };
    needs.sort_unstable();
    needs.dedup();
    needs
}

/// What each step needs.
type Needs = fn(usize) -> Vec<usize>;

async fn measure(playbook: &Arc<Playbook>) -> Duration {
    let signature = Signature {
        name: "nothing",
        summary: "Does nothing.",
        node: NodeRule::Refused,
        inputs: Vec::new(),
        outputs: Vec::new(),
        effect: Some(EffectClass::Read),
        roles: Vec::new(),
        timeout: Duration::from_mins(1),
    };
    let engine = Engine {
        actions: Arc::new(Only(Arc::new(Nothing(signature)))),
        recorder: Arc::new(MemoryRecorder::new()),
    };
    let request = Request {
        run: RunId("bench".into()),
        started: jiff::Timestamp::UNIX_EPOCH,
        playbook: Checked {
            playbook: Arc::clone(playbook),
            nested: BTreeMap::new(),
            sources: Vec::new(),
        },
        cluster_name: "bench".to_owned(),
        params: Map::new(),
        site_vars: Map::new(),
        cluster: Map::new(),
        trigger: "bench".to_owned(),
        trigger_payload: Map::new(),
        seed: 1,
        forecast: false,
        suppose: false,
        pins: None,
        lease: None,
        cancel: tokio_util::sync::CancellationToken::new(),
        inbox: None,
        observers: Vec::new(),
    };
    let begun = Instant::now();
    let report = engine.run(request).await;
    let took = begun.elapsed();
    assert_eq!(report.outcome, Outcome::Ok, "{:?}", report.failure);
    took
}

/// The most memory this process ever had, in MiB.
fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut out = std::io::stdout();
    let shapes: [(&str, Needs); 3] = [
        ("wide", |_| Vec::new()),
        ("deep", |index| index.checked_sub(1).into_iter().collect()),
        ("random", random),
    ];
    for (name, needs) in shapes {
        let playbook = Arc::new(playbook(needs));
        let mut times: Vec<Duration> = (0..ROUNDS)
            .map(|_| runtime.block_on(measure(&playbook)))
            .collect();
        times.sort_unstable();
        let median = times[ROUNDS / 2];
        let rate = f64::from(u32::try_from(STEPS).expect("fits")) / median.as_secs_f64();
        writeln!(
            out,
            "{name:<7} {STEPS} steps  median of {ROUNDS}: {:>6.1} ms  {rate:>9.0} steps/s  \
             peak memory so far {:.1} MiB",
            median.as_secs_f64() * 1000.0,
            peak_memory().unwrap_or(f64::NAN),
        )
        .expect("to write");
    }
}
