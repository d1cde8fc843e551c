//! The server's certificate, taken anew when its files have changed.

use super::watched::Watched;
use crate::site::ApiTls;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::{Arc, Mutex, PoisonError};

/// What handshakes are made with.
pub(super) struct Tls {
    files: Watched<Arc<ServerConfig>>,
    last: Mutex<Arc<ServerConfig>>,
}

impl Tls {
    pub(super) fn new(files: &ApiTls) -> Result<Self, String> {
        let paths = files.clone();
        let watched = Watched::new(vec![files.cert.clone(), files.key.clone()], move || {
            read(&paths).map(Arc::new)
        });
        let first = watched.get()?;
        Ok(Self {
            files: watched,
            last: Mutex::new(Arc::clone(&first)),
        })
    }

    /// The configuration for the next handshake. Files that are being renewed may not fit each other for a moment: then the
    /// one before is as good.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(now) = self.files.get() {
            *last = Arc::clone(&now);
        }
        Arc::clone(&last)
    }
}

fn read(files: &ApiTls) -> Result<ServerConfig, String> {
    let cert = files.cert.display();
    let key = files.key.display();
    let chain = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| format!("the certificate {cert} cannot be read: {error}"))?;
    if chain.is_empty() {
        return Err(format!("there is no certificate in {cert}"));
    }
    let private = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| format!("the key {key} cannot be read: {error}"))?;
    let unusable =
        |error| format!("the certificate {cert} and the key {key} cannot be used: {error}");
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
