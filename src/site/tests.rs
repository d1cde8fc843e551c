//! What a site file means, and what users see of one that is wrong.

use super::{Site, schema, to_yaml};
use crate::cluster::{
    Node, NodeName, Product, PromotePolicy, SecretSource, SslMode, SyncMode, Transport,
};
use crate::document::Source;
use std::path::{Path, PathBuf};

const BASE: &str = "/etc/pgbaton";

fn load(yaml: &str) -> Site {
    match Site::parse(&Source::new("site.yaml", yaml), Path::new(BASE)) {
        Ok(site) => site,
        Err(diagnostics) => panic!("{}", diagnostics.render(false, 100)),
    }
}

fn report(yaml: &str) -> String {
    match Site::parse(&Source::new("site.yaml", yaml), Path::new(BASE)) {
        Ok(site) => panic!("accepted: {site:?}"),
        Err(diagnostics) => diagnostics.render(false, 100),
    }
}

/// A site with one cluster, in which `cluster` stands besides two good nodes.
fn with(cluster: &str) -> String {
    format!(
        "site: east\nclusters:\n  orders:\n    {cluster}\n    defaults: {{ data: /d, bin: /b }}\n    nodes:\n      n1: {{ host: 10.0.0.1 }}\n      n2: {{ host: 10.0.0.2 }}\n"
    )
}

fn node<'s>(site: &'s Site, name: &str) -> &'s Node {
    site.clusters["orders"]
        .node(&NodeName::parse(name).unwrap())
        .unwrap()
}

/// The site file of the language page.
const KINGBASE: &str = "\
site: east
vars: { vip: 192.168.1.200/24 }
clusters:
  orders:
    product: kingbase
    sql: { user: esrep, dbname: esrep, passfile: pgpass }
    replication: { user: esrep }
    synchronous: { mode: quorum }
    ssh: { user: kingbase }
    defaults: { data: /home/kingbase/data, bin: /home/kingbase/bin }
    nodes:
      node1: { host: 192.168.1.201, priority: 90, location: dc1 }
      node2: { host: 192.168.1.202, ssh: { port: 2222 } }
      node3: { host: 192.168.1.203, promote: never, port: 5999, id: 1 }
";

/// Every form that there is.
const EVERYTHING: &str = "\
site: west.2
vars: { vip: 10.0.0.9, list: [1, two, { three: true }], \"n\": null }
journal: journal
api: { listen: '10.0.0.5:8432', tls: { cert: api.crt, key: /k }, tokens: who }
notify:
  a: { webhook: { url: https://pager.example.org/x, secret: { file: hmac } }, events: [run_ended, not_ready], clusters: [orders] }
  b: { webhook: { url: { env: PAGER } }, timeout: 500ms, tries: 2 }
  c: { email: { server: mail.example.org, user: pgbaton, password: { file: /p }, from: pgbaton@example.org, to: [\"DBAs <dba@example.org>\"] } }
  d: { email: { server: localhost, tls: none, port: 2525, from: a@example.org, to: [b@example.org, c@example.org] } }
  e: { command: [/usr/local/bin/page, 5] }
overlays: [vip.yaml, /etc/else/dns.yaml]
clusters:
  orders:
    product: postgresql
    sql: { user: dba, dbname: \"on\", port: 5433, password: { env: PW }, sslmode: verify-full, sslrootcert: /ca.pem }
    replication: { user: repl, passfile: /var/lib/postgresql/.pgpass, options: { connect_timeout: 5, sslmode: require } }
    synchronous: first
    repmgr: { database: rep }
    transport: { ssh: { user: ops, identity: id, config: /c, known_hosts: /k } }
    defaults: { data: /d, bin: /b, log: /l, priority: 7, location: dc2, forbid_return: [systemctl, mask, pg], allow_return: [a, 5] }
    nodes:
      n1: { host: db1.example.com, ssh: { host: jump, port: 22 } }
      n2: { host: 10.0.0.2, transport: local, priority: -1, service: { start: [svc, up], stop: [svc, down] } }
      n3: { host: \"fe80::1%eth0\", transport: { local: { user: postgres } } }
      n4: { host: /run/postgresql, transport: none }
      n5: { host: db5, transport: { template: [sys_securecmd, -p, 8890, \"{host}\"] }, data: /x }
      n6: { host: db6, transport: ssh, service: { systemd: \"postgresql@15-main\", sudo: true } }
      n7: { host: db7, transport: ssh, service: { pg_ctlcluster: 15/main } }
  other:
    product: kingbase
    sql: { user: system, password: { file: /secret } }
    synchronous: { mode: off }
    nodes:
      a: { host: /tmp/socket, data: /d, bin: /b }
";

#[test]
fn defaults_and_nodes_come_together() {
    let site = load(KINGBASE);
    let cluster = &site.clusters["orders"];
    assert_eq!(cluster.product, Product::Kingbase);
    assert_eq!(cluster.synchronous.mode, SyncMode::Quorum);
    assert_eq!(cluster.synchronous.acks, 1);
    assert_eq!(
        cluster.sql.passfile,
        Some(PathBuf::from("/etc/pgbaton/pgpass")),
        "a relative path is taken from the site file's directory"
    );
    let (one, two, three) = (
        node(&site, "node1"),
        node(&site, "node2"),
        node(&site, "node3"),
    );
    assert_eq!(
        (one.port, one.priority, one.location.as_str()),
        (54_321, 90, "dc1")
    );
    assert_eq!((three.port, three.promote), (5999, PromotePolicy::Never));
    assert_eq!(
        (one.id, two.id, three.id),
        (2, 3, 1),
        "whoever gave no id gets the lowest that is free"
    );
    let Transport::Ssh { user, port, .. } = &two.transport else {
        panic!("{:?}", two.transport);
    };
    assert_eq!((user.as_deref(), *port), (Some("kingbase"), Some(2222)));
}

#[test]
fn every_form_is_read() {
    let site = load(EVERYTHING);
    let cluster = &site.clusters["orders"];
    assert_eq!(cluster.sql.password, Some(SecretSource::Env("PW".into())));
    assert_eq!(cluster.sql.sslmode, SslMode::VerifyFull);
    assert_eq!(cluster.replication.options["connect_timeout"], "5");
    assert_eq!(node(&site, "n1").port, 5433);
    assert_eq!(node(&site, "n2").transport, Transport::Local { user: None });
    assert_eq!(node(&site, "n4").transport, Transport::None);
    let service = |name| node(&site, name).service.clone().unwrap();
    assert_eq!(service("n2").stop(), ["svc", "down"]);
    let unit = ["sudo", "-n", "systemctl", "start", "postgresql@15-main"];
    assert_eq!(service("n6").start(), unit);
    let debian = ["pg_ctlcluster", "15", "main", "stop", "-m", "fast"];
    assert_eq!(service("n7").stop(), debian);
    assert_eq!(
        node(&site, "n1").allow_return.as_deref(),
        Some(["a".to_owned(), "5".to_owned()].as_slice())
    );
    assert_eq!(site.journal, Some(PathBuf::from("/etc/pgbaton/journal")));
    let other = &site.clusters["other"];
    let a = other.nodes.values().next().unwrap();
    assert_eq!(
        a.transport,
        Transport::Local { user: None },
        "a socket is on this machine"
    );
    assert_eq!(other.replication.user, "system");
    assert_eq!(other.sql.dbname, "test");
}

#[test]
fn the_api_is_served_on_the_network_only_with_tls() {
    let with = |api: &str| {
        let sound = with("sql: { user: dba }");
        sound.replace("site: east\n", &format!("site: east\napi: {api}\n"))
    };
    let api = |text: &str| load(&with(text)).api.unwrap();
    let plain = api("{ tokens: who }");
    assert_eq!(plain.listen.to_string(), "127.0.0.1:8432");
    assert_eq!((plain.tls, plain.tokens), (None, "/etc/pgbaton/who".into()));
    let tls = load(EVERYTHING).api.unwrap().tls.unwrap();
    assert_eq!(tls.cert, Path::new("/etc/pgbaton/api.crt"));
    assert_eq!(tls.key, Path::new("/k"));
    assert!(api("{ listen: '[::1]:80', tokens: who }").listen.is_ipv6());
    for (text, said) in [
        (
            "{ listen: '0.0.0.0:8432', tokens: who }",
            "without `tls` the API cannot listen on 0.0.0.0:8432",
        ),
        ("{ listen: '[::]:8432', tokens: who }", "without `tls`"),
        (
            "{ listen: 'localhost:8432', tokens: who }",
            "is not an address to listen on",
        ),
        (
            "{ listen: '127.0.0.1', tokens: who }",
            "is not an address to listen on",
        ),
        ("{ listen: '127.0.0.1:8432' }", "tokens"),
        ("{ tls: { cert: c }, tokens: who }", "key"),
        ("{ tokens: who, tsl: { cert: c, key: k } }", "tsl"),
    ] {
        let report = report(&with(text));
        assert!(report.contains(said), "{text}\n{report}");
    }
}

/// `EVERYTHING` with an etcd in place of the directory.
fn shared() -> String {
    EVERYTHING.replace(
        "journal: journal\n",
        "store: { etcd: [\"http://10.0.0.1:2379\", \"https://b:2379\"], prefix: /dba/ }\n",
    )
}

#[test]
fn several_machines_share_an_etcd() {
    let store = load(&shared()).store.unwrap();
    assert_eq!(store.endpoints, ["http://10.0.0.1:2379", "https://b:2379"]);
    assert_eq!(store.prefix.as_deref(), Some("/dba/"));
}

#[test]
fn what_is_written_is_read_back_as_the_same_site() {
    for yaml in [KINGBASE, EVERYTHING, &shared()] {
        let site = load(yaml);
        let written = to_yaml(&site);
        assert_eq!(load(&written), site, "{written}");
    }
    insta::assert_snapshot!(to_yaml(&load(KINGBASE)));
}

#[test]
fn what_is_run_for_which_loss_is_read_and_written_back() {
    let with = |detector: &str| with(&format!("sql: {{ user: x }}\n    detector: {detector}"));
    let own = "{ mode: auto, playbooks: { primary_hangs: none, primary_dead: careful } }";
    let site = load(&with(own));
    let detector = &site.clusters["orders"].detector;
    assert_eq!(detector.playbook_for("primary_hangs"), None);
    assert_eq!(detector.playbook_for("primary_dead"), Some("careful"));
    let usual = detector.playbook_for("postgres_down_host_up");
    assert_eq!(usual, Some("failover"));
    assert_eq!(load(&to_yaml(&site)), site);
    let wrong = report(&with(
        "{ mode: approve, playbooks: { primary_dead: careful } }",
    ));
    assert!(
        wrong.contains("would start `careful` without a question"),
        "{wrong}"
    );
    load(&with(
        "{ mode: approve, playbooks: { primary_dead: restart, primary_hangs: none } }",
    ));
    let wrong = report(&with("{ playbooks: { standby_down: follow } }"));
    assert!(wrong.contains("nothing that a watch acts on"), "{wrong}");
    assert!(wrong.contains("primary_hangs"), "{wrong}");
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    insta::assert_snapshot!(report(
        "\
sit: east
site: [east]
vars: { a-b: 1 }
clusters:
  orders:
    product: postgres
    sql: { usr: dba, port: 70000 }
    synchronous: { mode: quorum, acks: 3 }
    defualts: { data: /d }
    defaults: { data: relative, prioritty: 1 }
    nodes:
      n1: { prot: 5432 }
      -x: { host: 10.0.0.1 }
      n2: { host: \"10.0.0.1:5432\", promote: sometimes }
      n3:
"
    ));
}

#[test]
fn nodes_that_could_be_taken_for_each_other_are_refused() {
    insta::assert_snapshot!(report(
        "\
site: east
clusters:
  orders:
    sql: { user: dba }
    defaults: { data: /d, bin: /b }
    nodes:
      n-1: { host: 10.0.0.1, id: 4 }
      n_1: { host: 10.0.0.2 }
      N-1: { host: 10.0.0.3 }
      n4: { host: 10.0.0.4, id: 4 }
      n5: { host: 10.0.0.4 }
"
    ));
}

#[test]
fn a_password_in_the_file_is_refused_and_not_shown() {
    let secret = "hunter2";
    let all = [
        with(&format!("sql: {{ user: dba, password: {secret} }}")),
        with(&format!("sql: {{ user: dba, passwrod: {secret} }}")),
        with(&format!(
            "sql: {{ user: dba }}\n    replication: {{ password: '{secret}' }}"
        )),
        with(&format!(
            "sql: {{ user: dba }}\n    replication:\n      options: {{ password: {secret} }}"
        )),
        with(&format!(
            "sql: {{ user: dba }}\n    conninfo: host=a password={secret}"
        )),
        // No tree: the rest of the line is hidden.
        with(&format!("sql: {{ user: dba, password: \"{secret} }}")),
        format!("site: east\npassword: {secret}: x\n"),
    ]
    .map(|yaml| report(&yaml))
    .join("\n");
    assert!(!all.contains(secret), "{all}");
    insta::assert_snapshot!(all);
}

#[test]
fn values_that_fit_nowhere_say_what_would() {
    let all = [
        "sql: { user: dba, sslmode: verify-full }",
        "sql: { user: dba, passfile: a, password: { env: B } }",
        "sql: { user: dba, password: { env: B, file: c } }",
        "sql: { user: dba }\n    synchronous: { mode: all, acks: 2 }",
        "sql: { user: dba }\n    synchronous: quorom",
        "sql: { user: dba }\n    transport: rsh",
        "sql: { user: dba }\n    transport: { local: {}, ssh: {} }",
        "sql: { user: dba }\n    transport: { template: [] }",
        "sql: { user: dba }\n    ssh: { user: \"-oProxyCommand=x\" }",
        "sql: { user: dba }\n    ssh: {}\n    transport: local",
        "sql: { user: dba }\n    replication: { options: { connect_timout: 3, host: x } }",
        "product: kingbase",
    ]
    .map(|cluster| report(&with(cluster)))
    .join("\n");
    insta::assert_snapshot!(all);
}

#[test]
fn the_schema_accepts_what_the_loader_accepts_and_refuses_what_it_can_see() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let json = |yaml: &str| -> serde_json::Value { serde_yaml::from_str(yaml).unwrap() };
    for yaml in [
        KINGBASE,
        &EVERYTHING.replace("synchronous: { mode: off }", "synchronous: { mode: 'off' }"),
    ] {
        let errors: Vec<String> = validator
            .iter_errors(&json(yaml))
            .map(|e| format!("{}: {e}", e.instance_path()))
            .collect();
        assert_eq!(errors, Vec::<String>::new());
    }
    for cluster in [
        "sql: { user: dba, password: x }",
        "sql: { user: dba, sslmode: verify-full }",
        "sql: { user: dba, prot: 1 }",
        "sql: {}",
        "sql: { user: dba }\n    synchronous: { mode: all, acks: 2 }",
        "sql: { user: dba }\n    transport: rsh",
        "sql: { user: dba }\n    transport: { template: [] }",
        "sql: { user: dba }\n    ssh: { user: -x }",
        "sql: { user: dba }\n    ssh: {}\n    transport: local",
        "sql: { user: dba }\n    replication: { options: { password: 3 } }",
    ] {
        let yaml = with(cluster);
        assert!(!validator.is_valid(&json(&yaml)), "{yaml}");
        report(&yaml);
    }
}

#[test]
fn the_committed_schema_is_not_stale() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/site.schema.json");
    let now = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
    if std::env::var_os("PGBATON_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &now).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == now,
        "schemas/site.schema.json is stale; PGBATON_BLESS=1 cargo test committed_schema writes it"
    );
}
