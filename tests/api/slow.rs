//! Clients that are slow, or say nothing, or read nothing: each is given up in time, and keeps neither others nor a stop.

use crate::served::{Over, Served};
use crate::support::Cluster;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// Each of them is given up long before that.
const PATIENCE: Duration = Duration::from_mins(2);

/// Between two bytes of who is slow.
const MOMENT: Duration = Duration::from_millis(500);

async fn connect(served: &Served) -> TcpStream {
    let line = TcpStream::connect(("127.0.0.1", served.port)).await;
    line.unwrap()
}

/// Sends this and then a byte every moment, until the server ends it; what the server said.
async fn dribble(served: &Served, begin: &str) -> String {
    let (mut read, mut write) = connect(served).await.into_split();
    write.write_all(begin.as_bytes()).await.unwrap();
    let dribbling = tokio::spawn(async move {
        while write.write_all(b"x").await.is_ok() {
            tokio::time::sleep(MOMENT).await;
        }
    });
    let mut said = Vec::new();
    // A reset is an end, too.
    let end = timeout(PATIENCE, read.read_to_end(&mut said)).await;
    dribbling.abort();
    assert!(end.is_ok(), "it was not given up: {begin}");
    String::from_utf8_lossy(&said).into_owned()
}

/// Asks again and again and reads nothing. Ends when the server has ended it.
async fn never_reads(served: &Served) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let address = ([127, 0, 0, 1], served.port).into();
    let mut line = socket.connect(address).await.unwrap();
    let request = format!(
        "GET /v1/openapi.json HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n",
        served.tokens["view"]
    );
    while line.write_all(request.as_bytes()).await.is_ok() {}
}

/// Whoever is not slow is served meanwhile, until `done`.
async fn others_are_served<T>(served: &Served, done: impl Future<Output = T>) -> T {
    let others = async {
        loop {
            served.get("operate", "/v1/runs").await.expect(200);
            tokio::time::sleep(MOMENT).await;
        }
    };
    tokio::select! {
        done = done => done,
        () = others => unreachable!(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_slow_to_ask_is_given_up() {
    let cluster = Cluster::up("api-slow", 0).await;
    let served = Served::start(cluster.lab.site_file(), Over::Plain).await;
    let body = format!(
        "POST /v1/clusters/{}/runs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n",
        cluster.lab.name(),
        served.tokens["operate"]
    );
    let all = async {
        tokio::join!(
            dribble(&served, "GET /v1/health HTTP/1.1\r\nHost: x\r\nX-Long: "),
            dribble(&served, &body),
        )
    };
    let (head, body) = others_are_served(&served, all).await;
    assert!(!head.contains("200 OK"), "{head}");
    assert!(body.contains("urn:pgbaton:problem:body-too-slow"), "{body}");
    let runs = served.get("view", "/v1/runs").await.expect(200).json();
    assert_eq!(runs["runs"].as_array().unwrap().len(), 0, "{runs}");
    served.stop().await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_shake_hands_is_given_up() {
    let cluster = Cluster::up("api-shake", 0).await;
    let served = Served::start(cluster.lab.site_file(), Over::Tls).await;
    let silent = async {
        let mut line = connect(&served).await;
        let mut said = Vec::new();
        let end = timeout(PATIENCE, line.read_to_end(&mut said)).await;
        assert!(end.is_ok(), "it was not given up");
        assert!(said.is_empty(), "{said:?}");
    };
    others_are_served(&served, silent).await;
    served.stop().await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_nothing_is_given_up_and_does_not_hold_up_a_stop() {
    let cluster = Cluster::up("api-deaf", 0).await;
    let served = Served::start(cluster.lab.site_file(), Over::Plain).await;
    let deaf = timeout(PATIENCE, never_reads(&served));
    let given_up = others_are_served(&served, deaf).await;
    assert!(given_up.is_ok(), "it was not given up");
    // Another one, which has just begun.
    let deaf = never_reads(&served);
    let stop = async {
        others_are_served(&served, tokio::time::sleep(MOMENT * 4)).await;
        served.terminate();
    };
    let ((), ()) = timeout(PATIENCE, async { tokio::join!(deaf, stop) })
        .await
        .expect("it was not given up at the stop");
    served.end().await.expect(0);
}
