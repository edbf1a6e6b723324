//! Errors in the form that AWS clients turn into their typed exceptions.

use axum::{
    body::Body,
    http::{Response, StatusCode, header::CONTENT_TYPE},
};
use serde_json::json;

use super::{Members, model::Model};

/// Error types of the edge, which no operation declares, with their status.
const EDGE: [(&str, u16); 8] = [
    ("AccessDeniedException", 403),
    ("InvalidSignatureException", 403),
    ("MissingAuthenticationTokenException", 403),
    ("UnrecognizedClientException", 403),
    ("UnknownOperationException", 404),
    ("RequestEntityTooLargeException", 413),
    ("RequestTimeoutException", 408),
    ("NotImplementedException", 501),
];

/// An error: type, text, and what the type carries besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Type, such as `ResourceNotFoundException`.
    pub kind: &'static str,
    /// What is wrong, with place, value and what is allowed.
    pub message: String,
    /// Id and ARN of what exists already.
    pub resource: Option<(String, String)>,
}

impl Fault {
    /// An error of a type.
    #[must_use]
    pub fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), resource: None }
    }

    /// Something in the request is wrong.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new("InvalidRequestException", message)
    }

    /// There is none of that name.
    #[must_use]
    pub fn missing(what: &str, name: &str) -> Self {
        Self::new("ResourceNotFoundException", format!("there is no {what} `{name}`"))
    }

    /// There is one of that name, with other content.
    #[must_use]
    pub fn exists(what: &str, name: &str, id: impl Into<String>, arn: impl Into<String>) -> Self {
        Self {
            resource: Some((id.into(), arn.into())),
            ..Self::new("ResourceAlreadyExistsException", format!("there is a {what} `{name}` already"))
        }
    }

    /// It was changed since the caller looked.
    #[must_use]
    pub fn version(name: &str, expected: i64, found: u64) -> Self {
        Self::new(
            "VersionConflictException",
            format!("the version of `{name}` is {found}; the request expects {expected}"),
        )
    }

    /// Over a limit.
    #[must_use]
    pub fn limit(message: impl Into<String>) -> Self {
        Self::new("LimitExceededException", message)
    }

    /// Ours.
    #[must_use]
    pub fn internal(message: impl std::fmt::Display) -> Self {
        Self::new("InternalFailureException", message.to_string())
    }

    /// HTTP status of the type.
    #[must_use]
    pub fn status(&self) -> u16 {
        let edge = EDGE.iter().find(|(kind, _)| *kind == self.kind).map(|(_, status)| *status);
        edge.or_else(|| Some(Model::get().errors.get(self.kind)?.status)).unwrap_or(500)
    }

    /// As the answer to a request with this id.
    #[must_use]
    pub fn response(&self, request_id: &str) -> Response<Body> {
        let mut body = Members::new();
        body.insert("message".into(), json!(self.message));
        if let Some((id, arn)) = &self.resource {
            body.insert("resourceId".into(), json!(id));
            body.insert("resourceArn".into(), json!(arn));
        }
        let built = Response::builder()
            .status(self.status())
            .header(CONTENT_TYPE, "application/json")
            .header("x-amzn-errortype", self.kind)
            .header("x-amzn-requestid", request_id)
            .body(Body::from(serde_json::Value::Object(body).to_string()));
        built.unwrap_or_else(|_| {
            let mut plain = Response::new(Body::empty());
            *plain.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            plain
        })
    }
}
