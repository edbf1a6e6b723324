//! A folder with something of everything: certificates, CRLs, policies, a broker, and what is none of
//! these. Keys are fixed and signatures of Ed25519 depend on nothing else, so that it is the same each
//! time.

use std::fs;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevocationReason,
    RevokedCertParams, SerialNumber, date_time_ymd,
};
use tempfile::TempDir;

/// The time that it is made for.
pub(super) const NOW: &str = "2026-06-01";

/// The key whose 32 bytes are `number` (RFC 8410, section 7).
fn key(number: u8) -> KeyPair {
    let mut der = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    der.extend([number; 32]);
    KeyPair::try_from(der).unwrap()
}

fn named(name: &str, serial: u8, (from, to): (i32, i32)) -> CertificateParams {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.serial_number = Some(SerialNumber::from_slice(&[serial]));
    (parameters.not_before, parameters.not_after) = (date_time_ymd(from, 6, 15), date_time_ymd(to, 6, 15));
    parameters
}

fn root() -> CertifiedIssuer<'static, KeyPair> {
    let mut parameters = named("Acme Root", 0x40, (2020, 2040));
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(parameters, key(1)).unwrap()
}

fn leaf(name: &str, serial: u8, to: i32, purpose: ExtendedKeyUsagePurpose) -> String {
    let mut parameters = named(name, serial, (2025, to));
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![purpose];
    parameters.signed_by(&key(serial), &root()).unwrap().pem()
}

fn revoked(serial: u8) -> Vec<u8> {
    let entry = RevokedCertParams {
        serial_number: SerialNumber::from_slice(&[serial]),
        revocation_time: date_time_ymd(2026, 5, 1),
        reason_code: Some(RevocationReason::KeyCompromise),
        invalidity_date: None,
    };
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 5, 31),
        next_update: date_time_ymd(2026, 6, 30),
        crl_number: SerialNumber::from_slice(&[1]),
        issuing_distribution_point: None,
        revoked_certs: vec![entry],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    list.signed_by(&root()).unwrap().der().to_vec()
}

const CONF: &str = "# the broker of the plant
listener 8883
certfile /etc/mosquitto/server.pem
keyfile /etc/mosquitto/server.key
tls_version tlsv1.1
allow_anonymous false
password_file /etc/mosquitto/passwd
acl_file /etc/mosquitto/acl
";
const ACL: &str = "user backend\ntopic readwrite #\n\npattern readwrite devices/%c/#\n";
const POLICY: &str = r#"{
  "Version": "2012-10-17",
  "Statement": [
    {"Effect": "Allow", "Action": "iot:Connect",
     "Resource": "arn:aws:iot:eu-west-1:123456789012:client/${iot:Connection.Thing.ThingName}"},
    {"Effect": "Allow", "Action": ["iot:Publish", "iot:Receive"],
     "Resource": "arn:aws:iot:eu-west-1:123456789012:topic/devices/*"}
  ]
}
"#;

/// The folder, with everything below `fleet`.
pub(super) fn folder() -> TempDir {
    let dir = TempDir::new().unwrap();
    let root_pem = root().pem();
    let client = |name, serial, to| leaf(name, serial, to, ExtendedKeyUsagePurpose::ClientAuth);
    let bundle = format!("# two devices\n{}{}", client("pump-2", 3, 2027), client("pump-3", 4, 2030));
    let server = leaf("broker.acme.example", 5, 2027, ExtendedKeyUsagePurpose::ServerAuth);
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let (pump, server_key) = (client("pump-1", 2, 2026), key(5).serialize_pem());
    let files: [(&str, &[u8]); 13] = [
        ("ca/root.crl", &revoked(3)),
        ("ca/root.pem", root_pem.as_bytes()),
        ("devices/again.pem", root_pem.as_bytes()),
        ("devices/bundle.pem", bundle.as_bytes()),
        ("devices/pump-1.pem", pump.as_bytes()),
        ("devices/<img src=x onerror=alert(1)>.pem", broken.as_bytes()),
        ("mosquitto/mosquitto.conf", CONF.as_bytes()),
        ("mosquitto/acl", ACL.as_bytes()),
        ("mosquitto/passwd", b"backend:$7$101$c2FsdA==$aGFzaA==\n"),
        ("mosquitto/server.pem", server.as_bytes()),
        ("mosquitto/server.key", server_key.as_bytes()),
        ("notes.txt", b"ask the plant about pump-3\n"),
        ("policies/wide.json", POLICY.as_bytes()),
    ];
    for (name, bytes) in files {
        write(&dir.path().join("fleet").join(name), bytes);
    }
    write(&dir.path().join("fleet/photo.jpg"), &[0xff, 0xd8, 0xff, 0xe0, 0, 16]);
    dir
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}
