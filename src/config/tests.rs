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
const HOOK: &str = "[[sink.webhook]]\nname = \"w\"\n";
const MAIL: &str =
    "[[sink.email]]\nname = \"m\"\nhost = \"mail.example.com\"\nfrom = \"a@b\"\nto = [\"c@d\"]\n";

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
            "[detect]\nprofiles = \"p\"\n".into(),
            "2:12: error: detect.profiles: `/nonexistent/p` is not a folder",
        ),
        (
            "",
            "[respond]\nacting = true\n".into(),
            "1:1: error: respond.acting: acting is on, but no broker to act on is configured; add `[control.mosquitto]`",
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
            "4:17: error: source.mqtt `a`: report_prefix: found `x`; expected a topic that ends with `/`, without `+` and `#`",
        ),
        (
            SOURCE,
            "password_env = \"SET\"\n".into(),
            "3:8: error: source.mqtt `a`: a password is given, but no `username`",
        ),
        (
            SOURCE,
            "username = \"u\"\npassword_env = \"UNSET\"\n".into(),
            "5:16: error: source.mqtt `a`: password: the environment variable `UNSET` is not set",
        ),
        (
            SOURCE,
            "username = \"u\"\npassword_file = \"pw\"\n".into(),
            "5:17: error: source.mqtt `a`: password: `/nonexistent/pw` cannot be read: No such file or directory (os error 2)",
        ),
        (SOURCE, format!("{SOURCE}client_id = \"b\"\n"), "5:8: error: source: the name `a` is used twice"),
        (
            SOURCE,
            "client_id = \"\"\n".into(),
            "4:13: error: source.mqtt `a`: client_id: is empty; the broker keeps the session under it",
        ),
        (
            "",
            "[[source.mqtt]]\nname = \"a\"\nhost = \"example.com\"\ntls = { enabled = false }\n".into(),
            "4:19: error: source.mqtt `a`: tls.enabled: TLS may be switched off for loopback hosts only, and `example.com` is none",
        ),
        (
            "",
            "[[source.mosquitto_log]]\nname = \"l\"\npath = \"x\"\nutc_offset = \"2\"\n".into(),
            "4:14: error: source.mosquitto_log `l`: utc_offset: found `2`; expected hours and minutes such as `+02:00`, within 14 hours",
        ),
        (
            "",
            "[[source.mosquitto_log]]\nname = \"l\"\npath = \"x\"\nfrom = \"begin\"\n".into(),
            "4:8: error: source.mosquitto_log `l`: from: found `begin`; allowed are `end`, `start`",
        ),
        (
            HOOK,
            "url = \"http://example.com/x\"\n".into(),
            "3:7: error: sink.webhook `w`: url: found `http://example.com/x`; expected `https://...`, or `http://...` on loopback",
        ),
        (
            HOOK,
            "url = \"ftp://u:hidden@example.com\"\n".into(),
            "3:7: error: sink.webhook `w`: url: found `ftp://***@example.com`; expected `https://...`, or `http://...` on loopback",
        ),
        (
            HOOK,
            "url = \"https://x\"\nformat = \"slack\"\n".into(),
            "4:10: error: sink.webhook `w`: format: found `slack`; allowed are `fleetward`, `aws`",
        ),
        (
            MAIL,
            "security = \"none\"\n".into(),
            "6:12: error: sink.email `m`: security: `none` is allowed for loopback hosts only, and `mail.example.com` is none",
        ),
        (
            "",
            MAIL.replace("c@d", "c"),
            "5:7: error: sink.email `m`: found `c`; expected a mail address such as `ops@example.com`",
        ),
        (
            "",
            MAIL.replace("\"c@d\"", ""),
            "4:8: error: sink.email `m`: to: is empty; expected at least one address",
        ),
        (
            "",
            "[api]\nlisten = \"0.0.0.0:9470\"\n".into(),
            "2:10: error: api.listen: found `0.0.0.0:9470`; only loopback addresses are allowed, since this endpoint has no TLS yet",
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
        (
            "",
            "[[respond.rule]]\naction = \"q\"\nattribution_min = \"ambiguous\"\n".into(),
            "3:19: error: respond.rule: attribution_min: found `ambiguous`; allowed are `certain`, `address`",
        ),
        (
            "",
            "[respond.limit]\nnever_touch_groups = [\"a b\"]\n".into(),
            "2:23: error: respond.limit.never_touch_groups: found `a b`: thing group name has the character ' ' at byte 1; allowed are `a-z A-Z 0-9 : _ -`",
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
    assert_eq!(
        (source.connection.port, source.connection.tls.is_some(), source.version_5),
        (8883, true, true)
    );
}

#[test]
fn a_secret_is_not_shown() {
    let text = format!("{SOURCE}username = \"u\"\npassword_env = \"SET\"\n");
    let loaded = from_text("f.toml", &text, Path::new("/"), &|_| Some("hunter2".into()));
    let shown = format!("{loaded:?}");
    assert!(shown.contains("Secret(***)") && !shown.contains("hunter2"));
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
