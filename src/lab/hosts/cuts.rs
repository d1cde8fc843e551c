//! Cutting the wires of a host. What is cut is lost without a word, as on a network: nobody is refused anything.

use super::super::LabError;
use super::super::record::Lab;
use super::super::shell::run_with;
use super::make::enter;
use super::needs::program;
use super::ssh;
use crate::cluster::NodeName;
use std::convert::Infallible;
use std::str::FromStr;
use std::time::Duration;

/// The bound on one call of `nft`.
const NFT: Duration = Duration::from_secs(20);

/// Rules of the node's own namespace, so that they go away with it. Made unless they are there.
const TABLE: &str = "\
add table inet pgbaton
add chain inet pgbaton in { type filter hook input priority 0; }
add chain inet pgbaton out { type filter hook output priority 0; }
";

/// What is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cut {
    /// What goes to the host and what comes from it.
    All,
    /// What goes to its ssh server.
    Ssh,
    /// What comes to the host from there.
    From(Peer),
    /// What goes from the host to there.
    To(Peer),
}

/// The other end of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// The machine's own namespace, where pgbaton runs.
    Here,
    /// Another node's host; its name is looked up when it is used.
    Node(String),
}

impl FromStr for Peer {
    type Err = Infallible;

    fn from_str(word: &str) -> Result<Self, Infallible> {
        Ok(match word {
            "here" => Self::Here,
            node => Self::Node(node.to_owned()),
        })
    }
}

impl Lab {
    /// Cuts something more of a host, at once; what is under way on the link is lost too. Needs hosts.
    pub async fn cut(&self, node: &NodeName, cut: &Cut) -> Result<(), LabError> {
        let rules = match cut {
            Cut::All => "add rule inet pgbaton in iif != lo drop\n\
                         add rule inet pgbaton out oif != lo drop\n"
                .to_owned(),
            Cut::Ssh => format!("add rule inet pgbaton in tcp dport {} drop\n", ssh::PORT),
            Cut::From(peer) => {
                let peer = self.peer(peer)?;
                format!("add rule inet pgbaton in ip saddr {peer} drop\n")
            }
            Cut::To(peer) => {
                let peer = self.peer(peer)?;
                format!("add rule inet pgbaton out ip daddr {peer} drop\n")
            }
        };
        let what = format!("cut the network of `{node}`");
        self.filter(node, &format!("{TABLE}{rules}"), &what).await
    }

    /// Takes back all that was cut of a host. What was cut of others by name of this one stays.
    pub async fn heal(&self, node: &NodeName) -> Result<(), LabError> {
        let rules = format!("{TABLE}delete table inet pgbaton\n");
        let what = format!("mend the network of `{node}`");
        self.filter(node, &rules, &what).await
    }

    async fn filter(&self, node: &NodeName, rules: &str, what: &str) -> Result<(), LabError> {
        self.member(node)?;
        let Some(network) = self.record.network else {
            return Err(LabError::NoHosts {
                lab: self.record.name.clone(),
            });
        };
        let mut nft = enter(network, node)?;
        nft.arg("--").arg(program("nft")?).args(["-f", "-"]);
        run_with(nft, rules, what, NFT).await
    }

    fn peer(&self, peer: &Peer) -> Result<String, LabError> {
        match (peer, self.record.network) {
            (Peer::Here, Some(network)) => Ok(network.here()),
            (Peer::Node(name), _) => {
                let known = self.nodes().find(|n| n.as_str() == name);
                let known = known.ok_or_else(|| LabError::UnknownNode {
                    lab: self.record.name.clone(),
                    node: name.clone(),
                    nodes: self.nodes().map(ToString::to_string).collect(),
                })?;
                Ok(self.address(known))
            }
            (Peer::Here, None) => Err(LabError::NoHosts {
                lab: self.record.name.clone(),
            }),
        }
    }
}
