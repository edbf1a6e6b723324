//! A certificate authority for tests.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// Files of a certificate.
#[derive(Clone, Debug)]
pub struct Files {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// A certificate authority and the broker's certificate (for `localhost` and `127.0.0.1`).
#[derive(Debug)]
pub struct Pki {
    pub ca: PathBuf,
    pub server: Files,
}

impl Pki {
    /// Makes authority and broker certificate in `dir`: `ca.pem`, `ca.key`, `server.pem`, `server.key`.
    pub fn create(dir: &Path) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = params("Test CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca = params.self_signed(&key).unwrap();
        fs::write(dir.join("ca.pem"), ca.pem()).unwrap();
        fs::write(dir.join("ca.key"), key.serialize_pem()).unwrap();
        let mut server = CertificateParams::new(vec!["localhost".into(), "127.0.0.1".into()]).unwrap();
        server.distinguished_name.push(DnType::CommonName, "localhost");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        Self { ca: dir.join("ca.pem"), server: sign(dir, "server", &server) }
    }

    /// Makes a client certificate with common name `name` in `dir`, by the authority of [`Pki::create`] there.
    pub fn client(dir: &Path, name: &str) -> Files {
        let mut params = params(name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        sign(dir, name, &params)
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn sign(dir: &Path, name: &str, params: &CertificateParams) -> Files {
    let ca_key = KeyPair::from_pem(&fs::read_to_string(dir.join("ca.key")).unwrap()).unwrap();
    let mut ca_params = self::params("Test CA");
    ca_params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca_params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let issuer = Issuer::new(ca_params, ca_key);
    let key = KeyPair::generate().unwrap();
    let cert = params.signed_by(&key, &issuer).unwrap();
    let files = Files { cert: dir.join(format!("{name}.pem")), key: dir.join(format!("{name}.key")) };
    fs::write(&files.cert, cert.pem()).unwrap();
    fs::write(&files.key, key.serialize_pem()).unwrap();
    files
}
