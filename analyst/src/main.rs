//! Fleetward's worker for history. The engine starts it now and then as a process of its own, so
//! that what it does can neither slow nor kill the engine; a person may start it as well.
//!
//! `fleetward-analyst SUBCOMMAND` reads one JSON object from standard input, writes JSON objects,
//! one a line, to standard output, and ends with `{"done": ...}`. An error is one sentence on
//! standard error and exit code 1. The requests and answers are those of `docs/history.md`.

mod columns;
mod compact;
mod describe;
mod event_row;
mod events;
mod lake;
mod limits;
mod metrics;
mod parquet;
mod read;
mod record_files;
mod records;
mod request;
mod retention;

use std::{
    io::{self, Read as _, Write as _},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Longest request that is read, bytes.
const REQUEST_BYTES_MAX: u64 = 4 << 20;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nobody to tell if that fails.
            writeln!(io::stderr().lock(), "fleetward-analyst: {error:#}").ok();
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let subcommand = arguments.next().unwrap_or_default();
    let known = ["compact", "query", "series", "records", "describe"];
    if !known.contains(&subcommand.as_str()) || arguments.next().is_some() {
        bail!("expected one subcommand of {}, and a request on standard input", known.join(", "));
    }
    let mut text = String::new();
    io::stdin()
        .lock()
        .take(REQUEST_BYTES_MAX)
        .read_to_string(&mut text)
        .context("cannot read the request")?;
    limits::apply(&text)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut say = |line: &Value| -> anyhow::Result<()> {
        serde_json::to_writer(&mut out, line)?;
        Ok(out.write_all(b"\n")?)
    };
    let done = match subcommand.as_str() {
        "compact" => compact::run(&request(&text)?, &mut say)?,
        "query" => read::query(&request(&text)?, &mut say)?,
        "series" => read::series(&request(&text)?, &mut say)?,
        "records" => records::run(&request(&text)?, &mut say)?,
        _ => describe::run(&request(&text)?, &mut say)?,
    };
    say(&serde_json::json!({ "done": done }))?;
    out.flush().context("cannot write the answer")
}

fn request<T: DeserializeOwned>(text: &str) -> anyhow::Result<T> {
    serde_json::from_str(text).context("the request cannot be read")
}

/// Where answers go, a line each.
type Say<'a> = &'a mut dyn FnMut(&Value) -> anyhow::Result<()>;
