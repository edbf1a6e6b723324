//! Certificate policies along a path: which remain valid (RFC 5280, section 6.1, as the graph of
//! RFC 9618, which does not grow exponentially). Any policy is acceptable to begin with.

use std::collections::{BTreeMap, BTreeSet};

use super::der::{Der, Fault, Flaw, tag};
use super::extension::ITEMS_MAX;
use super::parse::{Certificate, Known};

/// Content octets of anyPolicy.
const ANY: &[u8] = &[0x55, 0x1d, 0x20, 0];
/// Counter that no path of ours reaches.
const NEVER: u32 = u32::MAX;

/// Policies of one level, with the policies that the next level may carry for each.
type Level<'a> = BTreeMap<&'a [u8], BTreeSet<&'a [u8]>>;

/// State of policy processing between two certificates.
#[derive(Clone, Debug)]
pub(crate) struct Policies<'a> {
    /// `None`: no policy is valid any more.
    level: Option<Level<'a>>,
    explicit: u32,
    mapping: u32,
    any: u32,
}

impl<'a> Policies<'a> {
    pub(crate) fn new() -> Self {
        let level = BTreeMap::from([(ANY, BTreeSet::from([ANY]))]);
        Self { level: Some(level), explicit: NEVER, mapping: NEVER, any: NEVER }
    }

    /// Steps (d) to (f) of section 6.1.3; whether the path may go on.
    pub(crate) fn enter(
        &mut self,
        certificate: &Certificate<'a>,
        is_last: bool,
        self_issued: bool,
    ) -> Result<bool, Fault> {
        let listed = match certificate.extensions.get(Known::Policies) {
            Some(extension) => policies(extension.value(tag::SEQUENCE, "certificatePolicies")?.inside())?,
            None => BTreeSet::new(),
        };
        let before = self.level.take().unwrap_or_default();
        let mut level = Level::new();
        for policy in listed.iter().filter(|policy| **policy != ANY) {
            let expected = before.values().any(|expected| expected.contains(policy));
            if expected || before.contains_key(ANY) {
                level.insert(policy, BTreeSet::from([*policy]));
            }
        }
        if listed.contains(ANY) && (self.any > 0 || (!is_last && self_issued)) {
            for policy in before.values().flatten() {
                level.entry(policy).or_insert_with(|| BTreeSet::from([*policy]));
            }
        }
        self.level = (!level.is_empty()).then_some(level);
        Ok(self.explicit > 0 || self.level.is_some())
    }

    /// Steps (a), (b) and (h) to (j) of section 6.1.4; whether the path may go on.
    pub(crate) fn leave(&mut self, certificate: &Certificate<'a>, self_issued: bool) -> Result<bool, Fault> {
        if let Some(extension) = certificate.extensions.get(Known::PolicyMappings) {
            let mappings = mappings(extension.value(tag::SEQUENCE, "policyMappings")?.inside())?;
            if mappings.iter().any(|(from, to)| *from == ANY || to.contains(ANY)) {
                return Ok(false);
            }
            self.map(mappings);
        }
        if !self_issued {
            for counter in [&mut self.explicit, &mut self.mapping, &mut self.any] {
                // NEVER stays far from every bound of a certificate.
                *counter = counter.saturating_sub(1);
            }
        }
        let (explicit, mapping) = constraints(certificate)?;
        self.explicit = self.explicit.min(explicit.unwrap_or(NEVER));
        self.mapping = self.mapping.min(mapping.unwrap_or(NEVER));
        if let Some(extension) = certificate.extensions.get(Known::InhibitAnyPolicy) {
            let skip = extension.value(tag::INTEGER, "inhibitAnyPolicy")?.number("inhibitAnyPolicy")?;
            self.any = self.any.min(skip);
        }
        Ok(true)
    }

    fn map(&mut self, mappings: BTreeMap<&'a [u8], BTreeSet<&'a [u8]>>) {
        let Some(level) = &mut self.level else { return };
        for (from, to) in mappings {
            if self.mapping == 0 {
                level.remove(from);
            } else if level.contains_key(from) || level.contains_key(ANY) {
                level.insert(from, to);
            }
        }
        if level.is_empty() {
            self.level = None;
        }
    }

    /// Steps (a), (b) and (g) of section 6.1.5 for the last certificate.
    pub(crate) fn finish(mut self, certificate: &Certificate<'a>) -> Result<bool, Fault> {
        self.explicit = self.explicit.saturating_sub(1);
        if constraints(certificate)?.0 == Some(0) {
            self.explicit = 0;
        }
        Ok(self.explicit > 0 || self.level.is_some())
    }
}

fn policies(mut list: Der<'_>) -> Result<BTreeSet<&[u8]>, Fault> {
    const FIELD: &str = "certificatePolicies";
    let mut found = BTreeSet::new();
    while !list.is_empty() {
        if found.len() >= ITEMS_MAX {
            return Err(list.fault(FIELD, Flaw::TooMany));
        }
        // Qualifiers change nothing in the result.
        found.insert(list.expect(tag::SEQUENCE, FIELD)?.inside().expect(tag::OID, FIELD)?.body);
    }
    Ok(found)
}

fn mappings(mut list: Der<'_>) -> Result<BTreeMap<&[u8], BTreeSet<&[u8]>>, Fault> {
    const FIELD: &str = "policyMappings";
    let mut found: BTreeMap<&[u8], BTreeSet<&[u8]>> = BTreeMap::new();
    let mut count = 0;
    while !list.is_empty() {
        count += 1;
        if count > ITEMS_MAX {
            return Err(list.fault(FIELD, Flaw::TooMany));
        }
        let mut pair = list.expect(tag::SEQUENCE, FIELD)?.inside();
        let (from, to) = (pair.expect(tag::OID, FIELD)?, pair.expect(tag::OID, FIELD)?);
        pair.end(FIELD)?;
        found.entry(from.body).or_default().insert(to.body);
    }
    Ok(found)
}

/// requireExplicitPolicy and inhibitPolicyMapping.
fn constraints(certificate: &Certificate<'_>) -> Result<(Option<u32>, Option<u32>), Fault> {
    const FIELD: &str = "policyConstraints";
    let Some(extension) = certificate.extensions.get(Known::PolicyConstraints) else {
        return Ok((None, None));
    };
    let mut inside = extension.value(tag::SEQUENCE, FIELD)?.inside();
    let mut skip = |number| -> Result<Option<u32>, Fault> {
        inside.optional(tag::context(number), FIELD)?.map(|node| node.number(FIELD)).transpose()
    };
    Ok((skip(0)?, skip(1)?))
}
