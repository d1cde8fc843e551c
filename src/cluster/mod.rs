//! The domain: what a cluster is, what can be known about it, and what can be done to it.
//!
//! Pure types and functions. The live side of the port ([`Cluster`]) is in `crate::postgres`.

mod detector;
mod facts;
mod footing;
mod given;
mod inventory;
mod lsn;
mod managers;
mod name;
mod operation;
mod outcome;
mod policy;
mod port;
mod quorum;
mod repmgr;
mod service;
mod slot;
mod ticket;
mod timeline;
mod topology;
mod transition;
mod watch;

pub use detector::{ASKED_FIRST, Detector, LOSSES, Mode, OnReturn, OnShutdown};
pub use facts::{
    Admission, Archiving, ControlData, ControlState, Host, Identity, Position, Process, Reach,
    Rebuild, Receiver, Remembered, Sender, Server, Setting, StartupState, Timed, WalFiles,
};
pub use footing::{Footing, STANDBY_LIMITS, StartLimits};
pub use given::Given;
pub use inventory::{
    Inventory, Node, Product, PromotePolicy, ReplicationAccess, SecretSource, SqlAccess, SslMode,
    SyncMode, Synchronous, Transport,
};
pub use lsn::{Lsn, LsnParseError};
pub use managers::{Bearing, Manager, ManagerKind, Managers};
pub use name::{NameError, NodeName, SlotName};
pub use operation::{
    CustomEffect, ExecPlace, Former, HttpRequest, Operation, StopMode, UpstreamRoute,
};
pub use outcome::{Outcome, Trouble, TroubleKind};
pub use port::{Cluster, Observe, Render, Rendered};
pub use quorum::{SyncMethod, SyncNames, SyncNamesError, starves};
pub use repmgr::{RepmgrNode, RepmgrRow, RepmgrTable, RepmgrType, Standing, repmgr_changes};
pub use service::{Forbidden, Service};
pub use slot::{Slot, SlotOrigin, WalStatus};
pub use ticket::Ticket;
pub use timeline::{Ancestry, Fork, History, HistoryError, SystemId, Timeline};
pub use topology::{Row, RowStatus, Topology, Was};
pub use transition::Transition;
pub use watch::{Knock, Load, Watch};
