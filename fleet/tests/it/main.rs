//! Tests of the crate through its public interface.

#[cfg(test)]
mod corpus;
#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "the test chooses doubles that fit")]
mod document;
#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "arenas of test reports are short")]
mod reference;
#[cfg(test)]
mod report_errors;
mod report_layouts;
#[cfg(test)]
mod report_properties;
#[cfg(test)]
mod report_reading;
#[cfg(test)]
mod store_conformance;
#[cfg(test)]
mod store_torture;
