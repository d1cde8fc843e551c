//! What was expected, against what happened.

use super::drill::{Account, Drilled};
use super::file::{Case, Expect, Meets};
use crate::cluster::NodeName;
use crate::document::{Span, Spanned, format_duration, suggest};
use crate::engine::StepStatus;

/// Something that is not as the test expects it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Miss {
    /// Where the test says otherwise.
    pub span: Span,
    /// What is the case.
    pub text: String,
    /// What may help.
    pub help: Option<String>,
}

/// Everything in which a run was not as its test expects. Empty: the test passed.
pub fn verdict(case: &Case, drilled: &Drilled) -> Vec<Miss> {
    let mut misses = Vec::new();
    for (number, why) in &drilled.account.unusable {
        let Some((name, _)) = case.params.get(*number) else {
            continue;
        };
        misses.push(Miss {
            span: name.span,
            text: why.clone(),
            help: None,
        });
    }
    for number in &drilled.account.unmet {
        let Some(aim) = case.faults.get(*number) else {
            continue;
        };
        misses.push(unmet(aim.span, &aim.step, aim.at, &drilled.account));
    }
    for (step, _) in &case.answers {
        if drilled.account.unasked.contains(&step.value) {
            misses.push(unasked(step, &drilled.account));
        }
    }
    let expect = &case.expect;
    let outcome = drilled.played.outcome;
    if outcome != Some(expect.outcome.value) {
        let ended = outcome.map_or("does not end within its budget".to_owned(), |outcome| {
            format!("ends `{}`", format!("{outcome:?}").to_lowercase())
        });
        let says = drilled.account.says.first();
        let why = says.map_or_else(String::new, |why| format!(": {why}"));
        misses.push(Miss {
            span: expect.outcome.span,
            text: format!("the run {ended}{why}"),
            help: None,
        });
    }
    for (path, status) in &expect.steps {
        misses.extend(ends_otherwise(path, status, &drilled.account));
    }
    misses.extend(disorder(&expect.order, &drilled.account));
    misses.extend(topology(expect, &drilled.account));
    for text in &expect.says {
        let said = &drilled.account.says;
        if !said.iter().any(|said| said.contains(&text.value)) {
            misses.push(Miss {
                span: text.span,
                text: "nothing that the run says has this in it".to_owned(),
                help: Some(match said.len() {
                    0 => "it says nothing".to_owned(),
                    _ => format!("it says: {}", said.join("; ")),
                }),
            });
        }
    }
    if let Some(gap) = &expect.gap
        && drilled.played.gap > gap.value
    {
        misses.push(Miss {
            span: gap.span,
            text: format!(
                "the longest time without an acknowledged write is {}",
                format_duration(drilled.played.gap)
            ),
            help: None,
        });
    }
    for violation in &drilled.played.violations {
        misses.push(Miss {
            span: case.name.span,
            text: format!("{}: {}", violation.invariant.sentence(), violation.detail),
            help: Some("this holds whatever a test expects".to_owned()),
        });
    }
    misses
}

fn unmet(span: Span, step: &str, at: Meets, account: &Account) -> Miss {
    let (text, help) = match account.step(step) {
        None => (
            format!("the run does not come to `{step}`"),
            near(step, account),
        ),
        Some(_) if at == Meets::Effect => (
            format!("`{step}` changes nothing, or not so often, and the fault meets nothing"),
            Some("`at: question` meets what it looks at".to_owned()),
        ),
        Some(_) => (
            format!("`{step}` does not ask so often, and the fault meets nothing"),
            None,
        ),
    };
    Miss { span, text, help }
}

fn unasked(step: &Spanned<String>, account: &Account) -> Miss {
    let (text, help) = match account.step(&step.value) {
        None => (
            format!("the run does not come to `{}`", step.value),
            near(&step.value, account),
        ),
        Some(_) => (
            format!("`{}` asks nobody", step.value),
            Some("steps with `action: approve` ask".to_owned()),
        ),
    };
    Miss {
        span: step.span,
        text,
        help,
    }
}

fn near(step: &str, account: &Account) -> Option<String> {
    let paths = account.steps.iter().map(|step| step.path.as_str());
    suggest(step, paths).map(|near| format!("did you mean `{near}`?"))
}

fn ends_otherwise(
    path: &Spanned<String>,
    status: &Spanned<StepStatus>,
    account: &Account,
) -> Option<Miss> {
    let Some(step) = account.step(&path.value) else {
        return Some(Miss {
            span: path.span,
            text: format!("the run does not come to `{}`", path.value),
            help: near(&path.value, account),
        });
    };
    if step.status == Some(status.value) {
        return None;
    }
    let ended = step.status.map_or("does not end".to_owned(), |s| {
        format!("ends `{}`", s.as_str())
    });
    let why = step
        .why
        .as_ref()
        .map_or_else(String::new, |why| format!(": {why}"));
    Some(Miss {
        span: status.span,
        text: format!("`{}` {ended}{why}", path.value),
        help: None,
    })
}

/// Each must have begun after the one before it ended.
fn disorder(order: &[Spanned<String>], account: &Account) -> Vec<Miss> {
    let mut misses = Vec::new();
    for path in order {
        let runs = account.step(&path.value).is_some_and(|step| step.began > 0);
        if !runs {
            misses.push(Miss {
                span: path.span,
                text: format!("`{}` does not run", path.value),
                help: near(&path.value, account).filter(|_| account.step(&path.value).is_none()),
            });
        }
    }
    for pair in order.windows(2) {
        let [first, second] = pair else { continue };
        let steps = (account.step(&first.value), account.step(&second.value));
        if let (Some(one), Some(other)) = steps
            && one.began > 0
            && other.began > 0
            && other.began < one.ended
        {
            misses.push(Miss {
                span: second.span,
                text: format!(
                    "`{}` begins before `{}` has ended",
                    second.value, first.value
                ),
                help: Some("only `needs` orders steps".to_owned()),
            });
        }
    }
    misses
}

fn topology(expect: &Expect, account: &Account) -> Vec<Miss> {
    let mut misses = Vec::new();
    if let Some(primary) = &expect.primary {
        let primaries = account.primaries();
        if primaries.len() != 1 || primaries[0].as_str() != primary.value {
            let names: Vec<&str> = primaries.iter().map(|node| node.as_str()).collect();
            let text = match names.len() {
                0 => "nobody is the primary".to_owned(),
                1 => format!("the primary is {}", names[0]),
                _ => format!("{} are primaries", names.join(" and ")),
            };
            misses.push(Miss {
                span: primary.span,
                text,
                help: None,
            });
        }
    }
    for (node, upstream) in &expect.following {
        let state = account.nodes.iter().find(|s| s.name.as_str() == node.value);
        let Some(state) = state else {
            let all: Vec<&str> = account.nodes.iter().map(|s| s.name.as_str()).collect();
            misses.push(Miss {
                span: node.span,
                text: format!("there is no node `{}`", node.value),
                help: Some(format!("there are: {}", all.join(", "))),
            });
            continue;
        };
        let from = state.streams_from.as_ref().map(NodeName::as_str);
        if from != Some(upstream.value.as_str()) {
            let text = match from {
                Some(from) => format!("{} streams from {from}", node.value),
                None if state.running => format!("{} streams from nobody", node.value),
                None => format!("{} does not run", node.value),
            };
            misses.push(Miss {
                span: upstream.span,
                text,
                help: None,
            });
        }
    }
    misses
}
