//! What a run leaves to be done, in a form that a later run of the same cluster can pay.

use super::Evidence;
use super::action::DEBT;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

/// The topic of what says that something owed is done.
pub const PAID: &str = "paid";

/// What is owed. Names are those of the site file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Owed {
    /// A node that may still run as a primary is to be stopped at first contact, before it serves reads.
    Stop {
        /// The node.
        node: String,
    },
    /// A slot that nobody needs keeps WAL.
    Slot {
        /// The node that it is on.
        on: String,
        /// It. None pays for all on that node.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        slot: Option<String>,
    },
}

impl Owed {
    /// As evidence carries it.
    pub fn data(&self) -> Json {
        json!({ "owed": self })
    }

    /// Whether who does this has done `other`, too.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Slot { on, slot: None }, Self::Slot { on: there, .. }) => on == there,
            (one, other) => one == other,
        }
    }
}

impl Evidence {
    /// What it leaves to be done. None for what only a person understands.
    pub fn owes(&self) -> Option<Owed> {
        self.owed_in(DEBT)
    }

    /// What it says to be done.
    pub fn pays(&self) -> Option<Owed> {
        self.owed_in(PAID)
    }

    fn owed_in(&self, topic: &str) -> Option<Owed> {
        let owed = self.data.get("owed").filter(|_| self.topic == topic)?;
        Owed::deserialize(owed).ok()
    }
}
