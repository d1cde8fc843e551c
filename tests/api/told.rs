//! People and programs are told of what happens: by webhook, by mail, by a command. Whoever does not listen is in nobody's way.

use crate::dashboards;
use crate::live_support::free_port;
use crate::receivers::{Hook, MailServer, Post, until};
use crate::serve_support::{Serving, with_detector};
use crate::served::{Over, Served, authority};
use crate::support::{Cluster, UnderWay, swap};
use pgbaton::lab::Fault;
use serde_json::{Value as Json, json};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

const ASKS: &str = "playbook: asks
timeout: 10m
steps:
  ask: { action: approve, with: { question: shall it be done }, timeout: 5m }
";

fn notify(cluster: &Cluster, targets: &Json) {
    let site = cluster.lab.site_file();
    let text = std::fs::read_to_string(site).unwrap();
    let text = swap(
        &text,
        "clusters:\n",
        &format!("notify: {targets}\nclusters:\n"),
    );
    std::fs::write(site, text).unwrap();
}

/// Waits until the watch has seen the primary.
async fn until_well(served: &Served, cluster: &str) {
    for _ in 0..600 {
        let stands = served.get("view", &format!("{cluster}/analysis")).await;
        if stands.expect(200).json()["analysis"]["code"] == "ok" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the primary is never seen");
}

/// HMAC-SHA256 by another program.
fn signed(secret: &str, text: &str) -> String {
    let mut openssl = Command::new("openssl")
        .args(["dgst", "-sha256", "-r", "-hmac", secret])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut openssl.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let said = openssl.wait_with_output().unwrap().stdout;
    let said = String::from_utf8(said).unwrap();
    format!("sha256={}", said.split_whitespace().next().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "it is one story")]
async fn what_becomes_of_a_run_is_told_by_webhook_mail_and_command() {
    let cluster = Cluster::asynchronous("api-told", 1).await;
    let keys = tempfile::tempdir().unwrap();
    authority(keys.path());
    let secrets = ["hook-secret-4711", "mail-secret-4711"];
    for (file, secret) in ["hook", "mail-password"].into_iter().zip(secrets) {
        std::fs::write(keys.path().join(file), format!("{secret}\n")).unwrap();
    }
    let hook = Hook::open().await;
    std::fs::write(keys.path().join("url"), &hook.url).unwrap();
    let mail = MailServer::start(keys.path(), secrets[1]).await;
    let file = |name: &str| json!({ "file": keys.path().join(name) });
    let by_mail = |tls: &str, port: u16| {
        json!({
            "email": {
                "server": "127.0.0.1", "port": port, "tls": tls, "user": "pgbaton", "password": file("mail-password"),
                "from": "pgbaton@example.org", "to": ["The DBAs <dba@example.org>", "ops@example.org"],
            },
            "events": ["approval_asked", "run_ended"],
        })
    };
    let plain = json!({
        "email": { "server": "127.0.0.1", "port": mail.plain, "tls": "none", "from": "pgbaton@example.org", "to": ["dba@example.org"] },
        "events": ["run_started"],
    });
    let log = keys.path().join("log");
    let command = "printf '%s %s %s ' \"$PGBATON_EVENT\" \"$PGBATON_CLUSTER\" \"$PGBATON_RUN\" >> \"$1\"; cat >> \"$1\"";
    notify(
        &cluster,
        &json!({
            "hook": { "webhook": { "url": file("url"), "secret": file("hook") } },
            "starttls": by_mail("starttls", mail.starttls),
            "tls": by_mail("tls", mail.tls),
            "plain": plain,
            "program": { "command": ["sh", "-c", command, "sh", log], "events": ["run_ended"] },
            "elsewhere": { "command": ["sh", "-c", "echo wrong >> \"$1\"", "sh", log], "events": ["not_ready"], "clusters": [cluster.lab.name()] },
        }),
    );
    let serving = Serving::start_with(&cluster, |command| {
        command.env("SSL_CERT_FILE", keys.path().join("ca.crt"));
    })
    .await;
    let playbook = keys.path().join("asks.yaml");
    std::fs::write(&playbook, ASKS).unwrap();
    // By another process.
    let run = UnderWay::of(
        cluster.lab.site_file(),
        &["run", playbook.to_str().unwrap()],
    );
    let asked = hook.until("approval_asked").await.json();
    let id = asked["run"].as_str().unwrap().to_owned();
    assert!(
        asked["text"].as_str().unwrap().contains("shall it be done"),
        "{asked:#}"
    );
    cluster
        .pgbaton(&["runs", "approve", &id, "--reason", "OPS-4711"])
        .await
        .expect(0);
    run.end().await.expect(0);
    let ended = hook.until("run_ended").await;
    let about = ended.json();
    assert_eq!(about["cluster"], cluster.lab.name(), "{about:#}");
    assert_eq!(about["details"]["outcome"], "ok", "{about:#}");
    // Signed, with its time.
    let time = ended.headers["x-pgbaton-time"].to_str().unwrap();
    let signature = signed(secrets[0], &format!("{time}.{}", ended.body));
    assert_eq!(ended.headers["x-pgbaton-signature"], signature.as_str());
    // Each once, and in order.
    let all = hook.all();
    let told: Vec<String> = all
        .iter()
        .map(Post::json)
        .filter(|news| news["run"] == id.as_str())
        .map(|news| news["event"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(told, ["run_started", "approval_asked", "run_ended"]);
    for port in [mail.starttls, mail.tls] {
        let text = mail
            .until(port, &format!("{}: run ended", cluster.lab.name()))
            .await;
        assert!(text.contains("logged in: True"), "{text}");
        assert!(
            text.contains("['dba@example.org', 'ops@example.org']"),
            "{text}"
        );
        assert!(text.contains(&id), "{text}");
    }
    mail.until(mail.plain, &format!("{}: run started", cluster.lab.name()))
        .await;
    let line = until("the program's line", || {
        let text = std::fs::read_to_string(&log).ok()?;
        text.contains(&id).then_some(text)
    })
    .await;
    let head = format!("run_ended {} {id} ", cluster.lab.name());
    let json = line.strip_prefix(&head).unwrap_or_else(|| panic!("{line}"));
    let json: Json = serde_json::from_str(json).unwrap();
    assert_eq!(json, about, "all are told the same");
    // A primary for whom no commit waits could not be replaced without a fence: that is told, too.
    hook.until("not_ready").await;
    let said = serving.said();
    for secret in secrets {
        assert!(!said.contains(secret), "{said}");
        assert!(!all.iter().any(|post| post.body.contains(secret)));
    }
    serving.stop().await;
}

/// One that takes the connection and says nothing, one that sleeps, one that is not there. A notification that anything waited
/// for would hold the failover up for twenty minutes.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "it is one story")]
async fn whoever_does_not_listen_delays_no_failover() {
    let cluster = Cluster::up("api-deaf", 1).await;
    with_detector(&cluster, "auto");
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = mute.local_addr().unwrap();
    let connections = tokio::spawn(async move {
        let mut open = Vec::new();
        loop {
            let (mut stream, _) = mute.accept().await.unwrap();
            let mut head = [0; 64];
            let _ = stream.read(&mut head).await;
            open.push(stream);
        }
    });
    let hook = Hook::open().await;
    let pid = cluster.lab.dir().join("sleeper");
    let sleeps = "echo $$ > \"$1\"; exec sleep 1000";
    notify(
        &cluster,
        &json!({
            "mute": { "webhook": { "url": format!("http://{at}/") }, "timeout": "2m", "tries": 10 },
            "sleeper": { "command": ["sh", "-c", sleeps, "sh", pid], "timeout": "2m", "tries": 10 },
            "absent": { "webhook": { "url": format!("http://127.0.0.1:{}/", free_port()) }, "timeout": "1s", "tries": 2 },
            "mail": { "email": { "server": "127.0.0.1", "port": at.port(), "tls": "none", "from": "a@example.org", "to": ["b@example.org"] },
                "timeout": "2m", "tries": 10 },
            "hook": { "webhook": { "url": hook.url } },
        }),
    );
    let served = Served::start(cluster.lab.site_file(), Over::Plain).await;
    until_well(&served, &format!("/v1/clusters/{}", cluster.lab.name())).await;
    cluster.fault("n1", Fault::Kill).await;
    let ended = hook.until("run_ended").await.json();
    assert_eq!(ended["details"]["outcome"], "ok", "{ended:#}");
    assert_eq!(ended["details"]["trigger"], "detector", "{ended:#}");
    hook.until("incident_ended").await;
    let order: Vec<String> = hook
        .all()
        .iter()
        .map(|post| post.json()["event"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(order[0], "incident_begun", "{order:?}");
    let process = until("the sleeper", || {
        std::fs::read_to_string(&pid)
            .ok()?
            .trim()
            .parse::<u32>()
            .ok()
    })
    .await;
    // How long it took is known, and the run that ended it.
    let stands = format!("/v1/clusters/{}/analysis", cluster.lab.name());
    let stands = served.get("view", &stands).await.expect(200).json();
    assert_eq!(stands["gap"]["run"], ended["run"], "{stands:#}");
    assert!(
        stands["gap"]["seconds"].as_f64().unwrap() > 0.0,
        "{stands:#}"
    );
    // What was given up can be counted; what hangs is not yet.
    let number = |text: &str, line: &str| -> u64 {
        let found = text.lines().find_map(|one| one.strip_prefix(line));
        found
            .unwrap_or_else(|| panic!("{line}\n{text}"))
            .trim()
            .parse()
            .unwrap()
    };
    let mut text = String::new();
    for _ in 0..300 {
        text = served.get("view", "/v1/metrics").await.expect(200).body;
        let dropped = "pgbaton_notifications_dropped_total{target=\"absent\",reason=\"failed\"}";
        if number(&text, dropped) > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for (line, at_least) in [
        (
            "pgbaton_notifications_dropped_total{target=\"absent\",reason=\"failed\"}",
            1,
        ),
        ("pgbaton_notifications_waiting{target=\"mute\"}", 1),
        ("pgbaton_notifications_waiting{target=\"sleeper\"}", 1),
        ("pgbaton_notifications_waiting{target=\"mail\"}", 1),
        ("pgbaton_notifications_delivered_total{target=\"hook\"}", 3),
    ] {
        assert!(number(&text, line) >= at_least, "{line}\n{text}");
    }
    assert_eq!(
        number(
            &text,
            "pgbaton_notifications_delivered_total{target=\"mute\"}"
        ),
        0
    );
    dashboards::assert_known(&text);
    let gap = format!(
        "pgbaton_failover_sign_to_write_seconds{{cluster=\"{}\"}} ",
        cluster.lab.name()
    );
    assert!(text.contains(&gap), "{text}");
    let said = served.stop().await.expect(0);
    assert!(
        said.stderr.contains("a notification was dropped"),
        "{}",
        said.stderr
    );
    assert!(
        said.stderr.contains("notifications were not delivered"),
        "{}",
        said.stderr
    );
    until("the end of the program that hangs", || {
        let status = std::fs::read_to_string(format!("/proc/{process}/status"));
        // Whoever is to reap it may take its time.
        let gone = status.is_ok_and(|status| !status.contains("State:\tZ"));
        (!gone).then_some(())
    })
    .await;
    connections.abort();
}

/// Who observes decides without having seen the outage: what a failover would have done is there to be read.
#[tokio::test(flavor = "multi_thread")]
async fn what_would_have_been_done_is_kept_whole_and_told_once() {
    let cluster = Cluster::up("api-foretold", 2).await;
    with_detector(&cluster, "observe");
    let hook = Hook::open().await;
    notify(
        &cluster,
        &json!({ "hook": { "webhook": { "url": hook.url } } }),
    );
    let served = Served::start(cluster.lab.site_file(), Over::Plain).await;
    let at = format!("/v1/clusters/{}", cluster.lab.name());
    until_well(&served, &at).await;
    cluster.fault("n1", Fault::Kill).await;
    let told = hook.until("would_fail_over").await.json();
    let foretold = &told["details"]["foretold"];
    assert_eq!(foretold["outcome"], "ok", "{told:#}");
    let successor = foretold["primary"].as_str().unwrap();
    assert!(["n2", "n3"].contains(&successor), "{told:#}");
    assert!(
        !foretold["decisions"].as_array().unwrap().is_empty(),
        "{told:#}"
    );
    // The whole of it, over the API and at the command line.
    let incident = told["incident"].as_str().unwrap();
    let place = format!("{at}/incidents/{incident}/plan");
    let plan = served.get("view", &place).await.expect(200).json();
    assert_eq!(plan["outcome"], "ok", "{plan:#}");
    assert_eq!(plan["cluster"], cluster.lab.name());
    let steps = plan["steps"].as_array().unwrap();
    let effects = steps
        .iter()
        .flat_map(|step| step["effects"].as_array().unwrap());
    let lines: Vec<String> = effects
        .flat_map(|effect| effect["rendered"].as_array().unwrap())
        .map(|line| line.as_str().unwrap().to_owned())
        .collect();
    assert!(
        lines.iter().any(|line| line.contains("pg_promote")),
        "{lines:#?}"
    );
    let other = format!("{at}/incidents/2026-01-01T00:00:00Z/plan");
    assert_eq!(served.get("view", &other).await.problem(404), "not-found");
    let kept = served
        .get("view", &format!("{at}/incidents"))
        .await
        .expect(200)
        .json();
    let kept = kept["incidents"].as_array().unwrap().iter();
    let foretold: Vec<&Json> = kept
        .map(|kept| &kept["notice"])
        .filter(|notice| !notice["foretold"].is_null())
        .collect();
    assert_eq!(foretold.len(), 1, "{foretold:#?}");
    assert_eq!(foretold[0]["incident"], incident);
    let shown = cluster.pgbaton(&["incidents"]).await.expect(0);
    assert!(
        shown.stdout.contains("`failover` would reach its goal"),
        "{}",
        shown.stdout
    );
    assert!(shown.stdout.contains(incident), "{}", shown.stdout);
    let shown = cluster.pgbaton(&["incidents", incident]).await.expect(0);
    assert!(shown.stdout.contains("promote"), "{}", shown.stdout);
    // It is looked at again every ten seconds, and is the same.
    tokio::time::sleep(Duration::from_secs(12)).await;
    let again = hook.all();
    let again = again
        .iter()
        .filter(|post| post.json()["event"] == "would_fail_over");
    assert_eq!(again.count(), 1);
    let runs = served.get("view", "/v1/runs").await.expect(200).json();
    assert_eq!(runs["runs"].as_array().unwrap().len(), 0, "nothing was run");
    served.stop().await.expect(0);
}
