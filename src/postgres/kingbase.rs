//! KingbaseES (V8R6 and later): PostgreSQL 12 with other names of programs and files.
//!
//! The names are known from its documentation and from users' reports. This dialect has never met a KingbaseES
//! server; it was run on PostgreSQL 12 under these names (`tests/kingbase.rs`). What SQL names differ is asked of the
//! server ([`super::vocabulary`]). The commands are shown with PostgreSQL's.

use super::dialect::{Dialect, Names, Step};
use super::postgresql;
use crate::cluster::{Inventory, Operation, Render, Rendered, Trouble};

const NAMES: Names = Names {
    control: "sys_ctl",
    control_data: "sys_controldata",
    wal_dump: "sys_waldump",
    is_ready: "sys_isready",
    client: "ksql",
    rewind: "sys_rewind",
    base_backup: "sys_basebackup",
    server: "kingbase",
    processes: "kingbase",
    pid_file: "kingbase.pid",
    auto_conf: "kingbase.auto.conf",
    wal_dir: "sys_wal",
    slot_dir: "sys_replslot",
    space_dir: "sys_tblspc",
    // Nobody has said so: its own programs are asked.
    form_is_known: false,
};

/// KingbaseES.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kingbase;

impl Dialect for Kingbase {
    fn names(&self) -> &'static Names {
        &NAMES
    }

    fn steps(&self, inventory: &Inventory, operation: &Operation) -> Result<Vec<Step>, Trouble> {
        postgresql::steps(&NAMES, inventory, operation)
    }
}

impl Render for Kingbase {
    fn render(&self, inventory: &Inventory, operation: &Operation) -> Vec<Rendered> {
        postgresql::rendered(self, inventory, operation)
    }
}
