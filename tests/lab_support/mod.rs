//! What the lab's tests have in common.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use pgbaton::cluster::NodeName;
use pgbaton::lab::{Endpoint, Lab, LabOptions};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory of labs that no other test sees; it and all labs in it are gone when dropped.
pub(crate) struct Root {
    dir: PathBuf,
}

impl Root {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // Below /var/tmp and open to all: the servers' user must get in when the tests run as root.
        Self {
            dir: PathBuf::from(format!(
                "/var/tmp/pgbaton-test-{}-{}",
                std::process::id(),
                COUNT.fetch_add(1, Ordering::Relaxed)
            )),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn options(&self, name: &str, standbys: u32) -> LabOptions {
        LabOptions {
            name: name.to_owned(),
            standbys,
            root: Some(self.dir.clone()),
            ..LabOptions::default()
        }
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        // After a failed assertion labs may be left.
        for name in Lab::list_in(&self.dir).unwrap_or_default() {
            if let Ok(lab) = Lab::open_in(&self.dir, &name) {
                drop(lab.disposable());
            }
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

pub(crate) async fn up(root: &Root, name: &str, standbys: u32) -> Lab {
    match Lab::up(root.options(name, standbys)).await {
        Ok(lab) => lab,
        Err(e) => panic!("{e}\n{:?}", e.help()),
    }
}

pub(crate) fn name(text: &str) -> NodeName {
    NodeName::parse(text).unwrap()
}

pub(crate) async fn client(endpoint: &Endpoint) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::Config::new()
        .host(&endpoint.host)
        .port(endpoint.port)
        .user(&endpoint.user)
        .dbname(&endpoint.dbname)
        .connect(tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    client
}

/// No directory, no process that works below it or names it, no claim on a port.
pub(crate) fn assert_nothing_left(root: &Root, ports: &[u16]) {
    assert!(!root.path().exists(), "{} is left", root.path().display());
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        if pid == std::process::id() {
            continue;
        }
        let cwd = std::fs::read_link(entry.path().join("cwd")).unwrap_or_default();
        let cmdline = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let cmdline = String::from_utf8_lossy(&cmdline).into_owned();
        let below = root.path().to_string_lossy().into_owned() + "/";
        assert!(
            !cwd.starts_with(root.path()) && !cmdline.contains(&below),
            "process {pid} is left: {} {cmdline}",
            cwd.display()
        );
    }
    let uid = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap());
    for port in ports {
        let claim = PathBuf::from(format!("/var/tmp/pgbaton-ports-{uid}/{port}"));
        let holder = std::fs::read_to_string(&claim).unwrap_or_default();
        assert!(
            !Path::new(&holder).starts_with(root.path()),
            "{} is left",
            claim.display()
        );
    }
}

/// The ids of the System V shared memory segments of a lab's servers.
pub(crate) fn segments(lab: &Lab) -> Vec<String> {
    lab.nodes()
        .filter_map(|node| std::fs::read_to_string(lab.data(node).join("postmaster.pid")).ok())
        .filter_map(|file| Some(file.lines().nth(6)?.split_whitespace().nth(1)?.to_owned()))
        .collect()
}

/// Whether the kernel still has a segment.
pub(crate) fn segment_exists(id: &str) -> bool {
    std::fs::read_to_string("/proc/sysvipc/shm")
        .unwrap()
        .lines()
        .skip(1)
        .any(|line| line.split_whitespace().nth(1) == Some(id))
}
