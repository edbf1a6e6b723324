//! A data folder of which the past is read: where it is, how its records are decoded, and what was
//! really raised there.

use std::path::{Path, PathBuf};

use detector::{engine::Engine, front::Decoders, journal::Reader, transition::Transition};
use fleet::time::Timestamp;

use super::{client::Client, output};
use crate::{
    config::settings::Settings,
    replay::{
        archive::{Archived, Lake},
        raised,
        records::{Journaled, Records},
        start::{self, Blank, Since},
    },
    serve::{self, history},
};

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

    /// The Parquet history, if records are there and the worker that reads them.
    #[must_use]
    pub fn lake(&self) -> Option<Lake> {
        let settings = self.settings.as_ref().and_then(|settings| settings.history.as_ref()?.lake.as_ref());
        let dir = settings.map_or_else(|| self.data.join("lake"), |lake| lake.dir.clone());
        let analyst = match settings {
            Some(lake) => history::find_analyst(lake),
            None => history::analyst_beside().filter(|path| path.is_file()),
        };
        let memory_mib = settings.map(|lake| lake.analyst_mib);
        dir.join("records").is_dir().then(|| Some(Lake { dir, analyst: analyst?, memory_mib }))?
    }

    /// The engine that runs with the configuration, if one answers.
    #[must_use]
    pub fn client(&self) -> Option<Client> {
        self.settings.as_ref().and_then(|settings| Client::new(settings).ok())
    }
}

/// An engine, the records that it is to be given, and from where on the past is known.
pub type Beginning = (Engine, Box<dyn Records>, Since);

/// Where the fold of the past begins: with the journal's first record; with a snapshot that was taken
/// before `from`; with the Parquet history, if there is one and its worker; with the oldest snapshot; or
/// knowing nothing.
///
/// # Errors
/// As [`start::open`], and when the Parquet history cannot be read.
pub fn beginning(place: &Place, from: Option<Timestamp>, blank: Blank) -> anyhow::Result<Beginning> {
    let journal = place.data.join("engine/journal");
    let usual = start::open(&place.data, || place.decoders(), blank);
    let enough = match usual.as_ref().map(|start| start.since) {
        Ok(Since::Beginning) => true,
        Ok(Since::Snapshot(seq)) => {
            from.is_some_and(|from| arrival_of(&journal, seq + 1).is_some_and(|first| first <= from))
        }
        Ok(_) => false,
        Err(_) => !journal.is_dir(),
    };
    if !enough && let Some(lake) = place.lake() {
        if let Some(archived) = Archived::open(lake, &journal, from)? {
            let engine = Engine::new(place.decoders(), 1, Vec::new());
            return Ok((engine, Box::new(archived), Since::Archive));
        }
        output::complain("the Parquet history has no records that begin with their rules; it is left out");
    }
    let start = usual?;
    Ok((start.engine, Box::new(Journaled::new(start.reader)), start.since))
}

/// When a record arrived; nothing if it is gone or not yet there.
fn arrival_of(journal: &Path, seq: u64) -> Option<Timestamp> {
    let mut reader = Reader::open_shared(journal, seq).ok()?;
    Some(reader.next().ok()??.arrival)
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
