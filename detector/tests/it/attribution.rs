//! Promise 9: to whom a failed login is charged.

use fleet::registry::Registry;

use crate::support::{check, engine, fold, rules, text};

const BY_THING: &str = "thing: num-authorization-failures less-than 2 in 300";
const BY_ADDRESS: &str = "address: num-authorization-failures less-than 2 in 300 by address";

#[test]
fn a_claimed_id_is_never_charged() {
    // The owner of the id is connected, from elsewhere.
    check(
        &[BY_THING, BY_ADDRESS],
        "1 connect victim 10.0.0.1\n2 fail 10.0.0.66 victim\n3 fail 10.0.0.66 victim\n4 fail 10.0.0.66 victim",
        "3 alarm 10.0.0.66 address {\"count\":2} certain",
    );
    // Nobody is connected, and nobody known has that id.
    check(&[BY_THING], "1 fail 10.0.0.66 ghost\n2 fail 10.0.0.66 ghost\n3 fail 10.0.0.66 ghost", "");
    // Nor does a claimed id without an address count.
    check(&[BY_THING, BY_ADDRESS], "1 connect a 10.0.0.1\n2 fail - a\n3 fail - a", "");
}

#[test]
fn the_only_thing_behind_an_address_is_charged_by_address() {
    check(
        &[BY_THING],
        "1 connect a 10.0.0.1\n2 fail 10.0.0.1 b\n3 fail 10.0.0.1 c",
        "3 alarm a thing {\"count\":2} address",
    );
    check(
        &[BY_THING],
        "1 connect a 10.0.0.1\n2 disconnect a\n3600 fail 10.0.0.1 b\n3601 fail 10.0.0.1 b",
        "3601 alarm a thing {\"count\":2} address",
    );
    check(
        &[BY_THING],
        "1 connect a 10.0.0.1\n2 disconnect a\n3602 fail 10.0.0.1 b\n3603 fail 10.0.0.1 b\n3604 fail 10.0.0.1 b",
        "",
    );
}

#[test]
fn one_of_several_behind_an_address_is_not_charged() {
    check(
        &[BY_THING, BY_ADDRESS],
        "1 connect a 10.0.0.1\n2 connect b 10.0.0.1\n3 fail 10.0.0.1 a\n4 fail 10.0.0.1 a",
        "4 alarm 10.0.0.1 address {\"count\":2} certain",
    );
    check(
        &[BY_THING],
        "1 connect a 10.0.0.1\n2 connect b 10.0.0.1\n3 disconnect b\n4 fail 10.0.0.1 a\n5 fail 10.0.0.1 a",
        "",
    );
}

#[test]
fn what_is_ambiguous_marks_the_address_and_nobody_else() {
    check(
        &[BY_THING, BY_ADDRESS],
        "1 connect a 10.0.0.1\n2 fail 10.0.0.1 a ambiguous\n3 fail 10.0.0.1 a ambiguous",
        "3 alarm 10.0.0.1 address {\"count\":2} ambiguous",
    );
    check(
        &[BY_ADDRESS],
        "2 fail 10.0.0.1 a certain\n3 fail 10.0.0.1 a ambiguous",
        "3 alarm 10.0.0.1 address {\"count\":2} ambiguous",
    );
}

#[test]
fn a_thing_that_moved_leaves_its_old_address() {
    check(
        &[BY_THING],
        "1 connect a 10.0.0.1\n2 connect a 10.0.0.2\n3700 fail 10.0.0.1 x\n3701 fail 10.0.0.1 x\n3702 fail 10.0.0.1 x",
        "",
    );
    check(
        &[BY_THING],
        "1 connect a 10.0.0.1\n10 restart\n3700 fail 10.0.0.1 x\n3701 fail 10.0.0.1 x\n3702 fail 10.0.0.1 x",
        "",
    );
}

#[test]
fn denials_of_a_session_are_certain() {
    check(&[BY_THING], "1 deny a\n2 deny a", "2 alarm a thing {\"count\":2} certain");
    check(
        &[BY_THING],
        "1 connect a 10.0.0.1\n2 deny a\n3 fail 10.0.0.1 x",
        "3 alarm a thing {\"count\":2} address",
    );
}

#[test]
fn an_address_that_falls_silent_is_cleared() {
    check(
        &[BY_ADDRESS],
        "1 fail 10.0.0.1 a\n2 fail 10.0.0.1 a\n302 tick\n602 tick\n902 tick",
        "2 alarm 10.0.0.1 address {\"count\":2} certain
         600 clear 10.0.0.1 address {\"count\":0} certain",
    );
}

#[test]
fn connects_count_for_the_address_too() {
    check(
        &["tries: num-connection-attempts less-than 3 in 300 by address"],
        "1 connect a 10.0.0.1\n2 connect b 10.0.0.1\n3 fail 10.0.0.1 c",
        "3 alarm 10.0.0.1 tries {\"count\":3} certain",
    );
}

#[test]
fn what_nobody_can_be_charged_with_is_counted() {
    let mut engine = engine(&rules(&[BY_THING]), &Registry::default(), 1);
    let transitions =
        fold(&mut engine, "1 fail - a\n2 fail 10.0.0.1 a\n3 connect a 10.0.0.1\n4 fail 10.0.0.1 a");
    assert_eq!(text(&transitions), "");
    let counts = engine.counts().front;
    assert_eq!((counts.unattributed, counts.ambiguous), (1, 1));
}
