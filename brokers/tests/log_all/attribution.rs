//! To whom refused logins are charged before 2.1, where the line names nobody.

use brokers::mosquitto::log::{LogDecoder, gap_line};
use detector::input::Decoder as _;
use fleet::time::Timestamp;

use super::support::{SOURCE, text};

/// Runs a script: `T LINE` at second `T` by both clocks, `T tick` for time passing alone, `T gap`
/// for lost lines. Short words stand for whole lines. Compares with the events, `T EVENT`.
fn check(script: &str, expected: &str) {
    let mut decoder = LogDecoder::new();
    let mut found = Vec::new();
    let steps =
        std::iter::once("0 start").chain(script.lines().map(str::trim).filter(|step| !step.is_empty()));
    for step in steps {
        let (secs, step) = step.split_once(' ').unwrap();
        let now = Timestamp::from_secs(secs.parse().unwrap());
        let mut sink = |event: &fleet::event::Event<'_>| {
            let event = format!("{} {}", event.at.secs(), text(&event.kind));
            if !event.contains(" broker-") && !event.contains(" connect ") {
                found.push(event);
            }
        };
        match step {
            "tick" => decoder.tick(now, &mut sink),
            "gap" => {
                decoder.decode(SOURCE, now, "", gap_line(), &mut sink);
            }
            step => {
                let line = format!("{secs}: {}", expand(step));
                decoder.decode(SOURCE, now, "", line.as_bytes(), &mut sink);
            }
        }
    }
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(found, expected, "{script}");
}

fn expand(step: &str) -> String {
    let mut words = step.split(' ');
    match (words.next().unwrap(), words.next().unwrap_or_default()) {
        ("start", _) => "mosquitto version 2.0.11 starting".to_owned(),
        ("open", peer) => format!("New connection from {peer} on port 1883."),
        ("login", peer) => format!("New client connected from {peer} as c (p2, c1, k60)."),
        ("refused", "") => "Client <unknown> disconnected, not authorised.".to_owned(),
        ("closed", "") => "Client <unknown> closed its connection.".to_owned(),
        ("connack", to) => format!("Sending CONNACK to {to} (0, 5)"),
        _ => step.to_owned(),
    }
}

#[test]
fn one_connection_is_charged_at_once() {
    check("1 open 10.0.0.1:5\n1 refused", "1 auth-failure ip=10.0.0.1 address claimed=-");
}

#[test]
fn a_group_is_charged_when_all_its_connections_are_accounted_for() {
    check(
        "1 open 10.0.0.1:5
         1 open 10.0.0.2:5
         1 open 10.0.0.3:5
         2 refused
         3 login 10.0.0.2:5
         4 refused",
        "2 auth-failure ip=10.0.0.1 address claimed=-
         4 auth-failure ip=10.0.0.3 address claimed=-",
    );
}

#[test]
fn a_group_that_ended_in_different_ways_is_ambiguous() {
    check(
        "1 open 10.0.0.1:5
         1 open 10.0.0.2:5
         2 refused
         2 closed",
        "2 auth-failure ip=10.0.0.1 ambiguous claimed=-
         2 connection-error NoConnect ip=?",
    );
}

#[test]
fn a_group_of_one_address_is_sure_of_it_whatever_happened() {
    check(
        "1 open 10.0.0.1:5
         1 open 10.0.0.1:6
         2 refused
         2 closed",
        "2 auth-failure ip=10.0.0.1 address claimed=-
         2 connection-error NoConnect ip=10.0.0.1",
    );
}

#[test]
fn a_silent_connection_makes_the_others_ambiguous_until_it_is_gone() {
    let script = "1 open 10.0.0.66:5
         2 open 10.0.0.1:5
         3 refused
         13 open 10.0.0.1:6
         14 open 10.0.0.1:7";
    check(&format!("{script}\n14 tick"), "3 auth-failure ip=10.0.0.66 ambiguous claimed=-");
    check(
        &format!("{script}\n15 closed\n15 closed\n15 login 10.0.0.66:5"),
        "3 auth-failure ip=10.0.0.66 ambiguous claimed=-
         15 connection-error NoConnect ip=10.0.0.1
         15 connection-error NoConnect ip=10.0.0.1",
    );
    // One of two is still there, and nobody knows which: more failures wait, then stay ambiguous.
    check(
        &format!("{script}\n15 refused\n15 refused\n15 refused"),
        "3 auth-failure ip=10.0.0.66 ambiguous claimed=-
         15 auth-failure ip=10.0.0.66 ambiguous claimed=-
         15 auth-failure ip=10.0.0.1 ambiguous claimed=-
         15 auth-failure ip=10.0.0.1 ambiguous claimed=-",
    );
}

#[test]
fn a_failure_waits_ten_seconds_by_either_clock() {
    let waits = "1 open 10.0.0.1:5\n1 open 10.0.0.2:5\n2 refused";
    let spread = "2 auth-failure ip=10.0.0.1 ambiguous claimed=-";
    check(&format!("{waits}\n11 tick"), "");
    check(&format!("{waits}\n12 tick"), spread);
    check(&format!("{waits}\n12 open 10.0.0.3:5"), "");
    check(&format!("{waits}\n13 open 10.0.0.3:5"), spread);
    check(&format!("{waits}\n2 gap"), spread);
    check(&format!("{waits}\n2 start"), spread);
}

#[test]
fn an_old_silent_connection_is_forgotten() {
    check(
        "1 open 10.0.0.66:5
         122 open 10.0.0.1:5
         122 refused",
        "122 auth-failure ip=10.0.0.1 address claimed=-",
    );
    check(
        "1 open 10.0.0.66:5
         121 open 10.0.0.1:5
         121 refused
         133 tick",
        "121 auth-failure ip=10.0.0.66 ambiguous claimed=-",
    );
}

#[test]
fn a_failure_without_any_connection_has_no_address() {
    check("1 refused", "1 auth-failure ip=? ambiguous claimed=-");
    check("1 open 10.0.0.1:5\n1 login 10.0.0.1:5\n2 refused", "2 auth-failure ip=? ambiguous claimed=-");
}

#[test]
fn a_debug_line_names_the_address() {
    check(
        "1 open 10.0.0.1:5
         1 open 10.0.0.2:5
         1 connack 10.0.0.2
         1 refused
         2 open 10.0.0.3:5
         2 connack 10.0.0.3
         2 refused",
        "1 auth-failure ip=10.0.0.2 address claimed=-
         2 auth-failure ip=10.0.0.3 address claimed=-",
    );
}

#[test]
fn a_debug_line_that_fits_no_connection_or_is_not_next_proves_nothing() {
    let expected = "1 auth-failure ip=10.0.0.1 ambiguous claimed=-";
    let open = "1 open 10.0.0.1:5\n1 open 10.0.0.2:5";
    check(&format!("{open}\n1 connack 10.9.9.9\n1 refused\n11 tick"), expected);
    check(&format!("{open}\n1 connack 10.0.0.2\n1 Reloading config.\n1 refused\n11 tick"), expected);
    // An id that looks like an address: the broker had taken it over.
    let unsupported = "1 Sending CONNACK to 10.0.0.2 (0, 140)\n1 refused\n11 tick";
    check(&format!("{open}\n{unsupported}"), expected);
}

#[test]
fn more_connections_than_are_kept_make_groups_ambiguous() {
    let many: String =
        (0..257).map(|port| format!("1 open 10.0.{}.{}:5\n", port / 200, port % 200)).collect();
    let refused = "2 refused\n".repeat(256);
    let mut decoder_input = format!("{many}{refused}");
    let mut expected: String = (1..257)
        .map(|port| format!("2 auth-failure ip=10.0.{}.{} ambiguous claimed=-\n", port / 200, port % 200))
        .collect();
    check(&decoder_input, &expected);
    decoder_input.push_str("3 open 10.0.9.9:1\n3 refused\n121 open 10.0.9.9:1\n121 refused");
    expected.push_str(
        "3 auth-failure ip=10.0.9.9 ambiguous claimed=-\n121 auth-failure ip=10.0.9.9 address claimed=-\n",
    );
    check(&decoder_input, &expected);
}

/// Clients of a websockets listener are not announced before 2.1, and end like a connection
/// without CONNECT: what such an end may have accounted for wrongly stays in doubt for a while.
#[test]
fn an_end_that_may_be_of_a_websockets_client_leaves_doubt() {
    let websockets = "0 Opening websockets listen socket on port 9001.";
    check(
        &format!("{websockets}\n1 open 10.0.0.1:5\n1 refused"),
        "1 auth-failure ip=10.0.0.1 address claimed=-",
    );
    check(
        &format!(
            "{websockets}\n1 open 10.0.0.66:5\n1 closed\n2 open 10.0.0.1:5\n2 refused\n122 open 10.0.0.1:6\n122 refused"
        ),
        "1 connection-error NoConnect ip=?
         2 auth-failure ip=10.0.0.1 ambiguous claimed=-
         122 auth-failure ip=10.0.0.1 address claimed=-",
    );
}
