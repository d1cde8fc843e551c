//! Requests of hooks: signed with the hook's secret or, where the hook says so, with a token of the API.
//!
//! A signature is `t=SECONDS,v1=HEX`: HMAC-SHA256 over the time as it is written, a dot, and the raw body. It is looked at
//! before its time is: whoever has no secret learns nothing of this machine's clock.

use super::body;
use super::guard::{Caller, Gate, came, failed, proceed};
use super::kinds::Kind;
use super::problem::Problem;
use super::read::Named;
use super::tokens::{Role, private, unhex};
use crate::cluster::SecretSource;
use axum::RequestExt as _;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// What carries a signature.
pub(super) const HEADER: &str = "x-pgbaton-signature";

/// How old it may be, in seconds, and how far ahead: clocks differ.
const AGE: i64 = 300;

/// A caller that changes its secret signs with both; nobody has a reason for more than a few.
const MOST: usize = 4;

/// Shorter secrets could be found by trying.
const SHORTEST: usize = 16;

/// What is the same for a request that is sent again as it was; none where no signature tells.
#[derive(Debug, Clone)]
pub(super) struct Sent(pub(super) Option<String>);

/// Before the route of a hook.
pub(super) async fn guard(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    match admit(&gate, request).await {
        Ok((caller, request)) => proceed(gate, caller, request, next).await,
        Err(problem) => problem.into_response(),
    }
}

async fn admit(gate: &Gate, mut request: Request) -> Result<(Caller, Request), Problem> {
    let Named(name) = request.extract_parts::<Named>().await?;
    let signature = request.headers().get(HEADER).cloned();
    let hook = gate.api.hooks.get(&name);
    let source = hook.and_then(|hook| hook.secret.as_ref());
    let (Some(source), Some(signature)) = (source, signature) else {
        if hook.is_some_and(|hook| !hook.bearer) {
            let why = format!("the hook `{name}` takes signed requests only");
            return Err(failed(gate, &request, Problem::new(Kind::NoSignature, why)));
        }
        // Which hooks there are is for those who have a token.
        let caller = super::guard::admit(gate, &request)?;
        request.extensions_mut().insert(Sent(None));
        return Ok((caller, request));
    };
    let secret = secret(source).await.map_err(|why| {
        tracing::warn!(hook = name, "the secret of a hook cannot be used: {why}");
        let why = format!("the secret of the hook `{name}` cannot be used");
        Problem::new(Kind::SecretUnusable, why)
    })?;
    let (parts, sent) = request.into_parts();
    let bytes = body::bytes(sent).await?;
    let mut request = Request::from_parts(parts, Body::from(bytes.clone()));
    let read = signature.to_str().ok().and_then(Signature::read);
    let Some(read) = read else {
        let why = format!("`{HEADER}` is not `t=SECONDS,v1=HEX`");
        return Err(failed(
            gate,
            &request,
            Problem::new(Kind::BadSignature, why),
        ));
    };
    if !read.is_by(secret.as_bytes(), &bytes) {
        let why = "it is not that of this body with the hook's secret";
        return Err(failed(
            gate,
            &request,
            Problem::new(Kind::BadSignature, why),
        ));
    }
    let age = Timestamp::now().as_second().saturating_sub(read.seconds);
    if !(-AGE..=AGE).contains(&age) {
        let when = if age < 0 { "ahead" } else { "ago" };
        let why = format!(
            "by the clock here it was signed {} s {when}, and {AGE} s is the most",
            age.unsigned_abs()
        );
        return Err(failed(
            gate,
            &request,
            Problem::new(Kind::OldSignature, why),
        ));
    }
    let (from, id) = came(&request);
    let caller = Caller {
        // No token can be called so.
        name: format!("webhook:{name}"),
        role: Role::Operate,
        from,
        request: id,
    };
    let same = Sent(Some(read.same(&bytes)));
    request.extensions_mut().insert(same);
    Ok((caller, request))
}

/// A signature, as it came.
struct Signature<'h> {
    /// The time as it is written: that is what was signed.
    time: &'h str,
    seconds: i64,
    macs: Vec<[u8; 32]>,
}

impl<'h> Signature<'h> {
    fn read(header: &'h str) -> Option<Self> {
        let mut time = None;
        let mut macs = Vec::new();
        for part in header.split(',') {
            match part.trim().split_once('=')? {
                ("t", text) if time.is_none() => time = Some(text),
                ("v1", text) if macs.len() < MOST => macs.push(unhex(text)?),
                ("t" | "v1", _) => return None,
                // Of a later form.
                _ => {}
            }
        }
        let time = time.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
        Some(Self {
            time,
            seconds: time.parse().ok()?,
            macs,
        })
    }

    /// Compared in a time that tells nothing.
    fn is_by(&self, secret: &[u8], body: &[u8]) -> bool {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else {
            return false;
        };
        mac.update(self.time.as_bytes());
        mac.update(b".");
        mac.update(body);
        self.macs
            .iter()
            .any(|given| mac.clone().verify_slice(given).is_ok())
    }

    /// A word for this body at this time.
    fn same(&self, body: &[u8]) -> String {
        let mut hash = Sha256::new();
        hash.update(self.time.as_bytes());
        hash.update(b".");
        hash.update(body);
        let hash = hash.finalize();
        hash.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// The secret, as it is now; why not, without it.
pub(super) async fn secret(source: &SecretSource) -> Result<String, String> {
    let text = match source {
        SecretSource::File(path) => {
            let path = path.clone();
            let read = tokio::task::spawn_blocking(move || private(&path));
            read.await.map_err(|error| error.to_string())??
        }
        SecretSource::Env(name) => {
            std::env::var(name).map_err(|_| format!("{name} is not set, or is not text"))?
        }
    };
    let text = text.trim_end_matches(['\r', '\n']);
    if text.len() < SHORTEST {
        return Err(format!("it has fewer than {SHORTEST} bytes"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By `printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac 'a secret of twenty-one'`.
    const SIGNED: &str = "3e6677203a7dbb0c7cba42fbcff41b9b19cf3278f25e7d37cb4486aed742c0b6";

    fn is_by(header: &str, secret: &str, body: &str) -> Option<bool> {
        let read = Signature::read(header)?;
        Some(read.is_by(secret.as_bytes(), body.as_bytes()))
    }

    #[test]
    fn a_signature_is_of_its_time_its_body_and_its_secret() {
        let (secret, body) = ("a secret of twenty-one", r#"{"a":1}"#);
        let header = format!("t=1700000000,v1={SIGNED}");
        assert_eq!(is_by(&header, secret, body), Some(true));
        assert_eq!(is_by(&header, "another secret", body), Some(false));
        assert_eq!(is_by(&header, secret, r#"{"a":2}"#), Some(false));
        let later = format!("t=1700000001,v1={SIGNED}");
        assert_eq!(is_by(&later, secret, body), Some(false));
        // One of several will do, and what is of another form is passed over.
        let other = "0".repeat(64);
        let several = format!("v1={other}, t=1700000000, v0=x, v1={SIGNED}");
        assert_eq!(is_by(&several, secret, body), Some(true));
        let none = "t=1700000000,v0=x";
        assert_eq!(is_by(none, secret, body), Some(false));
    }

    #[test]
    fn what_is_no_signature_is_none() {
        let mac = "0".repeat(64);
        for header in [
            String::new(),
            format!("v1={mac}"),
            format!("t=,v1={mac}"),
            format!("t=-1,v1={mac}"),
            format!("t=1e3,v1={mac}"),
            format!("t=99999999999999999999,v1={mac}"),
            format!("t=1,t=2,v1={mac}"),
            format!("t=1,v1={}", &mac[1..]),
            format!("t=1{}", format!(",v1={mac}").repeat(5)),
        ] {
            assert!(Signature::read(&header).is_none(), "{header}");
        }
    }

    #[tokio::test]
    async fn a_secret_is_long_enough_and_nobody_elses() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hook.secret");
        let read = async |text: &str, mode: u32| {
            std::fs::write(&path, text).unwrap();
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&path, mode).unwrap();
            secret(&SecretSource::File(path.clone())).await
        };
        let good = "a secret of twenty-one";
        assert_eq!(read(&format!("{good}\n"), 0o640).await.unwrap(), good);
        assert!(read(good, 0o644).await.unwrap_err().contains("chmod 600"));
        let short = read("fifteen letters\n", 0o600).await.unwrap_err();
        assert!(
            short.contains("16 bytes") && !short.contains("fifteen"),
            "{short}"
        );
        let unset = secret(&SecretSource::Env("PGBATON_NO_SUCH".to_owned())).await;
        assert!(unset.unwrap_err().contains("is not set"));
    }
}
