//! Bad input of every kind, each with its exact error; and that nothing else suffers from it.
//!
//! The tables are `bad_input/*.txt`, one for each kind of input; `bad_input/README.md` says how they
//! are written. Their rows are also seeds of the fuzz targets. The test over a broker needs mosquitto.

#[cfg(test)]
#[path = "bad_input/broker.rs"]
mod broker;
#[cfg(test)]
#[path = "bad_input/kinds.rs"]
mod kinds;
#[cfg(test)]
#[path = "../brokers/tests/support/mod.rs"]
mod mosquitto;
#[cfg(test)]
#[path = "bad_input/stream.rs"]
mod stream;
#[cfg(test)]
#[path = "bad_input/table.rs"]
mod table;
