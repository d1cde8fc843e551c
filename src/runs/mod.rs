//! Whoever starts a run starts it here: load, check, bind, lease, world, engine.

mod admission;
mod asking;
mod debts;
mod error;
mod facts;
mod follow;
mod glance;
mod library;
mod line;
mod notes;
mod order;
mod params;
mod pinned;
mod place;
mod plan;
mod records;
mod simulated;
mod stale;
mod usable;
mod world;

pub use asking::{Answer, author};
pub use error::RunsError;
pub use facts::{pinned, topology, written};
pub use glance::{Glance, Health, topology_json};
pub use library::{Shelves, Stock, stock_playbook, stock_playbooks};
pub use line::RunLine;
pub use order::{Finished, Order};
pub use params::{RISKY, bind_params, bind_simulated};
pub use place::{cluster_of, site_file, site_vars};
pub(crate) use plan::changes;
pub use plan::{
    Change, Decision, Details, Foreseen, NodeDetail, Plan, PlannedEffect, PlannedStep,
    PlaybookText, SlotDetail, Supposed,
};
pub use records::{Records, playbook_of};
pub use simulated::{
    SimOrder, SimRan, actions_on, facts_of, on_paused_clock, resume_recorded, run_recorded,
    run_simulated, sim_cluster,
};
pub use world::{World, fresh_run};
