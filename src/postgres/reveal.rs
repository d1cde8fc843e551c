//! Secrets that a site's own steps use: looked up at the last moment, and taken out of whatever comes back.

use super::passfile::from_source;
use super::secret::{MASK, Secret};
use crate::cluster::{Given, Outcome, Trouble};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The secrets that one operation was given.
#[derive(Debug, Default)]
pub(crate) struct Revealed {
    /// Each in the forms in which a program or server may repeat it.
    forms: Vec<String>,
}

impl Revealed {
    /// The text itself. Blocks for as long as a file takes to be read.
    pub(crate) async fn text(&mut self, given: &Given) -> Result<String, Trouble> {
        match given {
            Given::Plain(text) => Ok(text.clone()),
            Given::Secret(source) => {
                let secret = from_source(source).await?;
                self.forms.extend(forms(&secret));
                Ok(secret.reveal().to_owned())
            }
        }
    }

    /// A map of texts.
    pub(crate) async fn map(
        &mut self,
        given: &BTreeMap<String, Given>,
    ) -> Result<BTreeMap<String, String>, Trouble> {
        let mut texts = BTreeMap::new();
        for (name, value) in given {
            texts.insert(name.clone(), self.text(value).await?);
        }
        Ok(texts)
    }

    /// The same outcome without the secrets: a program may print what it was given, a server may send it back.
    pub(crate) fn concealed(&self, outcome: Outcome) -> Outcome {
        if self.forms.is_empty() {
            return outcome;
        }
        match outcome {
            Outcome::Done(value) => Outcome::Done(self.without(value)),
            Outcome::Failed(trouble) => Outcome::Failed(self.told(trouble)),
            Outcome::Unknown(trouble) => Outcome::Unknown(self.told(trouble)),
        }
    }

    fn told(&self, trouble: Trouble) -> Trouble {
        Trouble {
            message: self.masked(trouble.message),
            help: trouble.help.map(|help| self.masked(help)),
            ..trouble
        }
    }

    fn without(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.masked(text)),
            Value::Array(items) => items.into_iter().map(|v| self.without(v)).collect(),
            Value::Object(map) => map
                .into_iter()
                .map(|(name, value)| (self.masked(name), self.without(value)))
                .collect(),
            other => other,
        }
    }

    fn masked(&self, text: String) -> String {
        self.forms
            .iter()
            .fold(text, |text, form| text.replace(form.as_str(), MASK))
    }
}

/// A secret as it is, as base64, in hexadecimal, and as part of a URL or of JSON; the longest first, so that no form
/// leaves part of another one behind.
fn forms(secret: &Secret) -> Vec<String> {
    use base64::Engine as _;
    let text = secret.reveal();
    if text.is_empty() {
        return Vec::new();
    }
    let mut hex = String::new();
    let mut url = String::new();
    for byte in text.bytes() {
        let _ = write!(hex, "{byte:02x}");
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            url.push(char::from(byte));
        } else {
            let _ = write!(url, "%{byte:02X}");
        }
    }
    let quoted = Value::String(text.to_owned()).to_string();
    let mut forms = vec![
        text.to_owned(),
        base64::engine::general_purpose::STANDARD_NO_PAD.encode(text),
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text),
        hex,
        url,
        quoted[1..quoted.len() - 1].to_owned(),
    ];
    forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    forms.dedup();
    forms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{SecretSource, TroubleKind};
    use serde_json::json;

    async fn revealed(secret: &str) -> (Revealed, String) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("{secret}\n")).unwrap();
        let mut revealed = Revealed::default();
        let given = Given::Secret(SecretSource::File(file.path().to_owned()));
        let text = revealed.text(&given).await.unwrap();
        (revealed, text)
    }

    #[tokio::test]
    async fn a_secret_that_comes_back_is_masked_in_every_form() {
        let (revealed, text) = revealed("hun\"ter/2").await;
        assert_eq!(text, "hun\"ter/2");
        let back = json!({
            "stdout": "it is hun\"ter/2, aHVuInRlci8y, 68756e227465722f32, hun%22ter%2F2, {\"p\":\"hun\\\"ter/2\"}",
            "status": 0,
        });
        let Outcome::Done(seen) = revealed.concealed(Outcome::Done(back)) else {
            panic!("done stays done")
        };
        assert_eq!(
            seen,
            json!({ "stdout": "it is ***, ***, ***, ***, {\"p\":\"***\"}", "status": 0 })
        );
        let trouble = Trouble::here(TroubleKind::Failed, "bad password hun\"ter/2");
        let Outcome::Failed(trouble) = revealed.concealed(Outcome::Failed(trouble)) else {
            panic!("failed stays failed")
        };
        assert_eq!(trouble.message, "bad password ***");
    }

    #[tokio::test]
    async fn a_secret_that_is_not_there_says_which() {
        let mut revealed = Revealed::default();
        let given = Given::Secret(SecretSource::Env("PGBATON_NOT_SET".to_owned()));
        let trouble = revealed.text(&given).await.unwrap_err();
        assert!(trouble.message.contains("PGBATON_NOT_SET"), "{trouble}");
    }
}
