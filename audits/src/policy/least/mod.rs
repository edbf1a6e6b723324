//! Least privilege: what is granted and was not used, and a tighter policy that allows what was.
//!
//! The proposal is in the language of the policy, and is *proven* by the algebra before it is given:
//! for every action the set that it allows is a subset of what the old one allows, and every use
//! that the old one allowed is allowed by the new one.
//!
//! # How the tighter grant is made
//! A use is written with the variable in place of the device's own name. If a grant was used for a few
//! topics, it becomes these topics; if for many, topics of the same number of levels are put together,
//! with a wildcard in each level in which they differ. What would be wider than the old grant is not
//! proposed: the old grant stays.

mod aws;
mod mosquitto;
#[cfg(test)]
mod tests;
mod tighten;

pub use aws::aws;
pub use mosquitto::mosquitto;

use super::form::{Action, Undecided};

/// Somebody did something, so many times. Of a recorded history each different one once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Principal {
    /// Name of the thing that the connection is attached to.
    pub thing: Option<String>,
    /// Client id.
    pub client_id: Option<String>,
    /// User name.
    pub user: Option<String>,
}

/// One different use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// Who.
    pub principal: Principal,
    /// What.
    pub action: Action,
    /// Topic, filter, client id or thing name.
    pub name: String,
    /// How often.
    pub count: u64,
}

/// A grant that nobody used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unused {
    /// Line of the grant.
    pub line: usize,
    /// The action that was not used, as the language of the policy names it.
    pub action: &'static str,
    /// The grant as written.
    pub grant: String,
}

/// What the algebra says about a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// For every action: what the new policy allows, the old one allows too.
    pub subset: Result<bool, Undecided>,
    /// Uses that the old policy allows, each different one once.
    pub used: usize,
    /// Those of them that the new one allows.
    pub kept: usize,
    /// Uses that the old policy does not allow; they were attempts, or come from another policy.
    pub refused: usize,
}

impl Proof {
    /// Whether the new policy may take the place of the old one.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.subset == Ok(true) && self.used == self.kept
    }
}

/// The report about one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeastPrivilege {
    /// Grants that nobody used, in the order of the file.
    pub unused: Vec<Unused>,
    /// The tighter policy, in the language of the old one; none if it could not be proven.
    pub proposal: Option<String>,
    /// The proof.
    pub proof: Proof,
}
