//! libpq connection strings: read both forms, write the keyword form.

use super::secret::{MASK, Secret};
use std::fmt::Write as _;

/// A connection string, taken apart. Values may hold secrets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Conninfo {
    pairs: Vec<(String, Secret)>,
}

/// A connection string that libpq would not take either. Says nothing of its contents.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the connection string cannot be read: {0}")]
pub(crate) struct ConninfoError(&'static str);

impl Conninfo {
    /// Appends a parameter.
    pub(crate) fn push(&mut self, keyword: &str, value: &str) {
        self.pairs.push((keyword.to_owned(), Secret::new(value)));
    }

    /// The value of a parameter; the last one counts, as in libpq.
    pub(crate) fn get(&self, keyword: &str) -> Option<&str> {
        self.pairs
            .iter()
            .rev()
            .find(|(k, _)| k == keyword)
            .map(|(_, v)| v.reveal())
            .filter(|v| !v.is_empty())
    }

    /// The value of a parameter that may be a secret.
    pub(crate) fn secret(&self, keyword: &str) -> Option<&Secret> {
        let mut pairs = self.pairs.iter().rev();
        let (_, value) = pairs.find(|(k, _)| k == keyword)?;
        (!value.reveal().is_empty()).then_some(value)
    }

    /// Whether a parameter holds a secret.
    pub(crate) fn is_secret(keyword: &str) -> bool {
        matches!(keyword, "password" | "sslpassword" | "oauth_client_secret")
    }

    /// The parameters that it has.
    pub(crate) fn keywords(&self) -> impl Iterator<Item = &str> {
        self.pairs.iter().map(|(keyword, _)| keyword.as_str())
    }

    /// Reads `host=… port=…` or `postgresql://…`.
    pub(crate) fn parse(text: &str) -> Result<Self, ConninfoError> {
        for scheme in ["postgresql://", "postgres://"] {
            if let Some(rest) = text.strip_prefix(scheme) {
                return Self::parse_uri(rest);
            }
        }
        Self::parse_keywords(text)
    }

    fn parse_keywords(text: &str) -> Result<Self, ConninfoError> {
        let mut info = Self::default();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let (keyword, after) = rest
                .split_once('=')
                .ok_or(ConninfoError("a keyword has no `=`"))?;
            let keyword = keyword.trim();
            if keyword.is_empty() || keyword.contains(char::is_whitespace) {
                return Err(ConninfoError("a keyword has no `=`"));
            }
            let (value, after) = keyword_value(after.trim_start())?;
            info.push(keyword, &value);
            rest = after.trim_start();
        }
        Ok(info)
    }

    /// `user:password@host:port,host:port/dbname?param=value`, without the scheme.
    fn parse_uri(rest: &str) -> Result<Self, ConninfoError> {
        let mut info = Self::default();
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, dbname) = rest.split_once('/').unwrap_or((rest, ""));
        let hosts = match authority.rsplit_once('@') {
            Some((login, hosts)) => {
                let (user, password) = login.split_once(':').unwrap_or((login, ""));
                info.push("user", &decoded(user)?);
                info.push("password", &decoded(password)?);
                hosts
            }
            None => authority,
        };
        let (mut names, mut ports) = (Vec::new(), Vec::new());
        for part in hosts.split(',') {
            let (name, port) = if let Some(address) = part.strip_prefix('[') {
                let (address, after) = address
                    .split_once(']')
                    .ok_or(ConninfoError("an IPv6 address is not closed"))?;
                (address, after.strip_prefix(':').unwrap_or(""))
            } else {
                part.split_once(':').unwrap_or((part, ""))
            };
            names.push(decoded(name)?);
            ports.push(decoded(port)?);
        }
        info.push("host", &names.join(","));
        if ports.iter().any(|p| !p.is_empty()) {
            info.push("port", &ports.join(","));
        }
        info.push("dbname", &decoded(dbname)?);
        for pair in query.split('&').filter(|p| !p.is_empty()) {
            let (keyword, value) = pair
                .split_once('=')
                .ok_or(ConninfoError("a parameter has no `=`"))?;
            info.push(&decoded(keyword)?, &decoded(value)?);
        }
        Ok(info)
    }

    /// The host and port it names: the name, else the address, else the local socket (an empty name). Several hosts are
    /// given as they are written: whoever answers is meant, so that no single one of them would be true.
    /// A port that it does not name is `otherwise`.
    pub(crate) fn target(&self, otherwise: u16) -> Result<(String, u16), ConninfoError> {
        let first = |text: &str| text.split(',').next().unwrap_or_default().trim().to_owned();
        let host = self
            .get("host")
            .map(|host| host.trim().to_owned())
            .filter(|h| !h.is_empty())
            .or_else(|| self.get("hostaddr").map(|host| host.trim().to_owned()))
            .unwrap_or_default();
        let port = match self.get("port").map(first) {
            None => otherwise,
            Some(port) if port.is_empty() => otherwise,
            Some(port) => port
                .parse()
                .map_err(|_| ConninfoError("the port is no number"))?,
        };
        Ok((host, port))
    }

    /// The keyword form as it is used.
    pub(crate) fn sent(&self) -> String {
        self.written(|_, value| value.to_owned())
    }

    /// The keyword form with passwords masked.
    pub(crate) fn shown(&self) -> String {
        self.written(|keyword, value| {
            if Self::is_secret(keyword) {
                MASK
            } else {
                value
            }
            .to_owned()
        })
    }

    fn written(&self, value_of: impl Fn(&str, &str) -> String) -> String {
        let mut text = String::new();
        for (keyword, value) in &self.pairs {
            if !text.is_empty() {
                text.push(' ');
            }
            let _ = write!(
                text,
                "{keyword}={}",
                quoted(&value_of(keyword, value.reveal()))
            );
        }
        text
    }
}

fn quoted(value: &str) -> String {
    let bare =
        !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || "'\\=".contains(c));
    if bare {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\\', r"\\").replace('\'', r"\'"))
    }
}

fn keyword_value(text: &str) -> Result<(String, &str), ConninfoError> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    let is_quoted = text.starts_with('\'');
    if is_quoted {
        chars.next();
    }
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some((_, escaped)) => value.push(escaped),
                None if is_quoted => return Err(ConninfoError("a quoted value is not closed")),
                None => break,
            },
            '\'' if is_quoted => return Ok((value, &text[at + 1..])),
            c if !is_quoted && c.is_whitespace() => return Ok((value, &text[at..])),
            c => value.push(c),
        }
    }
    if is_quoted {
        Err(ConninfoError("a quoted value is not closed"))
    } else {
        Ok((value, ""))
    }
}

fn decoded(text: &str) -> Result<String, ConninfoError> {
    let bad = ConninfoError("a percent-encoded character cannot be read");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next(), rest.next()]
            .into_iter()
            .flatten()
            .collect::<Vec<u8>>();
        let code = std::str::from_utf8(&digits)
            .ok()
            .filter(|d| d.len() == 2)
            .and_then(|d| u8::from_str_radix(d, 16).ok())
            .ok_or(bad.clone())?;
        bytes.push(code);
    }
    String::from_utf8(bytes).map_err(|_| bad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_forms_name_their_target() {
        for (text, host, port) in [
            ("host=db1 port=5433 user=u password='a b'", "db1", 5433),
            ("  host = 'db1'   port=5433", "db1", 5433),
            ("user=u", "", 5432),
            ("hostaddr=10.0.0.1", "10.0.0.1", 5432),
            ("host=a,b port=1,2", "a,b", 1),
            (r"password=x\ host=no host=/var/run", "/var/run", 5432),
            (
                "postgresql://u:p%40w@db1:5433/x?application_name=n",
                "db1",
                5433,
            ),
            ("postgres://db1", "db1", 5432),
            ("postgresql://u@[::1]:7/x", "::1", 7),
            ("postgresql://%2Ftmp%2Fx:7", "/tmp/x", 7),
            ("postgresql:///x?host=db9&port=9", "db9", 9),
        ] {
            let info = Conninfo::parse(text).unwrap();
            assert_eq!(
                info.target(5432).unwrap(),
                (host.to_owned(), port),
                "{text}"
            );
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_without_telling_its_contents() {
        for text in [
            "hunter2",
            "host='hunter2",
            "a b=hunter2",
            "host=x port=hunter2",
            "postgres://%zzhunter2",
        ] {
            let error = Conninfo::parse(text)
                .and_then(|i| i.target(5432))
                .unwrap_err();
            assert!(!error.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn passwords_are_masked_wherever_it_is_shown() {
        let info = Conninfo::parse("host=h password=hunter2").unwrap();
        assert_eq!(info.shown(), "host=h password=***");
        assert!(!format!("{info:?}").contains("hunter2"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(values in prop::collection::vec("[^\0]{0,20}|[ '\\\\=]{0,6}", 0..6)) {
            let mut info = Conninfo::default();
            for (index, value) in values.iter().enumerate() {
                info.push(&format!("k{index}"), value);
            }
            prop_assert_eq!(Conninfo::parse(&info.sent()).unwrap(), info);
        }
    }
}
