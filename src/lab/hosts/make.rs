//! Making the hosts, running something on one, removing them.

use super::super::LabError;
use super::super::record::Lab;
use super::super::shell::{command, run_with};
use super::super::user::ServerUser;
use super::needs::program;
use super::network::{Network, path};
use crate::cluster::NodeName;
use futures_util::future::try_join_all;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;
use tokio::process::Command;

/// The bound on one call of `ip`.
const IP: Duration = Duration::from_secs(20);

impl Lab {
    /// Namespaces, bridge, addresses and ssh servers, where the lab is to have hosts.
    pub(in crate::lab) async fn make_hosts(&self) -> Result<(), LabError> {
        let Some(network) = self.record.network else {
            return Ok(());
        };
        for namespace in namespaces(self, network) {
            let made = ip(&["netns", "add", &namespace], "").await;
            made.map_err(refused)?;
        }
        let (door, switch) = (network.door(), network.switch());
        let here = network.here();
        let lines = format!(
            "link add {door} type veth peer name here netns {switch}\naddress add {here}/24 dev {door}\nlink set {door} up\n"
        );
        ip(&["-batch", "-"], &lines).await?;
        let mut lines = String::from(
            "link add bridge type bridge\nlink set bridge up\nlink set here master bridge up\n",
        );
        for node in self.nodes() {
            let namespace = network.namespace(node);
            let _ = writeln!(
                lines,
                "link add {node} type veth peer name eth0 netns {namespace}\nlink set {node} master bridge up"
            );
        }
        ip(&["-n", &switch, "-batch", "-"], &lines).await?;
        for node in self.nodes() {
            let address = self.address(node);
            let lines =
                format!("link set lo up\naddress add {address}/24 dev eth0\nlink set eth0 up\n");
            ip(&["-n", &network.namespace(node), "-batch", "-"], &lines).await?;
        }
        self.make_keys().await?;
        try_join_all(self.nodes().map(|node| self.start_sshd(node))).await?;
        Ok(())
    }

    /// A program that is to run as the servers' user, on the node's host where it has one.
    pub(in crate::lab) fn command_on(
        &self,
        node: &NodeName,
        program: &Path,
    ) -> Result<Command, LabError> {
        let user = &self.record.user;
        let Some(network) = self.record.network else {
            return Ok(command(program, user));
        };
        let mut entering = enter(network, node)?;
        entering
            .arg(format!("--setuid={}", user.uid))
            .arg(format!("--setgid={}", user.gid))
            .arg("--")
            .arg(program)
            .env("HOME", "/");
        Ok(entering)
    }
}

/// `nsenter` into the node's host, as root; what is to run there comes as further arguments.
pub(super) fn enter(network: Network, node: &NodeName) -> Result<Command, LabError> {
    let mut enter = command(&program("nsenter")?, &ServerUser::root());
    let namespace = path(&network.namespace(node));
    enter.arg(format!("--net={}", namespace.display()));
    Ok(enter)
}

/// The bridge's first.
pub(super) fn namespaces(lab: &Lab, network: Network) -> Vec<String> {
    std::iter::once(network.switch())
        .chain(lab.nodes().map(|node| network.namespace(node)))
        .collect()
}

async fn ip(arguments: &[&str], lines: &str) -> Result<(), LabError> {
    let mut ip = command(&program("ip")?, &ServerUser::root());
    ip.args(arguments);
    run_with(ip, lines, "make the network of the hosts", IP).await
}

/// What the kernel says to the first thing that it is asked for is said of all.
fn refused(error: LabError) -> LabError {
    match error {
        LabError::Command { output, .. } if output.contains("not permitted") => LabError::Needs {
            why: format!("no network namespace can be made ({})", output.trim()),
            todo: "a container needs the capabilities SYS_ADMIN and NET_ADMIN for it".to_owned(),
        },
        other => other,
    }
}

/// Removes the namespaces and the machine's interface, as far as they are there. Blocks.
pub(in crate::lab) fn remove(lab: &Lab) -> Result<(), LabError> {
    let Some(network) = lab.record.network else {
        return Ok(());
    };
    let door = network.door();
    if Path::new("/sys/class/net").join(&door).exists() {
        ip_now(&["link", "delete", &door])?;
    }
    for namespace in namespaces(lab, network) {
        if path(&namespace).exists() {
            ip_now(&["netns", "delete", &namespace])?;
        }
    }
    Ok(())
}

/// The kernel does these at once, or says no.
fn ip_now(arguments: &[&str]) -> Result<(), LabError> {
    let what = "remove the network of the hosts";
    let output = std::process::Command::new(program("ip")?)
        .args(arguments)
        .output()
        .map_err(|source| LabError::Spawn {
            what: what.to_owned(),
            program: "ip".to_owned(),
            source,
        })?;
    if output.status.success() {
        return Ok(());
    }
    Err(LabError::Command {
        what: what.to_owned(),
        program: "ip".to_owned(),
        status: output.status.to_string(),
        output: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
