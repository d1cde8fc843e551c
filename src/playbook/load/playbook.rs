//! The top level.

use super::param::SECRET_VALUE;
use super::{attempts, block, for_each, param, text};
use crate::document::{Diagnostics, Entry, Lowering, MapReader, Source, Spanned, Tree};
use crate::playbook::overlay::merged;
use crate::playbook::{Block, Defaults, Playbook, Waiver};

/// Keys that people bring from elsewhere, and what they are called here.
const FOREIGN: [(&str, &str); 7] = [
    ("name", "the name of a playbook is the value of `playbook`"),
    ("description", "it is `summary`"),
    ("inputs", "they are `params`"),
    (
        "vars",
        "variables of the site are `vars` in the site file; inputs of a playbook are `params`",
    ),
    ("tasks", "they are `steps`"),
    ("jobs", "they are `steps`"),
    ("on", "triggers are configured in the site file"),
];

/// Reads a playbook and reports everything that its text alone can tell, in the order of the text. `None` when there is
/// nothing to go on with. A playbook with errors comes back without the parts that are wrong, so that further checks can
/// add theirs: whoever runs it must look at `diagnostics` first.
pub fn load(source: &Source, diagnostics: &mut Diagnostics) -> Option<Playbook> {
    let mut found = Diagnostics::default();
    let playbook = read(source, &mut found);
    found.sort();
    mask_secrets(&mut found);
    diagnostics.append(found);
    playbook
}

/// Blackens in all excerpts what was written in place of a reference to a secret: it may be the secret.
fn mask_secrets(diagnostics: &mut Diagnostics) {
    let Some(first) = diagnostics.0.iter().find(|d| d.code == SECRET_VALUE) else {
        return;
    };
    let mut text = first.source.text.to_string();
    for secret in diagnostics.0.iter().filter(|d| d.code == SECRET_VALUE) {
        // As many bytes as before: all places stay right.
        let places = secret.span.start..secret.span.end;
        if text.get(places.clone()).is_some() {
            text.replace_range(places.clone(), &"*".repeat(places.len()));
        }
    }
    let masked = first.source.with_text(text);
    for diagnostic in &mut diagnostics.0 {
        diagnostic.source = masked.clone();
    }
}

fn read(source: &Source, diagnostics: &mut Diagnostics) -> Option<Playbook> {
    let tree = merged(source, diagnostics)?;
    let to = &mut Lowering {
        source,
        diagnostics,
    };
    let mut map = to.map("a playbook", &tree)?;
    let name = map
        .required(to, "playbook")
        .and_then(|e| name(to, &e.value));
    let version = map
        .optional(to, "version")
        .and_then(|e| version(to, &e.value));
    let summary = map
        .optional(to, "summary")
        .and_then(|e| to.string("`summary`", &e.value));
    let params = map
        .optional(to, "params")
        .and_then(|e| to.entries("`params`", &e.value))
        .map(|entries| entries.iter().filter_map(|e| param::param(to, e)).collect())
        .unwrap_or_default();
    let waivers = map
        .optional(to, "waive")
        .and_then(|e| to.entries("`waive`", &e.value))
        .map(|entries| entries.iter().filter_map(|e| waiver(to, e)).collect())
        .unwrap_or_default();
    let timeout = map
        .optional(to, "timeout")
        .and_then(|e| text::duration(to, "timeout", &e.value, false));
    let defaults = map
        .optional(to, "defaults")
        .and_then(|e| defaults(to, &e.value))
        .unwrap_or_default();
    let retried = defaults.retry.is_some();
    let steps = steps(to, &mut map, retried);
    let mut scope = |key| {
        map.optional(to, key)
            .and_then(|e| block::block(to, e, false, retried))
    };
    let rescue = scope("rescue");
    let finally = scope("finally");
    let outputs = map
        .optional(to, "outputs")
        .map(|e| block::outputs(to, &e.value))
        .unwrap_or_default();
    map.finish_with(to, &FOREIGN);
    Some(Playbook {
        source: source.clone(),
        name: name.unwrap_or(Spanned::new(String::new(), tree.span)),
        version,
        summary: summary.map(|s| s.value),
        waivers,
        params,
        timeout,
        defaults,
        steps,
        rescue,
        finally,
        outputs,
    })
}

/// A rule that is put aside, and why: without a reason it is not.
fn waiver(to: &mut Lowering<'_>, entry: &Entry) -> Option<Waiver> {
    let reason = to.string("the reason", &entry.value)?;
    if reason.value.trim().is_empty() {
        to.error(
            "empty-reason",
            reason.span,
            format!("`{}` is waived without a reason", entry.key.value),
        )
        .help = Some("say why, so that whoever reads it later can judge".to_owned());
        return None;
    }
    Some(Waiver {
        code: entry.key.clone(),
        reason: reason.value,
    })
}

fn steps(to: &mut Lowering<'_>, map: &mut MapReader<'_>, retried: bool) -> Block {
    let Some(entry) = map.required(to, "steps") else {
        return Block::default();
    };
    Block {
        span: entry.key.span,
        timeout: None,
        steps: block::steps(to, &entry.value, entry.key.span, retried),
        outputs: Vec::new(),
    }
}

fn defaults(to: &mut Lowering<'_>, value: &Spanned<Tree>) -> Option<Defaults> {
    let mut map = to.map("`defaults`", value)?;
    let timeout = map
        .optional(to, "timeout")
        .and_then(|e| text::duration(to, "timeout", &e.value, false));
    let retry = map
        .optional(to, "retry")
        .and_then(|e| attempts::retry(to, &e.value));
    let max_parallel = map
        .optional(to, "max_parallel")
        .and_then(|e| for_each::max_parallel(to, &e.value));
    map.finish(to);
    Some(Defaults {
        timeout: timeout.map(|t| t.value),
        retry,
        max_parallel,
    })
}

/// The name of a playbook: what people type, and what becomes part of paths and file names.
fn name(to: &mut Lowering<'_>, value: &Spanned<Tree>) -> Option<Spanned<String>> {
    let name = to.string("`playbook`", value)?;
    let good = name.value.starts_with(|c: char| c.is_ascii_lowercase())
        && name.value.len() <= 63
        && name
            .value
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'));
    if good {
        return Some(name);
    }
    let d = to.error(
        "bad-name",
        name.span,
        format!("`{}` cannot be the name of a playbook", name.value),
    );
    d.label = "1 to 63 small letters, digits, `_` and `-`, beginning with a letter".into();
    None
}

/// `MAJOR.MINOR.PATCH`.
fn version(to: &mut Lowering<'_>, value: &Spanned<Tree>) -> Option<Spanned<String>> {
    let text = match &value.value {
        Tree::String { text, .. } => text.clone(),
        Tree::Integer(_) | Tree::Float(_) => text::written(to, value.span),
        _ => {
            to.wrong_kind("`version`", "a version like 1.0.0", value);
            return None;
        }
    };
    let parts: Vec<&str> = text.split('.').collect();
    let number = |part: &&str| {
        !part.is_empty()
            && part.len() <= 9
            && part.bytes().all(|b| b.is_ascii_digit())
            && (*part == "0" || !part.starts_with('0'))
    };
    if parts.len() == 3 && parts.iter().all(number) {
        return Some(Spanned::new(text, value.span));
    }
    let d = to.error(
        "bad-version",
        value.span,
        format!("`{text}` is not a version"),
    );
    d.help = Some(if parts.len() < 3 && parts.iter().all(number) {
        let meant = format!("{text}{}", ".0".repeat(3 - parts.len()));
        format!("a version has three numbers: `{meant}`")
    } else {
        "a version has three numbers, like `1.0.0`".to_owned()
    });
    None
}
