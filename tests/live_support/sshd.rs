//! An ssh server of our own on loopback, with keys made for one test.

use pgbaton::cluster::Transport;
use pgbaton::site::Site;
use pgbaton::transport::SshOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running `sshd`; it ends with the test.
pub struct Sshd {
    dir: tempfile::TempDir,
    server: Child,
    pub port: u16,
}

fn keygen(path: &Path) {
    let done = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(path)
        .status();
    assert!(done.unwrap().success());
}

impl Sshd {
    pub async fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("pgs")
            .tempdir_in("/tmp")
            .unwrap();
        // The server reads the authorised keys as the user who logs in.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(dir.path(), open).unwrap();
        keygen(&dir.path().join("host"));
        keygen(&dir.path().join("user"));
        let port = super::free_port();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\n\
             UsePAM {}\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nLogLevel VERBOSE\n",
            path("host"),
            path("user.pub"),
            // Without PAM, an account that has no password, as that of a service, counts as locked.
            if rustix::process::geteuid().is_root() {
                "yes"
            } else {
                "no"
            },
        );
        std::fs::write(dir.path().join("config"), config).unwrap();
        let key = std::fs::read_to_string(path("host.pub")).unwrap();
        std::fs::write(
            dir.path().join("known"),
            format!("[127.0.0.1]:{port} {key}"),
        )
        .unwrap();
        if rustix::process::geteuid().is_root() {
            std::fs::create_dir_all("/run/sshd").unwrap();
        }
        let server = Command::new("/usr/sbin/sshd")
            .args(["-D", "-f", &path("config"), "-E", &path("log")])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let sshd = Self { dir, server, port };
        let end = Instant::now() + super::PATIENCE;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < end, "sshd does not listen: {}", sshd.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        sshd
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// How often somebody logged in.
    pub fn logins(&self) -> usize {
        self.log().matches("Accepted publickey").count()
    }

    pub fn options(&self) -> SshOptions {
        // An empty configuration: nothing of the developer's own may matter.
        std::fs::write(self.path("client"), "").unwrap();
        SshOptions {
            host: "127.0.0.1".into(),
            user: None,
            port: Some(self.port),
            identity: Some(self.path("user")),
            config: Some(self.path("client")),
            known_hosts: Some(self.path("known")),
        }
    }

    /// Every node of the site is reached by it, as the user who owns the servers.
    pub fn reach(&self, site: &mut Site) {
        let options = self.options();
        let clusters = site.clusters.values_mut();
        for node in clusters.flat_map(|cluster| cluster.nodes.values_mut()) {
            let user = match &node.transport {
                Transport::Local { user } => user.clone(),
                other => panic!("{other:?}"),
            };
            node.transport = Transport::Ssh {
                host: None,
                user,
                port: options.port,
                identity: options.identity.clone(),
                config: options.config.clone(),
                known_hosts: options.known_hosts.clone(),
            };
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
