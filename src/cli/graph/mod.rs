//! `pgbaton graph`: a playbook's steps as Mermaid, DOT or SVG.

mod dot;
mod layers;
mod mermaid;
mod model;
mod svg;

use super::app::Context;
use super::args::{GraphArgs, GraphFormat};
use super::error::CommandError;
use super::exit_codes::Code;
use super::{library, screen};

pub(super) use model::{Drawing, Ending, Entered, Group, State, StepBox};

/// A picture in SVG, with every text in it escaped.
#[derive(Debug)]
pub(super) struct Picture(String);

impl Picture {
    /// Draws it.
    pub(super) fn of(drawing: &Drawing) -> Self {
        Self(svg::render(drawing))
    }

    /// The SVG.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

pub(crate) fn graph(context: &Context, args: &GraphArgs) -> Result<Code, CommandError> {
    let shelves = library::shelves(&context.global);
    let source = library::open(&shelves, &args.playbook)?;
    let checked = library::check(&source, &shelves)?;
    let drawing = Drawing::of(&checked, &crate::actions::catalog());
    screen::data(&match args.format {
        GraphFormat::Mermaid => mermaid::render(&drawing),
        GraphFormat::Dot => dot::render(&drawing),
        GraphFormat::Svg => svg::render(&drawing),
    });
    Ok(Code::Ok)
}
