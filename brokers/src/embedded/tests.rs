//! The embedded broker against an MQTT client that is not ours.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use detector::input::{Format, Input, SourceId};
use fleet::time::Timestamp;
use mitigations::control::{Control, ControlError, Subject};
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, Incoming, MqttOptions, Outgoing, QoS,
};
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;

use super::{EmbeddedBroker, Settings, StartError};

const WAIT: Duration = Duration::from_secs(20);

fn settings(listen: SocketAddr, events_max: usize) -> Settings {
    let names = |list: &[&str]| -> HashMap<String, String> {
        list.iter().map(|name| ((*name).to_owned(), format!("{name}-password"))).collect()
    };
    Settings {
        listen,
        devices: names(&["pump-1", "pump-2"]),
        services: names(&["watch"]),
        report_prefix: "$aws/things/".to_owned(),
        tell_reports: true,
        source: SourceId(3),
        clock: Arc::new(|| Timestamp::from_millis(1_000)),
        events_max,
    }
}

async fn broker() -> (EmbeddedBroker, Receiver<Input>) {
    EmbeddedBroker::start(settings(([127, 0, 0, 1], 0).into(), 1000)).await.unwrap()
}

struct Client {
    handle: AsyncClient,
    events: EventLoop,
}

impl Client {
    fn new(broker: &EmbeddedBroker, client: &str, user: &str, password: &str) -> Self {
        let mut options = MqttOptions::new(client, "127.0.0.1", broker.address().port());
        options.set_credentials(user, password);
        let (handle, events) = AsyncClient::new(options, 100);
        Self { handle, events }
    }

    /// Connects as a device or service with its right password.
    async fn connected(broker: &EmbeddedBroker, name: &str) -> Self {
        let mut client = Self::new(broker, name, name, &format!("{name}-password"));
        assert_eq!(client.connack().await, Ok(()));
        client
    }

    async fn connack(&mut self) -> Result<(), ConnectReturnCode> {
        match self.next().await {
            Ok(Incoming::ConnAck(_)) => Ok(()),
            Err(ConnectionError::ConnectionRefused(code)) => Err(code),
            other => panic!("expected a CONNACK, found {other:?}"),
        }
    }

    /// The next packet from the broker.
    async fn next(&mut self) -> Result<Incoming, ConnectionError> {
        loop {
            match tokio::time::timeout(WAIT, self.events.poll()).await.unwrap()? {
                Event::Incoming(Incoming::PingResp) | Event::Outgoing(_) => {}
                Event::Incoming(packet) => return Ok(packet),
            }
        }
    }

    async fn publish(&mut self, topic: &str, payload: &str) {
        self.handle.publish(topic, QoS::AtLeastOnce, false, payload.to_owned()).await.unwrap();
        assert!(matches!(self.next().await, Ok(Incoming::PubAck(_))));
    }

    async fn subscribe(&mut self, filter: &str) -> bool {
        self.handle.subscribe(filter, QoS::AtMostOnce).await.unwrap();
        match self.next().await {
            Ok(Incoming::SubAck(ack)) => {
                matches!(ack.return_codes.as_slice(), [rumqttc::SubscribeReasonCode::Success(_)])
            }
            other => panic!("expected a SUBACK, found {other:?}"),
        }
    }
}

/// The next event, without its time.
async fn event(events: &mut Receiver<Input>) -> Value {
    let input = tokio::time::timeout(WAIT, events.recv()).await.unwrap().unwrap();
    assert_eq!((input.source, input.arrival.millis()), (SourceId(3), 1_000));
    if input.format != Format::Recorded {
        return json!([input.subject, String::from_utf8_lossy(&input.payload)]);
    }
    let mut value: Value = serde_json::from_slice(&input.payload).unwrap();
    assert_eq!(value.as_object_mut().unwrap().remove("at"), Some(json!(1_000)));
    value
}

/// Whether `value` has at least the members of `expected`.
fn has(value: &Value, expected: &Value) -> bool {
    expected.as_object().unwrap().iter().all(|(name, member)| value.get(name) == Some(member))
}

async fn expect(events: &mut Receiver<Input>, expected: &[Value]) {
    for expected in expected {
        let seen = event(events).await;
        assert!(has(&seen, expected), "expected {expected}, found {seen}");
    }
}

#[tokio::test]
async fn what_devices_do_is_decided_and_told() {
    let (broker, mut events) = broker().await;
    let mut pump = Client::connected(&broker, "pump-1").await;
    pump.publish("devices/pump-1/telemetry", "12345").await;
    pump.publish("devices/pump-2/command", "stop").await;
    assert!(pump.subscribe("fleet/news").await);
    assert!(!pump.subscribe("#").await);
    pump.handle.disconnect().await.unwrap();
    while !matches!(pump.events.poll().await, Ok(Event::Outgoing(Outgoing::Disconnect))) {}
    // Who disconnects closes the connection (MQTT 3.1.1, 3.14.4); rmqtt waits for that.
    drop(pump);
    expect(
        &mut events,
        &[
            json!({"event": "broker-start"}),
            json!({"event": "connect", "client": "pump-1", "user": "pump-1", "ip": "127.0.0.1"}),
            json!({"event": "publish", "client": "pump-1", "topic": "devices/pump-1/telemetry", "bytes": 5}),
            json!({"event": "denied", "client": "pump-1", "action": "publish", "topic": "devices/pump-2/command"}),
            json!({"event": "subscribe", "client": "pump-1", "filter": "fleet/news"}),
            json!({"event": "denied", "client": "pump-1", "action": "subscribe", "topic": "#"}),
            json!({"event": "disconnect", "client": "pump-1", "reason": "clean"}),
        ],
    )
    .await;
    assert_eq!(broker.connected(), 0);
    broker.stop().await;
    expect(&mut events, &[json!({"event": "broker-stop"})]).await;
}

#[tokio::test]
async fn a_refused_login_names_the_address_and_only_claims_a_device() {
    let (broker, mut events) = broker().await;
    expect(&mut events, &[json!({"event": "broker-start"})]).await;
    let cases = [
        ("pump-1", "pump-1", "wrong", ConnectReturnCode::BadUserNamePassword),
        ("pump-1", "nobody", "wrong", ConnectReturnCode::BadUserNamePassword),
        ("pump-2", "pump-1", "pump-1-password", ConnectReturnCode::NotAuthorized),
    ];
    for (client, user, password, code) in cases {
        assert_eq!(Client::new(&broker, client, user, password).connack().await, Err(code));
        let expected = json!({"event": "auth-failure", "client": client, "user": user, "ip": "127.0.0.1", "attribution": "address"});
        expect(&mut events, &[expected]).await;
    }
}

#[tokio::test]
async fn a_take_over_ends_the_old_session_once() {
    let (broker, mut events) = broker().await;
    let mut owner = Client::connected(&broker, "pump-1").await;
    let mut clone = Client::connected(&broker, "pump-1").await;
    assert!(owner.next().await.is_err());
    clone.publish("devices/pump-1/x", "").await;
    drop(clone);
    expect(
        &mut events,
        &[
            json!({"event": "broker-start"}),
            json!({"event": "connect", "client": "pump-1"}),
            json!({"event": "disconnect", "client": "pump-1", "reason": "takeover"}),
            json!({"event": "connect", "client": "pump-1"}),
            json!({"event": "publish", "client": "pump-1"}),
            json!({"event": "disconnect", "client": "pump-1", "reason": "unclean"}),
        ],
    )
    .await;
}

#[tokio::test]
async fn reports_are_inputs_of_their_own_and_a_service_receives_them_unseen() {
    let (broker, mut events) = broker().await;
    let mut watch = Client::connected(&broker, "watch").await;
    assert!(watch.subscribe("$aws/things/+/defender/metrics/+").await);
    let mut pump = Client::connected(&broker, "pump-1").await;
    pump.publish("$aws/things/pump-1/defender/metrics/json", "{}").await;
    match watch.next().await {
        Ok(Incoming::Publish(publish)) => {
            assert_eq!(publish.topic, "$aws/things/pump-1/defender/metrics/json");
        }
        other => panic!("expected the report, found {other:?}"),
    }
    expect(&mut events, &[json!({"event": "broker-start"}), json!({"event": "connect", "client": "pump-1"})])
        .await;
    assert_eq!(event(&mut events).await["event"], "publish");
    assert_eq!(event(&mut events).await, json!(["pump-1", "{}"]));
    watch.publish("$aws/things/pump-1/defender/metrics/json/accepted", "{}").await;
    assert!(events.try_recv().is_err(), "what a service does is not told");
}

#[tokio::test]
async fn a_quarantine_ends_the_session_keeps_it_out_is_proved_and_can_be_undone() {
    let (broker, mut events) = broker().await;
    let control = broker.control();
    let subject = Subject {
        thing: "pump-1".to_owned(),
        client_id: "pump-1".to_owned(),
        principal: Some("pump-1".to_owned()),
    };
    let mut pump = Client::connected(&broker, "pump-1").await;
    let undo = control.prepare(&subject).await.unwrap();
    let before = control.verify(&subject, &undo).await.unwrap();
    assert!(before.iter().all(|check| !check.held), "{before:?}");

    control.quarantine(&subject, &undo).await.unwrap();
    control.quarantine(&subject, &undo).await.unwrap();
    assert!(pump.next().await.is_err(), "the session is ended");
    let proof = control.verify(&subject, &undo).await.unwrap();
    assert!(proof.iter().all(|check| check.held), "{proof:?}");
    let mut again = Client::new(&broker, "pump-1", "pump-1", "pump-1-password");
    assert_eq!(again.connack().await, Err(ConnectReturnCode::NotAuthorized));
    Client::connected(&broker, "pump-2").await;
    expect(
        &mut events,
        &[
            json!({"event": "broker-start"}),
            json!({"event": "connect", "client": "pump-1"}),
            json!({"event": "disconnect", "client": "pump-1", "reason": "kicked"}),
            json!({"event": "auth-failure", "client": "pump-1"}),
            json!({"event": "connect", "client": "pump-2"}),
        ],
    )
    .await;

    // A second quarantine on top must not free it when it alone is undone.
    let second = control.prepare(&subject).await.unwrap();
    control.release(&subject, &second).await.unwrap();
    assert_eq!(again.connack().await, Err(ConnectReturnCode::NotAuthorized));
    control.release(&subject, &undo).await.unwrap();
    control.release(&subject, &undo).await.unwrap();
    assert_eq!(again.connack().await, Ok(()));
}

#[tokio::test]
async fn services_and_strangers_are_not_quarantined() {
    let (broker, _events) = broker().await;
    let control = broker.control();
    let subject = |name: &str| Subject {
        thing: name.to_owned(),
        client_id: name.to_owned(),
        principal: Some(name.to_owned()),
    };
    let refused = control.prepare(&subject("watch")).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the broker refused: `watch` is a service of this broker, not a device; only devices can be quarantined"
    );
    let unknown = control.prepare(&subject("ghost")).await.unwrap_err();
    assert_eq!(unknown, ControlError::Unknown("the device `ghost`".to_owned()));
}

#[tokio::test]
async fn nobody_who_reads_does_not_stop_the_broker() {
    let (broker, events) = EmbeddedBroker::start(settings(([127, 0, 0, 1], 0).into(), 2)).await.unwrap();
    let mut pump = Client::connected(&broker, "pump-1").await;
    for _ in 0..10 {
        pump.publish("devices/pump-1/telemetry", "x").await;
    }
    let told = broker.told();
    assert_eq!((told.events, told.dropped), (2, 10));
    drop(events);
    pump.publish("devices/pump-1/telemetry", "x").await;
    assert_eq!(broker.told().dropped, 11);
}

#[tokio::test]
async fn sessions_end_when_the_broker_is_stopped() {
    let (broker, _events) = broker().await;
    let mut pump = Client::connected(&broker, "pump-1").await;
    let address = broker.address();
    broker.stop().await;
    assert!(pump.next().await.is_err());
    let deadline = Instant::now() + WAIT;
    while std::net::TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < deadline, "{address} still listens");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn only_loopback_is_listened_on() {
    let listen: SocketAddr = ([0, 0, 0, 0], 0).into();
    let error = EmbeddedBroker::start(settings(listen, 1)).await.unwrap_err();
    assert!(matches!(error, StartError::NotLoopback(_)));
    assert_eq!(
        error.to_string(),
        "the embedded broker listens on loopback only, not on 0.0.0.0:0; allowed are 127.0.0.0/8 and ::1"
    );
}
