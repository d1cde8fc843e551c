//! Commands about clusters to try things on.

use crate::lab::Peer;
use clap::{Args, Subcommand};

/// `lab`.
#[derive(Debug, Subcommand)]
pub(crate) enum LabCommand {
    /// Make and start a cluster; prints the site file to use it with
    Up(LabUpArgs),
    /// Stop it and remove everything that belongs to it
    Down(LabNameArgs),
    /// What runs, seen from this machine
    Status(LabNameArgs),
    /// Break something
    Fault(LabFaultArgs),
}

/// `lab up`.
#[derive(Debug, Args)]
pub(crate) struct LabUpArgs {
    /// How many standbys
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) standbys: u32,
    /// Every node on a host of its own, with an address and an ssh server; Linux, as root
    #[arg(long)]
    pub(crate) hosts: bool,
    /// The lab's name
    #[arg(long, value_name = "NAME", default_value = "lab")]
    pub(crate) name: String,
}

/// A lab by name.
#[derive(Debug, Args)]
pub(crate) struct LabNameArgs {
    /// The lab's name
    #[arg(long, value_name = "NAME", default_value = "lab")]
    pub(crate) name: String,
}

/// `lab fault`.
#[derive(Debug, Args)]
pub(crate) struct LabFaultArgs {
    /// What to do to it: kill, stop, freeze, thaw or start; to its host: cut, cut-ssh or heal
    #[arg(value_name = "FAULT")]
    pub(crate) fault: String,
    /// Which server
    #[arg(value_name = "NODE")]
    pub(crate) node: String,
    /// Cut only what comes from there: another node, or `here`, where pgbaton runs
    #[arg(long, value_name = "PEER")]
    pub(crate) from: Option<Peer>,
    /// Cut only what goes there
    #[arg(long, value_name = "PEER")]
    pub(crate) to: Option<Peer>,
    /// The lab's name
    #[arg(long, value_name = "NAME", default_value = "lab")]
    pub(crate) name: String,
}

/// `demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// How many standbys
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=8))]
    pub(crate) standbys: u32,
    /// Keep the lab and say how to look further
    #[arg(long)]
    pub(crate) keep: bool,
}
