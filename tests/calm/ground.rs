//! A cluster on hosts of its own under the eyes of a `serve` that may act, with all that the disturbances need.

use super::clock::Clock;
use super::disk::{Disk, run};
use super::hosts_support::{namespace, network, on_hosts};
use super::serve_support::{Serving, runs, with_detector};
use super::support::{Cluster, assert_nothing_lost, swap};
use pgbaton::lab::{Fault, Writer};
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// What pgbaton logs in as; everybody else is let in without a password.
pub(crate) const WATCHER: &str = "watcher";
pub(crate) const PASSWORD: &str = "the first one";

/// Longer than a cluster takes to be itself again.
const PATIENCE: Duration = Duration::from_mins(2);

/// One cluster. What is in it goes in this order.
pub(crate) struct Ground {
    pub serving: Serving,
    pub writer: Writer,
    pub disk: Option<Disk>,
    pub servers: Clock,
    pub observer: Clock,
    pub cluster: Cluster,
}

impl Ground {
    pub(crate) async fn up(name: &str) -> Self {
        let cluster = on_hosts(name, 2).await;
        // The shipped policy: only the mode is said, for the default only watches.
        with_detector(&cluster, "auto");
        let secret = cluster.lab.dir().join("secret");
        std::fs::write(&secret, PASSWORD).unwrap();
        let site = cluster.lab.site_file();
        let sql = "sql: { dbname: postgres, sslmode: disable, user: postgres }";
        let with = format!(
            "sql: {{ dbname: postgres, sslmode: disable, user: {WATCHER}, password: {{ file: {} }} }}",
            secret.display()
        );
        let text = std::fs::read_to_string(site).unwrap();
        std::fs::write(site, swap(&text, sql, &with)).unwrap();
        let role =
            format!("CREATE ROLE {WATCHER} SUPERUSER REPLICATION LOGIN PASSWORD '{PASSWORD}'");
        cluster.tell("n1", &role).await;
        let rules = format!(
            "host all {WATCHER} all scram-sha-256\nhost replication {WATCHER} all scram-sha-256\n"
        );
        for node in ["n1", "n2", "n3"] {
            let ours = Hba::of(&cluster, node);
            std::fs::write(&ours.file, format!("{rules}{}", ours.text)).unwrap();
            super::serve_support::reload(&cluster, node);
        }
        cluster.until_replayed("n1", &["n2", "n3"]).await;

        cluster.fault("n1", Fault::Stop).await;
        let disk = Disk::is_possible().then(|| Disk::under(&cluster, "n1"));
        let servers = Clock::new(cluster.lab.dir(), "n1");
        let observer = Clock::new(cluster.lab.dir(), "observer");
        start_by(&cluster, "n1", &servers);
        for node in ["n2", "n3"] {
            cluster.assert_streams(node, "n1").await;
        }
        let writer = cluster.writer().await;
        let clock = observer.environment();
        let serving = Serving::start_with(&cluster, |command| {
            command.envs(clock);
        })
        .await;
        Self {
            serving,
            writer,
            disk,
            servers,
            observer,
            cluster,
        }
    }

    /// Waits until all is well again: n1 is written to, and both standbys stream from it.
    pub(crate) async fn well_again(&self) {
        let until = Instant::now() + PATIENCE;
        let question = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
        loop {
            let asked = timeout(Duration::from_secs(3), self.ask("n1", question)).await;
            let written = self.writer.wait_for(3, Duration::from_secs(3)).await;
            if written && matches!(asked, Ok(Some(2))) {
                return;
            }
            assert!(
                Instant::now() < until,
                "the cluster does not recover (written to: {written}, standbys: {asked:?})\n{}",
                self.serving.said()
            );
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Asks over a new connection without a password; nothing where there is no answer.
    pub(crate) async fn ask(&self, node: &str, question: &str) -> Option<i64> {
        self.ask_as(node, "postgres", "", question).await.ok()
    }

    /// The same as somebody, and why there is no answer.
    pub(crate) async fn ask_as(
        &self,
        node: &str,
        user: &str,
        password: &str,
        question: &str,
    ) -> Result<i64, String> {
        let endpoint = self.cluster.endpoint(node);
        let opened = tokio_postgres::Config::new()
            .host(&endpoint.host)
            .port(endpoint.port)
            .user(user)
            .password(password)
            .dbname("postgres")
            .connect(tokio_postgres::NoTls)
            .await;
        let (client, connection) = opened.map_err(|e| told(&e))?;
        let talking = tokio::spawn(connection);
        let row = client.query_one(question, &[]).await;
        talking.abort();
        row.map(|row| row.get(0)).map_err(|e| told(&e))
    }

    /// How many runs there have been.
    pub(crate) async fn runs(&self) -> usize {
        runs(&self.cluster).await.len()
    }

    pub(crate) fn namespace(&self, node: &str) -> PathBuf {
        namespace(network(&self.cluster.endpoint("n1").host), node)
    }

    /// It has been awake all the time: what is a dead primary is replaced. Ends all.
    pub(crate) async fn end_by_a_kill(mut self) {
        self.cluster.fault("n1", Fault::Kill).await;
        self.serving
            .until("`failover` was run and reached its goal")
            .await;
        assert!(self.writer.wait_for(20, Duration::from_secs(20)).await);
        assert_eq!(self.runs().await, 1);
        let report = self.writer.finish().await;
        let primary = self.cluster.primary().await;
        assert_nothing_lost(&self.cluster, &report, &primary).await;
        assert_eq!(self.serving.stop().await, 0);
        drop(self.disk);
    }
}

/// An error with all of its causes.
fn told(error: &tokio_postgres::Error) -> String {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    format!("{error}: {}", cause.unwrap_or_default())
}

/// Who may log in to a node.
pub(crate) struct Hba {
    pub file: PathBuf,
    pub text: String,
}

impl Hba {
    pub(crate) fn of(cluster: &Cluster, node: &str) -> Self {
        let file = cluster.data(node).join("pg_hba.conf");
        let text = std::fs::read_to_string(&file).unwrap();
        Self { file, text }
    }
}

/// Starts a server that goes by this clock on its host.
fn start_by(cluster: &Cluster, node: &str, clock: &Clock) {
    let place = namespace(network(&cluster.endpoint(node).host), node);
    let data = cluster.data(node);
    let program = std::fs::read_to_string(data.join("postmaster.opts")).unwrap();
    let program = PathBuf::from(program.split_whitespace().next().unwrap());
    let pg_ctl = program.with_file_name("pg_ctl");
    let log = cluster.lab.log(&super::support::name(node));
    let net = format!("--net={}", place.display());
    let set = clock.environment().into_iter();
    let set: Vec<String> = set.map(|(name, value)| format!("{name}={value}")).collect();
    let mut words = vec![net.as_str(), "runuser", "-u", "postgres", "--", "env"];
    words.extend(set.iter().map(String::as_str));
    let texts = [pg_ctl, data, log].map(|path| path.to_str().unwrap().to_owned());
    words.extend([&texts[0], "-D", &texts[1], "-l", &texts[2]]);
    words.extend(["-s", "-w", "start"]);
    run("nsenter", &words);
}
