//! What operations look like before they are performed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod live_support;

use live_support::{Pair, name};
use pgbaton::cluster::{Operation, Product, Rendered, StopMode, UpstreamRoute};
use pgbaton::postgres::renderer;
use std::time::Duration;

/// No password, and the login that pgbaton has itself.
const REWIND: &str = "n2 $ /bin/pg_rewind -D /pg/n2 '--source-server=host=127.0.0.1 port=5432 user=postgres dbname=postgres \
    sslmode=prefer connect_timeout=10 keepalives_idle=10 keepalives_interval=5 keepalives_count=4 tcp_user_timeout=30000' # after crash recovery where it needs one; its own settings are put back";

fn lines(pair: &Pair, operation: &Operation) -> Vec<String> {
    renderer(pair.inventory.product)
        .render(&pair.inventory, operation)
        .into_iter()
        .map(|rendered| match rendered {
            Rendered::Sql { node, shown } => format!("{node} sql: {shown}"),
            Rendered::Command { node, shown } => {
                format!(
                    "{} $ {shown}",
                    node.map_or("-".to_owned(), |n| n.to_string())
                )
            }
            Rendered::File { node, path, shown } => format!("{node} {path}: {shown}"),
            Rendered::Http { shown } => shown,
        })
        .map(|line| line.replace(pair.dir.path().to_str().unwrap(), "/pg"))
        .collect()
}

/// What subscribers need of a standby and of a primary (17 and later).
#[test]
fn what_is_done_for_subscribers_is_told() {
    let mut pair = Pair::prepared();
    for (index, node) in pair.inventory.nodes.values_mut().enumerate() {
        node.port = 5432 + u16::try_from(index).unwrap();
    }
    let (n1, n2) = (name("n1"), name("n2"));
    let conninfo = "host=127.0.0.1 port=5432 user=postgres application_name=n2";
    let follow = Operation::SetUpstream {
        node: n2.clone(),
        upstream: n1.clone(),
        slot: None,
        route: UpstreamRoute::Sql,
        dbname: Some("it's".to_owned()),
        former: None,
    };
    let sets =
        format!(r"n2 sql: ALTER SYSTEM SET primary_conninfo = E'{conninfo} dbname=''it\\''s''';");
    let no_slot = "n2 sql: ALTER SYSTEM SET primary_slot_name = '';";
    assert_eq!(lines(&pair, &follow), [sets.as_str(), no_slot]);
    let wait = Operation::SetSynchronizedSlots {
        node: n1.clone(),
        slots: vec![n2.slot(), name("n3").slot()],
        before: String::new(),
    };
    assert_eq!(
        lines(&pair, &wait),
        [
            "n1 sql: ALTER SYSTEM SET synchronized_standby_slots = 'pgbaton_n2, pgbaton_n3';",
            "n1 sql: SELECT pg_reload_conf();",
        ]
    );
}

#[test]
fn each_operation_tells_exactly_what_it_will_do() {
    let mut pair = Pair::prepared();
    for (index, node) in pair.inventory.nodes.values_mut().enumerate() {
        node.port = 5432 + u16::try_from(index).unwrap();
        node.bin = "/bin".into();
    }
    let (n1, n2) = (name("n1"), name("n2"));
    let follow = |route| Operation::SetUpstream {
        node: n2.clone(),
        upstream: n1.clone(),
        slot: Some(n2.slot()),
        route,
        dbname: None,
        former: None,
    };
    let conninfo = "host=127.0.0.1 port=5432 user=postgres application_name=n2";
    let cases: Vec<(Operation, Vec<String>)> = vec![
        (
            Operation::Freeze { node: n2.clone(), former: None },
            vec![
                "n2 sql: ALTER SYSTEM SET primary_conninfo = '';".into(),
                "n2 sql: ALTER SYSTEM SET restore_command = ''; -- where a reload applies restore_command".into(),
                "n2 sql: SELECT pg_reload_conf();".into(),
            ],
        ),
        (
            follow(UpstreamRoute::Sql),
            vec![
                format!("n2 sql: ALTER SYSTEM SET primary_conninfo = '{conninfo}';"),
                "n2 sql: ALTER SYSTEM SET primary_slot_name = 'pgbaton_n2';".into(),
            ],
        ),
        (
            follow(UpstreamRoute::File),
            vec![
                "n2 /pg/n2/standby.signal: created".into(),
                format!("n2 /pg/n2/postgresql.auto.conf: primary_conninfo = '{conninfo}'\nprimary_slot_name = 'pgbaton_n2'"),
            ],
        ),
        (
            Operation::Stop { node: n1.clone(), mode: StopMode::Fast, deadline: Duration::from_mins(1) },
            vec!["n1 $ /bin/pg_ctl -D /pg/n1 -m fast -W stop".into()],
        ),
        (
            Operation::Start { node: n1.clone(), deadline: Duration::from_mins(1) },
            vec!["n1 $ /bin/pg_ctl -D /pg/n1 -l /pg/n1/pgbaton-start.log -w -t 60 start".into()],
        ),
        (
            Operation::Rewind { node: n2.clone(), upstream: n1.clone(), deadline: Duration::from_mins(1) },
            vec![REWIND.into()],
        ),
        (
            Operation::Clone {
                node: n2.clone(),
                upstream: n1.clone(),
                slot: Some(n2.slot()),
                tablespaces: Vec::new(),
                keep: true,
                owner: "run".to_owned(),
                deadline: Duration::from_mins(1),
            },
            vec![format!(
                "n2 $ /bin/pg_basebackup -D /pg/n2.pgbaton.new -d '{} keepalives_idle=10 keepalives_interval=5 keepalives_count=4 tcp_user_timeout=30000' -w -X stream -c fast -S pgbaton_n2 # then it takes \
                 the place of /pg/n2; the former data: keep",
                conninfo.replace("application_name=n2", "application_name=pgbaton-copy")
            )],
        ),
        (
            Operation::Promote { node: n2.clone() },
            vec!["n2 sql: SELECT pg_promote(false);".into()],
        ),
        (
            Operation::Promote { node: name("n9") },
            vec!["n9 sql: SELECT pg_promote(false);".into()],
        ),
        (
            Operation::Stop { node: name("n9"), mode: StopMode::Fast, deadline: Duration::from_mins(1) },
            vec!["n9 $ # impossible: n9: there is no such node in the site file".into()],
        ),
    ];
    for (operation, expected) in cases {
        assert_eq!(lines(&pair, &operation), expected, "{operation:?}");
    }
    pair.inventory.product = Product::Kingbase;
    let stop = Operation::Stop {
        node: n1,
        mode: StopMode::Immediate,
        deadline: Duration::from_secs(9),
    };
    assert_eq!(
        lines(&pair, &stop),
        ["n1 $ /bin/sys_ctl -D /pg/n1 -m immediate -W stop"]
    );
}
