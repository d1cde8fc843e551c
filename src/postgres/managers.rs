//! Other managers of a node: what its host shows of them, and what repmgr's extension and Patroni's REST interface say.

use super::live::{LOOK, LiveCluster, OPEN, script_trouble};
use super::login::SessionKind;
use super::pool::{REPLY, Warm};
use super::questions::{Fields, Garbled};
use super::quoting::ident;
use super::wire::Answer;
use crate::cluster::{Manager, ManagerKind, Managers, NodeName, Transport, Trouble};
use crate::transport::{HttpClient, HttpSend};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::timeout;

/// What Patroni may take to answer.
const REST: Duration = Duration::from_secs(2);
/// Where it listens unless it is told otherwise.
const REST_PORT: u16 = 8008;

/// Other programs that manage the server of this data directory: repmgrd, kbha, Patroni; a line each. One whose
/// configuration names another data directory is another server's. Also lines of cron that start kbha.
const MANAGERS: &str = r#"
D=$1
words() { tr '\0' '\n' 2>/dev/null <"/proc/$1/cmdline"; }
# Its configuration names a data directory, and that is not this one.
elsewhere() {
  [ -n "$1" ] && [ -r "$1" ] || return 1
  d=$(sed -n "$2" "$1" | head -n 1)
  [ -n "$d" ] && ! [ "$d" -ef "$D" ]
}
# It has ended with all its threads, and whoever started it has not asked how: it can do nothing, and names no configuration.
ended() { [ "$(sed -n -e '/^State:[[:space:]]*[ZX]/p' -e '/^Threads:[[:space:]]*[01]$/p' "/proc/$1/status" 2>/dev/null | wc -l)" -eq 2 ]; }
for p in /proc/[0-9]*; do
  p=${p#/proc/}
  comm=; IFS= read -r comm 2>/dev/null <"/proc/$p/comm" || continue
  case $comm in repmgrd|kbha|patroni|python*) ! ended "$p" || continue ;; *) continue ;; esac
  case $comm in
    repmgrd|kbha)
      conf=$(words "$p" | sed -n -e '/^-f$/{n;p;}' -e '/^--config-file$/{n;p;}' -e 's/^--config-file=//p' | head -n 1)
      elsewhere "$conf" "s/^[[:space:]]*data_directory[[:space:]]*=[[:space:]]*'\{0,1\}\([^'[:space:]]*\).*/\1/p" || echo "$comm $p"
      ;;
    patroni|python*)
      case $comm in python*) case $(words "$p" | sed -n 2p) in patroni|*/patroni) ;; *) continue ;; esac ;; esac
      conf=$(words "$p" | tail -n 1)
      elsewhere "$conf" "s/^[[:space:]]*data_dir:[[:space:]]*['\"]\{0,1\}\([^'\"[:space:]]*\).*/\1/p" && continue
      rest=
      [ -f "$conf" ] && [ -r "$conf" ] && rest=$(sed -n -e "/^restapi:/,/^[^[:space:]#r]/s/^[[:space:]]*connect_address:[[:space:]]*['\"]\{0,1\}\([^'\"[:space:]#]*\).*/\1/p" "$conf" | head -n 1)
      echo "patroni $p $rest"
      ;;
  esac
done
for f in /etc/crontab /etc/cron.d/* /var/spool/cron/crontabs/* /var/spool/cron/*; do
  [ -f "$f" ] && [ -r "$f" ] || continue
  [ -z "$(sed -n -e '/^[[:space:]]*#/d' -e '/kbha/p' "$f")" ] || echo "cron $f"
done
[ -z "$(crontab -l 2>/dev/null | sed -n -e '/^[[:space:]]*#/d' -e '/kbha/p')" ] || echo "cron crontab of $(id -un)"
:
"#;

/// Names of sessions as repmgrd and Patroni give them. They stay open; the session of a command that a person types has ended
/// by then.
const SESSIONS: &str = "SELECT DISTINCT application_name FROM pg_stat_get_activity(NULL) \
    WHERE backend_type = 'client backend' \
    AND lower(application_name) ~ '^(repmgr$|patroni)' AND lower(application_name) <> 'patroni ctl' \
    AND backend_start < clock_timestamp() - interval '10 seconds' ORDER BY 1";

/// What the host shows: a kind, what tells of it, and where it listens.
type Sign = (ManagerKind, String, Option<String>);

impl LiveCluster {
    /// All that act on this node. An error where neither its host nor its server says anything: nothing was seen then,
    /// which is not the same as nobody.
    pub(super) async fn look_for_managers(&self, node: &NodeName) -> Result<Managers, Trouble> {
        let (signs, repmgrd) =
            tokio::join!(self.managers_on_host(node), self.repmgrd_in_database(node));
        let asks_the_database = self.inventory.repmgr.is_some();
        let (signs, repmgrd, unseen) = match (signs, repmgrd) {
            (Ok(signs), repmgrd) => (signs, repmgrd.ok().flatten(), false),
            (Err(_), Ok(repmgrd)) if asks_the_database => (Vec::new(), repmgrd, true),
            (Err(trouble), _) => return Err(trouble),
        };
        let mut found = Vec::new();
        for (kind, sign, address) in signs {
            let paused = match kind {
                // It heeds the flag in its server's shared memory.
                ManagerKind::Repmgrd => repmgrd.as_ref().map(|told| told.paused),
                ManagerKind::Kbha => None,
                ManagerKind::Patroni => self.patroni_paused(node, address.as_deref()).await,
            };
            found.push(Manager { kind, sign, paused });
        }
        if let Some(Repmgrd {
            pid: Some(pid),
            paused,
        }) = repmgrd
            && !found.iter().any(|m| m.kind == ManagerKind::Repmgrd)
        {
            found.push(Manager {
                kind: ManagerKind::Repmgrd,
                sign: format!("process {pid}, as its server says"),
                paused: Some(paused),
            });
        }
        Ok(Managers { found, unseen })
    }

    /// What the server alone shows of them: sessions that are called so, and repmgr's own functions.
    pub(super) async fn managers_by_server(
        &self,
        node: &NodeName,
        within: Duration,
    ) -> Result<Vec<Manager>, Trouble> {
        let what = "failed to look for other managers' sessions";
        // Each of the two that may hang has less than the whole.
        let part = within / 2;
        let asked = |_| SESSIONS.to_owned();
        let (sessions, repmgrd) = tokio::join!(
            self.ask(node, what, Warm::Sql, asked, named),
            timeout(part, self.repmgrd_in_database(node)),
        );
        let sessions = sessions?;
        let mut found = Vec::new();
        let called = |begin: &str| {
            let mut sessions = sessions.iter();
            let session = sessions.find(|name| name.to_lowercase().starts_with(begin));
            session.map(|name| format!("a session called {name}"))
        };
        match repmgrd {
            Ok(Ok(Some(Repmgrd { pid, paused }))) => found.extend(pid.map(|pid| Manager {
                kind: ManagerKind::Repmgrd,
                sign: format!("process {pid}, as its server says"),
                paused: Some(paused),
            })),
            // Nobody else knows whether it is paused.
            _ => found.extend(called("repmgr").map(|sign| Manager {
                kind: ManagerKind::Repmgrd,
                sign,
                paused: None,
            })),
        }
        if let Some(sign) = called("patroni") {
            let paused = timeout(part, self.patroni_paused(node, None)).await;
            found.push(Manager {
                kind: ManagerKind::Patroni,
                sign,
                paused: paused.ok().flatten(),
            });
        }
        Ok(found)
    }

    async fn managers_on_host(&self, name: &NodeName) -> Result<Vec<Sign>, Trouble> {
        let node = self.node(name)?;
        if matches!(node.transport, Transport::Local { .. }) && self.alone_here.ask().await {
            return Ok(Vec::new());
        }
        let data = node.data.display().to_string();
        let command = crate::transport::Command::script(MANAGERS, &[data.as_str()], LOOK);
        let finished = self.look(name, command).await?;
        if finished.success() {
            return Ok(finished.out().lines().filter_map(sign).collect());
        }
        let what = "failed to look for other managers on its host";
        Err(script_trouble(name, what, &finished))
    }

    /// What repmgr's extension says of the daemon of this server; none without `repmgr` in the site file.
    async fn repmgrd_in_database(&self, node: &NodeName) -> Result<Option<Repmgrd>, Trouble> {
        let Some(table) = &self.inventory.repmgr else {
            return Ok(None);
        };
        let what = "failed to ask for repmgrd";
        let kind = SessionKind::Own(table.database.clone());
        let opened = self.pool.open(node, kind, OPEN).await;
        let mut session = opened.map_err(|error| error.when_asking(node, what))?;
        let schema = ident(&table.schema);
        let question = format!(
            "SELECT {schema}.repmgrd_is_running()::int, {schema}.get_repmgrd_pid(), {schema}.repmgrd_is_paused()::int"
        );
        let answers = session.simple(&question, REPLY).await;
        let answers = answers.map_err(|fault| fault.when_asking(node, what))?;
        let row = answers.first().and_then(|answer| answer.rows.first());
        let text = |index: usize| row.and_then(|row| row.get(index)?.as_deref());
        // Without its library in shared_preload_libraries there is no flag: it answers with nulls.
        Ok(text(2).map(|paused| Repmgrd {
            pid: text(1).filter(|_| text(0) == Some("1")).map(str::to_owned),
            paused: paused == "1",
        }))
    }

    /// Patroni keeps its pause in the store that it shares with its like; its REST interface shows it.
    async fn patroni_paused(&self, node: &NodeName, address: Option<&str>) -> Option<bool> {
        let host = &self.inventory.node(node)?.host;
        let address = address.map_or_else(|| format!("{host}:{REST_PORT}"), str::to_owned);
        let send = HttpSend {
            method: "GET".to_owned(),
            url: format!("http://{address}/config"),
            headers: BTreeMap::new(),
            body: None,
            deadline: REST,
        };
        let answer = HttpClient.send(send).await.ok()?;
        (answer.status == 200)
            .then(|| is_paused(&answer.body))
            .flatten()
    }
}

fn named(answers: &[Answer]) -> Result<Vec<String>, Garbled> {
    let rows = answers.iter().flat_map(|answer| &answer.rows);
    rows.map(|row| Fields::of(row).required("a session's name"))
        .collect()
}

/// repmgr's daemon, as its server knows it.
struct Repmgrd {
    /// None: it does not run.
    pid: Option<String>,
    paused: bool,
}

/// Patroni's configuration: no `pause` in it means that it is not paused.
fn is_paused(config: &str) -> Option<bool> {
    let config: serde_json::Value = serde_json::from_str(config).ok()?;
    let pause = config.as_object()?.get("pause");
    Some(pause.and_then(serde_json::Value::as_bool).unwrap_or(false))
}

/// A line of the script's.
fn sign(line: &str) -> Option<Sign> {
    let (word, rest) = line.split_once(' ')?;
    if word == "cron" {
        return Some((ManagerKind::Kbha, line.to_owned(), None));
    }
    let kind = ManagerKind::parse(word)?;
    let (pid, address) = rest.split_once(' ').unwrap_or((rest, ""));
    let address = Some(address.trim()).filter(|address| !address.is_empty());
    Some((kind, format!("process {pid}"), address.map(str::to_owned)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_shows_is_told_apart() {
        for (line, expected) in [
            (
                "repmgrd 12",
                Some((ManagerKind::Repmgrd, "process 12", None)),
            ),
            (
                "patroni 7 10.0.0.1:8009",
                Some((ManagerKind::Patroni, "process 7", Some("10.0.0.1:8009"))),
            ),
            (
                "cron /etc/cron.d/KINGBASECRON",
                Some((ManagerKind::Kbha, "cron /etc/cron.d/KINGBASECRON", None)),
            ),
            ("something 1", None),
            ("", None),
        ] {
            let found = sign(line);
            let found = found
                .as_ref()
                .map(|(kind, sign, address)| (*kind, sign.as_str(), address.as_deref()));
            assert_eq!(found, expected, "{line}");
        }
    }

    #[test]
    fn patroni_is_paused_only_where_it_says_so() {
        for (config, paused) in [
            (r#"{"ttl": 30, "pause": true}"#, Some(true)),
            (r#"{"ttl": 30, "pause": false}"#, Some(false)),
            (r#"{"ttl": 30}"#, Some(false)),
            ("<html>", None),
        ] {
            assert_eq!(is_paused(config), paused, "{config}");
        }
    }
}
