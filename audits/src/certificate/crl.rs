//! Certificate revocation lists (RFC 5280, section 5).

use super::der::{Der, Fault, Flaw, Node, single, tag};
use super::extension::{self, PointName, bit_set};
use super::id::{Fingerprint, KeyId, Serial};
use super::key::PublicKey;
use super::name::{self, General, NameKey};
use super::parse::{Certificate, Extension, FAULTS_MAX, each_extension};
use super::signature::{self, Checked, SignatureAlgorithm};
use super::when;

/// A CRL larger than this is not read.
pub const CRL_BYTES_MAX: usize = 64 << 20;

/// Why a certificate is revoked (RFC 5280, section 5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reason(pub u8);

impl Reason {
    /// No reason is given.
    pub const UNSPECIFIED: Self = Self(0);
    /// On hold; may be taken back.
    pub const HOLD: Self = Self(6);
    /// In a delta CRL: no longer revoked.
    pub const REMOVED: Self = Self(8);

    /// Name of RFC 5280.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            0 => "unspecified",
            1 => "keyCompromise",
            2 => "cACompromise",
            3 => "affiliationChanged",
            4 => "superseded",
            5 => "cessationOfOperation",
            6 => "certificateHold",
            8 => "removeFromCRL",
            9 => "privilegeWithdrawn",
            10 => "aACompromise",
            _ => "unknown reason",
        }
    }
}

/// One revoked certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Seconds since 1970.
    pub revoked_at: i64,
    /// Serial number.
    pub serial: Serial,
    /// Why.
    pub reason: Reason,
    /// Index into the issuers of the table; 0: the issuer of the CRL.
    issuer: u16,
}

/// The entries of a CRL, sorted by issuer and serial number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    /// Issuer of the CRL, then those that entries of an indirect CRL name.
    pub(crate) issuers: Vec<NameKey>,
    pub(crate) entries: Vec<Entry>,
}

impl Table {
    /// The entry of a certificate.
    pub(crate) fn entry(&self, issuer: &NameKey, serial: &Serial) -> Option<&Entry> {
        let index = self.issuers.iter().position(|known| known == issuer)?;
        let issuer = u16::try_from(index).ok()?;
        let found =
            self.entries.binary_search_by(|entry| (entry.issuer, entry.serial).cmp(&(issuer, *serial)));
        self.entries.get(found.ok()?)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.issuers.capacity() * size_of::<NameKey>() + self.entries.capacity() * size_of::<Entry>()
    }
}

/// What a CRL covers (issuing distribution point, RFC 5280, section 5.2.5).
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope<'a> {
    pub(crate) name: Option<PointName<'a>>,
    pub(crate) only_user: bool,
    pub(crate) only_ca: bool,
    pub(crate) only_attributes: bool,
    pub(crate) indirect: bool,
    pub(crate) reasons: Option<u16>,
    /// The encoding, to find the base of a delta.
    pub(crate) encoded: &'a [u8],
}

/// A CRL in place, with its entries sorted by issuer and serial number.
#[derive(Clone, Debug)]
pub struct List<'a> {
    der: &'a [u8],
    signed: &'a [u8],
    signature: &'a [u8],
    pub(crate) issuer: Node<'a>,
    /// Issuer for comparison.
    pub key: NameKey,
    /// Key identifier of the issuer's key.
    pub key_id: Option<KeyId>,
    /// Signature algorithm.
    pub signature_algorithm: SignatureAlgorithm,
    /// Seconds since 1970.
    pub this_update: i64,
    /// Seconds since 1970.
    pub next_update: Option<i64>,
    /// Content octets of the CRL number.
    pub(crate) number: Option<&'a [u8]>,
    /// For a delta CRL: content octets of the number of its base.
    pub(crate) base: Option<&'a [u8]>,
    pub(crate) scope: Scope<'a>,
    /// A critical extension of the CRL or of an entry that is not known here.
    pub unknown_critical: bool,
    table: Table,
    /// What is wrong without making the CRL unreadable.
    pub faults: Vec<Fault>,
}

impl<'a> List<'a> {
    /// Reads one CRL, which must be all of `der`.
    ///
    /// # Errors
    /// The first fault of the outer structure or of an entry, with offset and field.
    pub fn parse(der: &'a [u8]) -> Result<Self, Fault> {
        if der.len() > CRL_BYTES_MAX {
            return Err(Fault { offset: 0, field: "certificateList", flaw: Flaw::TooLarge });
        }
        let mut outer = single(der, tag::SEQUENCE, "certificateList")?.inside();
        let body = outer.expect(tag::SEQUENCE, "tbsCertList")?;
        let algorithm = outer.expect(tag::SEQUENCE, "signatureAlgorithm")?;
        let signature = outer.expect(tag::BIT_STRING, "signatureValue")?.bits("signatureValue")?.0;
        outer.end("certificateList")?;
        let mut list = fields(der, body, algorithm)?;
        list.signature = signature;
        list.faults.truncate(FAULTS_MAX);
        Ok(list)
    }

    /// SHA-256 of the DER.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.der)
    }

    /// Issuer as text of RFC 4514.
    #[must_use]
    pub fn issuer_name(&self) -> String {
        let mut text = String::new();
        match name::text(self.issuer, "tbsCertList.issuer", &mut text) {
            Ok(()) => text,
            Err(fault) => fault.to_string(),
        }
    }

    /// Entries, sorted by issuer and serial number.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.table.entries
    }

    pub(crate) fn into_table(self) -> Table {
        self.table
    }

    /// Whether it lists changes to another CRL alone.
    #[must_use]
    pub fn is_delta(&self) -> bool {
        self.base.is_some()
    }

    /// Whether it may list certificates of other issuers.
    #[must_use]
    pub fn is_indirect(&self) -> bool {
        self.scope.indirect
    }

    /// The entry of a certificate.
    #[must_use]
    pub fn entry(&self, issuer: &NameKey, serial: &Serial) -> Option<&Entry> {
        self.table.entry(issuer, serial)
    }

    pub(crate) fn check_signature(&self, key: &PublicKey<'_>) -> Checked {
        signature::check(self.signature_algorithm, key, self.signed, self.signature)
    }

    /// Whether `issuer` has the name of the CRL's issuer, may sign CRLs and has signed this one.
    /// `None`: the name is another's, or the signature algorithm is not offered by the library.
    #[must_use]
    pub fn is_signed_by(&self, issuer: &Certificate<'_>) -> Option<bool> {
        if NameKey::of(issuer.subject, "subject") != Ok(self.key) {
            return None;
        }
        match self.check_signature(&issuer.key) {
            Checked::Good => Some(issuer.may_sign_crls()),
            Checked::Bad => Some(false),
            Checked::NotOffered => None,
        }
    }
}

fn fields<'a>(der: &'a [u8], body: Node<'a>, algorithm: Node<'a>) -> Result<List<'a>, Fault> {
    let mut inside = body.inside();
    let mut faults = Vec::new();
    let version = inside.optional(tag::INTEGER, "tbsCertList.version")?;
    if version.is_some_and(|version| version.body != [1]) {
        faults.push(body.fault("tbsCertList.version", Flaw::Value("version is not 2")));
    }
    if inside.expect(tag::SEQUENCE, "tbsCertList.signature")?.full != algorithm.full {
        faults.push(algorithm.fault("tbsCertList.signature", Flaw::Value("differs from signatureAlgorithm")));
    }
    let issuer = inside.expect(tag::SEQUENCE, "tbsCertList.issuer")?;
    let mut time = |node: Node<'a>, field| -> Result<i64, Fault> {
        let read = when::time(node, field)?;
        faults.extend(read.fault);
        Ok(read.seconds)
    };
    let this_update = time(inside.take("tbsCertList.thisUpdate")?, "tbsCertList.thisUpdate")?;
    let mut next = inside.optional(tag::UTC_TIME, "tbsCertList.nextUpdate")?;
    if next.is_none() {
        next = inside.optional(tag::GENERALIZED_TIME, "tbsCertList.nextUpdate")?;
    }
    let next_update = next.map(|node| time(node, "tbsCertList.nextUpdate")).transpose()?;
    let revoked = inside.optional(tag::SEQUENCE, "tbsCertList.revokedCertificates")?;
    let extensions = inside.optional(tag::constructed(0), "tbsCertList.crlExtensions")?;
    inside.end("tbsCertList")?;
    let key = NameKey::of(issuer, "tbsCertList.issuer")?;
    let mut list = List {
        der,
        signed: body.full,
        signature: &[],
        issuer,
        key,
        key_id: None,
        signature_algorithm: signature::algorithm(algorithm),
        this_update,
        next_update,
        number: None,
        base: None,
        scope: Scope::default(),
        unknown_critical: false,
        table: Table { issuers: vec![key], entries: Vec::new() },
        faults,
    };
    if let Some(extensions) = extensions {
        list.take_extensions(extensions)?;
    }
    if let Some(revoked) = revoked {
        list.take_entries(revoked.inside())?;
    }
    Ok(list)
}

impl<'a> List<'a> {
    fn take_extensions(&mut self, explicit: Node<'a>) -> Result<(), Fault> {
        const FIELD: &str = "tbsCertList.crlExtensions";
        let mut faults = std::mem::take(&mut self.faults);
        let mut seen = Seen::default();
        let mut inner: Option<Fault> = None;
        each_extension(explicit, FIELD, &mut faults, &mut |oid, extension| {
            inner = inner.or(self.take_extension(oid, &extension).err());
            seen.again(oid)
        })?;
        self.faults = faults;
        inner.map_or(Ok(()), Err)
    }

    fn take_extension(&mut self, oid: &[u8], extension: &Extension<'a>) -> Result<(), Fault> {
        match oid {
            [0x55, 0x1d, 35] => self.key_id = extension::authority_key_id(extension)?.map(KeyId::of),
            [0x55, 0x1d, 20] => self.number = Some(extension.value(tag::INTEGER, "cRLNumber")?.body),
            [0x55, 0x1d, 27] => self.base = Some(extension.value(tag::INTEGER, "deltaCRLIndicator")?.body),
            [0x55, 0x1d, 28] => self.scope = scope(extension)?,
            // Issuer alternative names, freshest CRL and authority information add nothing here.
            [0x55, 0x1d, 18 | 46] | [0x2b, 6, 1, 5, 5, 7, 1, 1] => {}
            _ => self.unknown_critical |= extension.critical,
        }
        Ok(())
    }

    fn take_entries(&mut self, mut revoked: Der<'a>) -> Result<(), Fault> {
        const FIELD: &str = "tbsCertList.revokedCertificates";
        // RFC 5280, section 5.3.3: the issuer of an entry holds for those after it.
        let mut issuer = 0;
        while !revoked.is_empty() {
            let mut inside = revoked.expect(tag::SEQUENCE, FIELD)?.inside();
            let serial = Serial::of(inside.expect(tag::INTEGER, FIELD)?.body);
            let date = when::time(inside.take(FIELD)?, FIELD)?;
            if self.faults.len() < FAULTS_MAX {
                self.faults.extend(date.fault);
            }
            let mut reason = Reason::UNSPECIFIED;
            if !inside.is_empty() {
                let list = inside.expect(tag::SEQUENCE, FIELD)?;
                (reason, issuer) = self.entry_extensions(list, issuer)?;
            }
            inside.end(FIELD)?;
            self.table.entries.push(Entry { revoked_at: date.seconds, serial, reason, issuer });
        }
        self.table.entries.sort_by_key(|entry| (entry.issuer, entry.serial));
        Ok(())
    }

    fn entry_extensions(&mut self, list: Node<'a>, issuer: u16) -> Result<(Reason, u16), Fault> {
        const FIELD: &str = "tbsCertList.revokedCertificates.crlEntryExtensions";
        let (mut reason, mut issuer) = (Reason::UNSPECIFIED, issuer);
        let mut inside = list.inside();
        while !inside.is_empty() {
            let mut entry = inside.expect(tag::SEQUENCE, FIELD)?.inside();
            let oid = entry.expect(tag::OID, FIELD)?.body;
            let critical = entry.optional(tag::BOOLEAN, FIELD)?.is_some_and(|node| node.is_true());
            let extension = Extension { critical, octets: entry.expect(tag::OCTET_STRING, FIELD)? };
            entry.end(FIELD)?;
            match oid {
                [0x55, 0x1d, 21] => {
                    let code = extension.value(tag::ENUMERATED, FIELD)?;
                    reason = Reason(
                        code.body.first().copied().filter(|_| code.body.len() == 1).unwrap_or(u8::MAX),
                    );
                }
                [0x55, 0x1d, 24] => {}
                [0x55, 0x1d, 29] => issuer = self.entry_issuer(&extension)?,
                _ => self.unknown_critical |= critical,
            }
        }
        Ok((reason, issuer))
    }

    fn entry_issuer(&mut self, extension: &Extension<'a>) -> Result<u16, Fault> {
        const FIELD: &str = "certificateIssuer";
        for name in extension::general_names(extension, FIELD)? {
            let General::Directory(node) = name else { continue };
            let key = NameKey::of(node, FIELD)?;
            let issuers = &mut self.table.issuers;
            let known = issuers.iter().position(|known| *known == key);
            let index = known.unwrap_or(issuers.len());
            let index = u16::try_from(index).map_err(|_| node.fault(FIELD, Flaw::TooMany))?;
            if known.is_none() {
                issuers.push(key);
            }
            return Ok(index);
        }
        Err(extension.octets.fault(FIELD, Flaw::Value("no directory name")))
    }
}

/// Recognizes a second extension of a kind among the first few.
#[derive(Debug, Default)]
struct Seen<'a>(Vec<&'a [u8]>);

impl<'a> Seen<'a> {
    fn again(&mut self, oid: &'a [u8]) -> bool {
        let again = self.0.contains(&oid);
        if !again {
            self.0.push(oid);
        }
        again
    }
}

fn scope<'a>(extension: &Extension<'a>) -> Result<Scope<'a>, Fault> {
    const FIELD: &str = "issuingDistributionPoint";
    let list = extension.value(tag::SEQUENCE, FIELD)?;
    let mut inside = list.inside();
    let mut scope = Scope { encoded: list.full, ..Scope::default() };
    if let Some(name) = inside.optional(tag::constructed(0), FIELD)? {
        scope.name = Some(extension::point_name(name, FIELD)?);
    }
    let mut flag = |number| -> Result<bool, Fault> {
        Ok(inside.optional(tag::context(number), FIELD)?.is_some_and(|node| node.is_true()))
    };
    scope.only_user = flag(1)?;
    scope.only_ca = flag(2)?;
    if let Some(reasons) = inside.optional(tag::context(3), FIELD)? {
        scope.reasons = Some(bit_set(reasons.bits(FIELD)?.0));
    }
    let mut flag = |number| -> Result<bool, Fault> {
        Ok(inside.optional(tag::context(number), FIELD)?.is_some_and(|node| node.is_true()))
    };
    scope.indirect = flag(4)?;
    scope.only_attributes = flag(5)?;
    inside.end(FIELD)?;
    Ok(scope)
}
