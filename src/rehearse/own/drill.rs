//! Playing one of a site's tests.

use super::answers::Answers;
use super::file::{Aim, Case, Meets};
use crate::cluster::NodeName;
use crate::document::Spanned;
use crate::engine::{StepPath, StepStatus};
use crate::playbook::{Playbook, read_text};
use crate::rehearse::play::{Played, Want, play_with};
use crate::rehearse::{Kind, Scenario, Subject};
use crate::runs::RunsError;
use crate::simulate::NodeState;

/// What a run did, for whoever holds it against something.
#[derive(Debug, Clone, Default)]
pub struct Account {
    /// Its steps, in the order in which they began.
    pub steps: Vec<Walked>,
    /// Why it failed, and what it left to do.
    pub says: Vec<String>,
    /// The nodes when it had settled.
    pub nodes: Vec<NodeState>,
    /// The faults that met no call, by their number in the test.
    pub unmet: Vec<usize>,
    /// The parameters that the playbook cannot be given, by their number in the test, each with the reason.
    pub unusable: Vec<(usize, String)>,
    /// The steps of which the test has an answer, and that did not ask.
    pub unasked: Vec<String>,
}

/// A step that a run came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walked {
    /// Its path.
    pub path: String,
    /// How it ended; none while it has not.
    pub status: Option<StepStatus>,
    /// What was said of it where it failed.
    pub why: Option<String>,
    /// When it began and ended, in steps' beginnings and ends since the run began.
    pub began: usize,
    /// The same of its end.
    pub ended: usize,
}

/// How a test's run went.
#[derive(Debug, Clone)]
pub struct Drilled {
    /// As in a rehearsal.
    pub played: Played,
    /// Step by step.
    pub account: Account,
}

/// Plays it. A pure function of its arguments. `story`: what happened is told line by line.
pub fn drill(subject: &Subject, case: &Case, story: bool) -> Result<Drilled, RunsError> {
    let mut subject = subject.clone();
    // What the test gives wins over what the command line does.
    let own = || case.params.iter().map(|(name, text)| (&name.value, text));
    let given = |name: &String| own().any(|(own, _)| own == name);
    subject.params.retain(|(name, _)| !given(name));
    let all = own().map(|(name, text)| (name.clone(), text.clone()));
    subject.params.extend(all);
    let scenario = Scenario {
        situation: case.situation,
        seed: case.seed,
        faults: Vec::new(),
    };
    let want = if story { Want::Story } else { Want::Outcome };
    let given = case.answers.iter();
    let given = given.map(|(step, answer)| (step.value.clone(), *answer));
    let meant = Meant {
        faults: &case.faults,
        // Where nobody says anything about answers, a question is approved on the spot, as in a rehearsal.
        answers: (!case.answers.is_empty()).then(|| Answers::new(given)),
    };
    let (played, mut account) = play_with(&subject, &scenario, want, Some(&meant))?;
    account.unusable = unusable(&subject.playbook.playbook, case);
    Ok(Drilled { played, account })
}

/// A run that is refused for what it was given would pass a test that expects a refusal.
fn unusable(playbook: &Playbook, case: &Case) -> Vec<(usize, String)> {
    let wrong = |(name, text): &(Spanned<String>, String)| match playbook.param(&name.value) {
        None => {
            let of = &playbook.name.value;
            Some(format!("playbook `{of}` has no parameter `{}`", name.value))
        }
        Some(param) => read_text(param.ty, text).err().map(|error| error.why),
    };
    let params = case.params.iter().enumerate();
    params
        .filter_map(|(number, param)| Some((number, wrong(param)?)))
        .collect()
}

/// What a test has for its run, besides the situation.
pub(in crate::rehearse) struct Meant<'c> {
    pub(in crate::rehearse) faults: &'c [Aim],
    /// None: nobody is asked.
    pub(in crate::rehearse) answers: Option<Answers>,
}

/// Faults that wait for their call.
#[derive(Debug, Default)]
pub(in crate::rehearse) struct Aimed(Vec<(usize, Aim, u32)>);

impl Aimed {
    pub(in crate::rehearse) fn new(aims: &[Aim]) -> Self {
        let aims = aims.iter().cloned().enumerate();
        Self(aims.map(|(number, aim)| (number, aim, 0)).collect())
    }

    /// Some runner may die.
    pub(in crate::rehearse) fn may_die(&self) -> bool {
        self.0.iter().any(|(_, aim, _)| aim.kind == Kind::Dies)
    }

    /// A step makes a call of this sort: what meets it, if anything.
    pub(in crate::rehearse) fn meets(&mut self, step: &StepPath, sort: Meets) -> Option<Kind> {
        self.take(step, |aim| aim.at == sort && aim.kind != Kind::Dies)
    }

    /// A step is about to have an effect: whether the runner dies first.
    pub(in crate::rehearse) fn dies(&mut self, step: &StepPath) -> bool {
        self.take(step, |aim| aim.kind == Kind::Dies).is_some()
    }

    fn take(&mut self, step: &StepPath, fits: impl Fn(&Aim) -> bool) -> Option<Kind> {
        if self.0.is_empty() {
            return None;
        }
        let path = step.to_string();
        let mut met = None;
        for (index, (_, aim, seen)) in self.0.iter_mut().enumerate() {
            if aim.step == path && fits(aim) {
                *seen += 1;
                if *seen == aim.nth && met.is_none() {
                    met = Some(index);
                }
            }
        }
        met.map(|index| self.0.remove(index).1.kind)
    }

    /// Those that met nothing.
    pub(in crate::rehearse) fn unmet(&self) -> Vec<usize> {
        self.0.iter().map(|(number, ..)| *number).collect()
    }
}

impl Account {
    /// How the step of this path ended, where the run came to it.
    pub fn step(&self, path: &str) -> Option<&Walked> {
        // A step that was tried again by another runner is there twice; the last one tells.
        self.steps.iter().rev().find(|step| step.path == path)
    }

    /// The nodes that run as primaries.
    pub fn primaries(&self) -> Vec<&NodeName> {
        let nodes = self.nodes.iter();
        let running = nodes.filter(|node| node.running && !node.standby);
        running.map(|node| &node.name).collect()
    }
}
