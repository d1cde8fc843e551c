//! Server-sent events, read as a client reads them.

use crate::served::Served;
use reqwest::{Method, Response};
use serde_json::Value as Json;
use std::time::Duration;

/// A bound on silence: a stream that says nothing has not even a comment to show.
const PATIENCE: Duration = Duration::from_mins(1);

/// An event.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) id: Option<u64>,
    pub(crate) kind: String,
    pub(crate) data: Json,
}

/// An open stream.
pub(crate) struct Stream {
    response: Response,
    text: String,
}

impl Stream {
    pub(crate) async fn open(served: &Served, run: &str, after: Option<u64>) -> Self {
        let path = format!("/v1/runs/{run}/events");
        let mut request = served.request("view", Method::GET, &path);
        if let Some(after) = after {
            request = request.header("Last-Event-ID", after);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            response,
            text: String::new(),
        }
    }

    /// The next event; none at the end of the stream, which has to be a proper one.
    pub(crate) async fn next(&mut self) -> Option<Seen> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let seen = read(block);
                self.text = String::from(rest);
                if seen.is_some() {
                    return seen;
                }
                continue;
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await;
            let chunk = chunk
                .expect("the stream is silent")
                .expect("the stream was cut off");
            self.text.push_str(std::str::from_utf8(&chunk?).unwrap());
        }
    }
}

/// Follows a run to the end.
pub(crate) async fn follow(served: &Served, run: &str, after: Option<u64>) -> Vec<Seen> {
    let mut stream = Stream::open(served, run, after).await;
    let mut all = Vec::new();
    while let Some(seen) = stream.next().await {
        all.push(seen);
    }
    all
}

/// An event of several lines; none where it is only a comment.
fn read(block: &str) -> Option<Seen> {
    let field = |name: &str| {
        let lines = block.lines();
        let mut found = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        found.next().map(str::to_owned)
    };
    let data = field("data")?;
    Some(Seen {
        id: field("id").map(|id| id.parse().unwrap()),
        kind: field("event").unwrap(),
        data: serde_json::from_str(&data).unwrap(),
    })
}
