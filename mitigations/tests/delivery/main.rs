//! Alerts delivered to a real HTTP receiver and a real SMTP server, through the outbox in a
//! real store.
//!
//! The SMTP server is Python's aiosmtpd (`scripts/test --setup` installs it); `FLEETWARD_TEST_PYTHON`
//! names another Python than `python3`.

#[cfg(test)]
mod email;
#[cfg(test)]
mod support;
#[cfg(test)]
mod webhook;
