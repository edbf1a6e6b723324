//! A request from its bytes to its answer: who, what, may they, is it well formed, do it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    extract::Request,
    http::{Response, header::CONTENT_TYPE, request::Parts},
};
use fleet::time::Timestamp;

use super::{
    allow::{self, Role},
    fault::Fault,
    meter::Meter,
    model::Operation,
    read, route, shape,
    sigv4::{self, Claim},
    user::{User, Users},
    validate,
};
use crate::{
    Token,
    plane::{Call, Plane},
};

/// Largest body. What is kept of several requests must fit into one value of the store.
pub const BODY_BYTES_MAX: usize = 512 << 10;
/// Largest body of somebody who names no key and no token of ours, so that strangers take no memory.
const STRANGER_BYTES_MAX: usize = 16 << 10;
/// How long a change may take to be on disk before the caller is told to try again.
const PATIENCE: Duration = Duration::from_secs(20);
/// The service that signatures are for.
const SERVICE: &str = "iot";
/// What is answered where no handler is there: no failure of ours.
const NOT_OFFERED: &str = "NotImplementedException";
/// Name of a caller with the token of the data folder. No user can have it: it has a space.
const LOCAL: &str = "local token";

/// The endpoint of the control plane.
#[derive(Debug)]
pub struct Endpoint {
    /// What operations work on.
    pub plane: Arc<Plane>,
    /// Who may call.
    pub users: Users,
    /// The token of the data folder: whoever can read that may do everything.
    pub token: Token,
    /// How much each may call.
    pub meter: Meter,
    /// Reads the clock.
    pub clock: fn() -> Timestamp,
    /// What was answered.
    pub counts: Counts,
}

/// Requests by how they were answered.
#[derive(Debug, Default)]
pub struct Counts {
    answered: AtomicU64,
    refused: AtomicU64,
    denied: AtomicU64,
    throttled: AtomicU64,
    failed: AtomicU64,
}

impl Counts {
    fn count(&self, fault: Option<&Fault>) {
        let counter = match fault.map(|fault| (fault.kind, fault.status())) {
            None => &self.answered,
            Some(("ThrottlingException", _)) => &self.throttled,
            Some((NOT_OFFERED, _)) => &self.refused,
            Some((_, 401 | 403)) => &self.denied,
            Some((_, 500..)) => &self.failed,
            Some(_) => &self.refused,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Name, kind and value of each, for Prometheus.
    #[must_use]
    pub fn counters(&self) -> [(&'static str, &'static str, u64); 5] {
        let all = [
            ("control_requests_answered_total", &self.answered),
            ("control_requests_refused_total", &self.refused),
            ("control_requests_denied_total", &self.denied),
            ("control_requests_throttled_total", &self.throttled),
            ("control_requests_failed_total", &self.failed),
        ];
        all.map(|(name, counter)| (name, "counter", counter.load(Ordering::Relaxed)))
    }
}

struct Caller {
    name: String,
    role: Role,
}

/// Who asks, before the body is read.
enum Claimant {
    /// A token says so.
    Known(Caller),
    /// A signature that is still to be checked.
    Signed(Box<(Claim, User)>),
}

impl Endpoint {
    /// Answers a request.
    pub async fn answer(&self, request: Request) -> Response<Body> {
        let request_id = crate::plane::uuid();
        let (parts, body) = request.into_parts();
        let claimant = self.claimant(&parts);
        let most = if claimant.is_ok() { BODY_BYTES_MAX } else { STRANGER_BYTES_MAX };
        let answered = match axum::body::to_bytes(body, most).await {
            Ok(body) => self.call(claimant, &parts, &body, &request_id).await,
            Err(_) => Err(Fault::new(
                "RequestEntityTooLargeException",
                format!("the body has more than {most} bytes, or broke off"),
            )),
        };
        let built = answered.and_then(|(status, text)| {
            Response::builder()
                .status(status)
                .header(CONTENT_TYPE, "application/json")
                .header("x-amzn-requestid", &request_id)
                .body(Body::from(text))
                .map_err(Fault::internal)
        });
        self.counts.count(built.as_ref().err());
        built.unwrap_or_else(|fault| {
            if fault.status() >= 500 && fault.kind != NOT_OFFERED {
                tracing::error!(kind = fault.kind, why = fault.message, request_id, "a request failed");
            }
            fault.response(&request_id)
        })
    }

    async fn call(
        &self,
        claimant: Result<Claimant, Fault>,
        parts: &Parts,
        body: &Bytes,
        request_id: &str,
    ) -> Result<(u16, String), Fault> {
        let now = (self.clock)();
        let caller = admit(claimant?, parts, body, now)?;
        if !self.meter.admit(&caller.name, now) {
            let message = "too many requests; wait and ask again (`api.requests_per_sec`)";
            return Err(Fault::new("ThrottlingException", message));
        }
        let query = parts.uri.query().unwrap_or_default();
        let routed = route::route(parts.method.as_str(), parts.uri.path())?;
        permit(&caller, routed.name)?;
        let members = read::members(&routed, query, &parts.headers, body)?;
        validate::check(routed.operation, &members)?;
        let done = self.plane.call(Call {
            name: routed.name,
            operation: routed.operation,
            members,
            caller: caller.name,
            request: request_id.to_owned(),
            now,
        });
        let answer = tokio::time::timeout(PATIENCE, done).await.unwrap_or_else(|_| {
            Err(Fault::new("ServiceUnavailableException", "the change is not on disk yet; ask again"))
        });
        let answer = answer.map_err(|fault| declared(routed.operation, fault))?;
        Ok((routed.operation.status, shape::output(routed.operation, answer).to_string()))
    }

    /// Who the headers say it is.
    fn claimant(&self, parts: &Parts) -> Result<Claimant, Fault> {
        if self.token.admits(&parts.headers) {
            return Ok(Claimant::Known(Caller { name: LOCAL.into(), role: Role::Administrator }));
        }
        if let Some(user) = self.users.by_token(&parts.headers) {
            return Ok(Claimant::Known(Caller { name: user.name, role: user.role }));
        }
        let claim = Claim::read(&parts.headers)?;
        let names = self.plane.names();
        if claim.service != SERVICE || claim.region != names.region {
            let message = format!(
                "credential should be scoped to the service `{SERVICE}` and the region `{}`; found `{}` and `{}`",
                names.region, claim.service, claim.region
            );
            return Err(Fault::new("InvalidSignatureException", message));
        }
        let user = self.users.by_key(&claim.access_key).ok_or_else(|| {
            Fault::new(
                "UnrecognizedClientException",
                "there is no such access key; `fleetward user add` makes one",
            )
        })?;
        Ok(Claimant::Signed(Box::new((claim, user))))
    }
}

/// Checks what is claimed, for which a signature needs the body.
fn admit(claimant: Claimant, parts: &Parts, body: &Bytes, now: Timestamp) -> Result<Caller, Fault> {
    let (claim, user) = match claimant {
        Claimant::Known(caller) => return Ok(caller),
        Claimant::Signed(signed) => *signed,
    };
    let request = sigv4::Request {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        headers: &parts.headers,
        body,
    };
    claim.verify(request, &user.secret(), now)?;
    Ok(Caller { name: user.name, role: user.role })
}

fn permit(caller: &Caller, operation: &str) -> Result<(), Fault> {
    let (role, least) = (caller.role, allow::least(operation));
    if role >= least {
        return Ok(());
    }
    let message = format!("`{operation}` needs the role `{}`; the caller is `{}`", least.name(), role.name());
    Err(Fault::new("AccessDeniedException", message))
}

/// An operation raises only the errors that it declares: what is missing or too much is a wrong request
/// where the model has no other word for it.
fn declared(operation: &Operation, fault: Fault) -> Fault {
    let known = operation.errors.iter().any(|kind| kind == fault.kind);
    let softens = matches!(
        fault.kind,
        "ResourceNotFoundException" | "ResourceAlreadyExistsException" | "LimitExceededException"
    );
    if !known && softens { Fault::invalid(fault.message) } else { fault }
}
