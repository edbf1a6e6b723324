//! What is known of the fleet at one moment. Nothing in it changes while checks look at it.

use crate::broker::ConfigFile;
use crate::certificate::facts::Facts;
use crate::certificate::lists::WeakKeys;
use crate::certificate::shared_primes::Shared;
use crate::certificate::view::{Crl, Registered, Session, Unreadable, View};
use crate::finding::{Place, ResourceRef};
use crate::policy::blast::Things;
use crate::policy::check::acl::Known;
use crate::policy::form::Document;
use crate::policy::least::Use;
use crate::policy::parse::aws::AwsPolicy;

/// The fleet. What is `None` nobody has recorded; what is empty there is none of.
#[derive(Debug, Default)]
pub struct Fleet {
    /// Seconds since 1970.
    pub now: i64,
    /// Certificates and CRLs.
    pub certificates: Certificates,
    /// Policies of AWS form.
    pub policies: Vec<Policy>,
    /// Access lists of brokers.
    pub access: Vec<AccessList>,
    /// Brokers by their configuration files.
    pub deployments: Vec<Deployment>,
    /// Administrators, and where the topics of things lie.
    pub known: Known,
    /// Names of the registered things.
    pub things: Option<Things>,
    /// Client ids that were seen in the last 31 days, and those that displaced one another.
    pub displaced: Option<(u64, Vec<Displaced>)>,
    /// What was done in the recorded history, each different use once.
    pub uses: Option<Vec<Use>>,
    /// The account's log, where it has one beside those of its brokers.
    pub logging: Option<Logging>,
}

/// Certificates, CRLs, and what was seen of them.
#[derive(Debug, Default)]
pub struct Certificates {
    /// Device certificates.
    pub devices: Vec<Registered>,
    /// CA certificates.
    pub authorities: Vec<Registered>,
    /// Certificates of servers: judged as far as they are no devices' own.
    pub servers: Vec<Registered>,
    /// CA certificates that are known without being registered.
    pub intermediates: Vec<Facts>,
    /// CRLs.
    pub lists: Vec<Crl>,
    /// What could not be read.
    pub unreadable: Vec<Unreadable>,
    /// Places of device certificates by index; may be shorter.
    pub device_places: Vec<Place>,
    /// Places of CA certificates by index; may be shorter.
    pub authority_places: Vec<Place>,
    /// Places of servers' certificates by index; may be shorter.
    pub server_places: Vec<Place>,
    /// Places of CRLs by index; may be shorter.
    pub list_places: Vec<Place>,
    /// Connections of the last 31 days, if somebody recorded them.
    pub sessions: Option<Vec<Session>>,
    /// Result of `shared_primes::find` over the device certificates, if somebody looked.
    pub shared_primes: Option<Vec<Shared>>,
    /// Keys known to be weak or public.
    pub weak_keys: WeakKeys,
}

impl Certificates {
    /// The whole as the certificate checks take it.
    #[must_use]
    pub fn view(&self, now: i64) -> View<'_> {
        View {
            now,
            devices: &self.devices,
            authorities: &self.authorities,
            intermediates: &self.intermediates,
            lists: &self.lists,
            sessions: self.sessions.as_deref().unwrap_or_default(),
            unreadable: &self.unreadable,
            weak_keys: &self.weak_keys,
            shared_primes: self.shared_primes.as_deref().unwrap_or_default(),
        }
    }
}

/// Who has a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A thing by its name.
    Thing(String),
    /// A device certificate by its id.
    Certificate(String),
    /// A group by its name.
    Group(String),
}

impl Holder {
    /// As findings name it.
    #[must_use]
    pub fn resource(&self) -> ResourceRef {
        match self {
            Self::Thing(name) => ResourceRef::new("THING", [("thingName", name.clone())]),
            Self::Certificate(id) => {
                ResourceRef::new("DEVICE_CERTIFICATE", [("deviceCertificateId", id.clone())])
            }
            Self::Group(name) => ResourceRef::new("THING_GROUP", [("thingGroupName", name.clone())]),
        }
    }
}

/// A policy of AWS form with those who have it.
#[derive(Clone, Debug)]
pub struct Policy {
    /// What it says.
    pub policy: AwsPolicy,
    /// Who has it; findings name the first ten.
    pub holders: Vec<Holder>,
}

/// An access list of a broker.
#[derive(Clone, Debug)]
pub struct AccessList {
    /// What it says.
    pub document: Document,
    /// As it was written; a tighter one is proposed in its words.
    pub text: String,
    /// Index of the deployment it belongs to, if its broker is known.
    pub deployment: Option<usize>,
}

/// The configuration files of one broker.
#[derive(Clone, Debug, Default)]
pub struct Deployment {
    /// As reports name it: a folder, a host.
    pub name: String,
    /// Its files.
    pub files: Vec<ConfigFile>,
}

/// A connection that ended because another took its client id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Displaced {
    /// Client id.
    pub client: Box<str>,
    /// Certificate id, or user name, of the one that was displaced, if known.
    pub principal: Option<Box<str>>,
    /// Milliseconds since 1970.
    pub at: i64,
}

/// Whether an account's log is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    /// Account or server.
    pub account: String,
    /// Whether it is on.
    pub is_on: bool,
}
