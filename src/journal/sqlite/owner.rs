//! Whose a journal is. One that root makes beside a service's would keep the service from its own runs.

use std::fs::File;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::Path;

/// A file that root has made in somebody else's directory is theirs. SQLite gives what it makes beside it to the same user.
pub(super) fn hand_over(file: &File, directory: &Path) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let Ok(theirs) = directory.metadata() else {
        return;
    };
    if let Err(error) = fchown(file, Some(theirs.uid()), Some(theirs.gid())) {
        // Then it is root's, as everything that root makes on such a disk.
        tracing::debug!(%error, "the journal is not given to the owner of its directory");
    }
}

/// What can be done where this process may not use it.
pub(super) fn what_to_do(path: &Path) -> String {
    let own = rustix::process::geteuid().as_raw();
    let directory = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let first = [Some(path), directory].into_iter().flatten();
    let found = first
        .filter_map(|place| Some((place, place.metadata().ok()?.uid())))
        .find(|(_, owner)| *owner != own);
    let Some((place, owner)) = found else {
        return "allow it to the user who runs pgbaton, for the file and its directory, or keep the journal in another place"
            .to_owned();
    };
    // What SQLite has beside the file goes with it.
    let all = if place == path { "*" } else { "" };
    format!(
        "{place} belongs to {}, and pgbaton runs as {} here. Run it as {}, or let root give that away: `chown {own} {place}{all}`",
        user(owner),
        user(own),
        user(owner),
        place = place.display(),
    )
}

fn user(id: u32) -> String {
    match id {
        0 => "root".to_owned(),
        id => format!("user {id}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::SqliteJournal;
    use super::{user, what_to_do};
    use std::os::unix::fs::{MetadataExt, chown};

    /// Nobody's, on most systems.
    const OTHER: u32 = 65534;

    #[test]
    fn what_root_makes_in_somebody_elses_directory_is_theirs() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let place = tempfile::tempdir().unwrap();
        chown(place.path(), Some(OTHER), Some(OTHER)).unwrap();
        let path = place.path().join("journal.db");
        let journal = SqliteJournal::open(&path).unwrap();
        let files = std::fs::read_dir(place.path()).unwrap();
        let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        assert!(files.len() > 1, "its log is beside it: {files:?}");
        for file in files {
            let owner = file.metadata().unwrap();
            assert_eq!((owner.uid(), owner.gid()), (OTHER, OTHER), "{file:?}");
        }
        drop(journal);
    }

    #[test]
    fn whoever_may_not_use_it_is_told_whose_it_is() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("journal.db");
        std::fs::write(&path, "").unwrap();
        assert!(what_to_do(&path).starts_with("allow it to the user"));
        if !rustix::process::geteuid().is_root() {
            return;
        }
        chown(&path, Some(OTHER), Some(OTHER)).unwrap();
        let told = what_to_do(&path);
        let file = path.display();
        assert!(
            told.contains(&format!("{file} belongs to user {OTHER}"))
                && told.contains("pgbaton runs as root here")
                && told.contains(&format!("Run it as user {OTHER},"))
                && told.contains(&format!("`chown 0 {file}*`")),
            "{told}"
        );
        // Where both are somebody else's, the file is what stands in the way, and what is beside it.
        chown(place.path(), Some(OTHER), None).unwrap();
        assert_eq!(what_to_do(&path), told);
        // Whoever may not even look at the file is told of the directory.
        let hidden = place.path().join("other/journal.db");
        std::fs::create_dir(hidden.parent().unwrap()).unwrap();
        chown(hidden.parent().unwrap(), Some(OTHER), None).unwrap();
        assert!(
            what_to_do(&hidden).ends_with("other`"),
            "{}",
            what_to_do(&hidden)
        );
        assert_eq!(user(0), "root");
    }
}
