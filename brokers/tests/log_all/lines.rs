//! Single lines and short logs: forms, imitations, cuts, refusals.

use brokers::mosquitto::log::{CUT_BYTES, LINE_BYTES_MAX, LogDecoder, LogForm, coverage, topic_line};
use detector::input::{Decoded, Decoder as _};
use fleet::{event::Fact, time::Timestamp};

use super::support::{ARRIVAL, SOURCE, decode_line, text, timed};

const V20: &str = "mosquitto version 2.0.11 starting";
const V21: &str = "mosquitto version 2.1.2 starting";

/// The events of the last line, after those before it. Lines are given without timestamp.
#[track_caller]
fn check(lines: &[&str], expected: &[&str]) {
    let mut decoder = LogDecoder::new();
    let mut last = Vec::new();
    for line in lines {
        last = decode_line(&mut decoder, format!("1: {line}").as_bytes()).1;
    }
    assert_eq!(last, expected, "{lines:#?}");
}

fn connect(id: &str) -> String {
    format!("New client connected from 10.0.0.1:5 as {id} (p2, c1, k60).")
}

#[test]
fn all_endings_before_2_1() {
    let cases = [
        ("Client a disconnected.", "clean (disconnected)"),
        ("Client a closed its connection.", "unclean (closed its connection)"),
        ("Client a has exceeded timeout, disconnecting.", "timeout (has exceeded timeout, disconnecting)"),
        (
            "Client a already connected, closing old connection.",
            "takeover (already connected, closing old connection)",
        ),
        (
            "Client a been disconnected by administrative action.",
            "kicked (been disconnected by administrative action)",
        ),
        ("Client a disconnected, not authorised.", "auth (disconnected, not authorised)"),
        ("Client a disconnected due to protocol error.", "protocol (disconnected due to protocol error)"),
        ("Client a disconnected due to malformed packet.", "protocol (disconnected due to malformed packet)"),
        ("Client a disconnected due to oversize payload.", "protocol (disconnected due to oversize payload)"),
        ("Client a disconnected due to out of memory.", "unknown (disconnected due to out of memory)"),
        (
            "Client a disconnected due to using not allowed feature (QoS too high, retain not supported, or bad AUTH method).",
            "protocol (disconnected due to using not allowed feature (QoS too high, retain not supported, or bad AUTH method))",
        ),
        ("Client a disconnected: Success.", "unclean (disconnected: Success)"),
        ("Client a disconnected: Protocol error.", "tls (disconnected: Protocol error)"),
        ("Client a disconnected: No route to host.", "unknown (disconnected: No route to host)"),
        ("Bad socket read/write on client a: Invalid argument", "unclean (Invalid argument)"),
        ("Socket error on client a, disconnecting.", "unclean (socket error)"),
    ];
    for (line, expected) in cases {
        check(&[V20, &connect("a"), line], &[&format!("disconnect `a` {expected}")]);
    }
}

#[test]
fn tls_that_cannot_be_set_up() {
    let told: &[&str] = &["connection-error TlsSetup ip=?"];
    for line in [
        "Error: Unable to load CA certificates. Check cafile \"ssl/ca.crt\".",
        "Error: Unable to load server certificate \"fullchain.pem\". Check certfile.",
        "Error: Unable to load server key file \"key.pem\". Check keyfile.",
        "Error: Unable to load certificate revocation file \"crl.pem\". Check crlfile.",
        "Error: Unable to set TLS ciphers. Check cipher list \"x\".",
        "Error: Server certificate/key are inconsistent.",
    ] {
        check(&[V20, line], told);
    }
    // Other errors, and the library's own words for the same failure, tell nothing more.
    for line in [
        "Error: Unable to open pwfile \"passwd\".",
        "Error: Unable to create websockets listener on port 9001.",
        "OpenSSL Error[0]: error:80000002:system library::No such file or directory",
        "Unable to load server certificate \"a\". Check certfile.",
    ] {
        check(&[V20, line], &[]);
    }
    // A client may choose an id that makes its subscriptions look like that; then neither is told.
    let imitator = "Error: Unable to load CA certificates";
    check(&[V20, &connect(imitator), &format!("{imitator} 0 a/b")], &[]);
}

#[test]
fn all_endings_of_2_1() {
    let session = [
        ("", "clean (disconnected)"),
        ("connection closed by client", "unclean (connection closed by client)"),
        ("exceeded timeout", "timeout (exceeded timeout)"),
        ("administrative action", "kicked (administrative action)"),
        ("session taken over", "takeover (session taken over)"),
        ("not authorised", "auth (not authorised)"),
        ("protocol error", "protocol (protocol error)"),
        ("oversize packet", "protocol (oversize packet)"),
        (
            "bad socket read/write: Connection reset by peer",
            "unclean (bad socket read/write: Connection reset by peer)",
        ),
        ("Protocol error", "tls (Protocol error)"),
        ("something new", "unknown (something new)"),
    ];
    for (reason, expected) in session {
        let line = bracketed("a", "10.0.0.1:5", reason);
        check(&[V21, &connect("a"), &line], &[&format!("disconnect `a` {expected}")]);
    }
    let nobody = [
        ("not authorised", "auth-failure ip=10.0.0.9 address claimed=a"),
        ("bad username or password", "auth-failure ip=10.0.0.9 address claimed=a"),
        ("client banned", "auth-failure ip=10.0.0.9 address claimed=a"),
        ("connection closed by client", "connection-error NoConnect ip=10.0.0.9"),
        ("exceeded timeout", "connection-error NoConnect ip=10.0.0.9"),
        ("malformed packet", "connection-error Protocol ip=10.0.0.9"),
        ("bad authentication method", "connection-error Protocol ip=10.0.0.9"),
        ("Protocol error", "connection-error Tls ip=10.0.0.9"),
    ];
    for (reason, expected) in nobody {
        // The same id is connected from elsewhere: it is a claim, and the session stays.
        let open = "New connection from 10.0.0.9:7 on port 1883.";
        let line = bracketed("a", "10.0.0.9:7", reason);
        let after = bracketed("a", "10.0.0.1:5", "");
        check(&[V21, &connect("a"), open, &line], &[expected]);
        check(&[V21, &connect("a"), open, &line, &after], &["disconnect `a` clean (disconnected)"]);
    }
}

fn bracketed(id: &str, peer: &str, reason: &str) -> String {
    let colon = if reason.is_empty() { "" } else { ": " };
    format!("Client {id} [{peer}] disconnected{colon}{reason}.")
}

#[test]
fn connects_of_all_versions() {
    let cases = [
        (
            "New client connected from 10.0.0.1:5 as a (p2, c1, k60, u'bob').",
            "connect `a` user=bob ip=10.0.0.1",
        ),
        ("New client connected from ::1:59342 as a (p5, c0, k0, u'bob').", "connect `a` user=bob ip=::1"),
        (
            "New client connected from ::ffff:10.0.0.1 as a (c1, k60).",
            "connect `a` user=- ip=::ffff:10.0.0.1",
        ),
        (
            "New client connected from 10.0.0.1 as a b (c1, k60, u'bob').",
            "connect `a b` user=bob ip=10.0.0.1",
        ),
        ("New bridge connected from 10.0.0.1:5 as a (p4, c1, k60).", "connect `a` user=- ip=10.0.0.1 bridge"),
        (
            "New client connected from 10.0.0.1:5 as a (p2, c1, k60, u'b (c) 'd').",
            "connect `a` user=b (c) 'd ip=10.0.0.1",
        ),
        ("New client connected from 10.0.0.1:5 as  (p2, c1, k60, u'').", "connect `` user= ip=10.0.0.1"),
    ];
    for (line, expected) in cases {
        check(&[line], &[expected]);
    }
}

/// Ids that make a line of their own look like one about somebody else.
#[test]
fn ids_that_imitate_endings_end_only_themselves() {
    let imitators = [
        "b closed its connection.",
        "b disconnected, not authorised.",
        "b already connected, closing old connection.",
        "b [10.0.0.2:6] disconnected: protocol error.",
        "b [10.0.0.2:6]",
        "<unknown>",
        "connection from 10.6.6.6 failed: error:1",
        "connection from 10.6.6.6 denied: max_connections exceeded.",
    ];
    let victim = "New client connected from 10.0.0.2:6 as b (p2, c1, k60).";
    for id in imitators {
        for ending in ["disconnected.", "closed its connection.", "has exceeded timeout, disconnecting."] {
            let line = format!("Client {id} {ending}");
            let mut decoder = LogDecoder::new();
            let mut events = Vec::new();
            for line in [V20, victim, &connect(id), &line, "Client b disconnected."] {
                events = [events, decode_line(&mut decoder, format!("1: {line}").as_bytes()).1].concat();
            }
            assert_eq!(events.len(), 5, "{events:?}");
            assert!(events[3].starts_with(&format!("disconnect `{id}`")), "{events:?}");
            assert_eq!(events[4], "disconnect `b` clean (disconnected)");
        }
        let line = bracketed(id, "10.0.0.1:5", "connection closed by client");
        let expected = format!("disconnect `{id}` unclean (connection closed by client)");
        check(&[V21, victim, &connect(id), &line], &[&expected]);
        let negotiated = format!("Client {id} negotiated TLSv1.3 cipher TLS_AES_256_GCM_SHA384");
        check(&[V21, victim, &connect(id), &negotiated], &[]);
        // And a failed login under such an id.
        let open = "New connection from 10.0.0.9:7 on port 1883.";
        let line = bracketed(id, "10.0.0.9:7", "not authorised");
        check(&[V21, victim, open, &line], &[&format!("auth-failure ip=10.0.0.9 address claimed={id}")]);
    }
}

#[test]
fn ids_and_topics_that_imitate_messages_are_charged_to_nobody_else() {
    let imitator = "b (d0, q0, r0, m0, 'x', ... (1 bytes))";
    let both = [V20, &connect("b"), &connect(imitator)];
    let line = format!("Received PUBLISH from {imitator} (d0, q1, r0, m7, 'y', ... (9 bytes))");
    check(&[&both[..], &[&line]].concat(), &[]);
    check(&[V20, &connect(imitator), &line], &[&format!("publish `{imitator}` `y` 9")]);
    let line = "Denied PUBLISH from b (d0, q0, r0, m0, 'x', ... (1 bytes))', ... (22 bytes))";
    check(&[V20, &connect("b"), line], &["denied `b` Publish `x', ... (1 bytes))`"]);
    let topic = "x (d0, q0, r0, m0, 'y";
    let line = format!("Received PUBLISH from b (d0, q0, r0, m0, '{topic}', ... (3 bytes))");
    check(&[V20, &connect("b"), &line], &[&format!("publish `b` `{topic}` 3")]);
}

/// A subscribe or unsubscribe line begins with the client id and ends with the filter, so that
/// it can look like anything.
#[test]
fn filter_lines_that_imitate_other_lines() {
    let victim = connect("b");
    let imitator = connect("Client b");
    let end = "closed its connection.";
    // Such lines are known to be printed: it could be either, so it is neither.
    let ambiguous = ["b x/y", "Client b closed its connection."];
    check(&[V20, &victim, &imitator, ambiguous[0], ambiguous[1]], &[]);
    // Debug lines tell which it is.
    let debug = ["Sending CONNACK to b (0, 0)", "Received UNSUBSCRIBE from Client b"];
    let announced = format!("\t{end}");
    check(
        &[V20, &victim, &imitator, debug[0], debug[1], &announced, ambiguous[1]],
        &[&format!("unsubscribe `Client b` `{end}`")],
    );
    check(
        &[V20, &victim, &imitator, debug[0], ambiguous[1]],
        &["disconnect `b` unclean (closed its connection)"],
    );
    // Through the topic, the topic tells.
    let mut decoder = LogDecoder::new();
    for line in [V20, &victim, &imitator] {
        decode_line(&mut decoder, &topic_line("$SYS/broker/log/N", line.as_bytes()).unwrap());
    }
    let line = topic_line("$SYS/broker/log/M/unsubscribe", ambiguous[1].as_bytes()).unwrap();
    assert_eq!(decode_line(&mut decoder, &line).1, [format!("unsubscribe `Client b` `{end}`")]);
    let line = topic_line("$SYS/broker/log/N", ambiguous[1].as_bytes()).unwrap();
    assert_eq!(decode_line(&mut decoder, &line).1, ["disconnect `b` unclean (closed its connection)"]);
}

#[test]
fn filter_lines() {
    let cases: [(&[&str], &[&str]); 8] = [
        (&["a 1 x/#"], &["subscribe `a` `x/#`"]),
        (&["a x/#"], &["unsubscribe `a` `x/#`"]),
        (&["nobody 1 x/#"], &[]),
        (&["a 3 x"], &["unsubscribe `a` `3 x`"]),
        (&["Received SUBSCRIBE from a", "\tx (QoS 1)", "Sending SUBACK to a"], &["subscribe `a` `x`"]),
        (&["Received SUBSCRIBE from a", "\tx (denied)"], &["denied `a` Subscribe `x`"]),
        (
            &["a 1 y", "Received SUBSCRIBE from a", "\tx (QoS 1)", "Sending SUBACK to a"],
            &["denied `a` Subscribe `x`"],
        ),
        (&["Received UNSUBSCRIBE from a", "\tx", "Sending UNSUBACK to a"], &["unsubscribe `a` `x`"]),
    ];
    for (lines, expected) in cases {
        let connected = connect("a");
        check(&[&[V20, &connected][..], lines].concat(), expected);
    }
    // The topic of a will is no filter.
    check(&[V20, &connect("a"), "Will message specified (4 bytes) (r0, q0).", "\tx"], &[]);
}

#[test]
fn cut_lines_give_only_what_is_certain() {
    let cut = |line: &str| {
        let mut line = format!("1: {line}").into_bytes();
        line.truncate(CUT_BYTES);
        assert_eq!(line.len(), CUT_BYTES);
        line
    };
    let long = "ü".repeat(600);
    let mut decoder = LogDecoder::new();
    decode_line(&mut decoder, format!("1: {V20}").as_bytes());
    decode_line(&mut decoder, b"1: New connection from 10.0.0.7:5 on port 1883.");
    // The half of a character at the cut is dropped; address and existence are certain.
    let line = format!("New client connected from 10.0.0.7:5 as {long} (p2, c1, k60, u'u').");
    let (_, events) = decode_line(&mut decoder, &cut(&line));
    assert_eq!(events.len(), 1);
    assert!(events[0].starts_with("connect `üü") && events[0].ends_with(" user=- ip=10.0.0.7"), "{events:?}");
    // The connection is accounted for: a failure is not charged to it.
    let failure = decode_line(&mut decoder, b"1: Client <unknown> disconnected, not authorised.").1;
    assert_eq!(failure, ["auth-failure ip=? ambiguous claimed=-"]);
    for line in [format!("Client {long} disconnected."), format!("Received DISCONNECT from {long}")] {
        assert_eq!(decode_line(&mut decoder, &cut(&line)), (Decoded::Irrelevant, vec![]));
    }
    decode_line(&mut decoder, format!("1: {}", connect("a")).as_bytes());
    let line = format!("Denied PUBLISH from a (d0, q1, r0, m1, '{long}', ... (5 bytes))");
    assert_eq!(decode_line(&mut decoder, &cut(&line)).1, ["denied `a` Publish ``"]);
    let line = format!("Received PUBLISH from nobody (d0, q1, r0, m1, '{long}', ... (5 bytes))");
    assert!(decode_line(&mut decoder, &cut(&line)).1.is_empty());
    assert_eq!(decoder.counters().cut_lines, 4);
}

#[test]
fn what_is_no_line_is_refused_with_the_reason() {
    let mut decoder = LogDecoder::new();
    let cases = [
        (vec![b'x'; LINE_BYTES_MAX + 1], "line-too-long", "log line: 65537 bytes; allowed are 65536"),
        (b"1: \xff\xfe".to_vec(), "not-utf-8", "log line: byte 0xff at offset 3; allowed is UTF-8 text"),
    ];
    for (line, reason, message) in cases {
        let Decoded::Refused(refusal) = decode_line(&mut decoder, &line).0 else { panic!("{message}") };
        assert_eq!((refusal.reason, refusal.message.as_str()), (reason, message));
    }
    assert_eq!(decode_line(&mut decoder, &vec![b'x'; LINE_BYTES_MAX]).0, Decoded::Irrelevant);
    assert_eq!(decoder.unknown_lines(), 1);
}

#[test]
fn a_line_without_timestamp_continues_the_one_before_unless_the_log_has_none() {
    let goodbye = "Client a disconnected.";
    let mut decoder = LogDecoder::new();
    decode_line(&mut decoder, format!("1: {V20}").as_bytes());
    decode_line(&mut decoder, format!("1: {}", connect("a")).as_bytes());
    assert_eq!(decode_line(&mut decoder, goodbye.as_bytes()), (Decoded::Irrelevant, vec![]));
    let mut decoder = LogDecoder::new();
    decode_line(&mut decoder, V20.as_bytes());
    decode_line(&mut decoder, connect("a").as_bytes());
    let mut events = Vec::new();
    decoder.decode(SOURCE, ARRIVAL, "", goodbye.as_bytes(), &mut |event| events.push(timed(event)));
    assert_eq!(events, ["2033-05-18T03:33:20.000Z disconnect `a` clean (disconnected)"]);
}

#[test]
fn a_zone_can_be_set_for_local_times() {
    for (line, expected) in [
        ("2026-11-22T01:52:55: Reloading config.", "2026-11-22T00:52:55.000Z broker-reload"),
        ("2026-11-22T01:52:55+0000: Reloading config.", "2026-11-22T01:52:55.000Z broker-reload"),
    ] {
        let mut decoder = LogDecoder::new().with_offset(SOURCE, 3600);
        let mut events = Vec::new();
        decoder.decode(SOURCE, ARRIVAL, "", line.as_bytes(), &mut |event| events.push(timed(event)));
        assert_eq!(events, [expected]);
    }
}

#[test]
fn brokers_are_kept_apart() {
    let mut decoder = LogDecoder::new();
    let mut other = Vec::new();
    for line in [V20, "New connection from 10.0.0.1:5 on port 1883."] {
        decode_line(&mut decoder, format!("1: {line}").as_bytes());
    }
    let refused = b"1: Client <unknown> disconnected, not authorised.";
    decoder.decode(detector::input::SourceId(4), Timestamp::from_secs(1), "", refused, &mut |event| {
        other.push(text(&event.kind));
    });
    assert_eq!(other, ["auth-failure ip=? ambiguous claimed=-"]);
    assert_eq!(decode_line(&mut decoder, refused).1, ["auth-failure ip=10.0.0.1 address claimed=-"]);
}

#[test]
fn a_missing_end_is_noticed_at_the_next_connect() {
    check(
        &[V20, &connect("a"), &connect("a")],
        &["disconnect `a` unknown ()", "connect `a` user=- ip=10.0.0.1"],
    );
}

#[test]
fn administration() {
    let cases: [(&str, bool); 4] = [
        ("dynsec: c/admin | disableClient | username=dev1", true),
        ("dynsec: c/admin | listClients | verbose=true | count=-1 | offset=0", false),
        ("dynsec: c | getClient | x/admin | deleteClient | username=dev1", true),
        ("dynsec: c/admin | somethingNew", true),
    ];
    for (line, is_change) in cases {
        let expected = format!("admin-change {line}");
        check(
            &[V20, line],
            if is_change { std::slice::from_ref(&expected) } else { &[] }
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .as_slice(),
        );
    }
}

#[test]
fn each_form_of_the_log_says_what_it_cannot_tell() {
    let blind = |form| {
        let known = coverage("plant", form).facts;
        Fact::ALL.into_iter().filter(|fact| !known.contains(fact)).map(Fact::name).collect::<Vec<_>>()
    };
    assert_eq!(blind(LogForm::Debug), ["reports", "client-software"]);
    assert_eq!(blind(LogForm::Plain), ["denials", "publishes", "deliveries", "reports", "client-software"]);
    assert_eq!(
        blind(LogForm::Topic),
        ["denials", "publishes", "deliveries", "reports", "broker-starts", "client-software"]
    );
}

#[test]
fn only_log_topics_carry_lines() {
    assert!(topic_line("$SYS/broker/log/N", b"x").is_some());
    for topic in ["$SYS/broker/log/", "$SYS/broker/uptime", "a/$SYS/broker/log/N", ""] {
        assert!(topic_line(topic, b"x").is_none(), "{topic}");
    }
}
