//! `fleetward audit list` and `fleetward audit explain`

use audits::catalogue::{Basis, CheckInfo, Room, checks};
use serde_json::json;

use super::arguments::{ExplainArguments, ListArguments};
use super::run::known;
use crate::cli::{Exit, output};

pub(super) fn list(arguments: &ListArguments) -> anyhow::Result<Exit> {
    let all = checks();
    if arguments.json {
        let rows: Vec<_> = all.iter().map(as_json).collect();
        output::line(&serde_json::to_string_pretty(&rows)?)?;
        return Ok(Exit::Done);
    }
    let row = |info: &CheckInfo| {
        let default = if info.default_on { "on" } else { "off" };
        let cells = [&info.name, info.severity.name(), basis(info), room(info.room), default];
        cells.map(str::to_owned).to_vec()
    };
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    output::line(&output::table(&["CHECK", "SEVERITY", "FROM", "ABOUT", "DEFAULT"], &rows))?;
    Ok(Exit::Done)
}

fn as_json(info: &CheckInfo) -> serde_json::Value {
    let codes: Vec<_> = info.codes.iter().map(|code| json!({"code": code.code, "text": code.text})).collect();
    let parameter = |one: &audits::catalogue::ParameterInfo| json!({"name": one.name, "default": one.default, "allowed": one.allowed});
    json!({
        "checkName": info.name, "severity": info.severity.name(), "from": basis(info),
        "about": room(info.room), "default": info.default_on, "notices": info.notices, "why": info.why,
        "remedy": info.remedy, "references": info.references, "codes": codes,
        "parameters": info.parameters.iter().map(parameter).collect::<Vec<_>>(),
    })
}

fn basis(info: &CheckInfo) -> &'static str {
    match info.basis {
        Basis::Aws => "AWS",
        Basis::Ours => "Fleetward",
    }
}

const fn room(room: Room) -> &'static str {
    match room {
        Room::Certificates => "certificates",
        Room::Policies => "policies",
        Room::Identities => "identities",
        Room::Logging => "logging",
        Room::BrokerConfiguration => "broker configuration",
        Room::Custom => "custom",
    }
}

pub(super) fn explain(arguments: &ExplainArguments) -> anyhow::Result<Exit> {
    known(&arguments.check)?;
    for info in checks().iter().filter(|info| info.name == arguments.check.as_str()) {
        output::line(&explained(info))?;
    }
    Ok(Exit::Done)
}

fn explained(info: &CheckInfo) -> String {
    let mut lines = vec![
        info.name.to_string(),
        format!("{}, from {}, about {}", info.severity.name(), basis(info), room(info.room)),
        String::new(),
        format!("Notices: {}", info.notices),
        format!("Why it matters: {}", info.why),
        format!("What to do: {}", info.remedy),
        format!("References: {}", info.references),
        String::new(),
        "Reason codes:".into(),
    ];
    lines.extend(info.codes.iter().map(|code| format!("  {}: {}", code.code, code.text)));
    if !info.parameters.is_empty() {
        lines.push("Parameters (--set CHECK:NAME=VALUE):".into());
    }
    lines.extend(
        info.parameters
            .iter()
            .map(|one| format!("  {}: `{}` unless set; allowed is {}", one.name, one.default, one.allowed)),
    );
    if !info.default_on {
        lines.push(format!("Off unless asked for: --check {}", info.name));
    }
    lines.join("\n")
}
