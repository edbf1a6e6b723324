//! Whether CRLs revoke a certificate (RFC 5280, section 6.3).

use super::crl::{List, Reason};
use super::der::Fault;
use super::extension::{self, Point, PointName};
use super::id::Serial;
use super::key::unsigned;
use super::name::{self, General, NameKey};
use super::parse::{Certificate, Known};
use super::path::Validator;
use super::signature::Checked;

/// Bits 1 to 8 of ReasonFlags.
const ALL_REASONS: u16 = 0b1_1111_1110;
/// CRL signers validated inside one another at most.
const SIGNERS_MAX: usize = 4;

/// Answer of the CRLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Good,
    Revoked(Reason),
    /// No usable CRL, or not for all reasons.
    Unknown,
}

/// The certificate that is asked about.
struct Asked<'p, 'a> {
    issuer: &'p Certificate<'a>,
    issuer_node: super::der::Node<'a>,
    issuer_key: NameKey,
    serial: Serial,
    is_ca: bool,
}

impl<'p, 'a> Validator<'p, 'a> {
    /// Status of `certificate`, issued by `issuer`.
    pub(crate) fn status(
        &mut self,
        certificate: &'p Certificate<'a>,
        issuer: &'p Certificate<'a>,
    ) -> Result<Status, Fault> {
        let is_ca = match certificate.extensions.get(Known::BasicConstraints) {
            Some(extension) => extension::basic_constraints(extension)?.is_ca,
            None => false,
        };
        let asked = Asked {
            issuer,
            issuer_node: certificate.issuer,
            issuer_key: certificate.issuer_key()?,
            serial: Serial::of(certificate.serial),
            is_ca,
        };
        let mut points = match certificate.extensions.get(Known::CrlPoints) {
            Some(extension) => extension::points(extension, "cRLDistributionPoints")?,
            None => Vec::new(),
        };
        // Whatever the points say, a CRL of the issuer for all certificates counts too.
        points.push(Point {
            name: Some(PointName::Full(vec![General::Directory(certificate.issuer)])),
            ..Point::default()
        });
        let mut covered = 0;
        for point in &points {
            if let Some(reason) = self.ask(&asked, point, &mut covered)? {
                return Ok(Status::Revoked(reason));
            }
        }
        Ok(if covered == ALL_REASONS { Status::Good } else { Status::Unknown })
    }

    /// Asks the CRLs of one point; adds the reasons they cover.
    fn ask(
        &mut self,
        asked: &Asked<'p, 'a>,
        point: &Point<'a>,
        covered: &mut u16,
    ) -> Result<Option<Reason>, Fault> {
        let mut issuers = Vec::new();
        for name in &point.issuer {
            if let General::Directory(node) = name {
                issuers.push(NameKey::of(*node, "cRLIssuer")?);
            }
        }
        if issuers.is_empty() {
            issuers.push(asked.issuer_key);
        }
        let pool = self.pool;
        for list in issuers.iter().flat_map(|issuer| pool.lists_of(issuer)).filter(|list| !list.is_delta()) {
            let reasons = point.reasons.unwrap_or(ALL_REASONS)
                & list.scope.reasons.unwrap_or(ALL_REASONS)
                & ALL_REASONS;
            if reasons & !*covered == 0 || !self.is_current(list) || !is_in_scope(list, asked, point)? {
                continue;
            }
            if !self.is_signed(list, asked) {
                continue;
            }
            if let Some(reason) = self.listed(list, asked) {
                return Ok(Some(reason));
            }
            *covered |= reasons;
        }
        Ok(None)
    }

    /// What a complete CRL and the newest delta to it say.
    fn listed(&mut self, list: &'p List<'a>, asked: &Asked<'p, 'a>) -> Option<Reason> {
        let pool = self.pool;
        let mut deltas: Vec<&List<'a>> = pool
            .lists_of(&list.key)
            .filter(|delta| is_delta_to(delta, list) && self.is_current(delta))
            .collect();
        deltas.sort_by_key(|delta| magnitude(delta.number.unwrap_or_default()));
        while let Some(delta) = deltas.pop() {
            if !self.is_signed(delta, asked) {
                continue;
            }
            match delta.entry(&asked.issuer_key, &asked.serial) {
                Some(entry) if entry.reason == Reason::REMOVED => return None,
                Some(entry) => return Some(entry.reason),
                None => break,
            }
        }
        list.entry(&asked.issuer_key, &asked.serial).map(|entry| entry.reason)
    }

    fn is_current(&self, list: &List<'a>) -> bool {
        list.this_update <= self.now
            && list.next_update.is_some_and(|next| self.now <= next)
            && !list.unknown_critical
    }

    /// Whether the CRL is signed by a certificate that may, and that is valid itself.
    fn is_signed(&mut self, list: &List<'a>, asked: &Asked<'p, 'a>) -> bool {
        let pool = self.pool;
        let above: Vec<&'p Certificate<'a>> =
            std::iter::once(asked.issuer).chain(self.anchors_with_subject(&list.key)).collect();
        let others = pool.with_subject(&list.key);
        for (signer, trusted) in
            above.iter().map(|signer| (*signer, true)).chain(others.map(|signer| (signer, false)))
        {
            if signer.subject_key() != Ok(list.key) || !signer.may_sign_crls() || !self.takes_signature() {
                continue;
            }
            if list.check_signature(&signer.key) == Checked::Good && (trusted || self.is_valid_signer(signer))
            {
                return true;
            }
        }
        false
    }

    /// A signer whose own status is on a list that it signed itself is taken at its word: the
    /// question is open only while the rest of its path is being validated (PKITS, 4.14.30).
    fn is_valid_signer(&mut self, signer: &'p Certificate<'a>) -> bool {
        if self.signers.iter().any(|other| std::ptr::eq(*other, signer)) {
            return true;
        }
        if self.signers.len() >= SIGNERS_MAX {
            return false;
        }
        self.signers.push(signer);
        let valid = self.path_to(signer).is_ok();
        self.signers.pop();
        valid
    }
}

/// Steps (b) of section 6.3.3.
fn is_in_scope(list: &List<'_>, asked: &Asked<'_, '_>, point: &Point<'_>) -> Result<bool, Fault> {
    let scope = &list.scope;
    if !point.issuer.is_empty() && !scope.indirect {
        return Ok(false);
    }
    if scope.only_attributes || (scope.only_user && asked.is_ca) || (scope.only_ca && !asked.is_ca) {
        return Ok(false);
    }
    let Some(name) = &scope.name else { return Ok(true) };
    let covered = comparable(name, list.issuer)?;
    let wanted = match (&point.name, point.issuer.first()) {
        (Some(PointName::Relative(set)), Some(General::Directory(issuer))) => {
            comparable(&PointName::Relative(*set), *issuer)?
        }
        (Some(name), _) => comparable(name, asked.issuer_node)?,
        (None, _) => comparable(&PointName::Full(point.issuer.clone()), asked.issuer_node)?,
    };
    Ok(wanted.iter().any(|name| covered.contains(name)))
}

/// Names of a point in a form to compare; a relative name is added to `base`.
fn comparable(name: &PointName<'_>, base: super::der::Node<'_>) -> Result<Vec<Vec<u8>>, Fault> {
    const FIELD: &str = "distributionPoint";
    match name {
        PointName::Full(names) => names
            .iter()
            .map(|name| {
                Ok(match name {
                    General::Directory(node) => name::relative_names(*node, FIELD)?.concat(),
                    General::Uri(bytes)
                    | General::Dns(bytes)
                    | General::Mail(bytes)
                    | General::Address(bytes) => bytes.to_vec(),
                    General::Other(_, bytes) => bytes.to_vec(),
                })
            })
            .collect(),
        PointName::Relative(set) => {
            let mut names = name::relative_names(base, FIELD)?;
            names.push(name::relative_name(*set, FIELD)?);
            Ok(vec![names.concat()])
        }
    }
}

/// Section 5.2.4: the same issuer, scope and key, based on this one or an earlier, and newer.
fn is_delta_to(delta: &List<'_>, complete: &List<'_>) -> bool {
    let (Some(base), Some(number), Some(of)) = (delta.base, delta.number, complete.number) else {
        return false;
    };
    delta.scope.encoded == complete.scope.encoded
        && delta.key_id == complete.key_id
        && magnitude(base) <= magnitude(of)
        && magnitude(number) > magnitude(of)
}

/// CRL numbers are not negative: longer is larger.
fn magnitude(number: &[u8]) -> (usize, &[u8]) {
    let digits = unsigned(number);
    (digits.len(), digits)
}
