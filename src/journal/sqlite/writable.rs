//! Whether a store could be written, asked before there is anything to write: when a primary is dead it is too late.

use super::error::JournalError;
use super::open::refused;
use rustix::fs::{Access, access};
use rustix::io::Errno;
use std::path::Path;

/// An error where this process could neither write the store at this path nor make it. Nothing is made and nothing is
/// changed by asking. That its disk is full only shows when something is written.
pub fn writable(path: &Path) -> Result<(), JournalError> {
    let refuse = |errno: Errno| refused(path, &errno.into());
    match access(path, Access::WRITE_OK) {
        // What is below a file is neither there nor can it be made, and that is another error.
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(refuse(errno)),
    }
    // SQLite has files of its own beside it; folders that are not there are made.
    let mut folders = path.ancestors().skip(1);
    loop {
        let folder = match folders.next() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        match access(folder, Access::WRITE_OK | Access::EXEC_OK) {
            Ok(()) => return Ok(()),
            Err(Errno::NOENT) if folder != Path::new(".") => {}
            Err(errno) => return Err(refuse(errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_that_is_there_or_can_be_made_is_writable_and_nothing_is_made_by_asking() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("deep/deeper/journal.db");
        writable(&path).unwrap();
        assert!(!place.path().join("deep").exists());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "").unwrap();
        writable(&path).unwrap();
        writable(Path::new("journal.db")).unwrap();
    }

    #[test]
    fn one_below_a_file_is_not() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        std::fs::write(&file, "").unwrap();
        for path in ["file/journal.db", "file/deep/journal.db"] {
            let told = writable(&place.path().join(path)).unwrap_err().to_string();
            assert!(told.contains("Not a directory"), "{told}");
        }
    }
}
