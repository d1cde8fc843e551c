//! PostgreSQL 12 dressed as KingbaseES, as far as that goes.
//!
//! Under the product's names are: the programs; the server's processes; configuration, pid file, WAL and slots in the data
//! directory; in the database that pgbaton asks, every function and view whose name begins with `pg_`, without an alias;
//! `version()`. Not dressed, for a server of PostgreSQL cannot be: tables of the catalog, predefined roles, how a boolean
//! is printed, Oracle mode, other files. `sys_controldata`, `sys_isready` and `sys_basebackup` are those of a newer
//! PostgreSQL, `sys_waldump` is a stand-in of ours. There is no `sys_rewind`: that of a newer one refuses an older server.

use super::live_support::BIN;
use super::support::Cluster;
use pgbaton::lab::LabOptions;
use std::fmt::Write as _;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

pub(crate) struct Dressed {
    pub cluster: Cluster,
    dir: tempfile::TempDir,
}

impl Dressed {
    /// A primary and two standbys, and a site file that says `product: kingbase`.
    pub(crate) async fn up(test: &str) -> Self {
        let versions = std::env::var_os("PGBATON_PG_VERSIONS")
            .expect("PGBATON_PG_VERSIONS, which scripts/test --all-versions sets");
        let dir = programs(&PathBuf::from(versions).join("12/bin"));
        let options = LabOptions {
            bin: Some(dir.path().to_owned()),
            settings: vec![("allow_system_table_mods".to_owned(), "on".to_owned())],
            ..LabOptions::default()
        };
        let cluster = Cluster::with(test, options).await;
        // What only the lab needed.
        for program in ["initdb", "pg_ctl", "postgres"] {
            std::fs::remove_file(dir.path().join(program)).unwrap();
        }
        let dressed = Self { cluster, dir };
        dressed.rename().await;
        dressed.write_site();
        dressed
    }

    /// Whether the hosts can be reached by `sys_securecmd`.
    pub(crate) fn connect(&self, connected: bool) {
        let marker = self.dir.path().join("no_route");
        if connected {
            std::fs::remove_file(marker).unwrap();
        } else {
            std::fs::write(marker, "").unwrap();
        }
    }

    /// Starts or stops a server by the product's program; the lab's are gone.
    pub(crate) fn control(&self, node: &str, what: &str) {
        let bin = self.dir.path().display();
        let data = self.cluster.data(node);
        let command = format!(
            "{bin}/sys_ctl -D {0} -m fast -w -l {0}/control.log {what} >/dev/null 2>&1",
            data.display()
        );
        let securecmd = format!("{bin}/sys_securecmd");
        let words = [&securecmd, "-l", &user(), "-T", "127.0.0.1", &command];
        super::live_support::run(&words);
    }

    /// The site file names it no more.
    pub(crate) fn forget(&self, node: &str) {
        let file = self.cluster.lab.site_file();
        let site = std::fs::read_to_string(file).unwrap();
        let named = |line: &&str| line.trim_start().starts_with(&format!("{node}: "));
        let rest: Vec<&str> = site.lines().filter(|line| !named(line)).collect();
        std::fs::write(file, rest.join("\n") + "\n").unwrap();
    }

    /// A `sys_rewind` made for another release than the data, which says nothing of that.
    pub(crate) fn give_a_newer_rewind(&self) {
        let text = format!(
            "#!/bin/sh\n[ \"$1\" != --version ] || {{ echo 'sys_rewind (KingbaseES) V009'; exit; }}\nexec {BIN}/pg_rewind \"$@\"\n"
        );
        let file = self.dir.path().join("sys_rewind");
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    async fn rename(&self) {
        self.cluster
            .tell("n1", "CREATE ROLE system SUPERUSER LOGIN REPLICATION")
            .await;
        self.cluster.tell("n1", "CREATE DATABASE esrep").await;
        let endpoint = self.cluster.endpoint("n1");
        let (client, connection) = tokio_postgres::Config::new()
            .host(&endpoint.host)
            .port(endpoint.port)
            .user("system")
            .dbname("esrep")
            .connect(tokio_postgres::NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        client
            .batch_execute(
                r"DO $$ DECLARE it record; BEGIN
                  FOR it IN SELECT oid::regprocedure AS it, proname FROM pg_proc
                    WHERE pronamespace = 'pg_catalog'::regnamespace AND proname LIKE 'pg\_%'
                  LOOP EXECUTE format('ALTER FUNCTION %s RENAME TO %I', it.it, 'sys_' || substr(it.proname, 4)); END LOOP;
                  FOR it IN SELECT relname FROM pg_class
                    WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'v' AND relname LIKE 'pg\_%'
                  LOOP EXECUTE format('ALTER VIEW pg_catalog.%I RENAME TO %I', it.relname, 'sys_' || substr(it.relname, 4)); END LOOP;
                  END $$;
                  ALTER FUNCTION pg_catalog.version() RENAME TO version_of_the_server;
                  CREATE FUNCTION pg_catalog.version() RETURNS text LANGUAGE sql AS
                    $$ SELECT 'KingbaseES V008R006C008B0014 on x86_64-pc-linux-gnu' $$",
            )
            .await
            .unwrap();
        let gone = client.batch_execute("SELECT pg_is_in_recovery()").await;
        assert!(gone.is_err(), "nothing is there under PostgreSQL's name");
        self.cluster.until_replayed("n1", &["n2", "n3"]).await;
    }

    fn write_site(&self) {
        let bin = self.dir.path().display();
        let lab = &self.cluster.lab;
        let user = user();
        let mut site = format!(
            "site: dressed\njournal: {}\nclusters:\n  {}:\n    product: kingbase\n    \
             sql: {{ user: system, dbname: esrep, sslmode: disable }}\n    replication: {{ user: replicator }}\n    \
             synchronous: {{ mode: quorum, acks: 1 }}\n    \
             transport: {{ template: [{bin}/sys_securecmd, -q, -o, ConnectTimeout=10, -p, \"8890\", -l, {user}, -T, \"{{host}}\"] }}\n    \
             defaults: {{ bin: {bin} }}\n    nodes:\n",
            lab.dir().join("journal").display(),
            lab.name(),
        );
        for node in ["n1", "n2", "n3"] {
            let (port, data) = (self.cluster.endpoint(node).port, self.cluster.data(node));
            let _ = writeln!(
                site,
                "      {node}: {{ host: 127.0.0.1, port: {port}, data: {} }}",
                data.display()
            );
        }
        std::fs::write(lab.site_file(), site).unwrap();
    }
}

/// Whose the servers are.
fn user() -> String {
    if rustix::process::geteuid().is_root() {
        "postgres".to_owned()
    } else {
        super::live_support::run(&["id", "-un"]).trim().to_owned()
    }
}

/// The folder of the programs.
fn programs(server: &Path) -> tempfile::TempDir {
    let dir = tempfile::Builder::new()
        .prefix("kingbase")
        .tempdir_in("/tmp")
        .unwrap();
    let bin = dir.path();
    let open = || std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(bin, open()).unwrap();
    for (name, program) in [
        ("initdb", "initdb"),
        ("postgres", "postgres"),
        ("kingbase", "postgres"),
    ] {
        symlink(server.join(program), bin.join(name)).unwrap();
    }
    let of_another = |program: &str| format!("#!/bin/sh\nexec {BIN}/{program} \"$@\"\n");
    let control = include_str!("sys_ctl");
    for (name, text) in [
        ("sys_ctl", control.to_owned()),
        ("pg_ctl", control.to_owned()),
        ("sys_securecmd", include_str!("sys_securecmd").to_owned()),
        ("sys_waldump", include_str!("sys_waldump").to_owned()),
        (
            "sys_basebackup",
            include_str!("sys_basebackup").replace("@NEWER@", BIN),
        ),
        ("sys_controldata", of_another("pg_controldata")),
        ("sys_isready", of_another("pg_isready")),
    ] {
        let text = text
            .replace("@BIN@", bin.to_str().unwrap())
            .replace("@SERVER@", server.to_str().unwrap());
        std::fs::write(bin.join(name), text).unwrap();
        std::fs::set_permissions(bin.join(name), open()).unwrap();
    }
    dir
}
