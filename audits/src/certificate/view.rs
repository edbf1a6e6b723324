//! What the checks look at: registered certificates, CRLs and connections, as they are now.

use super::crl::List;
use super::der::Fault;
use super::facts::Facts;
use super::id::Fingerprint;
use super::lists::WeakKeys;
use super::name::NameKey;
use super::path::Refusal;
use super::pem::BadBlock;
use super::shared_primes::Shared;
use super::signature::SignatureAlgorithm;

/// State of a certificate in the registry, as AWS IoT names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// May connect.
    Active,
    /// May not connect.
    Inactive,
    /// Revoked in the registry.
    Revoked,
    /// On the way to another account.
    PendingTransfer,
    /// Waits for its activation.
    PendingActivation,
}

impl Status {
    /// Whether audit checks look at it: active or in transfer (`device-defender-audit.md`, section 1).
    #[must_use]
    pub fn is_audited(self) -> bool {
        matches!(self, Self::Active | Self::PendingTransfer)
    }
}

/// Whether a path leads from a certificate to a registered CA, as found when it was registered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PathState {
    /// Nobody looked.
    #[default]
    Unknown,
    /// A valid path, or registered without a CA on purpose.
    Accepted,
    /// No valid path.
    Refused(Box<Refusal>),
}

/// A certificate in the registry.
#[derive(Clone, Debug)]
pub struct Registered {
    /// What it says.
    pub facts: Facts,
    /// State in the registry.
    pub status: Status,
    /// Seconds since 1970 at which it last became active, or was created if that is not known.
    pub active_since: i64,
    /// Names of the things it is attached to.
    pub things: Box<[Box<str>]>,
    /// Path to a registered CA.
    pub path: PathState,
}

/// Who signed a CRL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signer {
    /// A known CA of the right name that may; its signature was verified.
    Verified,
    /// A known CA of the right name did not sign it, or may not.
    Invalid,
    /// No CA of that name is known, or its algorithm is not offered.
    Unknown,
}

/// A CRL that was read.
#[derive(Clone, Debug)]
pub struct Crl {
    /// SHA-256 of the DER.
    pub sha256: Fingerprint,
    /// Issuer as text of RFC 4514.
    pub issuer: Box<str>,
    /// Issuer for comparison.
    pub key: NameKey,
    /// Seconds since 1970.
    pub this_update: i64,
    /// Seconds since 1970.
    pub next_update: Option<i64>,
    /// Signature algorithm.
    pub signature: SignatureAlgorithm,
    /// Whether it lists changes to another CRL alone.
    pub is_delta: bool,
    /// Who signed it.
    pub signer: Signer,
    pub(crate) table: super::crl::Table,
}

impl Crl {
    /// Keeps what the checks need of `list`.
    #[must_use]
    pub fn new(list: List<'_>, signer: Signer) -> Self {
        Self {
            sha256: list.fingerprint(),
            issuer: list.issuer_name().into(),
            key: list.key,
            this_update: list.this_update,
            next_update: list.next_update,
            signature: list.signature_algorithm,
            is_delta: list.is_delta(),
            signer,
            table: list.into_table(),
        }
    }

    /// Bytes on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.issuer.len() + self.table.heap_bytes()
    }
}

/// One connection that a device certificate authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Index of the device certificate.
    pub certificate: u32,
    /// Client id.
    pub client: Box<str>,
    /// Milliseconds since 1970.
    pub connected: i64,
    /// Milliseconds since 1970; `None` while connected.
    pub disconnected: Option<i64>,
}

/// Something that should be a certificate or CRL and cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// File or registry entry, as the user knows it.
    pub place: String,
    /// What it should be.
    pub kind: Kind,
    /// What is wrong.
    pub cause: Cause,
}

/// What something should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A certificate.
    Certificate,
    /// A CRL.
    Crl,
}

/// Why something is unreadable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The DER.
    Der(Fault),
    /// The PEM around it.
    Pem(BadBlock),
}

/// Everything at one moment.
#[derive(Clone, Copy, Debug)]
pub struct View<'v> {
    /// Seconds since 1970.
    pub now: i64,
    /// Device certificates.
    pub devices: &'v [Registered],
    /// CA certificates.
    pub authorities: &'v [Registered],
    /// CA certificates that are known without being registered (from bundles and chains).
    pub intermediates: &'v [Facts],
    /// CRLs.
    pub lists: &'v [Crl],
    /// Connections of the last 31 days.
    pub sessions: &'v [Session],
    /// What could not be read.
    pub unreadable: &'v [Unreadable],
    /// Keys known to be weak or public.
    pub weak_keys: &'v WeakKeys,
    /// Result of `shared_primes::find` over the device certificates, in their order.
    pub shared_primes: &'v [Shared],
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// Index into the device certificates.
    Device(u32),
    /// Index into the CA certificates.
    Authority(u32),
    /// Index into the CA certificates that are not registered.
    Intermediate(u32),
    /// Index into the CRLs.
    List(u32),
    /// Index into what could not be read.
    Unreadable(u32),
    /// Index into the sessions.
    Session(u32),
}

impl<'v> View<'v> {
    /// Facts of a certificate.
    #[must_use]
    pub fn facts(&self, resource: Resource) -> Option<&'v Facts> {
        let index = |index: u32| usize::try_from(index).unwrap_or(usize::MAX);
        match resource {
            Resource::Device(at) => self.devices.get(index(at)).map(|registered| &registered.facts),
            Resource::Authority(at) => self.authorities.get(index(at)).map(|registered| &registered.facts),
            Resource::Intermediate(at) => self.intermediates.get(index(at)),
            Resource::List(_) | Resource::Unreadable(_) | Resource::Session(_) => None,
        }
    }

    /// A certificate of the registry.
    #[must_use]
    pub fn registered(&self, resource: Resource) -> Option<&'v Registered> {
        let index = |index: u32| usize::try_from(index).unwrap_or(usize::MAX);
        match resource {
            Resource::Device(at) => self.devices.get(index(at)),
            Resource::Authority(at) => self.authorities.get(index(at)),
            _ => None,
        }
    }

    /// Device certificates that checks look at.
    pub(crate) fn audited_devices(&self) -> impl Iterator<Item = (Resource, &'v Registered)> + use<'v> {
        numbered(self.devices, Resource::Device)
    }

    /// CA certificates that checks look at.
    pub(crate) fn audited_authorities(&self) -> impl Iterator<Item = (Resource, &'v Registered)> + use<'v> {
        numbered(self.authorities, Resource::Authority)
    }
}

fn numbered(
    registered: &[Registered],
    resource: fn(u32) -> Resource,
) -> impl Iterator<Item = (Resource, &Registered)> {
    (0..).map(resource).zip(registered).filter(|(_, registered)| registered.status.is_audited())
}
