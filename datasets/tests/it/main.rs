//! The loaders against the facts of the sets' READMEs and against independent decodings.
//!
//! They read the data sets from `FLEETWARD_DATASETS` (default `../shared/datasets`).

mod flows;
mod folder;
mod mqtt;
mod support;
