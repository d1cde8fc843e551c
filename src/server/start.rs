//! Plans and runs of playbooks.

use super::body;
use super::guard::{About, Caller};
use super::kinds::Kind;
use super::problem::Problem;
use super::read::{Named, json};
use super::state::Api;
use super::tokens::Role;
use crate::engine::{Outcome, RunId};
use crate::playbook::{Map, Type};
use crate::runs::{Finished, Order, RISKY, RunsError, World};
use crate::traces::Parent;
use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// What a run's trigger is called.
const TRIGGER: &str = "api";

/// What to run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// A playbook's name: a stock playbook, or one in `playbooks/` where `pgbaton serve` was started or beside the site file.
    playbook: String,
    /// Its parameters: text as at the command line, or a value of the parameter's type.
    #[serde(default)]
    params: BTreeMap<String, Json>,
}

impl Asked {
    fn order(self, world: &World, caller: &Caller) -> Result<Order, Problem> {
        if !is_name(&self.playbook) {
            let why = "a playbook is asked for by its name: letters, digits, `_` and `-`";
            return Err(Problem::new(Kind::InvalidRequest, why)
                .next("put a file of your own into `playbooks/` beside the site file"));
        }
        let playbook = world.load(&self.playbook)?.playbook;
        let is_secret = |name: &str| {
            let param = playbook.param(name);
            param.is_some_and(|param| param.ty == Type::Secret)
        };
        let mut params = Vec::new();
        let mut refused = Problem::new(
            Kind::InvalidParameters,
            format!(
                "playbook `{}` cannot be run with these parameters",
                self.playbook
            ),
        );
        let mut any = false;
        for (name, value) in self.params {
            if is_secret(&name) {
                let why = "a secret cannot be named over the network";
                let help = "let the playbook's default say which file or variable holds it";
                refused = refused.fault(name, why, Some(help.to_owned()));
                any = true;
                continue;
            }
            if RISKY.contains(&name.as_str()) && !caller.role.may(Role::Admin) {
                let why = format!("the parameter `{name}` needs the role admin");
                return Err(Problem::new(Kind::RoleMissing, why)
                    .next("it runs a command on this host, or accepts what safety refuses"));
            }
            match value {
                Json::Null => {}
                Json::String(text) => params.push((name, text)),
                other => params.push((name, other.to_string())),
            }
        }
        if any {
            return Err(refused);
        }
        Ok(Order {
            playbook: self.playbook,
            params,
            trigger: TRIGGER.to_owned(),
            payload: payload(caller),
            ..Order::default()
        })
    }
}

/// No path: whoever has a token is not to read files of this host.
fn is_name(playbook: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    (1..=63).contains(&playbook.len()) && playbook.chars().all(good)
}

/// Who started it, as the run itself and its record tell.
fn payload(caller: &Caller) -> Map {
    let text = |value: &str| value.to_owned().into();
    Map::from([
        ("token".to_owned(), text(&caller.name)),
        ("from".to_owned(), text(&caller.from.to_string())),
        ("request".to_owned(), text(&caller.request)),
    ])
}

/// The trace that whoever asks is part of.
pub(super) fn parent(request: &Request) -> Option<Parent> {
    let header = request.headers().get(Parent::HEADER)?;
    Parent::parse(header.to_str().ok()?)
}

pub(super) async fn plan(
    State(api): State<Arc<Api>>,
    Named(cluster): Named,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    let world = &api.cluster(&cluster)?.world;
    let asked: Asked = body::read(request).await?;
    let order = asked.order(world, &caller)?;
    let Ok(_place) = api.plans.try_acquire() else {
        let why = "other plans are being made";
        return Err(Problem::new(Kind::Overloaded, why).after(std::time::Duration::from_secs(2)));
    };
    let plan = world.plan(order).await?;
    Ok(json(&plan))
}

/// A run that was started, or was there already.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Started {
    /// Its id.
    #[schemars(with = "String")]
    run: RunId,
    /// The cluster.
    cluster: String,
    /// It was started by this request; otherwise an earlier one with the same key did.
    new: bool,
}

pub(super) async fn start(
    State(api): State<Arc<Api>>,
    Named(cluster): Named,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    // What the server saw of a node some time ago is not to prove anything: a run looks for itself, as at the command line.
    let world = api.cluster(&cluster)?.world.anew();
    let key = body::key(request.headers())?;
    let parent = parent(&request);
    let asked: Asked = body::read(request).await?;
    let mut order = Order {
        key,
        ..asked.order(&world, &caller)?
    };
    if let Some(parent) = parent {
        parent.keep(&mut order.payload);
    }
    if api.stop.is_cancelled() {
        return Err(Problem::new(
            Kind::Overloaded,
            "the server is being stopped",
        ));
    }
    let begun = begin(&api, Arc::new(world), order, |_| async {}).await?;
    let answer = Started {
        run: begun.run().clone(),
        cluster,
        new: matches!(begun, Begun::New(_)),
    };
    let mut response = json(&answer);
    if answer.new {
        *response.status_mut() = StatusCode::ACCEPTED;
    }
    if let Some(place) = place_of(&answer.run) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    response.extensions_mut().insert(About(answer.run));
    Ok(response)
}

/// Where a run is looked at.
pub(super) fn place_of(run: &RunId) -> Option<HeaderValue> {
    let place = format!("{}/runs/{run}", super::routes::BASE);
    HeaderValue::from_str(&place).ok()
}

/// What came of an order.
pub(super) enum Begun {
    New(RunId),
    Before(RunId),
}

impl Begun {
    fn run(&self) -> &RunId {
        match self {
            Self::New(run) | Self::Before(run) => run,
        }
    }
}

/// Starts a run, which goes on by itself; waits until its first event is in the journal. `after` is done when it has ended,
/// or has not begun.
pub(super) async fn begin<F>(
    api: &Api,
    world: Arc<World>,
    order: Order,
    after: impl FnOnce(Option<(RunId, Outcome)>) -> F + Send + 'static,
) -> Result<Begun, Problem>
where
    F: Future<Output = ()> + Send,
{
    let (observer, mut events) = mpsc::unbounded_channel();
    let (tell, ended) = oneshot::channel();
    let id = crate::runs::fresh_run();
    let order = Order {
        run: Some(id.clone()),
        ..order
    };
    api.runs.spawn(async move {
        // Whoever wants to end it writes to it, as to every run.
        let never = CancellationToken::new();
        let result = world.run(order, vec![observer], never).await;
        if let Ok(finished) = &result {
            tell_end(finished);
        }
        let ended = result.as_ref().ok();
        after(ended.map(|finished| (finished.run.clone(), finished.report.outcome))).await;
        // Nobody listens any more where it had begun.
        let _ = tell.send(result);
    });
    if events.recv().await.is_some() {
        return Ok(Begun::New(id));
    }
    match ended.await {
        Ok(Err(RunsError::SameKey { run, .. })) => Ok(Begun::Before(run)),
        Ok(Err(error)) => Err(error.into()),
        Ok(Ok(_)) => Err(Problem::new(
            Kind::JournalUnavailable,
            "the beginning of the run could not be recorded",
        )),
        Err(_) => Err(Problem::new(
            Kind::Failed,
            "the run broke off before it began",
        )),
    }
}

fn tell_end(finished: &Finished) {
    let outcome = format!("{:?}", finished.report.outcome).to_lowercase();
    tracing::info!(run = %finished.run, outcome, "a run that was started by the API has ended");
}
