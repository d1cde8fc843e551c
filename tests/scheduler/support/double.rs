//! Actions that do as told, by the path of their step, and write down what they were asked.

use super::build::map;
use pgbaton::engine::{
    Action, Actions, Applied, Done, EffectOutcome, Evidence, Failure, Forecast, Probe, StepContext,
    Undone,
};
use pgbaton::playbook::{
    EffectClass, Field, Map, NodeRule, Role, Signature, TroubleKind, Type, Value,
};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a probe says.
#[derive(Clone)]
pub enum Says {
    Needed,
    Blind,
    Satisfied,
    Conflict(Failure),
    Unknown(Failure),
    Hang,
    Panic,
}

/// What an `apply` does.
#[derive(Clone)]
pub enum Does {
    /// The effect happens.
    Done(Map),
    /// The effect does not happen.
    Fail(Failure),
    /// The effect is of unknown end.
    Unknown(Failure),
    /// The effect is intended, and then nothing ever comes back.
    Hang,
    /// The effect is intended, then the code breaks.
    Panic,
    /// It says done and never says how the effect ended.
    Forget,
    /// The effect happens, and then `apply` fails.
    DoneThenFail(Failure),
    /// A debt is noted.
    Owe(&'static str),
    /// Nothing is done, and the effect is tried only when the attempt is told to end.
    EffectAfterCancel,
}

/// What a step's action does, attempt by attempt; the last entry stays.
#[derive(Clone)]
pub struct Script {
    pub probes: Vec<Says>,
    pub applies: Vec<Does>,
    pub verifies: Vec<Result<(), Failure>>,
    pub takes: Duration,
    pub undo: Undone,
    pub undo_hangs: bool,
    pub undo_panics: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            probes: vec![Says::Needed],
            applies: vec![Does::Done(Map::new())],
            verifies: vec![Ok(())],
            takes: Duration::ZERO,
            undo: Undone::Done("taken back".to_owned()),
            undo_hangs: false,
            undo_panics: false,
        }
    }
}

pub fn fails(message: &str) -> Script {
    does(vec![Does::Fail(failure(message))])
}

pub fn takes(seconds: u64) -> Script {
    Script {
        takes: Duration::from_secs(seconds),
        ..Script::default()
    }
}

pub fn does(applies: Vec<Does>) -> Script {
    Script {
        applies,
        ..Script::default()
    }
}

pub fn gives<const N: usize>(fields: [(&str, Value); N]) -> Script {
    does(vec![Does::Done(map(fields))])
}

pub fn failure(message: &str) -> Failure {
    Failure::new(TroubleKind::Failed, message)
}

/// What all doubles of a run share.
#[derive(Default)]
pub struct Stage {
    pub scripts: HashMap<String, Script>,
    counts: HashMap<(String, &'static str), usize>,
    /// What was asked, in order: `probe a`, `apply a`, `undo a`, …
    pub log: Vec<String>,
    /// Inputs of every apply, by path.
    pub inputs: HashMap<String, Map>,
    /// What an undo was told that had been done, by path.
    pub told: HashMap<String, Vec<Done>>,
    under_way: usize,
    /// The most applies at once.
    pub most: usize,
    /// Refusals that intents got, by path.
    pub refused: HashMap<String, Failure>,
    /// Contexts that an action kept beyond its attempt.
    pub kept: HashMap<String, StepContext>,
}

/// The actions of a test: `work` (idempotent), `once`, `read`, `promote` (point of no return), `unfreeze`.
#[derive(Clone, Default)]
pub struct Doubles(pub Arc<Mutex<Stage>>);

impl Doubles {
    pub fn stage(&self) -> std::sync::MutexGuard<'_, Stage> {
        self.0.lock().expect("no test panics with it")
    }

    fn script(&self, path: &str) -> Script {
        self.stage().scripts.get(path).cloned().unwrap_or_default()
    }

    /// Which of a list it is the turn of.
    fn turn<T: Clone>(&self, path: &str, what: &'static str, of: &[T]) -> T {
        let mut stage = self.stage();
        let count = stage.counts.entry((path.to_owned(), what)).or_default();
        let entry = of[(*count).min(of.len() - 1)].clone();
        *count += 1;
        entry
    }

    fn log(&self, what: &str, path: &str) {
        self.stage().log.push(format!("{what} {path}"));
    }
}

impl Actions for Doubles {
    fn find(&self, name: &str) -> Option<Arc<dyn Action>> {
        let (name, effect, roles) = match name {
            "work" => ("work", EffectClass::Idempotent, vec![]),
            "once" => ("once", EffectClass::Once, vec![]),
            "read" => ("read", EffectClass::Read, vec![]),
            "promote" => ("promote", EffectClass::Once, vec![Role::PointOfNoReturn]),
            "unfreeze" => ("unfreeze", EffectClass::Idempotent, vec![Role::Unfreeze]),
            _ => return None,
        };
        Some(Arc::new(Double {
            doubles: self.clone(),
            signature: Signature {
                name,
                summary: "Does as told.",
                node: NodeRule::Optional,
                inputs: vec![
                    Field::optional("pause", Type::Duration, "a span of time"),
                    Field::optional("size", Type::Bytes, "a size"),
                ],
                outputs: vec![Field::optional("value", Type::Integer, "a number")],
                effect: Some(effect),
                roles,
                timeout: Duration::from_mins(1),
            },
        }))
    }
}

struct Double {
    doubles: Doubles,
    signature: Signature,
}

struct UnderWay(Doubles);

impl UnderWay {
    fn begin(doubles: &Doubles) -> Self {
        let mut stage = doubles.stage();
        stage.under_way += 1;
        stage.most = stage.most.max(stage.under_way);
        Self(doubles.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.stage().under_way -= 1;
    }
}

/// Panics without the message on the terminal.
fn broke(what: &'static str) -> ! {
    std::panic::resume_unwind(Box::new(what))
}

async fn forever() {
    std::future::pending::<()>().await;
}

#[async_trait::async_trait]
impl Action for Double {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    async fn probe(&self, step: &StepContext) -> Probe {
        let path = step.path.to_string();
        self.doubles.log("probe", &path);
        let script = self.doubles.script(&path);
        match self.doubles.turn(&path, "probe", &script.probes) {
            Says::Needed => Probe::Needed("not there yet".to_owned()),
            Says::Blind => Probe::Blind("nothing to look at".to_owned()),
            Says::Satisfied => Probe::Satisfied(map([("value", 42.into())]), "there".to_owned()),
            Says::Conflict(failure) => Probe::Conflict(failure),
            Says::Unknown(failure) => Probe::Unknown(failure),
            Says::Hang => {
                forever().await;
                Probe::Needed(String::new())
            }
            Says::Panic => broke("the probe broke"),
        }
    }

    async fn plan(&self, step: &StepContext) -> Vec<Forecast> {
        vec![forecast(&step.path.to_string())]
    }

    async fn apply(&self, step: &StepContext) -> Applied {
        let path = step.path.to_string();
        self.doubles.log("apply", &path);
        {
            let mut stage = self.doubles.stage();
            stage.inputs.insert(path.clone(), step.inputs.with.clone());
            stage.kept.insert(path.clone(), step.clone());
        }
        let _under_way = UnderWay::begin(&self.doubles);
        let script = self.doubles.script(&path);
        let turn = self.doubles.turn(&path, "apply", &script.applies);
        if let Does::EffectAfterCancel = turn {
            step.cancel.cancelled().await;
        }
        let no_return = self.signature.has_role(Role::PointOfNoReturn);
        let mut effect = None;
        if self.signature.effect != Some(EffectClass::Read) {
            let intended = step.effects.intend(&step.path, forecast(&path), no_return);
            match intended.await {
                Ok(intent) => effect = Some(intent.effect),
                Err(failure) => {
                    self.doubles.stage().refused.insert(path, failure.clone());
                    return Applied::Failed(failure);
                }
            }
        }
        tokio::time::sleep(script.takes).await;
        let settle = async |outcome| {
            if let Some(effect) = effect {
                step.effects.settle(&step.path, effect, outcome).await;
            }
        };
        let happened = EffectOutcome::Done(serde_json::json!({ "by": path }));
        match turn {
            Does::Done(outputs) => {
                settle(happened).await;
                Applied::Done(outputs)
            }
            Does::EffectAfterCancel => {
                settle(happened).await;
                Applied::Done(Map::new())
            }
            Does::DoneThenFail(failure) => {
                settle(happened).await;
                Applied::Failed(failure)
            }
            Does::Fail(failure) => {
                settle(EffectOutcome::Failed(failure.clone())).await;
                Applied::Failed(failure)
            }
            Does::Unknown(failure) => {
                settle(EffectOutcome::Unknown(failure.clone())).await;
                Applied::Unknown(failure)
            }
            Does::Hang => {
                forever().await;
                Applied::Done(Map::new())
            }
            Does::Panic => broke("the apply broke"),
            Does::Forget => Applied::Done(Map::new()),
            Does::Owe(text) => {
                settle(happened).await;
                let evidence = Evidence {
                    topic: "debt".to_owned(),
                    text: text.to_owned(),
                    data: serde_json::Value::Null,
                };
                step.effects.note(&step.path, evidence).await;
                Applied::Done(Map::new())
            }
        }
    }

    async fn verify(&self, step: &StepContext, outputs: Map) -> Result<Map, Failure> {
        let path = step.path.to_string();
        self.doubles.log("verify", &path);
        let script = self.doubles.script(&path);
        let verdict = self.doubles.turn(&path, "verify", &script.verifies);
        verdict.map(|()| outputs)
    }

    async fn undo(&self, step: &StepContext, done: &[Done]) -> Undone {
        let path = step.path.to_string();
        self.doubles.log("undo", &path);
        self.doubles
            .stage()
            .told
            .insert(path.clone(), done.to_vec());
        let script = self.doubles.script(&path);
        if script.undo_panics {
            broke("the undo broke");
        }
        let intended = step
            .effects
            .intend(&step.path, forecast(&format!("undo of {path}")), false);
        let effect = match intended.await {
            Ok(intent) => intent.effect,
            Err(failure) => return Undone::Failed(failure.message),
        };
        if script.undo_hangs {
            forever().await;
        }
        let happened = EffectOutcome::Done(serde_json::Value::Null);
        step.effects.settle(&step.path, effect, happened).await;
        script.undo
    }
}

fn forecast(path: &str) -> Forecast {
    Forecast {
        summary: format!("change {path}"),
        rendered: vec![format!("CHANGE {path};")],
        operation: serde_json::json!({ "change": path }),
    }
}
