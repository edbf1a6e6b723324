//! A data folder of which the past is read: where it is, how its records are decoded, and what was
//! really raised there.

use std::path::{Path, PathBuf};

use detector::{front::Decoders, transition::Transition};

use super::{client::Client, output};
use crate::{config::settings::Settings, replay::raised, serve};

/// A data folder, and the configuration that is used with it if one was named.
#[derive(Debug)]
pub struct Place {
    /// Data folder.
    pub data: PathBuf,
    /// The configuration: zones of time stamps, and where a running engine answers.
    pub settings: Option<Settings>,
}

impl Place {
    /// Decoders of everything that may stand in the journal. Without a configuration, time stamps
    /// of logs that name no zone are read as UTC.
    #[must_use]
    pub fn decoders(&self) -> Decoders {
        serve::decoders(self.settings.as_ref().map_or(&[][..], |settings| &settings.mosquitto_log))
    }

    /// The engine that runs with the configuration, if one answers.
    #[must_use]
    pub fn client(&self) -> Option<Client> {
        self.settings.as_ref().and_then(|settings| Client::new(settings).ok())
    }
}

/// The place that `--data` or `--config` name. Nothing if the configuration has errors, which are told.
#[must_use]
pub fn place(data: Option<&Path>, config: Option<&Path>) -> Option<Place> {
    let settings = match config {
        None => None,
        Some(config) => {
            let loaded = crate::config::load(config, &serve::environment);
            if loaded.settings.is_none() {
                loaded
                    .problems
                    .iter()
                    .for_each(|problem| output::complain(&output::printable(&problem.to_string())));
                return None;
            }
            loaded.settings
        }
    };
    let own = settings.as_ref().map(|settings| settings.data_dir.clone());
    let data = data.map(Path::to_owned).or(own)?;
    Some(Place { data, settings })
}

/// Every transition that was stored there, asked of the running engine if there is one.
///
/// # Errors
/// When neither the engine nor its store can be read.
pub fn raised(place: &Place) -> anyhow::Result<Vec<Transition>> {
    if let Some(client) = place.client() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let answers = runtime.block_on(async {
            match client.get("/fleetward/v1/status").await {
                Ok(_) => Some(raised::from_running(&client).await),
                Err(_) => None,
            }
        });
        if let Some(answer) = answers {
            return answer;
        }
    }
    raised::from_store(&*raised::open_store(&place.data)?)
}
