//! Real servers behind the port: what a watch asks.

use super::live::{LiveCluster, host_trouble};
use super::login::SessionKind;
use super::pool::{CONNECT, Error, Warm};
use super::questions::{Fields, Garbled};
use super::wire::Answer;
use crate::cluster::{Knock, Load, Manager, NodeName, Trouble, Watch};
use crate::transport::{Command, TransportError};
use async_trait::async_trait;
use std::time::Duration;

/// Of all sessions those of clients count, pgbaton's own included.
const LOAD: &str = "SELECT count(*) FILTER (WHERE backend_type = 'client backend'), current_setting('max_connections'), \
    count(*) FILTER (WHERE wait_event = 'SyncRep'), \
    coalesce(round(extract(epoch FROM max(clock_timestamp() - query_start) FILTER (WHERE wait_event = 'SyncRep')) * 1000), 0)::bigint, \
    coalesce(round(extract(epoch FROM max(clock_timestamp() - query_start) \
    FILTER (WHERE lower(wait_event) IN ('walsync', 'walwrite'))) * 1000), 0)::bigint \
    FROM pg_stat_get_activity(NULL)";

/// Reads a block past the cache and has a file made durable; arguments: the data directory, and the file in it.
const DISK: &str = r#"
f=$1/$2
[ -r "$f" ] || exit 66
dd if="$f" of=/dev/null bs=4096 count=1 iflag=direct 2>/dev/null || dd if="$f" of=/dev/null bs=512 count=1 2>/dev/null
sync "$f"
"#;

#[async_trait]
impl Watch for LiveCluster {
    async fn knock(&self, node: &NodeName, within: Duration) -> Result<Knock, Trouble> {
        let node = self.node(node)?;
        Ok(self.pool.knock(node, within).await)
    }

    async fn vigil(&self, node: &NodeName) -> Result<(), Trouble> {
        let kind = SessionKind::Own(self.inventory.sql.dbname.clone());
        let session = self.pool.open(node, kind, CONNECT).await;
        let session = session.map_err(|error: Error| error.when_asking(node, "failed to watch"))?;
        session.ended().await;
        Ok(())
    }

    async fn load(&self, node: &NodeName) -> Result<Load, Trouble> {
        let what = "failed to ask how busy it is";
        self.ask(node, what, Warm::Sql, |_| LOAD.to_owned(), load)
            .await
    }

    async fn acting(&self, node: &NodeName, within: Duration) -> Result<Vec<Manager>, Trouble> {
        self.managers_by_server(node, within).await
    }

    async fn disk_answers(&self, node: &NodeName, within: Duration) -> Result<bool, Trouble> {
        let about = self.node(node)?;
        let file = self.dialect.names().auto_conf;
        let data = about.data.display().to_string();
        let command = Command::script(DISK, &[&data, file], within);
        match self.way(node)?.run(command).await {
            Ok(finished) => Ok(finished.success()),
            Err(TransportError::Deadline { .. }) => Ok(false),
            Err(error) => Err(host_trouble(node, &error)),
        }
    }
}

fn load(answers: &[Answer]) -> Result<Load, Garbled> {
    let row = answers.first().and_then(|a| a.rows.first());
    let mut f = Fields::of(row.ok_or(Garbled("row"))?);
    Ok(Load {
        sessions: f.required("sessions")?,
        most: f.required("max_connections")?,
        waiting: f.required("waiting commits")?,
        longest_ms: f.required("longest wait")?,
        flushing_ms: f.required("longest flush")?,
    })
}
