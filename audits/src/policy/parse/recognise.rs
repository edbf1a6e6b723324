//! Whose policy a text is, by its content.

use crate::policy::form::System;

/// Lines looked at to recognise a text.
const LINES_MAX: usize = 2_000;

/// Whose policy the text is; `None` if it is none that is known here. Mosquitto's access lists are
/// told from its other files by [`crate::broker::kind()`].
#[must_use]
pub fn recognise(text: &str) -> Option<System> {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.starts_with('{') && !is_erlang(text) {
        return of_json(text);
    }
    let mut lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with(['#', '%']) && !line.starts_with("//"))
        .take(LINES_MAX);
    if lines.clone().next().is_some_and(is_erlang) {
        return Some(System::Emqx);
    }
    let opens_block = |line: &str| {
        let rest = line.strip_prefix("authorization").or_else(|| line.strip_prefix("accounts"));
        rest.is_some_and(|rest| rest.trim_start_matches([' ', '\t', ':', '=']).starts_with('{'))
    };
    lines.any(opens_block).then_some(System::Nats)
}

/// A rule of EMQX: `{allow, …}.` or `{deny, …}.`
fn is_erlang(text: &str) -> bool {
    let rest = text.strip_prefix('{').map(str::trim_start);
    let verdict = rest.and_then(|rest| rest.strip_prefix("allow").or_else(|| rest.strip_prefix("deny")));
    verdict.is_some_and(|rest| rest.trim_start().starts_with([',', '}']))
}

fn of_json(text: &str) -> Option<System> {
    let has = |name: &str| text.contains(&format!("\"{name}\""));
    if has("Statement") && has("Effect") {
        Some(System::AwsIot)
    } else if has("defaultACLAccess") || has("acltype") {
        Some(System::MosquittoDynsec)
    } else if has("permissions") && (has("vhosts") || has("topic_permissions") || has("rabbit_version")) {
        Some(System::RabbitMq)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_content() {
        for (text, expected) in [
            (r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow"}]}"#, Some(System::AwsIot)),
            ("\u{feff}\n{\"Statement\": {\"Effect\": 1}}", Some(System::AwsIot)),
            (r#"{"defaultACLAccess": {}}"#, Some(System::MosquittoDynsec)),
            (r#"{"vhosts": [], "permissions": []}"#, Some(System::RabbitMq)),
            (r#"{"permissions": []}"#, None),
            ("%% first\n{allow, {username, \"a\"}, all, [\"#\"]}.", Some(System::Emqx)),
            ("{deny, all}.", Some(System::Emqx)),
            ("{ allow , all}.", Some(System::Emqx)),
            ("{allowed: 1}", None),
            ("# c\nport: 4222\nauthorization {\n users: []\n}", Some(System::Nats)),
            ("accounts: { A: {} }", Some(System::Nats)),
            ("authorization_url http://x", None),
            ("listener 1883", None),
            ("", None),
        ] {
            assert_eq!(recognise(text), expected, "{text}");
        }
    }
}
