//! Expressions that stand in no playbook: those of the site's hooks, over what a request brought.

use super::kind::Kind;
use super::names::Text;
use super::place::{Names, Place};
use super::playbooks::{Library, Nested};
use super::resolve::param_kind;
use super::steps::Checker;
use crate::document::{Diagnostics, Lowering, Spanned, Tree};
use crate::playbook::load::expression;
use crate::playbook::{Block, Catalog, Defaults, Expression, Param, Playbook};

/// What such an expression must give.
#[derive(Debug, Clone, Copy)]
pub enum Wanted<'a> {
    /// `true` or `false`.
    Condition,
    /// Text, or a number that is taken as text.
    Text,
    /// A value of this parameter: text that can be read as one, or a value of its type.
    Param(&'a Param),
}

/// Reads and checks one. It sees `payload`, `site.vars` and what the site file says of `cluster`. None only after an error.
pub fn free_expression(
    to: &mut Lowering<'_>,
    what: &str,
    value: &Spanned<Tree>,
    wanted: Wanted<'_>,
    library: &dyn Library,
) -> Option<Expression> {
    let expression = expression(to, what, value)?;
    // The checks go through a playbook, whose text errors point at: one without steps stands in for it.
    let playbook = Playbook {
        source: to.source.clone(),
        name: Spanned::new(String::new(), value.span),
        version: None,
        summary: None,
        params: Vec::new(),
        timeout: None,
        defaults: Defaults::default(),
        steps: Block {
            span: value.span,
            timeout: None,
            steps: Vec::new(),
            outputs: Vec::new(),
        },
        rescue: None,
        finally: None,
        outputs: Vec::new(),
    };
    let mut found = Diagnostics::default();
    let mut checker = Checker {
        playbook: &playbook,
        catalog: &Catalog::default(),
        library,
        nested: &Nested::new(),
        diagnostics: &mut found,
    };
    let place = Place {
        names: Names::Request,
        ..Place::default()
    };
    checker.gives(what, &expression, wanted, &place);
    // A name that is used twice is said once.
    let mut seen = std::collections::HashSet::new();
    found
        .0
        .retain(|d| seen.insert((d.code, d.span, d.message.clone())));
    let failed = found.has_errors();
    to.diagnostics.append(found);
    (!failed).then_some(expression)
}

impl Checker<'_> {
    fn gives(
        &mut self,
        what: &str,
        expression: &Expression,
        wanted: Wanted<'_>,
        place: &Place<'_>,
    ) {
        let fits = match wanted {
            Wanted::Condition => {
                self.condition(&format!("`{what}`"), expression, place);
                return;
            }
            Wanted::Text => vec![Kind::TEXT, Kind::Integer],
            // Text is read, whatever the type; that the text is right only the request can tell.
            Wanted::Param(param) => vec![Kind::TEXT, param_kind(param)],
        };
        let kind = self.expression(expression, place);
        if kind != Kind::Null && fits.iter().any(|fit| fit.may_be(&kind)) {
            return;
        }
        let wants = match wanted {
            Wanted::Param(param) => super::values::a(param.ty),
            _ => "text".to_owned(),
        };
        let error = self.report(
            "wrong-type",
            Text::Expression(expression),
            0,
            format!("`{what}` must be {wants}, this is {kind}"),
        );
        error.span = expression.span;
    }
}
