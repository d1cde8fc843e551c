use crate::document::Source;
use crate::site::{NewsKind, Site};
use std::path::Path;

fn with(target: &str) -> Result<Site, String> {
    let yaml = format!(
        "site: east\nnotify:\n  pager: {target}\nclusters:\n  orders:\n    sql: {{ user: dba }}\n    \
         defaults: {{ data: /d, bin: /b }}\n    nodes:\n      n1: {{ host: 10.0.0.1 }}\n"
    );
    let source = Source::new("site.yaml", yaml);
    Site::parse(&source, Path::new("/etc/pgbaton")).map_err(|wrong| wrong.render(false, 100))
}

#[test]
fn a_target_is_told_of_what_it_asks_for() {
    let site = with("{ command: [page], events: [run_ended], clusters: [orders] }").unwrap();
    let target = &site.notify[0];
    assert!(target.wants(NewsKind::RunEnded, "orders"));
    assert!(!target.wants(NewsKind::RunStarted, "orders"));
    assert!(!target.wants(NewsKind::RunEnded, "others"));
    let all = with("{ command: [page] }").unwrap();
    assert!(all.notify[0].wants(NewsKind::Ready, "others"));
}

#[test]
fn what_is_wrong_with_a_target_is_said() {
    for (target, says) in [
        ("{}", "one of `webhook`, `email` and `command`"),
        (
            "{ command: [a], webhook: { url: http://x } }",
            "one of `webhook`, `email` and `command`",
        ),
        ("{ command: [] }", "names no program"),
        (
            "{ command: [a], events: [run_endet] }",
            "did you mean `run_ended`?",
        ),
        (
            "{ command: [a], events: [] }",
            "leave it out for all of them",
        ),
        (
            "{ command: [a], clusters: [oders] }",
            "the site has no cluster `oders`",
        ),
        (
            "{ command: [a], timeout: 10m }",
            "`timeout` must be from 100ms to 2m",
        ),
        ("{ command: [a], tries: 0 }", "`tries` must be from 1 to 10"),
        ("{ command: [a], retries: 3 }", "did you mean `tries`?"),
        (
            "{ webhook: { url: pager } }",
            "this is not the URL of a webhook",
        ),
        (
            "{ email: { server: m, from: a@b.c, to: [] } }",
            "`to` names nobody",
        ),
        (
            "{ email: { server: m, from: nobody, to: [a@b.c] } }",
            "`nobody` is no address of mail",
        ),
        (
            "{ email: { server: m, user: u, from: a@b.c, to: [a@b.c] } }",
            "`user` and `password` belong together",
        ),
        (
            "{ email: { server: m, tls: none, user: u, password: { file: p }, from: a@b.c, to: [a@b.c] } }",
            "without `tls` nobody can log in to m",
        ),
    ] {
        let said = with(target).expect_err(target);
        assert!(said.contains(says), "{target}:\n{said}");
    }
}

/// Neither in what is wrong nor in the line that is shown with it.
#[test]
fn no_secret_of_a_target_is_shown() {
    for target in [
        "{ webhook: { url: 'ftp://hunter2/x' } }",
        "{ webhook: { url: https://x/hunter2, secrets: { file: a } } }",
        "{ webhook: { url: https://x, secret: hunter2 } }",
        "{ email: { server: m, user: u, password: hunter2, from: a@b.c, to: [a@b.c] } }",
    ] {
        let said = with(target).expect_err(target);
        assert!(!said.contains("hunter2"), "{said}");
    }
}
