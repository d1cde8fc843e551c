//! Monitors, the real ones, that start pgbaton by its command line as `docs/monitors.md` shows.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod hosts_support;
mod live_support;
mod monitors_support;
mod repmgr_support;
mod support;

use hosts_support::{can_have_hosts, namespace, network, on_hosts};
use live_support::free_port;
use monitors_support::pgpool::{settings, until_says};
use monitors_support::{Place, assert_moved, block, filled};
use pgbaton::lab::Fault;
use repmgr_support::Registered;
use std::path::Path;
use std::time::Duration;
use support::{Cluster, pgbaton};

/// The repmgrd of a node, configured as the page shows.
fn configure_repmgrd(repmgr: &Registered, place: &Place, node: &str) {
    let conninfo = repmgr.conninfo(node);
    let shown = "host=127.0.0.1 port=5432 user=repmgr dbname=repmgr";
    let script = place.script("/usr/local/bin/pgbaton-repmgrd", &[(shown, &conninfo)]);
    let own = format!("{script}-{node}");
    std::fs::rename(script, &own).unwrap();
    let shown = block("repmgr.conf");
    let shown = filled(
        &shown,
        &[("/usr/local/bin/pgbaton-repmgrd", &own), ("n2", node)],
    );
    let conf = std::fs::read_to_string(repmgr.conf(node)).unwrap();
    let replaced = |line: &&str| {
        let key = line.split('=').next();
        !shown.lines().any(|new| new.split('=').next() == key)
    };
    let kept: Vec<&str> = conf.lines().filter(replaced).collect();
    // Its defaults take a minute to notice.
    let quick = "monitor_interval_secs=1\nreconnect_attempts=2\nreconnect_interval=1";
    let text = format!("{}\n{shown}{quick}\n", kept.join("\n"));
    std::fs::write(repmgr.conf(node), text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn repmgrd_notices_and_pgbaton_does_the_rest() {
    let repmgr = Registered::up("mon-repmgrd", 2).await;
    let cluster = &repmgr.cluster;
    let place = Place::new(cluster);
    let imported = cluster.lab.dir().join("imported.yaml");
    let conninfo = repmgr.conninfo("n1");
    let out = imported.to_str().unwrap();
    pgbaton(&["import", "repmgr", "--out", out, "--conninfo", &conninfo])
        .await
        .expect(4);
    place.site(&std::fs::read_to_string(&imported).unwrap());
    let mut daemons = Vec::new();
    for node in ["n1", "n2", "n3"] {
        configure_repmgrd(&repmgr, &place, node);
        daemons.push(repmgr.daemon(node));
    }
    for node in ["n1", "n2", "n3"] {
        until_acts(&repmgr, node).await;
    }

    cluster.fault("n1", Fault::Kill).await;
    place.until_one_ended("failover", "ok").await;
    let (new, other) = assert_moved(cluster).await;
    // Called for the other standby, it finds that there is nothing to do.
    let follow = place.until_one_ended("follow", "ok").await;
    assert_changed_nothing(&place, &follow).await;
    assert_eq!(place.runs("failover").await.len(), 1);

    // All that were paused act again, and agree with what is there.
    for node in [&new, &other] {
        until_acts(&repmgr, node).await;
    }
    let (rows, _) = repmgr.show(&new).await;
    let expected = [
        format!("{new}|primary|* running|"),
        format!("{other}|standby|running|{new}"),
    ];
    assert!(expected.iter().all(|row| rows.contains(row)), "{rows:?}");
    // Gone before their configuration is: nobody could tell whose they are.
    for mut daemon in daemons {
        daemon.kill().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_that_elect_themselves_at_the_same_instant_make_one_run() {
    let cluster = Cluster::up("mon-two", 3).await;
    let place = Place::new(&cluster);
    let script = place.script("/usr/local/bin/pgbaton-repmgrd", &[]);
    let called = async |node| {
        let said = place.run(&script, &["promote", node]).await;
        (said.status.code(), node, said)
    };
    // A daemon that is wrong about the primary changes nothing.
    assert_eq!(called("n2").await.0, Some(3));
    assert_eq!(cluster.primary().await, "n1");
    assert_eq!(place.runs("failover").await.len(), 1);
    cluster.fault("n4", Fault::Stop).await;
    cluster.fault("n1", Fault::Kill).await;
    let (one, two) = tokio::join!(called("n2"), called("n3"));
    let mut codes = [one, two];
    codes.sort_unstable_by_key(|(code, ..)| *code);
    // n4 was left behind, which repmgrd is to take for a success.
    let said = &codes[0].2;
    assert_eq!([codes[0].0, codes[1].0], [Some(0), Some(5)], "{said:?}");
    let runs = place.runs("failover").await;
    assert_eq!((runs.len(), &runs[0]["outcome"]), (2, &"degraded".into()));
    let (new, _) = assert_moved(&cluster).await;
    assert_eq!(new, codes[0].1, "whom the daemon that succeeded elected");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_dead_and_has_not_been_reaped_manages_nothing() {
    let cluster = Cluster::up("mon-dead", 1).await;
    let program = cluster.lab.dir().join("repmgrd");
    std::fs::copy("/bin/true", &program).unwrap();
    // Nobody waits for it until the end of the test.
    let mut dead = std::process::Command::new(&program).spawn().unwrap();
    let state = format!("/proc/{}/status", dead.id());
    for _ in 0..600 {
        if std::fs::read_to_string(&state).is_ok_and(|text| text.contains("State:\tZ")) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let said = cluster.pgbaton(&["status"]).await.expect(0);
    let named = format!("process {}", dead.id());
    assert!(!said.stdout.contains(&named), "{}", said.stdout);
    dead.wait().unwrap();
}

/// What a run found as it was to be, it left alone.
async fn assert_changed_nothing(place: &Place, run: &str) {
    let words = [
        "--site",
        &place.path("site.yaml"),
        "--json",
        "runs",
        "show",
        run,
    ];
    let shown = place.run(&place.path("pgbaton"), &words).await;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let did = |operation: &str| shown.contains(&format!("\"operation\":\"{operation}\""));
    assert!(did("mark"), "it verified: {shown}");
    for changed in ["set_upstream", "create_slot", "stop", "start"] {
        assert!(!did(changed), "{changed}: {shown}");
    }
}

/// Waits until the repmgrd of a node runs and is not paused.
async fn until_acts(repmgr: &Registered, node: &str) {
    for _ in 0..600 {
        if repmgr.service(node).await == (true, false) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let log = std::fs::read_to_string(repmgr.conf(node).with_extension("log"));
    panic!("repmgrd of {node} does not act: {log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pgpool_notices_and_has_every_standby_follow() {
    let program = Path::new("/usr/sbin/pgpool");
    assert!(program.exists(), "scripts/test installs pgpool");
    let cluster = Cluster::up("mon-pgpool", 2).await;
    let place = Place::new(&cluster);
    let (port, pcp) = (free_port(), free_port());
    let own = format!("-p {pcp} -U");
    let script = place.script("/usr/local/bin/pgbaton-pgpool", &[("-p 9898 -U", &own)]);
    let shown = ("/usr/local/bin/pgbaton-pgpool", script.as_str());
    let conf = filled(&block("pgpool.conf"), &[shown]) + &settings(&cluster, &place, port, pcp);
    std::fs::write(place.dir.join("pgpool.conf"), conf).unwrap();
    // The digest of `secret`.
    let user = "pgpool:5ebe2294ecd0e0f08eab7690d2a6ee69\n";
    std::fs::write(place.dir.join("pcp.conf"), user).unwrap();
    // Its owner is who runs pgpool, or it is not read.
    let words = format!(
        "umask 077; echo '127.0.0.1:{pcp}:pgpool:secret' > {}",
        place.path("pcppass")
    );
    let made = place.run("/bin/sh", &["-c", &words]).await;
    assert!(made.status.success(), "{made:?}");
    // A standby that fails is none of pgbaton's.
    let said = place.run(&script, &["failover", "2", "0"]).await;
    assert_eq!(said.status.code(), Some(0), "{said:?}");
    assert!(place.runs("failover").await.is_empty());
    let files = ["pgpool.conf", "pcp.conf"].map(|file| place.path(file));
    let mut command = place.command(program, &["-n", "-f", &files[0], "-F", &files[1]]);
    command.env("PCPPASSFILE", place.path("pcppass"));
    let daemon = place.start(command, "pgpool.log");
    let all_up = ["0 up primary", "1 up standby", "2 up standby"];
    until_says(&place, port, &all_up.map(str::to_owned)).await;

    cluster.fault("n1", Fault::Kill).await;
    place.until_one_ended("failover", "ok").await;
    let (new, _) = assert_moved(&cluster).await;
    let follow = place.until_one_ended("follow", "ok").await;
    assert_changed_nothing(&place, &follow).await;
    // The new primary and the standby that followed it are in again, the dead one is not.
    let role = |node| if new == node { "primary" } else { "standby" };
    let wanted = [
        "0 down standby".to_owned(),
        format!("1 up {}", role("n2")),
        format!("2 up {}", role("n3")),
    ];
    until_says(&place, port, &wanted).await;
    assert_eq!(place.runs("failover").await.len(), 1);
    assert_eq!(place.runs("follow").await.len(), 1);
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn keepalived_moves_the_address_and_pgbaton_the_primary() {
    if !can_have_hosts().await {
        return;
    }
    let program = Path::new("/usr/sbin/keepalived");
    assert!(program.exists(), "scripts/test installs keepalived");
    let cluster = on_hosts("mon-keepalived", 2).await;
    let place = Place::new(&cluster);
    let number = network(&cluster.endpoint("n1").host);
    let first = cluster.endpoint("n1").host;
    let address = format!("{}.100", first.rsplit_once('.').unwrap().0);
    let mut daemons = Vec::new();
    // Their own priorities differ, so that two never become master at once.
    for (node, priority) in [("n1", 100), ("n2", 95), ("n3", 90)] {
        let host = cluster.endpoint(node).host;
        let shown = "/usr/local/bin/pgbaton-keepalived";
        let own_host = format!("host={host}");
        let script = place.script(
            shown,
            &[
                ("host=127.0.0.1", &own_host),
                ("-h 127.0.0.1", &format!("-h {host}")),
            ],
        );
        let own = format!("{script}-{node}");
        std::fs::rename(script, &own).unwrap();
        let conf = filled(
            &block("keepalived.conf"),
            &[
                // The keys of the lab are root's.
                ("script_user postgres", "script_user root"),
                ("priority 100", &format!("priority {priority}")),
                ("192.0.2.100", &address),
                (shown, &own),
            ],
        );
        let file = place.path(&format!("{node}.conf"));
        std::fs::write(&file, conf).unwrap();
        let mut command = tokio::process::Command::new("nsenter");
        command
            .arg(format!("--net={}", namespace(number, node).display()))
            .arg(program)
            .args(["-n", "-l", "-D", "-P", "-f", &file])
            .args(["-p", &format!("{file}.pid"), "-r", &format!("{file}.vrrp")]);
        daemons.push(place.start(command, &format!("{node}.log")));
        if node == "n1" {
            until_at(&place, number, node, &address).await;
        } else {
            let log = format!("{node}.log");
            place.until_logged(&log, "Entering BACKUP STATE").await;
        }
    }
    assert!(
        place.runs("failover").await.is_empty(),
        "nobody is suspected"
    );

    cluster.fault("n1", Fault::Kill).await;
    place.until_one_ended("failover", "ok").await;
    let (new, _) = assert_moved(&cluster).await;
    until_at(&place, number, &new, &address).await;
    assert_eq!(place.runs("failover").await.len(), 1);

    // Nobody is dead in a switchover: it follows the role.
    let other = if new == "n2" { "n3" } else { "n2" };
    let candidate = format!("candidate={other}");
    let said = cluster
        .pgbaton(&["run", "switchover", "-p", &candidate])
        .await;
    assert!([0, 4].contains(&said.code), "{}", said.all());
    until_at(&place, number, other, &address).await;
    assert_eq!(cluster.primary().await, other, "and nobody else took over");
    drop(daemons);
}

/// Waits until this host has the address.
async fn until_at(place: &Place, number: u32, node: &str, address: &str) {
    for _ in 0..300 {
        let output = tokio::process::Command::new("nsenter")
            .arg(format!("--net={}", namespace(number, node).display()))
            .args(["ip", "-brief", "address", "show", "dev", "eth0"])
            .output()
            .await
            .unwrap();
        if String::from_utf8_lossy(&output.stdout).contains(&format!("{address}/")) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("{node} does not get {address}\n{}", place.logs());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_of_nagios_acts_once_on_what_is_hard() {
    let cluster = Cluster::up("mon-nagios", 2).await;
    let place = Place::new(&cluster);
    let check = place.script("/usr/local/lib/nagios/check_pgbaton", &[]);
    let handler = place.script("/usr/local/lib/nagios/pgbaton-handler", &[]);
    let macros = "$SERVICESTATE$ $SERVICESTATETYPE$ $SERVICEATTEMPT$ $SERVICEPROBLEMID$-$LASTSERVICESTATECHANGE$";
    assert!(
        block("commands.cfg").contains(macros),
        "as the calls below have it"
    );
    let checked = async || place.run(&check, &[]).await.status.code();
    assert_eq!(checked().await, Some(0));
    cluster.fault("n1", Fault::Kill).await;
    assert_eq!(checked().await, Some(2));

    let problem = "17-1796000000";
    for (state, kind, attempt) in [
        ("CRITICAL", "SOFT", "1"),
        ("CRITICAL", "SOFT", "2"),
        ("WARNING", "HARD", "3"),
        ("UNKNOWN", "HARD", "3"),
        ("OK", "HARD", "1"),
    ] {
        let said = place.run(&handler, &[state, kind, attempt, problem]).await;
        assert_eq!(said.status.code(), Some(0), "{said:?}");
    }
    assert!(place.runs("failover").await.is_empty());
    // Reported by two at the same instant, and once more.
    let hard = ["CRITICAL", "HARD", "3", problem];
    let (one, two) = tokio::join!(place.run(&handler, &hard), place.run(&handler, &hard));
    for said in [one, two] {
        assert_eq!(said.status.code(), Some(0), "{said:?}");
    }
    place.until_one_ended("failover", "ok").await;
    assert_moved(&cluster).await;
    let said = place.run(&handler, &hard).await;
    assert_eq!(said.status.code(), Some(0), "{said:?}");
    assert_eq!(place.runs("failover").await.len(), 1);
    // One primary, and n1 is still down.
    assert_eq!(checked().await, Some(1));
}
