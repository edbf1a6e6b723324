//! The broker that is not there: a configuration without `[control]`.

use mitigations::control::{BoxFuture, Check, Control, ControlError, Subject, Undo};

/// Refuses everything with the reason.
#[derive(Clone, Copy, Debug)]
pub struct NoControl;

impl NoControl {
    fn refuse<'a, T>() -> BoxFuture<'a, Result<T, ControlError>> {
        let reason = "no broker to act on is configured; add `[control.mosquitto]`";
        Box::pin(async move { Err(ControlError::Refused(reason.into())) })
    }
}

impl Control for NoControl {
    fn name(&self) -> &str {
        "no broker"
    }

    fn prepare<'a>(&'a self, _: &'a Subject) -> BoxFuture<'a, Result<Undo, ControlError>> {
        Self::refuse()
    }

    fn quarantine<'a>(&'a self, _: &'a Subject, _: &'a Undo) -> BoxFuture<'a, Result<(), ControlError>> {
        Self::refuse()
    }

    fn verify<'a>(&'a self, _: &'a Subject, _: &'a Undo) -> BoxFuture<'a, Result<Vec<Check>, ControlError>> {
        Self::refuse()
    }

    fn release<'a>(&'a self, _: &'a Subject, _: &'a Undo) -> BoxFuture<'a, Result<(), ControlError>> {
        Self::refuse()
    }
}
