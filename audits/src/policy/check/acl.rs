//! Findings about who may do what, the same for every broker.
//!
//! # What they notice
//! - `ACL_ROOT_WILDCARD_CHECK`: somebody who is no administrator reads or writes every topic.
//! - `ACL_ADMINISTRATIVE_TOPICS_CHECK`: somebody who is no administrator may change the broker
//!   (`$CONTROL`, `$SYS`), or read `$CONTROL`.
//! - `ACL_OTHER_DEVICES_CHECK`: a device reaches the topics of another.
//! - `ACL_DEFAULT_ALLOW_CHECK`: what no rule names is allowed to anybody.
//! - `ACL_CLIENT_ID_FREE_CHECK`: grants by client id, where clients choose their id.
//! - `ACL_INVALID_CHECK`: a rule that cannot be read; the broker refuses or ignores it.
//! - `ACL_UNDECIDED_CHECK`: questions that stayed without an answer, with their number.
//!
//! # Why they matter
//! A device that reads all topics is a listening post; one that writes those of others commands them.
//!
//! # References
//! `broker-integration.md`, sections 2 to 5; `device-defender-audit.md`, section 3, for the aim.

use fleet::problem::Severity as ProblemSeverity;

use super::questions::{Answers, Template, answers};
use crate::{
    finding::{Finding, Place, ResourceRef, Severity},
    policy::form::{ClientIds, Document, Object, Subject, System, Variables},
};

/// What the caller knows besides the file.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// User names that administer: they may do everything. Names that say so (`admin`) are known.
    pub administrators: Vec<String>,
    /// Where the topics of things lie; those that the rules show are added.
    pub templates: Vec<Template>,
}

/// All findings about a document, by line, then check, then text.
#[must_use]
pub fn audit(document: &Document, known: &Known) -> Vec<Finding> {
    let mut templates = known.templates.clone();
    templates.extend(Template::shown_by(document));
    templates.sort();
    templates.dedup();
    let mut findings = invalid(document);
    findings.extend(free_ids(document));
    for subject in &document.subjects {
        let of_subject = answers(document, subject, &templates);
        findings.extend(undecided(document, subject, &of_subject));
        if !is_administrator(subject, known) {
            findings.extend(about(document, subject, &of_subject));
        }
    }
    findings.sort_by(|a, b| (a.line(), &a.check, &a.reason).cmp(&(b.line(), &b.check, &b.reason)));
    findings
}

/// Whether the subject administers, by its name or because it is the broker's own host.
pub(crate) fn is_administrator(subject: &Subject, known: &Known) -> bool {
    const WORDS: [&str; 4] = ["admin", "root", "superuser", "dashboard"];
    let says_so = |name: &str| {
        let name = name.to_ascii_lowercase();
        WORDS.iter().any(|word| name.contains(word))
    };
    let given = |user: &String| known.administrators.contains(user) || says_so(user);
    let nameless = subject.user.is_none() && !subject.everyone;
    subject.administrator
        || subject.user.as_ref().is_some_and(given)
        || (nameless && (says_so(&subject.name) || subject.name == "a client from 127.0.0.1"))
}

/// Check, severity and reason code of a finding.
type Kind = (&'static str, Severity, &'static str);

/// A finding about somebody, or about the document if `subject` is `None`.
fn finding(
    document: &Document,
    subject: Option<&Subject>,
    (check, severity, code): Kind,
    line: usize,
    found: String,
    remedy: &'static str,
) -> Finding {
    let file = ("file", document.file.clone());
    let resource = match subject {
        Some(subject) => ResourceRef::new("ACL_SUBJECT", [file, ("subject", subject.name.clone())]),
        None => ResourceRef::new("ACL_DOCUMENT", [file]),
    };
    Finding {
        check: check.into(),
        severity,
        code: code.into(),
        reason: found,
        resource,
        related: Vec::new(),
        place: Some(Place::line(document.file.clone(), line)),
        remedy: remedy.into(),
    }
}

fn invalid(document: &Document) -> Vec<Finding> {
    let errors = document.problems.iter().filter(|problem| problem.severity == ProblemSeverity::Error);
    let told = |problem: &fleet::problem::Problem| {
        let place = if problem.place.is_empty() { String::new() } else { format!("{}: ", problem.place) };
        let found = format!("{place}{}", problem.message);
        finding(
            document,
            None,
            ("ACL_INVALID_CHECK", Severity::Medium, "RULE_CANNOT_BE_READ"),
            problem.line,
            found,
            "correct it; what the broker does with it is not what it says",
        )
    };
    errors.map(told).collect()
}

/// Grants by client id while everybody chooses it.
fn free_ids(document: &Document) -> Option<Finding> {
    if document.client_ids == ClientIds::Bound || document.system == System::AwsIot {
        return None;
    }
    let by_id = |object: &Object| match object {
        Object::Any(patterns) | Object::Except(patterns) => {
            patterns.iter().any(|pattern| pattern.symbols().any(|symbol| symbol == Variables::CLIENT))
        }
        Object::Expression(_) => false,
    };
    let rule = document.rules.iter().find(|rule| by_id(&rule.object))?;
    let found = format!("`{}` grants by the client id, which every client chooses itself", rule.text);
    Some(finding(
        document,
        None,
        ("ACL_CLIENT_ID_FREE_CHECK", Severity::High, "GRANTS_BY_CLIENT_ID_THAT_CLIENTS_CHOOSE"),
        rule.line,
        found,
        "grant by the user name, or tie ids to credentials (Mosquitto: `use_username_as_clientid true`)",
    ))
}

fn undecided(document: &Document, subject: &Subject, answers: &Answers) -> Option<Finding> {
    let count = answers.undecided();
    (count > 0).then(|| {
        let found = format!("{count} questions about {} stayed undecided", subject.name);
        let remedy = "simplify the rules: expressions without look-around, fewer wildcards beside each other";
        let kind = ("ACL_UNDECIDED_CHECK", Severity::Low, "QUESTIONS_UNDECIDED");
        finding(document, Some(subject), kind, subject.line, found, remedy)
    })
}

/// Reading or writing.
#[derive(Clone, Copy)]
struct Side {
    verb: &'static str,
    /// Every topic.
    all: bool,
    /// A topic that no rule names.
    unnamed: bool,
}

/// The findings about one subject. Who reaches everything is told so once, not also in each part.
fn about(document: &Document, subject: &Subject, answers: &Answers) -> Vec<Finding> {
    let sides = [
        Side { verb: "read", all: answers.reads_all == Ok(true), unnamed: answers.reads_unnamed == Ok(true) },
        Side {
            verb: "write",
            all: answers.writes_all == Ok(true),
            unnamed: answers.writes_unnamed == Ok(true),
        },
    ];
    let verbs = |of: &dyn Fn(&Side) -> bool| {
        let verbs: Vec<&str> = sides.iter().filter(|side| of(side)).map(|side| side.verb).collect();
        (!verbs.is_empty()).then(|| verbs.join(" and "))
    };
    let name = &subject.name;
    let mut findings = Vec::new();
    if let Some(verbs) = verbs(&|side| side.all) {
        let severity = if subject.everyone { Severity::Critical } else { Severity::High };
        let found = format!("{name} may {verbs} every topic");
        let remedy = "grant the topics that are needed, by name";
        let kind = ("ACL_ROOT_WILDCARD_CHECK", severity, "ALLOWS_EVERY_TOPIC");
        findings.push(finding(document, Some(subject), kind, subject.line, found, remedy));
    }
    if let Some(verbs) = verbs(&|side| side.unnamed && !side.all) {
        let found = format!("{name} may {verbs} what no rule names");
        let remedy = "deny by default and grant what is needed";
        let kind = ("ACL_DEFAULT_ALLOW_CHECK", Severity::High, "ALLOWS_WHAT_NO_RULE_NAMES");
        findings.push(finding(document, Some(subject), kind, subject.line, found, remedy));
    }
    let [read, write] = sides.map(|side| side.all || side.unnamed);
    findings.extend(others(document, subject, answers, (read, write)));
    findings.extend(administration(document, subject, answers));
    findings
}

/// Topics of other devices, where not everything is open already.
fn others(document: &Document, subject: &Subject, answers: &Answers, open: (bool, bool)) -> Option<Finding> {
    let example =
        |answer: &Result<Option<String>, _>, open: bool| answer.clone().ok().flatten().filter(|_| !open);
    let (severity, code, verb, topic) = match example(&answers.writes_others, open.1) {
        Some(topic) => (Severity::High, "ALLOWS_PUBLISH_TO_OTHER_DEVICES", "publish to", topic),
        None => {
            // A named user may be a service, whose work it is to read what devices say.
            let severity = if subject.everyone { Severity::Medium } else { Severity::Low };
            (severity, "ALLOWS_READ_OF_OTHER_DEVICES", "read", example(&answers.reads_others, open.0)?)
        }
    };
    let found = format!("{} may {verb} the topics of other devices, such as `{topic}`", subject.name);
    let remedy = "name the device in the topic: `%u`, `${iot:Connection.Thing.ThingName}`";
    let kind = ("ACL_OTHER_DEVICES_CHECK", severity, code);
    Some(finding(document, Some(subject), kind, subject.line, found, remedy))
}

fn administration(document: &Document, subject: &Subject, answers: &Answers) -> Option<Finding> {
    let example = |answer: &Result<Option<String>, _>| answer.clone().ok().flatten();
    let (severity, code, what) =
        match (example(&answers.writes_administration), example(&answers.reads_administration)) {
            (Some(topic), _) if topic.starts_with("$CONTROL/") => {
                let what = format!("publish to `{topic}`, by which the broker is administered");
                (Severity::Critical, "ALLOWS_CONTROL_OF_BROKER", what)
            }
            (Some(topic), _) => {
                let what = format!("publish to `{topic}`, where only the broker should speak");
                (Severity::Medium, "ALLOWS_PUBLISH_AS_BROKER", what)
            }
            (None, Some(topic)) => {
                let what = format!("read `{topic}`, which tells about the broker");
                (Severity::Low, "ALLOWS_READ_OF_BROKER", what)
            }
            (None, None) => return None,
        };
    let found = format!("{} may {what}", subject.name);
    let remedy = "leave the trees of the broker to administrators";
    let kind = ("ACL_ADMINISTRATIVE_TOPICS_CHECK", severity, code);
    Some(finding(document, Some(subject), kind, subject.line, found, remedy))
}
