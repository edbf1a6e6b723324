//! `fleetward user` and `fleetward api`: who may use the control plane, and what it offers.

use std::path::{Path, PathBuf};

use api::{
    aws::{allow, model::Model, user},
    plane,
};
use serde_json::json;

use super::{
    Exit,
    arguments::{UserArguments, UserCommand},
    output,
};
use crate::{
    config::{self, checker::Environment},
    serve::{self, control::USERS},
};

/// Changes or lists the users of the data folder that the configuration names. A Fleetward that runs
/// heeds it at the next request.
///
/// # Errors
/// When the file of users cannot be changed as asked.
pub fn run(arguments: &UserArguments, environment: Environment<'_>) -> anyhow::Result<Exit> {
    let (UserCommand::Add { config, .. }
    | UserCommand::List { config, .. }
    | UserCommand::Remove { config, .. }) = &arguments.command;
    let Some(path) = file(config, environment)? else { return Ok(Exit::BadConfiguration) };
    match &arguments.command {
        UserCommand::Add { name, role, json, .. } => add(&path, name, *role, *json)?,
        UserCommand::List { json, .. } => list(&path, *json)?,
        UserCommand::Remove { name, .. } => {
            user::remove(&path, name)?;
            output::line(&format!("{name} is removed"))?;
        }
    }
    Ok(Exit::Done)
}

fn file(config: &Path, environment: Environment<'_>) -> anyhow::Result<Option<PathBuf>> {
    let loaded = config::load(config, environment);
    let Some(settings) = loaded.settings else {
        loaded.problems.iter().for_each(|problem| output::complain(&output::printable(&problem.to_string())));
        return Ok(None);
    };
    serve::make_folder(&settings.data_dir)?;
    Ok(Some(settings.data_dir.join(USERS)))
}

fn add(path: &Path, name: &str, role: allow::Role, as_json: bool) -> anyhow::Result<()> {
    let mut random = [0; 80];
    getrandom::fill(&mut random)
        .map_err(|error| anyhow::anyhow!("the system gives no random bytes: {error}"))?;
    let issued = user::add(path, name, role, &random)?;
    let (secret, token) = (issued.secret_access_key.expose(), issued.token.expose());
    let key = issued.access_key_id;
    if as_json {
        let shown = json!({"name": name, "role": role.name(), "accessKeyId": key, "secretAccessKey": secret, "token": token});
        return Ok(output::line(&shown.to_string())?);
    }
    Ok(output::line(&format!(
        "role of {name}: {}. These secrets are shown this once:\n\
         AWS_ACCESS_KEY_ID={key}\nAWS_SECRET_ACCESS_KEY={secret}\nFLEETWARD_TOKEN={token}",
        role.name()
    ))?)
}

fn list(path: &Path, as_json: bool) -> anyhow::Result<()> {
    let users = user::read(path)?;
    if as_json {
        let shown = |user: &user::User| json!({"name": user.name, "role": user.role.name(), "accessKeyId": user.access_key_id});
        return Ok(users.iter().try_for_each(|user| output::line(&shown(user).to_string()))?);
    }
    let rows: Vec<Vec<String>> = users
        .iter()
        .map(|user| vec![user.name.clone(), user.role.name().to_owned(), user.access_key_id.clone()])
        .collect();
    match rows.is_empty() {
        true => Ok(output::line("no users; `fleetward user add NAME --role ROLE` makes one")?),
        false => Ok(output::line(&output::table(&["NAME", "ROLE", "ACCESS KEY"], &rows))?),
    }
}

/// Prints every operation of the table: whether it is backed, and who may call it.
///
/// # Errors
/// When standard output fails.
pub fn operations(as_json: bool) -> anyhow::Result<Exit> {
    let offered = plane::offered();
    let all: Vec<(&str, bool, &str)> = Model::get()
        .operations
        .keys()
        .map(|name| (name.as_str(), offered.binary_search(&name.as_str()).is_ok(), allow::least(name).name()))
        .collect();
    if as_json {
        for (name, backed, role) in &all {
            output::line(&json!({"operation": name, "backed": backed, "role": role}).to_string())?;
        }
        return Ok(Exit::Done);
    }
    let cells = |(name, backed, role): &(&str, bool, &str)| {
        vec![(*name).to_owned(), if *backed { "yes" } else { "no" }.to_owned(), (*role).to_owned()]
    };
    let rows: Vec<Vec<String>> = all.iter().map(cells).collect();
    output::line(&output::table(&["OPERATION", "BACKED", "LEAST ROLE"], &rows))?;
    output::line(&format!("{} of {} are backed; the others answer 501", offered.len(), all.len()))?;
    Ok(Exit::Done)
}
