//! The safety rules by mutation: whoever takes a guard out of the stock playbooks is refused before the run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod support;

use support::{stock, swap};

/// The text without this step.
#[track_caller]
fn without(text: &str, step: &str) -> String {
    let from = text
        .find(&format!("\n  {step}:"))
        .expect("the step is there")
        + 1;
    let mut end = from + text[from..].find('\n').unwrap() + 1;
    for line in text[end..].split_inclusive('\n') {
        if !line.starts_with("    ") {
            break;
        }
        end += line.len();
    }
    format!("{}{}", &text[..from], &text[end..])
}

/// With these steps at the end.
fn with_steps(text: &str, steps: &str) -> String {
    swap(text, "\noutputs:\n", &format!("\n{steps}\noutputs:\n"))
}

fn no_freeze(text: &str) -> String {
    let text = swap(
        &without(text, "freeze"),
        "needs: [freeze]",
        "needs: [fence_host]",
    );
    swap(&text, "steps.freeze.items[name].status == 'ok'", "true")
}

fn no_fence(text: &str) -> String {
    let text = swap(
        &without(text, "fence"),
        "needs: [fence, fitness]",
        "needs: [freeze, fitness]",
    );
    let text = swap(&text, "{{ steps.fence.proof }}", "stopped");
    swap(&text, "  proof: steps.fence.proof\n", "")
}

fn no_evidence(text: &str) -> String {
    let text = swap(
        &without(text, "verify_primary"),
        "needs: [verify_primary",
        "needs: [promote",
    );
    swap(&text, "  timeline: steps.verify_primary.timeline\n", "")
}

const PROMOTE: &str = "action: promote\n";

/// What is wrong, how it is made from the stock failover, and the code that must be said.
type Mutation = (&'static str, fn(&str) -> String, &'static str);

const MUTATIONS: [Mutation; 15] = [
    ("nobody is frozen", no_freeze, "PB004"),
    (
        "the freeze may be skipped",
        |t| {
            swap(
                t,
                "    action: freeze\n",
                "    when: params.max_loss > 0\n    action: freeze\n",
            )
        },
        "PB004",
    ),
    (
        "no fence but the one that may be skipped",
        no_fence,
        "PB001",
    ),
    (
        "no fence at all",
        |t| {
            swap(
                &without(&no_fence(t), "fence_host"),
                "    needs: [fence_host]\n",
                "    needs: [confirm]\n",
            )
        },
        "PB001",
    ),
    (
        "the fence may be skipped",
        |t| {
            swap(
                t,
                "  fence:\n    needs: [freeze]\n",
                "  fence:\n    needs: [freeze]\n    when: params.max_loss > 0\n",
            )
        },
        "PB001",
    ),
    (
        "the fence may fail",
        |t| {
            swap(
                t,
                "  fence:\n    needs: [freeze]\n",
                "  fence:\n    needs: [freeze]\n    on_failure: continue\n",
            )
        },
        "PB002",
    ),
    (
        "a word in place of the proof",
        |t| swap(t, "proof: \"{{ steps.fence.proof }}\"", "proof: stopped"),
        "PB003",
    ),
    ("no evidence of the new primary", no_evidence, "PB005"),
    (
        "no budget for the run",
        |t| t.replacen("\ntimeout: 10m\n", "\n", 1),
        "PB008",
    ),
    (
        "the run goes on after a failed promotion",
        |t| swap(t, PROMOTE, "action: promote\n    on_failure: degrade\n"),
        "PB006",
    ),
    (
        "everybody is promoted",
        |t| {
            swap(
                t,
                PROMOTE,
                "action: promote\n    for_each: { items: [n1, n2] }\n",
            )
        },
        "PB006",
    ),
    (
        "a second promotion",
        |t| {
            with_steps(
                t,
                "  again:\n    needs: [promote]\n    action: promote\n    node: \"{{ params.old_primary }}\"\n    \
                     with: { old_primary: \"{{ params.old_primary }}\", proof: \"{{ steps.fence.proof }}\" }\n  \
                     look_again:\n    needs: [again]\n    action: verify_primary\n    \
                     node: \"{{ params.old_primary }}\"\n    with: { after: \"{{ steps.choose.timeline }}\" }\n",
            )
        },
        "PB007",
    ),
    (
        "standbys receive again after the promotion",
        |t| {
            with_steps(
                t,
                "  thaw:\n    needs: [promote]\n    action: unfreeze\n    node: \"{{ steps.choose.node }}\"\n",
            )
        },
        "PB010",
    ),
    (
        "an undo that would never be done",
        |t| {
            with_steps(
                t,
                "  vip:\n    needs: [promote]\n    action: exec\n    with: { argv: [vip, up] }\n    \
                     undo: { argv: [vip, down] }\n    effect: idempotent\n",
            )
        },
        "PB009",
    ),
    (
        "a promotion in the rescue",
        |t| {
            format!(
                "{}\nrescue:\n  steps:\n    force:\n      action: promote\n      node: \"{{{{ params.candidate }}}}\"\n      \
                     with: {{ old_primary: \"{{{{ params.old_primary }}}}\", proof: none }}\n",
                t.trim_end()
            )
        },
        "PB006",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_without_one_of_its_guards_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let stock = stock("failover");
    for (what, mutate, code) in MUTATIONS {
        let mutant = mutate(&stock);
        assert_ne!(mutant, stock, "{what}");
        let file = folder.path().join("failover.yaml");
        std::fs::write(&file, &mutant).unwrap();
        let said = support::pgbaton(&["validate", file.to_str().unwrap()]).await;
        assert_eq!(said.code, 2, "{what}: {}", said.all());
        let seen = format!("error[{code}]");
        assert!(
            said.all().contains(&seen),
            "{what} must be {code}: {}",
            said.all()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mutants_are_refused_for_nothing_but_their_mutation() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("failover.yaml");
    let stock = stock("failover");
    std::fs::write(&file, &stock).unwrap();
    let file = file.to_str().unwrap();
    support::pgbaton(&["validate", file]).await.expect(0);
    for (mutant, code) in [
        (no_freeze(&stock), "PB004"),
        (no_fence(&stock), "PB001"),
        (no_evidence(&stock), "PB005"),
    ] {
        std::fs::write(file, mutant).unwrap();
        let said = support::pgbaton(&["validate", file]).await.expect(2);
        let all = said.all();
        let mut errors = all.lines().filter(|line| line.starts_with("error["));
        assert!(
            errors.all(|line| line.starts_with("error[PB")),
            "{code}: {all}"
        );
    }
}
