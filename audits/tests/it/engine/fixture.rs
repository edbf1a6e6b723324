//! A small fleet with something of everything: certificates with and without faults, policies, access
//! lists, two brokers, what was seen of clients, and what was used.

use audits::broker::{ConfigFile, client_ids};
use audits::certificate::crl::List;
use audits::certificate::facts::{Facts, Reader};
use audits::certificate::id::Fingerprint;
use audits::certificate::parse::Certificate;
use audits::certificate::view::{Crl, PathState, Registered, Session, Signer, Status};
use audits::engine::{AccessList, Certificates, Deployment, Displaced, Fleet, Holder, Logging, Policy};
use audits::finding::Place;
use audits::policy::blast::Things;
use audits::policy::form::Action;
use audits::policy::least::{Principal, Use};
use audits::policy::parse::{aws, dynsec, mosquitto, nats};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
    date_time_ymd,
};

/// 2026-06-01.
pub(super) const NOW: i64 = 1_780_272_000;
const DAY: i64 = 86_400;

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, "Acme Root");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (parameters.not_before, parameters.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2040, 1, 1));
    parameters.serial_number = Some(SerialNumber::from_slice(&[1]));
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}

fn leaf(
    number: u8,
    years: i32,
    purpose: ExtendedKeyUsagePurpose,
    root: &CertifiedIssuer<'_, KeyPair>,
) -> Facts {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, format!("pump-{number}"));
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![purpose];
    (parameters.not_before, parameters.not_after) =
        (date_time_ymd(2025, 6, 2), date_time_ymd(2025 + years, 6, 2));
    parameters.serial_number = Some(SerialNumber::from_slice(&[number]));
    let certificate = parameters.signed_by(&KeyPair::generate().unwrap(), root).unwrap();
    named(Reader::default().read(certificate.der()).unwrap(), number)
}

/// Keys are random; what findings show of them is not.
fn named(mut facts: Facts, number: u8) -> Facts {
    facts.sha256 = Fingerprint([number; 32]);
    facts
}

fn registered(facts: Facts, thing: Option<&str>) -> Registered {
    Registered {
        facts,
        status: Status::Active,
        active_since: NOW - 10 * DAY,
        things: thing.into_iter().map(Into::into).collect(),
        path: PathState::Accepted,
    }
}

fn certificates() -> Certificates {
    let root = authority();
    let device = |number, years| leaf(number, years, ExtendedKeyUsagePurpose::ClientAuth, &root);
    let revoked = RevokedCertParams {
        serial_number: SerialNumber::from_slice(&[2]),
        revocation_time: date_time_ymd(2026, 5, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 5, 31),
        next_update: date_time_ymd(2026, 6, 30),
        crl_number: SerialNumber::from_slice(&[1]),
        issuing_distribution_point: None,
        revoked_certs: vec![revoked],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let der = list.signed_by(&root).unwrap();
    let issuer = Certificate::parse(root.der()).unwrap();
    let list = List::parse(der.der()).unwrap();
    let signer = Signer::of(&list, [&issuer]);
    let mut list = Crl::new(list, signer);
    list.sha256 = Fingerprint([0x20; 32]);
    Certificates {
        devices: vec![registered(device(1, 1), Some("pump-1")), registered(device(2, 3), Some("pump-2"))],
        device_places: vec![Place::line("devices.pem", 1), Place::line("devices.pem", 12)],
        authorities: vec![registered(named(Reader::default().read(root.der()).unwrap(), 0x10), None)],
        servers: vec![registered(leaf(3, 0, ExtendedKeyUsagePurpose::ServerAuth, &root), None)],
        server_places: vec![Place::line("server.pem", 1)],
        lists: vec![list],
        list_places: vec![Place::line("root.crl", 0)],
        sessions: Some(vec![session("pump-1", 0, Some(50)), session("copy", 10, None)]),
        shared_primes: Some(Vec::new()),
        ..Certificates::default()
    }
}

fn session(client: &str, connected: i64, disconnected: Option<i64>) -> Session {
    Session { certificate: 0, client: client.into(), connected, disconnected }
}

const OPEN: &str = "listener 1883\nallow_anonymous true\n";
const CLOSED: &str = "listener 1883 127.0.0.1\npassword_file passwd\nacl_file acl\nallow_anonymous true\n";
const ACL: &str =
    "topic read weather/#\n\nuser backend\ntopic readwrite #\n\npattern readwrite devices/%u/#\n";
const WIDE: &str = r#"{"Statement": [
 {"Effect": "Allow", "Action": "iot:Connect", "Resource": "arn:aws:iot:eu-west-1:123456789012:client/${iot:Connection.Thing.ThingName}"},
 {"Effect": "Allow", "Action": ["iot:Publish", "iot:Subscribe"],
  "Resource": "*"}
]}"#;
const ROLE: &str = r#"{"Statement": [{"Effect": "Allow",
 "Action": ["iot:Publish", "dynamodb:*", "iam:GetRole", "s3:GetObject"], "Resource": "*"}]}"#;
const DYNSEC: &str = r#"{"defaultACLAccess": {"publishClientSend": true, "publishClientReceive": true,
 "subscribe": true, "unsubscribe": true}, "roles": [], "clients": [], "groups": []}"#;
const NATS: &str = "port: 4222\nauthorization {\n  users: [ {user: a, password: b} ]\n}\nno_auth_user: a\n";

fn file(path: &str, text: &str) -> ConfigFile {
    ConfigFile { path: path.into(), bytes: text.into(), mode: Some(0o644), owner: None }
}

fn use_of(thing: &str, action: Action, name: &str) -> Use {
    let principal = Principal { thing: Some(thing.into()), user: Some(thing.into()), ..Principal::default() };
    Use { principal, action, name: name.into(), count: 3 }
}

pub(super) fn fleet() -> Fleet {
    let policy =
        |file: &str, text: &str, holders: Vec<Holder>| Policy { policy: aws::parse(file, text), holders };
    let deployments = vec![
        Deployment { name: "open".into(), files: vec![file("open/mosquitto.conf", OPEN)] },
        Deployment {
            name: "closed".into(),
            files: vec![
                file("closed/mosquitto.conf", CLOSED),
                file("closed/acl", ACL),
                file("closed/passwd", "backend:$7$101$c2FsdA==$aGFzaA==\n"),
            ],
        },
    ];
    let mut acl = mosquitto::parse("closed/acl", ACL);
    acl.client_ids = client_ids(&deployments[1].files);
    Fleet {
        now: NOW,
        certificates: certificates(),
        policies: vec![
            policy("wide.json", WIDE, vec![Holder::Thing("pump-1".into()), Holder::Group("pumps".into())]),
            policy("role.json", ROLE, Vec::new()),
        ],
        access: vec![
            AccessList { document: acl, text: ACL.into(), deployment: Some(1) },
            AccessList { document: dynsec::parse("d.json", DYNSEC), text: DYNSEC.into(), deployment: None },
            AccessList { document: nats::parse("nats.conf", NATS), text: NATS.into(), deployment: None },
        ],
        deployments,
        things: Some(Things::new(["pump-1", "pump-2", "valve-1"].map(String::from).to_vec())),
        displaced: Some((
            5,
            vec![
                Displaced { client: "pump-2".into(), principal: None, at: 7 },
                Displaced { client: "pump-1".into(), principal: Some("backend".into()), at: 5 },
                Displaced { client: "pump-1".into(), principal: Some("ab".repeat(32).into()), at: 9 },
            ],
        )),
        uses: Some(vec![
            use_of("pump-1", Action::Publish, "devices/pump-1/up"),
            use_of("pump-2", Action::Receive, "devices/pump-2/down"),
        ]),
        logging: Some(Logging { account: "123456789012".into(), is_on: false }),
        ..Fleet::default()
    }
}
