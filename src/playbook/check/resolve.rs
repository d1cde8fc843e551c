//! From a name to what is known about its value.

use super::facts::{Fact, Facts};
use super::kind::{Kind, Output, Outputs};
use super::names::{Name, Part, Text};
use super::place::{Names, Place};
use super::steps::Checker;
use crate::document::suggest;
use crate::playbook::{TroubleKind, Type};

const KINDS: [TroubleKind; 7] = [
    TroubleKind::Unreachable,
    TroubleKind::Timeout,
    TroubleKind::Denied,
    TroubleKind::Failed,
    TroubleKind::Conflict,
    TroubleKind::Unmet,
    TroubleKind::Unknown,
];

/// How a name is used.
pub(super) struct Use<'u> {
    pub(super) text: Text<'u>,
    pub(super) facts: &'u Facts,
    /// It must not be null.
    pub(super) strict: bool,
}

pub(super) fn words<'w>(words: impl IntoIterator<Item = &'w str>) -> Kind {
    Kind::String(Some(words.into_iter().map(str::to_owned).collect()))
}

impl Checker<'_> {
    /// What is known about the value of `name`. What is wrong with it is reported.
    pub(super) fn resolve(&mut self, name: &Name, place: &Place<'_>, used: &Use<'_>) -> Kind {
        if place.names == Names::Defaults && !matches!(name.root.as_str(), "site" | "cluster") {
            self.report(
                "unknown-name",
                used.text,
                name.at,
                format!("a default cannot use `{}`", name.root),
            )
            .help = Some("defaults may use `site.vars` and `cluster`".to_owned());
            return Kind::Any;
        }
        let of_request = place.names == Names::Request;
        match name.root.as_str() {
            "payload" if of_request => Kind::Any,
            "site" => self.site(name, used),
            "cluster" => self.cluster(name, of_request, used),
            _ if of_request => self.unknown_outside(name, used),
            "params" => self.param(name, used),
            "trigger" => Kind::Any,
            "run" => self.fields(
                name,
                used,
                &[
                    ("id", Kind::TEXT),
                    ("started", Kind::TEXT),
                    ("trigger", Kind::TEXT),
                    ("passed", Kind::Boolean),
                ],
            ),
            "steps" => self.step_name(name, place, used),
            "item" => match &place.item {
                Some(kind) => self.selected(kind.clone(), &name.root, &name.parts, used),
                None => {
                    self.out_of_place(name, used, "`item` exists only in a step with `for_each`, and not in its `when`: that is asked once, for the whole step")
                }
            },
            "result" => match &place.result {
                Some(Outputs::Unknown) => Kind::Any,
                Some(Outputs::Known(outputs)) => self.result(name, outputs, used),
                None => self.out_of_place(name, used, "`result` exists only in `until`"),
            },
            "error" if place.error => {
                let kinds = words(KINDS.map(TroubleKind::as_str));
                self.fields(
                    name,
                    used,
                    &[
                        ("step", Kind::TEXT),
                        ("kind", kinds),
                        ("message", Kind::TEXT),
                    ],
                )
            }
            "error" => self.out_of_place(
                name,
                used,
                "`error` exists only in a rescue and in `retry.if`",
            ),
            _ => self.unknown_root(name, place, used),
        }
    }

    fn unknown_root(&mut self, name: &Name, place: &Place<'_>, used: &Use<'_>) -> Kind {
        let mut known = vec!["params", "site", "cluster", "steps", "run", "trigger"];
        known.extend(place.item.as_ref().map(|_| "item"));
        known.extend(place.result.as_ref().map(|_| "result"));
        known.extend(place.error.then_some("error"));
        let root = name.root.as_str();
        let param = self.playbook.param(root).is_some();
        let step = place.find(root).is_some();
        let error = self.report(
            "unknown-name",
            used.text,
            name.at,
            format!("there is no name `{root}`"),
        );
        error.help = Some(if param {
            format!("the parameter is `params.{root}`")
        } else if step {
            format!("the step is `steps.{root}`")
        } else if let Some(near) = suggest(root, known.iter().copied()) {
            format!("did you mean `{near}`?")
        } else if name.parts.is_empty() && matches!(used.text, Text::Expression(_)) {
            format!(
                "the names here are {}; text stands in quotes: `'{root}'`",
                known.join(", ")
            )
        } else {
            format!("the names here are {}", known.join(", "))
        });
        Kind::Any
    }

    /// A name that no request and no site file has.
    fn unknown_outside(&mut self, name: &Name, used: &Use<'_>) -> Kind {
        const NAMES: [&str; 3] = ["payload", "site", "cluster"];
        let root = name.root.as_str();
        let error = self.report(
            "unknown-name",
            used.text,
            name.at,
            format!("there is no name `{root}`"),
        );
        error.help = Some(match suggest(root, NAMES) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!(
                "the names here are {}; text stands in quotes: `'{root}'`",
                NAMES.join(", ")
            ),
        });
        Kind::Any
    }

    fn out_of_place(&mut self, name: &Name, used: &Use<'_>, why: &str) -> Kind {
        self.report("unknown-name", used.text, name.at, why);
        Kind::Any
    }

    pub(super) fn unknown_part(
        &mut self,
        of: &str,
        part: &Part,
        known: &[&str],
        used: &Use<'_>,
    ) -> Kind {
        let Some(text) = &part.text else {
            return Kind::Any;
        };
        let error = self.report(
            "unknown-name",
            used.text,
            part.at,
            format!("there is no `{text}` in `{of}`"),
        );
        error.help = Some(match suggest(text, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("it has: {}", known.join(", ")),
        });
        Kind::Any
    }

    fn fields(&mut self, name: &Name, used: &Use<'_>, fields: &[(&str, Kind)]) -> Kind {
        let Some((part, rest)) = name.parts.split_first() else {
            return Kind::Map;
        };
        let Some(text) = &part.text else {
            return Kind::Any;
        };
        if let Some((_, kind)) = fields.iter().find(|(field, _)| field == text) {
            return self.selected(kind.clone(), &part.upto, rest, used);
        }
        let known: Vec<&str> = fields.iter().map(|(field, _)| *field).collect();
        self.unknown_part(&name.root, part, &known, used)
    }

    /// What is left after selecting `rest` from a value of `kind`.
    pub(super) fn selected(&mut self, kind: Kind, of: &str, rest: &[Part], used: &Use<'_>) -> Kind {
        let Some((part, rest)) = rest.split_first() else {
            return kind;
        };
        match kind {
            Kind::Any | Kind::Never | Kind::Map | Kind::Null => Kind::Any,
            Kind::List(element) if part.text.is_none() => {
                self.selected(*element, &part.upto, rest, used)
            }
            other => {
                self.report(
                    "wrong-type",
                    used.text,
                    part.at,
                    format!("`{of}` is {other}: nothing can be selected from it"),
                );
                Kind::Any
            }
        }
    }

    fn param(&mut self, name: &Name, used: &Use<'_>) -> Kind {
        let playbook = self.playbook;
        let secret = playbook.params.iter().find(|p| p.ty == Type::Secret);
        let (part, rest) = match name.parts.split_first() {
            Some((part, rest)) if part.text.is_some() => (part, rest),
            other => {
                // All parameters together, or one that is only known in the run.
                if let Some(secret) = secret {
                    let message = format!("this may be the secret `{}`", secret.name.value);
                    self.report("misplaced-secret", used.text, name.at, message)
                        .help = Some("name each parameter: `params.NAME`".to_owned());
                }
                return if other.is_none() {
                    Kind::Map
                } else {
                    Kind::Any
                };
            }
        };
        let Some(text) = &part.text else {
            return Kind::Any;
        };
        let Some(param) = playbook.param(text) else {
            let known: Vec<&str> = playbook
                .params
                .iter()
                .map(|p| p.name.value.as_str())
                .collect();
            let error = self.report(
                "unknown-param",
                used.text,
                part.at,
                format!("there is no parameter `{text}`"),
            );
            error.help = Some(match suggest(text, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if known.is_empty() => "declare it under `params`".to_owned(),
                None => format!("the parameters are {}", known.join(", ")),
            });
            return Kind::Any;
        };
        let nullable = !param.required && param.default.is_none();
        if nullable
            && param.ty != Type::Secret
            && used.strict
            && !used.facts.contains(&Fact::Set(part.upto.clone()))
        {
            let written = &part.upto;
            let error = self.report(
                "maybe-null",
                used.text,
                part.at,
                format!("`{written}` may be null: it is neither required nor has it a default"),
            );
            error.help = Some(match used.text {
                Text::Expression(_) => {
                    format!("guard it: `{written} != null && …`; or give it a default")
                }
                Text::Template(_) => format!(
                    "make it `required`, give it a default, or give this step `when: {written} != null`"
                ),
            });
        }
        self.selected(param_kind(param), &part.upto, rest, used)
    }

    fn result(&mut self, name: &Name, outputs: &[Output], used: &Use<'_>) -> Kind {
        let Some((part, rest)) = name.parts.split_first() else {
            return Kind::Map;
        };
        self.output(&name.root, part, rest, outputs, used)
    }

    /// An output of something that ended ok.
    pub(super) fn output(
        &mut self,
        of: &str,
        part: &Part,
        rest: &[Part],
        outputs: &[Output],
        used: &Use<'_>,
    ) -> Kind {
        let Some(text) = &part.text else {
            return Kind::Any;
        };
        let Some(output) = outputs.iter().find(|o| o.name == *text) else {
            let known: Vec<&str> = outputs.iter().map(|o| o.name.as_str()).collect();
            let error = self.report(
                "unknown-output",
                used.text,
                part.at,
                format!("`{of}` has no output `{text}`"),
            );
            error.help = Some(match suggest(text, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if known.is_empty() => "it has no outputs, only `status`".to_owned(),
                None => format!("its outputs are {}", known.join(", ")),
            });
            return Kind::Any;
        };
        if output.nullable && used.strict && !used.facts.contains(&Fact::Set(part.upto.clone())) {
            let written = &part.upto;
            let error = self.report(
                "maybe-null",
                used.text,
                part.at,
                format!("`{written}` may be null even where `{of}` ended ok"),
            );
            error.help = Some(guard(used.text, &format!("{written} != null")));
        }
        self.selected(output.kind.clone(), &part.upto, rest, used)
    }
}

pub(super) fn param_kind(param: &crate::playbook::Param) -> Kind {
    let allowed = param.allowed.iter().flatten().filter_map(|v| v.as_str());
    Kind::declared(param.ty, allowed)
}

pub(super) fn guard(text: Text<'_>, condition: &str) -> String {
    match text {
        Text::Expression(_) => format!("guard it: `{condition} && …`"),
        Text::Template(_) => format!("give this step `when: {condition}`"),
    }
}
