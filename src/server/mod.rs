//! The HTTP API of `pgbaton serve`: what people do at the command line, for programs.
//!
//! One table (`routes`) says what there is; the router and the OpenAPI document are made from it. A request passes `dress`
//! (its id, bodies of problems), then `guard` or `signed` (token or signature, role, limits, audit), then its handler. Connections are `listen`'s.

mod ask;
mod body;
mod follow;
mod guard;
mod hooks;
mod kinds;
mod limits;
mod listen;
mod looks;
mod metrics;
mod openapi;
mod patient;
mod problem;
mod read;
mod routes;
mod shapes;
mod signed;
mod start;
mod state;
mod tally;
mod tls;
mod tokens;
mod watched;
mod watches;

pub use listen::{Server, ServerError};
pub use state::{Outside, Show};
pub use tokens::{FreshToken, Role, TokenError, fresh_token};
