//! The program `fleetward`.

use std::{io, path::Path, process::ExitCode};

use anyhow::Context as _;
use api::plane::RECORD_HEAD_KEY;
use clap::{CommandFactory as _, Parser as _};
use detector::verification::Verification;
use fleet::store::Table;
use fleetward::{
    cli::{
        Exit,
        arguments::{
            AlarmsArguments, AlarmsCommand, ApiArguments, ApiCommand, Arguments, Command, ConfigArguments,
            DemoArguments, ListArguments, VerifyArguments,
        },
        audit, check,
        client::{self, Client},
        datasets, explain, history, lens, output, replay, stories, suggest, user,
    },
    demo::{self, DemoOptions},
    serve,
};
use mitigations::{
    log::{Head, verify_log},
    response::LOG_HEAD_KEY,
};
use serde_json::Value;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.command) {
        Ok(exit) => exit.into(),
        Err(error) => {
            output::complain(&format!("fleetward: {error:#}"));
            Exit::Failure.into()
        }
    }
}

fn run(command: Command) -> anyhow::Result<Exit> {
    // One provider for every TLS connection of the process; a second call would change nothing.
    rustls::crypto::ring::default_provider().install_default().ok();
    match command {
        Command::Serve(arguments) => serve(&arguments),
        Command::Check(arguments) => {
            Ok(check::run(&arguments.config, arguments.strict, &serve::environment)?)
        }
        Command::Audit(arguments) => Ok(audit::run(&arguments, serve::now().millis().div_euclid(1_000))),
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Datasets(arguments) => datasets::run(&arguments, &serve::environment),
        Command::Stories(arguments) => stories::run(&arguments, &serve::environment),
        Command::Suggest(arguments) => suggest::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Status(arguments) => ask(&arguments, async |client| {
            let status = client.get("/fleetward/v1/status").await?;
            Ok(output::line(&serde_json::to_string_pretty(&status)?)?)
        }),
        Command::Alarms(arguments) => alarms(&arguments),
        Command::Tasks(arguments) => list(&arguments, "tasks", "", TASK_COLUMNS, "no mitigation tasks"),
        Command::History(arguments) => runtime()?.block_on(history::run(&arguments, serve::now())),
        Command::Lens(arguments) => lens::run(&arguments),
        Command::Undo(arguments) => {
            let config = ConfigArguments { config: arguments.config };
            let path = format!("/fleetward/v1/tasks/{}/undo", client::encode_segment(&arguments.task));
            ask(&config, async |client| {
                let task = client.post(&path).await?;
                let state = task.pointer("/state/name").and_then(Value::as_str).unwrap_or("unknown");
                Ok(output::line(&format!("{}: {state}", arguments.task))?)
            })
        }
        Command::User(arguments) => user::run(&arguments, &serve::environment),
        Command::Api(ApiArguments { command: ApiCommand::Operations { json } }) => user::operations(json),
        Command::VerifyLog(arguments) => verify(&arguments),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "fleetward", &mut io::stdout());
            Ok(Exit::Done)
        }
        Command::Demo(arguments) => demo(&arguments),
    }
}

const ALARM_COLUMNS: &[(&str, &str)] = &[
    ("THING", "/entity/thing"),
    ("ADDRESS", "/entity/sourceIp"),
    ("PROFILE", "/profile"),
    ("BEHAVIOR", "/behavior"),
    ("VALUE", "/value"),
    ("EXPECTED", "/expected"),
    ("ATTRIBUTION", "/attribution"),
    ("SINCE", "/startedAt"),
    ("VERIFIED", "/verificationState"),
    ("ALARM", "/violationId"),
];

const INCIDENT_COLUMNS: &[(&str, &str)] = &[
    ("INCIDENT", "/id"),
    ("PROFILE", "/profile"),
    ("BEHAVIOR", "/behavior"),
    ("BEGAN WITH", "/entity"),
    ("ALARMS", "/alarms"),
    ("OPEN", "/open"),
    ("MOST AT ONCE", "/mostOpen"),
    ("MESSAGES", "/told/messages"),
    ("SINCE", "/openedAt"),
    ("OVER", "/closedAt"),
];

const TASK_COLUMNS: &[(&str, &str)] = &[
    ("TASK", "/id"),
    ("STATE", "/state/name"),
    ("THING", "/thing"),
    ("ACTION", "/action/actionName"),
    ("PROFILE", "/profile"),
    ("BEHAVIOR", "/behavior"),
    ("SINCE", "/updatedAt"),
];

fn serve(arguments: &ConfigArguments) -> anyhow::Result<Exit> {
    let checked = check::read(&arguments.config, &serve::environment);
    let Some((settings, definitions)) = checked.usable else {
        checked
            .problems
            .iter()
            .for_each(|problem| output::complain(&output::printable(&problem.to_string())));
        output::complain("fleetward: not started, see the errors above");
        return Ok(Exit::BadConfiguration);
    };
    start_log(settings.log_level, settings.log_json);
    for problem in &checked.problems {
        tracing::warn!(%problem, "configuration");
    }
    runtime()?.block_on(serve::run(&arguments.config, settings, definitions))?;
    Ok(Exit::Done)
}

fn demo(arguments: &DemoArguments) -> anyhow::Result<Exit> {
    let options = DemoOptions {
        duration: arguments.duration,
        json: arguments.json,
        seed: arguments.seed,
        devices: arguments.devices,
        speed: arguments.speed,
    };
    if options.json {
        start_log("warn", false);
    }
    runtime()?.block_on(demo::run(options))?;
    Ok(Exit::Done)
}

fn start_log(level: &str, json: bool) {
    let filter = EnvFilter::new(format!("{level},rumqttc=warn,hyper=warn,rustls=warn"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(false);
    if json { log.json().init() } else { log.init() }
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// Asks the Fleetward that runs with this configuration.
fn ask(
    arguments: &ConfigArguments,
    what: impl AsyncFnOnce(Client) -> anyhow::Result<()>,
) -> anyhow::Result<Exit> {
    let loaded = fleetward::config::load(&arguments.config, &serve::environment);
    let Some(settings) = loaded.settings else {
        loaded.problems.iter().for_each(|problem| output::complain(&output::printable(&problem.to_string())));
        return Ok(Exit::BadConfiguration);
    };
    runtime()?.block_on(async { what(Client::new(&settings)?).await })?;
    Ok(Exit::Done)
}

fn alarms(arguments: &AlarmsArguments) -> anyhow::Result<Exit> {
    let AlarmsArguments { command, list: listing, incidents, verification } = arguments;
    match (command, verification) {
        (Some(AlarmsCommand::Verify(arguments)), _) => verify_alarm(arguments),
        (None, _) if *incidents => list(listing, "incidents", "", INCIDENT_COLUMNS, "no incidents"),
        (None, None) => list(listing, "alarms", "", ALARM_COLUMNS, "no active alarms"),
        (None, Some(state)) => {
            let (filter, none) = (
                format!("&verification={}", state.name()),
                format!("no active alarms that are {}", state.name()),
            );
            list(listing, "alarms", &filter, ALARM_COLUMNS, &none)
        }
    }
}

fn verify_alarm(arguments: &VerifyArguments) -> anyhow::Result<Exit> {
    let path = format!("/fleetward/v1/alarms/{}/verification", client::encode_segment(&arguments.violation));
    let verification = Verification {
        verification_state: arguments.state,
        verification_state_description: arguments.note.clone(),
    };
    ask(&ConfigArguments { config: arguments.config.clone() }, async |client| {
        let told = client.put(&path, &serde_json::to_value(&verification)?).await?;
        if arguments.json {
            return Ok(output::line(&told.to_string())?);
        }
        let text = |member: &str| told.get(member).and_then(Value::as_str).unwrap_or("unknown").to_owned();
        Ok(output::line(&format!("{}: {}", text("violationId"), text("verificationState")))?)
    })
}

/// Prints a listing of the local endpoint; `filter` follows the limit in its query.
fn list(
    arguments: &ListArguments,
    what: &str,
    filter: &str,
    columns: &[(&str, &str)],
    empty: &str,
) -> anyhow::Result<Exit> {
    let config = ConfigArguments { config: arguments.config.clone() };
    ask(&config, async |client| {
        let rows = client.get(&format!("/fleetward/v1/{what}?limit={}{filter}", arguments.limit)).await?;
        Ok(client::print_listing(&rows, columns, arguments.json, empty)?)
    })
}

fn verify(arguments: &ConfigArguments) -> anyhow::Result<Exit> {
    let loaded = fleetward::config::load(&arguments.config, &serve::environment);
    let Some(settings) = loaded.settings else {
        loaded.problems.iter().for_each(|problem| output::complain(&output::printable(&problem.to_string())));
        return Ok(Exit::BadConfiguration);
    };
    let running =
        runtime()?.block_on(async { Client::new(&settings).ok()?.get("/fleetward/v1/status").await.ok() });
    let store = if running.is_none() { Some(serve::open_store(&settings)?) } else { None };
    let expected = |member: &str, key: &[u8]| -> anyhow::Result<Option<Head>> {
        if let Some(status) = &running {
            return Ok(status.get(member).and_then(|head| serde_json::from_value(head.clone()).ok()));
        }
        let value = store.as_ref().map(|store| store.get(Table::Meta, key)).transpose()?.flatten();
        Ok(value.map(|value| serde_json::from_slice(&value)).transpose()?)
    };
    let actions = expected("actionsLog", LOG_HEAD_KEY)?;
    verify_file(&settings.data_dir.join(serve::ACTIONS_LOG), actions.as_ref())?;
    let changes = settings.data_dir.join(serve::control::RECORD);
    // A data folder of before the control plane has none.
    if changes.exists() {
        verify_file(&changes, expected("controlLog", RECORD_HEAD_KEY)?.as_ref())?;
    }
    Ok(Exit::Done)
}

/// Proves that a record ends where a running Fleetward says, else where the store says.
fn verify_file(path: &Path, expected: Option<&Head>) -> anyhow::Result<()> {
    let head = verify_log(path, expected).with_context(|| format!("`{}` is broken", path.display()))?;
    let how = if expected.is_some() { "as the store says" } else { "in itself; the store knows no end" };
    let (path, Head { seq, hash }) = (path.display(), head);
    Ok(output::line(&format!("{path}: unbroken {how}, {seq} entries, ends with {hash}"))?)
}
