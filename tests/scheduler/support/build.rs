//! Playbooks in code.

use pgbaton::document::{Source, Span, Spanned};
use pgbaton::playbook::{
    Block, Body, Custom, Defaults, Expression, ForEach, Items, Jitter, Map, MaxFailures, OnFailure,
    Playbook, Retry, Step, StepId, Template, TemplateTree, Value,
};
use std::time::Duration;

pub fn here<T>(value: T) -> Spanned<T> {
    Spanned::new(value, Span::default())
}

pub fn id(text: &str) -> Spanned<StepId> {
    here(StepId::parse(text).expect("an id"))
}

pub fn expression(text: &str) -> Expression {
    Expression::parse(text, Span::default()).expect("an expression")
}

pub fn template(text: &str) -> TemplateTree {
    TemplateTree::Template(Template::parse(text, Span::default()).expect("a template"))
}

pub fn constant(value: impl Into<Value>) -> TemplateTree {
    TemplateTree::Constant(value.into(), Span::default())
}

pub fn map<const N: usize>(fields: [(&str, Value); N]) -> Map {
    fields
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

pub fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A step of the action `work`.
pub fn step(name: &str) -> Step {
    acting(name, "work")
}

/// A step of this action.
pub fn acting(name: &str, action: &str) -> Step {
    with_body(
        name,
        Body::Action {
            name: here(action.to_owned()),
            node: None,
            with: Vec::new(),
            custom: Custom::default(),
        },
    )
}

/// A step that nests this playbook.
pub fn nesting(name: &str, playbook: &str) -> Step {
    with_body(
        name,
        Body::Playbook {
            name: here(playbook.to_owned()),
            with: Vec::new(),
        },
    )
}

fn with_body(name: &str, body: Body) -> Step {
    Step {
        id: id(name),
        needs: Vec::new(),
        when: None,
        for_each: None,
        body,
        timeout: None,
        retry: None,
        until: None,
        on_failure: here(OnFailure::Fail),
        rescue: None,
        sealed: false,
        disabled: None,
    }
}

/// What a test says about a step.
pub trait StepSays: Sized {
    fn needs(self, needs: &[&str]) -> Self;
    fn when(self, condition: &str) -> Self;
    fn until(self, condition: &str) -> Self;
    fn timeout(self, limit: Duration) -> Self;
    fn retry(self, retry: Retry) -> Self;
    fn on_failure(self, on_failure: OnFailure) -> Self;
    fn rescue(self, steps: Vec<Step>) -> Self;
    fn rescue_block(self, block: Block) -> Self;
    fn each(self, items: &[&str]) -> Self;
    fn for_each(self, each: ForEach) -> Self;
    fn with(self, name: &str, value: TemplateTree) -> Self;
    fn node(self, node: TemplateTree) -> Self;
}

impl StepSays for Step {
    fn needs(mut self, needs: &[&str]) -> Self {
        self.needs = needs.iter().map(|need| id(need)).collect();
        self
    }
    fn when(mut self, condition: &str) -> Self {
        self.when = Some(expression(condition));
        self
    }
    fn until(mut self, condition: &str) -> Self {
        self.until = Some(expression(condition));
        self
    }
    fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(here(limit));
        self
    }
    fn retry(mut self, retry: Retry) -> Self {
        self.retry = Some(retry);
        self
    }
    fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.on_failure = here(on_failure);
        self
    }
    fn rescue(self, steps: Vec<Step>) -> Self {
        self.rescue_block(block(steps))
    }
    fn rescue_block(mut self, block: Block) -> Self {
        self.rescue = Some(block);
        self
    }
    fn each(self, items: &[&str]) -> Self {
        self.for_each(over(items))
    }
    fn for_each(mut self, each: ForEach) -> Self {
        self.for_each = Some(each);
        self
    }
    fn with(mut self, key: &str, value: TemplateTree) -> Self {
        match &mut self.body {
            Body::Action { with, .. } | Body::Playbook { with, .. } => {
                with.push((here(key.to_owned()), value));
            }
        }
        self
    }
    fn node(mut self, value: TemplateTree) -> Self {
        if let Body::Action { node, .. } = &mut self.body {
            *node = Some(value);
        }
        self
    }
}

pub fn over(items: &[&str]) -> ForEach {
    ForEach {
        span: Span::default(),
        items: Items::List(constant(items.to_vec())),
        key: None,
        max_parallel: None,
        max_failures: MaxFailures::Count(0),
    }
}

pub fn block(steps: Vec<Step>) -> Block {
    Block {
        steps,
        ..Block::default()
    }
}

/// Attempts in total, a second apart.
pub fn attempts(attempts: u32) -> Retry {
    Retry {
        attempts: Some(attempts),
        within: None,
        delay: secs(1),
        factor_thousandths: 1000,
        max_delay: None,
        jitter: Jitter::None,
        condition: None,
    }
}

/// A playbook of these steps.
pub fn playbook(steps: Vec<Step>) -> Playbook {
    named("test", steps)
}

pub fn named(name: &str, steps: Vec<Step>) -> Playbook {
    Playbook {
        source: Source::new("test.yaml", ""),
        name: here(name.to_owned()),
        version: None,
        summary: None,
        waivers: Vec::new(),
        params: Vec::new(),
        timeout: None,
        defaults: Defaults::default(),
        steps: block(steps),
        rescue: None,
        finally: None,
        outputs: Vec::new(),
    }
}
