//! Templates, and values in which strings are templates, against the type that is wanted.

use super::facts::Fact;
use super::kind::Kind;
use super::names::{Name, Text};
use super::place::Place;
use super::resolve::Use;
use super::steps::Checker;
use super::values::{a, fit};
use crate::document::{Span, suggest};
use crate::playbook::{Helper, Piece, Template, TemplateTree, Type, Value};

/// What a value is for.
pub(super) struct Want<'w> {
    /// As a message names it: "input `mode`".
    pub(super) what: String,
    pub(super) ty: Type,
    /// Allowed values, where there are few; for strings, and for the elements of a list.
    pub(super) allowed: Vec<&'w str>,
    /// Nothing may be given. Only a whole reference to a parameter can be nothing.
    pub(super) nullable: bool,
    /// Its entries may be whole secrets: the environment of a command.
    pub(super) environment: bool,
}

impl Checker<'_> {
    /// Checks a value against what is wanted.
    pub(super) fn value(&mut self, tree: &TemplateTree, want: &Want<'_>, place: &Place<'_>) {
        match tree {
            // Reported by the loader.
            TemplateTree::Constant(Value::Null, _) => {}
            TemplateTree::Constant(value, span) => self.constant(value, *span, want),
            TemplateTree::Template(template) => self.template(template, want, place),
            TemplateTree::Expression(expression) => self.condition(&want.what, expression, place),
            TemplateTree::List(items, span) => {
                if want.ty != Type::List {
                    self.wrong_value(*span, want, &Kind::List(Box::new(Kind::Any)));
                }
                for item in items {
                    self.element(item, want, place);
                }
            }
            TemplateTree::Map(entries, span) => {
                if want.ty != Type::Map {
                    self.wrong_value(*span, want, &Kind::Map);
                }
                for (_, entry) in entries {
                    self.inside(entry, place, want.environment);
                }
            }
        }
    }

    fn wrong_value(&mut self, span: Span, want: &Want<'_>, kind: &Kind) {
        let message = format!("{} must be {}, this is {kind}", want.what, a(want.ty));
        self.error("wrong-type", span, message);
    }

    fn constant(&mut self, value: &Value, span: Span, want: &Want<'_>) {
        match fit(want.ty, value) {
            Ok(_) => {
                self.allowed(value, span, want);
                if want.ty == Type::Node {
                    self.node_exists(value, span);
                }
            }
            Err(bad) => {
                let error = self.error("wrong-type", span, format!("{}: {}", want.what, bad.why));
                error.help = bad.help;
            }
        }
    }

    fn allowed(&mut self, value: &Value, span: Span, want: &Want<'_>) {
        let Some(text) = value.as_str().filter(|_| !want.allowed.is_empty()) else {
            return;
        };
        if want.allowed.contains(&text) {
            return;
        }
        let listed = want.allowed.join(", ");
        let near = suggest(text, want.allowed.iter().copied());
        let error = self.error(
            "unknown-value",
            span,
            format!("{} cannot be `{text}`", want.what),
        );
        error.help = Some(match near {
            Some(near) => format!("did you mean `{near}`? Allowed: {listed}"),
            None => format!("allowed: {listed}"),
        });
    }

    /// A string that is a value of its own.
    fn template(&mut self, template: &Template, want: &Want<'_>, place: &Place<'_>) {
        if let Some(text) = template.constant() {
            self.constant(&Value::from(text), template.span, want);
            return;
        }
        let Some(reference) = template.single() else {
            self.pieces(template, place);
            if !matches!(want.ty, Type::String | Type::Node) {
                let error = self.error(
                    "wrong-type",
                    template.span,
                    format!(
                        "{} must be {}, and a template with text around it is a string",
                        want.what,
                        a(want.ty)
                    ),
                );
                error.help =
                    Some("a single reference, and nothing else, keeps its type".to_owned());
            }
            return;
        };
        let name = Name::of_reference(reference);
        let whole_param = name.root == "params" && name.parts.len() == 1;
        let kind = self.reference(&name, template, place, !(whole_param && want.nullable));
        let wanted = Kind::declared(want.ty, want.allowed.iter().copied());
        if kind == Kind::Secret && want.ty != Type::Secret {
            self.misplaced_secret(&name, template);
        } else if !kind.may_be(&wanted) {
            let message = format!(
                "{} must be {}, and `{}` is {kind}",
                want.what,
                a(want.ty),
                name.shown()
            );
            self.report("wrong-type", Text::Template(template), name.at, message);
        } else if let (Kind::String(Some(words)), Kind::String(Some(allowed))) = (&kind, &wanted)
            && let Some(word) = words.iter().find(|word| !allowed.contains(word))
        {
            let message = format!(
                "{} cannot be `{word}`, which `{}` can be",
                want.what,
                name.shown()
            );
            self.report("unknown-value", Text::Template(template), name.at, message)
                .help = Some(format!("allowed: {}", allowed.join(", ")));
        }
    }

    /// An element of a list that is an input.
    fn element(&mut self, tree: &TemplateTree, want: &Want<'_>, place: &Place<'_>) {
        if let Some(value) = tree.constant()
            && want.ty == Type::List
        {
            self.allowed(&value, tree.span(), want);
        }
        self.inside(tree, place, false);
    }

    /// A value inside another one: of any type, but never null, and no secret unless this is an environment.
    pub(super) fn inside(&mut self, tree: &TemplateTree, place: &Place<'_>, environment: bool) {
        match tree {
            // The loader puts an expression nowhere but in a whole input.
            TemplateTree::Constant(..) | TemplateTree::Expression(_) => {}
            TemplateTree::Template(template) => match template.single() {
                Some(reference) => {
                    let name = Name::of_reference(reference);
                    let kind = self.reference(&name, template, place, true);
                    if kind == Kind::Secret && !environment {
                        self.misplaced_secret(&name, template);
                    }
                }
                None => self.pieces(template, place),
            },
            TemplateTree::List(items, _) => {
                for item in items {
                    self.inside(item, place, false);
                }
            }
            TemplateTree::Map(entries, _) => {
                for (_, entry) in entries {
                    self.inside(entry, place, false);
                }
            }
        }
    }

    /// A value for something that is not known, which has been reported: only what it refers to is judged.
    pub(super) fn unjudged(&mut self, tree: &TemplateTree, place: &Place<'_>) {
        if let TemplateTree::Template(template) = tree
            && let Some(reference) = template.single()
        {
            self.reference(&Name::of_reference(reference), template, place, false);
        } else {
            self.inside(tree, place, true);
        }
    }

    /// References inside a text.
    fn pieces(&mut self, template: &Template, place: &Place<'_>) {
        for piece in template.pieces() {
            let Piece::Reference(reference, helper) = piece else {
                continue;
            };
            let name = Name::of_reference(reference);
            let kind = self.reference(&name, template, place, true);
            match kind {
                Kind::Secret => self.misplaced_secret(&name, template),
                Kind::List(_) | Kind::Map if *helper != Some(Helper::Json) => {
                    let shown = name.shown();
                    let error = self.report(
                        "wrong-type",
                        Text::Template(template),
                        name.at,
                        format!("`{shown}` is {kind}, which cannot stand inside a text"),
                    );
                    error.help = Some(format!("write it as JSON: `{{{{ json {shown} }}}}`"));
                }
                _ => {}
            }
        }
    }

    fn reference(
        &mut self,
        name: &Name,
        template: &Template,
        place: &Place<'_>,
        strict: bool,
    ) -> Kind {
        let used = Use {
            text: Text::Template(template),
            facts: &place.facts,
            strict: strict && !place.facts.contains(&Fact::Set(name.shown())),
        };
        self.resolve(name, place, &used)
    }

    fn misplaced_secret(&mut self, name: &Name, template: &Template) {
        let shown = name.shown();
        let error = self.report(
            "misplaced-secret",
            Text::Template(template),
            name.at,
            format!("`{shown}` is a secret, and this does not take one"),
        );
        error.help = Some(
            "secrets go whole into inputs of type secret, into `stdin`, `body` or `url`, or into an entry of `env` or `headers`"
                .to_owned(),
        );
    }
}
