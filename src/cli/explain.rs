//! `fleetward explain`: what led to an alarm.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use detector::{
    transition::{Transition, TransitionKind},
    verification::Verification,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Exit, arguments::ExplainArguments, client, output, past};
use crate::{
    explain::{
        chart::Style,
        events::{self, Decoders},
        gather,
        report::{self, Told},
        series,
    },
    replay::raised,
    serve,
};

/// Columns where the terminal does not say.
const WIDTH_DEFAULT: u16 = 80;

/// What the store knows.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    transitions: Vec<Transition>,
    earlier: Vec<Transition>,
    tasks: Vec<Value>,
    incident: Value,
    /// Absent where the running engine is older.
    #[serde(default)]
    verification: Verification,
}

/// Gathers everything and prints it.
///
/// # Errors
/// When there is no such alarm, or what is needed cannot be read.
pub fn run(arguments: &ExplainArguments) -> anyhow::Result<Exit> {
    let config = arguments.data.is_none().then_some(arguments.config.as_path());
    let Some(place) = past::place(arguments.data.as_deref(), config) else {
        return Ok(Exit::BadConfiguration);
    };
    let stored = stored(&place, &arguments.alarm)?;
    let stored: Stored = serde_json::from_value(stored).context("what is stored has another form")?;
    let known = stored.transitions.iter().find(|transition| transition.kind == TransitionKind::InAlarm);
    let known = known.or(stored.transitions.first()).context("nothing is stored about it")?;
    let ended = stored.transitions.iter().find(|transition| transition.kind != TransitionKind::InAlarm);
    let range = known.evidence.as_ref().map_or((known.seq, known.seq), |evidence| {
        // 0: longer ago than is remembered.
        (if evidence.journal.from == 0 { known.seq } else { evidence.journal.from }, evidence.journal.to)
    });
    let logs = place.settings.as_ref().map_or(&[][..], |settings| &settings.mosquitto_log);
    let decoders = Decoders::new(serve::log_decoder(logs));
    let found = events::find(&place, decoders, &known.entity, known.at, range, arguments.events.into())?;
    let series = match series::of_journal(&place, known, ended)? {
        Some(series) => Some(series),
        None => series::of_history(&place, known, ended)?,
    };
    let series = series.unwrap_or_else(|| series::of_evidence(known));
    let told = Told {
        transitions: &stored.transitions,
        earlier: &stored.earlier,
        tasks: &stored.tasks,
        incident: &stored.incident,
        verification: &stored.verification,
        series: &series,
        found: &found,
    };
    if arguments.json {
        output::line(&as_json(&told).to_string())?;
    } else {
        let style = if arguments.ascii || !speaks_unicode() { Style::Ascii } else { Style::Blocks };
        output::line(&report::text(&told, usize::from(arguments.width.unwrap_or_else(width)), style))?;
    }
    Ok(Exit::Done)
}

/// What the running engine has stored, or what the store of a stopped one holds.
fn stored(place: &past::Place, alarm: &str) -> anyhow::Result<Value> {
    if let Some(client) = place.client() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let answer = runtime.block_on(async {
            // Whether one runs is another question than whether it knows the alarm.
            match client.get("/fleetward/v1/status").await {
                Err(_) => None,
                Ok(_) => {
                    let path = format!("/fleetward/v1/alarms/{}", client::encode_segment(alarm));
                    Some(client.get(&path).await)
                }
            }
        });
        if let Some(answer) = answer {
            return answer;
        }
    }
    Ok(gather::gather(&*raised::open_store(&place.data)?, alarm)?)
}

/// Members: `transitions`, `earlier`, `tasks`, `incident`, `verification`, `series` (`from`, `points` of
/// `[ms, value]`), `events` (`total`, `gap`, `latest` as recorded events).
fn as_json(told: &Told<'_>) -> Value {
    let points: Vec<Value> = told.series.points.iter().map(|(at, value)| json!([at, value])).collect();
    let latest: Vec<Value> =
        told.found.events.iter().filter_map(|(_, event)| serde_json::from_str(event.get()).ok()).collect();
    json!({
        "violationId": told.transitions.first().map(|transition| &transition.violation_id),
        "transitions": told.transitions,
        "earlier": told.earlier,
        "tasks": told.tasks,
        "incident": told.incident,
        "verification": told.verification,
        "series": {"from": told.series.from, "points": points},
        "events": {"total": told.found.total, "gap": told.found.gap, "latest": latest},
    })
}

fn width() -> u16 {
    let terminal = std::io::stdout().is_terminal().then(crossterm::terminal::size).and_then(Result::ok);
    terminal.map_or(WIDTH_DEFAULT, |(columns, _)| columns.clamp(40, 400))
}

/// Whether the locale's characters are UTF-8.
fn speaks_unicode() -> bool {
    let named = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(serve::environment);
    let first = named.into_iter().find(|name| !name.is_empty()).unwrap_or_default().to_ascii_lowercase();
    first.contains("utf-8") || first.contains("utf8")
}
