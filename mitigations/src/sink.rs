//! Where alerts go, and how a sink says what became of one.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use fleet::time::Timestamp;
use serde::Deserialize;
use thiserror::Error;

use crate::{
    alert::Alert, control::BoxFuture, incident::IncidentOptions, outbox::OutboxOptions, secret::SecretReader,
};

pub mod email;
pub mod render;
mod tls;
pub mod webhook;

/// Why an alert was not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryError {
    /// It may go through later.
    Retry {
        /// Why, without secrets.
        reason: String,
        /// How long the receiver asks to be left alone.
        after: Option<Duration>,
    },
    /// The receiver will never take this alert.
    Refused {
        /// Why, without secrets.
        reason: String,
    },
}

impl DeliveryError {
    pub(crate) const fn retry(reason: String) -> Self {
        Self::Retry { reason, after: None }
    }
}

/// A receiver of alerts.
pub trait Sink: Send + Sync + std::fmt::Debug {
    /// Name in the configuration, unique among all sinks.
    fn name(&self) -> &str;

    /// Whether this sink gets the alert. Must answer the same at each call.
    fn wants(&self, alert: &Alert) -> bool;

    /// Delivers the alert. May be called again for the same alert, whose id stays the same.
    fn deliver<'a>(&'a self, alert: &'a Alert, now: Timestamp) -> BoxFuture<'a, Result<(), DeliveryError>>;
}

/// The `[alerts]` table of the configuration. Sink names are 1 to 64 of `[a-z0-9_-]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlertOptions {
    /// `[alerts.outbox]`
    pub outbox: OutboxOptions,
    /// `[alerts.incidents]`
    pub incidents: IncidentOptions,
    /// `[alerts.webhook.NAME]`
    pub webhook: BTreeMap<String, webhook::WebhookOptions>,
    /// `[alerts.email.NAME]`
    pub email: BTreeMap<String, email::EmailOptions>,
}

/// Something wrong with the configuration of a sink.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{place}: {message}")]
pub struct SinkError {
    /// Where, such as `alerts.webhook.ops.url`.
    pub place: String,
    /// What is wrong, with what is allowed.
    pub message: String,
}

/// Builds all sinks.
///
/// # Errors
/// All problems at once; secrets that cannot be read among them.
pub fn build(
    options: &AlertOptions,
    secrets: SecretReader<'_>,
) -> Result<Vec<Arc<dyn Sink>>, Vec<SinkError>> {
    let mut sinks: Vec<Arc<dyn Sink>> = Vec::new();
    let mut errors = Vec::new();
    for (name, options) in &options.webhook {
        check_name("webhook", name, &mut errors);
        match webhook::Webhook::build(name, options, secrets) {
            Ok(sink) => sinks.push(Arc::new(sink)),
            Err(error) => errors.push(placed("webhook", name, error)),
        }
    }
    for (name, email_options) in &options.email {
        check_name("email", name, &mut errors);
        if options.webhook.contains_key(name) {
            let message = "a webhook has this name, too; expected another name".into();
            errors.push(SinkError { place: format!("alerts.email.{name}"), message });
        }
        match email::Email::build(name, email_options, secrets) {
            Ok(sink) => sinks.push(Arc::new(sink)),
            Err(error) => errors.push(placed("email", name, error)),
        }
    }
    if errors.is_empty() { Ok(sinks) } else { Err(errors) }
}

/// A problem at one key of a sink's table.
pub(crate) struct KeyError {
    pub(crate) key: &'static str,
    pub(crate) message: String,
}

impl KeyError {
    pub(crate) fn new(key: &'static str, message: impl Into<String>) -> Self {
        Self { key, message: message.into() }
    }
}

fn placed(kind: &str, name: &str, error: KeyError) -> SinkError {
    SinkError { place: format!("alerts.{kind}.{name}.{}", error.key), message: error.message }
}

fn check_name(kind: &str, name: &str, errors: &mut Vec<SinkError>) {
    let ok = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'));
    if !ok {
        let message = format!("`{name}` is no sink name; allowed are 1 to 64 of `a-z 0-9 - _`");
        errors.push(SinkError { place: format!("alerts.{kind}"), message });
    }
}

/// Whether a host name or address is this machine, where plain text stays.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
