//! Whether a standby may log in to its upstream, tried as the standby would: from its host, as its server's user, with
//! the connection string that it is going to have.

use super::dialect::program;
use super::live::LiveCluster;
use super::maker::Maker;
use crate::cluster::{self, Admission, NodeName, Trouble};
use crate::transport::{Command, Finished};
use std::time::Duration;

/// What the attempt may take on the host, and before that until the server is reached.
const TRY: Duration = Duration::from_secs(8);
const CONNECT: &str = "5";

impl LiveCluster {
    pub(super) async fn try_joining(
        &self,
        from: &NodeName,
        to: &NodeName,
    ) -> Result<Admission, Trouble> {
        let (source, target) = (self.node(from)?, self.node(to)?);
        let access = &self.inventory.replication;
        // From this machine the server sees the same address, whoever tries; a program is started only for a doubt.
        if matches!(source.transport, cluster::Transport::Local { .. })
            && access.options.is_empty()
            && self.pool.lets_replicate(target, &access.user).await
        {
            return Ok(Admission::Granted);
        }
        let names = self.dialect.names();
        let maker = Maker {
            names,
            inventory: &self.inventory,
        };
        let conninfo = maker.conninfo(source, target)?;
        if conninfo.sent() != conninfo.shown() {
            let why =
                "its connection string holds a secret, which must not stand on a command line";
            return Ok(Admission::Untold(why.to_owned()));
        }
        // The database is what a standby looks up in its passfile. Of two names the last one counts: under the node's own it
        // would be taken for a second receiver of it.
        let conninfo = format!(
            "{} application_name=pgbaton dbname=replication replication=true connect_timeout={CONNECT}",
            conninfo.sent()
        );
        let client = program(source, names.client);
        let argv = [
            &client,
            "-X",
            "-w",
            "-q",
            "-A",
            "-t",
            "-c",
            "IDENTIFY_SYSTEM",
            &conninfo,
        ];
        let command =
            Command::new(argv, TRY).with_env([("LC_ALL".to_owned(), "C".to_owned())].into());
        Ok(match self.look(from, command).await {
            Ok(finished) => told(&finished),
            Err(trouble) => Admission::Untold(trouble.message),
        })
    }
}

/// What the client says where it did not get to the server.
const NO_WAY: [&str; 6] = [
    "Connection refused",
    "Connection timed out",
    "timeout expired",
    "No route to host",
    "Network is unreachable",
    "could not translate host name",
];

/// `psql` exits with 2 when it has no session, and says why.
fn told(finished: &Finished) -> Admission {
    if finished.success() {
        return Admission::Granted;
    }
    let complaint = finished.complaint();
    // Of several tries, over TLS and without, the last one counts.
    let last = complaint.rsplit("failed:").next().unwrap_or_default();
    let why = last.trim().trim_start_matches("FATAL:").trim();
    // Whoever does not get to the server was not refused by it.
    let arrived = !NO_WAY.iter().any(|no_way| why.contains(no_way));
    if finished.status == 2 && arrived && !why.is_empty() {
        return Admission::Refused(why.to_owned());
    }
    Admission::Untold(format!(
        "the client exited with {}: {complaint}",
        finished.status
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_session_that_was_refused_is_a_refusal() {
        let ended = |status, stderr: &str| Finished {
            status,
            stdout: Vec::new(),
            stderr: stderr.as_bytes().to_vec(),
            truncated: false,
        };
        assert_eq!(told(&ended(0, "")), Admission::Granted);
        let fatal = "psql: error: connection to server at \"10.0.0.2\", port 5432 failed: FATAL:  \
                     no pg_hba.conf entry for replication connection from host \"10.0.0.3\"\n";
        let why = "no pg_hba.conf entry for replication connection from host \"10.0.0.3\"";
        assert_eq!(told(&ended(2, fatal)), Admission::Refused(why.to_owned()));
        let lacks = "psql: error: connection to server at \"127.0.0.1\", port 30789 failed: fe_sendauth: no password supplied\n";
        let why = "fe_sendauth: no password supplied";
        assert_eq!(told(&ended(2, lacks)), Admission::Refused(why.to_owned()));
        let refused = "psql: error: connection to server at \"10.0.0.2\", port 5432 failed: Connection refused\n";
        assert!(matches!(told(&ended(2, refused)), Admission::Untold(_)));
        let missing = "setpriv: failed to execute psql: No such file or directory\n";
        assert!(matches!(told(&ended(127, missing)), Admission::Untold(_)));
    }
}
