//! Certification paths: found among known certificates, and validated (RFC 5280, section 6.1).
//!
//! Path building tries every known certificate whose subject is the issuer that is looked for and
//! whose key verifies the signature; what it tries is bounded. Signatures are verified by `ring`;
//! DSA, P-521, SHA-224, Ed448 and ML-DSA are not offered there and refused as such.

use std::collections::BTreeMap;
use std::fmt;

use super::constraint::Constraints;
use super::crl::{List, Reason};
use super::der::Fault;
use super::extension::{self, KeyUsage};
use super::name::NameKey;
use super::parse::{Certificate, Known};
use super::policy_tree::Policies;
use super::revocation::Status;
use super::signature::{self, Checked, SignatureAlgorithm};

/// Certificates on one path at most, without the trust anchor.
pub const PATH_MAX: usize = 12;
/// Signatures checked for one question at most.
pub const SIGNATURES_MAX: u32 = 400;

impl<'a> Certificate<'a> {
    pub(crate) fn subject_key(&self) -> Result<NameKey, Fault> {
        NameKey::of(self.subject, "tbsCertificate.subject")
    }

    pub(crate) fn issuer_key(&self) -> Result<NameKey, Fault> {
        NameKey::of(self.issuer, "tbsCertificate.issuer")
    }

    fn usage(&self) -> Result<Option<KeyUsage>, Fault> {
        self.extensions.get(Known::KeyUsage).map(extension::key_usage).transpose()
    }

    /// No key usage, or one that allows it.
    pub(crate) fn may_sign_crls(&self) -> bool {
        matches!(self.usage(), Ok(usage) if usage.is_none_or(|usage| usage.has(KeyUsage::CRL_SIGN)))
    }

    fn is_same(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

/// Certificates and CRLs that are known, by subject and issuer.
#[derive(Debug, Default)]
pub struct Pool<'a> {
    certificates: Vec<Certificate<'a>>,
    by_subject: BTreeMap<NameKey, Vec<usize>>,
    lists: Vec<List<'a>>,
    by_issuer: BTreeMap<NameKey, Vec<usize>>,
}

impl<'a> Pool<'a> {
    /// Adds a certificate that may be an issuer.
    ///
    /// # Errors
    /// If its subject cannot be read.
    pub fn add(&mut self, certificate: Certificate<'a>) -> Result<(), Fault> {
        self.by_subject.entry(certificate.subject_key()?).or_default().push(self.certificates.len());
        self.certificates.push(certificate);
        Ok(())
    }

    /// Adds a CRL.
    pub fn add_list(&mut self, list: List<'a>) {
        self.by_issuer.entry(list.key).or_default().push(self.lists.len());
        self.lists.push(list);
    }

    pub(crate) fn with_subject(&self, key: &NameKey) -> impl Iterator<Item = &Certificate<'a>> {
        self.by_subject.get(key).into_iter().flatten().filter_map(|index| self.certificates.get(*index))
    }

    pub(crate) fn lists_of(&self, key: &NameKey) -> impl Iterator<Item = &List<'a>> {
        self.by_issuer.get(key).into_iter().flatten().filter_map(|index| self.lists.get(*index))
    }
}

/// What is asked of CRLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// Each certificate must be covered by usable CRLs (RFC 5280, section 6.3).
    Required,
    /// A certificate that a usable CRL lists is refused; one that none covers is not.
    IfListed,
    /// CRLs are not looked at.
    Ignored,
}

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No known certificate or trust anchor has the issuer's name.
    IssuerUnknown,
    /// The key of the issuer does not verify the signature.
    SignatureBad,
    /// The signature algorithm is not offered, so nothing is known.
    SignatureNotOffered(SignatureAlgorithm),
    /// Before its notBefore.
    NotYetValid,
    /// After its notAfter.
    Expired,
    /// An issuer that is not a CA.
    NotCa,
    /// An issuer that may not sign certificates.
    KeyUsage,
    /// More certificates below a CA than it allows.
    PathTooLong,
    /// A name that a CA above does not allow.
    NameConstraints,
    /// No certificate policy is valid where one is required, or a mapping of any policy.
    Policy,
    /// A critical extension that is not known here.
    CriticalExtension,
    /// On a CRL.
    Revoked(Reason),
    /// No usable CRL covers it.
    RevocationUnknown,
    /// A part that the validation needs cannot be read.
    Malformed(Fault),
    /// More signatures than are checked for one question.
    TooManyPaths,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IssuerUnknown => write!(f, "no known certificate has the name of the issuer"),
            Self::SignatureBad => write!(f, "no key of an issuer with that name verifies the signature"),
            Self::SignatureNotOffered(algorithm) => write!(f, "{} cannot be verified here", algorithm.name()),
            Self::NotYetValid => write!(f, "not yet valid"),
            Self::Expired => write!(f, "expired"),
            Self::NotCa => write!(f, "an issuer is not a CA"),
            Self::KeyUsage => write!(f, "an issuer may not sign certificates"),
            Self::PathTooLong => write!(f, "longer than a CA on it allows"),
            Self::NameConstraints => write!(f, "a name that a CA above does not allow"),
            Self::Policy => write!(f, "no certificate policy is valid"),
            Self::CriticalExtension => write!(f, "an unknown critical extension"),
            Self::Revoked(reason) => write!(f, "revoked ({})", reason.name()),
            Self::RevocationUnknown => write!(f, "no usable CRL covers it"),
            Self::Malformed(fault) => write!(f, "{fault}"),
            Self::TooManyPaths => write!(f, "more paths than are tried"),
        }
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Malformed(fault)
    }
}

/// One question put to a pool.
#[derive(Debug)]
pub struct Validator<'p, 'a> {
    pub(crate) pool: &'p Pool<'a>,
    anchors: &'p [Certificate<'a>],
    /// Seconds since 1970.
    pub(crate) now: i64,
    revocation: Revocation,
    signatures_left: u32,
    /// CRL signers that are being validated, innermost last.
    pub(crate) signers: Vec<&'p Certificate<'a>>,
}

/// From the certificate in question to the one below the trust anchor.
type Chain<'p, 'a> = Vec<&'p Certificate<'a>>;

impl<'p, 'a> Validator<'p, 'a> {
    /// Questions about paths from `anchors` at the time `now` in seconds since 1970.
    #[must_use]
    pub fn new(pool: &'p Pool<'a>, anchors: &'p [Certificate<'a>], now: i64, revocation: Revocation) -> Self {
        Self { pool, anchors, now, revocation, signatures_left: SIGNATURES_MAX, signers: Vec::new() }
    }

    /// Finds a valid path to `certificate`; gives the certificates on it, the asked one first, and
    /// the trust anchor last.
    ///
    /// # Errors
    /// Why the last path that got farthest was refused.
    pub fn validate(mut self, certificate: &'p Certificate<'a>) -> Result<Vec<&'p Certificate<'a>>, Refusal> {
        self.path_to(certificate)
    }

    pub(crate) fn path_to(&mut self, certificate: &'p Certificate<'a>) -> Result<Chain<'p, 'a>, Refusal> {
        if let Some(anchor) = self.anchors.iter().find(|anchor| anchor.is_same(certificate)) {
            return Ok(vec![anchor]);
        }
        let mut chain = vec![certificate];
        self.extend(&mut chain)
    }

    pub(crate) fn anchors_with_subject(
        &self,
        key: &NameKey,
    ) -> impl Iterator<Item = &'p Certificate<'a>> + use<'p, 'a> {
        let key = *key;
        self.anchors.iter().filter(move |anchor| anchor.subject_key() == Ok(key))
    }

    fn extend(&mut self, chain: &mut Chain<'p, 'a>) -> Result<Chain<'p, 'a>, Refusal> {
        let Some(top) = chain.last().copied() else { return Err(Refusal::IssuerUnknown) };
        let issuer = top.issuer_key()?;
        let mut refusal = Refusal::IssuerUnknown;
        for anchor in self.anchors_with_subject(&issuer) {
            match self.verify(top, anchor).and_then(|()| self.check(chain, anchor)) {
                Ok(()) => {
                    let mut path = chain.clone();
                    path.push(anchor);
                    return Ok(path);
                }
                Err(Refusal::TooManyPaths) => return Err(Refusal::TooManyPaths),
                Err(other) => refusal = other,
            }
        }
        if chain.len() >= PATH_MAX {
            return Err(refusal);
        }
        let pool = self.pool;
        for candidate in pool.with_subject(&issuer) {
            if chain.iter().any(|certificate| certificate.is_same(candidate)) {
                continue;
            }
            let found = self.verify(top, candidate).and_then(|()| {
                chain.push(candidate);
                let found = self.extend(chain);
                chain.pop();
                found
            });
            match found {
                Ok(path) => return Ok(path),
                Err(Refusal::TooManyPaths) => return Err(Refusal::TooManyPaths),
                Err(other) => refusal = graver(refusal, other),
            }
        }
        Err(refusal)
    }

    fn verify(&mut self, certificate: &Certificate<'a>, issuer: &Certificate<'a>) -> Result<(), Refusal> {
        self.signatures_left = self.signatures_left.checked_sub(1).ok_or(Refusal::TooManyPaths)?;
        let algorithm = certificate.signature_algorithm;
        match signature::check(algorithm, &issuer.key, certificate.signed, certificate.signature) {
            Checked::Good => Ok(()),
            Checked::Bad => Err(Refusal::SignatureBad),
            Checked::NotOffered => Err(Refusal::SignatureNotOffered(algorithm)),
        }
    }

    /// Whether one more signature of a CRL may be checked.
    pub(crate) fn takes_signature(&mut self) -> bool {
        match self.signatures_left.checked_sub(1) {
            Some(left) => {
                self.signatures_left = left;
                true
            }
            None => false,
        }
    }

    /// Section 6.1.3 to 6.1.5 for a chain whose signatures are verified.
    fn check(&mut self, chain: &[&'p Certificate<'a>], anchor: &'p Certificate<'a>) -> Result<(), Refusal> {
        let mut state =
            State { constraints: Constraints::default(), policies: Policies::new(), length: usize::MAX };
        for (index, certificate) in chain.iter().enumerate().rev() {
            let issuer = chain.get(index + 1).copied().unwrap_or(anchor);
            self.check_time(certificate)?;
            self.check_revocation(certificate, issuer)?;
            state.enter(certificate, index == 0)?;
            if index > 0 {
                state.leave(certificate)?;
            }
        }
        let Some(target) = chain.first() else { return Ok(()) };
        if state.policies.finish(target)? { Ok(()) } else { Err(Refusal::Policy) }
    }

    fn check_time(&self, certificate: &Certificate<'a>) -> Result<(), Refusal> {
        if self.now < certificate.not_before {
            Err(Refusal::NotYetValid)
        } else if self.now > certificate.not_after {
            Err(Refusal::Expired)
        } else {
            Ok(())
        }
    }

    fn check_revocation(
        &mut self,
        certificate: &'p Certificate<'a>,
        issuer: &'p Certificate<'a>,
    ) -> Result<(), Refusal> {
        if self.revocation == Revocation::Ignored {
            return Ok(());
        }
        match self.status(certificate, issuer)? {
            Status::Good => Ok(()),
            Status::Revoked(reason) => Err(Refusal::Revoked(reason)),
            Status::Unknown if self.revocation == Revocation::IfListed => Ok(()),
            Status::Unknown => Err(Refusal::RevocationUnknown),
        }
    }
}

/// Keeps what tells most: a reason on a path that was built over one that was not.
fn graver(one: Refusal, other: Refusal) -> Refusal {
    match (one, other) {
        (_, Refusal::IssuerUnknown) => one,
        (Refusal::IssuerUnknown | Refusal::SignatureBad, _) => other,
        (_, Refusal::SignatureBad) => one,
        _ => other,
    }
}

/// What certificates hand down the path.
#[derive(Debug)]
struct State<'a> {
    constraints: Constraints,
    policies: Policies<'a>,
    /// Certificates that may follow, not counting self-issued ones and the last.
    length: usize,
}

impl<'a> State<'a> {
    /// Section 6.1.3 but signature, time and revocation.
    fn enter(&mut self, certificate: &Certificate<'a>, is_last: bool) -> Result<(), Refusal> {
        let self_issued = is_self_issued(certificate)?;
        if (is_last || !self_issued) && !self.constraints.allow(certificate)? {
            return Err(Refusal::NameConstraints);
        }
        if !self.policies.enter(certificate, is_last, self_issued)? {
            return Err(Refusal::Policy);
        }
        if certificate.extensions.unknown_critical { Err(Refusal::CriticalExtension) } else { Ok(()) }
    }

    /// Section 6.1.4.
    fn leave(&mut self, certificate: &Certificate<'a>) -> Result<(), Refusal> {
        let self_issued = is_self_issued(certificate)?;
        if !self.policies.leave(certificate, self_issued)? {
            return Err(Refusal::Policy);
        }
        if let Some(extension) = certificate.extensions.get(Known::NameConstraints) {
            self.constraints.add(extension)?.ok_or(Refusal::NameConstraints)?;
        }
        let basic = certificate.extensions.get(Known::BasicConstraints).map(extension::basic_constraints);
        let Some(basic) = basic.transpose()?.filter(|basic| basic.is_ca && certificate.version == 3) else {
            return Err(Refusal::NotCa);
        };
        if !self_issued {
            self.length = self.length.checked_sub(1).ok_or(Refusal::PathTooLong)?;
        }
        if let Some(length) = basic.path_len {
            self.length = self.length.min(usize::try_from(length).unwrap_or(usize::MAX));
        }
        if certificate.usage()?.is_some_and(|usage| !usage.has(KeyUsage::CERTIFICATE_SIGN)) {
            return Err(Refusal::KeyUsage);
        }
        Ok(())
    }
}

fn is_self_issued(certificate: &Certificate<'_>) -> Result<bool, Fault> {
    Ok(certificate.is_self_issued() || certificate.subject_key()? == certificate.issuer_key()?)
}
