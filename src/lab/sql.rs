//! Sessions on a lab's servers; every one bounded from outside, because a frozen server accepts and stays silent.

use super::writer::Endpoint;
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio_postgres::{Client, NoTls};

/// A session; it ends when dropped.
pub(super) struct Session {
    pub(super) client: Client,
    task: AbortHandle,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("there was no answer within {:.1} s", .0.as_secs_f64())]
    Late(Duration),
    #[error("the server refused, or is not there")]
    Refused(#[source] tokio_postgres::Error),
}

/// Logs in, or not, within `bound`. `options` are settings of the session, as on `postgres`'s command line.
pub(super) async fn connect(
    endpoint: &Endpoint,
    options: &str,
    bound: Duration,
) -> Result<Session, ConnectError> {
    let mut config = tokio_postgres::Config::new();
    config
        .host(&endpoint.host)
        .port(endpoint.port)
        .user(&endpoint.user)
        .dbname(&endpoint.dbname)
        .application_name("pgbaton lab")
        .options(options);
    let (client, connection) = tokio::time::timeout(bound, config.connect(NoTls))
        .await
        .map_err(|_| ConnectError::Late(bound))?
        .map_err(ConnectError::Refused)?;
    // Its error reaches the client's calls too.
    let task = tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(Session {
        client,
        task: task.abort_handle(),
    })
}
