//! End to end, as a user would: the built program beside real Mosquitto processes, devices played by
//! Mosquitto's own clients and by the Python device agent, a real HTTP receiver and a real SMTP server.
//!
//! Needs mosquitto with its clients, and Python with aiosmtpd and the device agent; `scripts/test`
//! installs them. `FLEETWARD_TEST_PYTHON` names another Python than `python3`.

#[cfg(test)]
mod audit;
#[cfg(test)]
mod certificates;
#[cfg(test)]
mod command_line;
#[cfg(test)]
mod control;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod datasets;
#[cfg(test)]
mod guard_rail;
#[cfg(test)]
mod history;
#[cfg(test)]
mod lens;
#[cfg(test)]
mod log_file;
#[cfg(test)]
#[path = "../brokers/tests/support/mod.rs"]
mod mosquitto;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod stories;
#[cfg(test)]
mod story;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tuning;
#[cfg(test)]
mod verification;
