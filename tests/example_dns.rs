//! docs/examples/dns, with a real name server: the name that clients ask for is an alias of the primary's.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod examples_support;
mod live_support;
mod support;

use examples_support::{Daemon, dress, place};
use live_support::free_port;
use pgbaton::lab::Fault;
use std::process::Command;
use std::time::Duration;
use support::Cluster;

/// A name server, and a lab that knows it.
struct Named {
    cluster: Cluster,
    place: tempfile::TempDir,
    port: u16,
    _server: Daemon,
}

impl Named {
    async fn up(test: &str) -> Self {
        let cluster = Cluster::up(test, 2).await;
        let (place, port) = (place(), free_port());
        let at = |file: &str| place.path().join(file).to_str().unwrap().to_owned();
        for key in ["pgbaton", "stranger"] {
            let made = Command::new("tsig-keygen").arg(key).output().unwrap();
            assert!(made.status.success(), "{made:?}");
            std::fs::write(at(&format!("{key}.key")), made.stdout).unwrap();
        }
        // The key may change this one name, and of that only the alias: as the example's page shows.
        let conf = format!(
            "include \"{key}\";\noptions {{ directory \"{dir}\"; pid-file none; session-keyfile none; recursion no;\n\
             listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; }};\ncontrols {{ }};\n\
             zone \"db.test\" {{ type primary; file \"{dir}/zone\";\n\
             update-policy {{ grant pgbaton name orders.db.test. CNAME; }}; }};\n",
            key = at("pgbaton.key"),
            dir = place.path().display(),
        );
        std::fs::write(at("named.conf"), conf).unwrap();
        let zone = "$TTL 10\n@ SOA ns hostmaster 1 60 60 600 10\n  NS ns\nns A 127.0.0.1\n\
                    n1 A 127.0.0.11\nn2 A 127.0.0.12\nn3 A 127.0.0.13\norders CNAME n1\n";
        std::fs::write(at("zone"), zone).unwrap();
        let mut command = Command::new("/usr/sbin/named");
        command.args(["-f", "-n", "1", "-c", &at("named.conf")]);
        let server = Daemon::start(command, &place.path().join("named.log"));
        let named = Self {
            cluster,
            place,
            port,
            _server: server,
        };
        for _ in 0..600 {
            if named.alias() == "n1.db.test." {
                return named;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let log = named.place.path().join("named.log");
        panic!("{}", std::fs::read_to_string(log).unwrap());
    }

    fn dress(&self, key: &str) {
        let key = self.place.path().join(key);
        let vars = format!(
            "{{ dns_server: 127.0.0.1, dns_port: {}, dns_key: {}, dns_name: orders.db.test., dns_domain: db.test. }}",
            self.port,
            key.display()
        );
        dress(&self.cluster, "dns", &vars);
    }

    fn dig(&self, kind: &str) -> String {
        let port = self.port.to_string();
        let mut dig = Command::new("dig");
        dig.args(["@127.0.0.1", "-p", &port, "+short", "+tries=1", "+time=2"]);
        let said = dig.args(["orders.db.test.", kind]).output().unwrap();
        String::from_utf8(said.stdout).unwrap().trim().to_owned()
    }

    fn alias(&self) -> String {
        self.dig("CNAME")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_is_an_alias_of_the_primarys_after_each_change() {
    let named = Named::up("ex-dns").await;
    named.dress("pgbaton.key");
    let cluster = &named.cluster;
    let run = ["run", "switchover", "-p", "candidate=n3"];
    cluster.pgbaton(&run).await.expect(0);
    assert_eq!(named.alias(), "n3.db.test.");
    cluster.fault("n3", Fault::Kill).await;
    cluster.pgbaton(&["run", "failover"]).await.expect(0);
    let new = cluster.primary().await;
    assert_eq!(named.alias(), format!("{new}.db.test."));
    let address = format!("127.0.0.1{}", &new[1..]);
    assert_eq!(named.dig("A"), format!("{new}.db.test.\n{address}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_server_does_not_know_changes_nothing_and_is_told() {
    let named = Named::up("ex-dns-key").await;
    named.dress("stranger.key");
    let cluster = &named.cluster;
    cluster.fault("n1", Fault::Kill).await;
    let said = cluster.pgbaton(&["run", "failover"]).await.expect(4);
    assert_eq!(named.alias(), "n1.db.test.");
    let told = format!("still an alias of n1, not of {}", cluster.primary().await);
    assert!(said.all().contains(&told), "{}", said.all());
    let secret = std::fs::read_to_string(named.place.path().join("stranger.key")).unwrap();
    let secret = secret.split('"').nth(3).unwrap();
    assert!(!said.all().contains(secret));
}
