//! The task that reads a run's events and keeps the screen up to date.

use super::tree::{self, Room};
use super::view::View;
use super::{plain, summary};
use crate::cli::paint::Paint;
use crate::cli::screen;
use crate::engine::Envelope;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// How often the tree moves.
const TICK: Duration = Duration::from_millis(80);

/// The form in which a run is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// A tree that is redrawn.
    Tree,
    /// A line for an event.
    Lines,
    /// The envelopes as JSON, one a line.
    Json,
    /// Not at all.
    Quiet,
}

impl Style {
    /// What fits standard output.
    pub(crate) fn pick(json: bool) -> Self {
        if json {
            Self::Json
        } else if screen::size().is_some() {
            Self::Tree
        } else {
            Self::Lines
        }
    }
}

/// The console of one run.
pub(crate) struct Console {
    task: JoinHandle<View>,
    leave: CancellationToken,
}

impl Console {
    /// Starts to read; the other half goes to the run's observers.
    pub(crate) fn start(
        style: Style,
        paint: Paint,
    ) -> (Self, mpsc::UnboundedSender<Arc<Envelope>>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let leave = CancellationToken::new();
        let task = tokio::spawn(watch(receiver, style, paint, leave.clone()));
        (Self { task, leave }, sender)
    }

    /// Waits for the last event (the senders must be gone), takes the tree away, and gives what was seen.
    pub(crate) async fn finish(self) -> View {
        let view = self.task.await.unwrap_or_default();
        screen::clear();
        view
    }

    /// Stops to read, whether or not the run has ended, and gives what was seen so far.
    pub(crate) async fn leave(self) -> View {
        self.leave.cancel();
        self.finish().await
    }
}

/// Prints the summary where people read: with `--json` nowhere, standard output belongs to the events.
pub(crate) fn conclude(view: &View, journal: Option<&str>, style: Style, paint: Paint) {
    match style {
        Style::Quiet => {}
        Style::Json => {
            if let Some(journal) = journal {
                screen::note(&format!("journal: {journal}\n"));
            }
        }
        Style::Tree | Style::Lines => {
            // In a pipe sentences stay whole: somebody may search for them.
            let columns = screen::size().map(|(columns, _)| columns);
            let text = summary::summary(view, journal, paint, columns);
            let gap = if style == Style::Lines { "\n" } else { "" };
            screen::data(&format!("{gap}{text}"));
        }
    }
}

async fn watch(
    mut events: mpsc::UnboundedReceiver<Arc<Envelope>>,
    style: Style,
    paint: Paint,
    leave: CancellationToken,
) -> View {
    let mut view = View::default();
    let mut batch = Vec::new();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut turn = 0;
    // The run's own clock, as seen here: when its time zero was.
    let mut zero: Option<Instant> = None;
    loop {
        tokio::select! {
            biased;
            () = leave.cancelled() => return view,
            count = events.recv_many(&mut batch, 256) => {
                if count == 0 {
                    return view;
                }
            }
            _ = tick.tick(), if style == Style::Tree => {
                turn += 1;
                if let Some(zero) = zero
                    && view.ended.is_none()
                {
                    view.now_ms = view.now_ms.max(zero.elapsed().as_secs_f64() * 1000.0);
                }
                draw(&view, paint, turn);
                continue;
            }
        }
        let mut text = String::new();
        for envelope in batch.drain(..) {
            let since = Duration::try_from_secs_f64(envelope.at_ms / 1000.0).unwrap_or_default();
            zero = zero.or_else(|| Instant::now().checked_sub(since));
            match style {
                Style::Tree | Style::Quiet => {}
                Style::Lines => {
                    if let Some(part) = plain::line(&envelope, paint) {
                        text += &part;
                        text.push('\n');
                    }
                }
                Style::Json => {
                    if let Ok(json) = serde_json::to_string(&*envelope) {
                        text += &json;
                        text.push('\n');
                    }
                }
            }
            view.apply(&envelope);
        }
        if text.is_empty() {
            continue;
        }
        screen::data(&text);
    }
}

fn draw(view: &View, paint: Paint, turn: usize) {
    let Some((columns, rows)) = screen::size() else {
        return;
    };
    if view.header.is_none() {
        return;
    }
    let room = Room {
        columns: columns.saturating_sub(1),
        // The line that the cursor stands on is a row too.
        rows: Some(rows.saturating_sub(1)),
    };
    screen::draw(tree::frame(view, paint, room, turn));
}
