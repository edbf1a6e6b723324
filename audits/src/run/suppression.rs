//! Findings that somebody has decided to live with (`device-defender-audit.md`, section 7).

use hashbrown::HashSet;

use crate::finding::{Finding, ResourceRef};

/// How long a suppression holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// `suppressIndefinitely`.
    Indefinite,
    /// `expirationDate`: seconds since 1970; at that second it no longer holds.
    Until(i64),
}

impl Lifetime {
    fn holds(self, at: i64) -> bool {
        match self {
            Self::Indefinite => true,
            Self::Until(end) => at < end,
        }
    }
}

/// A check and a resource whose findings do not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppression {
    /// Name of the check.
    pub check: String,
    /// The resource; type and `additionalInfo` are not compared, the identifier is.
    pub resource: ResourceRef,
    /// How long.
    pub lifetime: Lifetime,
}

/// The suppressions that hold at the time of an audit, by check and identifier.
#[derive(Clone, Debug, Default)]
pub struct InForce(HashSet<(String, Members)>);

type Members = Vec<(String, String)>;

impl InForce {
    /// Those of `all` that hold `at` (seconds since 1970).
    #[must_use]
    pub fn new(all: &[Suppression], at: i64) -> Self {
        let key = |one: &Suppression| (one.check.clone(), members(&one.resource));
        Self(all.iter().filter(|one| one.lifetime.holds(at)).map(key).collect())
    }

    /// Whether `finding` is suppressed.
    #[must_use]
    pub fn has(&self, finding: &Finding) -> bool {
        !self.0.is_empty()
            && self.0.contains(&(finding.check.clone().into_owned(), members(&finding.resource)))
    }
}

/// Members by name: their order in a file says nothing.
pub(super) fn members(resource: &ResourceRef) -> Members {
    let mut members: Members =
        resource.identifier.iter().map(|(name, value)| (name.clone().into_owned(), value.clone())).collect();
    members.sort();
    members
}
