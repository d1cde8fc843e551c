//! What is asked of a run while it is under way: by a signal to its process, and by messages from elsewhere.

use super::shared::{Inner, Shared};
use super::{Ask, Event, Inbox, Message, Request, StepStatus};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// How often is looked for messages.
const LOOK: Duration = Duration::from_millis(200);

/// A signal is answered once, each message once.
pub(super) struct Requests<'r> {
    token: &'r CancellationToken,
    shared: &'r Shared,
    /// Nothing more comes of the token.
    asked: bool,
    post: Option<Post<'r>>,
}

/// Messages that were not heard yet.
struct Post<'r> {
    inbox: &'r Arc<dyn Inbox>,
    shared: &'r Shared,
    after: u64,
    unheard: VecDeque<Message>,
}

impl<'r> Requests<'r> {
    pub(super) fn to(request: &'r Request, shared: &'r Shared) -> Self {
        Self {
            token: &request.cancel,
            shared,
            asked: shared.read(super::RunState::cancelled),
            post: request.inbox.as_ref().map(|inbox| Post {
                inbox,
                shared,
                after: shared.read(|state| state.heard),
                unheard: VecDeque::new(),
            }),
        }
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.shared.read(super::RunState::cancelled)
    }

    /// Awaits `work`; `accept` is called when the run is cancelled meanwhile.
    pub(super) async fn watch<T>(&mut self, work: impl Future<Output = T>, accept: impl Fn()) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                () = self.token.cancelled(), if !self.asked => {
                    self.asked = true;
                    if self.cancel(&mut self.shared.lock()) {
                        accept();
                    }
                }
                end = &mut work => return end,
                message = next(&mut self.post) => {
                    if self.hear(message) {
                        accept();
                    }
                }
            }
        }
    }

    /// Decides about a cancellation and records it, under one lock with the check, so that no intent comes between.
    fn cancel(&self, inner: &mut Inner) -> bool {
        let reason = refusal(inner);
        let accepted = reason.is_none();
        let event = Event::CancelRequested { accepted, reason };
        self.shared.emit_in(inner, event, None);
        accepted
    }

    /// Answers a message; whether the run is cancelled by it.
    fn hear(&mut self, message: Message) -> bool {
        let mut inner = self.shared.lock();
        let why = match &message.letter.ask {
            Ask::Cancel if inner.state.cancelled() => {
                Some("it is being cancelled already".to_owned())
            }
            Ask::Cancel => refusal(&inner),
            Ask::Approve { step } | Ask::Deny { step } => nobody_asks(&inner, step),
        };
        let accepted = why.is_none();
        let cancels = accepted && message.letter.ask == Ask::Cancel;
        let event = Event::MessageHeard {
            message,
            accepted,
            why,
        };
        self.shared.emit_in(&mut inner, event, None);
        if cancels {
            self.asked = true;
            return self.cancel(&mut inner);
        }
        false
    }
}

/// The next message, whenever it comes.
async fn next(post: &mut Option<Post<'_>>) -> Message {
    match post {
        Some(post) => post.next().await,
        None => std::future::pending().await,
    }
}

impl Post<'_> {
    /// Dropped while it waits, nothing is lost.
    async fn next(&mut self) -> Message {
        loop {
            if let Some(message) = self.unheard.pop_front() {
                self.after = message.number;
                return message;
            }
            sleep(LOOK).await;
            match self.inbox.messages(&self.shared.run, self.after).await {
                Ok(messages) => self.unheard.extend(messages),
                // The journal is lost for the run too, or it is tried again.
                Err(error) => tracing::debug!(%error, "messages to this run cannot be read"),
            }
        }
    }
}

/// Why a run cannot be cancelled any more.
fn refusal(inner: &Inner) -> Option<String> {
    match inner.state.point_of_no_return() {
        Some(step) => Some(format!(
            "`{step}` has passed the point of no return, the run goes forward"
        )),
        None => inner
            .doomed
            .as_ref()
            .filter(|_| inner.state.scope("").is_some_and(|s| s.ended.is_some()))
            .map(|_| "the run is ending already".to_owned()),
    }
}

/// Why a decision about this step decides nothing.
fn nobody_asks(inner: &Inner, path: &str) -> Option<String> {
    let Some(step) = inner.state.step(path) else {
        return Some(format!(
            "the run has no step `{path}`, or has not come to it"
        ));
    };
    if step.decision.is_some() {
        return Some(format!("`{path}` has its answer already"));
    }
    let waits = step.status == StepStatus::Running && step.attempting && step.question;
    (!waits).then(|| format!("`{path}` does not wait for a person"))
}
