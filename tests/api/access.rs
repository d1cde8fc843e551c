//! Who gets in, who does not, and how much is taken from anybody. No database server is needed for that.

use crate::served::{Answer, Over, Served, fresh};
use crate::support::pgbaton;
use reqwest::Method;
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A site of one cluster where nothing answers.
fn silent() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let site = dir.path().join("site.yaml");
    let text = "site: s
journal: journal
clusters:
  orders:
    sql: { user: u }
    replication: { user: r }
    transport: none
    defaults: { data: /d, bin: /b }
    nodes: { n1: { host: 127.0.0.1, port: 1 } }
";
    std::fs::write(&site, text).unwrap();
    (dir, site)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_good_token_gets_no_further() {
    let (_dir, site) = silent();
    let mut served = Served::start(&site, Over::Tls).await;
    let none = served.get("nobody", "/v1/clusters").await;
    assert_eq!(none.problem(401), "no-token");
    assert!(none.text("www-authenticate").starts_with("Bearer"));
    let wrong = served.request("nobody", Method::GET, "/v1/clusters");
    let wrong = wrong.bearer_auth("pgbaton_guessed").send().await.unwrap();
    assert_eq!(Answer::of(wrong).await.problem(401), "unknown-token");
    let clusters = served.get("view", "/v1/clusters").await.expect(200).json();
    assert_eq!(clusters["clusters"][0]["cluster"], "orders");
    assert_eq!(clusters["clusters"][0]["nodes"], json!(["n1"]));
    let nowhere = served.get("view", "/v1/nowhere").await;
    assert_eq!(nowhere.problem(404), "no-such-place");
    let other = served.get("view", "/v1/clusters/other").await;
    assert_eq!(other.problem(404), "no-such-cluster");
    let method = served.post("view", "/v1/clusters", &json!({})).await;
    assert_eq!(method.problem(405), "method-not-allowed");
    // A certificate that was renewed is used from the next connection on.
    served.renew();
    served.get("view", "/v1/clusters").await.expect(200);
    // Taken out of the file, it is no token any more, and a new one is.
    let (token, line) = fresh("late", "view").await;
    served.write_tokens(&line);
    let gone = served.get("view", "/v1/clusters").await;
    assert_eq!(gone.problem(401), "unknown-token");
    let late = served.request("nobody", Method::GET, "/v1/clusters");
    let late = late.bearer_auth(&token).send().await.unwrap();
    Answer::of(late).await.expect(200);
    served.write_tokens("late view\n");
    let late = served.request("nobody", Method::GET, "/v1/clusters");
    let late = late.bearer_auth(&token).send().await.unwrap();
    assert_eq!(Answer::of(late).await.problem(503), "tokens-unusable");
    served.write_tokens(&format!("{line} 2020-01-01T00:00:00Z\n"));
    let late = served.request("nobody", Method::GET, "/v1/clusters");
    let late = late.bearer_auth(&token).send().await.unwrap();
    assert_eq!(Answer::of(late).await.problem(401), "token-expired");
    // What is sent in the clear is not understood where TLS is spoken.
    let clear = format!("http://127.0.0.1:{}/v1/health", served.port);
    assert!(reqwest::get(clear).await.is_err());
    let said = served.stop().await.expect(0);
    assert!(said.stderr.contains("unknown-token"), "{}", said.stderr);
    assert!(!said.stderr.contains("pgbaton_"), "{}", said.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_takes_more_than_a_share() {
    let (_dir, site) = silent();
    let served = Served::start(&site, Over::Plain).await;
    // Ten wrong tokens from here; then the address has to wait, and whoever has a right one has not.
    let wrong = async || {
        let request = served.request("nobody", Method::GET, "/v1/clusters");
        let request = request.bearer_auth("wrong").send().await.unwrap();
        Answer::of(request).await
    };
    let mut refused = wrong().await;
    for _ in 0..100 {
        if refused.status != 401 {
            break;
        }
        refused = wrong().await;
    }
    assert_eq!(refused.problem(429), "too-many-failed-logins");
    assert!(refused.text("retry-after").parse::<u64>().unwrap() >= 1);
    served.get("admin", "/v1/clusters").await.expect(200);
    // A token that is used faster than it may.
    let many = (0..150).map(|_| served.get("view", "/v1/clusters"));
    let answers = futures_util::future::join_all(many).await;
    let limited: Vec<&Answer> = answers.iter().filter(|a| a.status == 429).collect();
    assert!(answers.iter().any(|a| a.status == 200));
    let first = limited.first().expect("there is no limit");
    assert_eq!(first.problem(429), "too-many-requests");
    assert!(first.text("retry-after").parse::<u64>().unwrap() >= 1);
    served.get("admin", "/v1/clusters").await.expect(200);
    served.stop().await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_is_not_listened_on_without_tls() {
    let (dir, site) = silent();
    let text = std::fs::read_to_string(&site).unwrap();
    let serve = async |api: &str| {
        std::fs::write(&site, format!("api: {api}\n{text}")).unwrap();
        pgbaton(&["--site", site.to_str().unwrap(), "serve"]).await
    };
    let said = serve("{ listen: 0.0.0.0:8432, tokens: tokens }")
        .await
        .expect(2);
    assert!(said.stderr.contains("without `tls`"), "{}", said.stderr);
    // A file that everybody may read is none to rely on.
    std::fs::write(dir.path().join("tokens"), "").unwrap();
    let said = serve("{ listen: 127.0.0.1:0, tokens: tokens }")
        .await
        .expect(2);
    assert!(said.stderr.contains("chmod 600"), "{}", said.stderr);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let tokens = dir.path().join("tokens");
    std::fs::set_permissions(tokens, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let address = taken.local_addr().unwrap();
    let said = serve(&format!("{{ listen: '{address}', tokens: tokens }}")).await;
    assert!(said.expect(1).stderr.contains("api.listen"));
    let said = serve("{ listen: 127.0.0.1:0, tokens: nowhere }")
        .await
        .expect(2);
    assert!(said.stderr.contains("nowhere"), "{}", said.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_made_by_the_command_line() {
    let (token, line) = fresh("ci.east-1", "operate").await;
    assert!(token.starts_with("pgbaton_") && token.len() > 48, "{token}");
    assert!(line.starts_with("ci.east-1 operate "), "{line}");
    assert_ne!(fresh("ci.east-1", "operate").await.0, token);
    let words = [
        "--json",
        "token",
        "x",
        "--role",
        "admin",
        "--valid-for",
        "90d",
    ];
    let said = pgbaton(&words).await.expect(0);
    let json: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    let parts: Vec<&str> = json["line"].as_str().unwrap().split(' ').collect();
    assert_eq!((parts[0], parts[1], parts.len()), ("x", "admin", 4));
    assert!(parts[3].parse::<jiff::Timestamp>().unwrap() > jiff::Timestamp::now());
    pgbaton(&["token", "a b", "--role", "view"]).await.expect(2);
    pgbaton(&["token", "a", "--role", "root"]).await.expect(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_and_connections_are_limited() {
    let (_dir, site) = silent();
    let served = Served::start(&site, Over::Plain).await;
    let connect = async || {
        TcpStream::connect(("127.0.0.1", served.port))
            .await
            .unwrap()
    };
    let mut line = connect().await;
    let head = format!(
        "GET /v1/health HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        "x".repeat(20 << 10)
    );
    line.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    // What was not read when it was closed may be a reset.
    let _ = line.read_to_string(&mut answer).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    // Whoever holds all places without a word keeps others waiting, and no longer than until one goes.
    let mut places = Vec::new();
    for _ in 0..300 {
        places.push(connect().await);
    }
    let mut late = connect().await;
    late.write_all(b"GET /v1/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut first = [0];
    tokio::select! {
        _ = late.read(&mut first) => panic!("there is no limit"),
        () = tokio::time::sleep(Duration::from_secs(1)) => {}
    }
    drop(places);
    let mut answer = String::new();
    late.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    served.stop().await.expect(0);
}
