//! What roles and logins are granted: the counterparts of AWS's checks of Cognito pools and role
//! aliases (`device-defender-audit.md`, checks 6, 7, 10 and 11), on a broker's access lists.

use super::deployments::{self, ANONYMOUS};
use super::entries::{self, ANY_LOGIN, ROLE, UNUSED, WITHOUT_LOGIN};
use super::run::{Found, Part, Scope};
use super::view::{AccessList, Holder};
use crate::finding::{Finding, Place, ResourceRef};
use crate::policy::check::{Answers, Template, acl, answers};
use crate::policy::form::{Document, Effect, Subject, System};
use crate::policy::least::{self, LeastPrivilege, Use};
use crate::policy::parse::aws::AwsPolicy;

/// Services whose every use is told (`device-defender-audit.md`, section 2, row 10).
const AUDITING: [&str; 5] = ["iam", "cloudtrail", "guardduty", "inspector", "trustedadvisor"];
/// Services of IoT policies themselves.
const IOT: [&str; 2] = ["iot", "iotjobsdata"];
/// Grants that a finding about unused ones names.
const UNUSED_MAX: usize = 5;

/// Who a subject is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    /// Nobody has to log in.
    WithoutLogin,
    /// Any login will do.
    AnyLogin,
    /// A user or role by its name.
    Named,
}

fn who(document: &Document, subject: &Subject) -> Who {
    let nameless = subject.name == "clients without a user name";
    match (subject.everyone, document.system) {
        (true, System::Nats) => Who::WithoutLogin,
        (true, System::MosquittoAcl | System::MosquittoDynsec) if nameless => Who::WithoutLogin,
        (true, _) => Who::AnyLogin,
        (false, _) => Who::Named,
    }
}

/// A finding about a subject, with the check's own words.
pub(super) fn about(
    document: &Document,
    subject: &Subject,
    check: &'static str,
    code: usize,
    reason: String,
) -> Finding {
    let members = [("file", document.file.clone()), ("subject", subject.name.clone())];
    let place = Place::line(document.file.clone(), subject.line);
    entries::finding(check, code, reason, ResourceRef::new("ACL_SUBJECT", members), Some(place))
}

/// A finding where another one is.
pub(super) fn at(cause: &Finding, check: &'static str, code: usize, reason: String) -> Finding {
    entries::finding(check, code, reason, cause.resource.clone(), cause.place.clone())
}

/// Checks 6, 7 and 10 on an access list.
pub(super) fn by_login<'f>(scope: Scope<'f>, list: &AccessList) -> Vec<Part<'f>> {
    if ![WITHOUT_LOGIN, ANY_LOGIN, ROLE].iter().any(|check| scope.runs(check)) {
        return Vec::new();
    }
    let document = &list.document;
    let known = &scope.fleet.known;
    let mut templates = known.templates.clone();
    templates.extend(Template::shown_by(document));
    templates.sort();
    templates.dedup();
    let open = document.system == System::Nats || lets_anybody_in(scope, list);
    let mut found: [Vec<Finding>; 3] = Default::default();
    for subject in document.subjects.iter().filter(|subject| !acl::is_administrator(subject, known)) {
        let who = who(document, subject);
        if who == Who::WithoutLogin && !open {
            continue;
        }
        let answers = Reach::of(&answers(document, subject, &templates));
        let (slot, check, codes) = match who {
            Who::WithoutLogin => (0, WITHOUT_LOGIN, answers.without_login()),
            Who::AnyLogin => (1, ANY_LOGIN, answers.any_login()),
            Who::Named => (2, ROLE, answers.named()),
        };
        let findings = codes.into_iter().map(|(code, what)| {
            about(document, subject, check, code, format!("{} may {what}", subject.name))
        });
        if let Some(found) = found.get_mut(slot) {
            found.extend(findings);
        }
    }
    let checks = [WITHOUT_LOGIN, ANY_LOGIN, ROLE].into_iter().zip(found);
    checks
        .filter(|(check, _)| scope.runs(check))
        .map(|(check, findings)| Part { check, examined: 1, found: Found::Whole(findings) })
        .collect()
}

/// Whether the broker of the list accepts connections without login, as far as is known.
fn lets_anybody_in(scope: Scope<'_>, list: &AccessList) -> bool {
    let deployment = list.deployment.and_then(|index| scope.fleet.deployments.get(index));
    deployment.is_some_and(|deployment| {
        deployments::audit(scope, deployment).iter().any(|finding| finding.check == ANONYMOUS)
    })
}

/// What of the answers these checks ask for.
struct Reach {
    control: bool,
    reads: bool,
    writes: bool,
    everything: bool,
}

/// Index of a reason code, and what somebody may do.
type Told = Vec<(usize, &'static str)>;

impl Reach {
    fn of(answers: &Answers) -> Self {
        let yes = |answer: &Result<bool, _>| *answer == Ok(true);
        let some = |answer: &Result<Option<String>, _>| matches!(answer, Ok(Some(_)));
        let reads_all = yes(&answers.reads_all) || yes(&answers.reads_unnamed);
        let writes_all = yes(&answers.writes_all) || yes(&answers.writes_unnamed);
        Self {
            control: some(&answers.writes_administration),
            reads: reads_all || some(&answers.reads_others),
            writes: writes_all || some(&answers.writes_others),
            everything: reads_all || writes_all,
        }
    }

    fn without_login(&self) -> Told {
        let admin = (self.control, (0, "publish where the broker is administered, without any login"));
        let data = (self.reads || self.writes, (1, "reach the topics of devices, without any login"));
        [admin, data].into_iter().filter(|(holds, _)| *holds).map(|(_, told)| told).collect()
    }

    fn any_login(&self) -> Told {
        let cases = [
            (self.reads, (0, "read the topics of any device")),
            (self.control, (1, "publish where the broker is administered")),
            (self.writes, (2, "publish to the topics of any device")),
        ];
        cases.into_iter().filter(|(holds, _)| *holds).map(|(_, told)| told).collect()
    }

    /// Somebody with a name may be a service whose work it is to reach devices, so only what is open
    /// without bounds counts.
    fn named(&self) -> Told {
        let cases = [
            (
                self.control,
                (3, "publish where the broker is administered, and is not called an administrator"),
            ),
            (self.everything, (5, "reach topics without bounds")),
        ];
        cases.into_iter().filter(|(holds, _)| *holds).map(|(_, told)| told).collect()
    }
}

/// Check 10 on a policy that grants other services than IoT: a role's.
pub(super) fn of_services(policy: &AwsPolicy) -> Vec<Finding> {
    let grants = policy.statements.iter().filter(|statement| statement.effect == Effect::Allow);
    let actions = grants.filter(|statement| !statement.not_action).flat_map(|statement| &statement.actions);
    let mut found: [Option<(usize, String)>; 2] = [None, None];
    for (line, action) in actions {
        let Some((service, what)) = action.split_once(':') else { continue };
        let service = service.to_ascii_lowercase();
        if IOT.contains(&service.as_str()) {
            continue;
        }
        let is_auditing = AUDITING.contains(&service.as_str());
        let slot = if is_auditing { &mut found[1] } else { &mut found[0] };
        if slot.is_none() && (is_auditing || what == "*") {
            *slot = Some((*line, action.clone()));
        }
    }
    let told = ["every action of a service", "an action of a service that guards the account"];
    let findings = (0..).zip(found).zip(told).filter_map(|((code, found), what)| {
        let (line, action) = found?;
        let reason = format!("the role is allowed `{action}`, {what}");
        let place = Place::line(policy.file.clone(), line);
        Some(entries::finding(ROLE, code, reason, policy.resource(), Some(place)))
    });
    findings.collect()
}

/// Check 11 on a policy: its grants that nobody used who has it.
pub(super) fn unused_of_policy(policy: &AwsPolicy, holders: &[Holder], uses: &[Use]) -> Option<Finding> {
    let has = |one: &Use| {
        one.principal.thing.as_ref().is_some_and(|thing| {
            holders.iter().any(|holder| matches!(holder, Holder::Thing(name) if name == thing))
        })
    };
    let named = holders.iter().any(|holder| matches!(holder, Holder::Thing(_)));
    let uses: Vec<Use> = uses.iter().filter(|one| !named || has(one)).cloned().collect();
    unused(least::aws(policy, &uses), &policy.file, policy.resource())
}

/// Check 11 on an access list; of other systems than Mosquitto no use of a rule is known.
pub(super) fn unused_of_list(list: &AccessList, uses: &[Use]) -> Option<Finding> {
    let document = &list.document;
    if document.system != System::MosquittoAcl {
        return None;
    }
    let resource = ResourceRef::new("ACL_DOCUMENT", [("file", document.file.clone())]);
    unused(least::mosquitto(document, &list.text, uses), &document.file, resource)
}

fn unused(report: LeastPrivilege, file: &str, mut resource: ResourceRef) -> Option<Finding> {
    let first = report.unused.first()?;
    let named = report.unused.iter().take(UNUSED_MAX);
    let named: Vec<String> =
        named.map(|one| format!("{} on `{}` (line {})", one.action, one.grant, one.line)).collect();
    let more = report.unused.len().saturating_sub(named.len());
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let reason = format!("{} grants were not used: {}{more}", report.unused.len(), named.join(", "));
    if let Some(proposal) = report.proposal {
        resource.additional_info.push(("PROPOSED_POLICY".into(), proposal));
    }
    Some(entries::finding(UNUSED, 0, reason, resource, Some(Place::line(file, first.line))))
}
