//! Who may use the API: a file of names, roles and hashes of tokens.
//!
//! A line is `NAME ROLE SHA256 [EXPIRY]`. The token itself stands nowhere: it is 256 random bits, so that its plain hash is
//! as good as a slow one.

use super::watched::Watched;
use crate::document::read_file;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

/// What every token begins with, so that a scanner for leaked secrets knows it.
const PREFIX: &str = "pgbaton_";

/// What the holder of a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Look at clusters and runs.
    View,
    /// That, plan, start runs and cancel them.
    Operate,
    /// Look, approve and deny.
    Approve,
    /// Everything.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::View, Self::Operate, Self::Approve, Self::Admin];

    /// As the file has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Operate => "operate",
            Self::Approve => "approve",
            Self::Admin => "admin",
        }
    }

    /// Reads what the file has.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }

    /// Whether it may do what `needed` may.
    pub fn may(self, needed: Self) -> bool {
        self == needed || self == Self::Admin || needed == Self::View
    }
}

/// A token that was just made.
#[derive(Debug)]
pub struct FreshToken {
    /// What its holder sends; kept nowhere.
    pub token: String,
    /// The line for the file.
    pub line: String,
}

/// Makes a token from the randomness of the operating system.
pub fn fresh_token(
    name: &str,
    role: Role,
    expires: Option<Timestamp>,
) -> Result<FreshToken, TokenError> {
    if !is_name(name) {
        return Err(TokenError::Name(name.to_owned()));
    }
    let mut bits = [0_u8; 32];
    getrandom::fill(&mut bits).map_err(TokenError::Randomness)?;
    let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bits));
    let mut line = format!("{name} {} {}", role.as_str(), hex(&hash(&token)));
    if let Some(expires) = expires {
        let _ = write!(line, " {}", expires.strftime("%Y-%m-%dT%H:%M:%SZ"));
    }
    Ok(FreshToken { token, line })
}

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The name cannot stand in the file and in logs.
    #[error("a token cannot be called `{0}`")]
    Name(String),
    /// There is no randomness.
    #[error("the operating system gives no random bits: {0}")]
    Randomness(getrandom::Error),
}

/// At most 63 letters, digits, `_`, `-` and `.`: it is logged, and names who did something.
fn is_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    (1..=63).contains(&name.len()) && name.chars().all(good)
}

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) name: String,
    pub(super) role: Role,
    hash: [u8; 32],
    expires: Option<Timestamp>,
}

impl Holder {
    /// When it ended, where it has.
    pub(super) fn expired(&self, now: Timestamp) -> Option<Timestamp> {
        self.expires.filter(|end| *end <= now)
    }
}

/// The file, read again when it has changed.
pub(super) fn watch(file: &Path) -> Watched<Vec<Holder>> {
    let path = file.to_owned();
    Watched::new(vec![file.to_owned()], move || read(&path))
}

fn read(file: &Path) -> Result<Vec<Holder>, String> {
    private(file).and_then(|text| parse(&text)).map_err(|why| {
        format!(
            "the file of tokens {} cannot be used: {why}",
            file.display()
        )
    })
}

/// A file by which people are recognised. Whoever may write it is anybody; whoever may read it knows too much.
pub(super) fn private(file: &Path) -> Result<String, String> {
    let about = std::fs::metadata(file).map_err(|error| error.to_string())?;
    let mode = about.permissions().mode() & 0o777;
    if mode & 0o027 != 0 {
        return Err(format!(
            "its mode is {mode:03o}, and only its owner may change it and no other user read it: `chmod 600` it"
        ));
    }
    read_file(file).map_err(|error| error.to_string())
}

fn parse(text: &str) -> Result<Vec<Holder>, String> {
    let lines = (1..).zip(text.lines());
    let written =
        lines.filter(|(_, line)| !line.trim().is_empty() && !line.trim().starts_with('#'));
    let mut holders: Vec<Holder> = Vec::new();
    for (number, line) in written {
        // What stands there may be a token that somebody put in by mistake: it is not repeated.
        let holder = holder(line).map_err(|why| format!("line {number}: {why}"))?;
        if holders.iter().any(|other| other.hash == holder.hash) {
            return Err(format!("line {number}: this token is there already"));
        }
        holders.push(holder);
    }
    Ok(holders)
}

fn holder(line: &str) -> Result<Holder, &'static str> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (name, role, hash, expires) = match words.as_slice() {
        [name, role, hash] => (name, role, hash, None),
        [name, role, hash, expires] => (name, role, hash, Some(expires)),
        _ => return Err("it must be `NAME ROLE SHA256 [EXPIRY]`; `pgbaton token` makes one"),
    };
    if !is_name(name) {
        return Err("its name must be at most 63 letters, digits, `_`, `-` and `.`");
    }
    let expires = expires.map(|text| text.parse()).transpose();
    Ok(Holder {
        name: (*name).to_owned(),
        role: Role::parse(role).ok_or("its role must be view, operate, approve or admin")?,
        hash: unhex(hash).ok_or("its hash must be the 64 hexadecimal digits of a SHA-256")?,
        expires: expires.map_err(|_| "its expiry must be a time such as 2027-01-31T00:00:00Z")?,
    })
}

/// Whose token it is. All entries are compared, each in constant time: how long it takes tells nothing of any of them.
pub(super) fn whose<'h>(holders: &'h [Holder], token: &str) -> Option<&'h Holder> {
    let given = hash(token);
    let mut found = 0_u64;
    for (place, holder) in (1_u64..).zip(holders) {
        let same: Choice = holder.hash.ct_eq(&given);
        found.conditional_assign(&place, same);
    }
    let place = usize::try_from(found).ok()?.checked_sub(1)?;
    holders.get(place)
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// 32 bytes in hexadecimal digits.
pub(super) fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0_u8; 32];
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_may_what_it_says() {
        use Role::{Admin, Approve, Operate, View};
        let table = [
            (View, [true, false, false, false]),
            (Operate, [true, true, false, false]),
            (Approve, [true, false, true, false]),
            (Admin, [true, true, true, true]),
        ];
        for (role, may) in table {
            assert_eq!(Role::ALL.map(|needed| role.may(needed)), may, "{role:?}");
        }
    }

    #[test]
    fn a_fresh_token_is_known_by_its_line_and_no_other() {
        let end: Timestamp = "2027-01-31T00:00:00Z".parse().unwrap();
        let one = fresh_token("one", Role::View, None).unwrap();
        let two = fresh_token("two", Role::Admin, Some(end)).unwrap();
        assert!(!two.line.contains(&two.token), "{}", two.line);
        let file = format!("# who\n\n{}\n  {}\n", one.line, two.line);
        let holders = parse(&file).unwrap();
        let name = |token: &str| whose(&holders, token).map(|h| h.name.clone());
        assert_eq!(name(&one.token).as_deref(), Some("one"));
        assert_eq!(name(&two.token).as_deref(), Some("two"));
        let hash = two.line.split(' ').nth(2).unwrap();
        for other in ["", "pgbaton_", hash, &one.token[..one.token.len() - 1]] {
            assert_eq!(name(other), None, "{other}");
        }
        let two = &holders[1];
        let before: Timestamp = "2027-01-30T23:59:59Z".parse().unwrap();
        assert_eq!((two.expired(before), two.expired(end)), (None, Some(end)));
        assert_eq!(holders[0].expired(end), None);
    }

    #[test]
    fn what_is_no_line_is_named_by_its_number_and_not_repeated() {
        let good = fresh_token("a", Role::View, None).unwrap();
        let table = [
            "a view",
            "a view abc",
            "a root 0000000000000000000000000000000000000000000000000000000000000000",
            "a/b view 0000000000000000000000000000000000000000000000000000000000000000",
            "a view 000000000000000000000000000000000000000000000000000000000000000g",
            "a view 0000000000000000000000000000000000000000000000000000000000000000 soon",
            &good.line,
            &good.token,
        ];
        for line in table {
            let why = parse(&format!("{}\n{line}\n", good.line)).unwrap_err();
            assert!(why.starts_with("line 2: "), "{line}: {why}");
            assert!(!why.contains(line), "{why}");
        }
        assert!(fresh_token("a b", Role::View, None).is_err());
    }

    #[test]
    fn a_file_that_others_may_read_or_change_is_refused_and_one_that_changed_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        let allow = |mode| {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&path, mode).unwrap();
        };
        let (one, two) = (
            fresh_token("one", Role::View, None).unwrap(),
            fresh_token("two", Role::View, None).unwrap(),
        );
        std::fs::write(&path, &one.line).unwrap();
        allow(0o640);
        let tokens = watch(&path);
        let known = |token: &str| tokens.get().map(|all| whose(&all, token).is_some());
        assert_eq!(known(&one.token), Ok(true));
        for mode in [0o644, 0o604, 0o602, 0o660] {
            allow(mode);
            let why = known(&one.token).unwrap_err();
            assert!(why.contains("chmod 600"), "{mode:o}: {why}");
        }
        allow(0o600);
        assert_eq!(known(&one.token), Ok(true));
        std::fs::write(&path, &two.line).unwrap();
        assert_eq!(known(&one.token), Ok(false), "it was taken out");
        assert_eq!(known(&two.token), Ok(true));
        // A file that cannot be read lets nobody in: a revocation must not be undone by a slip.
        std::fs::write(&path, "two view\n").unwrap();
        assert!(known(&two.token).is_err());
    }
}
