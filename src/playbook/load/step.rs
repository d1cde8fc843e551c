//! One step.

use super::{attempts, block, for_each, text};
use crate::cluster::CustomEffect;
use crate::document::{Entry, Lowering, MapReader, Spanned, Tree};
use crate::playbook::{Body, Custom, OnFailure, Step, StepId};

/// Keys that people bring from elsewhere, and what they are called here.
const FOREIGN: [(&str, &str); 21] = [
    ("if", "the condition of a step is `when`"),
    ("uses", "what a step does is `action` or `playbook`"),
    (
        "run",
        "own commands are `action: exec` with `with: { argv: […] }`",
    ),
    (
        "shell",
        "own commands are `action: exec` with `with: { argv: […] }`",
    ),
    (
        "command",
        "own commands are `action: exec` with `with: { argv: […] }`",
    ),
    ("name", "the name of a step is its key"),
    ("id", "the id of a step is its key"),
    ("depends_on", "what must end before is `needs`"),
    ("depends", "what must end before is `needs`"),
    ("dependencies", "what must end before is `needs`"),
    ("loop", "repetition is `for_each`"),
    ("with_items", "repetition is `for_each`"),
    ("matrix", "repetition is `for_each`"),
    (
        "continue-on-error",
        "it is `on_failure: continue`, or `degrade`",
    ),
    (
        "ignore_errors",
        "it is `on_failure: continue`, or `degrade`",
    ),
    ("timeout-minutes", "it is `timeout`, with a unit: `10m`"),
    ("retries", "it is `retry: { attempts: 3, delay: 2s }`"),
    (
        "register",
        "outputs are found at `steps.ID.OUTPUT` without further ado",
    ),
    (
        "outputs",
        "the outputs of a step are those of its action; `outputs` stand at the top level and in a `rescue`",
    ),
    (
        "needed_by",
        "`needed_by` stands in overlays; here the other step says `needs`",
    ),
    ("finally", "`finally` stands at the top level"),
];

/// A step. `None` where it has no usable id, or does nothing.
pub(super) fn step(to: &mut Lowering<'_>, entry: &Entry, retried: bool) -> Option<Step> {
    let id = text::identifier(to, "a step", &entry.key);
    if let Tree::Null = entry.value.value {
        to.error(
            "empty-value",
            entry.key.span,
            format!("step `{}` is empty", entry.key.value),
        )
        .help = Some("a step needs `action` or `playbook`".to_owned());
        return None;
    }
    let mut map = to.map(format!("step `{}`", entry.key.value), &entry.value)?;
    let needs = map
        .optional(to, "needs")
        .map(|e| needs(to, &e.value))
        .unwrap_or_default();
    let when = map
        .peek("when")
        .and_then(|e| text::condition(to, "when", &e.value));
    let for_each_given = map.has("for_each");
    let for_each = map
        .peek("for_each")
        .and_then(|e| for_each::for_each(to, &e.value));
    let body = body(to, &mut map, entry);
    let timeout = map
        .optional(to, "timeout")
        .and_then(|e| text::duration(to, "timeout", &e.value, false));
    let has_retry = map.has("retry");
    let retry = map
        .optional(to, "retry")
        .and_then(|e| attempts::retry(to, &e.value));
    let until = map.peek("until").and_then(|e| {
        if !has_retry && !retried {
            to.error(
                "until-without-retry",
                e.key.span,
                "`until` does nothing without `retry`: no second attempt could meet it",
            )
            .help = Some("say how long to try: `retry: { within: 60s, delay: 1s }`".to_owned());
        }
        text::condition(to, "until", &e.value)
    });
    let on_failure = map.optional(to, "on_failure").and_then(|e| {
        let choices = [
            ("fail", OnFailure::Fail),
            ("degrade", OnFailure::Degrade),
            ("continue", OnFailure::Continue),
        ];
        to.one_of("`on_failure`", &e.value, &choices)
    });
    let rescue = map
        .optional(to, "rescue")
        .and_then(|e| block::block(to, e, true, retried));
    let disabled = map
        .optional(to, "disable")
        .and_then(|e| reason(to, &e.value));
    let sealed = map
        .optional(to, "sealed")
        .and_then(|e| to.boolean("`sealed`", &e.value));
    map.finish_with(to, &FOREIGN);
    let id = id?;
    let id_span = id.span;
    if for_each_given && for_each.is_none() {
        // Reported; without it every `item` below would be an error of its own.
        return None;
    }
    Some(Step {
        id,
        needs,
        when,
        for_each,
        body: body?,
        timeout,
        retry,
        until,
        on_failure: on_failure.unwrap_or(Spanned::new(OnFailure::default(), id_span)),
        rescue,
        disabled,
        sealed: sealed.unwrap_or(false),
    })
}

/// Why a step is switched off.
fn reason(to: &mut Lowering<'_>, value: &Spanned<Tree>) -> Option<Spanned<String>> {
    if let Tree::Boolean(_) = value.value {
        to.wrong_kind("`disable`", "the reason", value).help =
            Some("write why: `disable: \"no VIP here, OPS-4711\"`".to_owned());
        return None;
    }
    text::fixed_text(to, "disable", value)
}

/// `needs`: a list of ids, or one id.
fn needs(to: &mut Lowering<'_>, value: &Spanned<Tree>) -> Vec<Spanned<StepId>> {
    let single;
    let items = match &value.value {
        Tree::String { .. } => {
            single = [value.clone()];
            &single[..]
        }
        Tree::List(items) => items,
        _ => {
            to.wrong_kind("`needs`", "a list of step ids", value);
            return Vec::new();
        }
    };
    let mut needs: Vec<Spanned<StepId>> = Vec::with_capacity(items.len());
    for item in items {
        let id = to
            .string("a step id in `needs`", item)
            .and_then(|name| text::identifier(to, "a step", &name));
        let Some(id) = id else { continue };
        if let Some(first) = needs.iter().find(|known| known.value == id.value) {
            let d = to.error(
                "duplicate-value",
                id.span,
                format!("`{}` is here twice", id.value),
            );
            d.related.push(crate::document::Label {
                span: first.span,
                text: "first here".to_owned(),
            });
        } else {
            needs.push(id);
        }
    }
    needs
}

/// What the step does: exactly one of `action` and `playbook`.
fn body(to: &mut Lowering<'_>, map: &mut MapReader<'_>, entry: &Entry) -> Option<Body> {
    let action = map.optional(to, "action");
    let playbook = map.optional(to, "playbook");
    let node = map
        .optional(to, "node")
        .map(|e| (e, text::template_tree(to, &e.value)));
    let asserts = matches!(&action, Some(Entry { value: Spanned { value: Tree::String { text, .. }, .. }, .. })
        if text == "assert");
    let with = map
        .optional(to, "with")
        .and_then(|e| {
            if asserts {
                text::assertion(to, &e.value)
            } else {
                text::template_map(to, "with", &e.value)
            }
        })
        .unwrap_or_default();
    let custom = custom(to, map);
    match (action, playbook) {
        (Some(action), Some(playbook)) => {
            let d = to.error(
                "action-and-playbook",
                playbook.key.span,
                format!(
                    "step `{}` has an action and a playbook, and does only one thing",
                    entry.key.value
                ),
            );
            d.related.push(crate::document::Label {
                span: action.key.span,
                text: "the action".to_owned(),
            });
            d.help = Some("make two steps of it".to_owned());
            None
        }
        (Some(action), None) => Some(Body::Action {
            name: text::fixed_text(to, "action", &action.value)?,
            node: node.map(|(_, tree)| tree),
            with,
            custom,
        }),
        (None, Some(playbook)) => {
            let misplaced = [
                ("node", node.map(|(e, _)| e.key.span)),
                ("effect", custom.effect.map(|e| e.span)),
                ("probe", custom.probe.map(|e| e.span)),
                ("undo", custom.undo.map(|e| e.span)),
                ("assume", custom.assume.map(|e| e.span)),
            ];
            for (key, span) in misplaced {
                if let Some(span) = span {
                    let d = to.error(
                        "unknown-key",
                        span,
                        format!("a step with `playbook` has no `{key}`"),
                    );
                    d.help = Some(
                        "the playbook's own steps say it; pass it as a parameter in `with`"
                            .to_owned(),
                    );
                }
            }
            Some(Body::Playbook {
                name: text::fixed_text(to, "playbook", &playbook.value)?,
                with,
            })
        }
        (None, None) => {
            // A key without value was reported, and one that is misspelt will be.
            if !map.mentions("action") && !map.mentions("playbook") {
                let d = to.error(
                    "missing-key",
                    entry.key.span,
                    format!("step `{}` needs `action` or `playbook`", entry.key.value),
                );
                d.label = "it does nothing".into();
            }
            None
        }
    }
}

/// What `exec`, `sql` and `http` say about themselves. Whether the action is one of these is checked with the catalog.
fn custom(to: &mut Lowering<'_>, map: &mut MapReader<'_>) -> Custom {
    let effect = map.optional(to, "effect").and_then(|e| {
        let choices = [
            ("read", CustomEffect::Read),
            ("idempotent", CustomEffect::Idempotent),
            ("once", CustomEffect::Once),
        ];
        to.one_of("`effect`", &e.value, &choices)
    });
    let mut inputs = |key| {
        let entry = map.optional(to, key)?;
        let values = text::template_map(to, key, &entry.value)?;
        Some(Spanned::new(values, entry.key.span))
    };
    Custom {
        effect,
        probe: inputs("probe"),
        undo: inputs("undo"),
        assume: inputs("assume"),
    }
}
