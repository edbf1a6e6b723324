//! What both kinds of sink need: alerts, an outbox on disk, certificates.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use fleet::{
    event::Attribution,
    secret::Secret,
    store::{Batch, Engine, open},
    time::Timestamp,
};
use mitigations::{
    alarm::{Alarm, AlarmKind, Entity},
    alert::{self, Alert, ResponseNote},
    outbox::{Outbox, Workers},
    secret::SecretRef,
    sink::{self, AlertOptions},
    task::TaskId,
};

/// The secret that tests use for everything; long enough for a signature.
pub(crate) const SECRET: &str = "correct horse battery staple";

pub(crate) fn alarm(thing: &str) -> Alarm {
    Alarm {
        id: format!("{:032x}", thing.len()),
        violation_id: "5be0c1f2a3d4e5f60718293a4b5c6d7e".into(),
        kind: AlarmKind::InAlarm,
        at: Timestamp::from_millis(1_735_690_200_000),
        started_at: Timestamp::from_millis(1_735_690_200_000),
        entity: Entity::Thing(thing.into()),
        client_id: Some(thing.into()),
        principal: None,
        groups: Default::default(),
        profile: "pumps".into(),
        behavior: "quiet".into(),
        metric: "aws:num-messages-sent".into(),
        value: Some(serde_json::json!({"count": 212})),
        expected: "less-than-equals 50 in 300 s".into(),
        attribution: Attribution::Certain,
        suppressed: false,
        behavior_json: r#"{"name":"quiet","metric":"aws:num-messages-sent","criteria":{"comparisonOperator":"less-than-equals","value":{"count":50},"durationSeconds":300}}"#.into(),
    }
}

pub(crate) fn alert(thing: &str) -> Alert {
    let note = ResponseNote {
        action: "quarantine".into(),
        task: TaskId::derive("v", "quarantine"),
        plan: "act".into(),
        text: "`quarantine` is being carried out".into(),
    };
    alert::of_alarm(&alarm(thing), vec![note]).unwrap()
}

/// An outbox with its workers. The store is on disk.
pub(crate) struct Running {
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) workers: Workers,
}

/// Runs the sinks of an `[alerts]` table on the store in `folder`.
pub(crate) fn run(folder: &Path, options: &str) -> Running {
    let options: AlertOptions = toml::from_str(options).unwrap();
    let secrets = |_: &SecretRef| Ok(Secret::new(SECRET));
    let sinks = sink::build(&options, &secrets).unwrap();
    let store = Arc::from(open(Engine::Redb, &folder.join("store")).unwrap());
    let start = Instant::now();
    let clock = Arc::new(move || {
        let millis = i64::try_from(start.elapsed().as_millis()).unwrap();
        Timestamp::from_millis(1_735_690_200_000 + millis)
    });
    let outbox = Outbox::open(store, sinks, options.outbox, clock).unwrap();
    let workers = outbox.start();
    Running { outbox, workers }
}

impl Running {
    pub(crate) fn send(&self, alerts: &[Alert]) {
        self.outbox.commit(Batch::new(), alerts).unwrap();
    }

    pub(crate) async fn settled(&self) {
        until("all alerts are settled", || self.outbox.stats().iter().all(|stats| stats.waiting == 0)).await;
    }
}

/// Waits until `done`, at most 30 s.
pub(crate) async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(tokio::time::Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A CA and a certificate for `localhost` and 127.0.0.1, in `folder`: `ca.pem`, `cert.pem`, `key.pem`.
pub(crate) fn certificates(folder: &Path) {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(vec![]).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = rcgen::Issuer::from_params(&ca, &ca_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    std::fs::write(folder.join("ca.pem"), ca_pem).unwrap();
    std::fs::write(folder.join("cert.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
}
