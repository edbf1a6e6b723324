//! Every rule of the configuration, with its message.

use std::path::Path;

use super::*;

fn problems(text: &str) -> Vec<String> {
    let environment = |name: &str| (name == "SET").then(|| "secret".to_owned());
    let loaded = from_text("f.toml", text, Path::new("/nonexistent"), &environment);
    let errors = loaded.problems.iter().filter(|p| p.severity == Severity::Error);
    let errors: Vec<String> = errors.map(|p| p.to_string().replace("f.toml:", "")).collect();
    assert_eq!(loaded.settings.is_some(), errors.is_empty());
    errors
}

const SOURCE: &str = "[[source.mqtt]]\nname = \"a\"\nhost = \"localhost\"\n";
const LOG: &str = "[[source.mosquitto_log]]\nname = \"l\"\npath = \"x\"\n";

#[test]
fn each_rule_names_place_value_and_what_is_allowed() {
    let cases: &[(&str, String, &str)] = &[
        (
            "",
            "[data]\nstore = \"rocks\"\n".into(),
            "2:9: error: data.store: found `rocks`; allowed are `redb`, `sled`",
        ),
        (
            "",
            "[data]\nstore = \"sledd\"\n".into(),
            "2:9: error: data.store: found `sledd`; allowed are `redb`, `sled`; did you mean `sled`?",
        ),
        (
            "",
            "[detect]\nbucket_secs = 0\n".into(),
            "2:15: error: detect.bucket_secs: found 0; allowed are 1 to 3600",
        ),
        (
            "",
            "[detect]\nlateness_ms = 60001\n".into(),
            "2:15: error: detect.lateness_ms: found 60001; allowed are 0 to 60000",
        ),
        (
            "",
            "[journal]\nsegment_mib = 0\n".into(),
            "2:15: error: journal.segment_mib: found 0; allowed are 1 to 4096",
        ),
        ("", "[history]\ndays = 0\n".into(), "2:8: error: history.days: found 0; allowed are 1 to 3650"),
        (
            "",
            "[history]\nanalyst_mib = 63\n".into(),
            "2:15: error: history.analyst_mib: found 63; allowed are 64 to 1048576",
        ),
        (
            "",
            "[files]\nprofiles = \"p\"\n".into(),
            "2:12: error: files.profiles: `/nonexistent/p` is not a folder",
        ),
        (
            "",
            "[response]\nacting = true\n".into(),
            "2:10: error: response.acting: acting is on, but no broker to act on is configured; add `[control.mosquitto]`",
        ),
        (
            "",
            "[[response.rules]]\naction = \"q\"\n".into(),
            "1:1: error: response.rules: there are rules, but no folder of actions; set `files.actions`",
        ),
        (
            "",
            "[[response.rules]]\naction = \"q\"\nattribution_min = \"ambiguous\"\n".into(),
            "3:19: error: unknown variant `ambiguous`, expected `address` or `certain`",
        ),
        (
            "",
            "[response.limits]\nthings_max = 0\n".into(),
            "2:14: error: invalid value: integer `0`, expected a nonzero u32",
        ),
        (
            SOURCE,
            "tls = { enabled = false }\nport = 0\n".into(),
            "5:8: error: source.mqtt `a`: port: found 0; allowed are 1 to 65535",
        ),
        (
            SOURCE,
            "protocol = \"4\"\n".into(),
            "4:12: error: source.mqtt `a`: protocol: found `4`; allowed are `5`, `3.1.1`; did you mean `5`?",
        ),
        (
            SOURCE,
            "report_prefix = \"x\"\n".into(),
            "4:17: error: source.mqtt `a`: report_prefix: found `x`; allowed: topic levels without `+` and `#`, ending with `/`",
        ),
        (
            SOURCE,
            "shared_group = \"a/b\"\n".into(),
            "4:16: error: source.mqtt `a`: shared_group: found `a/b`; allowed: a name without `+`, `#` and `/`",
        ),
        (
            SOURCE,
            "reports = false\n".into(),
            "2:8: error: source.mqtt `a`: reports: found `false`; allowed: at least one of reports, mosquitto_log and lifecycle",
        ),
        (
            SOURCE,
            "password = { env = \"SET\" }\n".into(),
            "4:12: error: source.mqtt `a`: a password is given, but no `username`",
        ),
        (
            SOURCE,
            "username = \"u\"\npassword = { env = \"UNSET\" }\n".into(),
            "5:12: error: source.mqtt `a`: password: the environment variable `UNSET` is not set",
        ),
        (
            SOURCE,
            "username = \"u\"\npassword = { file = \"pw\" }\n".into(),
            "5:12: error: source.mqtt `a`: password: the file `pw` cannot be read: No such file or directory (os error 2)",
        ),
        (SOURCE, format!("{SOURCE}client_id = \"b\"\n"), "5:8: error: source: the name `a` is used twice"),
        (
            SOURCE,
            "client_id = \"\"\n".into(),
            "4:13: error: source.mqtt `a`: client_id: found ``; allowed: 1 to 128 bytes without control characters, `+` and `#`",
        ),
        (
            SOURCE,
            "tls = { ca_file = \"ca\" }\n".into(),
            "4:19: error: source.mqtt `a`: tls.ca_file: `/nonexistent/ca` cannot be read: No such file or directory (os error 2)",
        ),
        (
            "",
            "[[source.mqtt]]\nname = \"a\"\nhost = \"example.com\"\ntls = { enabled = false }\n".into(),
            "4:19: error: source.mqtt `a`: tls.enabled: TLS may be switched off for loopback hosts only, and `example.com` is none",
        ),
        (
            "",
            "[[source.mqtt]]\nname = \"\"\nhost = \"h\"\n".into(),
            "2:8: error: source: the name `` has 0 bytes; allowed are 1 to 64",
        ),
        (
            LOG,
            "utc_offset = \"2\"\n".into(),
            "4:14: error: source.mosquitto_log `l`: utc_offset: found `2`; expected hours and minutes such as `+02:00`, within 14 hours",
        ),
        (
            LOG,
            "utc_offset = \"+15:00\"\n".into(),
            "4:14: error: source.mosquitto_log `l`: utc_offset: found `+15:00`; expected hours and minutes such as `+02:00`, within 14 hours",
        ),
        (
            LOG,
            "from = \"begin\"\n".into(),
            "4:8: error: source.mosquitto_log `l`: from: found `begin`; allowed are `end`, `start`",
        ),
        (
            "",
            "[control.mosquitto]\nhost = \"localhost\"\nrole = \"\"\n".into(),
            "3:8: error: control.mosquitto: role: is empty; expected the name of the quarantine role",
        ),
        (
            "",
            "[alerts.webhook.ops]\nurl = \"https://x\"\nsecret = { env = \"UNSET\" }\n".into(),
            "3:10: error: alerts.webhook.ops.secret: the environment variable `UNSET` is not set",
        ),
        (
            "",
            "[alerts.webhook.ops]\nurl = \"https://x\"\ntimeout_secs = 0\n".into(),
            "3:16: error: alerts.webhook.ops.timeout_secs: found 0; allowed are 1 to 300 seconds",
        ),
        (
            "",
            "[api]\nregion = \"EU 1\"\n".into(),
            "2:10: error: api.region: found `EU 1`; allowed are 1 to 32 of `a-z 0-9 -`",
        ),
        (
            "",
            "[api]\naccount = \"12345678901x\"\n".into(),
            "2:11: error: api.account: found `12345678901x`; allowed are 12 digits",
        ),
        (
            "",
            "[api]\nrequests_per_sec = 0\n".into(),
            "2:20: error: api.requests_per_sec: found 0; allowed are 1 to 1000000",
        ),
        (
            "",
            "[api]\ncertificate = \"/etc/hostname\"\n".into(),
            "2:15: error: api.certificate: `api.key` is missing; both are needed",
        ),
        (
            "",
            "[api]\nlisten = \"here\"\n".into(),
            "2:10: error: api.listen: found `here`: invalid socket address syntax",
        ),
        (
            "",
            "[log]\nlevel = \"warning\"\n".into(),
            "2:9: error: log.level: found `warning`; allowed are `error`, `warn`, `info`, `debug`, `trace`",
        ),
    ];
    for (before, text, expected) in cases {
        assert_eq!(problems(&format!("{before}{text}")), [*expected]);
    }
}

#[test]
fn defaults_are_complete_and_only_warn() {
    assert!(problems("").is_empty());
    let loaded = from_text("f.toml", SOURCE, Path::new("/"), &|_| None);
    let source = &loaded.settings.unwrap().mqtt[0];
    let connection = &source.settings.connection;
    assert_eq!((connection.port, connection.tls.is_some()), (8883, true));
}

#[test]
fn a_secret_is_not_shown() {
    let text = format!("{SOURCE}username = \"u\"\npassword = {{ env = \"SET\" }}\n");
    let loaded = from_text("f.toml", &text, Path::new("/"), &|_| Some("hunter2".into()));
    let shown = format!("{loaded:?}");
    assert!(!shown.contains("hunter2"));
}

/// The shipped example, as it is and with every line switched on, has no unknown key.
#[test]
fn the_shipped_example_is_read() {
    let text = include_str!("../../fleetward.example.toml");
    assert_eq!(problems(text), [""; 0]);
    let switched_on: String = text.lines().map(|line| uncommented(line) + "\n").collect();
    let (options, found) = parse::parse("f.toml", &switched_on);
    assert!(options.is_some(), "{found:?}");
}

/// A commented `key = value` or `[table]` without its comment sign; prose stays a comment.
fn uncommented(line: &str) -> String {
    let Some(rest) = line.strip_prefix("# ") else { return line.to_owned() };
    let is_key = rest
        .split_once(" = ")
        .is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
    if is_key || rest.starts_with('[') { rest.to_owned() } else { line.to_owned() }
}
