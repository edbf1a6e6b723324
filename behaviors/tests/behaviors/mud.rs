//! MUD files (written after the examples of RFC 8520, section 9) to profiles.

use behaviors::profile::{
    mud::{Addresses, Description, read},
    parse_files,
};
use serde_json::json;

const BULB: &str = include_str!("../../testdata/mud/lightbulb.json");
const TARGETS: &str = "arn:aws:iot:eu-central-1:123456789012:all/things";

fn addresses(named: &[(&str, &str)]) -> Addresses {
    let mut all = Addresses::new();
    for (name, network) in named {
        all.entry((*name).into()).or_default().push(network.parse().unwrap());
    }
    all
}

fn described(text: &str, named: &[(&str, &str)]) -> Description {
    let (description, problems) = read("m.json", text, &addresses(named));
    assert_eq!(problems, [], "{text}");
    description.unwrap()
}

#[test]
fn what_the_file_says_is_in_the_profile_and_what_it_cannot_say_is_named() {
    let known = [("cloud.example.com", "203.0.113.7/32"), ("local-networks", "10.0.0.0/8")];
    let bulb = described(BULB, &known);
    assert_eq!(bulb.profile_name(), "mud-bulb-7");
    let profile = bulb.profile("bulb", &[TARGETS.into()]);
    let criteria = |index: usize, key: &str| profile["behaviors"][index]["criteria"]["value"][key].clone();
    assert_eq!(criteria(0, "cidrs"), json!(["10.0.0.0/8", "198.51.100.0/24", "203.0.113.7"]));
    assert_eq!(criteria(1, "ports"), json!([8080]));
    assert_eq!(profile["behaviors"].as_array().unwrap().len(), 2);
    let (profiles, problems) = parse_files(&[("p.json".into(), profile.to_string())]);
    assert_eq!((profiles.len(), problems), (1, vec![]), "it is a profile");
    let at =
        |list: usize, entry: usize| format!("ietf-access-control-list:acls.acl[{list}].aces.ace[{entry}]");
    assert_eq!(
        bulb.left_out,
        [
            format!("{}: ports of peers are not reported by devices", at(1, 0)),
            format!("{}: peers of UDP are not reported by devices", at(1, 1)),
            format!("{}: ports of peers are not reported by devices", at(1, 1)),
            format!("{}: ports of peers are not reported by devices", at(0, 0)),
        ]
    );
}

#[test]
fn a_set_with_an_unknown_part_is_left_out_and_the_names_are_told() {
    let bulb = described(BULB, &[("local-networks", "10.0.0.0/8")]);
    assert_eq!((bulb.peers.clone(), bulb.tcp_ports.clone()), (None, Some([8080].into())));
    assert_eq!(bulb.unknown_names, ["cloud.example.com".to_owned()].into());
    assert!(
        bulb.left_out.iter().any(|line| line.contains("the addresses of `cloud.example.com` are not known"))
    );
    let names: Vec<_> = bulb.names.into_iter().collect();
    assert_eq!(names, ["cloud.example.com", "local-networks"]);
}

/// One entry of the to-device policy, and what it makes of the sets: peers, TCP ports, UDP ports.
#[test]
fn entries_to_sets() {
    let any = "none";
    let cases = [
        (r#"{"ipv4":{"source-ipv4-network":"192.0.2.0/24","protocol":6}}"#, "192.0.2.0/24", any, "-"),
        (
            r#"{"ipv6":{"source-ipv6-network":"2001:db8::1/128","protocol":6},"tcp":{"destination-port":{"port":22}}}"#,
            "2001:db8::1/128",
            "22",
            "-",
        ),
        (
            r#"{"ipv4":{"source-ipv4-network":"192.0.2.9/24","protocol":17},"udp":{"destination-port":{"operator":"eq","port":5683}}}"#,
            "-",
            "-",
            "5683",
        ),
        (r#"{"tcp":{"destination-port":{"lower-port":20,"upper-port":22}}}"#, any, "20 21 22", "-"),
        (r#"{"tcp":{"destination-port":{"operator":"gte","port":1024}}}"#, any, any, "-"),
        (r#"{"tcp":{"destination-port":{"lower-port":1,"upper-port":2000}}}"#, any, any, "-"),
        (
            r#"{"tcp":{"ietf-mud:direction-initiated":"from-device","destination-port":{"port":80}}}"#,
            any,
            "-",
            "-",
        ),
        (r#"{"icmp":{}}"#, "-", "-", "-"),
        ("{}", any, any, any),
    ];
    for (matches, peers, tcp, udp) in cases {
        let text =
            file(&format!(r#"{{"name":"e","matches":{matches},"actions":{{"forwarding":"accept"}}}}"#));
        let found = described(&text, &[]);
        let set = |items: Option<Vec<String>>| match items {
            None => any.to_owned(),
            Some(items) if items.is_empty() => "-".into(),
            Some(items) => items.join(" "),
        };
        let ports = |ports: &Option<std::collections::BTreeSet<u16>>| {
            set(ports.as_ref().map(|ports| ports.iter().map(ToString::to_string).collect()))
        };
        let networks = set(found.peers.as_ref().map(|all| all.iter().map(ToString::to_string).collect()));
        let seen = (networks, ports(&found.tcp_ports), ports(&found.udp_ports));
        assert_eq!(seen, (peers.to_owned(), tcp.to_owned(), udp.to_owned()), "{matches}");
    }
}

fn file(entry: &str) -> String {
    format!(
        r#"{{"ietf-mud:mud":{{"mud-version":1,"mud-url":"https://e.example/x","last-update":"2026-01-01T00:00:00Z","is-supported":true,
"to-device-policy":{{"access-lists":{{"access-list":[{{"name":"in"}}]}}}}}},
"ietf-access-control-list:acls":{{"acl":[{{"name":"in","type":"ipv4-acl-type","aces":{{"ace":[{entry}]}}}}]}}}}"#
    )
}

#[test]
fn mistakes_are_named_with_their_places() {
    let bad = |from: &str, to: &str| BULB.replacen(from, to, 1);
    let place = "ietf-access-control-list:acls.acl[0]";
    let cases = [
        ("{".to_owned(), "m.json:1:1: error: not JSON".to_owned()),
        ("[]".into(), "m.json:1:1: error: found a list; expected an object".into()),
        (
            bad("\"mud-version\": 1", "\"mud-version\": 2"),
            "m.json:3:20: error: ietf-mud:mud.mud-version: found `2`".into(),
        ),
        (
            bad("https://", "http://"),
            "m.json:4:16: error: ietf-mud:mud.mud-url: expected a URL that begins with `https://`".into(),
        ),
        (
            bad("\"cache-validity\": 48", "\"cache-validity\": 0"),
            "error: ietf-mud:mud.cache-validity: found `0`; allowed are whole numbers from 1 to 168".into(),
        ),
        (
            bad("\"name\": \"bulb-v4-from\" }", "\"name\": \"bulb\" }"),
            "no access list is named `bulb`".into(),
        ),
        (
            bad("\"forwarding\": \"accept\"", "\"forwarding\": \"acept\""),
            format!("{place}.aces.ace[0].actions.forwarding: found `acept`; did you mean `accept`?"),
        ),
        (
            bad("\"port\": 443", "\"port\": 70000"),
            format!("{place}.aces.ace[0].matches.tcp.source-port.port: found `70000`"),
        ),
        (
            bad("\"operator\": \"eq\"", "\"operator\": \"equals\""),
            format!("{place}.aces.ace[0].matches.tcp.source-port.operator: found `equals`"),
        ),
        (bad("\"protocol\": 6", "\"protocoll\": 6"), "did you mean `protocol`?".into()),
        (bad("192.0.2.123/32", "192.0.2.123/33"), "found `192.0.2.123/33`; expected a network".into()),
        (bad("\"is-supported\": true,", ""), "ietf-mud:mud.is-supported: is missing".into()),
    ];
    for (text, wanted) in cases {
        let (description, problems) = read("m.json", &text, &Addresses::new());
        let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(all.iter().any(|line| line.contains(&wanted)), "{wanted}: {all:?}");
        assert_eq!(description, None, "{wanted}");
    }
}

#[test]
fn extensions_are_warned_of_and_unused_lists_too() {
    let text = BULB.replacen("\"systeminfo\"", "\"ietf-mud-quic:extra\": {}, \"systeminfo\"", 1);
    let (description, problems) = read("m.json", &text, &Addresses::new());
    assert!(description.is_some());
    assert_eq!(problems[0].message, "the extension `ietf-mud-quic:extra` is not read");
    let text = BULB.replacen("\"to-device-policy\"", "\"x:unused\"", 1);
    let (_, problems) = read("m.json", &text, &Addresses::new());
    assert!(
        problems
            .iter()
            .any(|p| p.message == "the access list `bulb-v4-to` belongs to no policy and is not used")
    );
}
