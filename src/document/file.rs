//! Files that people write, read with a limit.

use super::parse::MAX_BYTES;
use std::io::{Error, ErrorKind, Read as _, Result};
use std::path::Path;

/// Reads a file that a person wrote. What is no regular file (a device, a pipe, a folder) and what is longer than any
/// document may be is an error that says so: neither can hold up the reader or fill its memory.
pub fn read_file(path: &Path) -> Result<String> {
    let about = std::fs::metadata(path)?;
    if !about.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "it is no regular file"));
    }
    let limit = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX);
    if about.len() > limit {
        let why = format!("it has {} bytes, and at most {limit} are read", about.len());
        return Err(Error::new(ErrorKind::FileTooLarge, why));
    }
    let mut text = String::new();
    std::fs::File::open(path)?
        .take(limit + 1)
        .read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_is_not_begun() {
        let told = |path: &str| read_file(Path::new(path)).unwrap_err().to_string();
        assert_eq!(told("/dev/zero"), "it is no regular file");
        assert_eq!(told("/tmp"), "it is no regular file");
        let large = tempfile::NamedTempFile::new().unwrap();
        large.as_file().set_len(100 << 20).unwrap();
        let why = read_file(large.path()).unwrap_err();
        assert_eq!(
            why.to_string(),
            "it has 104857600 bytes, and at most 1048576 are read"
        );
    }
}
