//! What is kept as it was given: one form for all kinds of which the control plane knows little.

use std::collections::{BTreeMap, BTreeSet};

use fleet::store::Table;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::change::Change;
use crate::aws::fault::Fault;

/// Documents of a kind at most.
const DOCUMENTS_MAX: usize = 100_000;
/// Certificates at most.
const CERTIFICATES_MAX: usize = 2_000_000;

/// A kind of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    ThingType,
    Certificate,
    Policy,
    CustomMetric,
    MitigationAction,
    ScheduledAudit,
    Suppression,
    AuditConfiguration,
}

impl Kind {
    pub(super) const ALL: [Self; 8] = [
        Self::ThingType,
        Self::Certificate,
        Self::Policy,
        Self::CustomMetric,
        Self::MitigationAction,
        Self::ScheduledAudit,
        Self::Suppression,
        Self::AuditConfiguration,
    ];

    /// In ARNs and in the keys of the store.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::ThingType => "thingtype",
            Self::Certificate => "cert",
            Self::Policy => "policy",
            Self::CustomMetric => "custommetric",
            Self::MitigationAction => "mitigationaction",
            Self::ScheduledAudit => "scheduledaudit",
            Self::Suppression => "suppression",
            Self::AuditConfiguration => "auditconfiguration",
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::ThingType => "thing type",
            Self::Certificate => "certificate",
            Self::Policy => "policy",
            Self::CustomMetric => "custom metric",
            Self::MitigationAction => "mitigation action",
            Self::ScheduledAudit => "scheduled audit",
            Self::Suppression => "suppression",
            Self::AuditConfiguration => "account audit configuration",
        }
    }

    const fn most(self) -> usize {
        match self {
            Self::Certificate => CERTIFICATES_MAX,
            _ => DOCUMENTS_MAX,
        }
    }
}

/// One document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Document {
    /// The members as they were given.
    pub(super) members: serde_json::Map<String, Value>,
    /// From 1.
    pub(super) version: u64,
    /// Seconds since the epoch.
    pub(super) created: Value,
    pub(super) modified: Value,
    /// ARNs of what a security profile is attached to.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) targets: BTreeSet<String>,
    /// What the caller sent so that a repeated request is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) token: Option<String>,
}

impl Document {
    /// A new one of those of the request's members.
    pub(super) fn new(change: &Change<'_>, members: &[&str]) -> Self {
        let given = members.iter().filter_map(|name| Some(((*name).to_owned(), change.get(name)?.clone())));
        Self {
            members: given.collect(),
            version: 1,
            created: change.seconds(),
            modified: change.seconds(),
            targets: BTreeSet::new(),
            token: change.text("clientRequestToken").map(str::to_owned),
        }
    }

    /// Takes over those of the request's members that it has, and counts the version on.
    pub(super) fn update(&mut self, change: &Change<'_>, members: &[&str]) {
        for name in members {
            if let Some(value) = change.get(name) {
                self.members.insert((*name).to_owned(), value.clone());
            }
        }
        self.version += 1;
        self.modified = change.seconds();
    }

    /// Whether the request that made it is asked again.
    pub(super) fn is_again(&self, new: &Self) -> bool {
        self.members == new.members && self.token == new.token
    }

    pub(super) fn text(&self, member: &str) -> Option<&str> {
        self.members.get(member)?.as_str()
    }

    /// A key in whose order older documents come first.
    pub(super) fn age_key(&self, name: &str) -> String {
        // The bits of positive numbers have the order of the numbers.
        format!("{:016x}/{name}", self.created.as_f64().unwrap_or_default().to_bits())
    }
}

impl Change<'_> {
    pub(super) fn documents(&self, kind: Kind) -> impl Iterator<Item = (&String, &Document)> {
        self.state.documents.get(&kind).into_iter().flatten()
    }

    pub(super) fn find(&self, kind: Kind, name: &str) -> Option<&Document> {
        self.state.documents.get(&kind)?.get(name)
    }

    pub(super) fn document(&self, kind: Kind, name: &str) -> Result<&Document, Fault> {
        self.find(kind, name).ok_or_else(|| Fault::missing(kind.word(), name))
    }

    pub(super) fn arn(&self, kind: Kind, name: &str) -> String {
        self.names.arn(&format!("{}/{name}", kind.name()))
    }

    /// There is one already, with other content.
    pub(super) fn taken(&self, kind: Kind, name: &str) -> Fault {
        Fault::exists(kind.word(), name, name, self.arn(kind, name))
    }

    /// Stores a document as it is now.
    pub(super) fn keep(&mut self, kind: Kind, name: &str, row: Document) -> Result<(), Fault> {
        let value = serde_json::to_vec(&row).map_err(Fault::internal)?;
        let all: &mut BTreeMap<String, Document> = self.state.documents.entry(kind).or_default();
        if all.len() >= kind.most() && !all.contains_key(name) {
            let (most, word) = (kind.most(), kind.word());
            return Err(Fault::limit(format!("there are {most} of the kind {word}, the most that are kept")));
        }
        all.insert(name.to_owned(), row);
        self.put(Table::Registry, format!("{}/{name}", kind.name()), value);
        Ok(())
    }

    /// Removes a document, and its tags.
    pub(super) fn forget(&mut self, kind: Kind, name: &str) {
        if let Some(all) = self.state.documents.get_mut(&kind)
            && all.remove(name).is_some()
        {
            let key = format!("{}/{name}", kind.name());
            self.untag(&key);
            self.delete(Table::Registry, key);
        }
    }
}
