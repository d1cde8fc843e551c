//! What a host is told of who asks for an operation.

/// Belongs to one effect of one run. Hosts keep a record under its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The run's id.
    pub run: String,
    /// The effect's number in the run.
    pub effect: u64,
    /// The fencing token of the run's lease; none for a run without one.
    pub token: Option<u64>,
    /// It was given out before, by a runner that died: the operation may be under way or done.
    pub again: bool,
}

impl Ticket {
    /// The id of the operation.
    pub fn id(&self) -> String {
        format!("{}-{}", self.run, self.effect)
    }
}
