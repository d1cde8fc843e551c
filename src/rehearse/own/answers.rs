//! What people answer in a test: whoever is asked says at once what the test has for the step, else yes.

use super::file::Answer;
use crate::engine::{Ask, Event, Inbox, Letter, Message, QUESTION, RecordError, RunId};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The people who are asked by one run, and their letters. Clones share them.
#[derive(Clone)]
pub(in crate::rehearse) struct Answers(Arc<Mutex<Inner>>);

struct Inner {
    given: BTreeMap<String, Answer>,
    unasked: Vec<String>,
    letters: Vec<Message>,
}

impl Answers {
    pub(in crate::rehearse) fn new(given: impl Iterator<Item = (String, Answer)>) -> Self {
        let given: BTreeMap<String, Answer> = given.collect();
        Self(Arc::new(Mutex::new(Inner {
            unasked: given.keys().cloned().collect(),
            given,
            letters: Vec::new(),
        })))
    }

    /// The run has recorded something: a question is answered.
    pub(in crate::rehearse) fn hear(&self, event: &Event) {
        let Event::Noted { path, evidence } = event else {
            return;
        };
        if evidence.topic != QUESTION {
            return;
        }
        let step = path.to_string();
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.unasked.retain(|unasked| *unasked != step);
        let ask = match inner.given.get(&step) {
            None | Some(Answer::Approve) => Ask::Approve { step },
            Some(Answer::Deny) => Ask::Deny { step },
            Some(Answer::Nobody) => return,
        };
        let number = inner.letters.len() as u64 + 1;
        inner.letters.push(Message {
            number,
            letter: Letter {
                // No clock: a replay must be the same run.
                at: "1970-01-01T00:00:00Z".to_owned(),
                by: "the test".to_owned(),
                reason: "it says so".to_owned(),
                ask,
            },
        });
    }

    /// The steps of which the test has an answer, and that did not ask.
    pub(in crate::rehearse) fn unasked(&self) -> Vec<String> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.unasked.clone()
    }
}

#[async_trait]
impl Inbox for Answers {
    async fn messages(&self, _run: &RunId, after: u64) -> Result<Vec<Message>, RecordError> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let letters = inner.letters.iter();
        Ok(letters.filter(|l| l.number > after).cloned().collect())
    }
}
