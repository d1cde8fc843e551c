//! What the language must know about an action without importing it.

use super::Type;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The actions that playbooks may use.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// By name.
    pub actions: BTreeMap<&'static str, Signature>,
}

/// One action's contract with the language.
#[derive(Debug, Clone)]
pub struct Signature {
    /// Its name.
    pub name: &'static str,
    /// One sentence for people.
    pub summary: &'static str,
    /// Whether a step names a node.
    pub node: NodeRule,
    /// What it takes in `with`.
    pub inputs: Vec<Field>,
    /// What it gives.
    pub outputs: Vec<Field>,
    /// What doing it twice means. `None`: the step must say it (`effect:`), and may carry `probe`, `undo`, `assume`.
    pub effect: Option<EffectClass>,
    /// What part it plays in the safety rules.
    pub roles: Vec<Role>,
    /// The limit of an attempt when the step sets none.
    pub timeout: Duration,
}

/// What doing something twice means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EffectClass {
    /// It changes nothing.
    Read,
    /// Twice is as once.
    Idempotent,
    /// It must not be done twice.
    Once,
}

impl From<crate::cluster::CustomEffect> for EffectClass {
    fn from(effect: crate::cluster::CustomEffect) -> Self {
        use crate::cluster::CustomEffect;
        match effect {
            CustomEffect::Read => Self::Read,
            CustomEffect::Idempotent => Self::Idempotent,
            CustomEffect::Once => Self::Once,
        }
    }
}

/// Whether a step of this action has `node`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeRule {
    /// It must.
    Required,
    /// It may.
    Optional,
    /// It must not.
    Refused,
}

/// The name under which a fence gives its proof, and under which a point of no return takes it.
pub const PROOF: &str = "proof";

/// What part an action plays in `docs/safety.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Keeps standbys from receiving (rule 2).
    Freeze,
    /// Lets them receive again: never after the point of no return.
    Unfreeze,
    /// Reads positions and picks the candidate (rule 2).
    Choose,
    /// Proves that the old primary can acknowledge nothing more (rule 1).
    Fence,
    /// Its durable intent is the point of no return (rule 6).
    PointOfNoReturn,
    /// Gives evidence that a goal was reached (rule 5).
    Verification,
}

/// An input or output.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub ty: Type,
    /// It must be given. (Outputs: it is never null when the step ended ok.)
    pub required: bool,
    /// Allowed values, where there are few; for strings, and for the elements of a list.
    pub allowed: &'static [&'static str],
    /// Besides its type it takes a whole secret; a map takes secrets as entries.
    pub secret_too: bool,
    /// For people.
    pub help: &'static str,
}

impl Field {
    /// A field that must be there.
    pub const fn required(name: &'static str, ty: Type, help: &'static str) -> Self {
        Self {
            name,
            ty,
            required: true,
            allowed: &[],
            secret_too: false,
            help,
        }
    }

    /// A field that may be null.
    pub const fn optional(name: &'static str, ty: Type, help: &'static str) -> Self {
        Self {
            name,
            ty,
            required: false,
            allowed: &[],
            secret_too: false,
            help,
        }
    }

    /// The same, where a secret may stand too.
    #[must_use]
    pub const fn secret_too(mut self) -> Self {
        self.secret_too = true;
        self
    }

    /// The same, limited to these values.
    #[must_use]
    pub const fn one_of(mut self, allowed: &'static [&'static str]) -> Self {
        self.allowed = allowed;
        self
    }
}

impl Signature {
    /// The input of this name.
    pub fn input(&self, name: &str) -> Option<&Field> {
        self.inputs.iter().find(|f| f.name == name)
    }

    /// The output of this name.
    pub fn output(&self, name: &str) -> Option<&Field> {
        self.outputs.iter().find(|f| f.name == name)
    }

    /// Whether it plays this part.
    pub fn has_role(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Whether it is an own step: `exec`, `sql`, `http`.
    pub fn is_custom(&self) -> bool {
        self.effect.is_none()
    }
}
