//! Input that cannot be used: exit code 2, everything that is wrong at once, and nothing is touched.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod support;

use std::path::Path;
use support::Said;

/// A cluster that nobody listens for; the journal would be beside the site file.
const SITE: &str = "site: nowhere
journal: journal
clusters:
  orders:
    product: postgresql
    sql: { user: dba }
    transport: none
    defaults: { data: /nowhere/data, bin: /nowhere/bin }
    nodes:
      n1: { host: 127.0.0.1, port: 1 }
      n2: { host: 127.0.0.1, port: 2 }
";

struct Folder(tempfile::TempDir);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Runs; asserts exit code 2, nothing on standard output, and that no journal was begun.
    async fn refuses(&self, arguments: &[&str]) -> String {
        let site = self.path().join("site.yaml");
        let mut all = vec!["--site", site.to_str().unwrap()];
        let file = |word: &&str| self.path().join(word).is_file();
        let paths: Vec<String> = arguments
            .iter()
            .map(|word| {
                if file(word) {
                    self.path().join(word).display().to_string()
                } else {
                    (*word).to_owned()
                }
            })
            .collect();
        all.extend(paths.iter().map(String::as_str));
        let said: Said = support::pgbaton(&all).await.expect(2);
        assert_eq!(said.stdout, "", "standard output is for data");
        assert!(!self.path().join("journal").exists(), "nothing was begun");
        said.stderr
            .replace(&self.path().display().to_string(), "FOLDER")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_wrong_with_a_playbook_is_said_at_once() {
    let folder = Folder::with(&[
        ("site.yaml", SITE),
        (
            "bad.yaml",
            "playbook: bad\nsteps:\n  one: { action: wait, with: { for: 10 } }\n  two: { needs: [won], action: promte }\n",
        ),
    ]);
    insta::assert_snapshot!(folder.refuses(&["run", "bad.yaml"]).await, @r##"
    error[wrong-type]: input `for`: `10` has no unit
     --> FOLDER/bad.yaml:3:37
      |
    3 |   one: { action: wait, with: { for: 10 } }
      |                                     ^^
      |
      = help: write its unit: `10s`, for example

    error[unknown-step]: there is no step `won` beside `two`
     --> FOLDER/bad.yaml:4:18
      |
    4 |   two: { needs: [won], action: promte }
      |                  ^^^
      |
      = help: `needs` names steps of the same block

    error[unknown-action]: there is no action `promte`
     --> FOLDER/bad.yaml:4:32
      |
    4 |   two: { needs: [won], action: promte }
      |                                ^^^^^^
      |
      = help: did you mean `promote`?

    error: playbook FOLDER/bad.yaml has errors
    "##);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_wrong_with_a_site_file_is_said_at_once() {
    let site = support::swap(SITE, "product: postgresql", "product: oracle");
    let site = support::swap(&site, "port: 2", "prot: 2");
    let folder = Folder::with(&[("site.yaml", &site)]);
    insta::assert_snapshot!(folder.refuses(&["run", "failover"]).await, @r##"
    error[unknown-value]: `product` cannot be `oracle`
     --> FOLDER/site.yaml:5:14
      |
    5 |     product: oracle
      |              ^^^^^^
      |
      = help: allowed: `postgresql`, `kingbase`

    error[unknown-key]: node `n2` has no key `prot`
      --> FOLDER/site.yaml:11:30
       |
    11 |       n2: { host: 127.0.0.1, prot: 2 }
       |                              ^^^^
       |
       = help: did you mean `port`?

    error: site file FOLDER/site.yaml has errors
    "##);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_wrong_with_parameters_is_said_at_once() {
    let folder = Folder::with(&[("site.yaml", SITE)]);
    let run = [
        "run",
        "failover",
        "-p",
        "candidat=n2",
        "-p",
        "max_loss=16",
        "-p",
        "apply=maybe",
        "-p",
        "old_primary=n9",
    ];
    insta::assert_snapshot!(folder.refuses(&run).await, @r##"
    error: playbook `failover` cannot be run with these parameters
      because: parameter `candidat`: playbook `failover` has no such parameter
        did you mean `candidate`?
      because: parameter `old_primary`: the cluster has no node `n9`
        its nodes are: n1, n2
      because: parameter `max_loss`: `16` has no unit
        write `16B` if bytes are meant; units are `B`, `kB`, `MB`, `GB`, `TB` (thousands) and `KiB`, `MiB`, `GiB`, `TiB` (1024s)
      because: parameter `apply`: it cannot be `maybe`
        allowed: `auto`, `restart`
      hint: `pgbaton playbook show failover` shows its parameters
    "##);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parameter_that_must_be_given_is_asked_for() {
    let folder = Folder::with(&[("site.yaml", SITE)]);
    insta::assert_snapshot!(folder.refuses(&["run", "follow"]).await, @r##"
    error: playbook `follow` cannot be run with these parameters
      because: parameter `node`: it must be given
        the standby that is to follow: `-p node=NODE`
      because: parameter `upstream`: it must be given
        what it is to follow; a primary or another standby: `-p upstream=NODE`
      hint: `pgbaton playbook show follow` shows its parameters
    "##);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_file_that_is_not_there() {
    let folder = Folder::with(&[]);
    insta::assert_snapshot!(folder.refuses(&["run", "failover"]).await, @r##"
    error: site file FOLDER/site.yaml cannot be read: No such file or directory (os error 2)
      hint: give one with --site FILE; `pgbaton lab up` makes a cluster with a site file to try
    "##);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_not_in_the_site_file() {
    let folder = Folder::with(&[("site.yaml", SITE)]);
    insta::assert_snapshot!(folder.refuses(&["--cluster", "order", "run", "failover"]).await, @r##"
    error: site nowhere has no cluster `order`
      hint: its clusters are orders
    "##);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_playbook_that_is_not_there() {
    let folder = Folder::with(&[("site.yaml", SITE)]);
    insta::assert_snapshot!(folder.refuses(&["run", "failovr"]).await, @r##"
    error: there is no playbook `failovr`
      hint: there are: approved_failover, failover, follow, rejoin, restart, switchover, synchronous
    "##);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_playbook_of_the_users_that_cannot_be_read_is_not_passed_over() {
    let folder = Folder::with(&[("site.yaml", SITE)]);
    std::fs::create_dir_all(folder.path().join("playbooks/mine.yaml")).unwrap();
    for command in [
        &["run", "mine"][..],
        &["graph", "mine"],
        &["playbook", "list"],
    ] {
        let said = folder.refuses(command).await;
        assert!(
            said.contains(
                "playbook FOLDER/playbooks/mine.yaml cannot be read: it is no regular file"
            ),
            "{said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_nodes_and_facts_are_checked_before_the_run() {
    let text = "playbook: p
params: { node: { type: node, default: n2 } }
steps:
  first: { action: exec, effect: idempotent, with: { argv: [\"true\"] } }
  second: { needs: [first], action: reload, node: n9 }
  third: { needs: [first], when: \"cluster.nodes.n3.role == 'primary'\", action: reload, node: n1 }
  fourth: { needs: [first], for_each: [a, b, a], action: notify, with: { message: \"{{ item }}\" } }
";
    let folder = Folder::with(&[("site.yaml", SITE), ("p.yaml", text)]);
    insta::assert_snapshot!(folder.refuses(&["run", "p.yaml"]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_that_are_not_there_or_there_twice_are_refused() {
    let text = "playbook: p
params: { word: { type: secret, required: true }, other: { type: string } }
steps:
  a: { action: exec, effect: read, with: { argv: [\"true\"], stdin: \"{{ params.word }}\" } }
";
    let folder = Folder::with(&[("site.yaml", SITE), ("p.yaml", text)]);
    let said = folder
        .refuses(&["run", "p.yaml", "-p", "word=file:/nowhere/secret"])
        .await;
    assert!(
        said.contains("the file /nowhere/secret cannot be read"),
        "{said}"
    );
    let twice = [
        "run",
        "p.yaml",
        "-p",
        "word=env:HOME",
        "-p",
        "other=a",
        "-p",
        "other=b",
    ];
    let said = folder.refuses(&twice).await;
    assert!(
        said.contains("parameter `other`: it is given more than once"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_file_is_not_read() {
    let folder = Folder::with(&[("site.yaml", SITE)]);
    let said = support::pgbaton(&["validate", "/dev/zero"]).await.expect(2);
    assert!(
        said.all().contains("it is no regular file"),
        "{}",
        said.all()
    );
    let said = folder.refuses(&["run", "/dev/zero"]).await;
    assert!(said.contains("it is no regular file"), "{said}");
}
