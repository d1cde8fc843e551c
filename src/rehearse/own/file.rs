//! The files: what a site writes, with the place of everything that can turn out to be otherwise.

use crate::document::{Diagnostics, Entry, Lowering, Source, Span, Spanned, Tree, parse};
use crate::engine::{Outcome, StepStatus};
use crate::rehearse::{Kind, Situation};
use std::time::Duration;

/// The tests of one file.
#[derive(Debug, Clone, PartialEq)]
pub struct Suite {
    /// Where they were written.
    pub source: Source,
    /// The playbook that they are about: a name, or a file.
    pub playbook: Spanned<String>,
    /// The tests.
    pub cases: Vec<Case>,
}

/// One test.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// What it shows, as its key.
    pub name: Spanned<String>,
    /// Where the run begins.
    pub situation: Situation,
    /// What the run is given.
    pub params: Vec<(Spanned<String>, String)>,
    /// What meets it.
    pub faults: Vec<Aim>,
    /// What people answer, by the path of the step that asks.
    pub answers: Vec<(Spanned<String>, Answer)>,
    /// The seed of everything that is random.
    pub seed: u64,
    /// What must come of it.
    pub expect: Expect,
}

/// A fault that meets a call of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aim {
    /// Where that is written.
    pub span: Span,
    /// The step's path, like `follow[n3]/set_upstream`.
    pub step: String,
    /// What happens.
    pub kind: Kind,
    /// Which sort of call it meets.
    pub at: Meets,
    /// The how-manieth of them, from 1.
    pub nth: u32,
}

/// A sort of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meets {
    /// One that changes something.
    Effect,
    /// One that only looks.
    Question,
}

/// What a person says to a step that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It may go on.
    Approve,
    /// It may not.
    Deny,
    /// Nothing, until the question has expired.
    Nobody,
}

/// What must come of a run. What is not said may be anything.
#[derive(Debug, Clone, PartialEq)]
pub struct Expect {
    /// How it ends; `ok` unless said otherwise.
    pub outcome: Spanned<Outcome>,
    /// How steps end, by path.
    pub steps: Vec<(Spanned<String>, Spanned<StepStatus>)>,
    /// Steps that run, each begun after the one before it has ended.
    pub order: Vec<Spanned<String>>,
    /// The one primary at the end.
    pub primary: Option<Spanned<String>>,
    /// Who streams from whom at the end.
    pub following: Vec<(Spanned<String>, Spanned<String>)>,
    /// What the run's failure, or what it leaves to do, must say.
    pub says: Vec<Spanned<String>>,
    /// The longest time without an acknowledged write.
    pub gap: Option<Spanned<Duration>>,
}

const OUTCOMES: [(&str, Outcome); 6] = [
    ("ok", Outcome::Ok),
    ("degraded", Outcome::Degraded),
    ("failed", Outcome::Failed),
    ("refused", Outcome::Refused),
    ("held", Outcome::Held),
    ("cancelled", Outcome::Cancelled),
];

const STATUSES: [(&str, StepStatus); 6] = [
    ("ok", StepStatus::Ok),
    ("rescued", StepStatus::Rescued),
    ("skipped", StepStatus::Skipped),
    ("failed", StepStatus::Failed),
    ("not_run", StepStatus::NotRun),
    ("cancelled", StepStatus::Cancelled),
];

const ANSWERS: [(&str, Answer); 3] = [
    ("approve", Answer::Approve),
    ("deny", Answer::Deny),
    ("nobody", Answer::Nobody),
];

const MEETS: [(&str, Meets); 2] = [("effect", Meets::Effect), ("question", Meets::Question)];

/// Reads a file of tests; all that is wrong with it is in `diagnostics`. None after an error.
pub fn load_suite(source: &Source, diagnostics: &mut Diagnostics) -> Option<Suite> {
    let mut found = Diagnostics::default();
    let suite = read(source, &mut found);
    let failed = found.has_errors();
    found.sort();
    diagnostics.append(found);
    suite.filter(|_| !failed)
}

fn read(source: &Source, diagnostics: &mut Diagnostics) -> Option<Suite> {
    let tree = parse(source, diagnostics)?;
    let to = &mut Lowering {
        source,
        diagnostics,
    };
    let mut map = to.map("a file of tests", &tree)?;
    let playbook = map.required(to, "tests");
    let playbook = playbook.and_then(|e| to.string("`tests`", &e.value));
    let cases = map.required(to, "cases");
    let cases = cases.and_then(|e| to.entries("`cases`", &e.value));
    map.finish(to);
    let cases = cases?;
    let cases = cases.iter().filter_map(|entry| case(to, entry)).collect();
    Some(Suite {
        source: source.clone(),
        playbook: playbook?,
        cases,
    })
}

fn case(to: &mut Lowering<'_>, entry: &Entry) -> Option<Case> {
    let mut map = to.map("a test", &entry.value)?;
    let situation = map.required(to, "situation");
    let situation = situation.and_then(|e| situation_of(to, &e.value));
    let params = map.optional(to, "params");
    let params = params.map(|e| params_of(to, &e.value));
    let faults = map.optional(to, "faults");
    let faults = faults.map(|e| list(to, "`faults`", &e.value, aim));
    let answers = map.optional(to, "answers");
    let answers = answers.map(|e| answers_of(to, &e.value));
    let seed = map.optional(to, "seed");
    let seed = seed.map(|e| to.integer("`seed`", &e.value, 0, i64::MAX));
    let expect = map.required(to, "expect");
    let expect = expect.and_then(|e| expect_of(to, &e.value, e.key.span));
    map.finish(to);
    Some(Case {
        name: entry.key.clone(),
        situation: situation?,
        params: params.map_or(Some(Vec::new()), |params| params)?,
        faults: faults.map_or(Some(Vec::new()), |faults| faults)?,
        answers: answers.map_or(Some(Vec::new()), |answers| answers)?,
        seed: match seed {
            None => 1,
            Some(seed) => u64::try_from(seed?).unwrap_or_default(),
        },
        expect: expect?,
    })
}

fn situation_of(to: &mut Lowering<'_>, value: &Spanned<Tree>) -> Option<Situation> {
    let name = to.string("`situation`", value)?;
    let found = Situation::parse(&name.value);
    if found.is_none() {
        let all: Vec<String> = Situation::all().iter().map(ToString::to_string).collect();
        let message = format!("there is no situation `{}`", name.value);
        to.error("unknown-value", name.span, message).help =
            Some(format!("there are: {}", all.join(", ")));
    }
    found
}

/// As the command line would have them.
fn params_of(
    to: &mut Lowering<'_>,
    value: &Spanned<Tree>,
) -> Option<Vec<(Spanned<String>, String)>> {
    let entries = to.entries("`params`", value)?;
    let params = entries.iter().map(|entry| {
        let text = match &entry.value.value {
            Tree::String { text, .. } => text.clone(),
            Tree::Null => String::new(),
            // Numbers, booleans and lists are read from their text.
            _ => written(to, entry.value.span),
        };
        (entry.key.clone(), text)
    });
    Some(params.collect())
}

/// The text of a value as it stands in the file.
fn written(to: &Lowering<'_>, span: Span) -> String {
    let text = to.source.text.get(span.start..span.end);
    text.unwrap_or_default().trim().to_owned()
}

fn list<T>(
    to: &mut Lowering<'_>,
    what: &str,
    value: &Spanned<Tree>,
    item: impl Fn(&mut Lowering<'_>, &Spanned<Tree>) -> Option<T>,
) -> Option<Vec<T>> {
    let items = to.list(what, value)?;
    items.iter().map(|value| item(to, value)).collect()
}

fn aim(to: &mut Lowering<'_>, value: &Spanned<Tree>) -> Option<Aim> {
    let mut map = to.map("a fault", value)?;
    let step = map.required(to, "step");
    let step = step.and_then(|e| to.string("`step`", &e.value));
    let kinds = Kind::ALL.map(|kind| (kind.word(), kind));
    let kind = map.required(to, "fault");
    let kind = kind.and_then(|e| to.one_of("`fault`", &e.value, &kinds));
    let at = map.optional(to, "at");
    let at = at.map(|e| to.one_of("`at`", &e.value, &MEETS));
    let nth = map.optional(to, "nth");
    let nth = nth.map(|e| to.integer("`nth`", &e.value, 1, 1000));
    map.finish(to);
    let (step, kind) = (step?, kind?);
    let at = match at {
        None => Meets::Effect,
        Some(at) => at?.value,
    };
    if at == Meets::Question && matches!(kind.value, Kind::After | Kind::Lost | Kind::Dies) {
        let message = format!(
            "`{}` happens to what changes something, not to a question",
            kind.value.word()
        );
        to.error("bad-value", kind.span, message).help =
            Some("leave out `at: question`".to_owned());
        return None;
    }
    Some(Aim {
        span: value.span,
        step: step.value,
        kind: kind.value,
        at,
        nth: match nth {
            None => 1,
            Some(nth) => u32::try_from(nth?).unwrap_or(1),
        },
    })
}

fn answers_of(
    to: &mut Lowering<'_>,
    value: &Spanned<Tree>,
) -> Option<Vec<(Spanned<String>, Answer)>> {
    let entries = to.entries("`answers`", value)?;
    let answers = entries.iter().map(|entry| {
        let answer = to.one_of("an answer", &entry.value, &ANSWERS)?;
        Some((entry.key.clone(), answer.value))
    });
    answers.collect()
}

fn expect_of(to: &mut Lowering<'_>, value: &Spanned<Tree>, key: Span) -> Option<Expect> {
    let mut map = to.map("`expect`", value)?;
    let outcome = map.optional(to, "outcome");
    let outcome = outcome.map(|e| to.one_of("`outcome`", &e.value, &OUTCOMES));
    let steps = map.optional(to, "steps");
    let steps = steps.map(|e| steps_of(to, &e.value));
    let order = map.optional(to, "order");
    let order = order.map(|e| list(to, "`order`", &e.value, |to, v| to.string("a step", v)));
    let primary = map.optional(to, "primary");
    let primary = primary.map(|e| to.string("`primary`", &e.value));
    let following = map.optional(to, "following");
    let following = following.map(|e| following_of(to, &e.value));
    let says = map.optional(to, "says");
    let says = says.map(|e| list(to, "`says`", &e.value, |to, v| to.string("a text", v)));
    let gap = map.optional(to, "gap");
    let gap = gap.map(|e| gap_of(to, &e.value));
    map.finish(to);
    Some(Expect {
        outcome: outcome.unwrap_or(Some(Spanned::new(Outcome::Ok, key)))?,
        steps: steps.unwrap_or(Some(Vec::new()))?,
        order: order.unwrap_or(Some(Vec::new()))?,
        primary: primary.map_or(Some(None), |found| found.map(Some))?,
        following: following.unwrap_or(Some(Vec::new()))?,
        says: says.unwrap_or(Some(Vec::new()))?,
        gap: gap.map_or(Some(None), |found| found.map(Some))?,
    })
}

type Statuses = Vec<(Spanned<String>, Spanned<StepStatus>)>;

fn steps_of(to: &mut Lowering<'_>, value: &Spanned<Tree>) -> Option<Statuses> {
    let entries = to.entries("`steps`", value)?;
    let statuses = entries.iter().map(|entry| {
        let status = to.one_of("how a step ends", &entry.value, &STATUSES)?;
        Some((entry.key.clone(), status))
    });
    statuses.collect()
}

fn following_of(
    to: &mut Lowering<'_>,
    value: &Spanned<Tree>,
) -> Option<Vec<(Spanned<String>, Spanned<String>)>> {
    let entries = to.entries("`following`", value)?;
    let pairs = entries.iter().map(|entry| {
        let upstream = to.string("an upstream", &entry.value)?;
        Some((entry.key.clone(), upstream))
    });
    pairs.collect()
}

fn gap_of(to: &mut Lowering<'_>, value: &Spanned<Tree>) -> Option<Spanned<Duration>> {
    let text = to.string("`gap`", value)?;
    let gap = crate::document::parse_duration(&text.value);
    if gap.is_none() {
        let error = to.error("bad-value", text.span, "`gap` is a time with its unit");
        error.help = Some("write it like `500ms`, `2s` or `10m`".to_owned());
    }
    Some(Spanned::new(gap?, text.span))
}
