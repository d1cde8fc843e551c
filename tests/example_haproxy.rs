//! docs/examples/haproxy, with a real HAProxy: writers get to the new primary, and to the old one no more.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod examples_support;
mod live_support;
mod support;

use examples_support::{Daemon, dress, filled, folder, place, script};
use live_support::free_port;
use pgbaton::lab::Fault;
use std::io::{Read, Write};
use std::process::Command;
use std::time::Duration;
use support::Cluster;

/// An HAProxy before a lab, configured as the example shows, and the example's overlays in it.
struct Proxied {
    cluster: Cluster,
    place: tempfile::TempDir,
    port: u16,
    proxy: Option<Daemon>,
    command: String,
}

impl Proxied {
    async fn up(test: &str) -> Self {
        let cluster = Cluster::up(test, 2).await;
        let (place, port) = (place(), free_port());
        let at = |file: &str| place.path().join(file).to_str().unwrap().to_owned();
        let paths = [
            ("/run/haproxy/admin.sock", at("admin.sock")),
            ("/var/lib/haproxy/pgbaton.state", at("state")),
        ];
        let server = |node: &str| format!("127.0.0.1:{}", cluster.endpoint(node).port);
        let mut with = paths.to_vec();
        with.extend([
            ("127.0.0.1:5000", format!("127.0.0.1:{port}")),
            ("192.168.1.201:5432", server("n1")),
            ("192.168.1.202:5432", server("n2")),
            ("192.168.1.203:5432", server("n3")),
        ]);
        let shown = std::fs::read_to_string(folder("haproxy").join("haproxy.cfg")).unwrap();
        std::fs::write(at("haproxy.cfg"), filled(&shown, &with)).unwrap();
        let command = script("haproxy", "pgbaton-haproxy", place.path(), &paths);
        let vars = format!("{{ haproxies: [here], haproxy_command: {command} }}");
        dress(&cluster, "haproxy", &vars);
        let mut proxied = Self {
            cluster,
            place,
            port,
            proxy: None,
            command,
        };
        proxied.start().await;
        proxied.tell(&["writer", "n1"]);
        proxied
    }

    /// The example's script.
    fn tell(&self, words: &[&str]) {
        let mut command = Command::new(&self.command);
        let done = command.arg("here").args(words).output().unwrap();
        assert!(done.status.success(), "{words:?}: {done:?}");
    }

    async fn start(&mut self) {
        let at = |file: &str| self.place.path().join(file);
        let mut command = Command::new("/usr/sbin/haproxy");
        command.arg("-db").arg("-f").arg(at("haproxy.cfg"));
        self.proxy = Some(Daemon::start(command, &at("haproxy.log")));
        for _ in 0..600 {
            if at("admin.sock").exists() && !self.states().is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{}", std::fs::read_to_string(at("haproxy.log")).unwrap());
    }

    /// Who is not in maintenance, as HAProxy says.
    fn states(&self) -> Vec<String> {
        let socket = std::os::unix::net::UnixStream::connect(self.place.path().join("admin.sock"));
        let Ok(mut socket) = socket else {
            return Vec::new();
        };
        socket.write_all(b"show servers state writer\n").unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        let servers = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let ready = servers.filter(|f| f.len() > 6 && f[1] == "writer" && f[6] == "0");
        ready.map(|fields| fields[3].to_owned()).collect()
    }

    async fn connect(&self) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
        let to = self.cluster.endpoint("n1");
        let (client, connection) = tokio_postgres::Config::new()
            .host("127.0.0.1")
            .port(self.port)
            .user(&to.user)
            .dbname(&to.dbname)
            .connect_timeout(Duration::from_secs(5))
            .connect(tokio_postgres::NoTls)
            .await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Where a client that writes gets to.
    async fn arrives_at(&self) -> String {
        let client = self.connect().await.unwrap();
        let write = "CREATE TABLE IF NOT EXISTS came (); SELECT current_setting('cluster_name')";
        let rows = client.simple_query(write).await.unwrap();
        let row = rows.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        row.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_get_to_the_new_primary_and_a_restart_changes_nothing() {
    let mut proxied = Proxied::up("ex-ha-fail").await;
    assert_eq!(proxied.arrives_at().await, "n1");
    proxied.cluster.fault("n1", Fault::Kill).await;
    let said = proxied
        .cluster
        .pgbaton(&["--json", "run", "failover"])
        .await;
    let said = said.expect(0);
    let new = proxied.cluster.primary().await;
    assert_eq!(proxied.states(), [new.as_str()]);
    assert_eq!(proxied.arrives_at().await, new);
    // It was in maintenance before anybody was promoted.
    let events = said.events();
    let at = |kind: &str, path: &str| {
        let found = events
            .iter()
            .position(|e| e["event"]["event"] == kind && e["event"]["path"] == path);
        found.unwrap_or_else(|| panic!("{kind} {path}: {}", said.all()))
    };
    assert!(at("step_ended", "drain_old") < at("step_started", "promote"));
    proxied.proxy = None;
    std::fs::remove_file(proxied.place.path().join("admin.sock")).unwrap();
    proxied.start().await;
    assert_eq!(proxied.states(), [new.as_str()]);
    assert_eq!(proxied.arrives_at().await, new);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_with_the_old_primary_end_and_come_back_when_the_run_fails() {
    let proxied = Proxied::up("ex-ha-back").await;
    let open = proxied.connect().await.unwrap();
    open.simple_query("SELECT 1").await.unwrap();
    // Its server lives, and so it is HAProxy that ends it.
    proxied.tell(&["drain", "n1"]);
    assert!(open.simple_query("SELECT 1").await.is_err());
    proxied.tell(&["writer", "n1"]);
    let open = proxied.connect().await.unwrap();
    open.simple_query("SELECT 1").await.unwrap();
    let overlay = "overlay: switchover\nsteps:\n  spoil:\n    needs: [fence]\n    needed_by: [promote]\n    action: exec\n    \
                   with: { argv: ['false'] }\n    effect: read\n    timeout: 5s\n";
    let overlays = proxied.cluster.lab.site_file().parent().unwrap();
    std::fs::write(overlays.join("overlays/zz-spoil.yaml"), overlay).unwrap();
    let run = ["--json", "run", "switchover", "-p", "candidate=n2"];
    let said = proxied.cluster.pgbaton(&run).await.expect(1);
    assert!(
        open.simple_query("SELECT 1").await.is_err(),
        "{}",
        said.all()
    );
    assert_eq!(proxied.states(), ["n1"], "{}", said.all());
    assert_eq!(proxied.arrives_at().await, "n1");
    std::fs::remove_file(overlays.join("overlays/zz-spoil.yaml")).unwrap();
    proxied.cluster.pgbaton(&run).await.expect(0);
    assert_eq!(proxied.states(), ["n2"]);
    assert_eq!(proxied.arrives_at().await, "n2");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_haproxy_that_is_gone_holds_up_no_failover_and_is_named() {
    let mut proxied = Proxied::up("ex-ha-gone").await;
    proxied.proxy = None;
    proxied.cluster.fault("n1", Fault::Kill).await;
    let said = proxied
        .cluster
        .pgbaton(&["run", "failover"])
        .await
        .expect(4);
    let new = proxied.cluster.primary().await;
    assert_ne!(new, "n1");
    let told = format!("not every HAProxy sends writers to {new}");
    assert!(said.all().contains(&told), "{}", said.all());
}
