//! Servers that something else than `pg_ctl` starts and stops: the site's own commands by sudo, and Debian's clusters.
//! systemd runs nowhere here: of its form only the commands are seen (in src/site/tests.rs).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod live_support;
mod support;

use live_support::free_port;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use support::{Cluster, Said, pgbaton};

/// Root alone may write rules for sudo, and make Debian's clusters.
fn can(program: &str) -> bool {
    let there = Path::new(program).exists();
    there && rustix::process::geteuid().is_root()
}

/// Lines of sudoers, for as long as this lives.
struct Sudoers(PathBuf);

impl Sudoers {
    fn new(test: &str, lines: &[String]) -> Self {
        let name = format!("/etc/sudoers.d/pgbaton-{test}-{}", std::process::id());
        std::fs::write(&name, lines.join("\n") + "\n").unwrap();
        std::fs::set_permissions(&name, std::fs::Permissions::from_mode(0o440)).unwrap();
        let valid = Command::new("visudo").args(["-c", "-f", &name]).output();
        let valid = valid.unwrap();
        assert!(valid.status.success(), "{lines:?}: {valid:?}");
        Self(name.into())
    }
}

impl Drop for Sudoers {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A lab whose node is stopped and started by a program of root's.
struct BySudo {
    cluster: Cluster,
    /// Where root's programs may lie.
    bin: tempfile::TempDir,
}

impl BySudo {
    async fn new(test: &str, node: &str) -> Self {
        let cluster = Cluster::asynchronous(test, 2).await;
        let bin = tempfile::tempdir().unwrap();
        std::fs::set_permissions(bin.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let site = std::fs::read_to_string(cluster.lab.site_file()).unwrap();
        let programs = site
            .lines()
            .find_map(|line| line.trim().strip_prefix("bin: "))
            .unwrap();
        let data = cluster.data(node);
        let about = data.metadata().unwrap();
        // With the group as well: processes of another one may not be looked at by their own user.
        let (uid, gid) = (about.uid(), about.gid());
        let (data, calls) = (data.display(), bin.path().join("calls"));
        let script = format!(
            "#!/bin/sh\necho \"$(id -un) $1\" >>{}\n[ \"$1\" = stop ] && set -- -m fast stop\n\
             cd / && exec setpriv --reuid={uid} --regid={gid} --clear-groups -- {programs}/pg_ctl -D {data} -l {data}/svc.log -w -t 60 \"$@\" >/dev/null\n",
            calls.display()
        );
        let svc = bin.path().join("svc");
        std::fs::write(&svc, script).unwrap();
        std::fs::set_permissions(&svc, std::fs::Permissions::from_mode(0o755)).unwrap();
        let svc = svc.display();
        let at = site.find(&format!("{node}:")).unwrap();
        let line = at + site[at..].find('\n').unwrap() + 1;
        let service = format!(
            "        service: {{ start: [sudo, -n, {svc}, start], stop: [sudo, -n, {svc}, stop] }}\n"
        );
        let site = format!("{}{service}{}", &site[..line], &site[line..]);
        std::fs::write(cluster.lab.site_file(), site).unwrap();
        Self { cluster, bin }
    }

    fn svc(&self) -> String {
        self.bin.path().join("svc").display().to_string()
    }

    fn calls(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.bin.path().join("calls"));
        text.unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    async fn follow(&self, upstream: &str, apply: &str) -> Said {
        let (upstream, apply) = (format!("upstream={upstream}"), format!("apply={apply}"));
        let arguments = [
            "--json", "run", "follow", "-p", "node=n3", "-p", &upstream, "-p", &apply,
        ];
        self.cluster.pgbaton(&arguments).await
    }

    fn user(&self) -> String {
        let uid = self.cluster.data("n1").metadata().unwrap().uid();
        let name = Command::new("id").args(["-un", &uid.to_string()]).output();
        String::from_utf8(name.unwrap().stdout)
            .unwrap()
            .trim()
            .to_owned()
    }
}

/// The lines that it says sudoers lacks.
fn lacking(said: &Said) -> Vec<String> {
    let all = said.all();
    let (_, rest) = all.split_once(" lacks: ").expect("it says what is missing");
    let end = rest.find(['"', '\n']).unwrap_or(rest.len());
    rest[..end].split("; ").map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_that_sudo_does_not_allow_is_refused_with_the_line_that_is_missing() {
    if !can("/usr/bin/sudo") {
        return;
    }
    let by_sudo = BySudo::new("sv-sudo", "n3").await;
    let (svc, user) = (by_sudo.svc(), by_sudo.user());
    let said = by_sudo.follow("n2", "restart").await.expect(3);
    assert!(said.intended().is_empty(), "{:?}", said.intended());
    for told in ["on the host of n3", &format!("sudo -n {svc} stop")] {
        assert!(said.all().contains(told), "{told}: {}", said.all());
    }
    let lines = lacking(&said);
    let line = |word: &str| format!("{user} ALL=(root) NOPASSWD: {svc} {word}");
    assert_eq!(lines, [line("stop"), line("start")]);
    assert!(by_sudo.calls().is_empty(), "it was asked, not run");
    by_sudo.cluster.assert_streams("n3", "n1").await;

    // A rule with a password is none, though sudo says that the command is allowed.
    let asks = [
        format!("{user} ALL=(root) {svc}"),
        format!("{user} ALL=(root) NOPASSWD: /usr/bin/true"),
    ];
    let rules = Sudoers::new("asks", &asks);
    let said = by_sudo.follow("n2", "restart").await.expect(3);
    let told = format!("sudo would ask user {user} for a password");
    assert!(said.all().contains(&told), "{}", said.all());
    drop(rules);

    // A reload needs none of it.
    by_sudo.follow("n2", "auto").await.expect(0);
    by_sudo.cluster.assert_streams("n3", "n2").await;
    assert!(by_sudo.calls().is_empty());

    // The very lines are what was missing.
    let rules = Sudoers::new("given", &lines);
    by_sudo.follow("n1", "restart").await.expect(0);
    by_sudo.cluster.assert_streams("n3", "n1").await;
    assert_eq!(by_sudo.calls(), ["root stop", "root start"]);

    // The same where the host is reached by commands alone.
    let site = std::fs::read_to_string(by_sudo.cluster.lab.site_file()).unwrap();
    let local = format!("{{ local: {{ user: {user} }} }}");
    let template = format!("{{ template: [runuser, -u, {user}, --, sh, -c] }}");
    let site = support::swap(&site, &local, &template);
    std::fs::write(by_sudo.cluster.lab.site_file(), site).unwrap();
    by_sudo.follow("n2", "restart").await.expect(0);
    by_sudo.cluster.assert_streams("n3", "n2").await;
    assert_eq!(by_sudo.calls()[2..], ["root stop", "root start"]);
    drop(rules);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switchover_whose_old_primary_may_not_be_stopped_is_refused_while_all_is_well() {
    if !can("/usr/bin/sudo") {
        return;
    }
    let by_sudo = BySudo::new("sv-switch", "n1").await;
    let run = ["--json", "run", "switchover", "-p", "candidate=n2"];
    let said = by_sudo.cluster.pgbaton(&run).await.expect(3);
    assert_eq!(lacking(&said).len(), 2, "{}", said.all());
    let only_looked = said
        .intended()
        .iter()
        .all(|(_, o)| o["operation"] == "mark");
    assert!(only_looked, "{:?}", said.intended());
    assert_eq!(by_sudo.cluster.primary().await, "n1");
    let rules = Sudoers::new("switch", &lacking(&said));
    by_sudo.cluster.pgbaton(&run).await.expect(0);
    assert_eq!(by_sudo.cluster.primary().await, "n2");
    by_sudo.cluster.assert_streams("n1", "n2").await;
    assert_eq!(by_sudo.calls(), ["root stop", "root start"]);
    drop(rules);
}

/// Two clusters of Debian's; their configuration is not in their data directories.
struct Debian {
    dir: tempfile::TempDir,
    ports: [u16; 2],
}

const NODES: [&str; 2] = ["n1", "n2"];

impl Debian {
    fn name(node: &str) -> String {
        format!("pgbaton{}{node}", std::process::id())
    }

    fn run(program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program)
            .args(arguments)
            .current_dir("/")
            .output();
        let output = output.unwrap();
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {output:?}"
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn as_server(program: &str, arguments: &[&str]) -> String {
        let become_user = ["-u", "postgres", "--", program];
        Self::run("runuser", &[&become_user, arguments].concat())
    }

    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("pgd").tempdir_in("/tmp");
        let dir = dir.unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let debian = Self {
            dir,
            ports: [free_port(), free_port()],
        };
        for (node, port) in NODES.iter().zip(debian.ports) {
            let (name, data, port) = (Self::name(node), debian.data(node), port.to_string());
            let create = ["-u", "postgres", "-d", &data, "-p", &port];
            let rest = ["--start-conf=manual", "15", &name];
            Self::run("pg_createcluster", &[&create[..], &rest[..]].concat());
            let conf = PathBuf::from("/etc/postgresql/15").join(&name);
            let hba = "local all all trust\nhost all,replication all 127.0.0.1/32 trust\n";
            std::fs::write(conf.join("pg_hba.conf"), hba).unwrap();
            let own = "fsync = off\nlisten_addresses = '127.0.0.1'\nshared_buffers = 16MB\nwal_level = replica\n";
            std::fs::write(conf.join("conf.d/test.conf"), own).unwrap();
        }
        Self::ctl("n1", "start");
        std::fs::remove_dir_all(debian.data("n2")).unwrap();
        let (data, port) = (debian.data("n2"), debian.ports[0].to_string());
        Self::run("install", &["-d", "-o", "postgres", "-m", "700", &data]);
        let copy = [
            "-D",
            &data,
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-c",
            "fast",
            "-C",
            "-S",
            "pgbaton_n2",
            "-R",
        ];
        Self::as_server("/usr/lib/postgresql/15/bin/pg_basebackup", &copy);
        let auto = Path::new(&data).join("postgresql.auto.conf");
        let text = std::fs::read_to_string(&auto).unwrap();
        let text = text.replace(
            "primary_conninfo = 'user",
            "primary_conninfo = 'application_name=n2 user",
        );
        std::fs::write(&auto, text).unwrap();
        Self::ctl("n2", "start");
        debian
    }

    fn data(&self, node: &str) -> String {
        self.dir.path().join(node).display().to_string()
    }

    fn ctl(node: &str, action: &str) {
        Self::as_server("pg_ctlcluster", &["15", &Self::name(node), action]);
    }

    fn ask(&self, node: &str, statement: &str) -> String {
        let at = NODES.iter().position(|n| *n == node).unwrap();
        let port = self.ports[at].to_string();
        let words = [
            "-X",
            "-A",
            "-t",
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-c",
            statement,
        ];
        Self::as_server("/usr/lib/postgresql/15/bin/psql", &words)
    }

    fn site(&self) -> PathBuf {
        let node = |(node, port): (&&str, u16)| {
            let (data, name) = (self.data(node), Self::name(node));
            format!(
                "      {node}: {{ host: 127.0.0.1, port: {port}, data: {data}, service: {{ pg_ctlcluster: 15/{name} }} }}\n"
            )
        };
        let nodes: String = NODES.iter().zip(self.ports).map(node).collect();
        let text = format!(
            "site: debian\njournal: journal\nclusters:\n  debian:\n    product: postgresql\n    sql: {{ user: postgres, dbname: postgres }}\n    \
             replication: {{ user: postgres }}\n    synchronous: {{ mode: quorum, acks: 1 }}\n    transport: {{ local: {{ user: postgres }} }}\n    \
             defaults: {{ bin: /usr/lib/postgresql/15/bin }}\n    nodes:\n{nodes}"
        );
        let path = self.dir.path().join("site.yaml");
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Debian {
    fn drop(&mut self) {
        for node in NODES {
            let name = Self::name(node);
            let _ = Command::new("pg_dropcluster")
                .args(["--stop", "15", &name])
                .output();
            // It leaves a file of ours.
            let _ = std::fs::remove_dir_all(Path::new("/etc/postgresql/15").join(&name));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clusters_of_debians_are_stopped_and_started_by_its_own_program() {
    if !can("/usr/bin/pg_ctlcluster") {
        return;
    }
    let debian = Debian::new();
    let site = debian.site();
    let site = site.to_str().unwrap();
    // Whoever starts it otherwise finds no configuration in its data directory.
    assert!(
        !Path::new(&debian.data("n1"))
            .join("postgresql.conf")
            .exists()
    );
    for (old, new) in [("n1", "n2"), ("n2", "n1")] {
        let candidate = format!("candidate={new}");
        let run = ["--site", site, "run", "switchover", "-p", &candidate];
        pgbaton(&run).await.expect(0);
        assert_eq!(debian.ask(new, "SELECT pg_is_in_recovery()"), "f");
        assert_eq!(debian.ask(old, "SELECT pg_is_in_recovery()"), "t");
        let own = format!("/etc/postgresql/15/{}/postgresql.conf", Debian::name(old));
        assert_eq!(debian.ask(old, "SHOW config_file"), own);
    }
    // As root it is done by sudo, where the rules allow it.
    if can("/usr/bin/sudo") {
        let text = std::fs::read_to_string(site).unwrap();
        let text = NODES.iter().fold(text, |text, node| {
            let name = format!("15/{}", Debian::name(node));
            text.replace(&name, &format!("{name}, sudo: true"))
        });
        std::fs::write(site, text).unwrap();
        let run = [
            "--site",
            site,
            "--json",
            "run",
            "switchover",
            "-p",
            "candidate=n2",
        ];
        let said = pgbaton(&run).await.expect(3);
        let lines = lacking(&said);
        let name = Debian::name("n1");
        assert!(
            lines[0].ends_with(&format!("/pg_ctlcluster 15 {name} stop -m fast")),
            "{lines:?}"
        );
        let rules = Sudoers::new("debian", &lines);
        pgbaton(&run).await.expect(0);
        assert_eq!(debian.ask("n2", "SELECT pg_is_in_recovery()"), "f");
        drop(rules);
    }
}
