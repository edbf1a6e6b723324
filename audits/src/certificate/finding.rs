//! What the checks found: small records first, text on demand.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::check::{Check, CheckId};
use super::view::{Cause, Kind, Resource, View};
use crate::finding::{Finding, ResourceRef};

/// One finding as a record of a few words; a million of them are no burden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Check.
    pub check: CheckId,
    /// Index into the reason codes of the check.
    pub code: u8,
    /// What it is about.
    pub resource: Resource,
    /// The number that decided, in the unit that the check's text names; 0 if none.
    pub number: i64,
    /// Where its related resources are.
    related: (u32, u32),
}

/// A resource that belongs to a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Related {
    /// Which one.
    pub resource: Resource,
}

/// Everything that one run found, ordered by check and resource.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    hits: Vec<Hit>,
    related: Vec<Related>,
    /// Resources looked at, by check in the order of the table.
    pub examined: Vec<(CheckId, u64)>,
    /// Related resources that were left out because of [`RELATED_MAX`].
    pub related_shed: u64,
}

/// Related resources kept of one finding at most; the first ones, and the rest is counted.
pub const RELATED_MAX: usize = 10_000;

impl Findings {
    /// All findings.
    #[must_use]
    pub fn hits(&self) -> &[Hit] {
        &self.hits
    }

    /// Related resources of a finding.
    #[must_use]
    pub fn related(&self, hit: &Hit) -> &[Related] {
        let at = |index: u32| usize::try_from(index).unwrap_or(usize::MAX);
        self.related.get(at(hit.related.0)..at(hit.related.1)).unwrap_or_default()
    }

    /// Bytes on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.hits.capacity() * size_of::<Hit>() + self.related.capacity() * size_of::<Related>()
    }

    pub(crate) fn add(&mut self, check: CheckId, code: u8, resource: Resource, number: i64) {
        self.hits.push(Hit { check, code, resource, number, related: (0, 0) });
    }

    pub(crate) fn add_with(
        &mut self,
        hit: (CheckId, u8, Resource, i64),
        related: impl IntoIterator<Item = Resource>,
    ) {
        let (check, code, resource, number) = hit;
        let start = self.related.len();
        let mut related = related.into_iter();
        self.related.extend(related.by_ref().take(RELATED_MAX).map(|resource| Related { resource }));
        self.related_shed += related.count() as u64;
        let at = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
        let related = (at(start), at(self.related.len()));
        self.hits.push(Hit { check, code, resource, number, related });
    }

    pub(crate) fn sort(&mut self) {
        self.hits.sort_by_key(|hit| (hit.check, hit.resource, hit.code, hit.number));
    }
}

impl Hit {
    /// The finding with all its words.
    #[must_use]
    pub fn finding(&self, found: &Findings, view: &View<'_>) -> Finding {
        let check: &Check = self.check.check();
        let mut resource = identifier(self.resource, view, check.by_issuer);
        resource.additional_info = self.additional_info(view);
        let related = |related: &Related| ResourceRef {
            additional_info: times(related.resource, view),
            ..identifier(related.resource, view, false)
        };
        let code = check.codes.get(usize::from(self.code));
        Finding {
            check: check.name.into(),
            severity: check.severity,
            code: code.map_or("", |code| code.code).into(),
            reason: sentence(code.map_or("", |code| code.text), self, view),
            resource,
            related: found.related(self).iter().map(related).collect(),
            place: None,
            remedy: check.remedy.into(),
        }
    }

    fn additional_info(&self, view: &View<'_>) -> Vec<(Cow<'static, str>, String)> {
        let expiring = matches!(self.check, CheckId::DeviceExpiring | CheckId::AuthorityExpiring);
        match view.facts(self.resource) {
            Some(facts) if expiring => vec![("EXPIRATION_TIME".into(), (facts.not_after * 1000).to_string())],
            _ => Vec::new(),
        }
    }
}

/// `device-defender-audit.md`, section 2, row 3.
fn times(resource: Resource, view: &View<'_>) -> Vec<(Cow<'static, str>, String)> {
    let Resource::Session(index) = resource else { return Vec::new() };
    let Some(session) = usize::try_from(index).ok().and_then(|index| view.sessions.get(index)) else {
        return Vec::new();
    };
    let mut info = vec![("CONNECTION_TIME".into(), session.connected.to_string())];
    info.extend(session.disconnected.map(|time| ("DISCONNECTION_TIME".into(), time.to_string())));
    info
}

/// Type and identifier of a resource (`device-defender-audit.md`, section 1, last columns).
fn identifier(resource: Resource, view: &View<'_>, by_issuer: bool) -> ResourceRef {
    let sha256 = |resource| view.facts(resource).map_or_else(String::new, |facts| facts.sha256.to_string());
    let at = |index: u32| usize::try_from(index).unwrap_or(usize::MAX);
    match resource {
        Resource::Device(_) => {
            ResourceRef::new("DEVICE_CERTIFICATE", [("deviceCertificateId", sha256(resource))])
        }
        Resource::Authority(_) if !by_issuer => {
            ResourceRef::new("CA_CERTIFICATE", [("caCertificateId", sha256(resource))])
        }
        Resource::Authority(_) | Resource::Intermediate(_) => {
            let facts = view.facts(resource);
            let subject = facts.map_or("", |facts| facts.subject()).to_owned();
            let serial = facts.map_or_else(String::new, |facts| facts.serial.to_string());
            let members = [
                ("issuerCertificateSubject", subject),
                ("issuerId", sha256(resource)),
                ("issuerCertificateSerialNumber", serial),
            ];
            ResourceRef::new("ISSUER_CERTIFICATE", members)
        }
        Resource::List(index) => {
            let list = view.lists.get(at(index));
            let members = [
                ("crlSha256", list.map_or_else(String::new, |list| list.sha256.to_string())),
                ("crlIssuer", list.map_or_else(String::new, |list| list.issuer.to_string())),
            ];
            ResourceRef::new("CRL", members)
        }
        Resource::Unreadable(index) => {
            let place = view.unreadable.get(at(index)).map_or_else(String::new, |entry| entry.place.clone());
            ResourceRef::new("FILE", [("place", place)])
        }
        Resource::Session(index) => {
            let client =
                view.sessions.get(at(index)).map_or_else(String::new, |session| session.client.to_string());
            ResourceRef::new("CLIENT_ID", [("clientId", client)])
        }
    }
}

/// Fills the placeholders of a reason code's text.
fn sentence(text: &str, hit: &Hit, view: &View<'_>) -> String {
    let mut out = String::with_capacity(text.len() + 32);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else { break };
        out.push_str(before);
        placeholder(name, hit, view, &mut out);
        rest = after;
    }
    out.push_str(rest);
    out
}

fn placeholder(name: &str, hit: &Hit, view: &View<'_>, out: &mut String) {
    let facts = view.facts(hit.resource);
    let number = hit.number;
    let written = match (name, facts) {
        ("number", _) => write!(out, "{number}"),
        ("date", _) => write!(out, "{}", date(number)),
        ("key", Some(facts)) => write!(out, "{}", facts.key.algorithm.name()),
        ("signature", Some(facts)) => write!(out, "{}", facts.signature.name()),
        ("subject", Some(facts)) => write!(out, "{}", facts.subject()),
        ("issuer", Some(facts)) => write!(out, "{}", facts.authority.name),
        ("things", _) => {
            write!(out, "{}", view.registered(hit.resource).map_or_else(String::new, |r| r.things.join(", ")))
        }
        ("faults", Some(facts)) => {
            let faults: Vec<String> = facts.faults.iter().map(ToString::to_string).collect();
            write!(out, "{}", faults.join("; "))
        }
        ("refusal", _) => match view.registered(hit.resource).map(|registered| &registered.path) {
            Some(super::view::PathState::Refused(refusal)) => write!(out, "{refusal}"),
            _ => Ok(()),
        },
        ("cause", _) => match hit.resource {
            Resource::Unreadable(index) => cause(index, view, out),
            _ => Ok(()),
        },
        _ => Ok(()),
    };
    debug_assert!(written.is_ok(), "a string takes what is written");
}

fn cause(index: u32, view: &View<'_>, out: &mut String) -> std::fmt::Result {
    let Some(entry) = usize::try_from(index).ok().and_then(|index| view.unreadable.get(index)) else {
        return Ok(());
    };
    let kind = match entry.kind {
        Kind::Certificate => "certificate",
        Kind::Crl => "CRL",
    };
    match &entry.cause {
        Cause::Der(fault) => write!(out, "{kind}: {fault}"),
        Cause::Pem(bad) => write!(out, "{kind}: {bad}"),
    }
}

/// `YYYY-MM-DD` of seconds since 1970 (H. Hinnant, `civil_from_days`).
fn date(seconds: i64) -> String {
    let days = seconds.div_euclid(86_400) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days - era * 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (seconds, expected) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (951_782_400, "2000-02-29"),
            (2_524_607_999, "2049-12-31"),
            (253_402_300_799, "9999-12-31"),
        ] {
            assert_eq!(date(seconds), expected);
        }
    }
}
