//! `fleetward history`: values of a metric, from the running Fleetward or from its folder.

use anyhow::{Context as _, bail};
use fleet::time::Timestamp;
use history::{History, Query};
use serde_json::Value;

use super::{
    Exit,
    arguments::{HistoryArguments, When},
    client::{Client, encode_segment},
    output,
};
use crate::{
    config::{self, settings::Settings},
    serve,
};

/// Runs the command at `now`.
///
/// # Errors
/// When neither a running Fleetward nor its folder answers.
pub async fn run(arguments: &HistoryArguments, now: Timestamp) -> anyhow::Result<Exit> {
    let loaded = config::load(&arguments.config, &serve::environment);
    let Some(settings) = loaded.settings else {
        loaded.problems.iter().for_each(|problem| output::complain(&output::printable(&problem.to_string())));
        return Ok(Exit::BadConfiguration);
    };
    // A window that is still open ends later than now, and a list that was reported in it is known already.
    let last = Timestamp::from_millis(i64::MAX);
    let range = (arguments.from.before(now), arguments.to.map_or(last, |to| to.before(now)));
    let answer = match running(&settings, arguments, range).await? {
        Some(answer) => answer,
        None => from_folder(&settings, arguments, range)?,
    };
    print(&answer, arguments)?;
    Ok(Exit::Done)
}

/// The answer of the running Fleetward; nothing if none runs.
async fn running(
    settings: &Settings,
    arguments: &HistoryArguments,
    (from, to): (Timestamp, Timestamp),
) -> anyhow::Result<Option<Value>> {
    let Ok(client) = Client::new(settings) else { return Ok(None) };
    let (thing, metric) = (encode_segment(&arguments.thing), encode_segment(&arguments.metric));
    let mut path = format!(
        "/fleetward/v1/things/{thing}/metrics/{metric}?from={}&to={}&limit={}",
        from.millis(),
        to.millis(),
        arguments.limit
    );
    for (name, text) in [("dimension", &arguments.dimension), ("aggregate", &arguments.aggregate)] {
        if let Some(text) = text {
            path.push_str(&format!("&{name}={}", encode_segment(text)));
        }
    }
    match client.get(&path).await {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if nobody_listens(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn nobody_listens(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect))
}

fn from_folder(
    settings: &Settings,
    arguments: &HistoryArguments,
    (from, to): (Timestamp, Timestamp),
) -> anyhow::Result<Value> {
    let Some(own) = &settings.history else {
        bail!("no Fleetward runs with this configuration, and it keeps no history (`history.enabled`)");
    };
    let dir = own.dir.display();
    let history = History::read_only(&own.dir)
        .with_context(|| format!("no Fleetward runs, and its history `{dir}` cannot be read"))?;
    let query = Query {
        thing: &arguments.thing,
        metric: &arguments.metric,
        dimension: arguments.dimension.as_deref().unwrap_or_default(),
        aggregate: arguments.aggregate.as_deref(),
        window_secs: None,
        from,
        to,
        limit: usize::from(arguments.limit),
    };
    Ok(serve::history::answer_json(&history.query(&query)?))
}

const KINDS: [&str; 5] = ["number", "numbers", "ports", "addresses", "texts"];

fn print(answer: &Value, arguments: &HistoryArguments) -> std::io::Result<()> {
    let values = answer.get("values").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if arguments.json {
        return values.iter().try_for_each(|value| output::line(&value.to_string()));
    }
    if values.is_empty() {
        return output::line("no values");
    }
    let text = |value: Option<&Value>| match value {
        Some(Value::String(text)) => output::printable(text),
        Some(Value::Array(items)) => {
            let items =
                items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned));
            output::printable(&items.collect::<Vec<_>>().join(" "))
        }
        Some(other) => other.to_string(),
        None => "-".into(),
    };
    let row = |value: &Value| {
        let end = value.get("end").and_then(Value::as_i64).unwrap_or_default();
        vec![
            Timestamp::from_millis(end).to_string(),
            text(value.get("windowSecs")),
            text(value.get("aggregate")),
            text(KINDS.iter().find_map(|kind| value.get(*kind))),
        ]
    };
    let rows: Vec<Vec<String>> = values.iter().map(row).collect();
    output::line(&output::table(&["WINDOW END", "SECONDS", "AGGREGATE", "VALUE"], &rows))?;
    if answer.get("more").and_then(Value::as_bool).unwrap_or(false) {
        output::complain("there are more; raise --limit or narrow --from and --to");
    }
    Ok(())
}

impl When {
    fn before(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(millis) => now.plus_millis(-millis),
        }
    }
}
