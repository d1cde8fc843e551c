//! What the tests of a rejoin have in common.
#![allow(dead_code, reason = "each test file uses its own part")]

use super::support::{Cluster, Said, UnderWay, swap};
use pgbaton::lab::Fault;
use rustix::process::{Pid, Signal};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) const REJOIN: [&str; 4] = ["--json", "run", "rejoin", "-p"];
pub(crate) const OWN: &str = "SELECT string_agg(name || '=' || setting, ';' ORDER BY name) FROM pg_settings \
     WHERE name IN ('port', 'cluster_name', 'listen_addresses', 'work_mem')";
pub(crate) const MARK: &str = "pgbaton.rewinding";

pub(crate) fn rejoin<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&REJOIN[..], &["node=n1"], more].concat()
}

pub(crate) fn site(cluster: &Cluster) -> String {
    std::fs::read_to_string(cluster.lab.site_file()).unwrap()
}

/// What lies at the top of a data directory.
pub(crate) fn entries(cluster: &Cluster, node: &str) -> Vec<String> {
    let names = std::fs::read_dir(cluster.data(node)).unwrap();
    let mut names: Vec<String> = names
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

pub(crate) fn beside(cluster: &Cluster, node: &str) -> Vec<String> {
    let data = cluster.data(node);
    let stem = data.file_name().unwrap().to_str().unwrap().to_owned();
    let names = std::fs::read_dir(data.parent().unwrap()).unwrap();
    let names = names.map(|e| e.unwrap().file_name().into_string().unwrap());
    names
        .filter(|n| n.starts_with(&format!("{stem}.pgbaton.")))
        .collect()
}

/// The primary is killed where nobody has received what it wrote last, and n2 takes over.
pub(crate) async fn diverge(cluster: &Cluster) {
    cluster
        .tell("n1", "ALTER SYSTEM SET work_mem = '5555kB'")
        .await;
    cluster.tell("n1", "SELECT pg_reload_conf()").await;
    cluster.fault("n2", Fault::Stop).await;
    cluster
        .tell("n1", "CREATE TABLE lost AS SELECT generate_series(1, 5000)")
        .await;
    cluster.fault("n1", Fault::Kill).await;
    cluster.fault("n2", Fault::Start).await;
    let loss = ["run", "failover", "-p", "accept_loss=the test"];
    cluster.pgbaton(&loss).await.expect(0);
    assert_eq!(cluster.primary().await, "n2");
    cluster
        .tell("n2", "CREATE TABLE since AS SELECT generate_series(1, 7)")
        .await;
}

pub(crate) async fn assert_came_back(cluster: &Cluster, own: &str) {
    cluster.assert_streams("n1", "n2").await;
    cluster.until("n1", "SELECT count(*) FROM since", "7").await;
    let lost = "SELECT count(*) FROM pg_tables WHERE tablename = 'lost'";
    assert_eq!(cluster.ask("n1", lost).await, "0");
    assert_eq!(cluster.ask("n1", OWN).await, own);
    assert!(own.contains("work_mem=5555"), "{own}");
    let left = entries(cluster, "n1");
    assert!(
        !left
            .iter()
            .any(|n| n.starts_with("pgbaton.saved") || n == MARK),
        "{left:?}"
    );
    assert!(!left.contains(&"pgbaton.complete".to_owned()));
}

pub(crate) fn owner(cluster: &Cluster) -> u32 {
    let about = std::fs::metadata(cluster.data("n1")).unwrap();
    std::os::unix::fs::MetadataExt::uid(&about)
}

pub(crate) fn operations(said: &Said) -> Vec<String> {
    said.intended()
        .iter()
        .map(|(_, o)| o["operation"].as_str().unwrap().to_owned())
        .collect()
}

pub(crate) fn own(cluster: &Cluster) -> String {
    let port = cluster.endpoint("n1").port;
    format!("cluster_name=n1;listen_addresses=127.0.0.1;port={port};work_mem=5555")
}

/// The lab's programs, one of them in this dress: `real` is the program, and `hold` waits for as long as the file that is
/// returned is there.
pub(crate) fn dressed(cluster: &Cluster, program: &str, dress: &str) -> PathBuf {
    let text = site(cluster);
    let line = text.lines().find_map(|l| l.trim().strip_prefix("bin: "));
    let bin = line.unwrap().to_owned();
    let own = cluster.lab.dir().join("own");
    std::fs::create_dir(&own).unwrap();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&own, open.clone()).unwrap();
    for other in std::fs::read_dir(&bin).unwrap().flatten() {
        if other.file_name() != program {
            std::os::unix::fs::symlink(other.path(), own.join(other.file_name())).unwrap();
        }
    }
    let file = cluster.lab.dir().join("hold");
    std::fs::write(&file, "").unwrap();
    let script = format!(
        "#!/bin/sh\nreal() {{ {bin}/{program} \"$@\"; }}\nhold() {{ n=0; while [ -e {} ] && [ $n -lt 600 ]; do \
         n=$((n + 1)); sleep 0.1; done; }}\ncase \"$*\" in *--dry-run*|*--help*|*--version*) real \"$@\"; exit ;; esac\n{dress}\n",
        file.display()
    );
    std::fs::write(own.join(program), script).unwrap();
    std::fs::set_permissions(own.join(program), open).unwrap();
    let text = swap(&text, &bin, own.to_str().unwrap());
    std::fs::write(cluster.lab.site_file(), text).unwrap();
    file
}

/// What of the program runs for n1.
fn processes(cluster: &Cluster, program: &str) -> Vec<Pid> {
    let data = cluster.data("n1").display().to_string();
    let of_it = |process: std::fs::DirEntry| {
        let pid: i32 = process.file_name().to_str()?.parse().ok()?;
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        (line.contains(&data) && line.contains(program))
            .then(|| Pid::from_raw(pid))
            .flatten()
    };
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(of_it).collect()
}

pub(crate) fn running(cluster: &Cluster, program: &str) -> usize {
    processes(cluster, program).len()
}

/// Everything of it, which nobody's pipe holds.
pub(crate) fn kill_all(cluster: &Cluster, program: &str) {
    let found = processes(cluster, program);
    assert!(!found.is_empty(), "no {program} runs");
    for pid in found {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}

pub(crate) async fn until_there(path: &Path) {
    for _ in 0..1200 {
        if path.exists() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{} does not come to be", path.display());
}

/// A rejoin under way, and its id.
pub(crate) async fn under_way(cluster: &Cluster, more: &[&str]) -> (UnderWay, String) {
    let arguments = [&["rejoin", "-p", "node=n1"], more].concat();
    let mut run = UnderWay::start(cluster.lab.site_file(), &arguments);
    let started = run.until(|e| e["event"] == "run_started").await;
    (run, started["run"].as_str().unwrap().to_owned())
}
