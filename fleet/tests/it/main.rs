//! Tests of the crate through its public interface.

mod corpus;
mod document;
mod reference;
mod report_errors;
mod report_properties;
mod report_reading;
mod store_conformance;
mod store_torture;
