//! docs/examples/pgbouncer, with a real PgBouncer: its clients wait while the primary changes, and see no error.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod examples_support;
mod live_support;
mod support;

use examples_support::{Daemon, as_owner, dress, place, script};
use live_support::free_port;
use live_support::sshd::Sshd;
use pgbaton::lab::Fault;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use support::Cluster;

/// A PgBouncer before a lab, and the example's overlays in it.
struct Pooled {
    cluster: Cluster,
    place: tempfile::TempDir,
    port: u16,
    _pooler: Daemon,
    sshd: Sshd,
}

impl Pooled {
    /// Its PgBouncer is `here`, or where ssh gets to.
    async fn up(test: &str, reached: &str) -> Self {
        let cluster = Cluster::up(test, 2).await;
        let (place, port) = (place(), free_port());
        let at = |file: &str| place.path().join(file).to_str().unwrap().to_owned();
        let first = cluster.endpoint("n1");
        let databases = format!(
            "[databases]\norders = host={} port={} dbname={} user={}\n",
            first.host, first.port, first.dbname, first.user
        );
        std::fs::write(at("databases.ini"), databases).unwrap();
        let settings = format!(
            "%include {}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = any\nadmin_users = pgbouncer\npool_mode = transaction\n",
            at("databases.ini")
        );
        std::fs::write(at("pgbouncer.ini"), settings).unwrap();
        let mut command = as_owner(&cluster, "/usr/sbin/pgbouncer");
        command.arg(at("pgbouncer.ini"));
        let server = Daemon::start(command, &place.path().join("pooler.log"));
        let sshd = Sshd::new().await;
        let client = format!(
            "Port {}\nIdentityFile {}\nIdentitiesOnly yes\nUserKnownHostsFile {}\n",
            sshd.port,
            sshd.path("user").display(),
            sshd.path("known").display()
        );
        std::fs::write(at("ssh_config"), client).unwrap();
        let command = script(
            "pgbouncer",
            "pgbaton-pooler",
            place.path(),
            &[
                ("/etc/pgbouncer/pgbaton-databases.ini", at("databases.ini")),
                ("exec ssh ", format!("exec ssh -F {} ", at("ssh_config"))),
                ("/usr/local/sbin/pgbaton-pooler", at("pgbaton-pooler")),
                (
                    "host=/var/run/postgresql port=6432",
                    format!("host=127.0.0.1 port={port}"),
                ),
            ],
        );
        let vars = format!("{{ poolers: [{reached}], pooler_command: {command} }}");
        dress(&cluster, "pgbouncer", &vars);
        cluster
            .tell("n1", "CREATE TABLE taken (client int, n int, at text)")
            .await;
        let pooled = Self {
            cluster,
            place,
            port,
            _pooler: server,
            sshd,
        };
        for _ in 0..600 {
            if pooled.connect().await.is_ok() {
                return pooled;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("PgBouncer does not answer: {}", pooled.log());
    }

    fn logins(&self) -> usize {
        self.sshd.logins()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.place.path().join("pooler.log")).unwrap_or_default()
    }

    async fn connect(&self) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
        connect(self.port).await
    }
}

async fn connect(port: u16) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::Config::new()
        .host("127.0.0.1")
        .port(port)
        .user("app")
        .dbname("orders")
        .connect_timeout(Duration::from_secs(5))
        .connect(tokio_postgres::NoTls)
        .await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Rows by client and number.
type Rows = BTreeSet<(usize, usize)>;

/// Clients that write without a pause, each in one session, until they are stopped.
struct Load {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicUsize>,
    clients: Vec<tokio::task::JoinHandle<(Rows, Vec<String>)>>,
}

impl Load {
    async fn start(pooled: &Pooled, clients: usize) -> Self {
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let mut tasks = Vec::new();
        for client in 0..clients {
            let session = pooled.connect().await.unwrap();
            let (stop, written) = (Arc::clone(&stop), Arc::clone(&written));
            tasks.push(tokio::spawn(write(client, session, stop, written)));
        }
        let load = Self {
            stop,
            written,
            clients: tasks,
        };
        load.until_more(100).await;
        load
    }

    /// Until so many more rows were acknowledged.
    async fn until_more(&self, rows: usize) {
        let wanted = self.written.load(Ordering::Relaxed) + rows;
        for _ in 0..1200 {
            if self.written.load(Ordering::Relaxed) >= wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the clients do not get on");
    }

    /// What was acknowledged, and all errors.
    async fn end(self) -> (Rows, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = (BTreeSet::new(), Vec::new());
        for client in self.clients {
            let (rows, errors) = client.await.unwrap();
            all.0.extend(rows);
            all.1.extend(errors);
        }
        all
    }
}

async fn write(
    client: usize,
    session: tokio_postgres::Client,
    stop: Arc<AtomicBool>,
    written: Arc<AtomicUsize>,
) -> (Rows, Vec<String>) {
    let (mut rows, mut errors) = (BTreeSet::new(), Vec::new());
    for n in 0.. {
        if stop.load(Ordering::Relaxed) || session.is_closed() {
            break;
        }
        // A transaction of several statements: it must not be torn apart.
        let text = format!(
            "BEGIN; INSERT INTO taken VALUES ({client}, {n}, inet_server_port()::text); COMMIT"
        );
        match session.simple_query(&text).await {
            Ok(_) => {
                rows.insert((client, n));
                written.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => errors.push(format!("client {client}, row {n}: {error:?}")),
        }
    }
    if !stop.load(Ordering::Relaxed) {
        errors.push(format!("client {client} was cut off"));
    }
    (rows, errors)
}

/// All rows that were acknowledged are on this node.
async fn assert_all_on(cluster: &Cluster, node: &str, rows: &Rows) {
    let found = cluster
        .rows(node, "SELECT client, n FROM taken WHERE client >= 0")
        .await;
    let found: Rows = found
        .iter()
        .map(|row| {
            let number = |at: usize| row[at].as_deref().unwrap().parse().unwrap();
            (number(0), number(1))
        })
        .collect();
    let lost: Vec<_> = rows.difference(&found).collect();
    assert!(lost.is_empty(), "{lost:?} are not on {node}");
}

/// Where what clients write now arrives.
async fn arrives_at(pooled: &Pooled) -> String {
    let port = pooled.connect().await.unwrap();
    let said = port
        .simple_query("INSERT INTO taken VALUES (-1, 0, inet_server_port()::text) RETURNING at");
    let rows = said.await.unwrap();
    let row = rows.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    row.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_client_sees_an_error_while_the_primary_changes() {
    let pooled = Pooled::up("ex-pgb-over", "here").await;
    let cluster = &pooled.cluster;
    let load = Load::start(&pooled, 4).await;
    let run = ["--json", "run", "switchover", "-p", "candidate=n2"];
    let said = cluster.pgbaton(&run).await.expect(0);
    load.until_more(100).await;
    let (rows, errors) = load.end().await;
    assert_eq!(
        errors,
        Vec::<String>::new(),
        "{}\n{}",
        said.all(),
        pooled.log()
    );
    assert_all_on(cluster, "n2", &rows).await;
    let new = cluster.endpoint("n2").port.to_string();
    assert_eq!(arrives_at(&pooled).await, new);
    // They went on in the sessions that they had, on the new primary.
    let there =
        format!("SELECT count(DISTINCT client) FROM taken WHERE at = '{new}' AND client >= 0");
    assert_eq!(cluster.ask("n2", &there).await, "4");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_run_fails_before_the_promotion_clients_go_on_where_they_were() {
    let pooled = Pooled::up("ex-pgb-back", "here").await;
    let cluster = &pooled.cluster;
    // A step of the site's that fails once the old primary is stopped.
    let overlay = "overlay: switchover\nsteps:\n  spoil:\n    needs: [fence]\n    needed_by: [promote]\n    action: exec\n    \
                   with: { argv: ['false'] }\n    effect: read\n    timeout: 5s\n";
    let overlays = cluster.lab.site_file().parent().unwrap().join("overlays");
    std::fs::write(overlays.join("zz-spoil.yaml"), overlay).unwrap();
    let load = Load::start(&pooled, 4).await;
    let run = ["--json", "run", "switchover", "-p", "candidate=n2"];
    let said = cluster.pgbaton(&run).await.expect(1);
    let stopped = said
        .intended()
        .iter()
        .any(|(path, o)| path == "stop" && o["operation"] == "stop");
    assert!(
        stopped,
        "it fails too early to show anything: {}",
        said.all()
    );
    load.until_more(100).await;
    let (rows, errors) = load.end().await;
    assert_eq!(
        errors,
        Vec::<String>::new(),
        "{}\n{}",
        said.all(),
        pooled.log()
    );
    assert_eq!(cluster.primary().await, "n1");
    assert_all_on(cluster, "n1", &rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_does_not_end_fails_the_run_and_clients_go_on() {
    let pooled = Pooled::up("ex-pgb-long", "here").await;
    let cluster = &pooled.cluster;
    let long = pooled.connect().await.unwrap();
    long.simple_query("BEGIN; SELECT 1").await.unwrap();
    let load = Load::start(&pooled, 2).await;
    let run = ["run", "switchover", "-p", "candidate=n2"];
    cluster.pgbaton(&run).await.expect(1);
    load.until_more(100).await;
    let (_, errors) = load.end().await;
    assert_eq!(errors, Vec::<String>::new(), "{}", pooled.log());
    long.simple_query("COMMIT").await.unwrap();
    assert_eq!(cluster.primary().await, "n1");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failover_writes_go_to_the_new_primary() {
    let pooled = Pooled::up("ex-pgb-fail", "127.0.0.1").await;
    let cluster = &pooled.cluster;
    let load = Load::start(&pooled, 2).await;
    cluster.fault("n1", Fault::Kill).await;
    cluster.pgbaton(&["run", "failover"]).await.expect(0);
    let new = cluster.primary().await;
    let port = cluster.endpoint(&new).port.to_string();
    assert_eq!(arrives_at(&pooled).await, port);
    assert_eq!(pooled.logins(), 1, "PgBouncer was told by ssh");
    // These saw that the primary died; nothing that they were told of is gone.
    let (rows, _) = load.end().await;
    assert_all_on(cluster, &new, &rows).await;
}
