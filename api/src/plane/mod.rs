//! The control plane: what operations do, over the store.
//!
//! State is in memory; each change is also a few operations of the store and a line of the chained record,
//! which are committed in the order of the changes, many in one sync (`commit`). A caller is answered when its change is on disk.
//! A reader may see a change a moment before that. A disk that fails delays answers and loses nothing:
//! the commit is tried again until it succeeds.

mod action;
mod audit;
mod certificate;
mod change;
mod commit;
mod document;
mod group;
mod look;
mod metric;
mod policy;
mod principal;
mod profile;
mod query;
mod search;
mod state;
mod tag;
mod thing;
mod thing_type;
mod violation;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    future::Future,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use fleet::{
    registry::Registry,
    store::{Store, StoreError},
    time::Timestamp,
};
use thiserror::Error;
use tokio::sync::Notify;

use mitigations::{
    log::Head,
    record::{Keys, Record},
    task::TaskError,
};
use serde_json::{Value, json};

use self::{
    change::Change,
    commit::{Committer, Draft},
    look::{Look, Looker},
    state::State,
};
use crate::{
    ApiError, MetricValues,
    aws::{
        Members,
        allow::{self, Role},
        fault::Fault,
        model::Operation,
        shape,
        sigv4::hex,
    },
};

/// A future of this crate's traits.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
/// A change of the registry as it is by then.
pub type RegistryPatch = Box<dyn FnOnce(&Registry) -> Registry + Send>;

/// The engine, as far as the control plane changes it.
pub trait Engine: Send + Sync + 'static {
    /// Takes other security profiles: name and text of each file, those of the configuration first.
    fn set_profiles(&self, texts: Vec<(String, String)>) -> BoxFuture<'_, Result<(), String>>;
    /// Changes things and groups.
    fn patch_registry(&self, patch: RegistryPatch) -> BoxFuture<'_, Result<(), String>>;
    /// Values of the history, as [`crate::Backend::metric_values`] gives them.
    ///
    /// # Errors
    /// When none are kept, or they cannot be read.
    fn metric_values(&self, wanted: &MetricValues) -> Result<Value, ApiError>;
}

/// What names are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Region of ARNs and signatures.
    pub region: String,
    /// Account of ARNs, 12 digits.
    pub account: String,
    /// Host and port of the broker that devices connect to, if one is known.
    pub broker: Option<String>,
}

impl Names {
    /// ARN of a resource such as `thing/pump-1`.
    #[must_use]
    pub fn arn(&self, resource: &str) -> String {
        format!("arn:aws:iot:{}:{}:{resource}", self.region, self.account)
    }

    /// Name of a resource of a kind in an ARN of ours.
    #[must_use]
    pub fn name_in<'a>(&self, arn: &'a str, kind: &str) -> Option<&'a str> {
        arn.strip_prefix(&self.arn(kind))?.strip_prefix('/')
    }
}

/// Why the control plane cannot start.
#[derive(Debug, Error)]
pub enum PlaneError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store holds something that is not ours.
    #[error("the store has a record `{key}` that cannot be read: {message}")]
    Record {
        /// Its key.
        key: String,
        /// What is wrong.
        message: String,
    },
    /// The record of changes failed.
    #[error("the record of changes cannot be used")]
    Chain(#[from] TaskError),
    /// What is in files and what was made over the API exclude each other.
    #[error("what was made over the API and the files of the configuration do not fit together: {0}")]
    Conflict(String),
    /// No thread.
    #[error("cannot start a thread")]
    Thread(#[from] std::io::Error),
}

/// What an operation does: changes the state and says what is to be stored.
type Handler = fn(&mut Change<'_>) -> Result<Members, Fault>;

const HANDLERS: [&[(&str, Handler)]; 14] = [
    thing::HANDLERS,
    thing_type::HANDLERS,
    principal::HANDLERS,
    group::HANDLERS,
    certificate::HANDLERS,
    policy::HANDLERS,
    profile::HANDLERS,
    metric::HANDLERS,
    violation::HANDLERS,
    action::HANDLERS,
    audit::HANDLERS,
    tag::HANDLERS,
    search::HANDLERS,
    &[("DescribeEndpoint", describe_endpoint)],
];

/// Where the store keeps what belongs to the record of changes.
const RECORD: Keys = Keys { head: RECORD_HEAD_KEY, lines: b"control/" };
/// Key in [`fleet::store::Table::Meta`] of the end of the record of changes.
pub const RECORD_HEAD_KEY: &[u8] = b"control-log-head";

/// The operations that are there, in the order of names. What is not is answered with
/// `NotImplementedException`.
#[must_use]
pub fn offered() -> Vec<&'static str> {
    let looking = violation::LOOKERS.iter().map(|(name, _)| *name);
    let mut names: Vec<_> = HANDLERS.into_iter().flatten().map(|(name, _)| *name).chain(looking).collect();
    names.sort_unstable();
    names
}

fn handler(operation: &str) -> Option<Handler> {
    HANDLERS.into_iter().flatten().find(|(name, _)| *name == operation).map(|(_, handler)| *handler)
}

/// The broker, of which the address is known; there are no other endpoints here.
fn describe_endpoint(change: &mut Change<'_>) -> Result<Members, Fault> {
    let kind = change.text("endpointType").unwrap_or("iot:Data-ATS");
    if !matches!(kind, "iot:Data" | "iot:Data-ATS") {
        let message = format!("`endpointType`: found `{kind}`; allowed are `iot:Data` and `iot:Data-ATS`");
        return Err(Fault::invalid(message));
    }
    let broker = change.names.broker.as_ref();
    let broker = broker.ok_or_else(|| Fault::invalid("no broker is configured as `[[source.mqtt]]`"))?;
    Ok(change::answer([("endpointAddress", json!(broker))]))
}

/// A request whose members were checked.
#[derive(Debug)]
pub struct Call {
    /// Name of the operation.
    pub name: &'static str,
    /// The operation.
    pub operation: &'static Operation,
    /// Its members.
    pub members: Members,
    /// Who asks.
    pub caller: String,
    /// Id of the request.
    pub request: String,
    /// When.
    pub now: Timestamp,
}

/// The control plane.
pub struct Plane {
    names: Names,
    store: Arc<dyn Store>,
    state: Mutex<State>,
    committer: Committer,
    engine: OnceLock<Arc<dyn Engine>>,
    registry_changed: Notify,
    /// One at a time, so that the last to be told is the newest.
    telling: tokio::sync::Mutex<()>,
}

impl fmt::Debug for Plane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plane").field("names", &self.names).finish_non_exhaustive()
    }
}

/// Pause between two changes of the engine's registry at least: each copies it.
const REGISTRY_PAUSE: Duration = Duration::from_millis(200);

impl Plane {
    /// Reads what the store has. `files` are the security profiles of the configuration.
    ///
    /// # Errors
    /// When the store or the record fail, or files and store do not fit together.
    pub fn open(
        store: Arc<dyn Store>,
        record: &Path,
        names: Names,
        files: Vec<(String, String)>,
        base: Registry,
    ) -> Result<Self, PlaneError> {
        let state = State::read(&*store, files, base)?;
        if let Some(conflict) = state.conflict() {
            return Err(PlaneError::Conflict(conflict));
        }
        let record = Record::open(record, &*store, RECORD)?;
        Ok(Self {
            names,
            committer: Committer::start(Arc::clone(&store), record)?,
            store,
            state: Mutex::new(state),
            engine: OnceLock::new(),
            registry_changed: Notify::new(),
            telling: tokio::sync::Mutex::default(),
        })
    }

    /// Region and account.
    #[must_use]
    pub const fn names(&self) -> &Names {
        &self.names
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says which engine follows. A second call changes nothing.
    pub fn attach(&self, engine: Arc<dyn Engine>) {
        if self.engine.set(engine).is_err() {
            tracing::debug!("an engine was attached already");
        }
    }

    /// The profiles of the configuration and those made here.
    #[must_use]
    pub fn profile_texts(&self) -> Vec<(String, String)> {
        self.state().texts()
    }

    /// The registry of the configuration with what was made here on top.
    #[must_use]
    pub fn registry(&self) -> Registry {
        self.state().registry()
    }

    /// Where the record of changes ends.
    #[must_use]
    pub fn record_head(&self) -> Head {
        self.committer.head()
    }

    /// Takes other files of the configuration, after a reload.
    ///
    /// # Errors
    /// When they and what was made here do not fit together; then the old ones stay.
    pub fn reload(&self, files: Vec<(String, String)>, base: Registry) -> Result<(), PlaneError> {
        let mut state = self.state();
        let old = state.reload(files, base);
        match state.conflict() {
            None => Ok(()),
            Some(conflict) => {
                state.reload(old.0, old.1);
                Err(PlaneError::Conflict(conflict))
            }
        }
    }

    /// Carries out an operation whose members were checked, and waits until what it changed is on disk
    /// and, for security profiles, with the engine.
    ///
    /// # Errors
    /// The operation's.
    pub async fn call(self: &Arc<Self>, call: Call) -> Result<Members, Fault> {
        if let Some((_, looker)) = violation::LOOKERS.iter().find(|(name, _)| *name == call.name) {
            return self.look(*looker, call).await;
        }
        match handler(call.name) {
            Some(handler) => {
                // To its end, even if the caller goes away: what is on disk must reach the engine.
                let plane = Arc::clone(self);
                let done = tokio::spawn(async move { plane.change(handler, &call).await });
                done.await.map_err(Fault::internal)?
            }
            None => {
                let name = call.name;
                let message =
                    format!("`{name}` is not offered yet; `fleetward api operations` lists what is");
                Err(Fault::new("NotImplementedException", message))
            }
        }
    }

    /// On a thread that may wait: much may have to be read.
    async fn look(self: &Arc<Self>, looker: Looker, call: Call) -> Result<Members, Fault> {
        let plane = Arc::clone(self);
        let looked = tokio::task::spawn_blocking(move || {
            looker(&Look {
                operation: call.name,
                members: &call.members,
                store: &*plane.store,
                engine: plane.engine.get().map(|engine| &**engine),
            })
        });
        looked.await.map_err(Fault::internal)?
    }

    async fn change(&self, handler: Handler, call: &Call) -> Result<Members, Fault> {
        // A viewer's operations change nothing, and so do not wait for a place among the changes.
        let place = match allow::least(call.name) {
            Role::Viewer => None,
            Role::Responder | Role::Administrator => Some(self.committer.reserve().await?),
        };
        let (answer, told, ticket) = {
            let mut state = self.state();
            let mut change =
                Change::new(&mut state, &self.names, &*self.store, (call.name, &call.members), call.now);
            let answer = handler(&mut change)?;
            let (ops, told) = change.into_parts();
            let ticket = place.filter(|_| !ops.is_empty());
            let ticket = ticket.map(|place| place.send(Draft { ops, at: call.now, entry: entry(call) }));
            (answer, told, ticket)
        };
        if let Some(ticket) = ticket {
            ticket.wait().await?;
        }
        if told.registry {
            self.registry_changed.notify_one();
        }
        if told.profiles {
            self.tell_profiles().await?;
        }
        Ok(answer)
    }

    /// Brings the profiles as they are now to the engine.
    ///
    /// # Errors
    /// When the engine has stopped.
    pub async fn tell_profiles(&self) -> Result<(), Fault> {
        let Some(engine) = self.engine.get() else { return Ok(()) };
        let _one_at_a_time = self.telling.lock().await;
        let texts = self.profile_texts();
        engine.set_profiles(texts).await.map_err(Fault::internal)
    }

    /// Brings changes of things and groups to the engine, many at once. Runs until it is dropped.
    pub async fn follow(&self) {
        loop {
            self.registry_changed.notified().await;
            let Some(engine) = self.engine.get() else { continue };
            let patch = self.state().take_patch();
            if let Err(error) = engine.patch_registry(patch).await {
                tracing::error!(error, "the engine did not take a change of the registry");
            }
            tokio::time::sleep(REGISTRY_PAUSE).await;
        }
    }
}

/// The line of the record that tells of a change.
fn entry(call: &Call) -> Value {
    json!({
        "operation": call.name,
        "by": call.caller,
        "requestId": call.request,
        "members": shape::shown_input(call.operation, &call.members),
    })
}

/// A random UUID (RFC 9562, version 4).
pub(crate) fn uuid() -> String {
    let mut bytes = [0_u8; 16];
    if let Err(error) = getrandom::fill(&mut bytes) {
        tracing::error!(%error, "the system gives no random bytes");
    }
    if let Some(version) = bytes.get_mut(6) {
        *version = *version & 0x0f | 0x40;
    }
    if let Some(variant) = bytes.get_mut(8) {
        *variant = *variant & 0x3f | 0x80;
    }
    let text = hex(&bytes);
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default().to_owned();
    format!("{}-{}-{}-{}-{}", part(0..8), part(8..12), part(12..16), part(16..20), part(20..32))
}
