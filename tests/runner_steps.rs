//! Own steps where pgbaton runs, on a cluster that nobody listens for: secrets, doubt, programs that fail halfway, and a
//! journal that is lost.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod support;

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::Said;

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
";

const SECRET: &str = "hun\"ter/2 and more";

struct Folder(tempfile::TempDir);

impl Folder {
    fn with(playbook: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("site.yaml"), SITE).unwrap();
        std::fs::write(folder.path().join("p.yaml"), playbook).unwrap();
        std::fs::write(folder.path().join("secret"), format!("{SECRET}\n")).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn text(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.0.path().join(name)).ok()
    }

    async fn run(&self, more: &[&str]) -> Said {
        let (site, playbook) = (self.path("site.yaml"), self.path("p.yaml"));
        let folder = format!("dir={}", self.0.path().display());
        let mut arguments = vec!["--site", &site, "run", &playbook, "-p", &folder];
        arguments.extend(more);
        support::pgbaton(&arguments).await
    }

    /// Everything that the journal holds: its events, and its files as they are.
    fn journal(&self) -> String {
        let folder = self.0.path().join("journal");
        let store = rusqlite::Connection::open(folder.join("journal.db")).unwrap();
        let mut events = store.prepare("SELECT json FROM events").unwrap();
        let mut all: String = events
            .query_map([], |row| row.get::<_, String>(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        for entry in std::fs::read_dir(folder).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            all += &String::from_utf8_lossy(&bytes);
        }
        all
    }
}

fn holds_the_secret(text: &str) -> bool {
    let escaped = SECRET.replace('"', "\\\"");
    // What a program may print of it: as it is, in JSON, as base64 (`printf … | base64`).
    [SECRET, &escaped, "aHVuInRlci8yIGFuZCBtb3Jl"]
        .iter()
        .any(|form| text.contains(form))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_reaches_the_program_and_nobody_else() {
    let folder = Folder::with(
        r#"
playbook: p
params:
  dir: { type: string, required: true }
  word: { type: secret, required: true }
steps:
  tell:
    action: exec
    with:
      argv: [sh, -c, 'printf "%s|" "$WORD" >"$1"; cat >>"$1"; cat "$1"; printf %s "$WORD" | base64 >&2', sh, "{{ params.dir }}/told"]
      env: { WORD: "{{ params.word }}" }
      stdin: "{{ params.word }}"
    effect: idempotent
  fail:
    needs: [tell]
    action: exec
    with:
      argv: [sh, -c, 'echo "no such password: $WORD" >&2; exit 3']
      env: { WORD: "{{ params.word }}" }
    effect: idempotent
"#,
    );
    let word = format!("word=file:{}", folder.path("secret"));
    for style in [&["-p", &word][..], &["-p", &word, "--json"][..]] {
        let said = folder.run(style).await.expect(1);
        assert_eq!(
            folder.text("told").unwrap(),
            format!("{SECRET}|{SECRET}"),
            "environment and standard input"
        );
        assert!(!holds_the_secret(&said.all()), "{}", said.all());
        assert!(
            said.all().contains("no such password: ***"),
            "{}",
            said.all()
        );
    }
    let journal = folder.journal();
    assert!(!holds_the_secret(&journal), "{journal}");
    assert!(journal.contains("WORD=***"), "{journal}");
    let reference = folder.path("secret");
    assert!(
        journal.contains(&reference),
        "the journal keeps the reference"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_failed_halfway_is_taken_back() {
    let folder = Folder::with(
        r#"
playbook: p
params: { dir: { type: string, required: true } }
steps:
  half:
    action: exec
    with: { argv: [sh, -c, 'touch "$1/taken"; exit 1', sh, "{{ params.dir }}"] }
    undo: { argv: [rm, "{{ params.dir }}/taken"] }
    effect: idempotent
  half_too:
    needs: [half]
    action: exec
    with: { argv: ["true"] }
    effect: read
"#,
    );
    let said = folder.run(&[]).await.expect(1);
    assert!(folder.text("taken").is_none(), "{}", said.all());
    assert!(said.stdout.contains("Taken back"), "{}", said.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_not_be_done_twice_is_not_tried_again_after_it_ran() {
    let folder = Folder::with(
        r#"
playbook: p
params: { dir: { type: string, required: true } }
steps:
  count:
    action: exec
    with: { argv: [sh, -c, 'echo ran >>"$1/count"; exit 1', sh, "{{ params.dir }}"] }
    effect: once
    retry: { attempts: 3, delay: 1ms }
"#,
    );
    let said = folder.run(&[]).await.expect(6);
    assert_eq!(folder.text("count").unwrap(), "ran\n", "{}", said.all());
    assert!(
        said.all().contains("must not be done twice"),
        "{}",
        said.all()
    );
}

/// A listener that reads a request and hangs up.
fn hangs_up() -> (String, Arc<AtomicUsize>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut buffer = [0; 4096];
            let read = stream.unwrap().read(&mut buffer).unwrap_or_default();
            count.fetch_add(usize::from(read > 0), Ordering::SeqCst);
        }
    });
    (url, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doubt_that_no_probe_can_settle_is_not_tried_again() {
    let (url, asked) = hangs_up();
    let step = |more: &str| {
        format!(
            "playbook: p\nparams: {{ dir: {{ type: string, required: true }} }}\nsteps:\n  post:\n    action: http\n    \
             with: {{ method: POST, url: \"{url}\" }}\n    effect: idempotent\n    retry: {{ attempts: 3, delay: 1ms }}\n{more}"
        )
    };
    let folder = Folder::with(&step(""));
    let said = folder.run(&[]).await.expect(1);
    assert_eq!(asked.load(Ordering::SeqCst), 1, "{}", said.all());
    assert!(
        said.all()
            .contains("nobody can tell whether it happened: it has no probe"),
        "{}",
        said.all()
    );
    // A probe settles it: it says that there is something to do, so it is tried again.
    let folder = Folder::with(&step(&format!(
        "    probe: {{ url: \"{url}\" }}\n    timeout: 5s\n"
    )));
    let said = folder.run(&[]).await.expect(1);
    assert!(!said.all().contains("it has no probe"), "{}", said.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_is_lost_is_told_with_what_is_left() {
    let playbook = r#"
playbook: p
params: { dir: { type: string, required: true } }
steps:
  first:
    action: exec
    with: { argv: [touch, "{{ params.dir }}/first"] }
    undo: { argv: [rm, "{{ params.dir }}/first"] }
    effect: idempotent
  fill:
    needs: [first]
    for_each: [1, 2, 3, 4]
    action: exec
    with: { argv: [sh, -c, 'yes | head -c 60000'] }
    effect: read
  never:
    needs: [fill]
    action: exec
    with: { argv: [touch, "{{ params.dir }}/never"] }
    effect: idempotent
"#;
    // A journal of some pages is there; in this run it may not grow beyond 200 KiB: less than what `fill` says four times.
    let run = async |json: bool| {
        let folder =
            Folder::with("playbook: p\nsteps: { look: { action: wait, with: { for: 1ms } } }\n");
        let quick = [
            "--site",
            &folder.path("site.yaml"),
            "run",
            &folder.path("p.yaml"),
        ];
        support::pgbaton(&quick).await.expect(0);
        std::fs::write(folder.path("p.yaml"), playbook).unwrap();
        // The signal that would kill is ignored.
        let mut command = tokio::process::Command::new("sh");
        command
            .args(["-c", "trap '' XFSZ; ulimit -f 400; exec \"$@\"", "sh"])
            .arg(env!("CARGO_BIN_EXE_pgbaton"))
            .args(["--site", &folder.path("site.yaml")])
            .args(json.then_some("--json"))
            .args(["run", &folder.path("p.yaml")])
            .args(["-p", &format!("dir={}", folder.0.path().display())]);
        (command.output().await.unwrap(), folder)
    };
    let (said, folder) = run(false).await;
    let text = String::from_utf8(said.stdout).unwrap();
    assert_eq!(said.status.code(), Some(1), "{text}");
    assert!(
        Path::new(&folder.path("first")).exists(),
        "nothing is undone without a journal"
    );
    assert!(
        !Path::new(&folder.path("never")).exists(),
        "no journal, no effect"
    );
    for words in [
        "journal",
        "nothing may be changed",
        "Left to do",
        "`first` was done and is not undone",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let (said, _) = run(true).await;
    let text = String::from_utf8(said.stdout).unwrap();
    let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["recorded"], false, "{text}");
    assert_eq!(last["event"]["event"], "run_ended", "{text}");
    assert_eq!(last["event"]["outcome"], "failed", "{text}");
}
