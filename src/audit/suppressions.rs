//! The file of suppressions: findings that somebody has decided to live with, until when and why.

use std::fs;
use std::io;
use std::path::Path;

use audits::catalogue::checks;
use audits::finding::ResourceRef;
use audits::run::suppression::{Lifetime, Suppression};
use fleet::problem::{Problem, Severity, nearest};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Suppressions of one file at most.
const SUPPRESSIONS_MAX: usize = 100_000;
/// Characters of a description (`device-defender-audit.md`, section 7).
const DESCRIPTION_MAX: usize = 1_000;

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// All of them, by check and resource.
    pub suppressions: Vec<Entry>,
}

/// One suppression, with the members of AWS's `CreateAuditSuppression`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// Name of the check.
    pub check_name: String,
    /// `resourceIdentifier` of the finding.
    pub resource_identifier: Value,
    /// Until when, such as `2026-12-31T00:00:00Z`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiration_date: Option<String>,
    /// For ever.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suppress_indefinitely: bool,
    /// Why.
    pub description: String,
}

impl Entry {
    /// As the engine takes it.
    ///
    /// # Errors
    /// Member and what is wrong with it.
    fn parse(&self) -> Result<Suppression, (&'static str, String)> {
        let all = checks();
        if !all.iter().any(|info| info.name == self.check_name) {
            let near = nearest(&self.check_name, all.iter().map(|info| &*info.name));
            let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            return Err(("checkName", format!("there is no check `{}`{hint}", self.check_name)));
        }
        let identifier = ResourceRef::identifier_members(&self.resource_identifier)
            .map_err(|wrong| ("resourceIdentifier", wrong))?;
        let lifetime = match (&self.expiration_date, self.suppress_indefinitely) {
            (Some(text), false) => Lifetime::Until(seconds(text).map_err(|wrong| ("expirationDate", wrong))?),
            (None, true) => Lifetime::Indefinite,
            _ => {
                let wrong = "one of `expirationDate` and `suppressIndefinitely: true` is expected";
                return Err(("expirationDate", wrong.to_owned()));
            }
        };
        let length = self.description.chars().count();
        if !(1..=DESCRIPTION_MAX).contains(&length) || self.description.chars().any(char::is_control) {
            let wrong = format!("expected 1 to {DESCRIPTION_MAX} printable characters that say why");
            return Err(("description", wrong));
        }
        let resource = ResourceRef { identifier, ..ResourceRef::default() };
        Ok(Suppression { check: self.check_name.clone(), resource, lifetime })
    }
}

/// Seconds since 1970 of `2026-12-31T00:00:00Z` or `2026-12-31`.
///
/// # Errors
/// What was expected.
pub fn seconds(text: &str) -> Result<i64, String> {
    let whole = if text.contains('T') { text.to_owned() } else { format!("{text}T00:00:00Z") };
    OffsetDateTime::parse(&whole, &Rfc3339)
        .map(OffsetDateTime::unix_timestamp)
        .map_err(|error| format!("found `{text}`; expected 2026-12-31 or 2026-12-31T00:00:00Z ({error})"))
}

/// `2026-12-31T00:00:00Z` of seconds since 1970; a time that has no such form is told as its number.
#[must_use]
pub fn written(seconds: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(seconds).ok();
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| seconds.to_string())
}

/// Reads the file's text.
///
/// # Errors
/// Every problem of the file.
pub fn parse(file: &str, text: &str) -> Result<(File, Vec<Suppression>), Vec<Problem>> {
    let problem = |line, column, place: String, message| {
        let (severity, file) = (Severity::Error, file.to_owned());
        Problem { severity, file, line, column, place, message }
    };
    let read: File = serde_json::from_str(text).map_err(|error| {
        let message = error.to_string().split(" at line ").next().unwrap_or_default().to_owned();
        vec![problem(error.line(), error.column(), String::new(), message)]
    })?;
    if read.suppressions.len() > SUPPRESSIONS_MAX {
        let message = format!("{} of them; allowed are {SUPPRESSIONS_MAX}", read.suppressions.len());
        return Err(vec![problem(1, 1, "suppressions".into(), message)]);
    }
    let (mut parsed, mut problems) = (Vec::new(), Vec::new());
    for (index, entry) in read.suppressions.iter().enumerate() {
        match entry.parse() {
            Ok(suppression) => parsed.push(suppression),
            Err((member, message)) => {
                problems.push(problem(1, 1, format!("suppressions[{index}].{member}"), message));
            }
        }
    }
    if problems.is_empty() { Ok((read, parsed)) } else { Err(problems) }
}

/// Adds entries; one for the same check and resource takes the place of the older. Gives how many
/// entries there are now.
///
/// # Errors
/// The first of the new ones that is not allowed: member and what is wrong.
pub fn add(file: &mut File, entries: Vec<Entry>) -> Result<usize, (&'static str, String)> {
    for entry in entries {
        entry.parse()?;
        let key = |one: &Entry| (one.check_name.clone(), one.resource_identifier.to_string());
        file.suppressions.retain(|one| key(one) != key(&entry));
        file.suppressions.push(entry);
    }
    file.suppressions.sort_by_key(|one| (one.check_name.clone(), one.resource_identifier.to_string()));
    Ok(file.suppressions.len())
}

/// Writes the file whole or not at all.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, file: &File) -> io::Result<()> {
    let text = serde_json::to_string_pretty(file)? + "\n";
    let beside = path.with_extension("json.new");
    fs::write(&beside, text)?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECK: &str = "DEVICE_CERTIFICATE_EXPIRING_CHECK";

    fn entry(id: &str, until: &str) -> Entry {
        Entry {
            check_name: CHECK.into(),
            resource_identifier: serde_json::json!({"deviceCertificateId": id}),
            expiration_date: Some(until.into()),
            suppress_indefinitely: false,
            description: "the replacement is on its way".into(),
        }
    }

    #[test]
    fn what_is_written_is_read_again_and_the_newer_one_counts() {
        let mut file = File::default();
        add(&mut file, vec![entry("b", "2026-07-01"), entry("a", "2026-07-01")]).unwrap();
        assert_eq!(add(&mut file, vec![entry("b", "2027-01-01T12:00:00Z")]), Ok(2));
        let text = serde_json::to_string(&file).unwrap();
        let (read, parsed) = parse("s.json", &text).unwrap();
        assert_eq!(read, file);
        assert_eq!(parsed[0].lifetime, Lifetime::Until(1_782_864_000));
        assert_eq!(parsed[1].resource.member("deviceCertificateId"), Some("b"));
        assert_eq!(written(1_782_864_000), "2026-07-01T00:00:00Z");
    }

    #[test]
    fn problems_name_entry_and_member() {
        let wrong = |change: fn(&mut Entry)| {
            let mut one = entry("a", "2026-07-01");
            change(&mut one);
            let text = serde_json::to_string(&File { suppressions: vec![one] }).unwrap();
            parse("s.json", &text).unwrap_err()[0].to_string()
        };
        type Case = (fn(&mut Entry), &'static str);
        let cases: [Case; 6] = [
            (
                |one| one.check_name.truncate(32),
                "suppressions[0].checkName: there is no check `DEVICE_CERTIFICATE_EXPIRING_CHEC`; did you mean `DEVICE_CERTIFICATE_EXPIRING_CHECK`?",
            ),
            (
                |one| one.resource_identifier = serde_json::json!({"a": 1}),
                "suppressions[0].resourceIdentifier: `a` is no string",
            ),
            (
                |one| one.expiration_date = Some("soon".into()),
                "suppressions[0].expirationDate: found `soon`; expected 2026-12-31 or",
            ),
            (
                |one| one.expiration_date = None,
                "one of `expirationDate` and `suppressIndefinitely: true` is expected",
            ),
            (
                |one| one.suppress_indefinitely = true,
                "one of `expirationDate` and `suppressIndefinitely: true` is expected",
            ),
            (
                |one| one.description = String::new(),
                "suppressions[0].description: expected 1 to 1000 printable characters",
            ),
        ];
        for (change, expected) in cases {
            let said = wrong(change);
            assert!(said.contains(expected), "{said}");
        }
        assert!(parse("s.json", "{\n]").unwrap_err()[0].to_string().starts_with("s.json:2:1: error: "));
    }
}
