//! Exact analysis of who may do what: policies of AWS form, Mosquitto ACL files and dynamic
//! security, `RabbitMQ` permissions, EMQX `acl.conf` and NATS permissions.
//!
//! A reader in [`parse`] turns a file into the one [`form`]: subjects, and for each the rules in the
//! order in which the first that matches decides. From it come sets of topics, filters and client
//! ids ([`lang`]), and every question is a question about sets, decided exactly.

pub mod blast;
pub mod check;
pub mod form;
pub mod lang;
pub mod least;
pub mod parse;
