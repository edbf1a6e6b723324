//! Whom to trust on connections that leave the host.

use std::{path::Path, sync::Arc};

use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer, pki_types::pem::PemObject};

use super::KeyError;

/// The certificates of a PEM file.
pub(super) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, KeyError> {
    let fail = |what: String| KeyError::new("ca_file", format!("`{}` {what}", path.display()));
    let pem = std::fs::read(path).map_err(|error| fail(format!("cannot be read: {error}")))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(fail("holds no certificate; expected one or more in PEM form".into())),
        Err(error) => Err(fail(format!("is not PEM: {error}"))),
    }
}

/// TLS 1.2 and 1.3 with the public roots, or with those of `ca_file` alone.
pub(super) fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, KeyError> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            for certificate in read_certificates(path)? {
                roots.add(certificate).map_err(|error| {
                    KeyError::new(
                        "ca_file",
                        format!("`{}` holds an unusable certificate: {error}", path.display()),
                    )
                })?;
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| KeyError::new("ca_file", format!("TLS cannot be set up: {error}")))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
