//! A site with hooks, and signatures as its callers make them.
#![allow(dead_code, reason = "each test file uses its own part")]

use crate::served::Served;
use crate::support::pgbaton;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value as Json;
use sha2::Sha256;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the hook `page` is signed with.
pub(crate) const SECRET: &str = "the secret of those who page";

/// A site where nothing answers.
pub(crate) struct Site {
    dir: tempfile::TempDir,
    pub(crate) file: PathBuf,
}

impl Site {
    /// With these playbooks and hooks; each cluster has the nodes `n1` and `n2`.
    pub(crate) fn new(playbooks: &[(&str, &str)], hooks: &str, clusters: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("playbooks");
        std::fs::create_dir(&folder).unwrap();
        for (name, text) in playbooks {
            std::fs::write(folder.join(format!("{name}.yaml")), text).unwrap();
        }
        let clusters = clusters.iter().map(|name| {
            format!(
                "  {name}:
    sql: {{ user: u }}
    replication: {{ user: r }}
    transport: none
    defaults: {{ data: /d, bin: /b }}
    nodes: {{ n1: {{ host: 127.0.0.1, port: 1 }}, n2: {{ host: 127.0.0.1, port: 2 }} }}
"
            )
        });
        let clusters: String = clusters.collect();
        let text = format!(
            "site: s\njournal: journal\nvars: {{ grace: 2s }}\nhooks:\n{hooks}clusters:\n{clusters}"
        );
        let file = dir.path().join("site.yaml");
        std::fs::write(&file, text).unwrap();
        let site = Self { dir, file };
        site.secret(SECRET, 0o600);
        site
    }

    /// Writes the secret of the hook `page`.
    pub(crate) fn secret(&self, text: &str, mode: u32) {
        put_secret(&self.dir.path().join("page.secret"), text, mode);
    }

    /// The events of a run, by the command line.
    pub(crate) async fn events(&self, run: &str) -> Vec<Json> {
        let site = self.file.to_str().unwrap();
        let words = ["--site", site, "--json", "runs", "follow", run];
        pgbaton(&words).await.expect(0).events()
    }

    /// Everything that the journal holds, as text.
    pub(crate) fn files(&self) -> String {
        let files = std::fs::read_dir(self.dir.path().join("journal")).unwrap();
        let files = files.map(|file| std::fs::read(file.unwrap().path()).unwrap());
        files.fold(String::new(), |all, file| {
            all + &String::from_utf8_lossy(&file)
        })
    }
}

pub(crate) fn put_secret(path: &Path, text: &str, mode: u32) {
    std::fs::write(path, format!("{text}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// So many seconds ago, in seconds since 1970.
pub(crate) fn ago(seconds: i64) -> i64 {
    jiff::Timestamp::now().as_second() - seconds
}

/// As a caller signs.
pub(crate) fn signature(secret: &str, time: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{time}.{body}").as_bytes());
    let mac = mac.finalize().into_bytes();
    mac.iter().fold(format!("t={time},v1="), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// All runs, newest first.
pub(crate) async fn runs(served: &Served) -> Vec<Json> {
    let told = served.get("view", "/v1/runs?limit=100").await.expect(200);
    told.json()["runs"].as_array().unwrap().clone()
}

/// Waits until a run has ended.
pub(crate) async fn until_ended(served: &Served, run: &str) {
    for _ in 0..1200 {
        let all = runs(served).await;
        if all
            .iter()
            .any(|one| one["run"] == run && one["standing"] == "ended")
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("run {run} does not end");
}
