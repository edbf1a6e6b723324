//! For every evaluator evidence that meets its practice and evidence that does not, and for every practice
//! an evaluator or a reason why only a person can answer.

use std::collections::BTreeMap;

use audits::lens::{
    asked,
    evaluate::{evaluate, evaluators},
    evidence::Evidence,
    practice::{How, PRACTICES},
    review::Verdict,
};
use serde_json::{Value, json};

/// Checks that ran, each with so many findings.
fn ran(checks: &[(&str, u64)]) -> Value {
    let checks: BTreeMap<&str, Value> =
        checks.iter().map(|&(name, findings)| (name, json!({"ran": true, "findings": findings}))).collect();
    json!({ "audit": { "checks": checks } })
}

fn part(part: u64, of: u64) -> Value {
    json!({"part": part, "of": of})
}

fn both(a: Value, b: Value) -> Value {
    let evidence = |value: Value| Evidence::from_json(&value.to_string()).unwrap();
    evidence(a).with(&evidence(b)).unwrap().to_json()
}

fn configured(members: Value) -> Value {
    json!({ "configuration": members })
}

fn stream(members: Value) -> Value {
    json!({ "stream": members })
}

/// A registry of ten things, so many of which have an attribute.
fn attributed(name: &str, things: u64) -> Value {
    json!({"registry": {"things": 10, "attributes": {name: {"things": things, "values": 1}}}})
}

/// Id, evidence that meets it, evidence that does not. The second differs from the first in one figure,
/// at its edge where it has one.
fn cases() -> Vec<(&'static str, Value, Value)> {
    let mut cases = security();
    cases.extend(reliability());
    cases.extend(performance());
    cases.extend(cost());
    cases.extend(operations());
    cases
}

fn security() -> Vec<(&'static str, Value, Value)> {
    let principals = |own| stream(json!({"unsharedPrincipals": part(own, 9), "withPrincipal": part(9, 9)}));
    let users = |closed| {
        both(ran(&[("BROKER_ANONYMOUS_ACCESS_CHECK", 0)]), configured(json!({"endpointClosed": closed})))
    };
    let errors = |findings| {
        let own = json!({"facts": ["auth-failures"], "metrics": ["aws:num-authorization-failures"]});
        both(ran(&[("LOGGING_DISABLED_CHECK", findings)]), configured(own))
    };
    let alerts =
        |secs| configured(json!({"targets": ["all/things"], "alertSinks": 1, "auditEverySecs": secs}));
    let acting = |acting| configured(json!({"auditEverySecs": 86_400, "groupRules": 1, "acting": acting}));
    let incident =
        |proven| json!({"configuration": {"groupActions": 1}, "running": {"provenMitigations": proven}});
    let encrypted = |at_rest| {
        let checks = ran(&[("BROKER_LISTENER_WITHOUT_TLS_CHECK", 0), ("BROKER_TLS_VERSION_CHECK", 0)]);
        both(checks, configured(json!({"encryptedAtRest": at_rest})))
    };
    let expiring = |findings| {
        ran(&[
            ("DEVICE_CERTIFICATE_EXPIRING_CHECK", findings),
            ("REVOKED_DEVICE_CERTIFICATE_STILL_ACTIVE_CHECK", 0),
        ])
    };
    let permissive = |findings| ran(&[("ACL_OTHER_DEVICES_CHECK", findings), ("ACL_ROOT_WILDCARD_CHECK", 0)]);
    let shared = ran(&[("DEVICE_CERTIFICATE_SHARED_CHECK", 0)]);
    let boot = |things| {
        let both = json!({"secure_boot": {"things": 10}, "diskEncryption": {"things": things}});
        json!({"registry": {"things": 10, "attributes": both}})
    };
    let negative = json!({"registry": {"things": 10, "attributes": {"TPM": {"things": 10, "negative": 1}}}});
    vec![
        ("1.1", both(shared.clone(), principals(9)), both(shared, principals(8))),
        ("1.2", permissive(0), permissive(1)),
        ("2.1", attributed("secure-element", 10), attributed("secure-element", 9)),
        ("2.2", attributed("tpm", 10), negative),
        ("2.3", boot(10), boot(9)),
        ("3.1", users(true), users(false)),
        ("3.2", ran(&[("ACL_ROOT_WILDCARD_CHECK", 0)]), ran(&[("ACL_ROOT_WILDCARD_CHECK", 2)])),
        ("4.1", errors(0), errors(1)),
        ("4.2", alerts(86_400), alerts(86_401)),
        ("4.3", acting(true), acting(false)),
        ("5.1", incident(1), incident(0)),
        ("6.1", expiring(0), expiring(3)),
        ("7.1", encrypted(true), encrypted(false)),
    ]
}

fn reliability() -> Vec<(&'static str, Value, Value)> {
    let letters = |n| both(ran(&[("LOGGING_DISABLED_CHECK", 0)]), json!({"running": {"deadLetters": n}}));
    let room = |n| json!({"running": {"lostValues": 0}, "stream": {"untrackedEvents": n}});
    let stored =
        |findings| both(ran(&[("BROKER_PERSISTENCE_CHECK", findings)]), configured(json!({"journal": true})));
    let second = |days| configured(json!({"historyDays": 30, "lakeDays": days}));
    let back_off =
        |jittered| stream(json!({"patientReconnects": part(95, 100), "jitteredThings": part(jittered, 10)}));
    let targeted =
        |narrow| stream(json!({"narrowSubscribers": part(narrow, 10), "scopedDeliveries": part(9, 10)}));
    let updates = |jobs| both(attributed("firmwareVersion", 9), stream(json!({"jobThings": jobs})));
    let remote = |shadows| stream(json!({"shadowThings": shadows, "jobThings": 0}));
    vec![
        ("8.1", letters(0), letters(1)),
        ("9.1", room(0), room(1)),
        ("10.1", stored(0), stored(1)),
        ("10.2", second(1), second(0)),
        ("11.1", stream(json!({"shadowThings": 1})), stream(json!({"shadowThings": 0}))),
        (
            "11.3",
            stream(json!({"messagesPerThingHour": 3599})),
            stream(json!({"messagesPerThingHour": 3600})),
        ),
        ("11.4", back_off(9), back_off(8)),
        (
            "12.1",
            stream(json!({"rightClocks": part(99, 100)})),
            stream(json!({"rightClocks": part(98, 100)})),
        ),
        ("13.1", targeted(10), targeted(9)),
        ("14.1", updates(1), updates(0)),
        ("14.3", json!({"registry": {"groups": 2}}), json!({"registry": {"groups": 1}})),
        ("14.4", remote(1), remote(0)),
    ]
}

fn performance() -> Vec<(&'static str, Value, Value)> {
    let runtime = |metric: &str| configured(json!({"metrics": [metric], "historyDays": 1}));
    let measured = |days| both(attributed("fw", 9), configured(json!({"historyDays": days})));
    let few =
        |narrow| stream(json!({"scopedDeliveries": part(9, 10), "narrowSubscribers": part(narrow, 10)}));
    let quotas = |findings| {
        both(
            ran(&[("BROKER_LIMITS_CHECK", findings)]),
            configured(json!({"metrics": ["aws:num-messages-sent"]})),
        )
    };
    let fresh = |judgement: &str| json!({"configuration": {"metrics": [], "judgements": [judgement]}, "stream": {"messagesSent": 1}});
    let optimized = |no| stream(json!({"messagesPerThingHour": 10, "unbatchableThings": part(no, 10)}));
    vec![
        ("16.1", runtime("aws:num-disconnects"), runtime("aws:num-messages-sent")),
        (
            "16.2",
            stream(json!({"timestampedMessages": part(99, 100)})),
            stream(json!({"timestampedMessages": part(98, 100)})),
        ),
        (
            "17.1",
            stream(json!({"reportingThings": part(9, 10)})),
            stream(json!({"reportingThings": part(8, 10)})),
        ),
        ("17.2", measured(1), measured(0)),
        ("17.3", few(10), few(9)),
        ("18.1", quotas(0), quotas(1)),
        ("19.2", fresh("silence"), fresh("baseline")),
        ("19.3", optimized(9), optimized(8)),
    ]
}

fn cost() -> Vec<(&'static str, Value, Value)> {
    let lake = |worker| json!({"configuration": {"lakeDays": 365, "lakeEvents": true}, "running": {"writesParquet": worker}});
    let kept = |history| configured(json!({"historyDays": history, "lakeDays": 1}));
    let obeyed = |oldest| json!({"configuration": {"historyDays": 30, "lakeDays": 365}, "running": {"oldestValueDays": oldest}});
    let lean = |bytes| stream(json!({"payloadBytesP95": bytes}));
    let shadow = |rate| stream(json!({"shadowUpdatesPerThingHour": rate}));
    let archived = |events| configured(json!({"lakeEvents": events}));
    let batched = |no| stream(json!({"unbatchableThings": part(no, 10)}));
    vec![
        ("20.1", lake(true), lake(false)),
        ("20.2", kept(1), kept(0)),
        (
            "20.4",
            stream(json!({"messagesPerThingHour": 3599})),
            stream(json!({"messagesPerThingHour": 3600})),
        ),
        ("21.2", lean(5120), lean(5121)),
        ("21.3", shadow(59), shadow(60)),
        ("21.4", attributed("Cost Center", 9), attributed("Cost Center", 8)),
        ("21.5", batched(9), batched(8)),
        ("22.1", obeyed(32), obeyed(33)),
        ("22.3", archived(true), archived(false)),
    ]
}

fn operations() -> Vec<(&'static str, Value, Value)> {
    let responses = |sinks| {
        let own =
            json!({"alertSinks": sinks, "auditEverySecs": 3600, "metrics": ["fleetward:connection-errors"]});
        both(ran(&[("LOGGING_DISABLED_CHECK", 0)]), configured(own))
    };
    let listed = |list| configured(json!({"allowList": list, "groupRules": 1, "acting": true}));
    let planned = |grouped| both(attributed("thingType", 9), json!({"registry": {"grouped": grouped}}));
    let groups = |dynamic| json!({"registry": {"groups": 1, "dynamicGroups": dynamic}});
    let search = |index| json!({"registry": {"searchIndex": index}});
    let lifecycle = |unknown| {
        let ends = json!({"clean": 9, "unknown": unknown});
        both(configured(json!({"facts": ["sessions"]})), stream(json!({ "disconnects": ends })))
    };
    let status = |wills| {
        let own = configured(json!({"metrics": ["aws:disconnect-duration"], "judgements": []}));
        both(own, stream(json!({"periodicThings": part(9, 10), "lastWillSessions": part(wills, 10)})))
    };
    let odd = |targets: &[&str]| {
        configured(
            json!({"targets": targets, "entities": [], "judgements": [], "groupRules": 1, "acting": true}),
        )
    };
    let patterns = |metric: &str| configured(json!({ "metrics": [metric] }));
    vec![
        ("23.1", responses(1), responses(0)),
        ("25.1", attributed("model", 9), attributed("model", 8)),
        ("25.4", listed(true), listed(false)),
        ("26.1", planned(9), planned(8)),
        ("26.2", groups(1), groups(0)),
        ("26.3", search(true), search(false)),
        ("27.1", lifecycle(1), lifecycle(2)),
        ("27.2", status(9), status(8)),
        ("27.3", patterns("fleetward:flaps"), patterns("aws:num-messages-sent")),
        ("28.1", odd(&["thinggroup/pumps"]), odd(&["all/things"])),
    ]
}

#[test]
fn every_evaluator_has_evidence_that_meets_and_evidence_that_does_not() {
    let cases = cases();
    let covered: Vec<&str> = cases.iter().map(|(id, ..)| *id).collect();
    assert_eq!(covered, evaluators().map(|(id, _)| id).collect::<Vec<_>>());
    for (id, met, not_met) in cases {
        for (json, expected) in [(met, Verdict::Met), (not_met, Verdict::NotMet)] {
            let evidence = Evidence::from_json(&json.to_string()).unwrap();
            let judgement = evaluate(id, &evidence).unwrap();
            assert_eq!(judgement.verdict, expected, "{id}: {json}: {:#?}", judgement.figures);
        }
        let nothing = evaluate(id, &Evidence::default()).unwrap();
        assert!(nothing.verdict == Verdict::Unanswered && !nothing.is_known(), "{id}");
        assert!(nothing.figures.iter().all(|figure| figure.place.is_none()), "{id}");
    }
}

#[test]
fn every_figure_that_wants_something_says_where_the_threshold_is_from() {
    for (id, _) in evaluators() {
        for figure in evaluate(id, &Evidence::default()).unwrap().figures {
            assert_eq!(figure.wanted.is_empty(), figure.basis.is_empty(), "{id}: {figure:?}");
        }
    }
}

/// Walks the table, which a test beside it compares with the sheet row by row.
#[test]
fn every_practice_has_an_evaluator_or_a_reason_why_only_a_person_can_answer() {
    for practice in PRACTICES {
        let evaluated = evaluators().filter(|(id, _)| *id == practice.id).count();
        let asked = asked::ASKED.iter().filter(|(id, _)| *id == practice.id).count();
        assert_eq!(evaluated + asked, 1, "{}", practice.id);
        assert!(practice.how != How::Auto || evaluated == 1, "{}: evidence must decide it", practice.id);
    }
    let order = |id: &str| PRACTICES.iter().position(|practice| practice.id == id).unwrap();
    assert!(evaluators().map(|(id, _)| order(id)).is_sorted());
    assert!(asked::ASKED.iter().map(|(id, _)| order(id)).is_sorted());
}

/// The same, from the sheet itself where it lies beside the data sets.
#[test]
fn every_practice_of_the_sheet_is_judged_or_asked() {
    let Some(folder) = option_env!("FLEETWARD_DATASETS") else { return };
    let Ok(sheet) = std::fs::read_to_string(std::path::Path::new(folder).join("../spec/iot-lens.md")) else {
        return;
    };
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let rows = sheet.lines().filter(|line| line.starts_with("| ")).map(cells).skip(1);
    let mut walked = 0;
    for row in rows {
        let id = &row[1];
        walked += 1;
        let judged = evaluate(id, &Evidence::default()).is_some();
        assert!(judged || asked::why(id).is_some(), "{id} has neither an evaluator nor a reason");
    }
    assert_eq!(walked, 71);
}

#[test]
fn that_nobody_reports_is_known_only_where_a_source_would_tell() {
    let stream = stream(json!({"reportingThings": part(0, 10)}));
    for (facts, expected) in [(json!([]), Verdict::Unanswered), (json!(["reports"]), Verdict::NotMet)] {
        let evidence = both(stream.clone(), configured(json!({ "facts": facts })));
        let evidence = Evidence::from_json(&evidence.to_string()).unwrap();
        assert_eq!(evaluate("17.1", &evidence).unwrap().verdict, expected);
    }
}

#[test]
fn a_figure_names_its_place_and_a_finding_the_place_of_the_finding() {
    let evidence = json!({
        "audit": {"place": "audit.json", "checks": {
            "LOGGING_DISABLED_CHECK": {"ran": true, "findings": 2, "suppressed": 1, "places": ["mosquitto.conf:7"]}}},
        "configuration": {"place": "fleetward.toml", "alertSinks": 0}});
    let judgement = evaluate("23.1", &Evidence::from_json(&evidence.to_string()).unwrap()).unwrap();
    let shown: Vec<_> =
        judgement.figures.iter().map(|figure| (figure.found.as_deref(), figure.place.as_deref())).collect();
    let expected = [
        (Some("2 findings of LOGGING_DISABLED_CHECK (1 more suppressed)"), Some("mosquitto.conf:7")),
        (Some("0"), Some("fleetward.toml")),
        (None, None),
        (None, None),
    ];
    assert_eq!(shown, expected);
}
