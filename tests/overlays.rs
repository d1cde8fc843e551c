//! A site's own version of a playbook, without a copy of it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

use assert_cmd::Command;
use pgbaton::actions::catalog;
use pgbaton::document::{Diagnostics, Source};
use pgbaton::playbook::{Checked, Step, check, differences, shown};
use pgbaton::runs::{Shelves, stock_playbook, stock_playbooks};
use proptest::prelude::*;
use std::path::Path;

fn stock(name: &str) -> Source {
    stock_playbook(name).unwrap()
}

/// A playbook with these overlays over it.
fn over(base: &Source, overlays: &[&str]) -> Source {
    let named = overlays.iter().enumerate();
    let named = named.map(|(index, text)| Source::new(format!("{}.yaml", index + 1), *text));
    let layers: Vec<Source> = std::iter::once(base.clone()).chain(named).collect();
    Source::layered(&layers)
}

fn judged(source: &Source) -> Result<Checked, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let checked = check(source, &catalog(), &Shelves::beside(None), &mut diagnostics);
    checked.ok_or(diagnostics)
}

fn good(source: &Source) -> Checked {
    judged(source).unwrap_or_else(|wrong| panic!("{}", wrong.render(false, 120)))
}

/// What is said of a playbook that cannot be used.
fn report(base: &Source, overlays: &[&str]) -> String {
    match judged(&over(base, overlays)) {
        Ok(_) => panic!("accepted: {overlays:?}"),
        Err(wrong) => wrong.render(false, 120),
    }
}

fn step<'c>(checked: &'c Checked, id: &str) -> &'c Step {
    checked.playbook.steps.step(id).unwrap()
}

fn needs(checked: &Checked, id: &str) -> Vec<String> {
    let needs = step(checked, id).needs.iter();
    needs.map(|need| need.value.to_string()).collect()
}

/// A playbook of which everything is to be seen.
const MINI: &str = "\
playbook: mini
version: 1.2.0
summary: Small.
params:
  mode: { type: string, enum: [fast, immediate], default: fast }
  who:  { type: string, required: true, help: whom to greet }
  shut: { type: string, default: a, sealed: true }
timeout: 5m
steps:
  one:
    action: exec
    with: { argv: [echo, \"{{ params.who }}\"], env: { A: b } }
    effect: read
    timeout: 10s
  two:
    needs: one
    action: wait
    with: { for: 1s }
  three:
    needs: [two]
    action: wait
    with: { for: 1s }
    sealed: true
  each:
    for_each: [\"a\", \"b\"]
    action: notify
    with: { message: \"hello {{ item }}\" }
finally:
  last: { action: notify, with: { message: the end } }
outputs:
  said: steps.one.stdout
";

fn mini() -> Source {
    Source::new("mini.yaml", MINI)
}

#[test]
fn steps_are_added_values_changed_and_steps_switched_off() {
    let text = include_str!("../docs/examples/overlays/10-vip.yaml");
    let checked = good(&over(&stock("failover"), &[text]));
    assert_eq!(needs(&checked, "move_vip"), ["promote"]);
    assert_eq!(needs(&checked, "follow"), ["promote", "move_vip"]);
    let each = step(&checked, "follow").for_each.as_ref().unwrap();
    assert_eq!(each.max_parallel, Some(2), "and the items are as they were");
    let off = step(&checked, "update_repmgr").disabled.as_ref().unwrap();
    assert_eq!(off.value, "repmgr is not used here, OPS-4711");
    let loss = checked.playbook.param("max_loss").unwrap();
    assert!(loss.sealed && loss.help.is_some());
    let version = checked.playbook.version.as_ref().unwrap();
    assert_eq!(version.value, "1.0.0", "the stock's own");
}

#[test]
fn whatever_a_playbook_has_can_be_changed() {
    let checked = good(&over(
        &mini(),
        &["overlay: mini
summary: Smaller.
timeout: 1m
defaults: { max_parallel: 3 }
params:
  mode: { enum: [fast] }
  who: { default: you }
  new: { type: integer, default: 5 }
steps:
  one: { with: { env: { B: c } }, when: params.new > 3, needed_by: each }
  two: { needs: [new], rescue: { mend: { action: wait, with: { for: 1s } } } }
  new: { action: wait, with: { for: 1s } }
  each: { for_each: { max_parallel: 1 } }
finally:
  timeout: 30s
  steps: { last: { with: { message: bye } }, more: { action: wait, with: { for: 1s }, needed_by: [last] } }
outputs: { said: \"'x'\", more: params.new }
"],
    ));
    let playbook = &checked.playbook;
    assert_eq!(playbook.summary.as_deref(), Some("Smaller."));
    assert_eq!(playbook.timeout.as_ref().unwrap().value.as_secs(), 60);
    assert_eq!(playbook.defaults.max_parallel, Some(3));
    let who = playbook.param("who").unwrap();
    assert!(!who.required, "a default takes the place of `required`");
    assert_eq!(
        playbook
            .param("mode")
            .unwrap()
            .allowed
            .as_ref()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(needs(&checked, "each"), ["one"]);
    assert_eq!(needs(&checked, "two"), ["one", "new"], "`needs` only adds");
    assert!(step(&checked, "two").rescue.is_some());
    let finally = playbook.finally.as_ref().unwrap();
    assert_eq!(finally.timeout.unwrap().as_secs(), 30);
    assert_eq!(
        finally.step("last").unwrap().needs[0].value.as_str(),
        "more"
    );
    assert_eq!(playbook.outputs.len(), 2);
    let text = shown(
        &over(
            &mini(),
            &["overlay: mini\nparams: { mode: { required: true } }\n"],
        ),
        80,
    );
    let text: String = text
        .unwrap()
        .into_iter()
        .map(|line| line.text + "\n")
        .collect();
    assert!(
        text.contains("required: true") && !text.contains("default: fast"),
        "{text}"
    );
}

#[test]
fn everything_that_is_wrong_with_an_overlay_is_told_at_once_where_it_stands() {
    insta::assert_snapshot!(report(
        &mini(),
        &["overlay: mini
version: \">=2\"
playbook: other
tmeout: 1m
params:
  hwo: { default: x }
  mode: { type: integer, enum: [fast, slow] }
  shut: { default: b }
steps:
  tow: { timeout: 5s }
  one: { action: wait, timeout: , whne: \"true\" }
  two: { disable: \"\" }
  three: { timeout: 5s }
  four: { action: wait, with: { for: 1s }, needs: [won], needed_by: [three, fvie] }
  each:
"]
    ));
}

#[test]
fn what_a_run_answers_for_cannot_be_switched_off() {
    insta::assert_snapshot!(report(
        &stock("failover"),
        &["overlay: failover
steps:
  fence: { disable: it takes too long }
  fence_host: { disable: it takes too long }
  verify_primary: { disable: it takes too long }
  promote: { disable: true }
"]
    ));
    let promote = report(
        &stock("failover"),
        &["overlay: failover\nsteps: { promote: { disable: by hand } }\n"],
    );
    assert!(
        promote.contains("step `promote` promotes, and cannot be switched off"),
        "{promote}"
    );
    insta::assert_snapshot!(report(
        &stock("failover"),
        &["overlay: failover
steps:
  freeze: { disable: \"no, OPS-1\" }
  fence: { when: \"params.max_loss > 5\" }
"]
    ));
}

#[test]
fn a_mistake_that_comes_of_both_shows_both_files() {
    // The loader's own rule (stock), broken by what the overlay says.
    insta::assert_snapshot!(report(
        &mini(),
        &["overlay: mini
steps:
  one: { needs: [two] }
params:
  mode: { enum: [immediate] }
"]
    ));
    let json = judged(&over(
        &mini(),
        &["overlay: mini\nsteps: { one: { needs: [two] } }\n"],
    ));
    let json = json.unwrap_err().to_json();
    let first = &json[0];
    assert_eq!(first["file"], "1.yaml");
    assert_eq!(first["related"][0]["file"], "mini.yaml");
}

#[test]
fn the_later_of_two_overlays_wins_unless_the_earlier_one_has_sealed() {
    let first = "overlay: mini\nsteps: { one: { timeout: 20s }, two: { timeout: 7s } }\n";
    let second = "overlay: mini\nsteps: { one: { timeout: 30s } }\n";
    let source = over(&mini(), &[first, second]);
    let checked = good(&source);
    let seconds = |id: &str| step(&checked, id).timeout.as_ref().unwrap().value.as_secs();
    assert_eq!((seconds("one"), seconds("two")), (30, 7));
    let from = |text: &str| {
        let lines = shown(&source, 80).unwrap();
        let line = lines.iter().find(|line| line.text.trim() == text).unwrap();
        source.name_at(line.span.start).to_string()
    };
    assert_eq!(from("timeout: 30s"), "2.yaml");
    assert_eq!(from("timeout: 7s"), "1.yaml");
    assert_eq!(from("summary: Small."), "mini.yaml");

    let sealing = "overlay: mini\nparams: { who: { default: me, sealed: true } }\nsteps: { one: { timeout: 20s, sealed: true } }\n";
    good(&over(&mini(), &[sealing]));
    insta::assert_snapshot!(report(
        &mini(),
        &[
            sealing,
            "overlay: mini
params: { who: { help: them } }
steps:
  one: { timeout: 30s }
  new: { action: wait, with: { for: 1s }, needed_by: [one] }
"
        ]
    ));
}

#[test]
fn outputs_of_a_step_that_is_switched_off_are_null() {
    insta::assert_snapshot!(report(
        &mini(),
        &["overlay: mini
steps:
  one: { disable: not here }
  four: { needs: [one], action: notify, with: { message: \"{{ steps.one.stdout }}\" } }
"]
    ));
    good(&over(
        &mini(),
        &["overlay: mini\nsteps: { two: { disable: not here } }\n"],
    ));
}

#[test]
fn an_overlay_of_nothing_is_refused() {
    insta::assert_snapshot!(report(&mini(), &["overlay: mimi\n", "steps: {}\n"]));
    let alone = judged(&Source::new("a.yaml", "overlay: failovr\n")).unwrap_err();
    let alone = alone.render(false, 100);
    assert!(alone.contains("did you mean `failover`?"), "{alone}");
}

#[test]
fn what_a_run_keeps_of_it_is_one_playbook_that_says_the_same() {
    let text = include_str!("../docs/examples/overlays/10-vip.yaml");
    let source = over(&stock("failover"), &[text]);
    let (_, kept) = &good(&source).sources[0];
    assert!(!kept.is_layered() && kept.text.contains("move_vip"));
    assert_eq!(differences(&source, kept).unwrap(), []);
    let again = good(kept);
    assert_eq!(again.sources[0].1.text, kept.text);
    assert_eq!(needs(&again, "follow"), ["promote", "move_vip"]);
    let off = step(&again, "update_repmgr").disabled.as_ref().unwrap();
    assert_eq!(off.value, "repmgr is not used here, OPS-4711");
}

// --- the command line -------------------------------------------------------------------------------------------

struct Said {
    code: i32,
    stdout: String,
    stderr: String,
}

fn pgbaton(folder: &Path, words: &[&str]) -> Said {
    let output = Command::cargo_bin("pgbaton")
        .unwrap()
        .args(words)
        .current_dir(folder)
        .env("LC_ALL", "C.UTF-8")
        .env_remove("PGBATON_SITE")
        .env_remove("PGBATON_LOG")
        .output()
        .unwrap();
    Said {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

const SITE: &str = "site: east
vars: { vip: 10.0.0.9 }
clusters:
  orders:
    transport: local
    sql: { user: u, dbname: d }
    defaults: { data: /d, bin: /b }
    nodes: { n1: { host: 127.0.0.1, port: 1 }, n2: { host: 127.0.0.1, port: 2 } }
";

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

const FIRST: &str = "overlay: mini
params:
  who: { default: everybody, sealed: true }
steps:
  three_a:
    needs: [one]
    needed_by: [each]
    action: exec
    with: { argv: [echo, \"{{ params.who }}\", \"a word that is here to make the line longer than it may be\"] }
    effect: read
  one: { timeout: 20s }
";
const SECOND: &str = "overlay: mini
version: ^1
steps:
  one: { timeout: 30s, with: { env: { B: \"yes\" } } }
  two: { disable: \"nobody waits here, OPS-12\" }
";

fn changed_site() -> tempfile::TempDir {
    folder(&[
        ("site.yaml", SITE),
        ("playbooks/mini.yaml", MINI),
        ("overlays/10-first.yaml", FIRST),
        ("overlays/20-second.yaml", SECOND),
        ("overlays/notes.txt", "not an overlay"),
        ("overlays/.30-draft.yaml", "overlay: ["),
    ])
}

#[test]
fn the_merged_playbook_is_shown_with_where_each_line_came_from() {
    let site = changed_site();
    let said = pgbaton(site.path(), &["validate", "--show", "mini"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    insta::assert_snapshot!(said.stdout);
    assert!(said.stdout.lines().all(|line| line.chars().count() <= 80));
    // It is a playbook itself, and says the same.
    std::fs::write(site.path().join("copy.yaml"), &said.stdout).unwrap();
    let copy = Source::new("copy.yaml", said.stdout.as_str());
    let merged = over(&mini(), &[FIRST, SECOND]);
    assert_eq!(differences(&merged, &copy).unwrap(), []);
    let valid = pgbaton(site.path(), &["validate", "copy.yaml"]);
    assert_eq!(valid.code, 0, "{}", valid.stderr);
    // Without a name all that is overlaid; as JSON every line has its file.
    let all = pgbaton(site.path(), &["validate", "--show"]);
    assert_eq!(all.stdout, said.stdout);
    let json = pgbaton(site.path(), &["validate", "--show", "mini", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let lines = json["playbooks"][0]["lines"].as_array().unwrap();
    let off = lines
        .iter()
        .find(|line| line["text"].as_str().unwrap().contains("OPS-12"));
    assert_eq!(off.unwrap()["file"], "overlays/20-second.yaml");
    assert_eq!(off.unwrap()["line"], 5);
    // A stock playbook's lines, too.
    let stock = pgbaton(site.path(), &["validate", "--show", "failover"]);
    assert!(stock.stdout.contains("# stock:"), "{}", stock.stdout);
    assert!(stock.stdout.lines().all(|line| line.chars().count() <= 120));
}

#[test]
fn what_a_site_changed_is_told_against_the_stock() {
    let vip = include_str!("../docs/examples/overlays/10-vip.yaml");
    let site = folder(&[("site.yaml", SITE), ("overlays/vip.yaml", vip)]);
    let said = pgbaton(site.path(), &["playbook", "diff", "failover"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    insta::assert_snapshot!(said.stdout);
    let json = pgbaton(site.path(), &["playbook", "diff", "failover", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let kinds: Vec<_> = json["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| &c["kind"])
        .collect();
    assert!(
        kinds.iter().any(|kind| **kind == "switched_off"),
        "{json:#}"
    );
    let same = pgbaton(site.path(), &["playbook", "diff", "follow"]);
    assert!(
        same.stdout.ends_with("nothing is changed\n"),
        "{}",
        same.stdout
    );

    // A whole copy that stands in the stock's place.
    let copy = stock("failover")
        .text
        .replacen("timeout: 15s", "timeout: 16s", 1)
        .replacen("default: 1MiB", "default: 2MiB", 1);
    let site = folder(&[("playbooks/failover.yaml", &copy)]);
    let said = pgbaton(site.path(), &["playbook", "diff", "failover"]);
    insta::assert_snapshot!(said.stdout);
}

#[test]
fn what_another_version_means_for_the_overlays_is_told() {
    let older = "playbook: mini2
version: 0.9.0
params: { gone: { type: string, default: a }, kept: { type: string, default: a } }
steps:
  old: { action: wait, with: { for: 1s }, timeout: 5s }
  stays: { action: wait, with: { for: 1s }, timeout: 5s }
  last: { needs: [stays], action: wait, with: { for: 1s } }
";
    let newer = "playbook: mini2
version: 1.0.0
params: { kept: { type: string, default: b } }
steps:
  stays: { action: wait, with: { for: 1s }, timeout: 8s }
  between: { needs: [stays], action: wait, with: { for: 1s } }
  own: { action: wait, with: { for: 1s } }
  last: { needs: [between], action: wait, with: { for: 1s } }
";
    let overlay = "overlay: mini2
version: <1
params: { gone: { default: x }, kept: { default: x } }
steps:
  old: { timeout: 6s }
  stays: { timeout: 6s }
  own: { needs: [stays], needed_by: [last], action: wait, with: { for: 2s } }
";
    let site = folder(&[
        ("site.yaml", SITE),
        ("playbooks/mini2.yaml", older),
        ("overlays/o.yaml", overlay),
        ("newer.yaml", newer),
    ]);
    let said = pgbaton(
        site.path(),
        &["playbook", "diff", "mini2", "--against", "newer.yaml"],
    );
    assert_eq!(said.code, 1, "{}", said.stderr);
    insta::assert_snapshot!(said.stdout);
    assert!(
        said.stderr.contains("error[overlay-version]"),
        "{}",
        said.stderr
    );
    let json = pgbaton(
        site.path(),
        &[
            "playbook",
            "diff",
            "mini2",
            "--against",
            "newer.yaml",
            "--json",
        ],
    );
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["from"]["version"], "0.9.0");
    assert_eq!(json["findings"][0]["kind"], "version");

    let calm = folder(&[
        ("site.yaml", SITE),
        ("playbooks/mini2.yaml", older),
        (
            "overlays/o.yaml",
            "overlay: mini2\nsteps: { last: { timeout: 9s } }\n",
        ),
        (
            "newer.yaml",
            &older
                .replace("0.9.0", "0.9.1")
                .replace("for: 1s }, timeout: 5s", "for: 2s }, timeout: 5s"),
        ),
    ]);
    let said = pgbaton(
        calm.path(),
        &["playbook", "diff", "mini2", "--against", "newer.yaml"],
    );
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
}

/// What `validate` says of a site with these files.
fn validated(files: &[(&str, &str)], words: &[&str]) -> Said {
    let site = folder(files);
    let words: Vec<&str> = std::iter::once("validate")
        .chain(words.iter().copied())
        .collect();
    pgbaton(site.path(), &words)
}

/// Every playbook that uses a file with a mistake is invalid; the mistake is told once, and nothing that only comes of it.
#[test]
fn a_mistake_that_many_playbooks_have_is_told_once() {
    for (overlay, message) in [
        (
            "overlay: failovr\nsteps: { follow: { timeout: 3m } }\n",
            "there is no playbook `failovr`",
        ),
        (
            "overlay: failover\nversion: \">=2\"\n",
            "this overlay is for failover >=2, and this is 1.0.0",
        ),
        ("overlay: follow\n  steps: [\n", "cannot begin a value here"),
    ] {
        let said = validated(&[("site.yaml", SITE), ("overlays/a.yaml", overlay)], &[]);
        assert_eq!(said.code, 2);
        let errors = said.stderr.matches("error[").count();
        assert_eq!(errors, 1, "{}", said.stderr);
        assert!(said.stderr.contains(message), "{}", said.stderr);
        let invalid = said.stdout.matches("playbook invalid: ").count();
        assert!(invalid > 2, "{}", said.stdout);
    }
}

#[test]
fn a_file_that_is_no_playbook_is_no_other_version_of_one() {
    let site = folder(&[
        ("site.yaml", SITE),
        ("overlays/a.yaml", "overlay: follow\ntimeout: 9m\n"),
    ]);
    for file in ["site.yaml", "overlays/a.yaml"] {
        let said = pgbaton(
            site.path(),
            &["playbook", "diff", "follow", "--against", file],
        );
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{file}");
        assert!(
            said.stderr.contains("another version of it"),
            "{}",
            said.stderr
        );
    }
}

/// A site that seals a parameter of a playbook need not know who nests it; and nobody sets it by that way.
#[test]
fn what_is_sealed_is_sealed_for_the_playbooks_that_hand_it_on() {
    let seals = |of: &str, params: &str| format!("overlay: {of}\nparams: {{ {params} }}\n");
    let failover = seals("failover", "max_loss: { default: 0B, sealed: true }");
    let follow = seals(
        "follow",
        "apply: { enum: [restart], default: restart, sealed: true }",
    );
    let site = folder(&[
        ("site.yaml", SITE),
        ("overlays/failover.yaml", &failover),
        ("overlays/follow.yaml", &follow),
    ]);
    let said = pgbaton(site.path(), &["validate"]);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    for (playbook, param) in [
        ("restart", "max_loss=1GiB"),
        ("restart", "apply=auto"),
        ("failover", "apply=auto"),
    ] {
        let words = ["run", playbook, "-p", "old_primary=n1", "-p", param];
        let said = pgbaton(site.path(), &words);
        assert_eq!(said.code, 2, "{playbook} {param}: {}", said.stderr);
        assert!(
            said.stderr.contains("it is sealed"),
            "{param}: {}",
            said.stderr
        );
    }

    // Whoever must be given one has nothing to hand on, in a rescue no more than among the steps.
    let needs = |steps: &str| {
        let text = format!(
            "playbook: needs\ntimeout: 5m\nparams: {{ loss: {{ type: bytes, required: true }} }}\nsteps:\n{steps}"
        );
        std::fs::create_dir_all(site.path().join("playbooks")).unwrap();
        std::fs::write(site.path().join("playbooks/needs.yaml"), text).unwrap();
        pgbaton(site.path(), &["validate", "needs"])
    };
    let go = "go: { playbook: failover, with: { max_loss: \"{{ params.loss }}\" } }";
    let said = needs(&format!("  {go}\n"));
    assert_eq!(said.code, 2, "{}", said.stdout);
    assert!(
        said.stderr
            .contains("parameter `max_loss` of playbook `failover` is sealed"),
        "{}",
        said.stderr
    );
    std::fs::remove_file(site.path().join("playbooks/needs.yaml")).unwrap();
    let deep = "playbook: deep\ntimeout: 5m\nparams: { how: { type: string }, by: { type: string } }\nsteps:\n  one:\n    action: wait\n    with: { for: 1s }\n    rescue:\n      again: { playbook: follow, with: { node: n2, upstream: n1, apply: \"{{ params.how }}\" } }\n";
    std::fs::write(site.path().join("playbooks/deep.yaml"), deep).unwrap();
    let said = pgbaton(site.path(), &["validate", "deep"]);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    let said = pgbaton(site.path(), &["run", "deep", "-p", "how=auto"]);
    assert!(
        said.stderr.contains("parameter `how`: it is sealed"),
        "{}",
        said.stderr
    );
    // Only the playbook's own parameters are handed on: what has the same name elsewhere is none.
    let other = deep.replace("{{ params.how }}", "{{ trigger.by }}");
    std::fs::write(site.path().join("playbooks/deep.yaml"), other).unwrap();
    let said = pgbaton(site.path(), &["validate", "deep"]);
    assert!(
        said.stderr
            .contains("parameter `apply` of playbook `follow` is sealed"),
        "{}{}",
        said.stdout,
        said.stderr
    );
    std::fs::remove_file(site.path().join("playbooks/deep.yaml")).unwrap();

    // Whoever gives it a value of its own is told, as ever.
    let own = "playbook: mine\ntimeout: 5m\nparams: { loss: { type: bytes, default: 1GiB } }\nsteps:\n  go: { playbook: failover, with: { max_loss: \"{{ params.loss }}\" } }\n";
    std::fs::create_dir_all(site.path().join("playbooks")).unwrap();
    std::fs::write(site.path().join("playbooks/mine.yaml"), own).unwrap();
    let said = pgbaton(site.path(), &["validate", "playbooks/mine.yaml"]);
    assert_eq!(said.code, 2);
    assert!(
        said.stderr
            .contains("parameter `max_loss` of playbook `failover` is sealed"),
        "{}{}",
        said.stdout,
        said.stderr
    );
}

#[test]
fn plain_validate_reads_every_playbook_that_has_a_name_here() {
    let own = "playbook: mine\nsteps: { a: { action: wait, with: { for: 1s } } }\n";
    let copy = stock("follow")
        .text
        .replacen("timeout: 10m", "timeout: 9m", 1);
    let files = [
        ("site.yaml", SITE),
        ("playbooks/mine.yaml", own),
        ("playbooks/follow.yaml", &copy),
        ("playbooks/mine.test.yaml", "not a playbook"),
        ("playbooks/.#mine.yaml", "an editor's"),
        ("playbooks/notes.txt", "nobody's"),
    ];
    let good = validated(&files, &[]);
    assert_eq!(good.code, 0, "{}{}", good.stdout, good.stderr);
    let lines: Vec<&str> = good.stdout.lines().collect();
    for line in [
        "site.yaml: site file ok",
        "playbooks/mine.yaml: playbook ok",
        "playbooks/follow.yaml: playbook ok",
        "<stock>/failover.yaml: playbook ok",
    ] {
        assert!(lines.contains(&line), "{line}: {}", good.stdout);
    }
    let stock = lines.iter().filter(|line| line.contains("follow.yaml"));
    assert_eq!(stock.count(), 1, "what would be run: {}", good.stdout);
    assert_eq!(lines.len(), 9, "{}", good.stdout);

    // With a mistake in it nothing else changes, but what nests it.
    let wrong = own.replace("wait", "wiat");
    let mut files = files;
    files[1].1 = &wrong;
    let bad = validated(&files, &[]);
    assert_eq!(bad.code, 2, "{}", bad.stdout);
    assert!(
        bad.stderr.contains("did you mean `wait`?"),
        "{}",
        bad.stderr
    );
    assert!(
        bad.stdout
            .contains("playbooks/mine.yaml: playbook invalid: 1 error"),
        "{}",
        bad.stdout
    );
    // Beside a site file that is somewhere else, too.
    let site = folder(&files);
    let file = site.path().join("site.yaml");
    let away = folder(&[]);
    let said = pgbaton(away.path(), &["--site", file.to_str().unwrap(), "validate"]);
    assert_eq!(said.code, 2, "{}", said.stdout);
    assert!(
        said.stdout
            .contains("/playbooks/mine.yaml: playbook invalid"),
        "{}",
        said.stdout
    );
}

#[test]
fn names_resolve_with_the_overlays_of_the_site() {
    let site = folder(&[
        ("site.yaml", SITE),
        ("overlays/a.yaml", "overlay: follow\ntimeout: 9m\n"),
        ("overlays/b.yaml", "overlay: follow\ntimeout: 8m\n"),
        ("own.yaml", "overlay: follow\ntimeout: 7m\n"),
        (
            "playbooks/slow_follow.yaml",
            "overlay: follow\ntimeout: 1h\n",
        ),
    ]);
    let shelves = Shelves::beside(Some(&site.path().join("site.yaml")));
    let minutes = |playbook: &pgbaton::playbook::Playbook| {
        playbook.timeout.as_ref().unwrap().value.as_secs() / 60
    };
    let of = |name: &str| {
        let source = shelves.open(name).unwrap();
        check(&source, &catalog(), &shelves, &mut Diagnostics::default()).unwrap()
    };
    assert_eq!(
        minutes(&of("follow").playbook),
        8,
        "in the order of their names"
    );
    assert_eq!(minutes(&of("failover").nested["follow"]), 8, "nested, too");
    let kept = &of("failover").sources;
    let (_, follow) = kept.iter().find(|(name, _)| name == "follow").unwrap();
    assert!(follow.text.contains("timeout: 8m") && !follow.is_layered());
    let own = site.path().join("own.yaml");
    assert_eq!(
        minutes(&of(own.to_str().unwrap()).playbook),
        7,
        "on top of the others"
    );
    let again = site.path().join("overlays/a.yaml");
    assert_eq!(
        minutes(&of(again.to_str().unwrap()).playbook),
        9,
        "on top, and once"
    );
    assert_eq!(
        minutes(&of("slow_follow").playbook),
        60,
        "under a name of its own"
    );
    let near = validated(
        &[
            ("site.yaml", SITE),
            ("overlays/a.yaml", "overlay: follow\ntimeout: 9m\n"),
            ("playbooks/follow.yaml", "overlay: follow\ntimeout: 1h\n"),
        ],
        &["--show", "follow"],
    );
    assert!(
        near.stdout.contains("timeout: 1h"),
        "a file of the name may be one: {}",
        near.stdout
    );

    // The site file's list is the order, and all that counts.
    let listed = SITE.replace(
        "vars:",
        "overlays: [overlays/b.yaml, overlays/a.yaml]\nvars:",
    );
    let said = validated(
        &[
            ("site.yaml", &listed),
            ("overlays/a.yaml", "overlay: follow\ntimeout: 9m\n"),
            ("overlays/b.yaml", "overlay: follow\ntimeout: 8m\n"),
            ("overlays/c.yaml", "overlay: nothing\n"),
        ],
        &["--show", "follow"],
    );
    assert!(
        said.stdout.contains("timeout: 9m"),
        "{}{}",
        said.stdout,
        said.stderr
    );
}

#[test]
fn no_playbook_runs_without_an_overlay_that_the_site_has() {
    let broken = |overlay: &str| {
        validated(
            &[("site.yaml", SITE), ("overlays/a.yaml", overlay)],
            &["failover"],
        )
    };
    for (overlay, said) in [
        ("overlay: failovr\nsteps: {}\n", "did you mean `failover`?"),
        ("overlay: [\n", "error[yaml-syntax]"),
        ("steps: {}\n", "an overlay needs `overlay`"),
    ] {
        let refused = broken(overlay);
        assert_eq!(refused.code, 2, "{overlay}");
        assert!(
            refused.stderr.contains(said),
            "{overlay}: {}",
            refused.stderr
        );
    }
    assert_eq!(broken("overlay: follow\ntimeout: 8m\n").code, 0);
    let listed = SITE.replace("vars:", "overlays: [nowhere.yaml]\nvars:");
    let site = folder(&[("site.yaml", &listed)]);
    let refused = pgbaton(site.path(), &["plan", "failover"]);
    assert_eq!(refused.code, 2);
    assert!(
        refused.stderr.contains("there is no such file"),
        "{}",
        refused.stderr
    );
}

#[test]
fn every_command_that_reads_a_playbook_reads_the_merged_one() {
    let site = changed_site();
    let graph = pgbaton(site.path(), &["graph", "mini"]);
    assert!(
        graph.stdout.contains("three_a") && graph.stdout.contains("switched off"),
        "{}",
        graph.stdout
    );
    let show = pgbaton(site.path(), &["playbook", "show", "mini"]);
    assert!(show.stdout.contains("three_a"), "{}", show.stdout);
    let list = pgbaton(site.path(), &["playbook", "list"]);
    assert!(list.stdout.contains("20-second.yaml"), "{}", list.stdout);
    let valid = pgbaton(site.path(), &["validate"]);
    assert_eq!(valid.code, 0, "{}", valid.stderr);
    assert!(valid.stdout.contains("mini.yaml + "), "{}", valid.stdout);
    let file = pgbaton(site.path(), &["validate", "overlays/20-second.yaml"]);
    assert_eq!(
        (file.code, file.stdout.as_str()),
        (0, "overlays/20-second.yaml: overlay ok\n")
    );
    let again = pgbaton(site.path(), &["validate", "overlays/10-first.yaml"]);
    assert_eq!(
        again.code, 0,
        "one that seals is not laid over itself: {}",
        again.stderr
    );
    let sealed = pgbaton(site.path(), &["run", "mini", "-p", "who=me"]);
    assert_eq!(sealed.code, 2);
    assert!(sealed.stderr.contains("sealed"), "{}", sealed.stderr);
}

#[test]
fn a_merged_playbook_is_rehearsed() {
    use pgbaton::rehearse::{Effort, Situation, Subject, explore};
    let overlay = "overlay: failover
params: { max_loss: { default: 0B, sealed: true } }
steps:
  mark:
    needs: [promote]
    needed_by: [follow]
    action: notify
    with: { message: \"{{ steps.choose.node }} is the primary\" }
  update_repmgr: { disable: no repmgr here }
";
    let checked = good(&over(&stock("failover"), &[overlay]));
    let follow = good(&stock("follow"));
    let subject = Subject::without_site(checked, Some(follow));
    let effort = Effort {
        situations: Some(vec![Situation::parse("server-dead-sync").unwrap()]),
        every: 25,
        ..Effort::default()
    };
    let explored = explore(&subject, &effort).unwrap();
    assert!(explored.findings.is_empty() && !explored.never_promotes);
}

// --- laws -------------------------------------------------------------------------------------------------------

/// A part of a playbook's own text as an overlay: some of the parameters and steps, each with some of its keys.
fn part_of(name: &str, picks: &[bool]) -> String {
    let text = stock(name).text.to_string();
    let whole: serde_json::Value = serde_yaml::from_str(&text).unwrap();
    let mut picks = picks.iter().copied().cycle();
    let mut overlay = serde_json::json!({ "overlay": name });
    for section in ["params", "steps"] {
        for (id, keys) in whole[section].as_object().unwrap() {
            for (key, value) in keys.as_object().unwrap() {
                if picks.next() == Some(true) {
                    overlay[section][id][key] = value.clone();
                }
            }
        }
    }
    for key in ["timeout", "summary", "outputs", "finally"] {
        if picks.next() == Some(true) && !whole[key].is_null() {
            overlay[key] = whole[key].clone();
        }
    }
    overlay.to_string()
}

/// Overlays of `mini`, put together from pieces that do not exclude each other.
fn overlays() -> impl Strategy<Value = String> {
    const PARAMS: [&str; 3] = [
        "mode: { default: immediate }",
        "mode: { default: fast }",
        "who: { help: x }",
    ];
    const STEPS: [&str; 7] = [
        "one: { timeout: 20s }",
        "one: { timeout: 30s, with: { env: { A: z, B: y } } }",
        "one: { with: { argv: [true] } }",
        "two: { disable: because }",
        "two: { needs: [each] }",
        "each: { for_each: { max_parallel: 2 } }",
        "each: { for_each: [c] }",
    ];
    let tops = prop::sample::subsequence(
        vec![
            "timeout: 1m",
            "timeout: 2m",
            "outputs: { x: '1' }",
            "finally: { last: { timeout: 3s } }",
            "finally: { timeout: 9s }",
        ],
        0..3,
    );
    let params = prop::sample::subsequence(PARAMS.to_vec(), 0..=1);
    let steps = prop::sample::subsequence(STEPS.to_vec(), 0..=3);
    (tops, params, steps, 0..4usize).prop_map(|(tops, params, steps, new)| {
        let mut text = "overlay: mini\n".to_owned();
        let mut seen = Vec::new();
        let mut fresh = |piece: &str| {
            let key = piece.split(':').next().unwrap_or_default().to_owned();
            let is_fresh = !seen.contains(&key);
            seen.push(key);
            is_fresh
        };
        for top in tops.iter().filter(|top| fresh(top)) {
            text.extend([*top, "\n"]);
        }
        if let Some(param) = params.first() {
            text.extend(["params:\n  ", param, "\n"]);
        }
        let fresh_step = format!(
            "steps:\n  new{new}: {{ action: wait, with: {{ for: {new}s }}, needed_by: [one] }}\n"
        );
        text.push_str(&fresh_step);
        for step in steps.iter().filter(|step| fresh(step)) {
            text.extend(["  ", step, "\n"]);
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn to_set_what_is_there_changes_nothing(
        which in 0..stock_playbooks().len(),
        picks in prop::collection::vec(any::<bool>(), 7..40),
    ) {
        let name = stock_playbooks()[which].name;
        let overlay = part_of(name, &picks);
        let source = over(&stock(name), &[&overlay]);
        let found = differences(&stock(name), &source).unwrap();
        prop_assert!(found.is_empty(), "{overlay}\n{found:#?}");
        if let Err(wrong) = judged(&source) {
            return Err(TestCaseError::fail(wrong.render(false, 120)));
        }
    }

    /// (stock + a) written out, + b, is stock + a + b: whoever copies what `--show` prints and goes on from there has the
    /// same. The other bracket, a + b made one overlay first, is no law: a scalar that takes the place of a map and is
    /// replaced by a map again forgets what was in the first, and what is sealed is judged against what lies below.
    #[test]
    fn overlays_are_laid_one_after_the_other(a in overlays(), b in overlays()) {
        let both = over(&mini(), &[&a, &b]);
        let (_, first) = &good(&over(&mini(), &[&a])).sources[0];
        let then = over(first, &[&b]);
        prop_assert_eq!(differences(&both, &then).unwrap(), []);
        good(&both);
    }
}
