//! The ssh server of every host, with keys that are the lab's own.

use super::super::LabError;
use super::super::record::Lab;
use super::super::shell::{command, log_tail, run};
use super::super::user::ServerUser;
use super::make::enter;
use super::needs::program;
use crate::cluster::{NodeName, Transport};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// The bound on one program.
const PROGRAM: Duration = Duration::from_secs(20);
/// The bound on a server's way to listening.
const LISTENS: Duration = Duration::from_secs(20);
/// The port of every ssh server.
pub(super) const PORT: u16 = 22;

impl Lab {
    /// A file of the ssh servers, or of those who come to them.
    fn ssh_file(&self, name: &str) -> PathBuf {
        self.dir.join("ssh").join(name)
    }

    /// A key pair for whoever comes, one for every host, and a list of the hosts' keys; nothing else is trusted.
    pub(super) async fn make_keys(&self) -> Result<(), LabError> {
        let dir = self.dir.join("ssh");
        std::fs::create_dir(&dir).map_err(|source| LabError::File {
            what: "create",
            path: dir.clone(),
            source,
        })?;
        keygen(&dir.join("key")).await?;
        let mut known = String::new();
        for node in self.nodes() {
            let file = self.ssh_file(node.as_str());
            keygen(&file).await?;
            let key = read(&file.with_extension("pub"))?;
            let _ = writeln!(known, "{} {}", self.address(node), key.trim_end());
        }
        write(&dir.join("known_hosts"), &known)?;
        let config =
            "StrictHostKeyChecking yes\nGlobalKnownHostsFile /dev/null\nUpdateHostKeys no\n";
        write(&dir.join("config"), config)
    }

    /// Starts the node's ssh server on its host; back when it listens.
    pub(super) async fn start_sshd(&self, node: &NodeName) -> Result<(), LabError> {
        let Some(network) = self.record.network else {
            return Ok(());
        };
        // A directory of the ssh server's own, which the machine's makes when it starts.
        write_dir(Path::new("/run/sshd"))?;
        let address = self.address(node);
        let config = format!(
            "Port {PORT}\nListenAddress {address}\nHostKey \"{}\"\nAuthorizedKeysFile \"{}\"\nPidFile none\n\
             AllowUsers {}\nStrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PermitRootLogin prohibit-password\nUseDNS no\nPrintMotd no\n\
             # Without PAM an account that has no password, as that of a service, counts as locked.\nUsePAM yes\n",
            self.ssh_file(node.as_str()).display(),
            self.ssh_file("key.pub").display(),
            self.record.user.name.as_deref().unwrap_or("root"),
        );
        let file = self.ssh_file(&format!("{node}.config"));
        let log = self.ssh_file(&format!("{node}.log"));
        write(&file, &config)?;
        let mut sshd = enter(network, node)?;
        sshd.arg("--").arg(program("sshd")?);
        sshd.arg("-f").arg(&file).arg("-E").arg(&log);
        let what = format!("start the ssh server of `{node}`");
        run(sshd, &what, PROGRAM).await?;
        let end = Instant::now() + LISTENS;
        let listens = async || {
            let tried = TcpStream::connect((address.as_str(), PORT));
            matches!(
                tokio::time::timeout(Duration::from_secs(1), tried).await,
                Ok(Ok(_))
            )
        };
        while !listens().await {
            if Instant::now() >= end {
                return Err(LabError::Late {
                    what,
                    after: LISTENS,
                    output: log_tail(&log),
                });
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// How commands reach the hosts.
    pub(in crate::lab) fn ssh(&self) -> Transport {
        Transport::Ssh {
            host: None,
            user: self.record.user.name.clone(),
            port: None,
            identity: Some(self.ssh_file("key")),
            config: Some(self.ssh_file("config")),
            known_hosts: Some(self.ssh_file("known_hosts")),
        }
    }
}

async fn keygen(file: &Path) -> Result<(), LabError> {
    let mut keygen = command(&program("ssh-keygen")?, &ServerUser::root());
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "pgbaton lab", "-f"]);
    keygen.arg(file);
    run(keygen, "make a key pair", PROGRAM).await
}

fn write(path: &Path, text: &str) -> Result<(), LabError> {
    std::fs::write(path, text).map_err(|source| LabError::File {
        what: "write",
        path: path.to_owned(),
        source,
    })
}

fn write_dir(path: &Path) -> Result<(), LabError> {
    std::fs::create_dir_all(path).map_err(|source| LabError::File {
        what: "create",
        path: path.to_owned(),
        source,
    })
}

fn read(path: &Path) -> Result<String, LabError> {
    std::fs::read_to_string(path).map_err(|source| LabError::File {
        what: "read",
        path: path.to_owned(),
        source,
    })
}
