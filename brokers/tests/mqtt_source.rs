//! The MQTT source against real Mosquitto processes and Mosquitto's own clients.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail like tests"
)]

mod support;

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use brokers::mqtt::{
    settings::{Connection, Identity, Protocol, Settings, Tls},
    source::{self, MqttSource},
    status::{Clock, FailureKind, State, Status},
};
use detector::input::{Format, Input, Outcome, Receipt, Refusal, SourceId};
use fleet::{
    report::{self, ReportBuf},
    secret::Secret,
    time::Timestamp,
};
use support::{Mosquitto, PATIENCE, Setup, Who, pki::Pki};
use tokio::sync::mpsc;

const REPORT: &[u8] = br#"{"hed":{"rid":41,"v":"1.0"},"met":{"ns":{"bi":900,"bo":410}}}"#;
/// `{"hed":{"rid":1735690200,"v":"1.0"},...}`, from `device-defender-device-metrics.md`, section 6.
const CBOR: &[u8] = b"\xa2\x63hed\xa2\x63rid\x1a\x67\x74\x87\xd8\x61v\x631.0\x63met\xa2\x62tp\xa2\x63pts\x81\xa1\x62pt\x16\x61t\x01\x62ns\xa2\x62bi\x19\x03\x84\x62bo\x19\x01\x9a";

fn clock() -> Clock {
    Arc::new(|| Timestamp::from_millis(1_735_689_600_417))
}

/// What stands for the engine.
struct Engine {
    inputs: mpsc::Receiver<Vec<Input>>,
    receipts: mpsc::Sender<Vec<Receipt>>,
}

impl Engine {
    async fn batch(&mut self) -> Vec<Input> {
        tokio::time::timeout(PATIENCE, self.inputs.recv())
            .await
            .expect("an input in time")
            .expect("the source runs")
    }

    /// The next `count` inputs.
    async fn inputs(&mut self, count: usize) -> Vec<Input> {
        let mut inputs = Vec::new();
        while inputs.len() < count {
            inputs.extend(self.batch().await);
        }
        inputs
    }

    /// Receipts as the engine would give them: decoded, then journaled or refused.
    async fn receive(&self, inputs: &[Input]) {
        let receipts =
            inputs.iter().map(|input| Receipt { tag: input.tag, outcome: outcome(input) }).collect();
        self.receipts.send(receipts).await.unwrap();
    }
}

fn outcome(input: &Input) -> Outcome {
    let mut buffer = ReportBuf::default();
    let decoded = match input.format {
        Format::ReportJson => report::decode_json(&input.payload, &mut buffer),
        Format::ReportCbor => report::decode_cbor(&input.payload, &mut buffer),
        _ => return Outcome::Irrelevant,
    };
    match decoded {
        Ok(()) => Outcome::Journaled { report_id: Some(buffer.report_id) },
        Err(error) => Outcome::Refused(Refusal {
            report_id: error.report_id,
            reason: error.reason,
            message: error.to_string(),
        }),
    }
}

fn settings(broker: &Mosquitto, protocol: Protocol) -> Settings {
    let mut connection = Connection::new("localhost", broker.port, "fleetward-test");
    connection.protocol = protocol;
    Settings::new(SourceId(3), connection)
}

fn spawn_with(settings: Settings, channel: usize) -> (MqttSource, Engine) {
    let (send, inputs) = mpsc::channel(channel);
    let (receipts, take) = mpsc::channel(16);
    (source::spawn(settings, clock(), send, take).unwrap(), Engine { inputs, receipts })
}

/// Starts a source and waits until it is subscribed.
async fn start(settings: Settings) -> (MqttSource, Engine) {
    let (source, engine) = spawn_with(settings, 16);
    wait(&source, Status::is_connected).await;
    (source, engine)
}

async fn wait(source: &MqttSource, ready: impl FnMut(&Status) -> bool) -> Status {
    let mut status = source.status();
    let found = tokio::time::timeout(PATIENCE, status.wait_for(ready)).await;
    found.unwrap_or_else(|_| panic!("timed out at {:?}", *source.status().borrow())).unwrap().clone()
}

async fn wait_count(counter: &AtomicU64, at_least: u64) {
    let ready = async {
        while counter.load(std::sync::atomic::Ordering::Relaxed) < at_least {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ready).await.expect("the counter to get there");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn reports_are_answered(protocol: Protocol, client: &str) {
    let broker = Setup::plain().start();
    let (source, mut engine) = start(settings(&broker, protocol)).await;
    let answers = broker
        .subscribe(&Who::Anonymous, &["-V", client, "-q", "1", "-t", "$aws/things/+/defender/metrics/+/+"]);
    let cases: [(&str, &[u8], Format, &str); 4] = [
        ("json", REPORT, Format::ReportJson, "accepted"),
        ("cbor", CBOR, Format::ReportCbor, "accepted"),
        ("json", br#"{"hed":{"rid":7,"v":"1.0"}}"#, Format::ReportJson, "rejected"),
        ("cbor", b"\xa2\x63hed", Format::ReportCbor, "rejected"),
    ];
    for (encoding, payload, format, outcome) in cases {
        broker.publish_bytes(
            &format!("$aws/things/pump 17/defender/metrics/{encoding}"),
            payload,
            &["-V", client],
        );
        let inputs = engine.inputs(1).await;
        let input = &inputs[0];
        assert_eq!((input.source, input.format, &*input.subject), (SourceId(3), format, "pump 17"));
        assert_eq!((&*input.payload, input.arrival.millis()), (payload, 1_735_689_600_417));
        engine.receive(&inputs).await;
        let (topic, answer) = answers.message();
        assert_eq!(topic, format!("$aws/things/pump 17/defender/metrics/{encoding}/{outcome}"));
        let accepted = outcome == "accepted";
        let id = if encoding == "json" { 41 } else { 1_735_690_200 };
        if accepted && encoding == "json" {
            let expected =
                r#"{"thingName":"pump 17","reportId":41,"status":"ACCEPTED","timestamp":1735689600417}"#;
            assert_eq!(text(&answer), expected);
        } else if accepted {
            assert_eq!(answer, report::accepted_cbor("pump 17", id, (clock())()));
        } else {
            let what = text(&answer);
            assert!(what.contains("REJECTED") && what.contains("InvalidPayload"), "{what}");
        }
    }
    wait_count(&source.counters().acknowledged, 4).await;
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_are_answered_in_their_own_encoding_over_mqtt_3_1_1() {
    reports_are_answered(Protocol::V311, "mqttv311").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_are_answered_in_their_own_encoding_over_mqtt_5() {
    reports_are_answered(Protocol::V5, "mqttv5").await;
}

async fn nothing_is_acknowledged_before_its_receipt(protocol: Protocol) {
    let broker = Setup::plain().start();
    let (source, mut engine) = start(settings(&broker, protocol)).await;
    for n in 0..3 {
        broker.publish_bytes(&format!("$aws/things/t{n}/defender/metrics/json"), REPORT, &[]);
    }
    let inputs = engine.inputs(3).await;
    engine.receive(&inputs[..1]).await;
    wait_count(&source.counters().acknowledged, 1).await;
    broker.wait_log("Received PUBACK from fleetward-test");
    drop((source, engine));

    let (source, mut engine) = start(settings(&broker, protocol)).await;
    assert!(matches!(source.status().borrow().state, State::Connected { session_present: true, .. }));
    let again = engine.inputs(2).await;
    let things: Vec<&str> = again.iter().map(|input| &*input.subject).collect();
    assert_eq!(things, ["t1", "t2"], "the acknowledged one does not come again, the others do, in order");
    engine.receive(&again).await;
    source.stop().await;

    let (source, mut engine) = start(settings(&broker, protocol)).await;
    broker.publish_bytes("$aws/things/last/defender/metrics/json", REPORT, &[]);
    assert_eq!(
        &*engine.inputs(1).await[0].subject,
        "last",
        "stopping in order leaves nothing unacknowledged"
    );
    drop(source);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_acknowledged_before_its_receipt_over_mqtt_3_1_1() {
    nothing_is_acknowledged_before_its_receipt(Protocol::V311).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_acknowledged_before_its_receipt_over_mqtt_5() {
    nothing_is_acknowledged_before_its_receipt(Protocol::V5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_restart_is_survived_and_redeliveries_under_way_are_not_doubled() {
    for protocol in [Protocol::V311, Protocol::V5] {
        let mut broker = Setup::plain().start();
        let (source, mut engine) = start(settings(&broker, protocol)).await;
        broker.publish_bytes("$aws/things/a/defender/metrics/json", REPORT, &[]);
        let under_way = engine.inputs(1).await;
        broker.stop();
        let down = wait(&source, |status| matches!(status.state, State::Down { .. })).await;
        assert!(down.last_failure.is_some());
        broker.start_again();
        let up = wait(&source, Status::is_connected).await;
        assert_eq!(up.reconnects, 1);
        assert!(matches!(up.state, State::Connected { session_present: true, .. }), "{up:?}");
        wait_count(&source.counters().joined_redeliveries, 1).await;
        broker.publish_bytes("$aws/things/b/defender/metrics/json", REPORT, &[]);
        let next = engine.inputs(1).await;
        assert_eq!(&*next[0].subject, "b");
        engine.receive(&under_way).await;
        engine.receive(&next).await;
        wait_count(&source.counters().acknowledged, 2).await;
        source.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_shows_in_the_status_without_the_password() {
    for protocol in [Protocol::V311, Protocol::V5] {
        let broker = Setup::passwords(&[("fleetward", "right")]).start();
        let mut settings = settings(&broker, protocol);
        settings.connection.username = Some("fleetward".into());
        settings.connection.password = Some(Secret::new("wrong-pw"));
        let (source, engine) = spawn_with(settings.clone(), 4);
        let status = wait(&source, |status| status.last_failure.is_some()).await;
        let failure = status.last_failure.unwrap();
        assert_eq!(failure.kind, FailureKind::Refused, "{failure:?}");
        assert!(!failure.message.contains("wrong-pw"), "{failure:?}");
        drop((source, engine));
        settings.connection.password = Some(Secret::new("right"));
        let (source, _engine) = start(settings).await;
        source.stop().await;
    }
}

fn tls(broker: &Mosquitto, name: &str) -> Tls {
    let files = Pki::client(broker.dir.path(), name);
    Tls {
        ca_file: Some(broker.file("ca.pem")),
        identity: Some(Identity { cert_file: files.cert, key_file: files.key }),
        server_name: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_with_client_certificates_works_and_its_failures_are_told() {
    let broker = Setup::plain().tls().start();
    let good = tls(&broker, "sidecar");
    Pki::client(broker.dir.path(), "dev-1");
    for protocol in [Protocol::V311, Protocol::V5] {
        let mut with = settings(&broker, protocol);
        with.connection.tls = Some(good.clone());
        let (source, mut engine) = start(with.clone()).await;
        let topic = "$aws/things/dev-1/defender/metrics/json";
        let message = std::str::from_utf8(REPORT).unwrap();
        let (ok, said) = broker.publish(&Who::Certificate("dev-1"), &["-q", "1", "-t", topic, "-m", message]);
        assert!(ok, "{said}");
        assert_eq!(&*engine.inputs(1).await[0].subject, "dev-1");
        drop((source, engine));

        with.connection.tls = Some(Tls { server_name: Some("elsewhere".into()), ..good.clone() });
        expect_tls_failure(with.clone(), "not valid for name").await;
        with.connection.tls = Some(Tls { identity: None, ..good.clone() });
        expect_tls_failure(with.clone(), "").await;
        with.connection.tls = Some(Tls { ca_file: Some(broker.file("dev-1.key")), ..good.clone() });
        expect_tls_failure(with.clone(), "holds no PEM certificate").await;
        with.connection.tls = Some(Tls { ca_file: None, ..good.clone() });
        expect_tls_failure(with, "UnknownIssuer").await;
    }
    let mut named = settings(&broker, Protocol::V5);
    named.connection.host = "127.0.0.1".into();
    named.connection.tls = Some(Tls { server_name: Some("localhost".into()), ..good });
    let (source, _engine) = start(named).await;
    source.stop().await;
}

async fn expect_tls_failure(settings: Settings, part: &str) {
    let (source, _engine) = spawn_with(settings, 4);
    let failure = wait(&source, |status| status.last_failure.is_some()).await.last_failure.unwrap();
    assert!(failure.message.contains(part), "{failure:?}");
    // The refusal of a missing client certificate may also arrive as a closed connection.
    if !part.is_empty() {
        assert_eq!(failure.kind, FailureKind::Tls, "{failure:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_brokers_log_arrives_line_by_line() {
    let broker = Setup::plain().start();
    let mut settings = settings(&broker, Protocol::V5);
    settings.reports = false;
    settings.mosquitto_log = true;
    let (source, mut engine) = start(settings).await;
    broker.publish_bytes("x", b"1", &["-i", "cam-7"]);
    let mut lines = Vec::new();
    while !lines.iter().any(|line: &String| line.contains("Client cam-7 disconnected.")) {
        let batch = engine.batch().await;
        engine.receive(&batch).await;
        for input in batch {
            assert_eq!((input.format, &*input.subject), (Format::MosquittoLog, ""));
            lines.push(text(&input.payload));
        }
    }
    assert!(lines.iter().any(|line| line.contains(" as cam-7 (p2, c1, k60)")), "{lines:#?}");
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lifecycle_topics_and_another_report_prefix() {
    let broker = Setup::plain().start();
    let mut settings = settings(&broker, Protocol::V311);
    settings.report_prefix = "aws/things/".into();
    settings.lifecycle = true;
    let (source, mut engine) = start(settings).await;
    let answers = broker.subscribe(&Who::Anonymous, &["-t", "aws/things/+/defender/metrics/+/+"]);
    broker.publish_bytes("$aws/things/ignored/defender/metrics/json", REPORT, &[]);
    broker.publish_bytes("aws/things/a/defender/metrics/json", REPORT, &[]);
    broker.publish_bytes("$aws/events/presence/connected/cam-1", b"{}", &[]);
    let inputs = engine.inputs(2).await;
    let seen: Vec<_> = inputs.iter().map(|input| (input.format, &*input.subject)).collect();
    assert_eq!(seen, [(Format::ReportJson, "a"), (Format::Lifecycle, "cam-1")]);
    engine.receive(&inputs).await;
    assert_eq!(answers.message().0, "aws/things/a/defender/metrics/json/accepted");
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retained_and_impossible_reports_are_counted_and_not_handed_on() {
    for protocol in [Protocol::V311, Protocol::V5] {
        let broker = Setup::plain().start();
        broker.publish_bytes("$aws/things/old/defender/metrics/json", REPORT, &["-r"]);
        let (source, mut engine) = start(settings(&broker, protocol)).await;
        broker.publish_bytes(&format!("$aws/things/{}/defender/metrics/json", "n".repeat(129)), REPORT, &[]);
        broker.publish_bytes("$aws/things/a/defender/metrics/xml", REPORT, &[]);
        broker.publish_bytes("$aws/things/live/defender/metrics/json", REPORT, &["-r"]);
        let inputs = engine.inputs(1).await;
        assert_eq!(&*inputs[0].subject, "live", "a live report counts, even if it is to be retained");
        engine.receive(&inputs).await;
        wait_count(&source.counters().acknowledged, 3).await;
        let counters = source.counters().snapshot();
        let value = |name| counters.iter().find(|(found, _)| *found == name).unwrap().1;
        assert_eq!((value("dropped_thing"), value("dropped_foreign"), value("handed_on")), (1, 1, 1));
        // With MQTT 5 the broker is asked not to send retained messages at all.
        assert_eq!(value("dropped_retained"), u64::from(protocol == Protocol::V311));
        source.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oversized_message_does_not_block_the_source() {
    let huge = vec![b' '; 400_000];
    for protocol in [Protocol::V311, Protocol::V5] {
        let broker = Setup::plain().start();
        let (source, mut engine) = start(settings(&broker, protocol)).await;
        let answers = broker.subscribe(&Who::Anonymous, &["-t", "$aws/things/+/defender/metrics/+/rejected"]);
        broker.publish_bytes("$aws/things/big/defender/metrics/json", &huge, &[]);
        broker.publish_bytes("$aws/things/small/defender/metrics/json", REPORT, &[]);
        let inputs = engine.inputs(1).await;
        assert_eq!(&*inputs[0].subject, "small");
        engine.receive(&inputs).await;
        let counters = source.counters();
        if protocol == Protocol::V311 {
            let (topic, answer) = answers.message();
            assert_eq!(topic, "$aws/things/big/defender/metrics/json/rejected");
            assert!(
                text(&answer).contains("found 400000 bytes; allowed are at most 262144"),
                "{}",
                text(&answer)
            );
            wait_count(&counters.dropped_oversized, 1).await;
            wait_count(&counters.oversized_breaks, 2).await;
            wait(&source, |status| status.stuck_on_oversized.is_none()).await;
        } else {
            // MQTT 5: the broker keeps to the size that we announced, and drops it.
            assert_eq!(
                counters.snapshot().iter().find(|(name, _)| *name == "oversized_breaks").unwrap().1,
                0
            );
        }
        source.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_engine_stops_the_reading_and_loses_nothing() {
    for protocol in [Protocol::V311, Protocol::V5] {
        let broker = Setup::plain().start();
        let mut settings = settings(&broker, protocol);
        (settings.batch_max, settings.outstanding_max) = (16, 64);
        let (source, mut engine) = spawn_with(settings, 1);
        wait(&source, Status::is_connected).await;
        let lines: Vec<String> = (0..2_000).map(|n| format!("{{\"n\":{n}}}")).collect();
        broker.publish_lines("$aws/things/a/defender/metrics/json", &lines.join("\n"), &["-q", "1"]);
        if protocol == Protocol::V5 {
            // 3.1.1 cannot get that far: Mosquitto sends at most 20 unacknowledged messages.
            wait_count(&source.counters().stalls, 1).await;
            assert!(source.counters().handed_on.load(std::sync::atomic::Ordering::Relaxed) <= 64);
        }
        let mut seen = Vec::new();
        while seen.len() < lines.len() {
            let batch = engine.batch().await;
            assert!(batch.len() <= 16, "{}", batch.len());
            engine.receive(&batch).await;
            seen.extend(batch.iter().map(|input| text(&input.payload)));
        }
        assert_eq!(seen, lines, "each once, in order");
        wait_count(&source.counters().acknowledged, 2_000).await;
        source.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_in_the_session_does_not_hide_that_the_source_is_connected() {
    let broker = Setup::plain().start();
    let mut settings = settings(&broker, Protocol::V5);
    (settings.batch_max, settings.outstanding_max) = (4, 8);
    let (source, _engine) = start(settings.clone()).await;
    source.stop().await;
    let lines: Vec<String> = (0..200).map(|n| n.to_string()).collect();
    broker.publish_lines("$aws/things/a/defender/metrics/json", &lines.join("\n"), &["-q", "1"]);
    // Nothing is taken before the source says that it is connected.
    let (source, mut engine) = spawn_with(settings, 1);
    wait(&source, Status::is_connected).await;
    let mut seen = Vec::new();
    while seen.len() < lines.len() {
        let batch = engine.batch().await;
        engine.receive(&batch).await;
        seen.extend(batch.iter().map(|input| text(&input.payload)));
    }
    assert_eq!(seen, lines);
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shared_subscription_gives_each_report_to_one_member() {
    let broker = Setup::plain().start();
    let member = |id: &str| {
        let mut settings = settings(&broker, Protocol::V5);
        settings.shared_group = Some("fleetward".into());
        settings.report_prefix = "aws/things/".into();
        settings.connection.client_id = id.into();
        settings
    };
    let (first, mut one) = start(member("m-1")).await;
    let (second, mut two) = start(member("m-2")).await;
    let lines: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    broker.publish_lines("aws/things/a/defender/metrics/json", &lines.join("\n"), &["-q", "1"]);
    let mut seen: Vec<usize> = Vec::new();
    while seen.len() < 100 {
        let batch = tokio::select! { batch = one.batch() => batch, batch = two.batch() => batch };
        seen.extend(batch.iter().map(|input| text(&input.payload).parse::<usize>().unwrap()));
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
    drop((first, second));
}
