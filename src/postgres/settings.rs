//! Keeping, restoring and editing a node's replication settings in the files of its data directory.
//!
//! The values may hold a password. They stay in memory as [`Secret`]s, travel by standard input and output, and are
//! kept on the node in a file of mode 0600.

mod keep;

use super::autoconf;
use super::dialect::{EditStep, in_data};
use super::here::finished;
use super::live::{LiveCluster, host_trouble, script_trouble};
use super::native::Native;
use super::perform::host_outcome;
use super::postgresql::{KEPT, alter_system};
use super::scripts;
use super::secret::{MASK, Masked, Secret};
use crate::cluster::{Node, NodeName, Outcome, Trouble, TroubleKind};
use crate::transport::Finished;
use serde_json::{Value, json};
use std::time::Duration;

/// What reading or writing a small file may take.
const FILE: Duration = Duration::from_secs(10);

/// The first line of a file of saved settings.
const HEADER: &str = "# pgbaton: saved replication settings, version 2";

/// A file as it was read.
struct Read {
    /// What it has to be still when it is replaced; `-` for a file that was not there.
    checksum: String,
    text: Secret,
}

impl LiveCluster {
    async fn read_file(&self, name: &NodeName, file: &str) -> Result<Option<Read>, Trouble> {
        let node = self.node(name)?;
        let file_name = file.to_owned();
        if let Some(Ok(bytes)) = self.here(node, move |n| n.read(&file_name)).await {
            let Some(bytes) = bytes else { return Ok(None) };
            let text = String::from_utf8(bytes).map_err(|_| not_utf8(name, node, file))?;
            return Ok(Some(Read {
                checksum: hash(&text),
                text: Secret::new(text),
            }));
        }
        let command = self.script(node, scripts::READ_FILE, &[file], FILE);
        let result = self.way(name)?.run(command).await;
        let finished = result.map_err(|error| host_trouble(name, &error))?;
        if finished.status == scripts::CONFLICT {
            return Ok(None);
        }
        let what = format!("failed to read {}", node.data.join(file).display());
        if !finished.success() || finished.truncated {
            return Err(script_trouble(name, &what, &finished));
        }
        let text = String::from_utf8(finished.stdout).map_err(|_| not_utf8(name, node, file))?;
        let (checksum, text) = text.split_once('\n').unwrap_or((&text, ""));
        Ok(Some(Read {
            checksum: checksum.to_owned(),
            text: Secret::new(text),
        }))
    }

    async fn write_file(&self, name: &NodeName, file: &str, checksum: &str, text: &str) -> Outcome {
        let path = in_data(&self.inventory, name, file);
        let (named, expected, wanted) = (file.to_owned(), checksum.to_owned(), Secret::new(text));
        let write = move |n: &Native| write_here(n, &named, &expected, wanted.reveal());
        // A file that was read by the script is written by the script.
        if !checksum.contains(' ')
            && let Ok(node) = self.node(name)
            && let Some(result) = self.here(node, write).await
        {
            let what = format!("failed to write {path}");
            return match host_outcome(name, &what, "it did not end", Ok(result)) {
                Ok(_) => Outcome::Done(Value::Null),
                Err(outcome) => outcome,
            };
        }
        self.file_script(
            name,
            scripts::WRITE_FILE,
            &[file, checksum],
            text,
            &format!("failed to write {path}"),
        )
        .await
    }

    async fn remove_file(&self, name: &NodeName, file: &str) -> Outcome {
        let path = in_data(&self.inventory, name, file);
        let what = format!("failed to remove {path}");
        let named = file.to_owned();
        if let Ok(node) = self.node(name)
            && let Some(result) = self.files_here(node, move |n| n.remove(&named)).await
        {
            return match host_outcome(name, &what, "it did not end", result) {
                Ok(_) => Outcome::Done(Value::Null),
                Err(outcome) => outcome,
            };
        }
        self.file_script(name, scripts::REMOVE_FILE, &[file], "", &what)
            .await
    }

    async fn file_script(
        &self,
        name: &NodeName,
        script: &str,
        arguments: &[&str],
        stdin: &str,
        what: &str,
    ) -> Outcome {
        let (node, way) = match self.node(name).and_then(|n| Ok((n, self.way(name)?))) {
            Ok(found) => found,
            Err(trouble) => return Outcome::Failed(trouble),
        };
        let command = self.script(node, script, arguments, FILE).with_stdin(stdin);
        match host_outcome(name, what, "it did not end", way.run(command).await) {
            Ok(_) => Outcome::Done(Value::Null),
            Err(outcome) => outcome,
        }
    }

    /// The server's own configuration file; empty when there is none.
    async fn read_conf(&self, node: &NodeName) -> Result<Read, Trouble> {
        let read = self.read_file(node, self.dialect.names().auto_conf).await?;
        Ok(read.unwrap_or(Read {
            checksum: "-".to_owned(),
            text: Secret::new(""),
        }))
    }

    /// Puts the settings back as they were in the server's own configuration file: what was not in it, is not again.
    pub(super) async fn restore(
        &self,
        node: &NodeName,
        file: &str,
        settings: &[&'static str],
        by_file: bool,
    ) -> Outcome {
        let kept = match self.read_file(node, file).await {
            Ok(Some(kept)) if kept.text.reveal().starts_with(HEADER) => kept,
            // Without the archive settings nothing is missing: the node was never frozen, or has been settled before.
            Ok(_) if settings.len() < KEPT.len() => {
                return Outcome::Done(json!({ "restored": false }));
            }
            Ok(_) => {
                return Outcome::Failed(
                    Trouble::on(
                        TroubleKind::Conflict,
                        node,
                        format!("nothing is kept in {}", in_data(&self.inventory, node, file)),
                    )
                    .with_help("it was restored already, or never saved: compare the node's settings with what they should be"),
                );
            }
            Err(trouble) => return Outcome::Failed(trouble),
        };
        let values: Vec<(&'static str, Option<Secret>)> = settings
            .iter()
            .map(|name| (*name, autoconf::value_of(kept.text.reveal(), name)))
            .collect();
        let restored = if by_file {
            self.restore_by_file(node, &values).await
        } else {
            self.restore_by_sql(node, &values).await
        };
        if !matches!(restored, Outcome::Done(_)) {
            return restored;
        }
        match self.remove_file(node, file).await {
            Outcome::Done(_) => Outcome::Done(json!({ "restored": true })),
            Outcome::Failed(trouble) | Outcome::Unknown(trouble) => Outcome::Unknown(Trouble {
                message: format!("the settings are restored, but {}", trouble.message),
                ..trouble
            }),
        }
    }

    async fn restore_by_sql(
        &self,
        node: &NodeName,
        values: &[(&'static str, Option<Secret>)],
    ) -> Outcome {
        let mut statements: Vec<Masked> = values
            .iter()
            .map(|(name, value)| match value {
                Some(value) => {
                    alter_system(name, &Masked::default().and_hidden(value.reveal(), MASK))
                }
                None => Masked::plain(format!("ALTER SYSTEM RESET {name}")),
            })
            .collect();
        statements.push(Masked::plain("SELECT pg_reload_conf()"));
        for (index, statement) in statements.iter().enumerate() {
            if let Err(outcome) = self.tell(node, statement, None).await {
                return super::perform::partly(index, statements.len(), outcome);
            }
        }
        Outcome::Done(Value::Null)
    }

    async fn restore_by_file(
        &self,
        node: &NodeName,
        values: &[(&'static str, Option<Secret>)],
    ) -> Outcome {
        let changes: Vec<(&str, Option<&str>)> = values
            .iter()
            .map(|(name, value)| (*name, value.as_ref().map(Secret::reveal)))
            .collect();
        self.edit_conf(node, &changes).await
    }

    /// Sets settings in the file of a server that is down.
    pub(super) async fn edit(&self, step: &EditStep) -> Outcome {
        let changes: Vec<(&str, Option<&str>)> = step
            .set
            .iter()
            .map(|(name, value)| (*name, Some(value.sent())))
            .collect();
        self.edit_conf(&step.node, &changes).await
    }

    async fn edit_conf(&self, node: &NodeName, changes: &[(&str, Option<&str>)]) -> Outcome {
        let conf = match self.read_conf(node).await {
            Ok(conf) => conf,
            Err(trouble) => return Outcome::Failed(trouble),
        };
        let text = autoconf::edited(conf.text.reveal(), changes);
        let file = self.dialect.names().auto_conf;
        self.write_file(node, file, &conf.checksum, &text).await
    }
}

/// What the script [`scripts::WRITE_FILE`] does, on this machine.
fn write_here(native: &Native, file: &str, checksum: &str, text: &str) -> Finished {
    let conflict = |why: String| finished(scripts::CONFLICT, "", &why);
    let written = native.read(file).and_then(|present| {
        Ok(match present {
            Some(_) if checksum == "-" => conflict(format!("{} exists already", native.path(file))),
            Some(bytes) if hash(&String::from_utf8_lossy(&bytes)) == checksum => {
                native.write(file, text.as_bytes())?;
                finished(0, "", "")
            }
            None if checksum == "-" => {
                native.write(file, text.as_bytes())?;
                finished(0, "", "")
            }
            _ => conflict(format!(
                "{} was changed by somebody else at the same time",
                native.path(file)
            )),
        })
    });
    written.unwrap_or_else(|error| finished(1, "", &error.to_string()))
}

fn not_utf8(name: &NodeName, node: &Node, file: &str) -> Trouble {
    let path = node.data.join(file);
    let message = format!("failed to read {}: it is not UTF-8", path.display());
    Trouble::on(TroubleKind::Failed, name, message)
}

/// FNV-1a: tells whether it is still the same file, no more.
fn hash(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}
