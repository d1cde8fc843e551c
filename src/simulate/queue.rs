//! What is going to happen, in the order in which it will.

use super::event::Event;
use super::ids::At;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A heap of moments; the events themselves stay where they are until their turn comes.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// When, the number that tells it from others of that moment, and where the event lies.
    order: BinaryHeap<Reverse<(At, u64, usize)>>,
    events: Vec<Option<Event>>,
    free: Vec<usize>,
}

impl Queue {
    /// Events of one moment happen in the order of their numbers.
    pub(super) fn push(&mut self, at: At, number: u64, event: Event) {
        let place = if let Some(place) = self.free.pop() {
            self.events[place] = Some(event);
            place
        } else {
            self.events.push(Some(event));
            self.events.len() - 1
        };
        self.order.push(Reverse((at, number, place)));
    }

    /// The next event that is due by then.
    pub(super) fn pop_until(&mut self, until: At) -> Option<(At, Event)> {
        if self.first()? > until {
            return None;
        }
        let Reverse((at, _, place)) = self.order.pop()?;
        self.free.push(place);
        Some((at, self.events[place].take()?))
    }

    /// When the next one happens.
    pub(super) fn first(&self) -> Option<At> {
        self.order.peek().map(|Reverse((at, _, _))| *at)
    }
}
