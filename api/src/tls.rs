//! The certificate of the endpoint: one that is given, or one that is made at the first start.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use thiserror::Error;

/// Files of a certificate chain and its key, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The chain, the own certificate first.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

/// Why TLS cannot be spoken.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read as PEM.
    #[error("cannot read `{}`", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// The file of a certificate has none.
    #[error("`{}` has no certificate", .0.display())]
    Empty(PathBuf),
    /// A file cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// No certificate can be made.
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
    /// Certificate and key are not one of the other, or not such as TLS takes.
    #[error("the certificate of the endpoint cannot be used")]
    Use(#[from] rustls::Error),
}

/// Makes a certificate for `names` (host names and addresses) that signs itself, unless there is one.
/// The key is readable by its owner alone. The certificate is written last: where it is, the key is.
///
/// # Errors
/// When a file cannot be written.
pub fn make(files: &Files, names: Vec<String>) -> Result<(), TlsError> {
    if files.certificate.exists() {
        return Ok(());
    }
    let key = rcgen::KeyPair::generate()?;
    let mut wanted = rcgen::CertificateParams::new(names)?;
    wanted.distinguished_name.push(rcgen::DnType::CommonName, "fleetward");
    wanted.not_before = rcgen::date_time_ymd(2020, 1, 1);
    wanted.not_after = rcgen::date_time_ymd(2120, 1, 1);
    wanted.extended_key_usages.push(rcgen::ExtendedKeyUsagePurpose::ServerAuth);
    let certificate = wanted.self_signed(&key)?;
    write(&files.key, &key.serialize_pem(), 0o600)?;
    write(&files.certificate, &certificate.pem(), 0o644)
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), TlsError> {
    let io = |source| TlsError::Write { path: path.to_owned(), source };
    let draft = path.with_extension("new");
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&draft).map_err(io)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
    fs::rename(&draft, path).map_err(io)
}

/// Reads the files. TLS 1.2 and 1.3, HTTP/1.1.
///
/// # Errors
/// When they cannot be read or do not belong together.
pub fn read(files: &Files) -> Result<Arc<ServerConfig>, TlsError> {
    let pem = |path: &Path, source| TlsError::Pem { path: path.to_owned(), source };
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>())
        .map_err(|source| pem(&files.certificate, source))?;
    if chain.is_empty() {
        return Err(TlsError::Empty(files.certificate.clone()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|source| pem(&files.key, source))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_certificate_is_made_once_and_its_key_is_ours_alone() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files { certificate: dir.path().join("c.pem"), key: dir.path().join("k.pem") };
        make(&files, vec!["localhost".into(), "127.0.0.1".into()]).unwrap();
        let first = fs::read(&files.certificate).unwrap();
        make(&files, vec!["elsewhere".into()]).unwrap();
        assert_eq!(fs::read(&files.certificate).unwrap(), first);
        assert_eq!(fs::metadata(&files.key).unwrap().permissions().mode() & 0o777, 0o600);
        read(&files).unwrap();
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let files = |name: &str| Files {
            certificate: dir.path().join(format!("{name}.pem")),
            key: dir.path().join(format!("{name}-key.pem")),
        };
        for name in ["a", "b"] {
            make(&files(name), vec!["localhost".into()]).unwrap();
        }
        let mixed = Files { certificate: files("a").certificate, key: files("b").key };
        assert!(matches!(read(&mixed), Err(TlsError::Use(_))));
        let none = Files { certificate: files("a").key, key: files("a").key };
        assert!(matches!(read(&none), Err(TlsError::Empty(_))));
        assert!(matches!(read(&files("c")), Err(TlsError::Pem { .. })));
    }
}
