//! Finding the server's programs.

use super::LabError;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest release that labs are made of.
const OLDEST: u32 = 12;
/// The release that we test most.
const PREFERRED: u32 = 15;

/// The directory of `initdb`, `pg_ctl` and `postgres`: the one that is given, else `$PGBATON_PG_BIN`, else the packages'
/// places (15 if there, else the newest from 12 on), else what `pg_config` says.
pub(super) fn find(given: Option<&Path>) -> Result<PathBuf, LabError> {
    // Who names one wants this one or none.
    if let Some(dir) = given {
        return named(dir, "the caller");
    }
    if let Some(dir) = std::env::var_os("PGBATON_PG_BIN").filter(|d| !d.is_empty()) {
        return named(Path::new(&dir), "PGBATON_PG_BIN");
    }
    let mut tried = Vec::new();
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for (parent, prefix) in [("/usr/lib/postgresql", ""), ("/usr", "pgsql-")] {
        tried.push(format!("{parent}/{prefix}*/bin"));
        found.extend(releases(Path::new(parent), prefix));
    }
    if let Some(best) = choose(found) {
        return Ok(best);
    }
    tried.push("pg_config --bindir".to_owned());
    let asked = Command::new("pg_config").arg("--bindir").output().ok();
    let dir = asked
        .filter(|o| o.status.success())
        .and_then(|o| String::from_utf8(o.stdout).ok())
        .map(|text| PathBuf::from(text.trim_end()));
    dir.filter(|d| complete(d))
        .ok_or(LabError::Programs { tried })
}

fn named(dir: &Path, by: &str) -> Result<PathBuf, LabError> {
    if complete(dir) {
        return Ok(std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned()));
    }
    Err(LabError::Programs {
        tried: vec![format!("{by} ({})", dir.display())],
    })
}

/// The releases under `parent` whose directory is `prefix` and a number.
fn releases(parent: &Path, prefix: &str) -> Vec<(u32, PathBuf)> {
    let Ok(entries) = std::fs::read_dir(parent) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let release = name.strip_prefix(prefix)?.parse().ok()?;
            let bin = entry.path().join("bin");
            complete(&bin).then_some((release, bin))
        })
        .collect()
}

/// The preferred release, else the newest.
fn choose(found: Vec<(u32, PathBuf)>) -> Option<PathBuf> {
    found
        .into_iter()
        .filter(|(release, _)| *release >= OLDEST)
        .max_by_key(|(release, _)| (*release == PREFERRED, *release))
        .map(|(_, bin)| bin)
}

/// Whether a server can be made and run with what is there.
fn complete(bin: &Path) -> bool {
    ["initdb", "pg_ctl", "postgres"]
        .iter()
        .all(|program| bin.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifteen_is_preferred_then_the_newest_and_never_an_old_one() {
        let all = |list: &[u32]| {
            choose(
                list.iter()
                    .map(|r| (*r, PathBuf::from(r.to_string())))
                    .collect(),
            )
        };
        assert_eq!(all(&[13, 15, 17]), Some("15".into()));
        assert_eq!(all(&[14, 17, 9]), Some("17".into()));
        assert_eq!(all(&[12, 9]), Some("12".into()));
        assert_eq!(all(&[9, 11]), None);
    }

    #[test]
    fn a_directory_with_client_programs_only_does_not_count() {
        let base = tempfile::tempdir().unwrap();
        let bin = base.path().join("15/bin");
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::write(bin.join("psql"), "").unwrap();
        assert!(releases(base.path(), "").is_empty());
        for program in ["initdb", "pg_ctl", "postgres"] {
            std::fs::write(bin.join(program), "").unwrap();
        }
        assert_eq!(releases(base.path(), ""), vec![(15, bin)]);
    }
}
