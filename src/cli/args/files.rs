//! Commands that write what other programs read.

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// `import`.
#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    /// From a running cluster of repmgr's, or of KingbaseES: its table of nodes, and what each node says
    Repmgr(ImportRepmgrArgs),
}

/// `import repmgr`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("from").required(true).multiple(true))]
pub(crate) struct ImportRepmgrArgs {
    /// The connection string of any node, `host=… dbname=repmgr user=repmgr`; for KingbaseES `dbname=esrep`
    #[arg(long, value_name = "CONNINFO", group = "from")]
    pub(crate) conninfo: Option<String>,
    /// A node's repmgr.conf: its connection string, its directories, how hosts are reached
    #[arg(long, value_name = "FILE", group = "from")]
    pub(crate) conf: Option<PathBuf>,
    /// Where to write it; `-` is standard output, the default
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Write over a file that is there
    #[arg(long)]
    pub(crate) force: bool,
}

/// `schema`.
#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// Of what
    #[arg(value_enum)]
    pub(crate) of: SchemaOf,
}

/// What there is a schema of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    /// Playbooks.
    Playbook,
    /// A site's changes to a playbook.
    Overlay,
    /// Site files.
    Site,
}

/// `completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// For which shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// `man`.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Where to write the pages
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
}
