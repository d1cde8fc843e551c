//! All that the API offers, in one table: the router and the OpenAPI document are both made from it.

use super::guard::{Gate, dress, guard};
use super::kinds::Kind;
use super::problem::Problem;
use super::state::Api;
use super::tokens::Role;
use super::{ask, follow, hooks, metrics, openapi, read, shapes, signed, start, watches};
use axum::Router;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodRouter, get, post};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use std::sync::Arc;

/// What everything stands below.
pub(super) const BASE: &str = "/v1";

/// The schema of a type.
pub(super) type Shape = fn(&mut SchemaGenerator) -> Schema;

/// One thing that can be asked or done.
pub(super) struct Route {
    /// `get` or `post`.
    pub(super) method: &'static str,
    /// Below [`BASE`]; its parameters are names.
    pub(super) path: &'static str,
    /// Who may; none where no token is needed.
    pub(super) role: Option<Role>,
    /// A signature will do in place of a token.
    pub(super) signed: bool,
    /// What it does, for the audit; none where it changes nothing.
    pub(super) change: Option<&'static str>,
    pub(super) summary: &'static str,
    pub(super) query: Option<Shape>,
    /// Headers that mean something, and what.
    pub(super) headers: &'static [(&'static str, &'static str)],
    pub(super) body: Option<Shape>,
    pub(super) answers: &'static [Answer],
    /// Those that are its own; what every route may answer is added.
    pub(super) problems: &'static [Kind],
    handler: fn() -> MethodRouter<Arc<Api>>,
}

/// What is answered when all is well.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) what: &'static str,
    pub(super) kind: &'static str,
    pub(super) shape: Shape,
}

const JSON: &str = "application/json";

const fn answer(what: &'static str, shape: Shape) -> Answer {
    Answer {
        status: StatusCode::OK,
        what,
        kind: JSON,
        shape,
    }
}

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// A route that looks at something.
const LOOK: Route = Route {
    method: "get",
    path: "",
    role: Some(Role::View),
    signed: false,
    change: None,
    summary: "",
    query: None,
    headers: &[],
    body: None,
    answers: &[],
    problems: &[],
    handler: || get(nowhere),
};

/// A route that does something; by default it writes to a run.
const ACT: Route = Route {
    method: "post",
    role: Some(Role::Operate),
    answers: &[
        answer("The run has heard it.", of::<ask::Heard>),
        Answer {
            status: StatusCode::ACCEPTED,
            ..answer(
                "It is written to the run, which has not answered yet.",
                of::<ask::Heard>,
            )
        },
    ],
    ..LOOK
};

/// The table.
pub(super) static ROUTES: &[Route] = &[
    Route {
        path: "/health",
        role: None,
        summary: "Whether the server answers, and could start a run; needs no token",
        answers: &[answer("It does, and could.", of::<read::Alive>)],
        problems: &[Kind::JournalUnavailable],
        handler: || get(read::health),
        ..LOOK
    },
    Route {
        path: "/clusters",
        summary: "The clusters that are served",
        answers: &[answer("All of them.", of::<read::Clusters>)],
        handler: || get(read::clusters),
        ..LOOK
    },
    Route {
        path: "/clusters/{cluster}",
        summary: "A cluster at a glance, looked at now: topology, other managers, what earlier runs left to do",
        answers: &[answer(
            "As `pgbaton status --json` prints it.",
            of::<shapes::Glance>,
        )],
        problems: &[Kind::NoSuchCluster],
        handler: || get(read::cluster),
        ..LOOK
    },
    Route {
        path: "/clusters/{cluster}/analysis",
        summary: "What the watch makes of the cluster, with each witness's vote, and what a failover would meet",
        answers: &[answer("How it stands.", of::<shapes::Watch>)],
        problems: &[Kind::NoSuchCluster],
        handler: || get(watches::analysis),
        ..LOOK
    },
    Route {
        path: "/clusters/{cluster}/incidents",
        summary: "What was made of losses of a primary: what was run, or why nothing was; newest first",
        answers: &[answer("The last ones.", of::<watches::Incidents>)],
        problems: &[Kind::NoSuchCluster, Kind::JournalUnavailable],
        handler: || get(watches::incidents),
        ..LOOK
    },
    Route {
        path: "/clusters/{cluster}/incidents/{incident}/plan",
        summary: "What a run would have done, where a person decided about it: the whole plan, as it was made then",
        answers: &[answer("The plan.", of::<shapes::Plan>)],
        problems: &[
            Kind::NoSuchCluster,
            Kind::NotFound,
            Kind::JournalUnavailable,
        ],
        handler: || get(watches::incident_plan),
        ..LOOK
    },
    Route {
        path: "/clusters/{cluster}/pause",
        change: Some("pause"),
        summary: "Hold back what would be started automatically, for some time",
        body: Some(of::<watches::Hold>),
        answers: &[answer("It is held back.", of::<watches::Held>)],
        problems: &[Kind::NoSuchCluster, Kind::JournalUnavailable],
        handler: || post(watches::pause),
        ..ACT
    },
    Route {
        path: "/clusters/{cluster}/unpause",
        change: Some("unpause"),
        summary: "End the cluster's pause before its time",
        answers: &[answer(
            "Nothing is held back any more.",
            of::<watches::Held>,
        )],
        problems: &[Kind::NoSuchCluster, Kind::JournalUnavailable],
        handler: || post(watches::unpause),
        ..ACT
    },
    Route {
        path: "/runs/{run}/acknowledge",
        change: Some("acknowledge"),
        summary: "A run that was started by itself has been looked at: the next need not wait for the cooldown",
        body: Some(of::<watches::Acknowledgement>),
        answers: &[answer("It is kept.", of::<ask::Heard>)],
        problems: &[
            Kind::NoSuchRun,
            Kind::AmbiguousRun,
            Kind::JournalUnavailable,
        ],
        handler: || post(watches::acknowledge),
        ..ACT
    },
    Route {
        path: "/runs",
        summary: "Runs, newest first",
        query: Some(of::<read::Wanted>),
        answers: &[answer("Some of them.", of::<read::Runs>)],
        problems: &[Kind::BadRequest, Kind::JournalUnavailable],
        handler: || get(read::runs),
        ..LOOK
    },
    Route {
        path: "/runs/{run}",
        summary: "What a run did, from its journal; the beginning of an id is enough",
        answers: &[answer(
            "As `pgbaton runs show --json` prints it.",
            of::<shapes::Record>,
        )],
        problems: &[
            Kind::NoSuchRun,
            Kind::AmbiguousRun,
            Kind::JournalUnavailable,
        ],
        handler: || get(read::run),
        ..LOOK
    },
    Route {
        path: "/runs/{run}/events",
        summary: "A run as it happens: server-sent events, those of the past first; ends with the run",
        headers: &[(
            "Last-Event-ID",
            "what was seen before; only what came after it is sent",
        )],
        answers: &[Answer {
            status: StatusCode::OK,
            what: "An event of the run each, `id` its position; the last is called `end` and says how the run stands.",
            kind: "text/event-stream",
            shape: of::<String>,
        }],
        problems: &[
            Kind::NoSuchRun,
            Kind::AmbiguousRun,
            Kind::JournalUnavailable,
            Kind::Overloaded,
        ],
        handler: || get(follow::events),
        ..LOOK
    },
    Route {
        path: "/clusters/{cluster}/plans",
        role: Some(Role::Operate),
        summary: "What a run would do; changes nothing",
        answers: &[answer(
            "As `pgbaton plan --json` prints it.",
            of::<shapes::Plan>,
        )],
        problems: &[
            Kind::NoSuchCluster,
            Kind::NotFound,
            Kind::InvalidPlaybook,
            Kind::InvalidParameters,
            Kind::Overloaded,
            Kind::Failed,
        ],
        handler: || post(start::plan),
        body: Some(of::<start::Asked>),
        ..ACT
    },
    Route {
        path: "/clusters/{cluster}/runs",
        change: Some("start a run"),
        summary: "Start a run, which goes on whether or not the client waits",
        headers: &[(
            "Idempotency-Key",
            "of all requests about a cluster with one key, one starts a run",
        )],
        body: Some(of::<start::Asked>),
        answers: &[
            Answer {
                status: StatusCode::ACCEPTED,
                ..answer(
                    "It has begun; Location says where it is.",
                    of::<start::Started>,
                )
            },
            answer(
                "An earlier request with this key began it.",
                of::<start::Started>,
            ),
        ],
        problems: &[
            Kind::BadRequest,
            Kind::NoSuchCluster,
            Kind::NotFound,
            Kind::InvalidPlaybook,
            Kind::InvalidParameters,
            Kind::ClusterBusy,
            Kind::JournalUnavailable,
            Kind::Overloaded,
            Kind::Failed,
        ],
        handler: || post(start::start),
        ..ACT
    },
    Route {
        path: "/hooks/{hook}",
        signed: true,
        change: Some("call a hook"),
        summary: "What a monitor has to say, in a form of its own; the site file says what is made of it",
        headers: &[(
            "X-Pgbaton-Signature",
            "`t=SECONDS,v1=HEX`: HMAC-SHA256 over the seconds, a dot and the body, with the secret of the hook",
        )],
        body: Some(of::<hooks::Payload>),
        answers: &[
            Answer {
                status: StatusCode::ACCEPTED,
                ..answer(
                    "A run has begun; Location says where it is.",
                    of::<hooks::Called>,
                )
            },
            answer(
                "Nothing is to be done, or an earlier request about the same thing has begun a run.",
                of::<hooks::Called>,
            ),
        ],
        problems: &[
            Kind::NoSignature,
            Kind::BadSignature,
            Kind::OldSignature,
            Kind::SecretUnusable,
            Kind::NoSuchHook,
            Kind::NoSuchCluster,
            Kind::NotFound,
            Kind::InvalidPlaybook,
            Kind::PayloadMisfit,
            Kind::InvalidParameters,
            Kind::HeldBack,
            Kind::ClusterBusy,
            Kind::JournalUnavailable,
            Kind::Overloaded,
            Kind::Failed,
        ],
        handler: || post(hooks::call),
        ..ACT
    },
    Route {
        path: "/runs/{run}/approve",
        role: Some(Role::Approve),
        change: Some("approve"),
        summary: "Let a step that asks a person go on",
        body: Some(of::<ask::Decision>),
        problems: DECIDED,
        handler: || post(ask::approve),
        ..ACT
    },
    Route {
        path: "/runs/{run}/deny",
        role: Some(Role::Approve),
        change: Some("deny"),
        summary: "Fail a step that asks a person",
        body: Some(of::<ask::Decision>),
        problems: DECIDED,
        handler: || post(ask::deny),
        ..ACT
    },
    Route {
        path: "/runs/{run}/cancel",
        change: Some("cancel"),
        summary: "End a run; refused after the point of no return",
        body: Some(of::<ask::Cancellation>),
        problems: DECIDED,
        handler: || post(ask::cancel),
        ..ACT
    },
    Route {
        path: "/metrics",
        summary: "Numbers for Prometheus, as they were last seen",
        answers: &[Answer {
            status: StatusCode::OK,
            what: "The text format.",
            kind: metrics::FORMAT,
            shape: of::<String>,
        }],
        handler: || get(metrics::metrics),
        ..LOOK
    },
    Route {
        path: "/openapi.json",
        summary: "This document",
        answers: &[answer("OpenAPI 3.1.", of::<openapi::Document>)],
        handler: || get(openapi::serve),
        ..LOOK
    },
];

/// What may keep a run from hearing somebody.
const DECIDED: &[Kind] = &[
    Kind::NoSuchRun,
    Kind::AmbiguousRun,
    Kind::RunNotUnderWay,
    Kind::RunRefuses,
    Kind::NobodyAsks,
    Kind::SeveralAsk,
    Kind::JournalUnavailable,
];

/// What answers requests.
pub(super) fn router(api: &Arc<Api>) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        let mut handler = (route.handler)();
        if let Some(role) = route.role {
            let gate = Gate {
                api: Arc::clone(api),
                role,
                change: route.change,
            };
            handler = if route.signed {
                handler.route_layer(from_fn_with_state(gate, signed::guard))
            } else {
                handler.route_layer(from_fn_with_state(gate, guard))
            };
        }
        router = router.route(&format!("{BASE}{}", route.path), handler);
    }
    router
        .fallback(nowhere)
        .method_not_allowed_fallback(not_here)
        .layer(from_fn(dress))
        .with_state(Arc::clone(api))
}

async fn nowhere() -> Problem {
    Problem::new(Kind::NoSuchPlace, "no route has this path")
}

async fn not_here() -> Problem {
    Problem::new(
        Kind::MethodNotAllowed,
        "the path is there, for another method",
    )
}
