//! Client ids that several clients use, and logs that are off.

use std::collections::BTreeMap;

use super::data::LOGGING;
use super::deployments;
use super::entries::{self, CONFLICTING};
use super::run::{Found, Part, Scope, Step};
use super::view::Displaced;
use crate::finding::{Finding, ResourceRef, Severity};

/// Displacements that a finding lists, newest first (AWS: at most 10 related resources are listed).
const RELATED_MAX: usize = 10;

pub(super) fn steps(scope: Scope<'_>) -> Vec<Step<'_>> {
    let conflicts = scope.fleet.displaced.as_ref().map(|(clients, displaced)| {
        Step::new("client ids", vec![CONFLICTING], move || {
            let found = Found::Whole(conflicts(displaced));
            vec![Part { check: CONFLICTING, examined: *clients, found }]
        })
    });
    conflicts.into_iter().chain(deployments::account_log(scope)).collect()
}

/// One finding for each client id, by id (`device-defender-audit.md`, section 2, row 15).
fn conflicts(displaced: &[Displaced]) -> Vec<Finding> {
    let mut by_client: BTreeMap<&str, Vec<&Displaced>> = BTreeMap::new();
    for one in displaced {
        by_client.entry(&one.client).or_default().push(one);
    }
    by_client.into_iter().map(|(client, displaced)| conflict(client, displaced)).collect()
}

fn conflict(client: &str, mut displaced: Vec<&Displaced>) -> Finding {
    displaced.sort_by_key(|one| (std::cmp::Reverse(one.at), &one.principal));
    let related = displaced.iter().take(RELATED_MAX).map(|one| {
        let name = one.principal.as_deref().unwrap_or("unknown").to_owned();
        let is_certificate = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        let mut resource = if is_certificate {
            ResourceRef::new("DEVICE_CERTIFICATE", [("deviceCertificateId", name)])
        } else {
            ResourceRef::new("PRINCIPAL", [("principal", name)])
        };
        resource.additional_info.push(("DISCONNECTION_TIME".into(), one.at.to_string()));
        resource
    });
    Finding {
        related: related.collect(),
        ..entries::finding(
            CONFLICTING,
            0,
            format!("client id `{client}` was taken over by another connection {} times", displaced.len()),
            ResourceRef::new("CLIENT_ID", [("clientId", client.to_owned())]),
            None,
        )
    }
}

pub(super) fn logging_off(account: &str) -> Finding {
    Finding {
        check: LOGGING.into(),
        severity: Severity::Low,
        code: "LOGGING_DISABLED".into(),
        reason: format!("the log of `{account}` is off"),
        resource: ResourceRef::new("ACCOUNT_SETTINGS", [("account", account.to_owned())]),
        related: Vec::new(),
        place: None,
        remedy: "switch it on, at the level of warnings at least".into(),
    }
}
