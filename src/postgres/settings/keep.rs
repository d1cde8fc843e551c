//! Keeping a node's replication settings on the node, for whoever takes a change back.

use super::{FILE, HEADER, hash};
use crate::cluster::{NodeName, Outcome, Trouble, TroubleKind};
use crate::postgres::dialect::in_data;
use crate::postgres::live::LiveCluster;
use crate::postgres::native::Native;
use crate::postgres::perform::host_outcome;
use crate::postgres::pool::Warm;
use crate::postgres::postgresql::KEPT;
use crate::postgres::secret::Secret;
use crate::postgres::{autoconf, literal, scripts};
use serde_json::json;
use std::fmt::Write as _;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;

impl LiveCluster {
    /// Keeps the settings. What this owner has kept already under this name stays: it is older, and so what is to be
    /// restored.
    pub(in crate::postgres) async fn save(
        &self,
        name: &NodeName,
        file: &str,
        owner: &str,
    ) -> Outcome {
        let path = in_data(&self.inventory, name, file);
        let kept = match self.keep(name, file, owner, false).await {
            // Of another run, which ended before its time: it may have been in the middle of this very change.
            Ok(None) => match self.take_over(name, file, owner).await {
                Ok(true) => self.keep(name, file, owner, false).await,
                Ok(false) => self.keep(name, file, owner, true).await,
                Err(outcome) => return outcome,
            },
            kept => kept,
        };
        match kept {
            Ok(Some(hash)) => Outcome::Done(json!({ "path": path, "hash": hash })),
            Ok(None) => Outcome::Failed(Trouble::on(
                TroubleKind::Conflict,
                name,
                format!("somebody else keeps settings in {path} at the same time"),
            )),
            Err(outcome) => outcome,
        }
    }

    /// Keeps them; the hash of what is kept, none where another owner has kept some, which stays unless it may be replaced.
    async fn keep(
        &self,
        name: &NodeName,
        file: &str,
        owner: &str,
        replace: bool,
    ) -> Result<Option<String>, Outcome> {
        let what = format!(
            "failed to keep the settings in {}",
            in_data(&self.inventory, name, file)
        );
        let (node, way) = self
            .node(name)
            .and_then(|n| Ok((n, self.way(name)?)))
            .map_err(Outcome::Failed)?;
        let conf = self.dialect.names().auto_conf;
        let (named, run) = (file.to_owned(), owner.to_owned());
        let save = move |n: &Native| save_here(n, &named, conf, &run, replace);
        if let Some(saved) = self.here(node, save).await {
            return saved.map_err(|error| {
                let text = format!("{what}: {error}");
                Outcome::Failed(Trouble::on(TroubleKind::Failed, name, text))
            });
        }
        let arguments = [
            file,
            HEADER,
            &owner_line(owner),
            &random_line(),
            conf,
            &format!("^[[:space:]]*({})[[:space:]=]", KEPT.join("|")),
            if replace { "replace" } else { "ask" },
        ];
        let command = self.script(node, scripts::SAVE, &arguments, FILE);
        let result = way.run(command).await;
        if let Ok(finished) = &result
            && finished.status == scripts::ANOTHER
        {
            return Ok(None);
        }
        host_outcome(name, &what, "it did not end", result)
            .map(|finished| Some(finished.out().trim_end().to_owned()))
    }

    /// Makes what another run kept this one's, where that is what the server still runs with although its file says something
    /// else by now: the change was written and never came into force. What is to be restored is what is in force.
    async fn take_over(&self, name: &NodeName, file: &str, owner: &str) -> Result<bool, Outcome> {
        let (kept, conf) = tokio::try_join!(self.read_file(name, file), self.read_conf(name))
            .map_err(Outcome::Failed)?;
        let Some(kept) = kept else { return Ok(false) };
        let Ok(running) = self.running(name).await else {
            return Ok(false);
        };
        if !is_half_done(kept.text.reveal(), conf.text.reveal(), &running) {
            return Ok(false);
        }
        let lines = kept.text.reveal().lines();
        let lines = lines.enumerate().map(|(at, line)| match at {
            1 => owner_line(owner) + "\n",
            _ => format!("{line}\n"),
        });
        let text = Secret::new(lines.collect::<String>());
        match self
            .write_file(name, file, &kept.checksum, text.reveal())
            .await
        {
            Outcome::Done(_) => Ok(true),
            other => Err(other),
        }
    }

    /// What the server runs with, in the order of [`KEPT`].
    async fn running(&self, name: &NodeName) -> Result<Vec<Secret>, Trouble> {
        let asked = KEPT.map(|setting| format!("current_setting({})", literal(setting)));
        let statement = format!("SELECT {}", asked.join(", "));
        self.ask(
            name,
            "failed to read its settings",
            Warm::Sql,
            |_| statement.clone(),
            |answers| {
                let row = answers.first().and_then(|a| a.rows.first());
                let values = row.map(Vec::as_slice).unwrap_or_default().iter();
                Ok(values
                    .map(|v| Secret::new(v.as_deref().unwrap_or_default()))
                    .collect())
            },
        )
        .await
    }
}

/// Whether a file says something else than its server runs with, and all of that is what was kept.
fn is_half_done(kept: &str, conf: &str, running: &[Secret]) -> bool {
    let said = |text: &str, setting: &str| {
        let value = autoconf::value_of(text, setting);
        value.map(|v| v.reveal().to_owned()).unwrap_or_default()
    };
    let mut waits = false;
    for (setting, value) in KEPT.iter().zip(running) {
        if said(conf, setting) == value.reveal() {
            continue;
        }
        if said(kept, setting) != value.reveal() {
            return false;
        }
        waits = true;
    }
    waits
}

/// What the script [`scripts::SAVE`] does, on this machine.
fn save_here(
    native: &Native,
    file: &str,
    conf: &str,
    owner: &str,
    replace: bool,
) -> io::Result<Option<String>> {
    let text = |bytes: Option<Vec<u8>>| {
        String::from_utf8(bytes.unwrap_or_default())
            .map_err(|_| io::Error::other("a file is not UTF-8"))
    };
    let kept = text(native.read(file)?)?;
    let first = format!("{HEADER}\n{}\n", owner_line(owner));
    if kept.starts_with(&first) {
        return Ok(Some(hash(&kept)));
    }
    if kept.starts_with(HEADER) && !replace {
        return Ok(None);
    }
    let conf = text(native.read(conf)?)?;
    let mut kept = first + &random_line() + "\n";
    for name in KEPT {
        if let Some(value) = autoconf::value_of(&conf, name) {
            let _ = writeln!(kept, "{name} = {}", autoconf::quoted(value.reveal()));
        }
    }
    native.write(file, kept.as_bytes())?;
    Ok(Some(hash(&kept)))
}

/// The line that tells for whom the settings are kept.
fn owner_line(owner: &str) -> String {
    format!("# run: {owner}")
}

/// Random bits make the hash in the journal worthless for guessing a password.
fn random_line() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("# {:016x}{:016x}", random(), random())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_half_done_where_the_server_still_runs_with_what_was_kept() {
        let old = "primary_conninfo = 'host=a'\nprimary_slot_name = 's'\n";
        let cleared = "primary_conninfo = ''\nprimary_slot_name = 's'\n";
        let runs = |conninfo: &str| {
            ["host=a", "s", ""].map(|v| Secret::new(v.replace("host=a", conninfo)))
        };
        for (kept, conf, running, half) in [
            (old, cleared, "host=a", true),
            (old, old, "host=a", false),
            // It came into force.
            (old, cleared, "", false),
            // Somebody set something else since, and that is in force.
            (old, cleared, "host=b", false),
            ("", cleared, "host=a", false),
        ] {
            assert_eq!(
                is_half_done(kept, conf, &runs(running)),
                half,
                "{kept} {conf} {running}"
            );
        }
    }
}
