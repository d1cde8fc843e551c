//! Which call or record of a run meets what.

use crate::cluster::NodeName;
use crate::simulate::{Call, Disruption, Fault, What};
use std::fmt;

/// A call of the port, by its number among those of its sort, or a record of the journal, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Point {
    /// The k-th operation.
    Effect(u64),
    /// The k-th question.
    Question(u64),
    /// The moment after the k-th record was written.
    Recorded(u64),
    /// The moment before the k-th record is written, when what it tells of has happened.
    Unrecorded(u64),
}

/// What meets a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// It fails and nothing was done.
    Before,
    /// It is done, and said to have failed.
    After,
    /// It is done, and the answer is lost.
    Lost,
    /// It hangs until its limit.
    Hang,
    /// The server of its node is killed: after an operation took effect, before a question arrives.
    Node,
    /// The machine of its node loses its power, at the same moments.
    Host,
    /// The link between pgbaton and its node is cut.
    Cut,
    /// The links between its node and the other nodes are cut.
    Apart,
    /// The old primary comes back: its machine, its links, its server.
    Back,
    /// The runner dies, and another one resumes the run from its journal.
    Dies,
}

/// A fault of a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Planned {
    /// Where.
    pub point: Point,
    /// What.
    pub kind: Kind,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Before,
        Self::After,
        Self::Lost,
        Self::Hang,
        Self::Node,
        Self::Host,
        Self::Cut,
        Self::Apart,
        Self::Back,
        Self::Dies,
    ];

    /// The word for it in seeds and tables.
    pub fn word(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
            Self::Lost => "lost",
            Self::Hang => "hang",
            Self::Node => "node",
            Self::Host => "host",
            Self::Cut => "cut",
            Self::Apart => "apart",
            Self::Back => "back",
            Self::Dies => "dies",
        }
    }

    /// The fault of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// What it is, for people.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Before => "it fails, and nothing was done",
            Self::After => "it is done, and said to have failed",
            Self::Lost => "its answer is lost",
            Self::Hang => "it hangs until its limit",
            Self::Node => "the server of its node is killed",
            Self::Host => "the machine of its node loses its power",
            Self::Cut => "the link between pgbaton and its node is cut",
            Self::Apart => "its node loses the links to the other nodes",
            Self::Back => "the old primary comes back",
            Self::Dies => "the runner dies; another one resumes the run",
        }
    }

    /// A question has no effect: failing after it is failing before it.
    pub fn fits(self, point: Point) -> bool {
        match point {
            Point::Effect(_) => self != Self::Dies,
            Point::Question(_) => !matches!(self, Self::After | Self::Lost | Self::Dies),
            Point::Recorded(_) | Point::Unrecorded(_) => self == Self::Dies,
        }
    }

    /// It changes the world, not only the answer.
    pub fn disrupts(self) -> bool {
        !matches!(
            self,
            Self::Before | Self::After | Self::Lost | Self::Hang | Self::Dies
        )
    }

    /// As the simulated cluster takes it. None where the call has no node to which it could happen.
    pub(super) fn of(self, call: &Call<'_>, old: &NodeName) -> Option<Fault> {
        let at = |make: fn(NodeName) -> Disruption| {
            let disruption = make(call.node?.clone());
            Some(match call.what {
                What::Perform(_) => Fault::After(disruption),
                What::Observe(_) => Fault::Before(disruption),
            })
        };
        match self {
            Self::Before => Some(Fault::FailBefore),
            Self::After => Some(Fault::FailAfter),
            Self::Lost => Some(Fault::LoseAnswer),
            Self::Hang => Some(Fault::Hang),
            Self::Node => at(Disruption::KillServer),
            Self::Host => at(Disruption::HostDown),
            Self::Cut => at(Disruption::Lose),
            Self::Apart => at(Disruption::Part),
            Self::Dies => None,
            Self::Back => {
                let disruption = Disruption::ComeBack(old.clone());
                Some(match call.what {
                    What::Perform(_) => Fault::After(disruption),
                    What::Observe(_) => Fault::Before(disruption),
                })
            }
        }
    }
}

impl Point {
    /// Of this call.
    pub(super) fn of(call: &Call<'_>) -> Self {
        match call.what {
            What::Perform(_) => Self::Effect(call.number),
            What::Observe(_) => Self::Question(call.number),
        }
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sort, number) = match self.point {
            Point::Effect(number) => ('e', number),
            Point::Question(number) => ('q', number),
            Point::Recorded(number) => ('r', number),
            Point::Unrecorded(number) => ('u', number),
        };
        write!(f, "{sort}{number}-{}", self.kind.word())
    }
}

impl Planned {
    /// The other way round.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (place, kind) = text.split_once('-')?;
        let number = place.get(1..)?.parse().ok().filter(|n| *n > 0)?;
        let point = match place.get(..1)? {
            "e" => Point::Effect(number),
            "q" => Point::Question(number),
            "r" => Point::Recorded(number),
            "u" => Point::Unrecorded(number),
            _ => return None,
        };
        let kind = Kind::parse(kind).filter(|kind| kind.fits(point))?;
        Some(Self { point, kind })
    }
}
