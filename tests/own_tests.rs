//! `pgbaton test`: a site's own tests of its playbooks, and that they can fail.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod support;

use std::path::Path;
use support::{Said, pgbaton, swap};
use tempfile::TempDir;

/// The example of docs/tests.md.
fn example() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tests.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, rest) = page.split_once("```yaml\n").unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

/// A file of tests with this text, and what `test` says of it.
async fn tested(text: &str, more: &[&str]) -> (TempDir, Said) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("failover.test.yaml");
    std::fs::write(&file, text).unwrap();
    let words = [&["test", file.to_str().unwrap()], more].concat();
    (dir, pgbaton(&words).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_the_page_passes_and_a_report_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let report = dir.path().join("report.xml");
    let (_dir, said) = tested(&example(), &["--junit", report.to_str().unwrap()]).await;
    let said = said.expect(0);
    assert!(
        said.stdout.contains("4 tests: all passed"),
        "{}",
        said.all()
    );
    let report = std::fs::read_to_string(report).unwrap();
    assert_eq!(report.matches("<testcase ").count(), 4, "{report}");
    assert!(report.contains("failures=\"0\""), "{report}");
}

/// Each expectation, turned round.
#[tokio::test(flavor = "multi_thread")]
async fn every_expectation_can_fail_and_is_shown_where_it_stands() {
    for (from, to, told) in [
        (
            "      primary: n2\n      following: { n3: n2, n4: n2 }",
            "      primary: n3\n      following: { n3: n2, n4: n2 }",
            "the primary is n2",
        ),
        ("{ n3: n2, n4: n2 }", "{ n3: n4 }", "n3 streams from n2"),
        ("{ n3: n2, n4: n2 }", "{ n9: n2 }", "there is no node `n9`"),
        (
            "[fence, choose, promote, follow]",
            "[promote, fence]",
            "`fence` begins before `promote` has ended",
        ),
        (
            "[fence, choose, promote, follow]",
            "[fence, promot]",
            "did you mean `promote`?",
        ),
        (
            "fast_forward: skipped",
            "fast_forward: ok",
            "`fast_forward` ends `skipped`",
        ),
        (
            "\"follow[n3]/set_upstream\": ok }",
            "\"follow[n3]/set_upstream\": failed }",
            "`follow[n3]/set_upstream` ends `ok`",
        ),
        (
            "      gap: 10s",
            "      gap: 1ms",
            "the longest time without an acknowledged write is",
        ),
        ("says: [nothing proves]", "says: [nonsense]", "it says:"),
        ("outcome: refused", "outcome: ok", "the run ends `refused`"),
        (
            "{ step: promote, fault: dies }",
            "{ step: promte, fault: dies }",
            "did you mean `promote`?",
        ),
        (
            "{ step: promote, fault: dies }",
            "{ step: choose, fault: before }",
            "changes nothing",
        ),
    ] {
        let text = swap(&example(), from, to);
        let (_dir, said) = tested(&text, &[]).await;
        let said = said.expect(1);
        assert!(said.stdout.contains(told), "{to}: {}", said.all());
        assert!(said.stdout.contains("1 failed"), "{to}: {}", said.all());
        let before = example();
        let (before, _) = before.split_once(from).unwrap();
        let line = before.lines().count().max(1) + usize::from(before.ends_with('\n'));
        let place = format!("failover.test.yaml:{line}:");
        assert!(said.stdout.contains(&place), "{place} {}", said.all());
    }
}

/// Whoever is asked by a playbook says what the test has.
#[tokio::test(flavor = "multi_thread")]
async fn a_test_says_what_people_answer() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("approved_failover.test.yaml");
    let tested = async |answers: &str, expect: &str| {
        let text = format!(
            "tests: approved_failover\ncases:\n  one:\n    situation: server-dead-sync\n{answers}    expect: {{ {expect} }}\n"
        );
        std::fs::write(&file, text).unwrap();
        pgbaton(&["test", file.to_str().unwrap()]).await
    };
    for (answers, expect) in [
        ("", "primary: n2"),
        ("    answers: { ask: approve }\n", "primary: n2"),
        (
            "    answers: { ask: deny }\n",
            "outcome: refused, says: [denied by the test], steps: { ask: failed, failover: not_run }",
        ),
        (
            "    answers: { ask: nobody }\n",
            "outcome: failed, says: [the question has expired], steps: { failover: not_run }",
        ),
        // Another runner asks again, and is answered.
        (
            "    answers: { ask: approve }\n    faults: [{ step: failover/promote, fault: dies }]\n",
            "primary: n2",
        ),
    ] {
        tested(answers, expect).await.expect(0);
    }
    let said = tested(
        "    params: { patience: 3, nobody: 1 }\n",
        "outcome: refused",
    )
    .await;
    let said = said.expect(1);
    assert!(said.stdout.contains("`3` has no unit"), "{}", said.all());
    assert!(
        said.stdout
            .contains("playbook `approved_failover` has no parameter `nobody`"),
        "{}",
        said.all()
    );
    for (answers, told) in [
        ("ask: deny", "the run ends `refused`"),
        ("aks: deny", "did you mean `ask`?"),
        ("failover/promote: deny", "`failover/promote` asks nobody"),
    ] {
        let answers = format!("    answers: {{ {answers} }}\n");
        let said = tested(&answers, "primary: n2").await.expect(1);
        assert!(said.stdout.contains(told), "{told}: {}", said.all());
    }
    let said = tested("    answers: { ask: perhaps }\n", "primary: n2").await;
    let said = said.expect(2);
    assert!(
        said.stderr.contains("`approve`, `deny`, `nobody`"),
        "{}",
        said.all()
    );
}

/// Two people are asked, one after the other: whom the test does not name says yes, and each answer is for one question.
#[tokio::test(flavor = "multi_thread")]
async fn every_question_has_its_own_answer() {
    let dir = tempfile::tempdir().unwrap();
    let text = "playbook: twice\nsteps:\n  first: { action: approve, with: { question: go on? } }\n  second: { needs: [first], action: approve, with: { question: really? } }\n";
    std::fs::write(dir.path().join("twice.yaml"), text).unwrap();
    let file = dir.path().join("twice.test.yaml");
    let tested = async |answers: &str, expect: &str| {
        let text = format!(
            "tests: twice\ncases:\n  one:\n    situation: healthy-sync\n    answers: {{ {answers} }}\n    expect: {{ {expect} }}\n"
        );
        std::fs::write(&file, text).unwrap();
        pgbaton(&["test", file.to_str().unwrap()]).await
    };
    for (answers, expect) in [
        ("first: approve", "steps: { second: ok }"),
        ("second: approve", "steps: { first: ok }"),
        ("first: approve, second: approve", "outcome: ok"),
        (
            "second: deny",
            "outcome: refused, steps: { first: ok, second: failed }",
        ),
        (
            "first: approve, second: nobody",
            "outcome: failed, steps: { first: ok }, says: [expired]",
        ),
    ] {
        tested(answers, expect).await.expect(0);
    }
    let said = tested("first: deny, second: approve", "outcome: refused").await;
    let said = said.expect(1);
    assert!(said.stdout.contains("`second`"), "{}", said.all());
}

/// A step of the site's own looks by its probe first. A fault without more meets what it does, not what it asks.
#[tokio::test(flavor = "multi_thread")]
async fn a_fault_meets_what_a_step_does_and_not_its_probe() {
    let dir = tempfile::tempdir().unwrap();
    let text = "playbook: own\nsteps:\n  vip:\n    action: exec\n    with: { argv: [vip, take] }\n    probe: { argv: [vip, have] }\n    effect: idempotent\n    timeout: 5s\n  look: { action: exec, with: { argv: [vip, have] }, effect: read, timeout: 5s }\n";
    std::fs::write(dir.path().join("own.yaml"), text).unwrap();
    let file = dir.path().join("own.test.yaml");
    let tested = async |fault: &str, expect: &str| {
        let text = format!(
            "tests: own\ncases:\n  one:\n    situation: healthy-sync\n    faults: [{{ {fault} }}]\n    expect: {{ {expect} }}\n"
        );
        std::fs::write(&file, text).unwrap();
        pgbaton(&["test", file.to_str().unwrap()]).await
    };
    for (fault, expect) in [
        (
            "step: vip, fault: before",
            "outcome: failed, steps: { vip: failed }",
        ),
        (
            "step: look, fault: before, at: question",
            "outcome: failed, steps: { look: failed }",
        ),
    ] {
        tested(fault, expect).await.expect(0);
    }
    // Each has its own: that another step has done something is no reason to pass one over.
    let second = format!(
        "{text}  dns:\n    needs: [vip, look]\n    action: exec\n    with: {{ argv: [dns, set] }}\n    probe: {{ argv: [dns, is] }}\n    effect: idempotent\n    timeout: 5s\n"
    );
    std::fs::write(dir.path().join("own.yaml"), second).unwrap();
    let expect = "outcome: failed, steps: { vip: ok, dns: failed }";
    tested("step: dns, fault: before", expect).await.expect(0);
    let said = tested("step: look, fault: before", "outcome: ok").await;
    let said = said.expect(1);
    assert!(said.stdout.contains("changes nothing"), "{}", said.all());
}

/// A playbook of the site's own that a fault breaks: what holds for every run makes the test fail, whatever it expects.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_run_may_do_fails_a_test_that_does_not_ask_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let stock = pgbaton(&["playbook", "show", "follow"])
        .await
        .expect(0)
        .stdout;
    let text = stock.replace("playbook: follow", "playbook: mine");
    std::fs::write(dir.path().join("mine.yaml"), text).unwrap();
    let tests = "tests: mine\ncases:\n  it follows:\n    situation: healthy-async\n    expect: { following: { n3: n2 } }\n";
    let file = dir.path().join("mine.test.yaml");
    std::fs::write(&file, tests).unwrap();
    let file = file.to_str().unwrap();
    let said = pgbaton(&["test", file]).await.expect(0);
    assert!(said.stdout.contains("1 test: all passed"), "{}", said.all());
    let story = pgbaton(&["test", file, "--story"]).await.expect(0);
    assert!(story.stdout.contains("set_upstream"), "{}", story.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_wrong_is_told_with_all_its_mistakes_and_nothing_is_played() {
    let wrong = "tests: failover\ncases:\n  one:\n    situation: nowhere\n    faults: [{ step: promote, fault: burns, nth: 0 }]\n    expect: { outcome: fine, stepps: {} }\n  two:\n    situation: healthy-sync\n";
    let (dir, said) = tested(wrong, &[]).await;
    let said = said.expect(2);
    for told in [
        "there is no situation `nowhere`",
        "server-dead-sync",
        "`fault` cannot be `burns`",
        "`outcome` cannot be `fine`",
        "did you mean `steps`?",
        "a test needs `expect`",
    ] {
        assert!(said.stderr.contains(told), "{told}: {}", said.all());
    }
    let (_dir, said) = tested(&example().replace("tests: failover", "tests: failovr"), &[]).await;
    let told = said.expect(2).stderr;
    assert!(told.contains("failover.test.yaml:1:8"), "{told}");
    assert!(told.contains("did you mean `failover`?"), "{told}");
    let file = dir.path().join("failover.test.yaml");
    let said = pgbaton(&["validate", file.to_str().unwrap()]).await;
    assert!(
        said.expect(2).stdout.contains("tests invalid"),
        "validate knows them"
    );
    for (words, told) in [
        (vec!["test", "no/such.test.yaml"], "cannot be read"),
        (
            vec!["--site", "/nowhere.yaml", "test"],
            "there are no tests in",
        ),
    ] {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_pgbaton"));
        let output = command
            .args(&words)
            .current_dir(dir.path())
            .output()
            .await
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(
            String::from_utf8_lossy(&output.stderr).contains(told),
            "{output:?}"
        );
    }
}
