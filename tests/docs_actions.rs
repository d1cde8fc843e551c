//! `docs/actions.md` is what the catalog says: a page that is written by hand would be wrong with the next action.
#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]

use pgbaton::playbook::{EffectClass, Field, NodeRule, Role, Signature, format_duration};
use std::fmt::Write as _;
use std::path::Path;

const HEAD: &str = "# Actions

<!-- Written by tests/docs_actions.rs from the catalog; do not edit. -->

What a step can do. The page is made from the catalog that `pgbaton validate` checks against, so the two cannot differ.
How steps are written: [language.md](language.md). Rules of safety: [safety.md](safety.md).

**Effect** says what doing it twice means: *read* changes nothing, *idempotent* twice is as once, *once* must not be done
twice, *the step says it* needs `effect:` (and may have `probe`, `undo`, `assume`). An input or output that is not
*required* or *always* may be null. A timeout is the limit of one attempt where neither the step nor the playbook's
`defaults` set one.
";

fn node(rule: NodeRule) -> &'static str {
    match rule {
        NodeRule::Required => "required",
        NodeRule::Optional => "optional",
        NodeRule::Refused => "none",
    }
}

fn effect(class: Option<EffectClass>) -> &'static str {
    match class {
        Some(EffectClass::Read) => "read",
        Some(EffectClass::Idempotent) => "idempotent",
        Some(EffectClass::Once) => "once",
        None => "the step says it",
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Freeze => "freezes (rule 2)",
        Role::Unfreeze => "unfreezes: never after the point of no return (rule 6)",
        Role::Choose => "compares positions (rule 2)",
        Role::Fence => "proves that the old primary is out (rule 1)",
        Role::PointOfNoReturn => "the point of no return (rule 6)",
        Role::Verification => "gives evidence (rule 5)",
    }
}

/// What a table's cell cannot hold.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn table(page: &mut String, what: &str, present: &str, fields: &[Field]) {
    if fields.is_empty() {
        return;
    }
    write!(
        page,
        "\n| {what} | type | {present} | |\n|---|---|---|---|\n"
    )
    .unwrap();
    for field in fields {
        let always = if field.required { "yes" } else { "" };
        let mut help = cell(field.help);
        if !field.allowed.is_empty() {
            let words: Vec<String> = field.allowed.iter().map(|w| format!("`{w}`")).collect();
            let space = if help.is_empty() { "" } else { " " };
            write!(help, "{space}({})", words.join(", ")).unwrap();
        }
        writeln!(
            page,
            "| `{}` | {} | {always} | {help} |",
            field.name,
            field.ty.as_str()
        )
        .unwrap();
    }
}

fn section(page: &mut String, signature: &Signature) {
    write!(
        page,
        "\n## `{}`\n\n{}\n\n",
        signature.name, signature.summary
    )
    .unwrap();
    write!(
        page,
        "Node: {}. Effect: {}. Timeout: {}.",
        node(signature.node),
        effect(signature.effect),
        format_duration(signature.timeout)
    )
    .unwrap();
    if !signature.roles.is_empty() {
        let roles: Vec<_> = signature.roles.iter().copied().map(role).collect();
        write!(page, " Part in safety: {}.", roles.join("; ")).unwrap();
    }
    page.push('\n');
    table(page, "input", "required", &signature.inputs);
    table(page, "output", "always", &signature.outputs);
}

#[test]
fn the_page_on_actions_is_what_the_catalog_says() {
    let mut page = HEAD.to_owned();
    let catalog = pgbaton::actions::catalog();
    for signature in catalog.actions.values() {
        section(&mut page, signature);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/actions.md");
    if std::env::var_os("PGBATON_BLESS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == page,
        "docs/actions.md is stale; PGBATON_BLESS=1 cargo test --test docs_actions writes it"
    );
}
