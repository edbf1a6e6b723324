//! The loaders against the facts of the sets' READMEs and against independent decodings.
//!
//! They read the data sets from `FLEETWARD_DATASETS` (default `../shared/datasets`).

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "windows of the data sets are whole numbers")]
mod flows;
#[cfg(test)]
mod folder;
#[cfg(test)]
mod mqtt;
#[cfg(test)]
mod support;
