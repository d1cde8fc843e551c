//! The domain: what a cluster is, what can be known about it, and what can be done to it.
//!
//! Pure types and functions. The live side of the port ([`Cluster`]) is in `crate::postgres`.

mod facts;
mod given;
mod inventory;
mod lsn;
mod name;
mod operation;
mod outcome;
mod policy;
mod port;
mod quorum;
mod ticket;
mod timeline;
mod topology;

pub use facts::{
    Archiving, ControlData, ControlState, Host, Identity, Position, Process, Reach, Receiver,
    Remembered, Sender, Server, Setting, Slot, StartupState, Timed, WalFiles, WalStatus,
};
pub use given::Given;
pub use inventory::{
    Inventory, Node, Product, PromotePolicy, ReplicationAccess, SecretSource, SqlAccess, SslMode,
    SyncMode, Synchronous, Transport,
};
pub use lsn::{Lsn, LsnParseError};
pub use name::{NameError, NodeName, SlotName};
pub use operation::{
    CustomEffect, ExecPlace, Former, HttpRequest, Operation, StopMode, UpstreamRoute,
};
pub use outcome::{Outcome, Trouble, TroubleKind};
pub use port::{Cluster, Observe, Render, Rendered};
pub use quorum::{SyncMethod, SyncNames, SyncNamesError, starves};
pub use ticket::Ticket;
pub use timeline::{Ancestry, Fork, History, HistoryError, SystemId, Timeline};
pub use topology::{Row, RowStatus, Topology};
