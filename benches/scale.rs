//! One process that watches many clusters: what each costs in CPU and memory, of pgbaton's own process.
//!
//! `cargo bench --bench scale -- --clusters 1000 --seconds 60`
//!
//! One cluster is a lab of three real servers. The others are stand-ins on the wire: for every statement of the watch they give the
//! answer that the lab's primary or standby gave to it, with addresses of their own. They cost the machine CPU, too, which
//! is not counted; nothing ever happens to them.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measurement prints, and one that cannot run must stop"
)]

#[path = "support/stand_in.rs"]
mod stand_in;
#[path = "support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use support::{Rig, option};
use tokio::time::sleep;

/// The site file of so many clusters, the lab's own first.
fn site(rig: &Rig, clusters: u32, port: u16) -> String {
    let real = std::fs::read_to_string(rig.lab.site_file()).expect("the lab's site file");
    let mut text = real.trim_end().to_owned() + "\n";
    for cluster in 1..clusters {
        let _ = write!(
            text,
            "  c{cluster}:\n    product: postgresql\n    sql: {{ user: postgres, dbname: postgres, port: {port} }}\n    \
             replication: {{ user: postgres }}\n    synchronous: {{ mode: quorum }}\n    ssh: {{ user: nobody }}\n    \
             defaults: {{ data: /nowhere, bin: /nowhere }}\n    nodes:\n"
        );
        for node in 1..=3u8 {
            let host = stand_in::address(cluster, node);
            let _ = writeln!(text, "      n{node}: {{ host: {host} }}");
        }
    }
    text
}

/// CPU seconds that a process has used, and its memory in KiB: now, and at most.
fn usage(pid: u32) -> (f64, f64, f64) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields: Vec<&str> = stat
        .rsplit(") ")
        .next()
        .unwrap_or_default()
        .split(' ')
        .collect();
    let ticks: f64 = fields[11..13]
        .iter()
        .map(|f| f.parse::<f64>().expect("ticks"))
        .sum();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let kib = |name: &str| -> f64 {
        let line = status
            .lines()
            .find(|line| line.starts_with(name))
            .expect("a line");
        line.split_whitespace()
            .nth(1)
            .expect("a number")
            .parse()
            .expect("a number")
    };
    (ticks / 100.0, kib("VmRSS:"), kib("VmHWM:"))
}

async fn once(rig: &Rig, clusters: u32, port: u16, seconds: u32) {
    let file = rig.lab.dir().join(format!("site-{clusters}.yaml"));
    std::fs::write(&file, site(rig, clusters, port)).expect("a site file");
    let log = std::fs::File::create(rig.lab.dir().join("serve.log")).expect("a log");
    let mut serve = serve(&file, log);
    let pid = serve.id().expect("it runs");
    // Until every session is open.
    let settle = Duration::from_secs(20 + u64::from(clusters) / 50);
    sleep(settle).await;
    let (before, _, _) = usage(pid);
    sleep(Duration::from_secs(seconds.into())).await;
    let (after, now, most) = usage(pid);
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("it runs")
        .count();
    let cores = (after - before) / f64::from(seconds);
    println!(
        "{clusters:>5} clusters: {cores:.3} cores, {:.2} ms of CPU a second for each; {:.0} MiB ({:.0} at most), {:.0} KiB for each; \
         {descriptors} descriptors; {} statements a second answered by stand-ins",
        cores * 1000.0 / f64::from(clusters),
        now / 1024.0,
        most / 1024.0,
        now / f64::from(clusters),
        stand_in::answered() / u64::from(seconds + u32::try_from(settle.as_secs()).expect("few")),
    );
    let text = std::fs::read_to_string(rig.lab.dir().join("serve.log")).expect("a log");
    let well = text
        .lines()
        .filter(|line| line.contains("is the primary"))
        .count();
    println!("      {well} of them were seen to be well");
    let _ = serve.start_kill();
    let _ = serve.wait().await;
}

fn serve(site: &Path, log: std::fs::File) -> tokio::process::Child {
    tokio::process::Command::new(env!("CARGO_BIN_EXE_pgbaton"))
        .args(["--site", site.to_str().expect("utf-8"), "serve"])
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .expect("pgbaton serve")
}

#[tokio::main]
async fn main() {
    let most = option("clusters", 1000);
    let seconds = option("seconds", 60);
    let rig = Rig::up("scale", 2).await;
    let port = stand_in::start(rig.endpoint("n1").clone(), rig.endpoint("n2").clone()).await;
    for clusters in [most / 4, most / 2, most] {
        once(&rig, clusters, port, seconds).await;
    }
    rig.lab.down().await.expect("down");
}
