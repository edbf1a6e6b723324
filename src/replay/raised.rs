//! What was really raised: the transitions in the store, asked of the engine that holds it, or read
//! from the folder when none does.

use std::path::Path;

use anyhow::Context as _;
use detector::transition::Transition;
use fleet::store::{self, Engine, KeyRange, Store, StoreError, Table};
use serde_json::Value;

use crate::{cli::client::Client, serve::recorder::transition_key};

/// Rows asked for at once.
const PAGE: usize = 10_000;

/// Every transition that the running engine has stored, newest first.
///
/// # Errors
/// When it does not answer, or with something else.
pub async fn from_running(client: &Client) -> anyhow::Result<Vec<Transition>> {
    let mut all = Vec::new();
    let mut after = String::new();
    loop {
        let rows = client.get(&format!("/fleetward/v1/transitions?limit={PAGE}{after}")).await?;
        let page: Vec<Transition> =
            serde_json::from_value(rows).context("the running Fleetward answers in another form")?;
        let last = page.last().map(|last| format!("&after={}-{}", last.seq, last.id));
        let whole = page.len() == PAGE;
        all.extend(page);
        match last {
            Some(last) if whole => after = last,
            _ => return Ok(all),
        }
    }
}

/// Every transition in a store, newest first.
///
/// # Errors
/// When the store fails or a record cannot be read.
pub fn from_store(store: &dyn Store) -> anyhow::Result<Vec<Transition>> {
    let mut all = Vec::new();
    let mut range = KeyRange::all();
    loop {
        let page = store.scan(Table::Transitions, &range, PAGE)?;
        for (_, value) in &page {
            all.push(serde_json::from_slice(value).context("a stored transition cannot be read")?);
        }
        match page.last() {
            Some((key, _)) if page.len() == PAGE => range = range.after(key),
            _ => return Ok(all),
        }
    }
}

/// Opens the store of a data folder that no engine uses, whatever engine wrote it.
///
/// # Errors
/// When it is in use, is not there, or fails.
pub fn open_store(data: &Path) -> anyhow::Result<Box<dyn Store>> {
    let path = data.join("store");
    if !path.is_dir() {
        anyhow::bail!("`{}` has no store; has `fleetward serve` run with this data folder?", data.display());
    }
    let opened = match store::open(Engine::Redb, &path) {
        Err(StoreError::OtherEngine { found, .. }) => store::open(found, &path),
        other => other,
    };
    opened.with_context(|| {
        format!(
            "cannot open the store `{}`; if `fleetward serve` runs there, name its configuration with --config",
            path.display()
        )
    })
}

/// The place in the store after the row named `SEQ-ID`, or what is wrong with the name.
///
/// # Errors
/// Says what was found and what is expected.
pub fn after(cursor: &str) -> Result<KeyRange, String> {
    let wrong = || format!("after: found `{cursor}`; expected SEQ-ID of the last row");
    let (seq, id) = cursor.split_once('-').ok_or_else(wrong)?;
    let seq: u64 = seq.parse().map_err(|_| wrong())?;
    if id.is_empty() || id.len() > 64 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    Ok(KeyRange::all().after(&transition_key(seq, id)))
}

/// The rows of a page, as they are stored.
///
/// # Errors
/// When the store fails or a record cannot be read.
pub fn page(store: &dyn Store, range: &KeyRange, limit: usize) -> anyhow::Result<Value> {
    let entries = store.scan(Table::Transitions, range, limit)?;
    let rows: Result<Vec<Value>, _> =
        entries.iter().map(|(_, value)| serde_json::from_slice(value)).collect();
    Ok(Value::Array(rows?))
}
