//! The site file of a lab, for every command.

use super::record::{Lab, SUPERUSER};
use super::{LabError, LabOptions, config};
use crate::cluster::{
    Inventory, Node, Product, PromotePolicy, ReplicationAccess, SqlAccess, SslMode, Transport,
};
use crate::site::{Site, to_yaml};
use std::collections::BTreeMap;

impl Lab {
    /// Writes it; journals of runs go into the lab's directory, so that nothing of them is left behind.
    pub(super) fn write_site(&self, options: &LabOptions) -> Result<(), LabError> {
        let site = Site {
            name: self.name().to_owned(),
            vars: BTreeMap::new(),
            journal: Some(self.dir.join("journal")),
            store: None,
            api: None,
            hooks: None,
            clusters: [(self.name().to_owned(), self.inventory(options))].into(),
        };
        let path = self.site_file();
        std::fs::write(path, to_yaml(&site)).map_err(|source| LabError::File {
            what: "write",
            path: path.to_owned(),
            source,
        })
    }

    fn inventory(&self, options: &LabOptions) -> Inventory {
        let nodes = (1u32..).zip(&self.record.nodes).map(|(id, member)| {
            let node = Node {
                name: member.name.clone(),
                id,
                host: self.address(&member.name),
                port: member.port,
                priority: 100,
                location: "lab".to_owned(),
                promote: PromotePolicy::Allowed,
                data: self.data(&member.name),
                bin: self.record.bin.clone(),
                transport: if self.has_hosts() {
                    self.ssh()
                } else {
                    Transport::Local {
                        user: self.record.user.name.clone(),
                    }
                },
                log: Some(self.log(&member.name)),
                service: None,
                forbid_return: None,
                allow_return: None,
            };
            (member.name.clone(), node)
        });
        Inventory {
            cluster: self.name().to_owned(),
            product: Product::Postgresql,
            nodes: nodes.collect(),
            sql: SqlAccess {
                user: SUPERUSER.to_owned(),
                dbname: "postgres".to_owned(),
                passfile: None,
                password: None,
                sslmode: SslMode::Disable,
                sslrootcert: None,
            },
            replication: ReplicationAccess {
                user: config::REPLICATOR.to_owned(),
                passfile: None,
                options: BTreeMap::new(),
            },
            synchronous: options.synchronous,
            repmgr: None,
            detector: crate::cluster::Detector::default(),
        }
    }
}
