//! What an action works with, and the frame that makes it an engine's action.

use super::guard::Guard;
use crate::cluster::{Cluster, Inventory, NodeName, Operation, Server, Trouble};
use crate::engine::{
    Action, Applied, Done, Evidence, Failure, Forecast, Probe, StepContext, Undone,
};
use crate::playbook::{Map, Signature, TroubleKind, Value};
use async_trait::async_trait;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// One attempt of a step at work on a cluster.
pub(super) struct Scene<'a> {
    pub(super) cluster: &'a dyn Cluster,
    pub(super) step: &'a StepContext,
}

/// An action as this room writes it: failures travel with `?`.
#[async_trait]
pub(super) trait Deed: Send + Sync + 'static {
    /// Its contract.
    fn signature() -> Signature
    where
        Self: Sized;

    /// Is the goal reached? Read only. An error of kind `conflict` is a conflict, any other is unknown.
    async fn probe(&self, scene: &Scene<'_>) -> Result<Probe, Failure>;

    /// The operations that `apply` expects to perform.
    async fn plan(&self, _scene: &Scene<'_>) -> Result<Vec<Operation>, Failure> {
        Ok(Vec::new())
    }

    /// Does it. An error of kind `unknown` means that nobody can tell.
    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure>;

    /// Independent evidence. Gives the final outputs.
    async fn verify(&self, _scene: &Scene<'_>, outputs: Map) -> Result<Map, Failure> {
        Ok(outputs)
    }

    /// Takes back what was done.
    async fn undo(&self, _scene: &Scene<'_>, _done: &[Done]) -> Result<Undone, Failure> {
        Ok(Undone::Nothing)
    }
}

/// A deed bound to a cluster.
pub(super) struct Bound<D> {
    deed: D,
    signature: &'static Signature,
    cluster: Arc<dyn Cluster>,
}

impl<D: Deed> Bound<D> {
    pub(super) fn new(deed: D, signature: &'static Signature, cluster: Arc<dyn Cluster>) -> Self {
        Self {
            deed,
            signature,
            cluster,
        }
    }

    fn scene<'a>(&'a self, step: &'a StepContext) -> Scene<'a> {
        Scene {
            cluster: self.cluster.as_ref(),
            step,
        }
    }
}

#[async_trait]
impl<D: Deed> Action for Bound<D> {
    fn signature(&self) -> &Signature {
        self.signature
    }

    async fn probe(&self, step: &StepContext) -> Probe {
        match self.deed.probe(&self.scene(step)).await {
            Ok(probe) => probe,
            Err(failure)
                if failure.kind == TroubleKind::Conflict || failure.kind == TroubleKind::Denied =>
            {
                Probe::Conflict(failure)
            }
            Err(failure) => Probe::Unknown(failure),
        }
    }

    async fn plan(&self, step: &StepContext) -> Vec<Forecast> {
        let scene = self.scene(step);
        let operations = self.deed.plan(&scene).await.unwrap_or_default();
        operations
            .iter()
            .map(|operation| scene.guard().forecast(operation))
            .collect()
    }

    async fn apply(&self, step: &StepContext) -> Applied {
        match self.deed.apply(&self.scene(step)).await {
            Ok(outputs) => Applied::Done(outputs),
            Err(failure) if failure.kind == TroubleKind::Unknown => Applied::Unknown(failure),
            Err(failure) => Applied::Failed(failure),
        }
    }

    async fn verify(&self, step: &StepContext, outputs: Map) -> Result<Map, Failure> {
        self.deed.verify(&self.scene(step), outputs).await
    }

    async fn undo(&self, step: &StepContext, done: &[Done]) -> Undone {
        match self.deed.undo(&self.scene(step), done).await {
            Ok(undone) => undone,
            Err(failure) => Undone::Failed(match failure.help {
                Some(help) => format!("{}; {help}", failure.message),
                None => failure.message,
            }),
        }
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        let failure = Failure::new(trouble.kind, trouble.to_string());
        match trouble.help {
            Some(help) => failure.with_help(help),
            None => failure,
        }
    }
}

impl Scene<'_> {
    pub(super) fn guard(&self) -> Guard<'_> {
        Guard {
            cluster: self.cluster,
            step: self.step,
        }
    }

    /// Does it, through the guard: recorded before and after.
    pub(super) async fn perform(&self, operation: Operation) -> Result<serde_json::Value, Failure> {
        self.guard().perform(operation, false).await
    }

    pub(super) fn inventory(&self) -> &Inventory {
        self.cluster.inventory()
    }

    /// The step's node; the checker has seen to it that there is one.
    pub(super) fn node(&self) -> Result<NodeName, Failure> {
        match &self.step.inputs.node {
            Some(name) => self.known(name),
            None => Err(Failure::new(TroubleKind::Failed, "the step names no node")),
        }
    }

    /// An input that is a node.
    pub(super) fn node_input(&self, name: &str) -> Result<Option<NodeName>, Failure> {
        self.text(name).map(|text| self.known(text)).transpose()
    }

    /// An input that is a node and must be given.
    pub(super) fn required_node(&self, name: &str) -> Result<NodeName, Failure> {
        self.node_input(name)?.ok_or_else(|| {
            Failure::new(
                TroubleKind::Failed,
                format!("the input `{name}` is not given"),
            )
        })
    }

    /// An input that is a list of nodes.
    pub(super) fn nodes_input(&self, name: &str) -> Result<Vec<NodeName>, Failure> {
        self.texts(name)
            .iter()
            .map(|text| self.known(text))
            .collect()
    }

    fn known(&self, name: &str) -> Result<NodeName, Failure> {
        self.inventory()
            .nodes
            .keys()
            .find(|n| n.as_str() == name)
            .cloned()
            .ok_or_else(|| {
                let all: Vec<&str> = self
                    .inventory()
                    .nodes
                    .keys()
                    .map(NodeName::as_str)
                    .collect();
                Failure::new(
                    TroubleKind::Failed,
                    format!("cluster {} has no node `{name}`", self.inventory().cluster),
                )
                .with_help(format!("its nodes are {}", all.join(", ")))
            })
    }

    /// A text input.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.step.inputs.get(name).as_str()
    }

    /// A list of texts.
    pub(super) fn texts(&self, name: &str) -> Vec<String> {
        match self.step.inputs.get(name) {
            Value::List(items) => items
                .iter()
                .filter_map(|v| v.as_str().map(str::to_owned))
                .collect(),
            Value::String(one) => vec![one.clone()],
            _ => Vec::new(),
        }
    }

    /// A boolean input.
    pub(super) fn flag(&self, name: &str) -> bool {
        matches!(self.step.inputs.get(name), Value::Boolean(true))
    }

    /// A time.
    pub(super) fn time(&self, name: &str) -> Option<Duration> {
        match self.step.inputs.get(name) {
            Value::Duration(time) => Some(*time),
            _ => None,
        }
    }

    /// A size or number.
    pub(super) fn integer(&self, name: &str) -> Option<i64> {
        if let Value::Integer(number) = self.step.inputs.get(name) {
            Some(*number)
        } else {
            None
        }
    }

    /// What is left of this attempt's time, less a moment in which to say why it did not do: the engine, which cuts it off
    /// at its deadline, does not know.
    pub(super) fn time_left(&self) -> Duration {
        let moment = (self.step.limit / 10).min(Duration::from_millis(300));
        self.whole_time_left().saturating_sub(moment)
    }

    /// All that is left of this attempt's time: for programs of the site's, whose time-out is the engine's.
    pub(super) fn whole_time_left(&self) -> Duration {
        self.step
            .deadline
            .saturating_duration_since(tokio::time::Instant::now())
    }

    /// Records a decision or finding.
    pub(super) async fn note(
        &self,
        topic: &str,
        text: impl Into<String> + Send,
        data: serde_json::Value,
    ) {
        let evidence = Evidence {
            topic: topic.to_owned(),
            text: text.into(),
            data,
        };
        self.step.effects.note(&self.step.path, evidence).await;
    }

    /// Sleeps, less when the run is cancelled or the attempt's time is up.
    pub(super) async fn pause(&self, duration: Duration) -> Result<(), Failure> {
        if self.time_left().is_zero() {
            return Err(Failure::new(
                TroubleKind::Timeout,
                format!("not reached within {:?}", self.step.limit),
            ));
        }
        tokio::select! {
            biased;
            () = self.step.cancel.cancelled() => Err(Failure::new(TroubleKind::Failed, "cancelled")),
            () = tokio::time::sleep(duration.min(self.time_left())) => Ok(()),
        }
    }

    /// Asks again and again, with waits that begin at 2 ms ([`longer`]), until the answer is something. The attempt's
    /// deadline ends it with the last `why`.
    pub(super) async fn until<T, F, Fut>(&self, ask: F) -> Result<T, Failure>
    where
        F: FnMut() -> Fut + Send,
        Fut: Future<Output = Result<Result<T, String>, Failure>> + Send,
        T: Send,
    {
        self.until_within(self.time_left(), ask).await
    }

    /// The same, ended after this long at the latest.
    pub(super) async fn until_within<T, F, Fut>(
        &self,
        limit: Duration,
        mut ask: F,
    ) -> Result<T, Failure>
    where
        F: FnMut() -> Fut + Send,
        Fut: Future<Output = Result<Result<T, String>, Failure>> + Send,
        T: Send,
    {
        let began = tokio::time::Instant::now();
        let end = began + limit;
        let mut wait = Duration::from_millis(2);
        loop {
            let why = match ask().await? {
                Ok(answer) => return Ok(answer),
                Err(why) => why,
            };
            let left = end.saturating_duration_since(tokio::time::Instant::now());
            if left.is_zero() || self.time_left().is_zero() {
                return Err(Failure::new(
                    TroubleKind::Timeout,
                    format!("not reached within {:?}: {why}", self.step.limit),
                ));
            }
            self.pause(wait.min(left)).await?;
            wait = longer(wait, began, SOON);
        }
    }

    /// The server's facts; an error is a failure.
    pub(super) async fn server(&self, node: &NodeName) -> Result<Server, Failure> {
        Ok(self.cluster.server(node).await?)
    }
}

/// The wait after this one, of somebody who has waited since `began`: up to 4 ms at first, and never more than this share
/// of what was waited already. So at a fiftieth nothing is noticed more than 2 % late, and a server that takes a minute is
/// not asked six thousand times.
pub(super) fn longer(wait: Duration, began: tokio::time::Instant, share: u32) -> Duration {
    let most = (began.elapsed() / share).max(Duration::from_millis(4));
    (wait * 5 / 4).min(most)
}

/// The share of a wait that holds up writes.
pub(super) const SOON: u32 = 50;

/// The share of a wait that holds up nobody.
pub(super) const IN_TIME: u32 = 10;

/// Outputs from pairs.
pub(super) fn outputs<const N: usize>(pairs: [(&str, Value); N]) -> Map {
    pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
