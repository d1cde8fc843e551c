//! Ports that two tests never share, also while their servers are down.
//!
//! "Nobody listens on it right now" is not enough: a port of the kernel's ephemeral range may be the near end of some
//! outgoing connection a moment later, when the server wants it. These lie below that range, and each is claimed by
//! an abstract socket of its name, which the kernel gives back when the test's process ends, however it ends.

use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::Mutex;

/// Below the ports of labs, which begin at 20,000.
const RANGE: std::ops::Range<u16> = 12_000..20_000;

static CLAIMS: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());

/// A port on loopback that is this process's until it ends.
pub fn free_port() -> u16 {
    let width = u32::from(RANGE.end - RANGE.start);
    let start = std::process::id().wrapping_mul(2_654_435_761) % width;
    let port = (0..width)
        .map(|i| RANGE.start + u16::try_from((start + i) % width).unwrap())
        .find(|port| claim(*port) && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    port.unwrap()
}

fn claim(port: u16) -> bool {
    let name = SocketAddr::from_abstract_name(format!("pgbaton-test-port-{port}")).unwrap();
    match UnixListener::bind_addr(&name) {
        Ok(claim) => {
            CLAIMS.lock().unwrap().push(claim);
            true
        }
        Err(_) => false,
    }
}
