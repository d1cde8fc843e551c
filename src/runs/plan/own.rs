//! A site's own steps in a preview: shown, not executed.
//!
//! What only reads is really read, as long as nothing that comes before it has had an effect, for until then the live
//! cluster is what the run would find. After that `assume` answers; where it says nothing, the outputs are unknown.
//! A request is never sent.

use super::ancestors::precedes;
use super::outside::Taken;
use crate::actions::LiveActions;
use crate::cluster::Cluster;
use crate::engine::{
    Action, Actions, Applied, Done, EffectOutcome, Event, Evidence, Failure, Forecast, Probe,
    StepContext, Undone,
};
use crate::journal::MemoryRecorder;
use crate::playbook::{Checked, EffectClass, Map, Signature, TroubleKind, Value};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The topic of notes that only say how an own step's outputs came about.
pub(super) const TOPIC: &str = "preview";

/// What a preview knows besides the simulated cluster.
pub(super) struct Around {
    /// The live cluster's actions, and the runtime that drives its connections.
    pub(super) live: Arc<LiveActions>,
    pub(super) runtime: Handle,
    pub(super) playbook: Checked,
    /// What has happened so far.
    pub(super) recorder: MemoryRecorder,
    pub(super) taken: Taken,
}

/// All actions on the simulated cluster, with those of the site's own replaced.
pub(super) struct PreviewActions {
    simulated: LiveActions,
    around: Arc<Around>,
}

impl PreviewActions {
    pub(super) fn new(cluster: &Arc<dyn Cluster>, around: Around) -> Self {
        Self {
            simulated: LiveActions::new(cluster),
            around: Arc::new(around),
        }
    }
}

impl Actions for PreviewActions {
    fn find(&self, name: &str) -> Option<Arc<dyn Action>> {
        let simulated = self.simulated.find(name)?;
        if !matches!(name, "exec" | "sql" | "http") {
            return Some(simulated);
        }
        Some(Arc::new(Own {
            simulated,
            live: self.around.live.find(name).filter(|_| name != "http"),
            around: Arc::clone(&self.around),
        }))
    }
}

/// An own step in a preview.
struct Own {
    simulated: Arc<dyn Action>,
    /// The same on the live cluster; none for what is never sent.
    live: Option<Arc<dyn Action>>,
    around: Arc<Around>,
}

impl Own {
    /// The live action, where what it reads is still what the run would find.
    fn askable(&self, step: &StepContext) -> Option<Arc<dyn Action>> {
        let live = self.live.as_ref()?;
        let events = self.around.recorder.events(&step.run);
        let changed = events.iter().any(|envelope| match &envelope.event {
            Event::EffectIntended { path, .. } => precedes(&self.around.playbook, path, &step.path),
            _ => false,
        });
        (!changed).then(|| Arc::clone(live))
    }

    /// What the step gives as far as it can be known, and how that came about.
    async fn foreseen(&self, step: &StepContext) -> Map {
        let assumed = step.inputs.assume.clone();
        let (kind, text) = match assumed {
            Some(_) => ("assumed", "its outputs are what `assume` says"),
            None => ("unknown", "its outputs are not known before the run"),
        };
        note(step, kind, text).await;
        let mut outputs = assumed.unwrap_or_default();
        for field in &self.signature().outputs {
            outputs
                .entry(field.name.to_owned())
                .or_insert(Value::Unknown);
        }
        outputs
    }

    /// Intends what the step would do, as a run would, and does nothing.
    async fn shown(&self, step: &StepContext) -> Result<(), Failure> {
        let plan = self.simulated.plan(step).await;
        if plan.is_empty() {
            let why = "nothing can be executed with these inputs";
            return Err(Failure::new(TroubleKind::Failed, why));
        }
        for forecast in plan {
            let intent = step.effects.intend(&step.path, forecast, false).await?;
            let done = EffectOutcome::Done(serde_json::Value::Null);
            step.effects.settle(&step.path, intent.effect, done).await;
        }
        self.around.taken.suppose(
            step.path.to_string(),
            "it is taken to succeed; it is not executed".to_owned(),
        );
        Ok(())
    }
}

#[async_trait]
impl Action for Own {
    fn signature(&self) -> &Signature {
        self.simulated.signature()
    }

    async fn probe(&self, step: &StepContext) -> Probe {
        if step.inputs.probe.is_none() {
            return Probe::Blind("it has no probe".to_owned());
        }
        let Some(live) = self.askable(step) else {
            let why = "its probe can be asked only in the run: what comes before it has an effect";
            let never = "its probe is a request, and a preview sends none";
            let why = if self.live.is_some() { why } else { never };
            return Probe::Blind(why.to_owned());
        };
        let asked = self.ask(step, move |step| async move { live.probe(&step).await });
        asked.unwrap_or_else(Probe::Unknown)
    }

    async fn plan(&self, step: &StepContext) -> Vec<Forecast> {
        self.simulated.plan(step).await
    }

    async fn apply(&self, step: &StepContext) -> Applied {
        if step.inputs.effect != Some(EffectClass::Read) {
            if let Err(failure) = self.shown(step).await {
                return Applied::Failed(failure);
            }
            return Applied::Done(self.foreseen(step).await);
        }
        let Some(live) = self.askable(step) else {
            return Applied::Done(self.foreseen(step).await);
        };
        note(step, "read", "it was really read, just now").await;
        let asked = self.ask(step, move |step| async move { live.apply(&step).await });
        asked.unwrap_or_else(Applied::Failed)
    }

    async fn verify(&self, _step: &StepContext, outputs: Map) -> Result<Map, Failure> {
        // The goal is reached in the simulation alone; there is nobody to ask.
        Ok(outputs)
    }

    async fn undo(&self, step: &StepContext, done: &[Done]) -> Undone {
        self.simulated.undo(step, done).await
    }
}

impl Own {
    /// Asks the live cluster, on the runtime that drives its connections. This thread waits without a turn of its own
    /// runtime: its clock would otherwise run ahead of the answer.
    fn ask<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        step: &StepContext,
        question: impl FnOnce(StepContext) -> F + Send + 'static,
    ) -> Result<T, Failure> {
        let limit = step.limit;
        let step = step.clone();
        let (told, answer) = std::sync::mpsc::channel();
        self.around.runtime.spawn(async move {
            // The deadline was told by the paused clock.
            let step = StepContext {
                deadline: Instant::now() + limit,
                cancel: CancellationToken::new(),
                ..step
            };
            let answer = tokio::time::timeout(limit, question(step)).await;
            let _ = told.send(answer);
        });
        // Beyond its limit by a moment, so that the answer's own time-out is the one that is told.
        match answer.recv_timeout(limit + Duration::from_secs(1)) {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Err(Failure::new(
                TroubleKind::Timeout,
                format!("the live cluster did not answer within {limit:?}"),
            )),
        }
    }
}

async fn note(step: &StepContext, kind: &str, text: &str) {
    let evidence = Evidence {
        topic: TOPIC.to_owned(),
        text: text.to_owned(),
        data: serde_json::json!({ "outputs": kind }),
    };
    step.effects.note(&step.path, evidence).await;
}
