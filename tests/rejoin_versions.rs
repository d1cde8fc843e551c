//! A node that cannot simply follow comes back, on every release of PostgreSQL: by whichever program there is for it.
//!
//! Complete servers of 13, 14, 16, 17 and 18 are fetched (`scripts/postgres-versions`), 15 is Debian's. Of 12 there is only
//! the server: a copy is made by the program of 15, which copies older ones, and a rewind was never tried.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod rejoin_support;
mod support;

use pgbaton::cluster::{SyncMode, Synchronous};
use pgbaton::lab::LabOptions;
use rejoin_support::{assert_came_back, beside, diverge, entries, operations, own, rejoin};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use support::Cluster;

/// Where a release's programs are: those of a whole server, where one was fetched.
fn bin_of(release: u32) -> PathBuf {
    let servers = std::env::var_os("PGBATON_PG_VERSIONS")
        .expect("PGBATON_PG_VERSIONS, which scripts/test --all-versions sets");
    let whole = PathBuf::from(&servers).join(format!("{release}-whole/bin"));
    if whole.is_dir() {
        whole
    } else {
        PathBuf::from(servers).join(format!("{release}/bin"))
    }
}

/// A folder with the server's programs, and these that renew its data.
fn programs(release: u32, more: &[(&str, &Path)]) -> tempfile::TempDir {
    let dir = tempfile::Builder::new()
        .prefix("pgbaton-bin")
        .tempdir_in("/tmp")
        .unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    for program in ["initdb", "pg_ctl", "postgres"] {
        symlink(bin_of(release).join(program), dir.path().join(program)).unwrap();
    }
    for (program, bin) in more {
        let file = bin.join(program);
        assert!(file.is_file(), "{} is missing", file.display());
        symlink(file, dir.path().join(program)).unwrap();
    }
    dir
}

/// A primary whose standby took over, and which holds what that never had.
async fn diverged(test: &str, bin: &Path) -> Cluster {
    let options = LabOptions {
        standbys: 1,
        bin: Some(bin.to_owned()),
        synchronous: Synchronous {
            mode: SyncMode::Off,
            acks: 1,
        },
        ..LabOptions::default()
    };
    let cluster = Cluster::with(test, options).await;
    diverge(&cluster).await;
    cluster
}

async fn by_a_rewind(release: u32) {
    let bin = bin_of(release);
    // A server of the packages has no program that prints control data: it is read without one.
    let programs = programs(release, &[("pg_rewind", &bin), ("pg_controldata", &bin)]);
    let cluster = diverged(&format!("rv-rewind-{release}"), programs.path()).await;
    let said = cluster.pgbaton(&rejoin(&[])).await.expect(0);
    let did = operations(&said);
    assert!(did.contains(&"rewind".to_owned()), "{did:?}");
    assert_came_back(&cluster, &own(&cluster)).await;
    assert_eq!(beside(&cluster, "n1"), Vec::<String>::new());
    let said = cluster.pgbaton(&rejoin(&[])).await.expect(0);
    assert_eq!(operations(&said), ["mark"]);
}

/// The way back where there is nothing to rewind with: refused, unless a copy is allowed.
async fn by_a_copy(release: u32) {
    let own_one = bin_of(release);
    let newer = bin_of(15);
    let bin = if own_one.join("pg_basebackup").is_file() {
        &own_one
    } else {
        &newer
    };
    let programs = programs(release, &[("pg_basebackup", bin)]);
    let cluster = diverged(&format!("rv-copy-{release}"), programs.path()).await;
    let before = entries(&cluster, "n1");
    let said = cluster.pgbaton(&rejoin(&[])).await.expect(3);
    assert!(
        said.all().contains("the program that rewinds is not"),
        "{}",
        said.all()
    );
    assert_eq!(operations(&said), Vec::<String>::new());
    assert_eq!(entries(&cluster, "n1"), before);
    let said = cluster
        .pgbaton(&rejoin(&["-p", "rebuild=auto"]))
        .await
        .expect(0);
    let did = operations(&said);
    assert!(did.contains(&"clone".to_owned()), "{did:?}");
    assert_came_back(&cluster, &own(&cluster)).await;
    assert_eq!(beside(&cluster, "n1").len(), 1, "the former data alone");
}

/// Neither program: nothing is touched, whatever is allowed.
async fn by_nothing(release: u32) {
    let programs = programs(release, &[]);
    let cluster = diverged(&format!("rv-none-{release}"), programs.path()).await;
    let control = cluster.data("n1").join("global/pg_control");
    let stands = || (entries(&cluster, "n1"), std::fs::read(&control).unwrap());
    let before = stands();
    for allowed in ["never", "ask", "auto"] {
        let rebuild = format!("rebuild={allowed}");
        let said = cluster.pgbaton(&rejoin(&["-p", &rebuild])).await.expect(3);
        assert!(said.all().contains("none can be made"), "{}", said.all());
        assert_eq!(operations(&said), Vec::<String>::new());
    }
    assert_eq!(stands(), before);
}

macro_rules! on_each_release {
    ($($test:ident: $way:ident $release:literal),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            #[ignore = "needs servers of every release: scripts/test --all-versions"]
            async fn $test() {
                $way($release).await;
            }
        )+
    };
}

on_each_release! {
    postgresql_13_by_a_rewind: by_a_rewind 13,
    postgresql_14_by_a_rewind: by_a_rewind 14,
    postgresql_15_by_a_rewind: by_a_rewind 15,
    postgresql_16_by_a_rewind: by_a_rewind 16,
    postgresql_17_by_a_rewind: by_a_rewind 17,
    postgresql_18_by_a_rewind: by_a_rewind 18,
    postgresql_12_by_a_copy: by_a_copy 12,
    postgresql_13_by_a_copy: by_a_copy 13,
    postgresql_14_by_a_copy: by_a_copy 14,
    postgresql_15_by_a_copy: by_a_copy 15,
    postgresql_16_by_a_copy: by_a_copy 16,
    postgresql_17_by_a_copy: by_a_copy 17,
    postgresql_18_by_a_copy: by_a_copy 18,
    postgresql_12_by_nothing: by_nothing 12,
    postgresql_17_by_nothing: by_nothing 17,
}
