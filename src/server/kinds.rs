//! The kinds of problems that there are, in one table; `docs/api.md` has them too, and a test compares the two.

use axum::http::StatusCode;

macro_rules! kinds {
    ($($kind:ident: $slug:literal, $status:ident, $title:literal, $next:literal;)*) => {
        /// A kind of problem.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Kind {
            $(#[doc = $title] $kind,)*
        }

        impl Kind {
            /// All of them.
            #[cfg(test)]
            pub(super) const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// What is always said of it.
            pub(super) fn about(self) -> About {
                match self {
                    $(Self::$kind => About {
                        slug: $slug,
                        status: StatusCode::$status,
                        title: $title,
                        next: $next,
                    },)*
                }
            }
        }
    };
}

/// What is said of every problem of a kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct About {
    /// The end of its type.
    pub(super) slug: &'static str,
    pub(super) status: StatusCode,
    pub(super) title: &'static str,
    /// What to do about it.
    pub(super) next: &'static str,
}

kinds! {
    NoToken: "no-token", UNAUTHORIZED, "a token is needed",
        "send `Authorization: Bearer TOKEN`; `pgbaton token NAME --role ROLE` makes one";
    UnknownToken: "unknown-token", UNAUTHORIZED, "the token is not known",
        "look for its line in the file that `api.tokens` names; `pgbaton token NAME --role ROLE` makes a new one";
    TokenExpired: "token-expired", UNAUTHORIZED, "the token has expired",
        "`pgbaton token NAME --role ROLE` makes a new one";
    RoleMissing: "role-missing", FORBIDDEN, "the token's role may not do this",
        "use a token of a role that may; docs/api.md says which";
    TooManyRequests: "too-many-requests", TOO_MANY_REQUESTS, "too many requests with this token",
        "wait as long as Retry-After says";
    TooManyLogins: "too-many-failed-logins", TOO_MANY_REQUESTS, "too many failed logins from this address",
        "wait as long as Retry-After says; a token that is known is let in all the same";
    NoSignature: "no-signature", UNAUTHORIZED, "the hook is called in another way",
        "docs/api.md says how a hook is called; `secret` and `bearer` of the site file say how this one is";
    BadSignature: "bad-signature", UNAUTHORIZED, "the signature is not right",
        "sign the time, a dot and the body as it is sent with HMAC-SHA256: docs/api.md shows how";
    OldSignature: "old-signature", UNAUTHORIZED, "the signature is too old",
        "sign each request anew, and set the clocks of both machines";
    SecretUnusable: "secret-unusable", SERVICE_UNAVAILABLE, "nobody can be recognised",
        "put the secret of the hook right, it is read for each request; the log says what is wrong with it";
    TokensUnusable: "tokens-unusable", SERVICE_UNAVAILABLE, "nobody can be let in",
        "put the file of tokens right, it is read again at once; the log says what is wrong with it";
    NoSuchPlace: "no-such-place", NOT_FOUND, "there is nothing here",
        "GET /v1/openapi.json has all there is";
    MethodNotAllowed: "method-not-allowed", METHOD_NOT_ALLOWED, "this is not done here",
        "GET /v1/openapi.json says what is";
    NoSuchCluster: "no-such-cluster", NOT_FOUND, "the site has no such cluster",
        "GET /v1/clusters has all there are";
    NoSuchRun: "no-such-run", NOT_FOUND, "there is no such run",
        "GET /v1/runs has the latest";
    AmbiguousRun: "ambiguous-run", BAD_REQUEST, "more than one run could be meant",
        "give more of its id";
    NoSuchHook: "no-such-hook", NOT_FOUND, "there is no such hook",
        "`hooks` of the site file has all there are, as `pgbaton serve` has read it at its start";
    NotFound: "not-found", NOT_FOUND, "something is not there", "";
    BadRequest: "bad-request", BAD_REQUEST, "the request cannot be understood",
        "GET /v1/openapi.json says how it is written";
    NotJson: "not-json", BAD_REQUEST, "the body is not JSON",
        "send one JSON object";
    WrongMediaType: "wrong-media-type", UNSUPPORTED_MEDIA_TYPE, "the body is of another type",
        "send JSON, with `Content-Type: application/json`";
    BodyTooLarge: "body-too-large", PAYLOAD_TOO_LARGE, "the body is too large",
        "send at most 64 KiB";
    BodyTooSlow: "body-too-slow", REQUEST_TIMEOUT, "the body did not come in time",
        "send it within ten seconds";
    InvalidRequest: "invalid-request", UNPROCESSABLE_ENTITY, "the body does not fit",
        "GET /v1/openapi.json has its schema";
    InvalidPlaybook: "invalid-playbook", UNPROCESSABLE_ENTITY, "the playbook has errors",
        "`pgbaton validate` shows them with their lines; nothing was touched";
    InvalidParameters: "invalid-parameters", UNPROCESSABLE_ENTITY, "the parameters do not fit",
        "nothing was touched; `pgbaton playbook show NAME` shows what the playbook takes";
    PayloadMisfit: "payload-does-not-fit", UNPROCESSABLE_ENTITY, "the body is not what the hook expects",
        "nothing was started; put the expressions of the hook right, or what is sent";
    HeldBack: "held-back", CONFLICT, "nothing is started by itself now",
        "look at it, and start it yourself where it is to be: POST /v1/clusters/CLUSTER/runs, or `pgbaton run`";
    ClusterBusy: "cluster-busy", CONFLICT, "another run holds the cluster",
        "wait until that run has ended, or follow it; nothing was touched";
    RunNotUnderWay: "run-not-under-way", CONFLICT, "nobody would read what is written to the run",
        "look at how it stands: GET /v1/runs/ID";
    RunRefuses: "run-refuses", CONFLICT, "the run refuses",
        "look at how it stands: GET /v1/runs/ID";
    NobodyAsks: "nobody-asks", CONFLICT, "no step of the run waits for a person",
        "GET /v1/runs/ID/events shows what it does";
    SeveralAsk: "several-ask", CONFLICT, "more than one step waits for a person",
        "name the one that is meant: `step`";
    JournalUnavailable: "journal-unavailable", SERVICE_UNAVAILABLE, "the journal cannot be used",
        "without a journal nothing is done, and nothing was; make it usable and try again";
    Overloaded: "overloaded", SERVICE_UNAVAILABLE, "there is as much of this under way as may be",
        "try again in a moment";
    Failed: "failed", INTERNAL_SERVER_ERROR, "it could not be done",
        "the log of `pgbaton serve` may tell more";
}
