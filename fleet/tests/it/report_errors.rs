//! Malformed reports, each with its exact error.

use fleet::report::{ReportBuf, ReportError, decode_cbor, decode_json};

use crate::corpus::hex;

/// `reason | id | place: message`
fn show(error: &ReportError) -> String {
    let id = error.report_id.map_or_else(|| "-".to_owned(), |id| id.to_string());
    format!("{} | {id} | {error}", error.reason)
}

fn json_error(text: &[u8]) -> String {
    show(&decode_json(text, &mut ReportBuf::default()).expect_err(&String::from_utf8_lossy(text)))
}

/// A report with id 5 and this block beside its header.
fn with(block: &str) -> String {
    format!(r#"{{"header":{{"report_id":5,"version":"1.0"}},{block}}}"#)
}

fn check_table(cases: &[(String, &str)]) {
    let wrong: Vec<String> = cases
        .iter()
        .filter(|(text, expected)| json_error(text.as_bytes()) != *expected)
        .map(|(text, expected)| {
            format!("{text}\n  found    {}\n  expected {expected}", json_error(text.as_bytes()))
        })
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn malformed_json() {
    let cases = [
        ("", "truncated | - | report: byte 0: the report ends; expected is a value"),
        ("   ", "truncated | - | report: byte 3: the report ends; expected is a value"),
        ("nope", "syntax | - | report: byte 0: found 'n'; expected is a value"),
        ("[]", "type | - | report: found a list; allowed is an object"),
        ("null", "type | - | report: found `null`; allowed is an object"),
        ("12", "type | - | report: found `12`; allowed is an object"),
        ("\"text\"", r#"type | - | report: found `"text"`; allowed is an object"#),
        ("{", "truncated | - | report: byte 1: the report ends; expected is a member's name in quotes"),
        ("{]", "syntax | - | report: byte 1: found ']'; expected is a member's name in quotes"),
        ("{,}", "syntax | - | report: byte 1: found ','; expected is a member's name in quotes"),
        ("{\"header\"}", "syntax | - | report: byte 9: found '}'; expected is `:`"),
        ("{\"header\":}", "syntax | - | header: byte 10: found '}'; expected is a value"),
        (
            "{\"header\":{\"report_id\":5,\"version\":\"1.0\"},}",
            "syntax | 5 | report: byte 42: found '}'; expected is a member's name in quotes",
        ),
        (
            "{\"header\":{\"report_id\":5 \"version\":\"1.0\"},\"metrics\":{}}",
            r#"syntax | 5 | header: byte 25: found '"'; expected is `,` or `}`"#,
        ),
        (
            "{\"header\":{\"report_id\":5,\"version\":\"1.0\"},\"metrics\":{}} x",
            "trailing | 5 | report: byte 56: found `x`; allowed is nothing after the report",
        ),
        (
            "{\"header\":{\"report_id\":05,\"version\":\"1.0\"},\"metrics\":{}}",
            "syntax | - | header.report_id: byte 23: found '0'; expected is a number such as 12, -3 or 1.5e3",
        ),
        (
            "{\"header\":{\"report_id\":-,\"version\":\"1.0\"},\"metrics\":{}}",
            "syntax | - | header.report_id: byte 23: found '-'; expected is a number such as 12, -3 or 1.5e3",
        ),
        (
            "{\"header\":{\"report_id\":5,\"version\":\"1.0},\"metrics\":{}}",
            r#"version | 5 | header.version: found `1.0},`; allowed is version 1 with any minor number, such as "1.0""#,
        ),
        (
            "{\"header\":{\"report_id\":5,\"version\":\"1.0\n\"},\"metrics\":{}}",
            r#"syntax | 5 | header.version: byte 39: found '\n'; expected is a character of a text; control characters are escaped"#,
        ),
        (
            "{\"header\":{\"report_id\":5,\"version\":\"\\x\"},\"metrics\":{}}",
            r#"syntax | 5 | header.version: byte 36: found '\\'; expected is an escape such as `\n` or `\u00e4`"#,
        ),
        (
            "{\"header\":{\"report_id\":5,\"version\":\"\\ud800\"},\"metrics\":{}}",
            r#"syntax | 5 | header.version: byte 36: found '\\'; expected is an escape such as `\n` or `\u00e4`"#,
        ),
        (
            "{\"header\":{\"report_id\":5,\"version\":\"1.0\"},\"metrics\":{\"x\":tru}}",
            "syntax | 5 | metrics: byte 57: found 't'; expected is a value",
        ),
        (
            "{\"header\":{\"report_id\":5,\"version\":\"1.0\"},\"metrics\":{\"x\":[1,2}}}",
            "syntax | 5 | metrics: byte 61: found '}'; expected is `,` or `]`",
        ),
        (
            "{\"header\":{\"report_id\":5,\"version\":\"1.0\"},\"metrics\":{\"tp\":{\"ports\":[{\"port\":22}{\"port\":23}]}}}",
            "syntax | 5 | metrics.listening_tcp_ports.ports: byte 79: found '{'; expected is `,` or `]`",
        ),
        ("\u{feff}{}", r#"syntax | - | report: byte 0: found '\u{feff}'; expected is a value"#),
    ];
    check_table(&cases.map(|(text, expected)| (text.to_owned(), expected)));
}

#[test]
fn headers_that_are_refused() {
    let cases = [
        (
            r#"{"metrics":{}}"#,
            "missing | - | header: it is missing; required is an object with `report_id` and `version`",
        ),
        (
            r#"{"header":null,"metrics":{}}"#,
            "missing | - | header: it is missing; required is an object with `report_id` and `version`",
        ),
        (r#"{"header":[],"metrics":{}}"#, "type | - | header: found a list; allowed is an object"),
        (
            r#"{"header":{"report_id":1,"version":"1.0"}}"#,
            "missing | 1 | report: `metrics` and `custom_metrics` are missing; required is one of them",
        ),
        (
            r#"{"header":{"report_id":1,"version":"1.0"},"metrics":null}"#,
            "missing | 1 | report: `metrics` and `custom_metrics` are missing; required is one of them",
        ),
        (
            r#"{"header":{"version":"1.0"},"metrics":{}}"#,
            "missing | - | header.report_id: it is missing; required is a positive whole number",
        ),
        (
            r#"{"header":{"report_id":"x","version":"1.0"},"metrics":{}}"#,
            r#"type | - | header.report_id: found `"x"`; allowed is a whole number from 1 to 18446744073709551615"#,
        ),
        (
            r#"{"header":{"report_id":0,"version":"1.0"},"metrics":{}}"#,
            "range | - | header.report_id: found `0`; allowed is a whole number from 1 to 18446744073709551615",
        ),
        (
            r#"{"header":{"report_id":-4,"version":"1.0"},"metrics":{}}"#,
            "range | - | header.report_id: found `-4`; allowed is a whole number from 1 to 18446744073709551615",
        ),
        (
            r#"{"header":{"report_id":1.5,"version":"1.0"},"metrics":{}}"#,
            "range | - | header.report_id: found `1.5`; allowed is a whole number from 1 to 18446744073709551615",
        ),
        (
            r#"{"header":{"report_id":18446744073709551616,"version":"1.0"},"metrics":{}}"#,
            "range | - | header.report_id: found `18446744073709551616`; allowed is a whole number from 1 to 18446744073709551615",
        ),
        (
            r#"{"header":{"report_id":1e400,"version":"1.0"},"metrics":{}}"#,
            "range | - | header.report_id: found `1e400`; allowed is a whole number from 1 to 18446744073709551615",
        ),
        (
            r#"{"header":{"report_id":5},"metrics":{}}"#,
            r#"missing | 5 | header.version: it is missing; required is version 1 with any minor number, such as "1.0""#,
        ),
        (
            r#"{"header":{"report_id":5,"version":1.0},"metrics":{}}"#,
            r#"type | 5 | header.version: found `1.0`; allowed is version 1 with any minor number, such as "1.0""#,
        ),
        (
            r#"{"header":{"report_id":5,"version":"2.0"},"metrics":{}}"#,
            r#"version | 5 | header.version: found `2.0`; allowed is version 1 with any minor number, such as "1.0""#,
        ),
        (
            r#"{"header":{"report_id":5,"version":"1"},"metrics":{}}"#,
            r#"version | 5 | header.version: found `1`; allowed is version 1 with any minor number, such as "1.0""#,
        ),
        (
            r#"{"header":{"report_id":5,"rid":5,"version":"1.0"},"metrics":{}}"#,
            "duplicate | 5 | header.report_id: it is given twice; allowed is once, by its long or its short name",
        ),
        (
            r#"{"hed":{"rid":5,"v":"1.0"},"metrics":{},"met":{}}"#,
            "duplicate | 5 | metrics: it is given twice; allowed is once, by its long or its short name",
        ),
        (
            r#"{"metrics":7,"header":{"report_id":5,"version":"1.0"}}"#,
            "type | 5 | metrics: found `7`; allowed is an object",
        ),
    ];
    check_table(&cases.map(|(text, expected)| (text.to_owned(), expected)));
}

#[test]
fn metrics_that_are_refused() {
    let cases = [
        (r#""metrics":"none""#, r#"type | 5 | metrics: found `"none"`; allowed is an object"#),
        (
            r#""metrics":{"listening_tcp_ports":[22]}"#,
            "type | 5 | metrics.listening_tcp_ports: found a list; allowed is an object",
        ),
        (
            r#""metrics":{"listening_tcp_ports":{"ports":{}}}"#,
            "type | 5 | metrics.listening_tcp_ports.ports: found an object; allowed is a list",
        ),
        (
            r#""metrics":{"listening_tcp_ports":{"ports":[22]}}"#,
            "type | 5 | metrics.listening_tcp_ports.ports[0]: found `22`; allowed is an object",
        ),
        (
            r#""met":{"tp":{"pts":[{"pt":22},{"pt":80},{"pt":443},{"pt":70000}]}}"#,
            "range | 5 | metrics.listening_tcp_ports.ports[3].port: found `70000`; allowed is a whole number from 1 to 65535",
        ),
        (
            r#""metrics":{"listening_tcp_ports":{"ports":[{"port":0}]}}"#,
            "range | 5 | metrics.listening_tcp_ports.ports[0].port: found `0`; allowed is a whole number from 1 to 65535",
        ),
        (
            r#""metrics":{"listening_udp_ports":{"ports":[{"port":0},{"port":53}]}}"#,
            "range | 5 | metrics.listening_udp_ports.ports[0].port: found `0`; allowed is a whole number from 1 to 65535",
        ),
        (
            r#""metrics":{"listening_udp_ports":{"ports":[{"port":53},{"port":0}]}}"#,
            "range | 5 | metrics.listening_udp_ports.ports[1].port: found `0`; allowed is a whole number from 1 to 65535",
        ),
        (
            r#""metrics":{"listening_tcp_ports":{"ports":[{"port":"22"}]}}"#,
            r#"type | 5 | metrics.listening_tcp_ports.ports[0].port: found `"22"`; allowed is a whole number from 1 to 65535"#,
        ),
        (
            r#""metrics":{"listening_tcp_ports":{"ports":[{"port":22.5}]}}"#,
            "range | 5 | metrics.listening_tcp_ports.ports[0].port: found `22.5`; allowed is a whole number from 1 to 65535",
        ),
        (
            r#""metrics":{"listening_tcp_ports":{"ports":[{"port":22,"pt":22}]}}"#,
            "duplicate | 5 | metrics.listening_tcp_ports.ports[0].port: it is given twice; allowed is once, by its long or its short name",
        ),
        (
            r#""metrics":{"listening_tcp_ports":{"ports":[{"port":22,"interface":7}]}}"#,
            "type | 5 | metrics.listening_tcp_ports.ports[0].interface: found `7`; allowed is the name of an interface",
        ),
        (
            r#""metrics":{"listening_tcp_ports":{"total":-1}}"#,
            "range | 5 | metrics.listening_tcp_ports.total: found `-1`; allowed is a whole number from 0 to 18446744073709551615",
        ),
        (
            r#""metrics":{"network_stats":{"bytes_in":true}}"#,
            "type | 5 | metrics.network_stats.bytes_in: found `true`; allowed is a whole number from 0 to 18446744073709551615",
        ),
        (
            r#""metrics":{"network_stats":{"bytes_in":1,"bytes_out":-1}}"#,
            "range | 5 | metrics.network_stats.bytes_out: found `-1`; allowed is a whole number from 0 to 18446744073709551615",
        ),
        (
            r#""metrics":{"network_stats":{"packets_in":[]}}"#,
            "type | 5 | metrics.network_stats.packets_in: found a list; allowed is a whole number from 0 to 18446744073709551615",
        ),
        (
            r#""metrics":{"tcp_connections":{"established_connections":{"connections":[{"local_port":22}]}}}"#,
            "missing | 5 | metrics.tcp_connections.established_connections.connections[0].remote_addr: it is missing; required is `IPv4:port` or `[IPv6]:port` with a port from 1 to 65535",
        ),
        (
            r#""metrics":{"tcp_connections":{"established_connections":{"connections":[{"remote_addr":"198.51.100.20"}]}}}"#,
            "address | 5 | metrics.tcp_connections.established_connections.connections[0].remote_addr: found `198.51.100.20`; allowed is `IPv4:port` or `[IPv6]:port` with a port from 1 to 65535",
        ),
        (
            r#""metrics":{"tcp_connections":{"established_connections":{"connections":[{"remote_addr":167772161}]}}}"#,
            "type | 5 | metrics.tcp_connections.established_connections.connections[0].remote_addr: found `167772161`; allowed is `IPv4:port` or `[IPv6]:port` with a port from 1 to 65535",
        ),
        (
            r#""metrics":{"tc":{"ec":{"cs":[{"rad":"example.org:443"}]}}}"#,
            "address | 5 | metrics.tcp_connections.established_connections.connections[0].remote_addr: found `example.org:443`; allowed is `IPv4:port` or `[IPv6]:port` with a port from 1 to 65535",
        ),
        (
            r#""metrics":{"tc":{"ec":{"cs":[{"rad":"10.0.0.1:70000"}]}}}"#,
            "address | 5 | metrics.tcp_connections.established_connections.connections[0].remote_addr: found `10.0.0.1:70000`; allowed is `IPv4:port` or `[IPv6]:port` with a port from 1 to 65535",
        ),
        (
            r#""metrics":{"tc":{"ec":{"cs":[{"rad":"10.0.0.1:1","lp":65536}]}}}"#,
            "range | 5 | metrics.tcp_connections.established_connections.connections[0].local_port: found `65536`; allowed is a whole number from 0 to 65535",
        ),
        (
            r#""metrics":{"tc":{"ec":{"cs":[{"rad":"10.0.0.1:1"},{"rad":"a text that is much too long to be shown in a message of this kind"}]}}}"#,
            "address | 5 | metrics.tcp_connections.established_connections.connections[1].remote_addr: found `a text that is much too long to be shown…`; allowed is `IPv4:port` or `[IPv6]:port` with a port from 1 to 65535",
        ),
    ];
    check_table(&cases.map(|(block, expected)| (with(block), expected)));
}

#[test]
fn custom_metrics_that_are_refused() {
    let cases = [
        (r#""custom_metrics":[]"#, "type | 5 | custom_metrics: found a list; allowed is an object"),
        (
            r#""custom_metrics":{"b":{"number":0}}"#,
            r#"type | 5 | custom_metrics.b: found an object; allowed is a list with one object, such as `[{"number": 1}]`"#,
        ),
        (
            r#""custom_metrics":{"b":[]}"#,
            r#"missing | 5 | custom_metrics.b: found an empty list; allowed is a list with one object, such as `[{"number": 1}]`"#,
        ),
        (
            r#""custom_metrics":{"b":[{"number":1},{"number":2}]}"#,
            r#"limit | 5 | custom_metrics.b[1]: found a second item; allowed is a list with one object, such as `[{"number": 1}]`"#,
        ),
        (r#""custom_metrics":{"b":[7]}"#, "type | 5 | custom_metrics.b[0]: found `7`; allowed is an object"),
        (
            r#""custom_metrics":{"b":[{"number":"7"}]}"#,
            r#"type | 5 | custom_metrics.b[0].number: found `"7"`; allowed is a number"#,
        ),
        (
            r#""custom_metrics":{"b":[{"number":1e999}]}"#,
            "range | 5 | custom_metrics.b[0].number: found `1e999`; allowed is a number that a double can hold",
        ),
        (
            r#""custom_metrics":{"b":[{"number_list":[1,"2"]}]}"#,
            r#"type | 5 | custom_metrics.b[0].number_list[1]: found `"2"`; allowed is a number"#,
        ),
        (
            r#""custom_metrics":{"b":[{"string_list":"a"}]}"#,
            r#"type | 5 | custom_metrics.b[0].string_list: found `"a"`; allowed is a list"#,
        ),
        (
            r#""custom_metrics":{"b":[{"string_list":["a",1]}]}"#,
            "type | 5 | custom_metrics.b[0].string_list[1]: found `1`; allowed is text",
        ),
        (
            r#""custom_metrics":{"b":[{"ip_list":["10.0.0.1","10.0.0.1:80"]}]}"#,
            "address | 5 | custom_metrics.b[0].ip_list[1]: found `10.0.0.1:80`; allowed is an IPv4 or IPv6 address without a port",
        ),
        (
            r#""custom_metrics":{"b":[{"ip_list":[{}]}]}"#,
            "type | 5 | custom_metrics.b[0].ip_list[0]: found an object; allowed is an IPv4 or IPv6 address without a port",
        ),
        (
            r#""custom_metrics":{"b":[{"number":1,"number_list":[1]}]}"#,
            "duplicate | 5 | custom_metrics.b[0].number_list: it is a second value of the metric; allowed is one",
        ),
        (
            r#""custom_metrics":{"b":[{"number":1}],"b":[{"number":2}]}"#,
            "duplicate | 5 | custom_metrics.b: it is given twice; allowed is once",
        ),
        (
            "\"custom_metrics\":{\"a\\nname of more than forty characters, which is cut\":7}",
            r#"type | 5 | custom_metrics.a�name of more than forty characters, wh…: found `7`; allowed is a list with one object, such as `[{"number": 1}]`"#,
        ),
    ];
    check_table(&cases.map(|(block, expected)| (with(block), expected)));
}

#[test]
fn limits_are_refused_one_past_the_edge() {
    let ports = |count: usize| {
        let items = vec![r#"{"pt":1}"#; count].join(",");
        with(&format!(r#""met":{{"tp":{{"pts":[{items}]}}}}"#))
    };
    let metrics = |count: usize| {
        let items: Vec<String> =
            (0..count).map(|number| format!(r#""m{number}":[{{"number":1}}]"#)).collect();
        with(&format!(r#""cmet":{{{}}}"#, items.join(",")))
    };
    let nested = |depth: usize| with(&format!(r#""met":{{"x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth)));
    let sized = |bytes: usize| {
        let text = with(r#""met":{}"#);
        format!("{text}{}", " ".repeat(bytes - text.len()))
    };
    for good in [ports(4096), metrics(100), nested(32), sized(131_072)] {
        decode_json(good.as_bytes(), &mut ReportBuf::default()).unwrap();
    }
    check_table(&[
        (
            ports(4097),
            "limit | 5 | metrics.listening_tcp_ports.ports[4096]: it is one item too many; allowed are up to 4096",
        ),
        (metrics(101), "limit | 5 | custom_metrics.m100: it is one metric too many; allowed are up to 100"),
        (nested(33), "depth | 5 | metrics: byte 85: found nesting over 32 levels; allowed are up to 32"),
        (sized(131_073), "size | - | report: the report has 131073 bytes; allowed are up to 131072"),
    ]);
}

#[test]
fn text_that_is_not_utf8() {
    assert_eq!(json_error(b"{\"header\":\"\xff\"}"), "utf8 | - | report: byte 11 is not UTF-8");
}

#[test]
fn malformed_cbor() {
    let head = "a2 63 686564 a2 63 726964 05 61 76 63 312e30 63 6d6574";
    let cases = [
        ("", "truncated | - | report: the report ends inside the item at byte 0"),
        ("00", "type | - | report: found `0`; allowed is an object"),
        ("f6", "type | - | report: found `null`; allowed is an object"),
        ("a1", "truncated | - | report: the report ends inside the item at byte 1"),
        ("bf", "truncated | - | report: the report ends inside the item at byte 1"),
        ("a1 01 02", "syntax | - | report: byte 1: found `1`; expected is a member's name as text"),
        ("1c", "syntax | - | report: byte 0: found 0x1c; expected is a value"),
        ("ff", "type | - | report: found a break; allowed is an object"),
        ("a1 61 ff 00", "utf8 | - | report: byte 2 is not UTF-8"),
        ("a1 7f 01 ff 00", "syntax | - | report: byte 2: found `1`; expected is a piece of text"),
        ("a1 61 78 5f 01 ff", "syntax | - | report: byte 4: found `1`; expected is a piece of bytes"),
        ("c0c0c0c0c0c0a0", "depth | - | report: byte 0: found tags over tags; allowed are up to 4"),
        ("bb ffffffffffffffff", "truncated | - | report: the report ends inside the item at byte 9"),
        ("a1 61 78 fc", "syntax | - | report: byte 3: found 0xfc; expected is a value"),
        ("a1 61 78 ff", "syntax | - | report: byte 3: found 0xff; expected is a value"),
        (
            "{head} a0 00",
            "trailing | 5 | report: byte 22: found 1 more bytes; allowed is nothing after the report",
        ),
        ("{head} 20", "type | 5 | metrics: found `-1`; allowed is an object"),
        (
            "{head} a1 62 6e73 a1 62 6269 20",
            "range | 5 | metrics.network_stats.bytes_in: found `-1`; allowed is a whole number from 0 to 18446744073709551615",
        ),
        (
            "{head} a1 62 6e73 a1 62 6269 f97e00",
            "range | 5 | metrics.network_stats.bytes_in: found `NaN`; allowed is a whole number from 0 to 18446744073709551615",
        ),
        (
            "{head} a1 62 6e73 a1 62 6269 61 78",
            r#"type | 5 | metrics.network_stats.bytes_in: found `"x"`; allowed is a whole number from 0 to 18446744073709551615"#,
        ),
        (
            "{head} a1 62 6e73 a1 62 6269 42 0102",
            "type | 5 | metrics.network_stats.bytes_in: found bytes; allowed is a whole number from 0 to 18446744073709551615",
        ),
        (
            "{head} a1 62 6e73 a1 62 6269 f5",
            "type | 5 | metrics.network_stats.bytes_in: found `true`; allowed is a whole number from 0 to 18446744073709551615",
        ),
        (
            "{head} a1 62 7470 a1 63 707473 81 a1 62 7074 1a 00011170",
            "range | 5 | metrics.listening_tcp_ports.ports[0].port: found `70000`; allowed is a whole number from 1 to 65535",
        ),
        (
            "{head} a1 62 7470 a1 63 707473 9a ffffffff",
            "truncated | 5 | metrics.listening_tcp_ports.ports: the report ends inside the item at byte 35",
        ),
    ];
    let wrong: Vec<String> = cases
        .into_iter()
        .map(|(digits, expected)| (digits.replace("{head}", head), expected))
        .map(|(digits, expected)| {
            (
                show(&decode_cbor(&hex(&digits), &mut ReportBuf::default()).expect_err(&digits)),
                digits,
                expected,
            )
        })
        .filter(|(found, _, expected)| found != expected)
        .map(|(found, digits, expected)| format!("{digits}\n  found    {found}\n  expected {expected}"))
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
