//! `--facts FILE`: what no configuration file says, recorded elsewhere and given as JSON.

use std::collections::BTreeMap;

use audits::certificate::id::Fingerprint;
use audits::certificate::view::Session;
use audits::engine::{Displaced, Fleet, Logging};
use audits::policy::blast::Things;
use audits::policy::check::Template;
use audits::policy::form::Action;
use audits::policy::least::{Principal, Use};
use fleet::problem::{Problem, Severity, nearest};
use serde::Deserialize;

/// The file as it is written; every part may be absent, which is not the same as empty.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    things: Option<Vec<String>>,
    #[serde(default)]
    templates: Vec<String>,
    #[serde(default)]
    administrators: Vec<String>,
    #[serde(default)]
    attachments: Vec<Attachment>,
    sessions: Option<Vec<SessionWritten>>,
    displaced: Option<DisplacedWritten>,
    uses: Option<Vec<UseWritten>>,
    logging: Option<LoggingWritten>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Attachment {
    certificate: String,
    thing: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SessionWritten {
    certificate: String,
    client_id: String,
    connected: i64,
    disconnected: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DisplacedWritten {
    /// Client ids that were seen.
    clients: u64,
    connections: Vec<ConnectionWritten>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ConnectionWritten {
    client_id: String,
    principal: Option<String>,
    at: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UseWritten {
    thing: Option<String>,
    client_id: Option<String>,
    user: Option<String>,
    action: String,
    name: String,
    #[serde(default = "once")]
    count: u64,
}

const fn once() -> u64 {
    1
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LoggingWritten {
    account: String,
    on: bool,
}

/// Adds what the file says to the fleet.
///
/// # Errors
/// Every problem of the file; the fleet then has a part of it.
pub fn add(file: &str, text: &str, fleet: &mut Fleet) -> Result<(), Vec<Problem>> {
    let written: Written = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let message = error.to_string();
        // The place stands before it already.
        let message = message.split(" at line ").next().unwrap_or_default().to_owned();
        vec![Problem {
            severity: Severity::Error,
            file: file.into(),
            line,
            column,
            place: String::new(),
            message,
        }]
    })?;
    let mut problems = Problems { file, list: Vec::new() };
    fleet.known.administrators = written.administrators;
    for (index, text) in written.templates.iter().enumerate() {
        match Template::parse(text) {
            Ok(template) => fleet.known.templates.push(template),
            Err(message) => problems.add(format!("templates[{index}]"), message),
        }
    }
    let devices = fleet.certificates.devices.iter().enumerate();
    let known: Devices = devices.map(|(index, device)| (device.facts.sha256, index)).collect();
    attach(&written.attachments, &known, fleet, &mut problems);
    fleet.things = written.things.map(Things::new);
    fleet.certificates.sessions =
        written.sessions.map(|sessions| self::sessions(sessions, &known, &mut problems));
    fleet.displaced = written.displaced.map(|displaced| {
        let one = |one: ConnectionWritten| Displaced {
            client: one.client_id.into(),
            principal: one.principal.map(Into::into),
            at: one.at,
        };
        (displaced.clients, displaced.connections.into_iter().map(one).collect())
    });
    fleet.uses = written.uses.map(|uses| self::uses(uses, &mut problems));
    fleet.logging = written.logging.map(|written| Logging { account: written.account, is_on: written.on });
    if problems.list.is_empty() { Ok(()) } else { Err(problems.list) }
}

struct Problems<'f> {
    file: &'f str,
    list: Vec<Problem>,
}

impl Problems<'_> {
    fn add(&mut self, place: String, message: String) {
        let (severity, file) = (Severity::Error, self.file.to_owned());
        self.list.push(Problem { severity, file, line: 1, column: 1, place, message });
    }
}

/// Device certificates by their ids.
type Devices = BTreeMap<Fingerprint, usize>;

/// Index of the device certificate with this id; one that is not among the files is not looked at.
fn device(
    id: &str,
    place: &dyn Fn() -> String,
    known: &Devices,
    problems: &mut Problems<'_>,
) -> Option<usize> {
    let parsed = Fingerprint::from_hex(id);
    if parsed.is_none() {
        let message = format!("found `{id}`; expected the SHA-256 of a certificate as 64 hexadecimal digits");
        problems.add(place(), message);
    }
    known.get(&parsed?).copied()
}

fn attach(attachments: &[Attachment], known: &Devices, fleet: &mut Fleet, problems: &mut Problems<'_>) {
    for (number, attachment) in attachments.iter().enumerate() {
        let place = || format!("attachments[{number}].certificate");
        let index = device(&attachment.certificate, &place, known, problems);
        if let Some(device) = index.and_then(|index| fleet.certificates.devices.get_mut(index)) {
            let mut things = std::mem::take(&mut device.things).into_vec();
            things.push(attachment.thing.as_str().into());
            device.things = things.into();
        }
    }
}

fn sessions(written: Vec<SessionWritten>, known: &Devices, problems: &mut Problems<'_>) -> Vec<Session> {
    let mut sessions = Vec::new();
    for (number, one) in written.into_iter().enumerate() {
        let place = || format!("sessions[{number}].certificate");
        let index = device(&one.certificate, &place, known, problems);
        if let Some(certificate) = index.and_then(|index| u32::try_from(index).ok()) {
            let (client, connected, disconnected) = (one.client_id.into(), one.connected, one.disconnected);
            sessions.push(Session { certificate, client, connected, disconnected });
        }
    }
    sessions
}

fn uses(written: Vec<UseWritten>, problems: &mut Problems<'_>) -> Vec<Use> {
    let mut uses = Vec::new();
    for (number, one) in written.into_iter().enumerate() {
        let Some(action) = Action::ALL.into_iter().find(|action| action.aws_name() == one.action) else {
            let near = nearest(&one.action, Action::ALL.map(Action::aws_name));
            let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            let message = format!("found `{}`; expected an action such as `iot:Publish`{hint}", one.action);
            problems.add(format!("uses[{number}].action"), message);
            continue;
        };
        let principal = Principal { thing: one.thing, client_id: one.client_id, user: one.user };
        uses.push(Use { principal, action, name: one.name, count: one.count });
    }
    uses
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let mut fleet = Fleet::default();
        add("f.json", text, &mut fleet).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_written_is_known_and_the_rest_is_not() {
        let mut fleet = Fleet::default();
        let text = r#"{"things": ["b", "a"], "templates": ["d/{thing}/#"], "administrators": ["ops"],
            "displaced": {"clients": 3, "connections": [{"clientId": "a", "at": 5}]},
            "uses": [{"thing": "a", "action": "iot:Publish", "name": "d/a/up"}],
            "logging": {"account": "x", "on": true}}"#;
        add("f.json", text, &mut fleet).unwrap();
        assert_eq!(fleet.things.as_ref().map(Things::len), Some(2));
        assert_eq!(fleet.known.administrators, ["ops"]);
        assert_eq!(fleet.displaced.as_ref().unwrap().1[0].at, 5);
        assert_eq!(fleet.uses.as_ref().unwrap()[0].count, 1);
        assert!(fleet.certificates.sessions.is_none() && fleet.logging.unwrap().is_on);
    }

    #[test]
    fn problems_have_their_place_and_what_is_allowed() {
        let unknown = problems("{\n \"thing\": 1}");
        assert!(
            unknown[0].starts_with("f.json:2:8: error: unknown field `thing`, expected one of `things`"),
            "{unknown:?}"
        );
        assert_eq!(
            problems(
                r#"{"templates": ["x"], "uses": [{"action": "iot:Publsh", "name": "t"}],
                "sessions": [{"certificate": "ab", "clientId": "c", "connected": 1}]}"#
            ),
            [
                "f.json:1:1: error: templates[0]: found `x`; expected `{thing}` in it, such as `devices/{thing}/#`",
                "f.json:1:1: error: sessions[0].certificate: found `ab`; expected the SHA-256 of a certificate as 64 hexadecimal digits",
                "f.json:1:1: error: uses[0].action: found `iot:Publsh`; expected an action such as `iot:Publish`; did you mean `iot:Publish`?",
            ]
        );
    }
}
