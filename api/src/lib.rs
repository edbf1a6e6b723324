//! HTTP: Fleetward's own endpoints under `/fleetward/v1`, health and Prometheus metrics.
//!
//! | method and path | answer | who |
//! |---|---|---|
//! | `GET /healthz` | `ok` while the process answers | anybody |
//! | `GET /readyz` | `ready`, or 503 and what is missing | anybody |
//! | `GET /metrics` | counters in the Prometheus text format | token |
//! | `GET /fleetward/v1/status` | version, sources, coverage, counters | token |
//! | `GET /fleetward/v1/alarms?limit=N&verification=STATE` | active violations with what people found out about them; only those in that state | token |
//! | `GET /fleetward/v1/alarms/ID` | what is stored about one: its transitions, earlier ones of the same entity, tasks, incident | token |
//! | `GET /fleetward/v1/alarms/ID/verification` | what people found out about a violation, active or over | token |
//! | `PUT /fleetward/v1/alarms/ID/verification` | says it: `{"verificationState": STATE, "verificationStateDescription": TEXT}` | token |
//! | `GET /fleetward/v1/transitions?limit=N&after=SEQ-ID` | the newest transitions, newest first, or those after a row | token |
//! | `GET /fleetward/v1/incidents?limit=N` | incidents, newest first | token |
//! | `GET /fleetward/v1/findings` | blind behaviors, since when and why | token |
//! | `GET /fleetward/v1/tasks` | mitigation tasks, newest first | token |
//! | `GET /fleetward/v1/things/THING/metrics/METRIC?from=MILLIS&to=MILLIS` | values of a metric; also `dimension`, `aggregate`, `limit` | token |
//! | `POST /fleetward/v1/tasks/ID/undo` | undoes a task | token |
//!
//! Every other path is the control plane's ([`aws`], [`plane`]), where one is given.
//!
//! The token is sent as `Authorization: Bearer TOKEN`. Errors are JSON `{"error": TEXT}`.

mod auth;
pub mod aws;
pub mod plane;
mod routes;
mod server;
pub mod tls;

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use serde_json::Value;
use thiserror::Error;
use tokio::net::TcpListener;

pub use auth::Token;

/// Answers that the program gives through this crate. All calls return at once or are bounded in time.
pub trait Backend: Send + Sync + 'static {
    /// What is missing before the program does its job; empty when it is ready.
    fn missing(&self) -> Vec<String>;
    /// Counters in the Prometheus text format.
    fn metrics(&self) -> String;
    /// Version, sources, coverage, counters.
    fn status(&self) -> Value;
    /// Active violations with their verification, at most `limit`; only those in the verification state
    /// `verification`, if one is given.
    ///
    /// # Errors
    /// When there is no such state, or the store cannot be read.
    fn alarms(&self, limit: usize, verification: Option<&str>) -> Result<Value, ApiError>;
    /// What is stored about the alarm whose violation or transition has the id, or one that begins so.
    ///
    /// # Errors
    /// When there is none or several, or the store cannot be read.
    fn alarm(&self, id: &str) -> Result<Value, ApiError>;
    /// What people found out about the violation, given as for [`Backend::alarm`].
    ///
    /// # Errors
    /// When there is none or several, or the store cannot be read.
    fn verification(&self, id: &str) -> Result<Value, ApiError>;
    /// Takes down what people found out about the violation; what was taken down before is gone.
    ///
    /// # Errors
    /// When there is none or several, the state or the description is not allowed, or the store fails.
    fn verify(&self, id: &str, state: &str, description: Option<&str>) -> Result<Value, ApiError>;
    /// The newest transitions, at most `limit`, newest first; with `after`, a row's `SEQ-ID`, those that follow it.
    ///
    /// # Errors
    /// When the store cannot be read or `after` names no row.
    fn transitions(&self, limit: usize, after: Option<&str>) -> Result<Value, ApiError>;
    /// Incidents, at most `limit`, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn incidents(&self, limit: usize) -> Result<Value, ApiError>;
    /// Findings that last.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn findings(&self) -> Result<Value, ApiError>;
    /// Mitigation tasks, at most `limit`, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn tasks(&self, limit: usize) -> Result<Value, ApiError>;
    /// Values of one thing and metric over a range of time, in order.
    ///
    /// # Errors
    /// When none are kept, or they cannot be read.
    fn metric_values(&self, wanted: &MetricValues) -> Result<Value, ApiError>;
    /// Undoes a task and gives its new state.
    fn undo<'a>(
        &'a self,
        task: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Value, ApiError>> + Send + 'a>>;
}

/// Which values are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricValues {
    /// The thing.
    pub thing: String,
    /// The metric.
    pub metric: String,
    /// The dimension that narrows it, `!NAME` where it is negated.
    pub dimension: Option<String>,
    /// How the window's observations became the value.
    pub aggregate: Option<String>,
    /// Earliest window end, milliseconds since the epoch.
    pub from: i64,
    /// First window end that is too late.
    pub to: i64,
    /// Values at most.
    pub limit: usize,
}

/// Why a request cannot be answered.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ApiError {
    /// No such thing; 404.
    #[error("{0}")]
    NotFound(String),
    /// Not possible in the present state; 409.
    #[error("{0}")]
    Conflict(String),
    /// The request is malformed; 400.
    #[error("{0}")]
    Invalid(String),
    /// Our fault; 500.
    #[error("{0}")]
    Internal(String),
}

/// A request that takes longer is given up with 408.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// What answers.
#[derive(Debug)]
pub struct Service {
    /// Fleetward's own endpoints.
    pub backend: Arc<dyn Backend>,
    /// The token of the data folder.
    pub token: Token,
    /// The control plane, for all other paths.
    pub control: Option<Arc<aws::endpoint::Endpoint>>,
}

impl std::fmt::Debug for dyn Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Backend")
    }
}

/// Serves until `shutdown` resolves, then lets requests in progress finish: with TLS, and for callers on
/// this machine without, too.
pub async fn serve(
    listener: TcpListener,
    service: Service,
    tls: Arc<rustls::ServerConfig>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) {
    server::run(listener, routes::router(service), tls, shutdown).await;
}
