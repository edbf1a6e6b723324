//! What a broker must be able to do, so that a response can be carried out on it.

use std::{future::Future, pin::Pin};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A boxed future, so that [`Control`] can be a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Whom an action is about, as the broker knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subject {
    /// Thing name.
    pub thing: String,
    /// Client id of its latest session.
    pub client_id: String,
    /// User name or certificate identity of its latest session, if the broker has one.
    pub principal: Option<String>,
}

/// What is needed to undo an action on the broker. Opaque to all but the broker's adapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Undo(pub serde_json::Value);

/// One thing that was checked after an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What was checked, such as `role quarantine is attached`.
    pub what: String,
    /// Whether it held.
    pub held: bool,
    /// What was seen.
    pub seen: String,
}

/// Why a broker did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ControlError {
    /// The broker cannot be reached or did not answer in time: try again later.
    #[error("the broker cannot be reached: {0}")]
    Unavailable(String),
    /// The broker refused; asking again would change nothing.
    #[error("the broker refused: {0}")]
    Refused(String),
    /// The broker does not know the subject.
    #[error("the broker does not know {0}")]
    Unknown(String),
}

/// The acting side of a broker adapter. Every call may be repeated: doing twice what is done
/// already is success.
pub trait Control: Send + Sync + std::fmt::Debug {
    /// Name for records and messages, such as `mosquitto dynamic-security at 127.0.0.1:1883`.
    fn name(&self) -> &str;

    /// What [`Control::quarantine`] must know to be undone, read before anything is changed.
    fn prepare<'a>(&'a self, subject: &'a Subject) -> BoxFuture<'a, Result<Undo, ControlError>>;

    /// Takes all permissions from the subject and ends its sessions.
    fn quarantine<'a>(
        &'a self,
        subject: &'a Subject,
        undo: &'a Undo,
    ) -> BoxFuture<'a, Result<(), ControlError>>;

    /// Checks on the broker that the quarantine holds.
    fn verify<'a>(
        &'a self,
        subject: &'a Subject,
        undo: &'a Undo,
    ) -> BoxFuture<'a, Result<Vec<Check>, ControlError>>;

    /// Gives the subject back what it had.
    fn release<'a>(&'a self, subject: &'a Subject, undo: &'a Undo)
    -> BoxFuture<'a, Result<(), ControlError>>;
}
