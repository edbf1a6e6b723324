//! What the verified CRLs of a view say of certificates.
//!
//! A CRL past its next update still counts: what was revoked stays revoked. Of several lists that
//! name a certificate the newest decides, so that a delta can take a hold back.

use std::collections::BTreeMap;

use super::crl::{Entry, Reason};
use super::facts::Facts;
use super::name::NameKey;
use super::view::{Crl, Signer};

/// CRLs by the issuers of the certificates they may list.
#[derive(Debug)]
pub(crate) struct Revocations<'v> {
    /// Newest first.
    by_issuer: BTreeMap<NameKey, Vec<&'v Crl>>,
}

impl<'v> Revocations<'v> {
    pub(crate) fn new(lists: &'v [Crl]) -> Self {
        let mut by_issuer: BTreeMap<NameKey, Vec<&Crl>> = BTreeMap::new();
        for list in lists.iter().filter(|list| list.signer == Signer::Verified) {
            for issuer in &list.table.issuers {
                by_issuer.entry(*issuer).or_default().push(list);
            }
        }
        by_issuer
            .values_mut()
            .for_each(|lists| lists.sort_by_key(|list| std::cmp::Reverse(list.this_update)));
        Self { by_issuer }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_issuer.is_empty()
    }

    /// Whether a CRL of the certificate's issuer is known.
    pub(crate) fn knows_issuer(&self, facts: &Facts) -> bool {
        facts.authority.key.is_some_and(|key| self.by_issuer.contains_key(&key))
    }

    /// The entry that revokes a certificate.
    pub(crate) fn of(&self, facts: &Facts) -> Option<&'v Entry> {
        let issuer = facts.authority.key?;
        let lists = self.by_issuer.get(&issuer)?;
        let entry = lists.iter().find_map(|list| list.table.entry(&issuer, &facts.serial))?;
        (entry.reason != Reason::REMOVED).then_some(entry)
    }
}
