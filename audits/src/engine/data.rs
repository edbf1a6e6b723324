//! Which checks have no data, and what others could not look at, in words.

use super::entries as own;
use super::run::Options;
use super::view::Fleet;
use crate::broker::RULES;
use crate::certificate::check::CheckId;
use crate::certificate::lists::ListKind;
use crate::policy::check::{misconfigured, permissive};

/// Name of the check of logs; brokers and accounts have one.
pub(super) const LOGGING: &str = "LOGGING_DISABLED_CHECK";
/// Name of the check of permission bits.
const MODES: &str = "BROKER_FILE_MODE_CHECK";

/// Why a check has no data; `None` if it has some.
pub(super) fn missing(fleet: &Fleet, options: &Options, check: &str) -> Option<String> {
    let why = match CheckId::from_name(check) {
        Some(id) => of_certificates(fleet, options, id),
        None if RULES.iter().any(|rule| rule.name == check) => of_brokers(fleet, check),
        None => of_policies(fleet, check),
    };
    why.map(str::to_owned)
}

fn of_certificates(fleet: &Fleet, options: &Options, check: CheckId) -> Option<&'static str> {
    use CheckId as C;
    let all = &fleet.certificates;
    let no_authority = all.authorities.is_empty().then_some("no CA certificate is known");
    let no_device = (all.devices.is_empty() && all.servers.is_empty()).then_some("no certificate is known");
    let none = no_device.filter(|_| no_authority.is_some());
    let no_list = all.lists.is_empty().then_some("no CRL is known, so nothing is known to be revoked");
    match check {
        C::RevokedAuthority => no_authority.or(no_list),
        C::RevokedDevice => no_device.or(no_list),
        C::RevokedIntermediate => none.or(no_list),
        C::ListStale | C::ListSignature => all.lists.is_empty().then_some("no CRL is known"),
        C::AuthorityKeyQuality | C::AuthorityExpiring | C::AuthorityUsage => no_authority,
        C::SharedCertificate => {
            all.sessions.is_none().then_some("nobody recorded which client used which certificate")
        }
        C::DeviceKeyQuality | C::DeviceExpiring | C::DeviceAge | C::DeviceIsAuthority | C::DeviceUsage => {
            no_device
        }
        C::NameMismatch => {
            let attached = all.devices.iter().any(|device| !device.things.is_empty());
            let none = options.parameters.name_rules.is_empty();
            no_device
                .or(none.then_some("no rule says what name a certificate has to bear (`NAME_RULES`)"))
                .or((!attached).then_some("which certificate belongs to which thing is not known"))
        }
        C::SharedPrime => {
            no_device.or(all.shared_primes.is_none().then_some("nobody compared the moduli of the keys"))
        }
        C::KeyPublic => none.or((!all.weak_keys.has_kind(ListKind::Public))
            .then_some("no list of keys whose private half is public is given")),
        C::Unreadable => none.filter(|_| all.unreadable.is_empty()),
        C::Malformed
        | C::KeyShort
        | C::KeyAlgorithm
        | C::KeyBroken
        | C::KeyExponent
        | C::KeyReused
        | C::SignatureWeak
        | C::ValidityTooLong
        | C::NotYetValid
        | C::PathRefused
        | C::NoRevocationSource
        | C::ListMissing
        | C::SerialReused => none,
    }
}

fn of_brokers(fleet: &Fleet, check: &str) -> Option<&'static str> {
    let none = fleet.deployments.is_empty().then_some("no broker's configuration is known");
    match check {
        LOGGING => none.filter(|_| fleet.logging.is_none()),
        MODES => {
            let mut files = fleet.deployments.iter().flat_map(|deployment| &deployment.files);
            none.or(files
                .all(|file| file.mode.is_none())
                .then_some("permission bits are not looked at: of copies they say nothing"))
        }
        _ => none,
    }
}

fn of_policies(fleet: &Fleet, check: &str) -> Option<&'static str> {
    let no_policy = fleet.policies.is_empty().then_some("no policy of AWS form is known");
    let no_list = fleet.access.is_empty().then_some("no access list is known");
    let neither = no_policy.and(no_list).map(|_| "neither a policy nor an access list is known");
    match check {
        permissive::CHECK | misconfigured::CHECK => no_policy,
        own::WITHOUT_LOGIN | own::ANY_LOGIN => no_list
            .filter(|_| fleet.deployments.is_empty())
            .map(|_| "neither an access list nor a broker's configuration is known"),
        own::UNUSED => neither.or(fleet.uses.is_none().then_some("nobody recorded what was used")),
        own::BLAST_RADIUS => {
            neither.or(fleet.things.is_none().then_some("the names of the things are not known"))
        }
        own::CONFLICTING => {
            fleet.displaced.is_none().then_some("nobody recorded which connections displaced others")
        }
        _ => neither,
    }
}

/// What a check that ran could not look at.
pub(super) fn remark(fleet: &Fleet, _: &Options, check: &str) -> Option<String> {
    let all = &fleet.certificates;
    let keys = [CheckId::DeviceKeyQuality, CheckId::AuthorityKeyQuality].map(|id| id.check().name);
    let no_debian = keys.contains(&check) && !all.weak_keys.has_kind(ListKind::Debian);
    if no_debian {
        return Some("keys of the Debian generator (CVE-2008-0166) are not known without their list".into());
    }
    let unknown = fleet.access.iter().filter(|list| list.deployment.is_none()).count();
    (check == own::WITHOUT_LOGIN && unknown > 0).then(|| {
        format!("whether the brokers of {unknown} access lists let anybody in without login is not known")
    })
}
