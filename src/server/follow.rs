//! A run as it happens: server-sent events.

use super::kinds::Kind;
use super::problem::Problem;
use super::read::Named;
use super::state::Api;
use crate::engine::Envelope;
use crate::journal::Standing;
use crate::runs::RunsError;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::json;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// What says that somebody is still there.
const ALIVE: Duration = Duration::from_secs(15);

/// Somebody who follows a run.
struct Following {
    events: mpsc::UnboundedReceiver<Arc<Envelope>>,
    follower: AbortOnDropHandle<Result<Standing, RunsError>>,
    /// What was seen before the connection broke.
    after: Option<u64>,
    stop: CancellationToken,
    _place: OwnedSemaphorePermit,
}

pub(super) async fn events(
    State(api): State<Arc<Api>>,
    Named(id): Named,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let run = api.records.find(&id).await?.run;
    let Ok(place) = Arc::clone(&api.streams).try_acquire_owned() else {
        let why = "as many runs are followed as may be";
        return Err(Problem::new(Kind::Overloaded, why).after(Duration::from_secs(10)));
    };
    let (observer, events) = mpsc::unbounded_channel();
    let records = Arc::clone(&api.records);
    let follower = tokio::spawn(async move { records.follow(&run, &observer).await });
    let following = Following {
        events,
        follower: AbortOnDropHandle::new(follower),
        after: last_seen(&headers),
        stop: api.stop.clone(),
        _place: place,
    };
    let told = stream::unfold(Some(following), |following| async move {
        let (event, rest) = following?.next().await?;
        Some((Ok::<_, Infallible>(event), rest))
    });
    let mut response = Sse::new(told)
        .keep_alive(KeepAlive::new().interval(ALIVE))
        .into_response();
    // A proxy that collects before it passes on would make a film of a failover.
    let unbuffered = HeaderName::from_static("x-accel-buffering");
    response
        .headers_mut()
        .insert(unbuffered, HeaderValue::from_static("no"));
    Ok(response)
}

impl Following {
    /// The next event and who waits for the one after it. Nothing when the server stops: that is no end of the run, and
    /// whoever comes again says what was seen last.
    async fn next(mut self) -> Option<(Event, Option<Self>)> {
        loop {
            let envelope = tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                envelope = self.events.recv() => envelope,
            };
            match envelope {
                Some(envelope) if self.after.is_some_and(|after| envelope.seq <= after) => {}
                Some(envelope) => return Some((as_event(&envelope), Some(self))),
                None => {
                    let end = (&mut self.follower).await;
                    let end = end.map_err(|error| error.to_string());
                    let end = end.and_then(|end| end.map_err(|error| error.to_string()));
                    return Some((as_end(end), None));
                }
            }
        }
    }
}

/// As `run --json` prints it, with its position and its kind beside it.
fn as_event(envelope: &Envelope) -> Event {
    let data = serde_json::to_value(envelope).unwrap_or_default();
    let kind = data["event"]["event"]
        .as_str()
        .unwrap_or("event")
        .to_owned();
    Event::default()
        .id(envelope.seq.to_string())
        .event(kind)
        .data(data.to_string())
}

/// The last of all: how the run stands.
fn as_end(end: Result<Standing, String>) -> Event {
    let said = match end {
        Ok(Standing::Ended(outcome)) => json!({ "standing": "ended", "outcome": outcome }),
        // It was under way when it was last looked at, and nothing more came.
        Ok(Standing::Interrupted | Standing::UnderWay) => json!({ "standing": "interrupted" }),
        Err(error) => json!({ "standing": null, "error": error }),
    };
    Event::default().event("end").data(said.to_string())
}

fn last_seen(headers: &HeaderMap) -> Option<u64> {
    headers.get("last-event-id")?.to_str().ok()?.parse().ok()
}
