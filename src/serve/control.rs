//! The control plane beside the engine: what is made over the API goes into the engine as the files do.

use std::sync::{Arc, PoisonError, Weak};

use anyhow::Context as _;
use api::{
    ApiError, Backend as _, MetricValues, Token,
    aws::{endpoint::Endpoint, meter::Meter, user::Users},
    plane::{BoxFuture, Engine, Names, Plane, RegistryPatch},
    tls,
};
use behaviors::profile;
use detector::{change::Rules, runner::RunnerHandle};
use fleet::store::Store;
use serde_json::Value;

use super::{backend::Known, groups::with_tasks, sight::Watched};
use crate::{
    config::settings::{ApiSettings, Settings},
    files::Definitions,
};

/// The record of changes, in the data folder.
pub const RECORD: &str = "control.log";
/// The file of users, in the data folder.
pub const USERS: &str = "users.json";
/// The certificate that is made where the configuration names none, in the data folder, and its key.
pub const CERTIFICATE: (&str, &str) = ("api-cert.pem", "api-key.pem");

/// Opens the control plane on what the store holds, and adds that to what the files define.
///
/// # Errors
/// When the store fails, or files and store do not fit together.
pub fn open(
    settings: &Settings,
    definitions: &mut Definitions,
    store: &Arc<dyn Store>,
) -> anyhow::Result<Arc<Plane>> {
    let broker = settings.mqtt.first().map(|source| &source.settings.connection);
    let names = Names {
        region: settings.api.region.clone(),
        account: settings.api.account.clone(),
        broker: broker.map(|broker| format!("{}:{}", broker.host, broker.port)),
    };
    let record = settings.data_dir.join(RECORD);
    let (files, base) =
        (std::mem::take(&mut definitions.profile_texts), std::mem::take(&mut definitions.registry));
    let plane = Plane::open(Arc::clone(store), &record, names, files, base)
        .context("cannot open the control plane")?;
    add(&plane, definitions);
    Ok(Arc::new(plane))
}

/// Profiles and registry as they are with what was made over the API.
fn add(plane: &Plane, definitions: &mut Definitions) {
    definitions.profile_texts = plane.profile_texts();
    definitions.profiles = profile::parse_files(&definitions.profile_texts).0;
    definitions.registry = plane.registry();
}

/// The endpoint of the control plane.
#[must_use]
pub fn endpoint(settings: &Settings, plane: Arc<Plane>, token: Token) -> Endpoint {
    Endpoint {
        plane,
        users: Users::new(settings.data_dir.join(USERS)),
        token,
        meter: Meter::new(settings.api.requests_per_sec),
        clock: super::now,
        counts: Default::default(),
    }
}

/// What the endpoint's TLS needs; makes a certificate where none is configured.
///
/// # Errors
/// When files cannot be read or written, or do not belong together.
pub fn tls(settings: &Settings) -> anyhow::Result<Arc<rustls::ServerConfig>> {
    let ApiSettings { listen, tls: own, .. } = &settings.api;
    if let Some(files) = own {
        return tls::read(files).context("`api.certificate` and `api.key`");
    }
    let (certificate, key) = CERTIFICATE;
    let files =
        tls::Files { certificate: settings.data_dir.join(certificate), key: settings.data_dir.join(key) };
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let ip = listen.map(|address| address.ip()).filter(|ip| !ip.is_unspecified() && !ip.is_loopback());
    names.extend(ip.map(|ip| ip.to_string()));
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if !host.is_empty() && host.is_ascii() && !names.contains(&host) {
        names.push(host);
    }
    tls::make(&files, names)?;
    Ok(tls::read(&files)?)
}

/// Brings what is made over the API to the engine.
#[derive(Debug)]
pub struct Steering {
    handle: RunnerHandle,
    known: Weak<Known>,
    /// With whatever profiles.
    rules: Rules,
}

impl Steering {
    /// For this engine, whose rules are these but for the profiles.
    #[must_use]
    pub fn new(handle: RunnerHandle, known: Weak<Known>, rules: Rules) -> Self {
        Self { handle, known, rules }
    }
}

impl Engine for Steering {
    fn set_profiles(&self, texts: Vec<(String, String)>) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let profiles = profile::parse_files(&texts).0;
            let rules = Rules { profiles: texts, ..self.rules.clone() };
            let compiled = profiles.compile(rules.bucket_secs);
            self.handle.set_rules(rules).await.map_err(|stopped| stopped.to_string())?;
            if let Some(known) = self.known.upgrade() {
                let mut watched = known.watched.lock().unwrap_or_else(PoisonError::into_inner);
                let (sources, config) = (watched.sources.clone(), watched.config.clone());
                *watched = Arc::new(Watched { profiles, compiled, sources, config });
            }
            Ok(())
        })
    }

    fn patch_registry(&self, patch: RegistryPatch) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(
            async move { self.handle.update_registry(patch).await.map_err(|stopped| stopped.to_string()) },
        )
    }

    fn metric_values(&self, wanted: &MetricValues) -> Result<Value, ApiError> {
        let stopping = || ApiError::Internal("the program is stopping".into());
        self.known.upgrade().ok_or_else(stopping)?.metric_values(wanted)
    }
}

/// Takes files that were read again. What was made over the API stays.
///
/// # Errors
/// When files and store do not fit together, or the engine has stopped.
pub async fn reload(known: &Arc<Known>, definitions: Definitions) -> anyhow::Result<()> {
    let plane = Arc::clone(&known.control.plane);
    let (texts, registry) = (definitions.profile_texts, definitions.registry);
    plane.reload(texts, registry)?;
    plane.tell_profiles().await.map_err(|fault| anyhow::anyhow!(fault.message))?;
    let tasks = known.response.active();
    // At the engine's moment, so that no change that comes meanwhile is undone.
    known.handle.update_registry(move |_| with_tasks(plane.registry(), &tasks)).await?;
    known.response.set_rules(definitions.rules);
    Ok(())
}
