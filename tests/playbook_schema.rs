//! `schemas/playbook.schema.json`, which editors read by the head line of every stock playbook, is that of the catalog.

use std::path::Path;

#[test]
fn the_committed_schema_of_playbooks_is_that_of_the_catalog() {
    let schema = pgbaton::playbook::schema(&pgbaton::actions::catalog());
    let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/playbook.schema.json");
    if std::env::var_os("PGBATON_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == text,
        "schemas/playbook.schema.json is stale; PGBATON_BLESS=1 cargo test --test playbook_schema writes it"
    );
}
