//! Faults that meet a call of the port: what is tried fails, is not answered, or something dies beside it.

use super::disrupt::Disruption;
use super::ids::At;
use crate::cluster::{NodeName, Operation};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What meets a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// It fails, and nothing was done.
    FailBefore,
    /// It is done all the same, and said to have failed.
    FailAfter,
    /// It is done, and the answer is lost.
    LoseAnswer,
    /// It hangs until its limit, and nothing was done.
    Hang,
    /// This happens just before it is sent.
    Before(Disruption),
    /// This happens just after it took effect, before the answer.
    After(Disruption),
}

/// A call of the port.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Its number among the calls of its kind, from 1.
    pub number: u64,
    /// When it is made.
    pub at: At,
    /// The node it goes to; none for the runner and for HTTP.
    pub node: Option<&'a NodeName>,
    /// What is done, or asked.
    pub what: What<'a>,
}

/// What a call does or asks.
#[derive(Debug, Clone, Copy)]
pub enum What<'a> {
    /// `perform`.
    Perform(&'a Operation),
    /// A question, by the name of the port's method.
    Observe(&'static str),
}

type Chooser = Box<dyn FnMut(&Call<'_>) -> Option<Fault> + Send>;

/// Which calls meet a fault.
#[derive(Default)]
pub struct Injections {
    performs: BTreeMap<u64, Fault>,
    observes: BTreeMap<u64, Fault>,
    choose: Option<Chooser>,
    performed: u64,
    observed: u64,
}

impl Injections {
    /// The k-th operation, from 1, meets this.
    pub fn on_perform(&mut self, k: u64, fault: Fault) {
        self.performs.insert(k, fault);
    }

    /// The k-th question, from 1, meets this.
    pub fn on_observe(&mut self, k: u64, fault: Fault) {
        self.observes.insert(k, fault);
    }

    /// Every call that meets nothing yet is shown to this, which may choose a fault for it.
    pub fn on_call(&mut self, choose: impl FnMut(&Call<'_>) -> Option<Fault> + Send + 'static) {
        self.choose = Some(Box::new(choose));
    }

    /// How many operations and how many questions there were.
    pub fn counts(&self) -> (u64, u64) {
        (self.performed, self.observed)
    }

    pub(super) fn meets(
        &mut self,
        at: At,
        node: Option<&NodeName>,
        what: What<'_>,
    ) -> Option<Fault> {
        let (count, planned) = match what {
            What::Perform(_) => (&mut self.performed, &mut self.performs),
            What::Observe(_) => (&mut self.observed, &mut self.observes),
        };
        *count += 1;
        let number = *count;
        planned.remove(&number).or_else(|| {
            let call = Call {
                number,
                at,
                node,
                what,
            };
            self.choose.as_mut()?(&call)
        })
    }
}
