//! An MQTT broker inside this process, on loopback: what `demo` and tests run against.
//!
//! It is built on rmqtt because that lets us refuse a login, deny a publish or subscribe and
//! end a session, so that a quarantine on it is real. What happens on it is told as events of
//! [`Format::Recorded`](detector::input::Format::Recorded).
//!
//! Rules of access, fixed on purpose (this is not a broker to run a fleet on):
//! - a device logs in with its own name as user name and client id, and its password;
//! - it may publish to `devices/NAME/…` and `PREFIX NAME/…` (its reports), and subscribe to
//!   those and to `fleet/…`;
//! - a service may do everything, and nothing is told about it;
//! - who is in quarantine may do nothing: logins are refused, sessions are ended, publishes and
//!   subscribes are denied.

mod access;
mod control;
mod emit;
mod hooks;
mod sessions;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fmt, io,
    net::SocketAddr,
    num::NonZeroU16,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use detector::input::{Coverage, Input, SourceId};
use fleet::{event::Fact, time::Timestamp};
use rmqtt::{
    context::ServerContext,
    hook::Type,
    net::{Builder, Listener},
    server::MqttServer,
};
use thiserror::Error;
use tokio::{sync::mpsc, task::JoinHandle};

use access::Access;
pub use control::EmbeddedControl;
use emit::Emitter;
pub use emit::Told;
use hooks::Hooks;
use sessions::Sessions;

/// Tells the time that events are stamped with.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Most sessions; one more is refused.
pub const SESSIONS_MAX: isize = 20_000;

/// Largest MQTT packet in bytes; a larger one ends the session.
pub const PACKET_BYTES_MAX: u32 = 1024 * 1024;

/// How an embedded broker is set up.
pub struct Settings {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Passwords of the devices by name.
    pub devices: HashMap<String, String>,
    /// Passwords of the services by name.
    pub services: HashMap<String, String>,
    /// What report topics begin with, such as `$aws/things/`.
    pub report_prefix: String,
    /// Whether reports are told as inputs of their own, as if a report source had subscribed
    /// to them. Not wanted where a real one does.
    pub tell_reports: bool,
    /// Number of this source.
    pub source: SourceId,
    /// Stamps the events.
    pub clock: Clock,
    /// Most events that wait to be read. Overflow rule: the newest is dropped and counted,
    /// because the broker never waits for who watches it.
    pub events_max: usize,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("listen", &self.listen)
            .field("devices", &self.devices.len())
            .field("services", &self.services.len())
            .field("report_prefix", &self.report_prefix)
            .field("tell_reports", &self.tell_reports)
            .field("source", &self.source)
            .field("events_max", &self.events_max)
            .finish_non_exhaustive()
    }
}

/// Why an embedded broker did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {listen}: {reason}")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the system said.
        reason: String,
    },
    /// A broker for everybody is not what this is for.
    #[error("the embedded broker listens on loopback only, not on {0}; allowed are 127.0.0.0/8 and ::1")]
    NotLoopback(SocketAddr),
}

/// A running broker. Dropping it stops listening; [`EmbeddedBroker::stop`] also ends the sessions.
#[derive(Debug)]
pub struct EmbeddedBroker {
    shared: Arc<Shared>,
    address: SocketAddr,
    server: JoinHandle<()>,
}

/// What hooks, control and handle share.
struct Shared {
    context: ServerContext,
    access: Mutex<Access>,
    sessions: Mutex<Sessions>,
    emitter: Emitter,
    address: SocketAddr,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Shared {
    fn access(&self) -> MutexGuard<'_, Access> {
        lock(&self.access)
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        lock(&self.sessions)
    }
}

/// No code that holds one of our locks can leave its value half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl EmbeddedBroker {
    /// Starts a broker and gives it back with the events it tells.
    ///
    /// # Errors
    /// When the address is not a loopback address or cannot be listened on.
    pub async fn start(settings: Settings) -> Result<(Self, mpsc::Receiver<Input>), StartError> {
        let listen = settings.listen;
        if !listen.ip().is_loopback() {
            return Err(StartError::NotLoopback(listen));
        }
        let failed = |reason: String| StartError::Listen { listen, reason };
        let listener = listener(listen).map_err(|error| failed(error.to_string()))?;
        let address = listener.local_addr().map_err(|error| failed(error.to_string()))?;
        let context = ServerContext::new()
            // The load of the machine is no reason to refuse a device of a demonstration.
            .busy_check_enable(false)
            .mqtt_max_sessions(SESSIONS_MAX)
            .build()
            .await;
        let (sender, receiver) = mpsc::channel(settings.events_max.max(1));
        let shared = Arc::new(Shared {
            context: context.clone(),
            access: Mutex::new(Access::new(settings.devices, settings.services, &settings.report_prefix)),
            sessions: Mutex::new(Sessions::default()),
            emitter: Emitter::new(sender, settings.source, settings.clock),
            address,
        });
        register(&context, &shared, settings.report_prefix, settings.tell_reports).await;
        let server = MqttServer::new(context).listener_by_id(listener, address.port()).build();
        let server = tokio::spawn(async move {
            if let Err(error) = server.run().await {
                tracing::error!(%error, "the embedded broker stopped");
            }
        });
        shared.emitter.emit(fleet::event::EventKind::BrokerStart);
        Ok((Self { shared, address, server }, receiver))
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The acting side, for the response.
    #[must_use]
    pub fn control(&self) -> EmbeddedControl {
        EmbeddedControl::new(Arc::clone(&self.shared))
    }

    /// How many events it told and dropped.
    #[must_use]
    pub fn told(&self) -> Told {
        self.shared.emitter.told()
    }

    /// Devices that have a session now.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.shared.sessions().len()
    }

    /// What this source can tell: all but connections that fail before they have an identity, and what
    /// software a client is.
    #[must_use]
    pub fn coverage(name: &str) -> Coverage {
        let facts = Fact::ALL
            .into_iter()
            .filter(|fact| !matches!(fact, Fact::ConnectionErrors | Fact::ClientSoftware))
            .collect();
        Coverage { source: name.to_owned(), facts }
    }

    /// Ends all sessions and stops listening.
    pub async fn stop(self) {
        self.server.abort();
        let ids = self.shared.sessions().ids();
        for id in ids {
            control::end_session(&self.shared, &id).await;
        }
        self.shared.emitter.emit(fleet::event::EventKind::BrokerStop);
    }
}

impl Drop for EmbeddedBroker {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn listener(listen: SocketAddr) -> Result<Listener, io::Error> {
    let inflight = NonZeroU16::new(256).unwrap_or(NonZeroU16::MIN);
    Builder::new()
        .name("embedded")
        .laddr(listen)
        .backlog(1024)
        .nodelay(true)
        .reuseaddr(Some(true))
        .allow_anonymous(false)
        .max_packet_size(PACKET_BYTES_MAX)
        .max_inflight(inflight)
        .max_clientid_len(fleet::ids::ThingName::BYTES_MAX)
        .bind()
        .and_then(Listener::tcp)
        .map_err(|error| io::Error::other(error.to_string()))
}

async fn register(context: &ServerContext, shared: &Arc<Shared>, report_prefix: String, tell_reports: bool) {
    let register = context.extends.hook_mgr().register();
    let hooks = Hooks::new(Arc::downgrade(shared), report_prefix, tell_reports);
    let types = [
        Type::ClientAuthenticate,
        Type::ClientConnected,
        Type::ClientDisconnected,
        Type::ClientSubscribeCheckAcl,
        Type::SessionSubscribed,
        Type::SessionUnsubscribed,
        Type::MessagePublishCheckAcl,
        Type::MessageDelivered,
    ];
    for typ in types {
        register.add(typ, Box::new(hooks.clone())).await;
    }
    register.start().await;
}
