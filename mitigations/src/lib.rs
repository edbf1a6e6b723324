//! Response: mitigation actions, guard rails, tasks and undo; alert delivery
//! through a durable outbox.
//!
//! The flow, from an [`alarm::Alarm`] on: [`guard::plan`] decides what each rule answers;
//! [`response::Response`] records the decision as a [`task::Task`] in the same commit as the
//! alarm's [`alert::Alert`], and its executor carries tasks out through a
//! [`control::Control`]; the [`outbox::Outbox`] hands alerts to the [`sink::Sink`]s.
//!
//! `action`, `alarm`, `alert`, `guard`, `pattern`, `rule` and `task` are pure: no clock,
//! no randomness, no I/O. tokio lives in `response`, `outbox` and `sink`.

pub mod action;
pub mod alarm;
pub mod alert;
pub mod backoff;
pub mod control;
pub mod guard;
pub mod incident;
pub mod log;
pub mod outbox;
pub mod pattern;
pub mod record;
pub mod response;
pub mod rule;
pub mod secret;
pub mod sink;
pub mod task;

#[cfg(test)]
mod testing;
