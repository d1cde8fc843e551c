//! Who leaves: a client in the middle of a request, and the server in the middle of a run.

use crate::runs::{at, put_asks, start};
use crate::served::{Over, Served};
use crate::stream::{Stream, follow};
use crate::support::Cluster;
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Between two looks.
const MOMENT: Duration = Duration::from_millis(200);

/// The first run that there is.
async fn until_listed(served: &Served) -> Option<String> {
    for _ in 0..300 {
        let listed = served.get("view", "/v1/runs").await.expect(200).json();
        if let Some(run) = listed["runs"][0]["run"].as_str() {
            return Some(run.to_owned());
        }
        tokio::time::sleep(MOMENT).await;
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_goes_on_when_whoever_started_it_has_gone() {
    let cluster = Cluster::up("api-gone", 2).await;
    let served = Served::start(cluster.lab.site_file(), Over::Plain).await;
    cluster.fault("n1", pgbaton::lab::Fault::Kill).await;
    let body = json!({ "playbook": "failover", "params": { "old_primary": "n1" } }).to_string();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        at(&cluster, "/runs"),
        served.tokens["operate"],
        body.len()
    );
    let mut line = TcpStream::connect(("127.0.0.1", served.port))
        .await
        .unwrap();
    line.write_all(head.as_bytes()).await.unwrap();
    // Somebody reads the body: the request has been taken up.
    let mut go_on = [0; 25];
    line.read_exact(&mut go_on).await.unwrap();
    assert_eq!(go_on.as_slice(), b"HTTP/1.1 100 Continue\r\n\r\n");
    line.write_all(body.as_bytes()).await.unwrap();
    // Nobody waits for the answer.
    drop(line);
    let Some(run) = until_listed(&served).await else {
        panic!("nothing was started: {}", served.stop().await.all());
    };
    let events = follow(&served, &run, None).await;
    assert_eq!(events.last().unwrap().data["outcome"], "ok");
    let new = cluster.primary().await;
    let other = if new == "n2" { "n3" } else { "n2" };
    cluster.assert_streams(other, &new).await;
    let said = served.stop().await.expect(0);
    let line = said.stderr.lines().find(|line| line.contains("audit"));
    assert!(line.expect("a line").contains(&run), "{}", said.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_stream_does_not_hold_up_a_stop_and_the_run_is_gone_on_with() {
    let cluster = Cluster::asynchronous("api-stop", 1).await;
    put_asks(&cluster);
    let served = Served::start(cluster.lab.site_file(), Over::Tls).await;
    let order = json!({ "playbook": "asks", "params": { "word": "so" } });
    let run = start(&served, &at(&cluster, "/runs"), &order).await;
    let mut stream = Stream::open(&served, &run, None).await;
    let mut last = 0;
    loop {
        let seen = stream.next().await.expect("the run asks");
        last = seen.id.unwrap_or(last);
        if seen.kind == "noted" {
            break;
        }
    }
    served.terminate();
    // A proper end, and it does not say that the run has ended.
    while let Some(seen) = stream.next().await {
        assert_ne!(seen.kind, "end");
        last = seen.id.unwrap_or(last);
    }
    let (said, served) = served.again().await;
    let said = said.expect(0);
    assert!(
        said.stderr.contains("leaving; 1 runs stay"),
        "{}",
        said.stderr
    );
    // The next one goes on with it, and whoever followed is told the rest.
    let why = json!({ "reason": "OPS-1" });
    let approve = format!("/v1/runs/{run}/approve");
    let mut approved = served.post("approve", &approve, &why).await;
    for _ in 0..300 {
        if approved.status == 200 {
            break;
        }
        tokio::time::sleep(MOMENT).await;
        approved = served.post("approve", &approve, &why).await;
    }
    approved.expect(200);
    let rest = follow(&served, &run, Some(last)).await;
    assert!(rest.iter().all(|seen| seen.id.is_none_or(|id| id > last)));
    assert!(
        rest.iter().any(|seen| seen.kind == "run_resumed"),
        "{rest:?}"
    );
    assert_eq!(rest.last().unwrap().data["outcome"], "ok", "{rest:#?}");
    served.stop().await.expect(0);
}
