use super::*;

const SOURCE: SourceId = SourceId(1);

fn decode(decoder: &mut LifecycleDecoder, subject: &str, json: &str) -> (Decoded, Vec<String>) {
    let mut events = Vec::new();
    let decoded = decoder.decode(SOURCE, Timestamp::default(), subject, json.as_bytes(), &mut |event| {
        let kind = match event.kind {
            EventKind::Connect(it) => format!("connect {} {:?} {:?}", it.client, it.user, it.ip.unwrap()),
            EventKind::Disconnect { client, reason, raw } => {
                format!("disconnect {client} {} {raw}", reason.name())
            }
            EventKind::AuthFailure(it) => {
                format!("auth-failure {:?} {:?} {}", it.claimed_client, it.ip.unwrap(), it.attribution.name())
            }
            EventKind::Subscribe { client, filter } => format!("subscribe {client} {filter}"),
            EventKind::Unsubscribe { client, filter } => format!("unsubscribe {client} {filter}"),
            other => format!("{other:?}"),
        };
        events.push(format!("{} {kind}", event.at.millis()));
    });
    (decoded, events)
}

fn presence(kind: &str, session: &str, version: u64, at: u64) -> String {
    format!(
        r#"{{"clientId":"pump","timestamp":{at},"eventType":"{kind}","sessionIdentifier":"{session}",
            "principalIdentifier":"cert","ipAddress":"198.51.100.9","versionNumber":{version},
            "disconnectReason":"MQTT_KEEP_ALIVE_TIMEOUT","clientInitiatedDisconnect":false,"later":[1]}}"#
    )
}

/// Each step with the events it gives; an empty text is `Irrelevant`.
fn check(steps: &[(String, &str)]) {
    let mut decoder = LifecycleDecoder::new();
    for (json, _) in steps {
        // What follows does not depend on whether the state was saved in between.
        let mut restored = LifecycleDecoder::new();
        restored.restore(&decoder.save()).unwrap();
        assert_eq!(decode(&mut restored, "pump", json), decode(&mut decoder, "pump", json));
        assert_eq!(restored.save(), decoder.save());
    }
    let mut decoder = LifecycleDecoder::new();
    for (json, expected) in steps {
        let before = decoder.save();
        let (decoded, events) = decode(&mut decoder, "pump", json);
        assert_eq!(events.join("; "), *expected, "{json}");
        assert!(!expected.is_empty() || decoder.save() == before, "{json}");
        assert_eq!(decoded, if expected.is_empty() { Decoded::Irrelevant } else { RELEVANT }, "{json}");
    }
}

#[test]
fn a_session_from_beginning_to_end() {
    check(&[
        (presence("connected", "a", 4, 1000), "1000 connect pump Some(\"cert\") 198.51.100.9"),
        (
            r#"{"clientId":"pump","timestamp":1100,"eventType":"subscribed","topics":["a/#","b"]}"#.into(),
            "1100 subscribe pump a/#; 1100 subscribe pump b",
        ),
        (
            r#"{"clientId":"pump","timestamp":1200,"eventType":"unsubscribed","topics":["b"]}"#.into(),
            "1200 unsubscribe pump b",
        ),
        (presence("disconnected", "a", 4, 1300), "1300 disconnect pump timeout MQTT_KEEP_ALIVE_TIMEOUT"),
        (
            r#"{"clientId":"pump","timestamp":1400,"eventType":"connect_failed","ipAddress":"2001:db8::1",
                "connectFailureReason":"AUTHORIZATION_FAILED"}"#
                .into(),
            "1400 auth-failure Some(\"pump\") 2001:db8::1 address",
        ),
    ]);
}

#[test]
fn repetitions_and_old_messages_give_nothing() {
    let subscribed = r#"{"clientId":"pump","timestamp":5,"eventType":"subscribed","topics":["b"]}"#;
    check(&[
        (presence("connected", "a", 4, 1000), "1000 connect pump Some(\"cert\") 198.51.100.9"),
        (presence("connected", "a", 4, 1000), ""),
        (presence("connected", "b", 5, 2000), "2000 connect pump Some(\"cert\") 198.51.100.9"),
        (presence("disconnected", "a", 4, 1900), ""),
        (presence("disconnected", "b", 5, 3000), "3000 disconnect pump timeout MQTT_KEEP_ALIVE_TIMEOUT"),
        (presence("disconnected", "b", 5, 3000), ""),
        (presence("connected", "b", 5, 2000), ""),
        // The count starts over after an hour offline.
        (presence("connected", "c", 0, 9_000_000), "9000000 connect pump Some(\"cert\") 198.51.100.9"),
        (presence("connected", "b", 5, 2000), ""),
        (subscribed.into(), "5 subscribe pump b"),
        (subscribed.into(), ""),
    ]);
}

#[test]
fn refusals_name_place_value_and_what_is_allowed() {
    let no_session = r#"{"clientId":"pump","timestamp":1,"eventType":"disconnected","versionNumber":1}"#;
    let no_version =
        r#"{"clientId":"pump","timestamp":1,"eventType":"disconnected","sessionIdentifier":"a"}"#;
    let cases = [
        ("{", "malformed", "lifecycle event: EOF while parsing an object at line 1 column 1"),
        ("[]", "malformed", "lifecycle event: found `[`; allowed: a JSON object"),
        (
            r#"{"clientId":"pump","timestamp":"x","eventType":"connected"}"#,
            "malformed",
            "lifecycle event: invalid type: string \"x\", expected i64 at line 1 column 34",
        ),
        (
            r#"{"clientId":"pomp","timestamp":1,"eventType":"connected"}"#,
            "client-mismatch",
            "clientId: found `pomp`; allowed: `pump`, the client id of the topic",
        ),
        (
            r#"{"clientId":"pump","timestamp":-1,"eventType":"connected"}"#,
            "timestamp-out-of-range",
            "timestamp: found `-1`; allowed: ms since 1970, 0 or more",
        ),
        (
            r#"{"clientId":"pump","timestamp":1,"eventType":"gone"}"#,
            "unknown-event-type",
            "eventType: found `gone`; allowed: `connected`, `disconnected`, `connect_failed`, `subscribed` or `unsubscribed`",
        ),
        (
            r#"{"clientId":"pump","timestamp":1,"eventType":"connected"}"#,
            "ip-missing",
            "ipAddress: found `nothing`; allowed: required in `connected`",
        ),
        (
            r#"{"clientId":"pump","timestamp":1,"eventType":"connect_failed","ipAddress":"1.2.3"}"#,
            "ip-malformed",
            "ipAddress: found `1.2.3`; allowed: an IPv4 or IPv6 address",
        ),
        (no_session, "session-missing", "sessionIdentifier: found `nothing`; allowed: the id of the session"),
        (no_version, "version-missing", "versionNumber: found `nothing`; allowed: a whole number"),
        (
            r#"{"clientId":"pump","timestamp":1,"eventType":"subscribed"}"#,
            "topics-missing",
            "topics: found `nothing`; allowed: a list of topic filters",
        ),
    ];
    for (json, reason, message) in cases {
        let mut decoder = LifecycleDecoder::new();
        let (decoded, events) = decode(&mut decoder, "pump", json);
        assert!(events.is_empty());
        let Decoded::Refused(refusal) = decoded else { panic!("{json} was read") };
        assert_eq!((refusal.reason, refusal.message.as_str()), (reason, message));
    }
    let long = " ".repeat(MESSAGE_BYTES_MAX + 1);
    assert!(matches!(decode(&mut LifecycleDecoder::new(), "pump", &long).0, Decoded::Refused(_)));
}

proptest::proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        let mut decoder = LifecycleDecoder::new();
        decoder.decode(SOURCE, Timestamp::default(), "pump", &bytes, &mut |_| {});
        drop(decoder.restore(&bytes));
    }
}

/// What does not reach the journal must leave no trace, or a replay would have another state.
#[test]
fn a_message_that_is_refused_or_repeated_changes_no_state() {
    let connected = presence("connected", "a", 4, 1000);
    let without_session = connected.replace("sessionIdentifier", "other");
    let mut decoder = LifecycleDecoder::new();
    let nothing = decoder.save();
    assert!(matches!(decode(&mut decoder, "pump", "{}").0, Decoded::Refused(_)));
    assert!(matches!(decode(&mut decoder, "pump", &without_session).0, Decoded::Refused(_)));
    assert_eq!(decoder.save(), nothing);
    assert_eq!(decode(&mut decoder, "pump", &connected).0, RELEVANT);
    let one = decoder.save();
    assert_eq!(decode(&mut decoder, "pump", &connected).0, Decoded::Irrelevant);
    assert!(matches!(decode(&mut decoder, "pump", &without_session).0, Decoded::Refused(_)));
    assert_eq!(decoder.save(), one);
}

#[test]
fn a_list_is_not_taken_for_a_message() {
    let list = r#"["pump",1000,"subscribed",null,null,null,null,null,null,["t"]]"#;
    let Decoded::Refused(refusal) = decode(&mut LifecycleDecoder::new(), "pump", list).0 else {
        panic!("a list was accepted");
    };
    assert_eq!(refusal.message, "lifecycle event: found `[`; allowed: a JSON object");
}
