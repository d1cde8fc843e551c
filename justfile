# The daily commands. `just` without an argument lists them.

_list:
    @just --list --unsorted

# A failover to look at
demo *args:
    scripts/demo {{ args }}

# Format, lints, all tests
test *args:
    scripts/test {{ args }}

# Lints alone
lint:
    cargo fmt --all --check
    cargo clippy --locked --all-targets -- -D warnings

# Formats everything
fmt:
    cargo fmt --all

# Takes over changed snapshots and generated files; look at the diff before you commit it
bless *args:
    PGBATON_BLESS=1 INSTA_UPDATE=always cargo test --locked {{ args }}

# Licences, advisories, sources of the dependencies
deny:
    cargo deny --locked check

# Makes the book of docs/, target/book/index.html
book:
    scripts/book

# A static program and a Debian package, target/package/
package *args:
    scripts/package {{ args }}
