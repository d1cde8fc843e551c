//! Hooks: what a program outside has to say becomes a run, where the site file and the gate let it.

use super::body;
use super::guard::{About, Caller};
use super::kinds::Kind;
use super::problem::Problem;
use super::read::{Named, json};
use super::signed::Sent;
use super::start::{Begun, begin, parent, place_of};
use super::state::Api;
use crate::engine::{Outcome, RunId};
use crate::playbook::{Map, Value};
use crate::runs::Order;
use crate::trigger::{
    Code, HeldBack, Hook, LiveDesk, Misfit, Notice, Passage, Reading, Turn, ended_so,
};
use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value as Json;
use std::sync::Arc;
use std::time::Duration;

/// When a sender may come again where too much is under way.
const AGAIN: Duration = Duration::from_secs(10);

/// What was made of a hook's request.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Called {
    /// The hook.
    hook: String,
    /// The cluster that it is about.
    cluster: String,
    /// The run; null where none is wanted.
    #[schemars(with = "Option<String>")]
    run: Option<RunId>,
    /// It was started by this request; otherwise an earlier one about the same thing did.
    new: bool,
    /// Why nothing is to be done; null where there is a run.
    ignored: Option<String>,
}

/// Anything that a monitor sends.
#[derive(Debug, JsonSchema)]
#[schemars(transparent)]
pub(super) struct Payload(#[expect(dead_code, reason = "for the document")] Json);

pub(super) async fn call(
    State(api): State<Arc<Api>>,
    Named(name): Named,
    Extension(caller): Extension<Caller>,
    Extension(Sent(sent)): Extension<Sent>,
    request: Request,
) -> Result<Response, Problem> {
    let Some(hook) = api.hooks.get(&name).cloned() else {
        let why = format!("the site file has no hook `{name}`");
        return Err(Problem::new(Kind::NoSuchHook, why));
    };
    let world = Arc::new(api.cluster(&hook.cluster)?.world.anew());
    let parent = parent(&request);
    let payload: Json = body::read(request).await?;
    let payload = Value::from_json(&payload);
    let playbook = world.load(&hook.playbook)?.playbook;
    let order = match hook.read(&payload, &playbook) {
        Ok(Reading::Wanted(order)) => order,
        Ok(Reading::Ignored(why)) => return Ok(answer(&hook, None, false, Some(why))),
        Err(misfits) => return Err(misfit(&hook, misfits)),
    };
    let mut order = Order {
        key: order.key.or(sent.map(|sent| hook.kept(&sent))),
        payload: told(&hook, &caller, payload),
        ..order
    };
    if let Some(parent) = parent {
        parent.keep(&mut order.payload);
    }
    if let Some(key) = &order.key
        && let Some(earlier) = api.records.by_key(&hook.cluster, key).await?
    {
        return Ok(answer(&hook, Some(earlier.run), false, None));
    }
    if api.stop.is_cancelled() {
        let why = "the server is being stopped";
        return Err(Problem::new(Kind::Overloaded, why));
    }
    let desk = LiveDesk::new(
        Arc::clone(&world),
        api.turns.clone(),
        api.notifier.clone(),
        |_| (),
    );
    let desk = Arc::new(desk);
    let turn = match desk.let_through(hook.mode).await {
        Ok(turn) => turn,
        Err(why) => return Err(held_back(&hook, &desk, order, why).await),
    };
    let (its, whose) = (Arc::clone(&hook), Arc::clone(&desk));
    let after = move |ended| after(its, whose, turn, ended);
    match begin(&api, world, order.clone(), after).await {
        Ok(Begun::New(run)) => {
            hook.is_news(None);
            Ok(answer(&hook, Some(run), true, None))
        }
        Ok(Begun::Before(run)) => Ok(answer(&hook, Some(run), false, None)),
        Err(problem) if problem.kind == Kind::ClusterBusy => {
            let run = problem.run.as_ref().map(ToString::to_string);
            Err(held_back(&hook, &desk, order, Passage::Busy { run }).await)
        }
        Err(problem) => Err(problem),
    }
}

/// What is done when its run has ended: it is told, and then somebody else may have the turn.
async fn after(hook: Arc<Hook>, desk: Arc<LiveDesk>, turn: Turn, ended: Option<(RunId, Outcome)>) {
    if let Some((run, how)) = ended {
        let text = format!(
            "the hook `{}` was called; `{}` was run and {} (run {run})",
            hook.name,
            hook.playbook,
            ended_so(how)
        );
        desk.report(notice(&hook, text, None)).await;
    }
    drop(turn);
}

/// Who and why, as the run itself and its record tell.
fn told(hook: &Hook, caller: &Caller, payload: Value) -> Map {
    let text = |value: &str| Value::from(value.to_owned());
    Map::from([
        ("hook".to_owned(), text(&hook.name)),
        ("payload".to_owned(), payload),
        ("by".to_owned(), text(&caller.name)),
        ("from".to_owned(), text(&caller.from.to_string())),
        ("request".to_owned(), text(&caller.request)),
    ])
}

fn notice(hook: &Hook, text: String, held_back: Option<HeldBack>) -> Notice {
    Notice {
        cluster: hook.cluster.clone(),
        incident: None,
        code: Code::Reported,
        text,
        held_back,
        foretold: None,
        analysis: None,
    }
}

/// Keeps that nothing was started, once for as long as it is the same, and says so.
async fn held_back(hook: &Hook, desk: &LiveDesk, order: Order, passage: Passage) -> Problem {
    let text = format!(
        "the hook `{}` was called; `{}` would have been run, and nothing was started: {}",
        hook.name,
        order.playbook,
        passage.told()
    );
    let key = order.key.as_deref().unwrap_or_default();
    let news = format!("{key} {}", passage.reason());
    if hook.is_news(Some(news)) {
        let held_back = HeldBack {
            passage: passage.clone(),
            playbook: order.playbook,
            params: order.params,
        };
        desk.report(notice(hook, text.clone(), Some(held_back)))
            .await;
    }
    match passage {
        Passage::Full => Problem::new(Kind::Overloaded, text).after(AGAIN),
        Passage::Busy { run } => {
            let problem = Problem::new(Kind::ClusterBusy, text);
            match run {
                Some(run) => problem.about(RunId(run.into())),
                None => problem,
            }
        }
        _ => Problem::new(Kind::HeldBack, text),
    }
}

fn misfit(hook: &Hook, misfits: Vec<Misfit>) -> Problem {
    let why = format!(
        "the hook `{}` makes no run of `{}` of this body",
        hook.name, hook.playbook
    );
    let problem = Problem::new(Kind::PayloadMisfit, why);
    misfits.into_iter().fold(problem, |problem, misfit| {
        problem.fault(misfit.at, misfit.why, misfit.help)
    })
}

fn answer(hook: &Hook, run: Option<RunId>, new: bool, ignored: Option<String>) -> Response {
    let mut response = json(&Called {
        hook: hook.name.clone(),
        cluster: hook.cluster.clone(),
        run: run.clone(),
        new,
        ignored,
    });
    if new {
        *response.status_mut() = StatusCode::ACCEPTED;
    }
    if let Some(run) = run {
        if let Some(place) = place_of(&run) {
            response.headers_mut().insert(header::LOCATION, place);
        }
        response.extensions_mut().insert(About(run));
    }
    response
}
