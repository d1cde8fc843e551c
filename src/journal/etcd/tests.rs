//! What can be told without etcd.

use super::answer::{Granted, Renewed, Said, TxnAnswer, understand};
use super::gateway::{Gateway, Trouble};
use super::rows::{self, HolderRow, Odd};
use super::wire::{Compare, LeaseId, Op, Txn, after_all};
use serde::de::DeserializeOwned;
use serde_json::json;

fn answer<A: DeserializeOwned>(body: &str) -> A {
    match understand(body.as_bytes()) {
        Said::Answer(answer) => answer,
        Said::Refused { code, message } => panic!("{code} {message}"),
        Said::Odd(why) => panic!("{why}"),
    }
}

/// As etcd 3.4 reads it.
#[test]
fn questions_are_written_as_the_gateway_reads_them() {
    let txn = Txn {
        compare: vec![Compare::is_absent("a"), Compare::has("b", b"x")],
        success: vec![Op::put("a", b"y"), Op::put_leased("b", b"", 7)],
        failure: vec![Op::span("a", &after_all("b/"), 5), Op::delete("a")],
    };
    assert_eq!(
        serde_json::to_value(&txn).unwrap(),
        json!({
            "compare": [
                {"key": "YQ==", "result": "EQUAL", "target": "MOD", "mod_revision": 0},
                {"key": "Yg==", "result": "EQUAL", "target": "VALUE", "value": "eA=="},
            ],
            "success": [
                {"request_put": {"key": "YQ==", "value": "eQ=="}},
                {"request_put": {"key": "Yg==", "value": "", "lease": 7}},
            ],
            "failure": [
                {"request_range": {"key": "YQ==", "range_end": "YjA=", "limit": 5}},
                {"request_delete_range": {"key": "YQ=="}},
            ],
        })
    );
    let id = serde_json::to_string(&LeaseId { id: i64::MAX }).unwrap();
    assert_eq!(id, format!("{{\"ID\":{}}}", i64::MAX));
}

/// Bodies that etcd 3.4.23 sent.
#[test]
fn answers_leave_out_what_is_zero() {
    let failed: TxnAnswer = answer(
        r#"{"header":{"revision":"2"},"responses":[{"response_range":{"header":{"revision":"2"},"kvs":
        [{"key":"Zm9v","create_revision":"2","mod_revision":"2","version":"1","value":"Zm9v"}],"count":"1"}},
        {"response_put":{}},{"response_range":{"header":{"revision":"2"}}}]}"#,
    );
    assert!(!failed.succeeded);
    let [first, second] = failed.found();
    let there = first.one().unwrap();
    assert_eq!(
        (there.value.0.as_slice(), there.mod_revision),
        (&b"foo"[..], 2)
    );
    assert!(second.one().is_none());

    let granted: Granted = answer(r#"{"header":{},"ID":"166811429598992647","TTL":"10"}"#);
    assert_eq!((granted.id, granted.ttl), (166_811_429_598_992_647, 10));
    let kept: Renewed = answer(r#"{"result":{"header":{},"ID":"1","TTL":"10"}}"#);
    assert_eq!(kept.ttl(), Some(10));
    let gone: Renewed = answer(r#"{"result":{"header":{},"ID":"1"}}"#);
    assert_eq!(gone.ttl(), None);
}

#[test]
fn a_refusal_is_told_from_an_answer() {
    let refused = |code, message: &str| Said::<serde_json::Value>::Refused {
        code,
        message: message.to_owned(),
    };
    for (body, said) in [
        (
            r#"{"error":"etcdserver: no leader","message":"etcdserver: no leader","code":14}"#,
            refused(14, "etcdserver: no leader"),
        ),
        (
            r#"{"error":{"grpc_code":14,"http_code":503,"message":"in a stream","http_status":"x"}}"#,
            refused(14, "in a stream"),
        ),
    ] {
        assert_eq!(understand::<serde_json::Value>(body.as_bytes()), said);
    }
    let page = understand::<TxnAnswer>(b"<html>Not Found</html>");
    assert!(matches!(page, Said::Odd(_)));
}

#[test]
fn an_endpoint_is_checked_and_no_password_is_shown() {
    let error = |endpoint: &str| {
        let refused = Gateway::new(vec![endpoint.to_owned()]).unwrap_err();
        refused.to_string()
    };
    for (endpoint, says) in [
        (
            "etcd1:2379",
            "etcd1:2379: it must begin with http:// or https://",
        ),
        ("10.0.0.1:2379", "it must begin with http:// or https://"),
        ("http://etcd1:2379/v3", "nothing may follow its port"),
        (
            "http://me:sesame@etcd1:2379",
            "no user or password may stand in it",
        ),
        ("me:sesame@etcd1:2379", "an endpoint cannot be read"),
    ] {
        let error = error(endpoint);
        assert!(error.contains(says), "{error}");
        assert!(!error.contains("sesame"), "{error}");
    }
    let none = Gateway::new(Vec::new()).unwrap_err().to_string();
    assert!(none.contains("no endpoint is given"), "{none}");
}

#[tokio::test]
async fn every_endpoint_is_tried_and_named() {
    // One takes the connection and says nothing, the other does not even take it.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ports = [&silent, &closed].map(|listener| listener.local_addr().unwrap().port());
    drop(closed);
    let endpoints = ports.map(|port| format!("http://127.0.0.1:{port}"));
    let gateway = Gateway::new(endpoints.to_vec()).unwrap();
    let Err(Trouble::Silent(why)) = gateway.look([Op::get("a")]).await else {
        panic!("somebody answered");
    };
    assert!(why.contains("no answer of etcd within 8 s"), "{why}");
    assert!(
        why.contains(&format!("{}: no answer for", endpoints[0])),
        "{why}"
    );
    assert!(
        why.contains(&format!("{}: error sending request", endpoints[1])),
        "{why}"
    );
    assert!(why.contains("Connection refused"), "{why}");
}

#[test]
fn what_a_later_version_wrote_is_not_guessed_at() {
    let later = rows::read::<HolderRow>(br#"{"v":2,"leases":[1,2]}"#).unwrap_err();
    assert_eq!(later, Odd::Version(2));
    assert!(
        later
            .words("it")
            .contains("it has version 2, this pgbaton knows 1")
    );
    let damaged = rows::read::<HolderRow>(br#"{"v":1,"run":"one"}"#).unwrap_err();
    assert!(matches!(damaged, Odd::Damaged(_)));
}
