//! The table of routes and their small handlers.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, Query, Request, State},
    http::{StatusCode, header::CONTENT_TYPE},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{ApiError, Backend, MetricValues, REQUEST_TIMEOUT, Service, Token};

/// Rows of a listing if the request does not say.
const LIMIT_DEFAULT: usize = 100;
/// Rows of a listing at most.
const LIMIT_MAX: usize = 10_000;
/// No request of ours has a body worth the name.
const BODY_BYTES_MAX: usize = 16 << 10;

/// Beginning of the paths that are never the control plane's.
const OWN: &str = "/fleetward/";

type Shared = State<Arc<dyn Backend>>;

pub(crate) fn router(service: Service) -> Router {
    let Service { backend, token, control } = service;
    let guarded = Router::new()
        .route("/metrics", get(metrics))
        .route("/fleetward/v1/status", get(status))
        .route("/fleetward/v1/alarms", get(alarms))
        .route("/fleetward/v1/alarms/{id}", get(alarm))
        .route("/fleetward/v1/alarms/{id}/verification", get(verification).put(verify))
        .route("/fleetward/v1/transitions", get(transitions))
        .route("/fleetward/v1/incidents", get(incidents))
        .route("/fleetward/v1/findings", get(findings))
        .route("/fleetward/v1/tasks", get(tasks))
        .route("/fleetward/v1/things/{thing}/metrics/{metric}", get(metric_values))
        .route("/fleetward/v1/tasks/{id}/undo", post(undo))
        .layer(middleware::from_fn_with_state(token, admit));
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .merge(guarded)
        .fallback(async move |request: Request| match control {
            Some(control) if !request.uri().path().starts_with(OWN) => control.answer(request).await,
            _ => no_such_path().into_response(),
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(limit_time))
        .with_state(backend)
}

fn no_such_path() -> ApiError {
    ApiError::NotFound("no such path; see the documentation for the list".into())
}

async fn admit(State(token): State<Token>, request: Request, next: Next) -> Response {
    if token.admits(request.headers()) {
        return next.run(request).await;
    }
    let body = json!({"error": "expected `Authorization: Bearer TOKEN`; the token is in `api-token` in the data folder"});
    (StatusCode::UNAUTHORIZED, [("www-authenticate", "Bearer")], Json(body)).into_response()
}

async fn limit_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => (StatusCode::REQUEST_TIMEOUT, Json(json!({"error": "took too long"}))).into_response(),
    }
}

async fn ready(State(backend): Shared) -> Response {
    let missing = backend.missing();
    if missing.is_empty() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "missing": missing }))).into_response()
}

async fn metrics(State(backend): Shared) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], backend.metrics()).into_response()
}

async fn status(State(backend): Shared) -> Json<Value> {
    Json(backend.status())
}

#[derive(Deserialize)]
struct Listing {
    limit: Option<usize>,
    after: Option<String>,
}

impl Listing {
    fn limit(&self) -> Result<usize, ApiError> {
        match self.limit.unwrap_or(LIMIT_DEFAULT) {
            limit @ 1..=LIMIT_MAX => Ok(limit),
            other => Err(ApiError::Invalid(format!("limit: found {other}; allowed are 1 to {LIMIT_MAX}"))),
        }
    }
}

#[derive(Deserialize)]
struct Alarms {
    limit: Option<usize>,
    verification: Option<String>,
}

async fn alarms(State(backend): Shared, Query(wanted): Query<Alarms>) -> Result<Json<Value>, ApiError> {
    let limit = Listing { limit: wanted.limit, after: None }.limit()?;
    backend.alarms(limit, wanted.verification.as_deref()).map(Json)
}

/// Reads much of the store, and so on a thread that may wait.
async fn alarm(State(backend): Shared, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let found = tokio::task::spawn_blocking(move || backend.alarm(&id)).await;
    found.map_err(|error| ApiError::Internal(error.to_string()))?.map(Json)
}

async fn verification(State(backend): Shared, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let found = tokio::task::spawn_blocking(move || backend.verification(&id)).await;
    found.map_err(|error| ApiError::Internal(error.to_string()))?.map(Json)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Verified {
    verification_state: String,
    verification_state_description: Option<String>,
}

async fn verify(
    State(backend): Shared,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let Verified { verification_state: state, verification_state_description: description } =
        serde_json::from_slice(&body).map_err(|error| ApiError::Invalid(format!("the body: {error}")))?;
    let done = tokio::task::spawn_blocking(move || backend.verify(&id, &state, description.as_deref())).await;
    done.map_err(|error| ApiError::Internal(error.to_string()))?.map(Json)
}

async fn transitions(
    State(backend): Shared,
    Query(listing): Query<Listing>,
) -> Result<Json<Value>, ApiError> {
    backend.transitions(listing.limit()?, listing.after.as_deref()).map(Json)
}

async fn incidents(State(backend): Shared, Query(listing): Query<Listing>) -> Result<Json<Value>, ApiError> {
    backend.incidents(listing.limit()?).map(Json)
}

async fn findings(State(backend): Shared) -> Result<Json<Value>, ApiError> {
    backend.findings().map(Json)
}

async fn tasks(State(backend): Shared, Query(listing): Query<Listing>) -> Result<Json<Value>, ApiError> {
    backend.tasks(listing.limit()?).map(Json)
}

#[derive(Deserialize)]
struct Range {
    from: i64,
    to: i64,
    dimension: Option<String>,
    aggregate: Option<String>,
    limit: Option<usize>,
}

async fn metric_values(
    State(backend): Shared,
    Path((thing, metric)): Path<(String, String)>,
    Query(range): Query<Range>,
) -> Result<Json<Value>, ApiError> {
    let limit = Listing { limit: range.limit.or(Some(LIMIT_MAX)), after: None }.limit()?;
    let Range { from, to, dimension, aggregate, .. } = range;
    backend.metric_values(&MetricValues { thing, metric, dimension, aggregate, from, to, limit }).map(Json)
}

async fn undo(State(backend): Shared, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    backend.undo(&id).await.map(Json)
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Json(json!({ "error": self.to_string() }))).into_response()
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::Pin};

    use axum::body::Body;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    struct Fake;

    impl Backend for Fake {
        fn missing(&self) -> Vec<String> {
            vec!["source `a` is not connected".into()]
        }
        fn metrics(&self) -> String {
            "fleetward_events_total 1\n".into()
        }
        fn status(&self) -> Value {
            json!({"version": "0"})
        }
        fn alarms(&self, limit: usize, verification: Option<&str>) -> Result<Value, ApiError> {
            Ok(verification.map_or_else(|| json!([limit]), |state| json!([limit, state])))
        }
        fn verification(&self, id: &str) -> Result<Value, ApiError> {
            self.alarm(id)
        }
        fn verify(&self, id: &str, state: &str, description: Option<&str>) -> Result<Value, ApiError> {
            Ok(json!([id, state, description]))
        }
        fn alarm(&self, id: &str) -> Result<Value, ApiError> {
            if id == "1234" {
                Ok(json!({"violationId": id}))
            } else {
                Err(ApiError::NotFound(format!("no alarm `{id}`")))
            }
        }
        fn transitions(&self, _: usize, _: Option<&str>) -> Result<Value, ApiError> {
            Err(ApiError::Internal("the store is closed".into()))
        }
        fn incidents(&self, limit: usize) -> Result<Value, ApiError> {
            Ok(json!([{"limit": limit}]))
        }
        fn findings(&self) -> Result<Value, ApiError> {
            Ok(json!([{"check": "BEHAVIOR_BLIND_CHECK"}]))
        }
        fn tasks(&self, _: usize) -> Result<Value, ApiError> {
            Ok(json!([]))
        }
        fn metric_values(&self, wanted: &MetricValues) -> Result<Value, ApiError> {
            Ok(json!(format!("{wanted:?}")))
        }
        fn undo<'a>(
            &'a self,
            task: &'a str,
        ) -> Pin<Box<dyn Future<Output = Result<Value, ApiError>> + Send + 'a>> {
            Box::pin(async move { Err(ApiError::NotFound(format!("no task `{task}`"))) })
        }
    }

    async fn call(method: &str, path: &str, token: &str) -> (u16, String) {
        send(method, path, token, "").await
    }

    async fn send(method: &str, path: &str, token: &str, body: &'static str) -> (u16, String) {
        let request = Request::builder().method(method).uri(path).header("authorization", token);
        let router =
            router(Service { backend: Arc::new(Fake), token: Token::new("right".into()), control: None });
        let response = router.oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn routes_answer_and_refuse_as_documented() {
        let right = "Bearer right";
        let cases = [
            ("GET", "/healthz", "", 200, "ok"),
            ("GET", "/readyz", "", 503, "source `a` is not connected"),
            ("GET", "/metrics", right, 200, "fleetward_events_total 1"),
            ("GET", "/metrics", "", 401, "api-token"),
            ("GET", "/metrics", "Bearer wrong", 401, "api-token"),
            ("GET", "/metrics", "Basic right", 401, "api-token"),
            ("GET", "/fleetward/v1/status", right, 200, "version"),
            ("GET", "/fleetward/v1/status", "bearer right", 401, "api-token"),
            ("GET", "/fleetward/v1/alarms", right, 200, "[100]"),
            (
                "GET",
                "/fleetward/v1/alarms?limit=7&verification=TRUE_POSITIVE",
                right,
                200,
                "[7,\"TRUE_POSITIVE\"]",
            ),
            ("GET", "/fleetward/v1/alarms/1234/verification", right, 200, "violationId"),
            ("GET", "/fleetward/v1/alarms/5678/verification", right, 404, "no alarm `5678`"),
            ("GET", "/fleetward/v1/alarms/1234/verification", "", 401, "api-token"),
            ("PUT", "/fleetward/v1/alarms/1234/verification", "", 401, "api-token"),
            ("PUT", "/fleetward/v1/alarms/1234/verification", right, 400, "the body: EOF"),
            ("POST", "/fleetward/v1/alarms/1234/verification", right, 405, ""),
            ("GET", "/fleetward/v1/alarms?limit=10000", right, 200, "[10000]"),
            ("GET", "/fleetward/v1/alarms?limit=0", right, 400, "limit: found 0; allowed are 1 to 10000"),
            ("GET", "/fleetward/v1/alarms?limit=10001", right, 400, "found 10001"),
            ("GET", "/fleetward/v1/alarms?limit=x", right, 400, "limit"),
            ("GET", "/fleetward/v1/transitions", right, 500, "the store is closed"),
            (
                "GET",
                "/fleetward/v1/things/a%2Fb/metrics/aws:m?from=1&to=2&dimension=!d",
                right,
                200,
                "thing: \\\"a/b\\\", metric: \\\"aws:m\\\", dimension: Some(\\\"!d\\\"), aggregate: None, from: 1, to: 2, limit: 10000",
            ),
            ("GET", "/fleetward/v1/things/a/metrics/m?from=1&to=2&limit=10001", right, 400, "found 10001"),
            ("GET", "/fleetward/v1/things/a/metrics/m?from=1", right, 400, "to"),
            ("GET", "/fleetward/v1/things/a/metrics/m?from=1&to=2", "", 401, "api-token"),
            ("GET", "/fleetward/v1/alarms/1234", right, 200, "violationId"),
            ("GET", "/fleetward/v1/alarms/5678", right, 404, "no alarm `5678`"),
            ("GET", "/fleetward/v1/incidents?limit=7", right, 200, "\"limit\":7"),
            ("GET", "/fleetward/v1/incidents", "", 401, "api-token"),
            ("GET", "/fleetward/v1/findings", right, 200, "BEHAVIOR_BLIND_CHECK"),
            ("POST", "/fleetward/v1/tasks/t1/undo", right, 404, "no task `t1`"),
            ("POST", "/fleetward/v1/tasks/t1/undo", "", 401, "api-token"),
            ("GET", "/fleetward/v1/tasks/t1/undo", right, 405, ""),
            ("GET", "/nowhere", right, 404, "no such path"),
        ];
        for (method, path, token, status, text) in cases {
            let (found, body) = call(method, path, token).await;
            assert_eq!(found, status, "{method} {path}: {body}");
            assert!(body.contains(text), "{method} {path}: {body}");
        }
    }

    #[tokio::test]
    async fn a_verification_is_read_from_the_body() {
        let cases = [
            (r#"{"verificationState":"UNKNOWN"}"#, 200, r#"["1234","UNKNOWN",null]"#),
            (r#"{"verificationState":"X","verificationStateDescription":"y"}"#, 200, r#"["1234","X","y"]"#),
            (r#"{"verificationStateDescription":"y"}"#, 400, "missing field `verificationState`"),
            (r#"{"verificationState":1}"#, 400, "invalid type: integer `1`, expected a string"),
            (r#"{"verificationState":"X","note":"y"}"#, 400, "unknown field `note`, expected"),
            ("x", 400, "the body: expected value at line 1 column 1"),
        ];
        for (body, status, text) in cases {
            let (found, answer) =
                send("PUT", "/fleetward/v1/alarms/1234/verification", "Bearer right", body).await;
            assert!(found == status && answer.contains(text), "{body}: {found} {answer}");
        }
    }

    #[test]
    fn an_empty_token_lets_nobody_in_and_no_token_is_shown() {
        let mut headers = axum::http::HeaderMap::new();
        headers.insert("authorization", "Bearer ".parse().unwrap());
        assert!(!Token::new(String::new()).admits(&headers));
        assert_eq!(format!("{:?}", Token::new("right".into())), "Token(***)");
    }
}
