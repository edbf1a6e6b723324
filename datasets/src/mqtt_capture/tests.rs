//! Captures made here, packet by packet. The public captures: `tests/it/mqtt.rs`.

use proptest::prelude::*;

use super::*;

#[test]
fn what_is_no_capture_is_refused() {
    for bytes in [&b""[..], b"x", b"not a capture at all, whatever it is", &[0x0a, 0x0d, 0x0d, 0x0a]] {
        assert_eq!(decode(bytes, &mut |_| ()), Err(CaptureError::NotACapture), "{bytes:?}");
    }
}

/// Packets over IPv4 without a link layer, in the old capture format (`LINKTYPE_RAW`).
struct Writer {
    file: Vec<u8>,
    /// Next sequence numbers of each client port: up and down.
    next: std::collections::BTreeMap<u16, [u32; 2]>,
}

impl Writer {
    fn new() -> Self {
        let mut file = Vec::new();
        for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 101] {
            file.extend(word.to_le_bytes());
        }
        Self { file, next: std::collections::BTreeMap::new() }
    }

    /// A packet of the client at `port` (up) or the broker, at `ms`.
    fn packet(&mut self, ms: u32, port: u16, up: bool, flags: u8, payload: &[u8]) {
        let next = self.next.entry(port).or_insert([u32::MAX - 5, 70]);
        let own = &mut next[usize::from(!up)];
        let seq = *own;
        // SYN and FIN count like a byte.
        *own = own.wrapping_add(payload.len() as u32 + u32::from(flags & 3 != 0));
        let client = [10, 0, 0, 7];
        let broker = [10, 0, 0, 1];
        let (from, to) = if up { ((client, port), (broker, 1883)) } else { ((broker, 1883), (client, port)) };
        let len = 40 + payload.len();
        let mut packet = vec![0x45, 0, (len >> 8) as u8, len as u8, 0, 0, 0, 0, 64, 6, 0, 0];
        packet.extend(from.0);
        packet.extend(to.0);
        packet.extend(from.1.to_be_bytes());
        packet.extend(u16::to_be_bytes(to.1));
        packet.extend(seq.to_be_bytes());
        packet.extend([0, 0, 0, 0, 0x50, flags, 1, 0, 0, 0, 0, 0]);
        packet.extend(payload);
        for word in [1_000_000 + ms / 1000, ms % 1000 * 1000, packet.len() as u32, packet.len() as u32] {
            self.file.extend(word.to_le_bytes());
        }
        self.file.extend(packet);
    }

    fn syn(&mut self, ms: u32, port: u16) {
        self.packet(ms, port, true, 2, b"");
        self.packet(ms, port, false, 0x12, b"");
    }
}

const FIN: u8 = 0x11;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

fn connect(level: u8, client: &str, keep_alive: u8) -> Vec<u8> {
    let properties: &[u8] = if level == 5 { &[0] } else { &[] };
    let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', level, 2, 0, keep_alive];
    body.extend(properties);
    body.extend([0, client.len() as u8]);
    body.extend(client.bytes());
    let mut packet = vec![0x10, body.len() as u8];
    packet.extend(body);
    packet
}

/// A packet from its first byte and its body.
fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first, body.len() as u8];
    packet.extend(body);
    packet
}

const ACCEPTED: [u8; 4] = [0x20, 2, 0, 0];
const ACCEPTED_5: [u8; 5] = [0x20, 3, 0, 0, 0];

fn told(file: &[u8]) -> (Vec<String>, CaptureCounts) {
    let mut events = Vec::new();
    let counts = decode(file, &mut |event| {
        events.push(format!("{} {:?}", event.at.millis() - 1_000_000_000, event.kind));
    });
    (events, counts.unwrap())
}

/// `steps`: ms, client port, `>` up or `<` down, flags, payload. Events must begin with `expected`.
fn check(steps: &[(u32, u16, char, u8, &[u8])], expected: &[&str]) {
    let mut writer = Writer::new();
    for &(ms, port, way, flags, payload) in steps {
        match way {
            'S' => writer.syn(ms, port),
            way => writer.packet(ms, port, way == '>', flags, payload),
        }
    }
    let (events, _) = told(&writer.file);
    assert_eq!(events.len(), expected.len(), "{events:#?}");
    for (event, expected) in events.iter().zip(expected) {
        assert!(event.starts_with(expected), "{event}\nbut expected is {expected}");
    }
}

const PUBLISH: [u8; 7] = [0x30, 5, 0, 1, b't', b'x', b'y'];

#[test]
fn a_session_from_connect_to_disconnect() {
    check(
        &[
            (0, 5, 'S', 0, b""),
            (1, 5, '>', ACK, &connect(4, "pump", 60)),
            (2, 5, '<', ACK, &ACCEPTED),
            (3, 5, '>', ACK, &packet(0x82, &[0, 9, 0, 1, b'a', 0, 0, 1, b'b', 1])),
            (4, 5, '<', ACK, &packet(0x90, &[0, 9, 0, 0x80])),
            (5, 5, '>', ACK, &PUBLISH),
            (6, 5, '<', ACK, &PUBLISH),
            (7, 5, '>', ACK, &packet(0xa2, &[0, 3, 0, 1, b'a'])),
            (8, 5, '>', ACK, &[0xe0, 0]),
            (9, 5, '>', FIN, b""),
            (9, 5, '<', FIN, b""),
            (9, 5, '>', ACK, b""),
        ],
        &[
            r#"2 Connect(Connect { client: "pump", user: None, ip: Some(10.0.0.7), bridge: false })"#,
            r#"4 Subscribe { client: "pump", filter: "a" }"#,
            r#"4 Denied { client: "pump", action: Subscribe, topic: "b" }"#,
            r#"5 Publish { client: "pump", topic: "t", bytes: 2 }"#,
            r#"6 Delivery { client: "pump", topic: "t", bytes: 2 }"#,
            r#"7 Unsubscribe { client: "pump", filter: "a" }"#,
            r#"8 Disconnect { client: "pump", reason: Clean, raw: "" }"#,
        ],
    );
}

#[test]
fn what_is_sent_before_the_answer_counts_if_the_answer_is_yes() {
    let mut first = connect(4, "", 60);
    first.extend(PUBLISH);
    first.extend([0xe0, 0]);
    check(
        &[(0, 5, 'S', 0, b""), (1, 5, '>', FIN, &first), (2, 5, '<', ACK, &ACCEPTED), (3, 5, '<', FIN, b"")],
        &[
            r#"2 Connect(Connect { client: "auto-10-0-0-7-5","#,
            r#"2 Publish { client: "auto-10-0-0-7-5", topic: "t", bytes: 2 }"#,
            r#"2 Disconnect { client: "auto-10-0-0-7-5", reason: Clean"#,
        ],
    );
    check(
        &[
            (0, 5, 'S', 0, b""),
            (1, 5, '>', FIN, &first),
            (2, 5, '<', ACK, &[0x20, 2, 0, 5]),
            (3, 5, '<', FIN, b""),
        ],
        &[
            r"2 AuthFailure(AuthFailure { claimed_client: None, claimed_user: None, ip: Some(10.0.0.7), attribution: Address })",
        ],
    );
}

#[test]
fn answers_to_a_login() {
    let refused = "2 AuthFailure(AuthFailure { claimed_client: Some(\"a\")";
    let cases: [(u8, &[u8], &str); 9] = [
        (4, &[0x20, 2, 0, 1], "2 ConnectionError { ip: Some(10.0.0.7), kind: Protocol }"),
        (4, &[0x20, 2, 0, 2], "2 ConnectionError { ip: Some(10.0.0.7), kind: Protocol }"),
        (4, &[0x20, 2, 0, 3], "2 ConnectionError { ip: Some(10.0.0.7), kind: TooMany }"),
        (4, &[0x20, 2, 0, 4], refused),
        (4, &[0x20, 2, 0, 5], refused),
        (5, &[0x20, 3, 0, 0x86, 0], refused),
        (5, &[0x20, 3, 0, 0x87, 0], refused),
        (5, &[0x20, 3, 0, 0x9f, 0], "2 ConnectionError { ip: Some(10.0.0.7), kind: TooMany }"),
        (5, &[0x20, 3, 0, 0x84, 0], "2 ConnectionError { ip: Some(10.0.0.7), kind: Protocol }"),
    ];
    for (level, answer, expected) in cases {
        let login = connect(level, "a", 60);
        check(
            &[(0, 5, 'S', 0, b""), (1, 5, '>', ACK, &login), (2, 5, '<', ACK, answer), (3, 5, '<', RST, b"")],
            &[expected],
        );
    }
}

#[test]
fn mqtt_5_names_the_client_and_says_why_it_ends() {
    let assigned = packet(0x20, &[0, 0, 9, 0x21, 0, 9, 0x12, 0, 3, b'x', b'y', b'z']);
    let refused_publish = packet(0x40, &[0, 4, 0x87]);
    let cases: [(u8, &str); 5] =
        [(0x8e, "Takeover"), (0x8d, "Timeout"), (0x98, "Kicked"), (0x87, "Auth"), (0x82, "Protocol")];
    for (code, reason) in cases {
        check(
            &[
                (0, 5, 'S', 0, b""),
                (1, 5, '>', ACK, &connect(5, "", 60)),
                (2, 5, '<', ACK, &assigned),
                (3, 5, '<', ACK, &refused_publish),
                (4, 5, '<', ACK, &packet(0xe0, &[code])),
                (5, 5, '<', FIN, b""),
                (5, 5, '>', FIN, b""),
            ],
            &[
                r#"2 Connect(Connect { client: "xyz""#,
                r#"3 Denied { client: "xyz", action: Publish, topic: "" }"#,
                &format!(r#"4 Disconnect {{ client: "xyz", reason: {reason}"#),
            ],
        );
    }
}

#[test]
fn ends_without_a_word() {
    let login = connect(4, "a", 10);
    let begin: [(u32, u16, char, u8, &[u8]); 3] =
        [(0, 5, 'S', 0, b""), (1, 5, '>', ACK, &login), (2, 5, '<', ACK, &ACCEPTED)];
    let with = |more: &[(u32, u16, char, u8, &[u8])], reason: &str| {
        let steps = [&begin[..], more].concat();
        check(&steps, &[r#"2 Connect(Connect { client: "a""#, reason]);
    };
    with(&[(9, 5, '>', RST, b"")], r#"9 Disconnect { client: "a", reason: Unclean"#);
    with(&[(9, 5, '>', FIN, b""), (10, 5, '<', FIN, b"")], r#"10 Disconnect { client: "a", reason: Unclean"#);
    // One and a half times the keep-alive of ten seconds, and a millisecond less.
    with(&[(15_001, 5, '<', RST, b"")], r#"15001 Disconnect { client: "a", reason: Timeout"#);
    with(&[(15_000, 5, '<', RST, b"")], r#"15000 Disconnect { client: "a", reason: Unknown"#);
    // A filter of no characters, an identifier 0, a type that does not exist, quality of service 3.
    for bad in
        [&packet(0x82, &[0, 1, 0, 0, 0])[..], &packet(0x82, &[0, 0, 0, 1, b'a', 0]), &[0x00, 0], &[0x36, 0]]
    {
        with(
            &[(3, 5, '>', ACK, bad), (4, 5, '<', RST, b"")],
            r#"4 Disconnect { client: "a", reason: Protocol, raw: ""#,
        );
    }
}

#[test]
fn connections_that_never_become_a_session() {
    let error = |kind: &str| format!("9 ConnectionError {{ ip: Some(10.0.0.7), kind: {kind} }}");
    check(&[(0, 5, 'S', 0, b""), (9, 5, '>', RST, b"")], &[&error("NoConnect")]);
    check(
        &[(0, 5, 'S', 0, b""), (1, 5, '>', ACK, b"GET / HTTP/1.1\r\n"), (9, 5, '<', RST, b"")],
        &[&error("Protocol")],
    );
    check(&[(0, 5, 'S', 0, b""), (1, 5, '>', ACK, &PUBLISH), (9, 5, '<', RST, b"")], &[&error("Protocol")]);
    let login = connect(6, "a", 60);
    check(&[(0, 5, 'S', 0, b""), (1, 5, '>', ACK, &login), (9, 5, '<', RST, b"")], &[&error("Protocol")]);
    // A port where nobody listens is no connection, and half of one tells nothing yet.
    check(&[(0, 5, '>', 2, b""), (1, 5, '<', RST, b"")], &[]);
    check(&[(0, 5, 'S', 0, b"")], &[]);
    // The capture began in the middle: nobody knows whose session it is.
    check(&[(0, 5, '>', ACK, &PUBLISH), (1, 5, '<', ACK, &PUBLISH)], &[]);
}

#[test]
fn a_second_session_of_a_client_id_takes_over() {
    let login = connect(4, "a", 60);
    check(
        &[
            (0, 5, 'S', 0, b""),
            (1, 5, '>', ACK, &login),
            (2, 5, '<', ACK, &ACCEPTED),
            (3, 6, 'S', 0, b""),
            (4, 6, '>', ACK, &login),
            (5, 6, '<', ACK, &ACCEPTED),
            (6, 5, '<', FIN, b""),
            (6, 5, '>', FIN, b""),
            (7, 6, '>', ACK, &PUBLISH),
            (8, 6, 'S', 0, b""),
        ],
        &[
            "2 Connect",
            r#"5 Disconnect { client: "a", reason: Takeover"#,
            "5 Connect",
            r#"7 Publish { client: "a""#,
            r#"8 Disconnect { client: "a", reason: Unclean"#,
        ],
    );
}

#[test]
fn a_capture_that_ends_inside_of_a_packet_says_so() {
    let mut writer = Writer::new();
    writer.syn(0, 5);
    writer.packet(1, 5, true, ACK, &connect(4, "a", 60));
    writer.packet(2, 5, false, ACK, &ACCEPTED_5[..4]);
    let whole = writer.file;
    let mut events = 0;
    let error = decode(&whole[..whole.len() - 1], &mut |_| events += 1).unwrap_err();
    assert_eq!(error.to_string(), "is damaged after 3 packets: it ends inside of a block");
    assert_eq!(events, 0);
}

/// Found by fuzzing: the parser of capture files subtracts 12 from a block's length.
#[test]
fn a_block_that_is_shorter_than_a_block_is_damage() {
    let words = |order: fn(u32) -> [u8; 4], length: u32| -> Vec<u8> {
        let section = [0x0a0d_0d0a, 28, 0x1a2b_3c4d, 0x0001_0000, u32::MAX, u32::MAX, 28];
        let block = [0x7777, length, 0, length, length];
        section.into_iter().chain(block).flat_map(order).collect()
    };
    for order in [u32::to_le_bytes, u32::to_be_bytes] {
        for length in 0..12 {
            let error = decode(&words(order, length), &mut |_| ()).unwrap_err();
            assert_eq!(error.to_string(), "is damaged after 0 packets: a block has fewer than 12 bytes");
        }
        let file = words(order, 20);
        assert_eq!(decode(&file, &mut |_| ()).unwrap(), CaptureCounts::default());
    }
}

/// Any packets of two clients, most of them MQTT.
fn any_packets() -> impl Strategy<Value = Vec<(u32, u16, bool, u8, Vec<u8>)>> {
    let payload = prop_oneof![
        Just(connect(4, "a", 60)),
        Just(connect(5, "", 1)),
        Just(ACCEPTED.to_vec()),
        Just(PUBLISH.to_vec()),
        Just(packet(0x82, &[0, 9, 0, 1, b'a', 0])),
        Just(packet(0x90, &[0, 9, 0])),
        Just(vec![0xe0, 0]),
        proptest::collection::vec(any::<u8>(), 0..40),
    ];
    let flags = prop_oneof![Just(2_u8), Just(ACK), Just(ACK), Just(ACK), Just(FIN), Just(RST)];
    proptest::collection::vec((0_u32..100_000, 5_u16..7, any::<bool>(), flags, payload), 0..60)
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        fuzz(&bytes);
    }

    #[test]
    fn damaged_captures_never_panic(
        packets in any_packets(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
    ) {
        let mut writer = Writer::new();
        packets.iter().for_each(|(ms, port, up, flags, payload)| writer.packet(*ms, *port, *up, *flags, payload));
        let mut file = writer.file;
        for (at, byte) in damage {
            let at = at.index(file.len());
            file[at] = byte;
        }
        fuzz(&file);
    }

    #[test]
    fn sessions_begin_and_end_in_turn(packets in any_packets()) {
        let mut writer = Writer::new();
        packets.iter().for_each(|(ms, port, up, flags, payload)| writer.packet(*ms, *port, *up, *flags, payload));
        let mut open = std::collections::BTreeSet::new();
        decode(&writer.file, &mut |event| match event.kind {
            fleet::event::EventKind::Connect(it) => assert!(open.insert(it.client.to_owned()), "{}", it.client),
            fleet::event::EventKind::Disconnect { client, .. } => assert!(open.remove(client), "{client}"),
            fleet::event::EventKind::Publish { client, .. }
            | fleet::event::EventKind::Delivery { client, .. }
            | fleet::event::EventKind::Subscribe { client, .. } => assert!(open.contains(client), "{client}"),
            _ => {}
        })
        .unwrap();
    }
}
