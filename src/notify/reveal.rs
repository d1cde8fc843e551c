//! Secrets, read when they are needed: who changes a file need not tell pgbaton.

use crate::cluster::SecretSource;

/// The secret; an error says where it was looked for, and never what was found there.
pub(super) async fn reveal(source: &SecretSource) -> Result<String, String> {
    match source {
        SecretSource::File(path) => {
            let text = tokio::fs::read_to_string(path).await;
            let text =
                text.map_err(|why| format!("the file {} cannot be read: {why}", path.display()))?;
            let line = text.strip_suffix('\n').unwrap_or(&text);
            Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
        }
        SecretSource::Env(name) => {
            std::env::var(name).map_err(|_| format!("the environment variable {name} is not set"))
        }
    }
}
