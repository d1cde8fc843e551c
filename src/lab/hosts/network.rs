//! The network of one lab, by its number: addresses, and the names of what the kernel is asked to make.

use crate::cluster::NodeName;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// Where named namespaces are.
const NAMESPACES: &str = "/run/netns";
/// The first network's second byte.
const FIRST: u16 = 64;
/// The address of this machine within the network.
const HERE: u8 = 254;

/// 10.64.0.0/24 to 10.127.255.0/24, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(in crate::lab) struct Network(u16);

impl Network {
    /// How many there are.
    pub(in crate::lab) const COUNT: u16 = 64 * 256;

    /// The network of this number.
    pub(in crate::lab) fn numbered(number: u16) -> Self {
        Self(number % Self::COUNT)
    }

    fn at(self, last: u8) -> Ipv4Addr {
        let [second, third] = (FIRST * 256 + self.0).to_be_bytes();
        Ipv4Addr::new(10, second, third, last)
    }

    /// The address of the node in this place, from 0.
    pub(in crate::lab) fn address(self, place: usize) -> String {
        // A lab has at most 16 nodes.
        self.at(u8::try_from(place + 1).unwrap_or(u8::MAX))
            .to_string()
    }

    /// The address over which pgbaton comes.
    pub(super) fn here(self) -> String {
        self.at(HERE).to_string()
    }

    /// All of it, as rules name it.
    pub(in crate::lab) fn subnet(self) -> String {
        format!("{}/24", self.at(0))
    }

    /// The interface in the machine's own namespace.
    pub(super) fn door(self) -> String {
        format!("pgb{}", self.0)
    }

    /// The namespace of the bridge.
    pub(super) fn switch(self) -> String {
        format!("pgbaton-{}-switch", self.0)
    }

    /// The namespace of a node.
    pub(super) fn namespace(self, node: &NodeName) -> String {
        format!("pgbaton-{}-{node}", self.0)
    }

    /// Whether a namespace of it is there, be it of a lab that was not wholly removed.
    fn is_left_over(self) -> bool {
        let ours = format!("pgbaton-{}-", self.0);
        let there = std::fs::read_dir(NAMESPACES)
            .into_iter()
            .flatten()
            .flatten();
        there
            .map(|entry| entry.file_name())
            .any(|name| name.to_string_lossy().starts_with(&ours))
    }

    /// Whether nothing on this machine is on it, or on the way to it.
    pub(in crate::lab) fn is_free(self) -> bool {
        let routes = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
        !Path::new("/sys/class/net").join(self.door()).exists()
            && !self.is_left_over()
            && !covered(&routes, self)
    }
}

/// The file that stands for a namespace.
pub(super) fn path(namespace: &str) -> PathBuf {
    Path::new(NAMESPACES).join(namespace)
}

/// Whether a route, other than the default one, has addresses in common with the network.
fn covered(routes: &str, network: Network) -> bool {
    let ours = u32::from(network.at(0));
    let number = |field: &str| u32::from_str_radix(field, 16).ok().map(u32::swap_bytes);
    routes.lines().skip(1).any(|line| {
        // Interface, destination, gateway, flags, three counters, mask.
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (Some(to), Some(mask)) = (
            fields.get(1).and_then(|field| number(field)),
            fields.get(7).and_then(|field| number(field)),
        ) else {
            return false;
        };
        let mask = mask & 0xffff_ff00;
        mask != 0 && to & mask == ours & mask
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_networks_of_their_own() {
        for (number, subnet) in [
            (0, "10.64.0.0/24"),
            (257, "10.65.1.0/24"),
            (Network::COUNT - 1, "10.127.255.0/24"),
        ] {
            assert_eq!(Network::numbered(number).subnet(), subnet);
        }
        let network = Network::numbered(257);
        assert_eq!(network.address(0), "10.65.1.1");
        assert_eq!(network.here(), "10.65.1.254");
        // The kernel takes no longer name for an interface.
        assert!(Network::numbered(Network::COUNT - 1).door().len() <= 15);
    }

    #[test]
    fn a_network_under_a_route_of_the_machine_is_not_free() {
        let network = Network::numbered(257);
        let table = |line: &str| format!("Iface\tDestination\tGateway …\n{line}\n");
        for (covers, line) in [
            (false, "eth0 00000000 0102000A 0003 0 0 0 00000000 0 0 0"),
            (false, "eth0 0002000A 00000000 0001 0 0 0 00FFFFFF 0 0 0"),
            (true, "tun0 0000000A 00000000 0001 0 0 0 000000FF 0 0 0"),
            (true, "br0 0001410A 00000000 0001 0 0 0 00FFFFFF 0 0 0"),
            (true, "br0 0701410A 00000000 0005 0 0 0 FFFFFFFF 0 0 0"),
        ] {
            assert_eq!(covered(&table(line), network), covers, "{line}");
        }
    }
}
