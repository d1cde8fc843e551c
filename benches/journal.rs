//! What a journal costs: per effect, for a whole failover, on the disk after a thousand of them, and to list ten
//! thousand.
//!
//! `cargo bench --bench journal -- --place DIR --events FILE --kept 1000 --listed 10000` writes below DIR, on whose disk
//! it depends, and records the events of FILE (a journal of JSON lines) again and again; without it those of a failover
//! of the lab (three nodes, `kill -9`).

#![expect(
    clippy::expect_used,
    reason = "a measurement that cannot run must stop"
)]

use pgbaton::engine::{Durability, Envelope, Event, Outcome, Recorder, RunId};
use pgbaton::journal::{
    FileRecorder, Filter, History, MemoryRecorder, SqliteHistory, SqliteJournal, Store, read,
};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const ROUNDS: u32 = 7;
const EFFECTS: u64 = 100;

/// The value behind `--name` on the command line.
fn option(name: &str) -> Option<String> {
    let mut words = std::env::args().skip_while(|word| word != name);
    words.nth(1)
}

fn number(name: &str, otherwise: u32) -> u32 {
    option(name).map_or(otherwise, |text| text.parse().expect("a number"))
}

fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").expect("to write");
}

/// The recorded failover as the run of this number, a second after the one before.
fn again(events: &[Envelope], number: u32) -> (RunId, Vec<Envelope>) {
    let begin: jiff::Timestamp = "2026-11-23T01:46:07Z".parse().expect("a moment");
    let moment = begin + jiff::SignedDuration::from_secs(number.into());
    let id = RunId::generate(moment, u64::from(number) * 0x9e37_79b9);
    let mut events = events.to_vec();
    for envelope in &mut events {
        if let Event::RunStarted { run, started, .. } = &mut envelope.event {
            *run = id.clone();
            *started = moment.to_string();
        }
    }
    (id, events)
}

/// As the engine asks for it.
fn durability(event: &Event) -> Durability {
    match event {
        Event::RunStarted { .. } | Event::EffectIntended { .. } | Event::RunEnded { .. } => {
            Durability::Synced
        }
        _ => Durability::Ordered,
    }
}

/// Event by event, each of which waits for the one before: an engine that always has the next one ready.
async fn whole(recorder: &dyn Recorder, events: &[Envelope], number: u32) -> Duration {
    let (run, events) = again(events, number);
    let begun = Instant::now();
    for envelope in events {
        let durability = durability(&envelope.event);
        let answer = recorder.record(&run, &[envelope], durability).await;
        answer.expect("recorded");
    }
    begun.elapsed()
}

/// An intent that waits for the disk, and its outcome that does not, as often as [`EFFECTS`]; the time of one.
async fn effect(recorder: &dyn Recorder, events: &[Envelope], number: u32) -> Duration {
    let (run, events) = again(events, number);
    let find = |wanted: fn(&Event) -> bool| {
        let found = events.iter().find(|envelope| wanted(&envelope.event));
        found.expect("a failover has effects").event.clone()
    };
    let intent = find(|event| matches!(event, Event::EffectIntended { .. }));
    let outcome = find(|event| matches!(event, Event::EffectSettled { .. }));
    let record = async |seq, event, durability| {
        let envelope = Envelope {
            v: 1,
            seq,
            at_ms: 0.5,
            event,
        };
        let answer = recorder.record(&run, &[envelope], durability).await;
        answer.expect("recorded");
    };
    record(0, events[0].event.clone(), Durability::Synced).await;
    let begun = Instant::now();
    for effect in 0..EFFECTS {
        record(2 * effect + 1, intent.clone(), Durability::Synced).await;
        record(2 * effect + 2, outcome.clone(), Durability::Ordered).await;
    }
    begun.elapsed() / u32::try_from(EFFECTS).expect("fits")
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn report(what: &str, recorders: &[(&str, &dyn Recorder)], times: Vec<Vec<Duration>>) {
    let medians: Vec<Duration> = times.into_iter().map(median).collect();
    for ((name, _), time) in recorders.iter().zip(&medians) {
        say(&format!(
            "{what:<15} {name:<7} median of {ROUNDS}: {:>8.3} ms  {:>6.2} × file",
            milliseconds(*time),
            time.as_secs_f64() / medians[1].as_secs_f64(),
        ));
    }
}

/// All three in turn within a round, so that what else the machine does meets them alike.
async fn costs(place: &Path, events: &[Envelope]) {
    let memory = MemoryRecorder::new();
    let file = FileRecorder::new(place.join("runs")).expect("a directory");
    let sqlite = SqliteJournal::open(place.join("costs.db")).expect("a store");
    let recorders: [(&str, &dyn Recorder); 3] =
        [("memory", &memory), ("file", &file), ("sqlite", &sqlite)];
    let mut effects = vec![Vec::new(); 3];
    let mut failovers = vec![Vec::new(); 3];
    for round in 0..ROUNDS {
        for (at, (_, recorder)) in recorders.iter().enumerate() {
            effects[at].push(effect(*recorder, events, 2 * round).await);
            failovers[at].push(whole(*recorder, events, 2 * round + 1).await);
        }
    }
    report("one effect", &recorders, effects);
    report("a failover", &recorders, failovers);
}

async fn fill(journal: &SqliteJournal, events: &[Envelope], numbers: std::ops::Range<u32>) {
    for number in numbers {
        let (run, events) = again(events, number);
        let answer = journal.record(&run, &events, Durability::Ordered).await;
        answer.expect("recorded");
    }
    journal.tidy().await.expect("tidied");
}

fn mebibytes(path: &Path) -> f64 {
    let length = std::fs::metadata(path).map_or(0, |file| file.len());
    f64::from(u32::try_from(length >> 10).expect("fits")) / 1024.0
}

async fn size(journal: &SqliteJournal, events: &[Envelope], kept: u32) {
    fill(journal, events, 0..kept).await;
    let log = PathBuf::from(format!("{}-wal", journal.path().display()));
    let lines: usize = events
        .iter()
        .map(|event| serde_json::to_vec(event).expect("an event").len() + 1)
        .sum();
    let lines = f64::from(u32::try_from(lines).expect("fits")) * f64::from(kept) / 1_048_576.0;
    say(&format!(
        "{kept} runs of {} events: {:.1} MiB and a log of {:.1} MiB; as JSON lines {lines:.1} MiB",
        events.len(),
        mebibytes(journal.path()),
        mebibytes(&log),
    ));
}

async fn list(journal: &SqliteJournal) {
    let history = SqliteHistory::open(journal.path()).expect("a store");
    for (what, limit) in [("all", None), ("the newest 20", Some(20))] {
        let filter = Filter {
            limit,
            ..Filter::default()
        };
        let mut times = Vec::new();
        let mut found = 0;
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            found = history.runs(&filter).await.expect("runs").len();
            times.push(begun.elapsed());
        }
        say(&format!(
            "list {what}: {found} runs, median of {ROUNDS}: {:.2} ms",
            milliseconds(median(times)),
        ));
    }
    let newest = history.runs(&Filter::default()).await.expect("runs");
    let newest = &newest.first().expect("a run").run;
    let begun = Instant::now();
    let events = history.events(newest).await.expect("events");
    say(&format!(
        "read {} events of one run: {:.2} ms",
        events.len(),
        milliseconds(begun.elapsed())
    ));
}

fn main() {
    let here = || Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/support/failover.jsonl");
    let events = read(&option("--events").map_or_else(here, PathBuf::from)).expect("events");
    assert!(
        matches!(events.last().expect("an event").event, Event::RunEnded { outcome, .. } if outcome == Outcome::Ok),
        "a run that went well"
    );
    let above = option("--place").map_or_else(std::env::temp_dir, PathBuf::from);
    let place = tempfile::tempdir_in(above).expect("a directory");
    let (kept, listed) = (number("--kept", 1_000), number("--listed", 10_000));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        costs(place.path(), &events).await;
        let journal = SqliteJournal::open(place.path().join("journal.db")).expect("a store");
        size(&journal, &events, kept).await;
        fill(&journal, &events, kept..listed.max(kept)).await;
        list(&journal).await;
    });
}
