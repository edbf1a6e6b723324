use proptest::prelude::*;

use super::*;

const SOURCE: SourceId = SourceId(1);

fn decode(json: &[u8]) -> (Decoded, Vec<String>) {
    let mut events = Vec::new();
    let decoded = RecordedDecoder::new()
        .decode(SOURCE, Timestamp::default(), "", json, &mut |event| events.push(format!("{event:?}")));
    (decoded, events)
}

/// Decodes, encodes what came out, decodes that: nothing may be lost on the way.
fn round_trip(event: &Event<'_>) {
    let mut json = Vec::new();
    encode(event, &mut json);
    let (decoded, events) = decode(&json);
    assert!(matches!(decoded, Decoded::Relevant { .. }), "{decoded:?} {}", String::from_utf8_lossy(&json));
    assert_eq!(events, [format!("{event:?}")], "{}", String::from_utf8_lossy(&json));
}

#[test]
fn the_shortest_objects_are_read() {
    let cases = [
        r#"{"at":5,"event":"connect","client":"a"}"#,
        r#"{"at":5,"event":"disconnect","client":"a"}"#,
        r#"{"at":5,"event":"auth-failure"}"#,
        r#"{"at":5,"event":"denied","client":"a","action":"publish"}"#,
        r#"{"at":5,"event":"publish","client":"a","topic":"t","bytes":0}"#,
        r#"{"at":5,"event":"connect","client":"a","user":null,"ip":null}"#,
        r#"{"event":"broker-start","at":5}"#,
        r#"{"at":5,"event":"report","thing":"pump","report":{"header":{"report_id":7,"version":"1.0"},"metrics":{}}}"#,
    ];
    for json in cases {
        let (decoded, events) = decode(json.as_bytes());
        let report_id = json.contains("report_id").then_some(7);
        assert_eq!(decoded, Decoded::Relevant { report_id }, "{json}");
        assert_eq!(events.len(), 1);
    }
}

#[test]
fn refusals_name_place_value_and_what_is_allowed() {
    let cases = [
        ("", "malformed", "event: EOF while parsing a value at line 1 column 0"),
        (r#"{"at":1}"#, "malformed", "event: missing field `event` at line 1 column 8"),
        (
            r#"{"at":1,"event":7}"#,
            "malformed",
            "event: invalid type: integer `7`, expected a text at line 1 column 17",
        ),
        (
            r#"{"at":1,"event":"connect","client":"a","ip":"1.2.3"}"#,
            "malformed",
            "event: invalid IP address syntax at line 1 column 51",
        ),
        (
            r#"{"at":1,"event":"publish","client":"a","topic":"t","bytes":-1}"#,
            "malformed",
            "event: invalid value: integer `-1`, expected u32 at line 1 column 61",
        ),
        (
            r#"{"at":1,"event":"gone"}"#,
            "unknown-event",
            "event: found `gone`; allowed: `connect`, `disconnect`, `auth-failure`, `denied`, `publish`, `delivery`, \
             `subscribe`, `unsubscribe`, `report`, `connection-error`, `admin-change`, `broker-start`, `broker-stop`, \
             `broker-reload`",
        ),
        (
            r#"{"at":1,"event":"connect"}"#,
            "field-missing",
            "client: found `nothing`; allowed: required in `connect`",
        ),
        (
            r#"{"at":1,"event":"publish","client":"a","topic":"t"}"#,
            "field-missing",
            "bytes: found `nothing`; allowed: required in `publish`",
        ),
        (
            r#"{"at":1,"event":"report","thing":"a"}"#,
            "field-missing",
            "report: found `nothing`; allowed: required in `report`",
        ),
        (
            r#"{"at":1,"event":"denied","client":"a","action":"look"}"#,
            "unknown-word",
            "action: found `look`; allowed: `publish`, `subscribe`",
        ),
        (
            r#"{"at":1,"event":"auth-failure","attribution":"sure"}"#,
            "unknown-word",
            "attribution: found `sure`; allowed: `ambiguous`, `address`, `certain`",
        ),
        (
            r#"{"at":1,"event":"subscribe","client":"a","filter":"f","topic":"t"}"#,
            "field-not-allowed",
            "`subscribe`: found `topic`; allowed: `at`, `event`, `client`, `filter`",
        ),
        (
            r#"{"at":1,"event":"report","thing":"a","report":{}}"#,
            "missing",
            "report: header: it is missing; required is an object with `report_id` and `version`",
        ),
    ];
    for (json, reason, message) in cases {
        let (decoded, events) = decode(json.as_bytes());
        assert!(events.is_empty());
        let Decoded::Refused(refusal) = decoded else { panic!("{json} was read") };
        assert_eq!((refusal.reason, refusal.message.as_str()), (reason, message), "{json}");
    }
    let (decoded, _) = decode(br#"{"at":1,"event":"connect","client":"a","clint":"b"}"#);
    let Decoded::Refused(refusal) = decoded else { panic!("a typo was read") };
    assert!(
        refusal.message.starts_with("event: unknown field `clint`, expected one of `at`, `event`, `client`")
    );
    assert!(matches!(decode(&vec![b' '; OBJECT_BYTES_MAX + 1]).0, Decoded::Refused(_)));
}

#[test]
fn there_is_no_state() {
    let mut decoder = RecordedDecoder::new();
    assert!(decoder.save().is_empty() && decoder.restore(&[]).is_ok());
    assert_eq!(decoder.restore(&[1]).unwrap_err(), "state of the recorded decoder: 1 bytes; expected none");
}

fn kind<'a>(number: u8, a: &'a str, b: &'a str, ip: Option<IpAddr>, n: u32) -> EventKind<'a> {
    let pick = n as usize;
    match number {
        0 => EventKind::Connect(Connect {
            client: a,
            user: (n.is_multiple_of(2)).then_some(b),
            ip,
            bridge: n.is_multiple_of(3),
        }),
        1 => EventKind::Disconnect { client: a, reason: REASONS[pick % REASONS.len()].1, raw: b },
        2 => EventKind::AuthFailure(AuthFailure {
            claimed_client: (n.is_multiple_of(2)).then_some(a),
            claimed_user: (n.is_multiple_of(3)).then_some(b),
            ip,
            attribution: ATTRIBUTIONS[pick % ATTRIBUTIONS.len()].1,
        }),
        3 => EventKind::Denied { client: a, action: ACTIONS[pick % ACTIONS.len()].1, topic: b },
        4 => EventKind::Publish { client: a, topic: b, bytes: n },
        5 => EventKind::Delivery { client: a, topic: b, bytes: n },
        6 => EventKind::Subscribe { client: a, filter: b },
        7 => EventKind::Unsubscribe { client: a, filter: b },
        8 => EventKind::ConnectionError { ip, kind: ERRORS[pick % ERRORS.len()].1 },
        9 => EventKind::AdminChange { raw: a },
        10 => EventKind::BrokerStart,
        11 => EventKind::BrokerStop,
        _ => EventKind::BrokerReload,
    }
}

const REPORT: &str = r#"{"header":{"report_id":1530304554,"version":"1.0"},"metrics":{
    "listening_tcp_ports":{"ports":[{"interface":"eth0","port":24800},{"port":22}],"total":3},
    "listening_udp_ports":{"total":0},
    "network_stats":{"bytes_in":29358693495,"bytes_out":26485035,"packets_in":10013573555},
    "tcp_connections":{"established_connections":{"connections":[
        {"local_interface":"eth0","local_port":80,"remote_addr":"192.168.0.1:8000"},
        {"remote_addr":"[2001:db8::1]:443"}],"total":2}}},
    "custom_metrics":{"a":[{"number":1.5}],"b":[{"number_list":[1,-2.25,3e300]}],
        "c":[{"string_list":["x","\u00fc\n\""]}],"d":[{"ip_list":["10.0.0.1","::1"]}]}}"#;

#[test]
fn reports_survive_the_round_trip() {
    let mut report = ReportBuf::default();
    decode_json(REPORT.as_bytes(), &mut report).unwrap();
    round_trip(&Event {
        at: Timestamp::from_millis(9),
        kind: EventKind::Report { thing: "pump", report: &report, identity: u64::MAX },
    });
    let empty = r#"{"header":{"report_id":1,"version":"1.0"},"metrics":{}}"#;
    decode_json(empty.as_bytes(), &mut report).unwrap();
    round_trip(&Event {
        at: Timestamp::from_millis(9),
        kind: EventKind::Report { thing: "pump", report: &report, identity: 0 },
    });
}

proptest! {
    #[test]
    fn every_event_survives_the_round_trip(
        at: i64,
        number in 0_u8..13,
        a: String,
        b: String,
        ip: Option<IpAddr>,
        n: u32,
    ) {
        round_trip(&Event { at: Timestamp::from_millis(at), kind: kind(number, &a, &b, ip, n) });
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, cut in 0_usize..400, byte: u8) {
        decode(&bytes);
        let mut event = format!(r#"{{"at":5,"event":"report","thing":"pump","report":{REPORT}}}"#).into_bytes();
        event[cut] = byte;
        decode(&event);
        event.truncate(cut);
        decode(&event);
    }
}
