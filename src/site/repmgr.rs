//! `repmgr`: where repmgr keeps its table of nodes, which is to be kept right.

use super::words;
use crate::cluster::{Product, RepmgrTable};
use crate::document::{Lowering, Spanned, Tree};

/// None only after an error.
pub(super) fn lower(
    to: &mut Lowering<'_>,
    value: &Spanned<Tree>,
    product: Product,
) -> Option<RepmgrTable> {
    let mut map = to.map("`repmgr`", value)?;
    let database = map
        .optional(to, "database")
        .map(|e| words::text(to, "`database`", &e.value));
    let schema = map
        .optional(to, "schema")
        .map(|e| words::text(to, "`schema`", &e.value));
    map.finish(to);
    let or = |given: Option<Option<Spanned<String>>>, default: &str| match given {
        None => Some(default.to_owned()),
        Some(text) => text.map(|text| text.value),
    };
    Some(RepmgrTable {
        database: or(database, default_database(product))?,
        schema: or(schema, "repmgr")?,
    })
}

/// Where its installation puts the table.
fn default_database(product: Product) -> &'static str {
    match product {
        Product::Postgresql => "repmgr",
        Product::Kingbase => "esrep",
    }
}
