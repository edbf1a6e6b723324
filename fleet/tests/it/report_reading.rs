//! What decoded reports say, for the forms that agents write.

use std::net::IpAddr;

use fleet::report::{CustomValue, ReportBuf, decode_cbor, decode_json, slice_of};

use crate::corpus::{CBOR_HEX, DOUBLES, LEAST, LONG, MIXED, ODD, SHORT, hex};

fn json(text: &str) -> ReportBuf {
    let mut out = ReportBuf::default();
    decode_json(text.as_bytes(), &mut out).unwrap();
    out
}

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// The custom metrics, one per line.
fn custom(report: &ReportBuf) -> String {
    let line = |metric: &fleet::report::CustomMetric| {
        let value = match &metric.value {
            CustomValue::Number(number) => number.to_string(),
            CustomValue::NumberList(range) => format!("{:?}", slice_of(&report.numbers, range).unwrap()),
            CustomValue::IpList(range) => format!("{:?}", slice_of(&report.addresses, range).unwrap()),
            CustomValue::StringList(range) => {
                let texts = slice_of(&report.strings, range).unwrap();
                format!("{:?}", texts.iter().map(|text| report.text_of(text).unwrap()).collect::<Vec<_>>())
            }
        };
        format!("{}={value}", report.text_of(&metric.name).unwrap())
    };
    report.custom.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn long_names() {
    let report = json(LONG);
    assert_eq!(report.report_id, 1_735_689_600);
    assert_eq!((report.bytes_in, report.bytes_out), (Some(48_210), Some(19_877)));
    assert_eq!((report.packets_in, report.packets_out), (Some(301), Some(254)));
    assert_eq!(
        (report.has_tcp_ports, &report.tcp_ports[..], report.tcp_ports_total),
        (true, &[22, 1883][..], Some(2))
    );
    assert_eq!(
        (report.has_udp_ports, &report.udp_ports[..], report.udp_ports_total),
        (true, &[5353][..], Some(1))
    );
    assert_eq!(report.remote_addresses, addresses(&["198.51.100.20", "2001:db8::7"]));
    assert_eq!((report.has_remote_addresses, report.connections_total), (true, Some(2)));
    assert_eq!(
        custom(&report),
        "battery_percent=81.5\nopen_valves=[1.0, 4.0, 9.0]\nfirmware=[\"main-2.4.1\", \"radio-1.9\"]\npeers=[10.0.4.7, 2001:db8::9]"
    );
}

#[test]
fn short_names_and_absent_blocks() {
    let report = json(SHORT);
    assert_eq!((report.report_id, report.bytes_in, report.packets_out), (1_735_689_900, Some(1200), Some(9)));
    assert_eq!(
        (&report.tcp_ports[..], report.has_udp_ports, report.udp_ports_total),
        (&[22][..], false, None)
    );
    assert_eq!(custom(&report), "battery_percent=80");
    assert_eq!(json(LEAST), ReportBuf { report_id: 1, ..ReportBuf::default() });
}

#[test]
fn mixed_names_capped_lists_and_every_form_of_address() {
    let report = json(MIXED);
    assert_eq!((&report.tcp_ports[..], report.tcp_ports_total), (&[22, 8883][..], Some(70)));
    assert_eq!((report.has_udp_ports, report.udp_ports_total), (true, Some(0)));
    assert_eq!(report.remote_addresses, addresses(&["fe80::1", "2001:db8::7"]));
    assert_eq!(report.connections_total, Some(55));
    assert_eq!(report.bytes_in, None);
}

#[test]
fn doubles_and_exponents_are_whole_numbers() {
    let report = json(DOUBLES);
    assert_eq!((report.report_id, report.packets_out), (1_000_000_000_000_000, Some(1500)));
    assert_eq!((&report.tcp_ports[..], report.tcp_ports_total), (&[22, 5353][..], Some(1)));
    assert_eq!((report.udp_ports.len(), report.udp_ports_total), (0, Some(1)));
}

#[test]
fn nulls_escapes_and_unknown_members() {
    let report = json(ODD);
    assert_eq!(report.report_id, 7);
    assert_eq!(custom(&report), "b=-0.25\nd=[5.0]\ne\"ä=[\"ä\\t\", \"\"]");
}

#[test]
fn the_cbor_example() {
    let mut report = ReportBuf::default();
    decode_cbor(&hex(CBOR_HEX), &mut report).unwrap();
    assert_eq!((report.report_id, report.bytes_in, report.bytes_out), (1_735_690_200, Some(900), Some(410)));
    assert_eq!(
        (&report.tcp_ports[..], report.tcp_ports_total, report.packets_in),
        (&[22][..], Some(1), None)
    );
}

/// As the C agent writes it: indefinite containers, `local_port` as text, zero statistics left out.
#[test]
fn cbor_of_the_c_agent() {
    let bytes = [
        hex("a2 66"),
        b"header".into(),
        hex("a2 69"),
        b"report_id".into(),
        hex("1a 67748580 67"),
        b"version".into(),
        hex("63"),
        b"1.0".into(),
        hex("67"),
        b"metrics".into(),
        hex("bf 6f"),
        b"tcp_connections".into(),
        hex("bf 77"),
        b"established_connections".into(),
        hex("bf 6b"),
        b"connections".into(),
        hex("9f bf 6a"),
        b"local_port".into(),
        hex("65"),
        b"49152".into(),
        hex("6b"),
        b"remote_addr".into(),
        hex("6f"),
        b"10.20.30.40:443".into(),
        hex("ff ff 65"),
        b"total".into(),
        hex("01 ff ff ff"),
    ]
    .concat();
    let mut report = ReportBuf::default();
    decode_cbor(&bytes, &mut report).unwrap();
    assert_eq!(report.remote_addresses, addresses(&["10.20.30.40"]));
    assert_eq!((report.report_id, report.connections_total), (1_735_689_600, Some(1)));
}

/// Self-description tag, half float, undefined, bytes and simple values in unknown members.
#[test]
fn cbor_of_other_writers() {
    let bytes = [
        hex("d9d9f7 a4 61 78 84 42 ffff 5f 4100 ff f8ff c1 fb 41d4000000000000 63"),
        b"hed".into(),
        hex("a2 63"),
        b"rid".into(),
        hex("f9 4900 61"),
        b"v".into(),
        hex("7f 61 31 62"),
        b".0".into(),
        hex("ff 63"),
        b"met".into(),
        hex("f7 64"),
        b"cmet".into(),
        hex("a1 61 62 81 a1 66"),
        b"number".into(),
        hex("f9 c600"),
    ]
    .concat();
    let mut report = ReportBuf::default();
    decode_cbor(&bytes, &mut report).unwrap();
    assert_eq!((report.report_id, custom(&report).as_str()), (10, "b=-6"));
}

#[test]
fn totals_are_those_given_else_the_length_of_the_list() {
    let cases = [
        (r#"{"ports":[{"port":1},{"port":2}]}"#, (true, Some(2))),
        (r#"{"ports":[{"port":1},null,{}]}"#, (true, Some(2))),
        (r#"{"ports":[{"port":1}],"total":null}"#, (true, Some(1))),
        (r#"{"total":7,"ports":[]}"#, (true, Some(7))),
        (r#"{"total":7}"#, (false, Some(7))),
        (r#"{"ports":null,"total":7}"#, (false, Some(7))),
        (r#"{}"#, (false, None)),
    ];
    for (ports, expected) in cases {
        let report =
            json(&format!(r#"{{"header":{{"report_id":1,"version":"1.0"}},"metrics":{{"tp":{ports}}}}}"#));
        assert_eq!((report.has_tcp_ports, report.tcp_ports_total), expected, "{ports}");
    }
}

/// The C agent reports one UDP item with port 0 when no UDP socket is open.
#[test]
fn the_phantom_udp_item_is_an_empty_list() {
    let cases = [
        (r#"{"ports":[{"port":0}],"total":1}"#, Some(0)),
        (r#"{"total":1,"ports":[{"port":0,"interface":null}]}"#, Some(0)),
        (r#"{"ports":[{"port":0}]}"#, Some(0)),
    ];
    for (ports, total) in cases {
        let report =
            json(&format!(r#"{{"header":{{"report_id":1,"version":"1.0"}},"metrics":{{"up":{ports}}}}}"#));
        assert_eq!(
            (report.has_udp_ports, report.udp_ports.len(), report.udp_ports_total),
            (true, 0, total),
            "{ports}"
        );
    }
}

#[test]
fn a_buffer_forgets_the_report_before_and_keeps_its_memory() {
    let mut out = ReportBuf::default();
    decode_json(LONG.as_bytes(), &mut out).unwrap();
    let before =
        (out.tcp_ports.as_ptr(), out.text.as_ptr(), out.custom.as_ptr(), out.remote_addresses.as_ptr());
    decode_json(LEAST.as_bytes(), &mut out).unwrap();
    assert_eq!(out, ReportBuf { report_id: 1, ..ReportBuf::default() });
    decode_json(LONG.as_bytes(), &mut out).unwrap();
    assert_eq!(
        (out.tcp_ports.as_ptr(), out.text.as_ptr(), out.custom.as_ptr(), out.remote_addresses.as_ptr()),
        before
    );
    assert_eq!(out, json(LONG));
}
