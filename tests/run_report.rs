//! `pgbaton runs show` and `runs report` of real runs; the page as a browser draws it, on a screen and on a phone.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod report_support;
mod support;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pgbaton::lab::Fault;
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use support::{Cluster, Said, UnderWay, stock, swap};

const SECRET: &str = "hunter2/hunter2+ü";

/// The run's id, by its first event.
fn run_of(said: &Said) -> String {
    let events = said.events();
    let started = events.first().expect("an event");
    started["event"]["run"].as_str().unwrap().to_owned()
}

/// What `runs report` writes to standard output.
async fn page(cluster: &Cluster, run: &str) -> String {
    let said = cluster
        .pgbaton(&["runs", "report", run, "--out", "-"])
        .await;
    said.expect(0).stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_is_told_in_full_and_drawn_for_every_screen() {
    let cluster = Cluster::up("rr-fo", 2).await;
    cluster.fault("n1", Fault::Kill).await;
    let ran = cluster.pgbaton(&["--json", "run", "failover"]).await;
    let ran = ran.expect(0);
    let run = run_of(&ran);
    let steps: Vec<String> = ran
        .events()
        .iter()
        .filter(|e| e["event"]["event"] == "step_started")
        .map(|e| e["event"]["path"].as_str().unwrap().to_owned())
        .collect();
    assert!(steps.len() > 15, "{steps:?}");

    let shown = cluster.pgbaton(&["runs", "show", &run]).await.expect(0);
    for part in ["pg_promote", "choice:", "proof:", "point of no return"] {
        assert!(shown.stdout.contains(part), "{part}: {}", shown.stdout);
    }
    let json = cluster.pgbaton(&["--json", "runs", "show", &run]).await;
    let json: serde_json::Value = serde_json::from_str(&json.expect(0).stdout).unwrap();
    let told: Vec<&str> = json["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["path"].as_str().unwrap())
        .collect();
    for step in &steps {
        assert!(told.contains(&step.as_str()), "{step}: {told:?}");
    }
    assert_eq!(json["outcome"], "ok");
    let new = cluster.primary().await;
    for place in json["topology"]["after_as_the_run_knew_it"]
        .as_array()
        .unwrap()
    {
        let (name, role) = (place["name"].as_str().unwrap(), &place["role"]);
        if name == new {
            assert_eq!(role, "primary");
        } else if name != "n1" {
            assert_eq!(
                (&place["upstream"], &place["attached"]),
                (&new.as_str().into(), &true.into())
            );
        }
    }

    let html = page(&cluster, &run).await;
    report_support::well_formed(&html).unwrap();
    for step in &steps {
        let label = step.rsplit('/').next().unwrap();
        let label = label.find('[').map_or(label, |at| &label[at..]);
        assert!(html.contains(&format!(">{label}<")), "{step}");
    }
    for part in [
        "pg_promote",
        ">choice<",
        ">proof<",
        "class=\"dag\"",
        "After, as far as the run knew",
    ] {
        assert!(html.contains(part), "{part}");
    }

    let screens = Path::new(env!("CARGO_TARGET_TMPDIR")).join("run-report");
    std::fs::create_dir_all(&screens).unwrap();
    let file = screens.join("failover.html");
    std::fs::write(&file, &html).unwrap();
    for width in [1280, 360] {
        fits(&file, width).await;
        is_drawn(&file, width).await;
    }
    obeys_its_policy(&file).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_not_written_over_another_file() {
    let cluster = Cluster::asynchronous("rr-file", 1).await;
    let ran = cluster
        .pgbaton(&["--json", "run", "failover"])
        .await
        .expect(3);
    let run = run_of(&ran);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("r.html");
    std::fs::write(&file, "mine").unwrap();
    let words = ["runs", "report", &run, "--out", file.to_str().unwrap()];
    let refused = cluster.pgbaton(&words).await.expect(1);
    assert!(refused.stderr.contains("--force"), "{}", refused.stderr);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    let forced = [&words[..], &["--force"]].concat();
    cluster.pgbaton(&forced).await.expect(0);
    let html = std::fs::read_to_string(&file).unwrap();
    report_support::well_formed(&html).unwrap();
    assert!(
        html.contains("It was refused after"),
        "the reason stands first"
    );
    let other = cluster.pgbaton(&["runs", "show", "../runs/x"]).await;
    assert!(other.expect(2).stderr.contains("no run's id begins with"));
}

/// What programs print becomes no markup, and no form of a secret stands anywhere.
#[tokio::test(flavor = "multi_thread")]
async fn what_programs_print_is_escaped_and_secrets_do_not_appear() {
    let cluster = Cluster::asynchronous("rr-secret", 1).await;
    let playbook = cluster.lab.dir().join("own.yaml");
    let text = r#"
playbook: own
params:
  word: { type: secret, required: true }
steps:
  print:
    action: exec
    with:
      argv: [sh, -c, 'echo "<script>alert(1)</script>"; echo "$WORD"; printf %s "$WORD" | base64; printf %s "$WORD" | od -An -tx1 | tr -d " \n"; exit 3']
      env: { WORD: "{{ params.word }}" }
    probe: { argv: ["false"] }
    effect: idempotent
    retry: { attempts: 2, delay: 100ms }
"#;
    std::fs::write(&playbook, text).unwrap();
    let secret = cluster.lab.dir().join("word");
    std::fs::write(&secret, SECRET).unwrap();
    let word = format!("word=file:{}", secret.display());
    let ran = cluster
        .pgbaton(&["--json", "run", playbook.to_str().unwrap(), "-p", &word])
        .await
        .expect(1);
    let run = run_of(&ran);
    let html = page(&cluster, &run).await;
    report_support::well_formed(&html).unwrap();
    assert!(
        html.contains("&lt;script&gt;alert(1)"),
        "what it printed is told"
    );
    assert!(
        html.contains("bar wait"),
        "the wait before the second attempt"
    );
    let shown = cluster.pgbaton(&["runs", "show", &run]).await.expect(0);
    let json = cluster
        .pgbaton(&["--json", "runs", "show", &run])
        .await
        .expect(0);
    let hex: Vec<String> = SECRET.bytes().map(|b| format!("{b:02x}")).collect();
    let hex = hex.concat();
    for all in [html, shown.all(), json.all()] {
        for form in [SECRET, "hunter2", &STANDARD.encode(SECRET), &hex] {
            assert!(!all.contains(form), "{form} stands in it");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_cut_off_says_so_and_then_who_went_on() {
    let cluster = Cluster::up("rr-cut", 1).await;
    let text = swap(
        &stock("failover"),
        "\noutputs:\n",
        "\n  hold:\n    needs: [promote]\n    action: wait\n    with: { for: 1s }\n    timeout: 1m\n\noutputs:\n",
    );
    let path = cluster.lab.dir().join("slow.yaml");
    std::fs::write(&path, text).unwrap();
    cluster.fault("n1", Fault::Kill).await;
    let mut under_way = UnderWay::start(cluster.lab.site_file(), &[path.to_str().unwrap()]);
    let started = under_way.until(|e| e["event"] == "run_started").await;
    let run = started["run"].as_str().unwrap().to_owned();
    under_way.until_started("hold").await;
    let live = page(&cluster, &run).await;
    assert!(live.contains("It has not ended"), "while it is under way");
    under_way.signal(Signal::KILL);
    under_way.end().await;
    let cut = page(&cluster, &run).await;
    report_support::well_formed(&cut).unwrap();
    assert!(cut.contains("runs resume"));
    cluster.pgbaton(&["runs", "resume", &run]).await.expect(0);
    let whole = page(&cluster, &run).await;
    report_support::well_formed(&whole).unwrap();
    for part in ["mark resumed", "its runner died", "It went well"] {
        assert!(whole.contains(part), "{part}");
    }
}

/// A page that holds the report in a frame of this width: a browser's window cannot be as narrow as a phone. What it
/// measures becomes its title.
fn framed(file: &Path, width: u32) -> PathBuf {
    let html = std::fs::read_to_string(file).unwrap();
    let html = html.replace('&', "&amp;").replace('"', "&quot;");
    let holder = format!(
        "<!DOCTYPE html><body style=\"margin:0\"><iframe id=f style=\"display:block;border:0;width:{width}px;height:2400px\" \
         srcdoc=\"{html}\"></iframe><script>onload=()=>{{const w=document.getElementById('f').contentWindow;\
         document.title=[w.innerWidth,w.document.documentElement.scrollWidth].join(' ')}}</script>"
    );
    let place = file.with_extension(format!("{width}.html"));
    std::fs::write(&place, holder).unwrap();
    place
}

/// The numbers in the title that a page gave itself.
async fn numbers(page: &Path) -> Vec<u32> {
    let (dom, _) = chromium(page, 1400, &["--dump-dom", "--virtual-time-budget=20000"]).await;
    let (_, title) = dom
        .split_once("<title>")
        .expect("the page gave itself a title");
    let title = title.split_once('<').unwrap().0;
    title.split(' ').map(|n| n.parse().unwrap()).collect()
}

/// The page is no wider than its window.
async fn fits(file: &Path, width: u32) {
    let told = numbers(&framed(file, width)).await;
    let [window, wide] = told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(window, width);
    assert!(wide <= width, "it is {wide} wide, in a window of {width}");
}

/// Its own script passes its own policy.
async fn obeys_its_policy(file: &Path) {
    let (_, log) = chromium(file, 1280, &["--dump-dom", "--enable-logging=stderr"]).await;
    assert!(!log.contains("Content Security Policy"), "{log}");
}

/// The browser's picture of it, kept for people to look at, has more than an empty page.
async fn is_drawn(file: &Path, width: u32) {
    let picture = file.with_extension(format!("{width}.png"));
    let shot = format!("--screenshot={}", picture.display());
    chromium(&framed(file, width), width, &[&shot]).await;
    let png = STANDARD.encode(std::fs::read(&picture).unwrap());
    let judge = format!(
        "<img id=i src=\"data:image/png;base64,{png}\"><script>onload=()=>{{const i=document.getElementById('i'),\
         c=document.createElement('canvas');c.width=i.naturalWidth;c.height=i.naturalHeight;const x=c.getContext('2d');\
         x.drawImage(i,0,0);const p=new Uint32Array(x.getImageData(0,0,c.width,c.height).data.buffer),n=new Map();\
         for(const v of p)n.set(v,(n.get(v)||0)+1);i.remove();document.title=[c.width,n.size,\
         Math.round(100*Math.max(...n.values())/p.length)].join(' ')}}</script>"
    );
    let place = file.with_extension(format!("{width}.judged.html"));
    std::fs::write(&place, judge).unwrap();
    let told = numbers(&place).await;
    let [wide, colours, most] = told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(wide, width);
    assert!(
        colours > 100 && most < 97,
        "{colours} colours, {most} % of one: {}",
        picture.display()
    );
}

/// What the browser said, on standard output and on standard error.
async fn chromium(file: &Path, width: u32, arguments: &[&str]) -> (String, String) {
    let profile = tempfile::tempdir().unwrap();
    let command = tokio::process::Command::new(browser())
        .args([
            "--headless",
            "--disable-gpu",
            "--hide-scrollbars",
            "--no-first-run",
        ])
        // It refuses to run as root with it.
        .arg("--no-sandbox")
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--window-size={width},2400"))
        .args(arguments)
        .arg(format!("file://{}", file.display()))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_mins(2), command)
        .await
        .expect("the browser did not end")
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    assert!(output.status.success(), "{}", text(output.stderr));
    (text(output.stdout), text(output.stderr))
}

fn browser() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let mut found = names
        .iter()
        .flat_map(|name| folders.iter().map(move |f| f.join(name)));
    found
        .find(|place| place.exists())
        .expect("no chromium; `scripts/test` installs it")
}
