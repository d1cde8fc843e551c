//! What expressions and templates of a scope see.

use super::scope::{Run, Scope};
use super::state::RunState;
use super::{Failure, StepStatus};
use crate::playbook::{Body, Map, Names, Step, Value};

/// What is the same for every scope of a run: `site`, `cluster`, `run`, `trigger`.
pub(super) struct Base {
    pub(super) site: Value,
    pub(super) cluster: Value,
    pub(super) run: Value,
    pub(super) trigger: Value,
}

impl Names for Base {
    fn lookup(&self, path: &[&str]) -> Option<Value> {
        let (first, rest) = path.split_first()?;
        let root = match *first {
            "site" => &self.site,
            "cluster" => &self.cluster,
            "run" => &self.run,
            "trigger" => &self.trigger,
            _ => return None,
        };
        root.lookup(rest)
    }
}

/// The names of a scope, and of a moment in it.
#[derive(Clone, Copy)]
pub(super) struct ScopeNames<'s> {
    pub(super) run: &'s Run<'s>,
    pub(super) scope: &'s Scope<'s>,
    pub(super) item: Option<&'s Value>,
    pub(super) result: Option<&'s Map>,
    pub(super) error: Option<&'s Map>,
}

impl<'s> ScopeNames<'s> {
    pub(super) fn of(run: &'s Run<'s>, scope: &'s Scope<'s>) -> Self {
        Self {
            run,
            scope,
            item: scope.item,
            result: None,
            error: scope.error.as_ref(),
        }
    }

    /// The step of this id and its scope: of this scope, or of the scopes around it in the same playbook.
    fn find(&self, id: &str) -> Option<(&'s Scope<'s>, &'s Step)> {
        let mut here = Some(self.scope);
        while let Some(scope) = here {
            if let Some(step) = scope.step(id) {
                return Some((scope, step));
            }
            here = scope.outer;
        }
        None
    }

    fn all_steps(&self) -> Value {
        let mut all = Map::new();
        let mut here = Some(self.scope);
        while let Some(scope) = here {
            for step in &scope.block.steps {
                let id = step.id.value.as_str();
                all.entry(id.to_owned())
                    .or_insert_with(|| self.step(scope, step));
            }
            here = scope.outer;
        }
        Value::Map(all)
    }

    fn step(&self, scope: &Scope<'_>, step: &Step) -> Value {
        let path = scope.path.step(step.id.value.as_str());
        let mut fields = self.fields(step, &path.0);
        if step.for_each.is_some() {
            let keys = self
                .run
                .shared
                .read(|state| state.step(&path.0).and_then(|s| s.items.clone()));
            let items = keys
                .unwrap_or_default()
                .into_iter()
                .map(|key| {
                    let fields = self.fields(step, &path.item(&key).0);
                    (key, Value::Map(fields))
                })
                .collect();
            fields.insert("items".to_owned(), Value::Map(items));
        }
        Value::Map(fields)
    }

    /// The status and outputs of one step or item; what it declares and has not given is null.
    fn fields(&self, step: &Step, path: &str) -> Map {
        let mut absent = Value::Null;
        let mut fields = self.run.shared.read(|state| {
            let mut fields = Map::new();
            let status = match state.step(path) {
                Some(found) => {
                    fields.clone_from(&found.outputs);
                    found.status
                }
                None => StepStatus::Pending,
            };
            if status == StepStatus::MayRun {
                absent = Value::Unknown;
            }
            fields.insert("status".to_owned(), status_value(status));
            fields
        });
        for name in self.declared(step) {
            fields.entry(name).or_insert_with(|| absent.clone());
        }
        fields
    }

    /// What is at `rest` in one of [`Self::fields`], without building the others.
    fn output(&self, step: &Step, path: &str, name: &str, rest: &[&str]) -> Option<Value> {
        let (status, found) = self.run.shared.read(|state| match state.step(path) {
            Some(step) => {
                let output = step.outputs.get(name);
                (step.status, output.map(|output| output.lookup(rest)))
            }
            None => (StepStatus::Pending, None),
        });
        if name == "status" {
            return status_value(status).lookup(rest);
        }
        found.unwrap_or_else(|| {
            let absent = match status {
                StepStatus::MayRun => Value::Unknown,
                _ => Value::Null,
            };
            self.declares(step, name)
                .then_some(absent)
                .and_then(|absent| absent.lookup(rest))
        })
    }

    fn declares(&self, step: &Step, output: &str) -> bool {
        match &step.body {
            Body::Action { name, .. } => self.run.actions.find(&name.value).is_some_and(|action| {
                let outputs = &action.signature().outputs;
                outputs.iter().any(|field| field.name == output)
            }),
            Body::Playbook { name, .. } => {
                let playbook = self.run.playbooks.get(&name.value);
                playbook.is_some_and(|playbook| {
                    playbook
                        .outputs
                        .iter()
                        .any(|(name, _)| name.value == output)
                })
            }
        }
    }

    fn declared(&self, step: &Step) -> Vec<String> {
        match &step.body {
            Body::Action { name, .. } => {
                self.run
                    .actions
                    .find(&name.value)
                    .map_or_else(Vec::new, |action| {
                        let outputs = &action.signature().outputs;
                        outputs.iter().map(|f| f.name.to_owned()).collect()
                    })
            }
            Body::Playbook { name, .. } => {
                self.run
                    .playbooks
                    .get(&name.value)
                    .map_or_else(Vec::new, |playbook| {
                        let outputs = playbook.outputs.iter();
                        outputs.map(|(name, _)| name.value.clone()).collect()
                    })
            }
        }
    }
}

impl Names for ScopeNames<'_> {
    fn lookup(&self, path: &[&str]) -> Option<Value> {
        match path {
            ["steps"] => Some(self.all_steps()),
            // The two that conditions ask for most, without building anything else.
            ["steps", id, "status"] => {
                let (scope, step) = self.find(id)?;
                let path = scope.path.step(step.id.value.as_str());
                let status = self.run.shared.read(|state| {
                    state
                        .step(&path.0)
                        .map_or(StepStatus::Pending, |s| s.status)
                });
                Some(status_value(status))
            }
            ["steps", id, "items", key, rest @ ..] => {
                let (scope, step) = self.find(id)?;
                step.for_each.as_ref()?;
                let path = scope.path.step(step.id.value.as_str()).item(key);
                self.run
                    .shared
                    .read(|state| state.step(&path.0).map(|_| ()))?;
                match rest {
                    [output, rest @ ..] => self.output(step, &path.0, output, rest),
                    [] => Some(Value::Map(self.fields(step, &path.0))),
                }
            }
            ["steps", id, output, rest @ ..] if *output != "items" => {
                let (scope, step) = self.find(id)?;
                let path = scope.path.step(step.id.value.as_str());
                self.output(step, &path.0, output, rest)
            }
            ["steps", id, rest @ ..] => {
                let (scope, step) = self.find(id)?;
                self.step(scope, step).lookup(rest)
            }
            ["params", name] => self.scope.params.get(*name).cloned(),
            ["params", name, rest @ ..] => self.scope.params.get(*name)?.lookup(rest),
            ["params"] => Some(Value::Map((*self.scope.params).clone())),
            ["item", rest @ ..] => self.item?.lookup(rest),
            // The only one of the run's that changes.
            ["run", "passed"] => {
                let passed = |state: &RunState| state.point_of_no_return().is_some();
                Some(Value::from(self.run.shared.read(passed)))
            }
            ["result"] => Some(Value::Map(self.result?.clone())),
            ["result", name, rest @ ..] => self.result?.get(*name)?.lookup(rest),
            ["error"] => Some(Value::Map(self.error?.clone())),
            ["error", name] => self.error?.get(*name).cloned(),
            _ => self.run.base.lookup(path),
        }
    }
}

/// A step's status as expressions see it.
fn status_value(status: StepStatus) -> Value {
    match status {
        StepStatus::MayRun => Value::Unknown,
        known => Value::from(known.as_str()),
    }
}

/// `error`, as rescues and `retry.if` see it.
pub(super) fn error_names(step: &str, failure: &Failure) -> Map {
    [
        ("step", Value::from(step)),
        ("kind", Value::from(failure.kind.as_str())),
        ("message", Value::from(failure.message.as_str())),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}
