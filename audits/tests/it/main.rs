//! Audits of real policies and configurations. The data sets are read from the folder that
//! `FLEETWARD_DATASETS` names, by default `../shared/datasets` beside the checkout.

#[cfg(test)]
mod broker;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod lens;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod run;

/// The folder of a data set.
#[cfg(test)]
fn data_set(name: &str) -> std::path::PathBuf {
    let root = option_env!("FLEETWARD_DATASETS").map_or_else(
        || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/datasets"),
        std::path::PathBuf::from,
    );
    let folder = root.join(name);
    assert!(folder.is_dir(), "no `{}`; set FLEETWARD_DATASETS to the folder of datasets", folder.display());
    folder
}
