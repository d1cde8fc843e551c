//! The playbook language: model, loading, expressions, templates, static checks.
//!
//! [`load`] lowers a document to the [`Playbook`] model and reports everything that the text alone can tell.
//! [`check`] goes on with what needs the catalog of actions and the other playbooks: references, types, safety rules.

mod check;
mod expression;
mod load;
mod model;
mod names;
mod params;
mod schema;
mod signature;
mod template;
mod value;

pub use check::{Checked, Library, UnreadablePlaybook, Wanted, check, fit, free_expression};
pub use expression::{EvaluationError, Expression, Reference, SyntaxError};
pub use load::load;
pub use model::{
    Block, Body, Custom, Defaults, Fields, ForEach, Items, Jitter, MaxFailures, OnFailure, Param,
    Playbook, Retry, Step, StepId,
};
pub use names::Names;
pub use params::{ParamError, Unreadable, bind, read_text};
pub use schema::schema;
pub use signature::{Catalog, EffectClass, Field, NodeRule, PROOF, Role, Signature};
pub use template::{Helper, Piece, RenderError, Template, TemplateTree};
pub use value::{Map, Type, Value};

pub use crate::cluster::{SecretSource, TroubleKind};
pub use crate::document::{format_bytes, format_duration, parse_bytes, parse_duration};
