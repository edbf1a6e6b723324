//! A real HTTP receiver of alerts, which checks signatures as a user's would.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, http::StatusCode};
use hmac::{Hmac, Mac};
use serde_json::Value;
use sha2::Sha256;

/// What sender and receiver share.
pub(crate) const SECRET: &str = "a secret that both ends know";

/// An alert that arrived, with the id of its header.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) id: String,
    pub(crate) body: Value,
}

/// The receiver; it ends with the test.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    wrong: Arc<Mutex<Vec<String>>>,
    _runtime: tokio::runtime::Runtime,
}

#[derive(Clone)]
struct Kept {
    received: Arc<Mutex<Vec<Received>>>,
    wrong: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let kept = Kept { received: Arc::default(), wrong: Arc::default() };
        let router = Router::new().fallback(receive).with_state(kept.clone());
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { address, received: kept.received, wrong: kept.wrong, _runtime: runtime }
    }

    /// The `[alerts.webhook.ops]` table; `folder` gets the file of the secret.
    pub(crate) fn config(&self, folder: &std::path::Path) -> String {
        let file = folder.join("webhook-secret");
        std::fs::write(&file, format!("{SECRET}\n")).unwrap();
        format!(
            "[alerts.webhook.ops]\nurl = \"http://{}/alerts\"\nsecret = {{ file = \"{}\" }}\n\n",
            self.address,
            file.display()
        )
    }

    /// Everything that arrived with a good signature. Fails if anything arrived with a bad one.
    #[track_caller]
    pub(crate) fn received(&self) -> Vec<Received> {
        assert_eq!(*self.wrong.lock().unwrap(), [""; 0], "requests that are not from our sender");
        self.received.lock().unwrap().clone()
    }

    /// Things of the alarms of a kind that arrived, sorted, each once.
    #[track_caller]
    pub(crate) fn alarms(&self, kind: &str) -> Vec<String> {
        let received = self.received();
        let of_kind =
            received.iter().filter(|one| one.body.pointer("/alarm/kind").is_some_and(|k| k == kind));
        let name = |one: &Received| one.body.pointer("/alarm/entity/thing")?.as_str().map(str::to_owned);
        let mut things: Vec<String> = of_kind.filter_map(name).collect();
        things.sort();
        things.dedup();
        things
    }

    /// Thing and kind of each notice that arrived, sorted, each once.
    #[track_caller]
    pub(crate) fn notices(&self) -> Vec<(String, String)> {
        let text = |one: &Received, at: &str| one.body.pointer(at)?.as_str().map(str::to_owned);
        let received = self.received();
        let notices =
            received.iter().filter_map(|one| Some((text(one, "/notice/thing")?, text(one, "/notice/kind")?)));
        let mut notices: Vec<(String, String)> = notices.collect();
        notices.sort();
        notices.dedup();
        notices
    }
}

async fn receive(State(kept): State<Kept>, headers: HeaderMap, body: Bytes) -> StatusCode {
    match checked(&headers, &body) {
        Ok(one) => kept.received.lock().unwrap().push(one),
        Err(error) => kept.wrong.lock().unwrap().push(error),
    }
    StatusCode::NO_CONTENT
}

fn checked(headers: &HeaderMap, body: &[u8]) -> Result<Received, String> {
    let header = |name: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).ok_or_else(|| format!("no header {name}"))
    };
    let signature = header("x-fleetward-signature")?;
    let (time, digest) = signature
        .strip_prefix("t=")
        .and_then(|rest| rest.split_once(",v1="))
        .ok_or("a signature of no known form")?;
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("{time}.").as_bytes());
    mac.update(body);
    let expected: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    if digest != expected {
        return Err("a wrong signature".into());
    }
    let body: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let id = header("x-fleetward-id")?.to_owned();
    if body["id"] != id {
        return Err(format!("the header names {id}, the body {}", body["id"]));
    }
    Ok(Received { id, body })
}
