//! repmgr's table of the nodes: read, and put right.

use super::dialect::{SqlStep, Step};
use super::live::{LiveCluster, OPEN};
use super::login::SessionKind;
use super::pool::REPLY;
use super::quoting::ident;
use super::secret::Masked;
use super::wire::Answer;
use crate::cluster::{
    Inventory, NodeName, RepmgrNode, RepmgrRow, RepmgrTable, RepmgrType, Trouble, TroubleKind,
};

/// The table, by its whole name.
fn table(of: &RepmgrTable) -> String {
    format!("{}.nodes", ident(&of.schema))
}

fn table_of<'i>(inventory: &'i Inventory, node: &NodeName) -> Result<&'i RepmgrTable, Trouble> {
    inventory.repmgr.as_ref().ok_or_else(|| {
        Trouble::on(
            TroubleKind::Failed,
            node,
            "the site file does not say where repmgr keeps its table",
        )
        .with_help("say it at the cluster: `repmgr: { database: repmgr, schema: repmgr }`")
    })
}

/// Changes rows, all or none. Committed locally: it cannot hang on standbys that have yet to follow.
pub(super) fn update(
    inventory: &Inventory,
    node: &NodeName,
    rows: &[RepmgrRow],
) -> Result<Step, Trouble> {
    let about = table_of(inventory, node)?;
    let values: Vec<String> = rows
        .iter()
        .map(|row| {
            let upstream = row
                .upstream
                .map_or_else(|| "NULL::int".to_owned(), |id| id.to_string());
            let kind = row.kind.as_str();
            format!("({}, '{kind}', {}, {upstream})", row.id, row.active)
        })
        .collect();
    let text = format!(
        "BEGIN; SET LOCAL synchronous_commit = local; UPDATE {} AS n \
         SET type = v.type, active = v.active, upstream_node_id = v.upstream \
         FROM (VALUES {}) AS v (id, type, active, upstream) WHERE n.node_id = v.id; COMMIT",
        table(about),
        values.join(", ")
    );
    let mut step = SqlStep::new(node, Masked::plain(text));
    step.dbname = Some(about.database.clone());
    Ok(Step::Sql(step))
}

/// Sets the flag that the server's repmgrd heeds; it outlives the server.
pub(super) fn pause(inventory: &Inventory, node: &NodeName, paused: bool) -> Result<Step, Trouble> {
    let about = table_of(inventory, node)?;
    let text = format!("SELECT {}.repmgrd_pause({paused})", ident(&about.schema));
    let mut step = SqlStep::new(node, Masked::plain(text));
    step.dbname = Some(about.database.clone());
    Ok(Step::Sql(step))
}

impl LiveCluster {
    /// The whole table, from this node.
    pub(super) async fn read_repmgr(&self, node: &NodeName) -> Result<Vec<RepmgrNode>, Trouble> {
        self.node(node)?;
        let about = table_of(&self.inventory, node)?;
        let what = "failed to read repmgr's table of nodes";
        let kind = SessionKind::Own(about.database.clone());
        let opened = self.pool.open(node, kind, OPEN).await;
        let mut session = opened.map_err(|error| error.when_asking(node, what))?;
        let question = format!(
            "SELECT node_id, node_name, type, active::int, upstream_node_id FROM {} ORDER BY node_id",
            table(about)
        );
        let answers = session.simple(&question, REPLY).await;
        let answers = answers.map_err(|fault| fault.when_asking(node, what))?;
        Ok(answers.first().map(nodes).unwrap_or_default())
    }
}

/// Rows of a kind that this version does not know are nobody's to change, and left out.
fn nodes(answer: &Answer) -> Vec<RepmgrNode> {
    let read = |row: &Vec<Option<String>>| {
        let text = |index: usize| row.get(index).and_then(Option::as_deref);
        Some(RepmgrNode {
            name: text(1)?.to_owned(),
            row: RepmgrRow {
                id: text(0)?.parse().ok()?,
                kind: RepmgrType::parse(text(2)?)?,
                active: text(3) == Some("1"),
                upstream: text(4).and_then(|id| id.parse().ok()),
            },
        })
    };
    answer.rows.iter().filter_map(read).collect()
}
