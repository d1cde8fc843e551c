//! `sslmode`, as libpq means it, against a real server.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod live_support;

use live_support::{BIN, Pair, name, run};
use pgbaton::cluster::{Cluster, CustomEffect, Observe, Operation, Outcome, SslMode, TroubleKind};
use serde_json::json;
use std::path::Path;
use std::process::Command;

fn openssl(dir: &Path, arguments: &str) {
    let done = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{arguments}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}

/// An authority, a certificate of it for 127.0.0.1, and another authority.
fn certificates(dir: &Path) {
    for ca in ["ca", "other"] {
        openssl(
            dir,
            &format!(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={ca} -keyout {ca}.key -out {ca}.crt"
            ),
        );
    }
    openssl(
        dir,
        "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=server -keyout server.key -out server.csr",
    );
    std::fs::write(dir.join("san"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    openssl(
        dir,
        "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile san -out server.crt",
    );
}

#[tokio::test]
async fn each_mode_checks_what_it_promises() {
    let mut pair = Pair::new().await;
    let n1 = name("n1");
    let keys = tempfile::tempdir().unwrap();
    certificates(keys.path());

    pair.inventory.sql.sslmode = SslMode::Require;
    let plain = pair.live().server(&n1).await.unwrap_err();
    assert_eq!(plain.kind, TroubleKind::Denied, "{plain}");

    for file in ["server.crt", "server.key"] {
        let path = Path::new(&pair.data("n1")).join(file);
        run(&[
            "sh",
            "-c",
            "umask 077; cat >\"$1\" <<END\n$2\nEND",
            "sh",
            path.to_str().unwrap(),
            &std::fs::read_to_string(keys.path().join(file)).unwrap(),
        ]);
    }
    pair.append("n1", "postgresql.conf", "ssl = on\n");
    run(&[
        &format!("{BIN}/pg_ctl"),
        "-D",
        &pair.data("n1"),
        "-m",
        "fast",
        "-w",
        "-s",
        "-l",
        "/dev/null",
        "restart",
    ]);

    let (ca, other) = (
        Some(keys.path().join("ca.crt")),
        Some(keys.path().join("other.crt")),
    );
    for (mode, root, host, good) in [
        (SslMode::Disable, None, "127.0.0.1", true),
        (SslMode::Prefer, None, "localhost", true),
        (SslMode::Require, None, "localhost", true),
        (SslMode::Require, other.clone(), "127.0.0.1", false),
        (SslMode::VerifyCa, ca.clone(), "localhost", true),
        (SslMode::VerifyCa, other.clone(), "127.0.0.1", false),
        (SslMode::VerifyFull, ca.clone(), "127.0.0.1", true),
        (SslMode::VerifyFull, ca, "localhost", false),
        (SslMode::VerifyFull, other, "127.0.0.1", false),
        (
            SslMode::VerifyCa,
            Some("/no/such/file".into()),
            "127.0.0.1",
            false,
        ),
    ] {
        let case = format!("{mode:?} {root:?} {host}");
        pair.inventory.sql.sslmode = mode;
        pair.inventory.sql.sslrootcert = root;
        host.clone_into(&mut pair.inventory.nodes.get_mut(&n1).unwrap().host);
        let live = pair.live();
        let (server, identity) = (live.server(&n1).await, live.identify(&n1).await);
        if !good {
            assert_eq!(server.unwrap_err().kind, TroubleKind::Denied, "{case}");
            assert!(identity.is_err(), "{case}");
            continue;
        }
        assert!(
            server.is_ok() && identity.is_ok(),
            "{case}: {server:?} {identity:?}"
        );
        let ssl = Operation::Sql {
            node: n1.clone(),
            statement: "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()".into(),
            parameters: vec![],
            dbname: None,
            effect: CustomEffect::Read,
        };
        let expected = json!({"rows": [{"ssl": mode != SslMode::Disable}], "count": 1});
        assert_eq!(
            live.perform(&ssl, None).await,
            Outcome::Done(expected),
            "{case}"
        );
    }
}
