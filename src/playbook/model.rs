//! A playbook as data, after loading. Spans stay, so that later checks can point at the place.

use super::{Expression, TemplateTree, Type, Value};
use crate::cluster::CustomEffect;
use crate::document::{Source, Span, Spanned};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// The id of a step: the key under `steps`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(pub(super) String);

impl StepId {
    /// `[a-z][a-z0-9_]*` and no word of CEL.
    pub fn parse(text: &str) -> Option<Self> {
        const RESERVED: [&str; 24] = [
            "true",
            "false",
            "null",
            "in",
            "as",
            "break",
            "const",
            "continue",
            "else",
            "for",
            "function",
            "if",
            "import",
            "let",
            "loop",
            "package",
            "namespace",
            "return",
            "var",
            "void",
            "while",
            "and",
            "or",
            "not",
        ];
        let good = text.starts_with(|c: char| c.is_ascii_lowercase())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            && !RESERVED.contains(&text);
        good.then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A playbook.
#[derive(Debug, Clone, PartialEq)]
pub struct Playbook {
    /// Where it was written.
    pub source: Source,
    /// Its name.
    pub name: Spanned<String>,
    /// Its version, `MAJOR.MINOR.PATCH`.
    pub version: Option<Spanned<String>>,
    /// One sentence.
    pub summary: Option<String>,
    /// Safety rules that it breaks knowingly.
    pub waivers: Vec<Waiver>,
    /// Parameters, in source order.
    pub params: Vec<Param>,
    /// The budget of the steps at the top level.
    pub timeout: Option<Spanned<Duration>>,
    /// What steps get that do not say otherwise.
    pub defaults: Defaults,
    /// The steps.
    pub steps: Block,
    /// What to do when they fail.
    pub rescue: Option<Block>,
    /// What to do in the end, always.
    pub finally: Option<Block>,
    /// Outputs of the whole run.
    pub outputs: Vec<(Spanned<String>, Expression)>,
}

/// A safety rule that a playbook breaks knowingly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiver {
    /// The rule, like `PB004`.
    pub code: Spanned<String>,
    /// Why, in the words of the site.
    pub reason: String,
}

/// Defaults for all steps of a playbook.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Defaults {
    /// `timeout` of an attempt, where the step says nothing; otherwise the action's own default.
    pub timeout: Option<Duration>,
    /// `retry`, where the step says nothing.
    pub retry: Option<Retry>,
    /// How many steps and items may run at once in a scope; unbounded when absent.
    pub max_parallel: Option<usize>,
}

/// A parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// Its name.
    pub name: Spanned<String>,
    /// Its type.
    pub ty: Type,
    /// A run must give it.
    pub required: bool,
    /// What it is when not given: a constant, or a template over `site.vars` and `cluster`. Null when absent.
    pub default: Option<TemplateTree>,
    /// Allowed values.
    pub allowed: Option<Vec<Value>>,
    /// For people.
    pub help: Option<String>,
    /// Runs may not set it.
    pub sealed: bool,
}

/// A set of steps with a budget: the top level, a rescue, the finally.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Block {
    /// Where the key stands.
    pub span: Span,
    /// A budget of its own; two minutes for a rescue or finally that says nothing.
    pub timeout: Option<Duration>,
    /// The steps, in source order.
    pub steps: Vec<Step>,
    /// What a rescue puts in place of its step's outputs.
    pub outputs: Vec<(Spanned<String>, Expression)>,
}

impl Block {
    /// The step of this id.
    pub fn step(&self, id: &str) -> Option<&Step> {
        self.steps.iter().find(|s| s.id.value.as_str() == id)
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Its id.
    pub id: Spanned<StepId>,
    /// What must have ended before.
    pub needs: Vec<Spanned<StepId>>,
    /// Whether to run at all.
    pub when: Option<Expression>,
    /// Once for each of these.
    pub for_each: Option<ForEach>,
    /// What it does.
    pub body: Body,
    /// The limit of one attempt (of the whole child, for a nested playbook).
    pub timeout: Option<Spanned<Duration>>,
    /// What to do after a failed attempt.
    pub retry: Option<Retry>,
    /// A condition on `result` that an attempt must meet.
    pub until: Option<Expression>,
    /// What its failure means for the run.
    pub on_failure: Spanned<OnFailure>,
    /// What to do when it has failed for good.
    pub rescue: Option<Block>,
    /// It is switched off, and why: it counts as skipped.
    pub disabled: Option<Spanned<String>>,
    /// Overlays may not touch it.
    pub sealed: bool,
}

/// Inputs by name, in the order of the file.
pub type Fields = Vec<(Spanned<String>, TemplateTree)>;

/// What a step does.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every step is an action, and there are few steps"
)]
pub enum Body {
    /// An action of the catalog.
    Action {
        /// Its name.
        name: Spanned<String>,
        /// The node it is for.
        node: Option<TemplateTree>,
        /// Its inputs, by name.
        with: Fields,
        /// What `exec`, `sql` and `http` say about themselves.
        custom: Custom,
    },
    /// Another playbook, as a scope of the same run.
    Playbook {
        /// Its name.
        name: Spanned<String>,
        /// Its parameters.
        with: Fields,
    },
}

/// What own steps say about themselves.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Custom {
    /// What doing it twice would mean.
    pub effect: Option<Spanned<CustomEffect>>,
    /// Inputs of the same action that tell whether it is done already (exit 0, a first column that is true, status 2xx).
    pub probe: Option<Spanned<Fields>>,
    /// Inputs of the same action that take it back.
    pub undo: Option<Spanned<Fields>>,
    /// What a preview is to expect as outputs.
    pub assume: Option<Spanned<Fields>>,
}

/// Once for each item.
#[derive(Debug, Clone, PartialEq)]
pub struct ForEach {
    /// Where `for_each` stands.
    pub span: Span,
    /// What to go over.
    pub items: Items,
    /// The identity of an item, an expression over `item`; the item itself when absent.
    pub key: Option<Expression>,
    /// How many at once; all when absent.
    pub max_parallel: Option<usize>,
    /// How many may fail.
    pub max_failures: MaxFailures,
}

/// What a `for_each` goes over.
#[derive(Debug, Clone, PartialEq)]
pub enum Items {
    /// A CEL expression that gives a list.
    Expression(Expression),
    /// A list in the playbook.
    List(TemplateTree),
}

/// How many items may fail before nothing new starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MaxFailures {
    /// A number.
    Count(usize),
    /// A percentage of all items, 0 to 100; rounded down.
    Percent(u8),
}

impl MaxFailures {
    /// No item may fail, however many there are.
    pub fn is_none(self) -> bool {
        matches!(self, Self::Count(0) | Self::Percent(0))
    }

    /// How many of `total` may fail.
    pub fn allowed(self, total: usize) -> usize {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => total * usize::from(percent) / 100,
        }
    }
}

/// What a step's failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// The run fails.
    #[default]
    Fail,
    /// What needs the step goes on; the run ends degraded.
    Degrade,
    /// What needs the step goes on; the run may still end ok.
    Continue,
}

/// When and how to try again. Without `attempts` and without `within`, three attempts.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// Attempts in total.
    pub attempts: Option<u32>,
    /// A limit over all attempts and waits.
    pub within: Option<Duration>,
    /// The first wait; 1 s when absent.
    pub delay: Duration,
    /// What the wait is multiplied with each time; 1 when absent. In thousandths, so that it can be compared.
    pub factor_thousandths: u32,
    /// The longest wait.
    pub max_delay: Option<Duration>,
    /// Whether the wait is random between nothing and its length.
    pub jitter: Jitter,
    /// Which failures are worth it, an expression over `error`; when absent all kinds but `conflict` and `denied`.
    pub condition: Option<Expression>,
}

/// Randomness of waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Jitter {
    /// The full wait.
    #[default]
    None,
    /// Between nothing and the full wait, evenly, from the run's seed.
    Full,
}

impl Playbook {
    /// The parameter of this name.
    pub fn param(&self, name: &str) -> Option<&Param> {
        self.params.iter().find(|p| p.name.value == name)
    }

    /// Every step of the playbook, also those in rescues and the finally, outermost first.
    pub fn all_steps(&self) -> Vec<&Step> {
        fn collect<'a>(block: &'a Block, found: &mut Vec<&'a Step>) {
            for step in &block.steps {
                found.push(step);
                if let Some(rescue) = &step.rescue {
                    collect(rescue, found);
                }
            }
        }
        let mut found = Vec::new();
        collect(&self.steps, &mut found);
        for block in [&self.rescue, &self.finally].into_iter().flatten() {
            collect(block, &mut found);
        }
        found
    }
}
