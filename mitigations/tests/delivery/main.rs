//! Alerts delivered to a real HTTP receiver and a real SMTP server, through the outbox in a
//! real store.
//!
//! The SMTP server is Python's aiosmtpd: `pip install aiosmtpd`.

#[cfg(test)]
mod email;
#[cfg(test)]
mod support;
#[cfg(test)]
mod webhook;
