//! A site's own steps on a real cluster: programs, statements, requests, messages, and what is taken back of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use support::{Cluster, Said};

const PLAYBOOK: &str = r#"
playbook: custom
timeout: 2m
params:
  dir: { type: string, required: true }
  url: { type: string, required: true }
  last: { type: string, enum: ["true", "false"], default: "true" }
steps:
  on_node:
    action: exec
    node: n2
    with: { argv: [touch, "{{ params.dir }}/on-node"] }
    probe: { argv: [test, -e, "{{ params.dir }}/on-node"] }
    undo: { argv: [rm, "{{ params.dir }}/on-node"] }
    effect: idempotent
  on_runner:
    needs: [on_node]
    action: exec
    with:
      argv: [sh, -c, 'cat >"$1"; printf %s "$GREETING" >>"$1"; echo printed', sh, "{{ params.dir }}/on-runner"]
      env: { GREETING: "it's me; $(id)" }
      stdin: "fed "
    undo: { argv: [rm, "{{ params.dir }}/on-runner"] }
    effect: once
  already:
    needs: [on_node]
    action: exec
    with: { argv: ["false"] }
    probe: { argv: ["true"] }
    undo: { argv: [touch, "{{ params.dir }}/undone-what-was-not-done"] }
    effect: idempotent
  table:
    needs: [on_runner]
    action: sql
    node: n1
    with: { statement: "CREATE TABLE custom AS SELECT 'x; DROP TABLE custom'::text AS word" }
    probe: { statement: "SELECT to_regclass('custom') IS NOT NULL" }
    undo: { statement: DROP TABLE custom }
    effect: idempotent
  look:
    needs: [table]
    action: sql
    node: n1
    with: { statement: "SELECT count(*) AS n FROM custom WHERE word = $1", parameters: ["x; DROP TABLE custom"] }
    effect: read
  must:
    needs: [look, on_runner]
    action: assert
    with: { that: "steps.look.count == 1 && steps.on_runner.stdout == 'printed'", message: the statement saw its row }
  post:
    needs: [must]
    action: http
    with: { method: POST, url: "{{ params.url }}/post", headers: { x-from: custom }, body: "from {{ steps.on_runner.stdout }}" }
    effect: once
    undo: { method: DELETE, url: "{{ params.url }}/post" }
  tell:
    needs: [post]
    action: notify
    with: { message: "status {{ steps.post.status_code }}", url: "{{ params.url }}/tell" }
  pause: { needs: [tell], action: wait, with: { for: 10ms } }
  last:
    needs: [pause, already]
    action: exec
    with: { argv: ["{{ params.last }}"] }
    effect: idempotent
    undo: { argv: ["true"] }
outputs:
  answer: steps.post.body
"#;

/// A listener that answers every request with 200 and keeps what was asked: `METHOD PATH BODY`.
fn listener() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut first = String::new();
            stream.read_line(&mut first).unwrap();
            let mut length = 0;
            loop {
                let mut header = String::new();
                stream.read_line(&mut header).unwrap();
                if header.trim().is_empty() {
                    break;
                }
                if let Some((name, value)) = header.split_once(':')
                    && name.eq_ignore_ascii_case("content-length")
                {
                    length = value.trim().parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let words: Vec<&str> = first.split(' ').collect();
            let body = String::from_utf8(body).unwrap();
            kept.lock()
                .unwrap()
                .push(format!("{} {} {body}", words[0], words[1]));
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi";
            stream.into_inner().write_all(answer.as_bytes()).unwrap();
        }
    });
    (url, asked)
}

struct Site {
    cluster: Cluster,
    folder: tempfile::TempDir,
    playbook: PathBuf,
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Site {
    async fn up(test: &str) -> Self {
        let cluster = Cluster::asynchronous(test, 1).await;
        let folder = tempfile::Builder::new()
            .prefix("pgc")
            .tempdir_in("/tmp")
            .unwrap();
        // Commands on nodes run as the user who owns the servers.
        let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(folder.path(), everybody).unwrap();
        let playbook = cluster.lab.dir().join("custom.yaml");
        std::fs::write(&playbook, PLAYBOOK).unwrap();
        let (url, asked) = listener();
        Self {
            cluster,
            folder,
            playbook,
            url,
            asked,
        }
    }

    async fn run(&self, last: &str) -> Said {
        let params = [
            format!("dir={}", self.folder.path().display()),
            format!("url={}", self.url),
            format!("last={last}"),
        ];
        let mut arguments = vec!["--json", "run", self.playbook.to_str().unwrap()];
        for param in &params {
            arguments.extend(["-p", param]);
        }
        self.cluster.pgbaton(&arguments).await
    }

    fn has(&self, file: &str) -> bool {
        self.folder.path().join(file).exists()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn own_steps_do_what_they_say_and_hand_on_what_they_found() {
    let site = Site::up("own-ok").await;
    let said = site.run("true").await.expect(0);
    assert!(site.has("on-node"));
    let text = std::fs::read_to_string(site.folder.path().join("on-runner")).unwrap();
    assert_eq!(
        text, "fed it's me; $(id)",
        "arguments and environment meet no shell"
    );
    assert_eq!(
        site.cluster.ask("n1", "SELECT count(*) FROM custom").await,
        "1"
    );
    let asked = site.asked.lock().unwrap().clone();
    assert_eq!(asked[0], "POST /post from printed");
    assert!(asked[1].starts_with("POST /tell "), "{asked:?}");
    assert!(asked[1].contains("status 200"), "{asked:?}");
    assert_eq!(asked.len(), 2);
    let unchanged: Vec<String> = said
        .events()
        .iter()
        .map(|e| e["event"].clone())
        .filter(|e| e["event"] == "step_ended" && e["unchanged"] == true)
        .map(|e| e["path"].as_str().unwrap().to_owned())
        .collect();
    assert!(
        unchanged.contains(&"already".to_owned()),
        "its probe says so: {unchanged:?}"
    );
    assert!(said.stdout.contains("\"answer\""), "{}", said.stdout);
    // The host knows which run it was, and with which token.
    let events = said.events();
    let run = events[0]["event"]["run"].as_str().unwrap();
    let user = format!("pgbaton-{}", rustix::process::geteuid().as_raw());
    let clusters = std::fs::read_dir(std::path::Path::new("/var/tmp").join(user)).unwrap();
    let records: Vec<PathBuf> = clusters
        .flatten()
        .flat_map(|cluster| {
            std::fs::read_dir(cluster.path())
                .into_iter()
                .flatten()
                .flatten()
        })
        .map(|record| record.path())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(run))
        .collect();
    let about: Vec<String> = records
        .iter()
        .map(|record| std::fs::read_to_string(record.join("about")).unwrap())
        .collect();
    assert!(
        !about.is_empty() && about.iter().all(|a| a.starts_with("token 1\n")),
        "{about:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_later_step_fails_what_was_done_is_taken_back_newest_first() {
    let site = Site::up("own-undo").await;
    let said = site.run("false").await.expect(1);
    let undone: Vec<String> = said
        .events()
        .iter()
        .map(|e| e["event"].clone())
        .filter(|e| e["event"] == "undo_ended" && e["status"] == "done")
        .map(|e| e["path"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        undone,
        ["last", "post", "table", "on_runner", "on_node"],
        "{}",
        said.all()
    );
    assert!(!site.has("on-node") && !site.has("on-runner"));
    assert!(
        !site.has("undone-what-was-not-done"),
        "what the probe found done was not done by this run"
    );
    let gone = "SELECT to_regclass('custom') IS NULL";
    assert_eq!(site.cluster.ask("n1", gone).await, "t");
    let asked = site.asked.lock().unwrap().clone();
    assert_eq!(asked.last().unwrap(), "DELETE /post ");
    site.run("true").await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_playbook_that_only_reads_takes_no_lease() {
    let cluster = Cluster::asynchronous("own-read", 1).await;
    let playbook = cluster.lab.dir().join("reads.yaml");
    let text = "playbook: reads\nsteps:\n  look: { action: sql, node: n1, with: { statement: SELECT 1 }, effect: read }\n";
    std::fs::write(&playbook, text).unwrap();
    cluster
        .pgbaton(&["run", playbook.to_str().unwrap()])
        .await
        .expect(0);
    let journal = cluster.lab.dir().join("journal/journal.db");
    let leases = || -> i64 {
        let store = rusqlite::Connection::open(&journal).unwrap();
        let tokens = "SELECT coalesce(sum(token), 0) FROM leases";
        store.query_row(tokens, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(leases(), 0);
    let text = text.replace("effect: read", "effect: idempotent");
    std::fs::write(&playbook, text).unwrap();
    cluster
        .pgbaton(&["run", playbook.to_str().unwrap()])
        .await
        .expect(0);
    assert_eq!(leases(), 1);
}
