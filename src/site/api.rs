//! The HTTP API of `pgbaton serve`: `api`.

use super::words;
use crate::document::{Lowering, Spanned, Tree};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Where it listens unless told otherwise.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8432);

/// The HTTP API of `pgbaton serve`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Api {
    /// Where it listens; a loopback address where there is no TLS.
    pub listen: SocketAddr,
    /// Its certificate and key.
    pub tls: Option<ApiTls>,
    /// The file of the tokens that may use it.
    pub tokens: PathBuf,
}

/// Files in PEM on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiTls {
    /// The certificate, and those that lead from it to its authority.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// None only after an error.
pub(super) fn lower(to: &mut Lowering<'_>, value: &Spanned<Tree>, base: &Path) -> Option<Api> {
    let mut map = to.map("`api`", value)?;
    let entry = map.optional(to, "listen");
    let span = entry.map_or(value.span, |entry| entry.value.span);
    let listen = entry.map_or(Some(LISTEN), |entry| address(to, &entry.value));
    let entry = map.optional(to, "tls");
    let asked = entry.is_some();
    let tls = entry.and_then(|entry| files(to, &entry.value, base));
    let tokens = map
        .required(to, "tokens")
        .and_then(|entry| words::local_path(to, "`tokens`", &entry.value, base));
    map.finish(to);
    if let Some(listen) = listen
        && !asked
        && !listen.ip().is_loopback()
    {
        let message = format!("without `tls` the API cannot listen on {listen}");
        to.error("bad-value", span, message).help = Some(
            "tokens would cross the network for anybody to read: give `tls: { cert: FILE, key: FILE }`, or listen on 127.0.0.1"
                .to_owned(),
        );
        return None;
    }
    Some(Api {
        listen: listen?,
        tls,
        tokens: tokens?,
    })
}

fn files(to: &mut Lowering<'_>, value: &Spanned<Tree>, base: &Path) -> Option<ApiTls> {
    let mut map = to.map("`tls`", value)?;
    let mut file = |to: &mut Lowering<'_>, key: &'static str| {
        let entry = map.required(to, key)?;
        words::local_path(to, &format!("`{key}`"), &entry.value, base)
    };
    let (cert, key) = (file(to, "cert"), file(to, "key"));
    map.finish(to);
    Some(ApiTls {
        cert: cert?,
        key: key?,
    })
}

fn address(to: &mut Lowering<'_>, value: &Spanned<Tree>) -> Option<SocketAddr> {
    let text = words::text(to, "`listen`", value)?;
    if let Ok(address) = text.value.parse() {
        return Some(address);
    }
    to.error(
        "bad-value",
        text.span,
        format!("`{}` is not an address to listen on", text.value),
    )
    .help = Some("write an address and a port, `127.0.0.1:8432` or `[::1]:8432`".to_owned());
    None
}
