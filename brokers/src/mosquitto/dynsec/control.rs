//! Quarantine through the dynamic-security plugin.

use std::collections::BTreeSet;

use mitigations::control::{BoxFuture, Check, Control, ControlError, Subject, Undo};
use serde_json::{Value, json};
use tracing::info;

use super::{
    client::{DynsecClient, Reply},
    memory::{ADAPTER, Client, Memory, RoleOf},
    role::{self, Rule},
};

/// Priority of the quarantine role: above what anybody gives by hand.
const PRIORITY: i64 = 100_000;

const NO_CLIENT: &str = "Client not found";
const NO_ROLE: &str = "Role not found";

/// How the quarantine is carried out.
#[derive(Clone, Debug)]
pub struct DynsecSettings {
    /// Role that takes all permissions; made when missing.
    pub role: String,
    /// Also disable the client, so that a device with a password cannot log in. Does nothing for a
    /// device with a certificate as its user name; the role holds for both.
    pub also_disable: bool,
    /// User names that are never touched, beside our own and those of administrators.
    pub never_touch: BTreeSet<String>,
    /// First levels of further topics that begin with `$` and must be denied, such as that of the report prefix.
    pub roots: BTreeSet<String>,
    /// Refuse to act on a user name with more sessions than this: several devices share it.
    /// Known from Mosquitto 2.1 on only.
    pub sessions_max: Option<usize>,
}

impl Default for DynsecSettings {
    /// Role `fleetward-quarantine`, no disabling, no limit of sessions.
    fn default() -> Self {
        Self {
            role: "fleetward-quarantine".into(),
            also_disable: false,
            never_touch: BTreeSet::new(),
            roots: BTreeSet::new(),
            sessions_max: None,
        }
    }
}

impl DynsecSettings {
    /// Adds the root of a report prefix such as `$aws/things/`, if it begins with `$`.
    #[must_use]
    pub fn with_report_prefix(mut self, prefix: &str) -> Self {
        self.roots.extend(role::root(prefix).map(str::to_owned));
        self
    }
}

/// The acting side of Mosquitto.
#[derive(Debug)]
pub struct DynsecControl {
    client: DynsecClient,
    settings: DynsecSettings,
    name: String,
}

impl DynsecControl {
    /// Acts through `client`, whose user must be an administrator of the plugin.
    #[must_use]
    pub fn new(client: DynsecClient, settings: DynsecSettings) -> Self {
        let name = format!("mosquitto dynamic-security at {}", client.address());
        Self { client, settings, name }
    }

    /// The connection it acts through.
    #[must_use]
    pub const fn client(&self) -> &DynsecClient {
        &self.client
    }

    /// The user name to act on, unless it must not be touched.
    fn user<'a>(&self, subject: &'a Subject) -> Result<&'a str, ControlError> {
        let refuse = |text: String| Err(ControlError::Refused(text));
        let Some(user) = subject.principal.as_deref().filter(|user| !user.is_empty()) else {
            return refuse(format!(
                "`{}` has no user name at the broker: an action would hit every anonymous client",
                subject.thing
            ));
        };
        if Some(user) == self.client.user() {
            return refuse(format!("user `{user}` is Fleetward's own"));
        }
        if self.settings.never_touch.contains(user) {
            return refuse(format!("user `{user}` is configured never to be touched"));
        }
        Ok(user)
    }

    async fn client_named(&self, user: &str) -> Result<Option<Client>, ControlError> {
        let reply = self.client.run_one(json!({ "command": "getClient", "username": user })).await?;
        match reply.error.as_deref() {
            None => read(&reply.data, "/client").map(Some),
            Some(NO_CLIENT) => Ok(None),
            Some(error) => Err(refused("getClient", error)),
        }
    }

    async fn rules_of(&self, role: &str) -> Result<Option<Vec<Rule>>, ControlError> {
        let reply = self.client.run_one(json!({ "command": "getRole", "rolename": role })).await?;
        rules(&reply)
    }

    /// Rules of all roles that the client has, itself or through its groups.
    async fn rules_reaching(&self, client: &Client) -> Result<Vec<Rule>, ControlError> {
        let mut names: BTreeSet<String> = client.roles.iter().map(|held| held.rolename.clone()).collect();
        let groups =
            client.groups.iter().map(|held| json!({ "command": "getGroup", "groupname": held.groupname }));
        for reply in self.run_some(groups.collect()).await? {
            let roles = reply.data.pointer("/group/roles").cloned().unwrap_or_default();
            let roles: Vec<RoleOf> = serde_json::from_value(roles).unwrap_or_default();
            names.extend(roles.into_iter().map(|held| held.rolename));
        }
        names.remove(&self.settings.role);
        let commands = names.iter().map(|name| json!({ "command": "getRole", "rolename": name })).collect();
        let mut all = Vec::new();
        for reply in self.run_some(commands).await? {
            all.extend(rules(&reply)?.unwrap_or_default());
        }
        Ok(all)
    }

    async fn run_some(&self, commands: Vec<Value>) -> Result<Vec<Reply>, ControlError> {
        if commands.is_empty() { Ok(Vec::new()) } else { self.client.run(commands).await }
    }

    async fn remember(&self, subject: &Subject) -> Result<Undo, ControlError> {
        let user = self.user(subject)?;
        let found = self.client_named(user).await?;
        let known = found.is_some();
        let client = found.unwrap_or_default();
        let rules = self.rules_reaching(&client).await?;
        if role::administers(&rules) {
            return Err(ControlError::Refused(format!("user `{user}` administers the broker")));
        }
        let sessions = client.connections.as_ref().map(Vec::len);
        if let (Some(sessions), Some(max)) = (sessions, self.settings.sessions_max)
            && sessions > max
        {
            let text =
                format!("user `{user}` has {sessions} sessions, allowed are {max}: several devices share it");
            return Err(ControlError::Refused(text));
        }
        let role = self.settings.role.clone();
        let roots: BTreeSet<&str> = rules.iter().filter_map(|rule| role::root(&rule.topic)).collect();
        Memory {
            adapter: ADAPTER.into(),
            user: user.into(),
            priority: client
                .highest_other(&role)
                .map_or(PRIORITY, |highest| PRIORITY.max(highest.saturating_add(1))),
            known,
            had_role: client.priority_of(&role).is_some(),
            was_disabled: client.disabled,
            // A client that the plugin did not know has no password: disabling it would do nothing.
            disable: self.settings.also_disable && known,
            roots: roots.into_iter().map(str::to_owned).collect(),
            sessions,
            roles: client.roles,
            groups: client.groups,
            role,
        }
        .write()
    }

    /// All filters that the role must deny for the client of `memory`.
    fn filters(&self, memory: &Memory) -> BTreeSet<String> {
        let roots = self.settings.roots.iter().chain(&memory.roots).map(String::as_str);
        role::denied(roots)
    }

    /// Commands that make the role, or complete it.
    async fn role_commands(&self, memory: &Memory) -> Result<Vec<Value>, ControlError> {
        let filters = self.filters(memory);
        let Some(rules) = self.rules_of(&memory.role).await? else {
            return Ok(vec![role::create(&memory.role, &filters)]);
        };
        let allowing = role::allowing(&rules);
        if !allowing.is_empty() {
            let text = format!(
                "role `{}` allows {}; a quarantine role may only deny: configure another name",
                memory.role,
                allowing.join(", ")
            );
            return Err(ControlError::Refused(text));
        }
        Ok(role::complete(&memory.role, &rules, &filters))
    }

    async fn apply(&self, subject: &Subject, undo: &Undo) -> Result<(), ControlError> {
        let memory = Memory::read(undo)?;
        self.same_user(subject, &memory)?;
        let (user, role) = (&memory.user, &memory.role);
        let mut commands = self.role_commands(&memory).await?;
        let client = self.client_named(user).await?;
        if client.is_none() {
            commands.push(json!({ "command": "createClient", "username": user,
                "textname": "Fleetward: made for its quarantine" }));
        }
        let held = client.as_ref().and_then(|client| client.priority_of(role));
        let enough = client.as_ref().and_then(|client| client.highest_other(role)).unwrap_or(i64::MIN);
        if held.is_some_and(|priority| priority <= enough) {
            commands.push(json!({ "command": "removeClientRole", "username": user, "rolename": role }));
        }
        if held.is_none_or(|priority| priority <= enough) {
            // More than was remembered, if somebody gave the client a higher role since.
            let priority = memory.priority.max(enough.saturating_add(1));
            commands.push(json!({ "command": "addClientRole", "username": user, "rolename": role, "priority": priority }));
        }
        if memory.disable && !client.is_some_and(|client| client.disabled) {
            commands.push(json!({ "command": "disableClient", "username": user }));
        }
        self.run_all(commands).await?;
        info!(user, role, "quarantine applied");
        Ok(())
    }

    /// Runs commands of which each must succeed, or find its work already done.
    async fn run_all(&self, commands: Vec<Value>) -> Result<(), ControlError> {
        let names: Vec<String> = commands
            .iter()
            .map(|it| it.get("command").and_then(Value::as_str).unwrap_or_default().to_owned())
            .collect();
        for (name, reply) in names.iter().zip(self.run_some(commands).await?) {
            match reply.error.as_deref() {
                // "Already exists", "is already in this role", "already has this role": done before.
                Some(error) if error.contains("already") => {}
                Some(NO_CLIENT) => {
                    return Err(ControlError::Unknown(format!("the client ({name}: {NO_CLIENT})")));
                }
                Some(error) => return Err(refused(name, error)),
                None => {}
            }
        }
        Ok(())
    }

    async fn check(&self, subject: &Subject, undo: &Undo) -> Result<Vec<Check>, ControlError> {
        let memory = Memory::read(undo)?;
        self.same_user(subject, &memory)?;
        let client = self.client_named(&memory.user).await?;
        let rules = self.rules_of(&memory.role).await?;
        let defaults = self.client.run_one(json!({ "command": "getDefaultACLAccess" })).await?;
        let mut checks = vec![
            attached(&memory, client.as_ref()),
            self.denies(&memory, rules.as_deref()),
            closed_by_default(&defaults),
        ];
        if memory.disable {
            let held = client.is_some_and(|client| client.disabled);
            let seen = if held { "disabled" } else { "enabled" };
            checks.push(Check {
                what: format!("client `{}` is disabled", memory.user),
                held,
                seen: seen.into(),
            });
        }
        Ok(checks)
    }

    fn denies(&self, memory: &Memory, rules: Option<&[Rule]>) -> Check {
        let what = format!("role `{}` denies everything", memory.role);
        let Some(rules) = rules else { return Check { what, held: false, seen: "no such role".into() } };
        let mut wrong = role::gaps(rules, &self.filters(memory));
        wrong.extend(role::allowing(rules));
        let seen = if wrong.is_empty() { "denies all".into() } else { format!("open: {}", wrong.join(", ")) };
        Check { what, held: wrong.is_empty(), seen }
    }

    async fn give_back(&self, subject: &Subject, undo: &Undo) -> Result<(), ControlError> {
        let memory = Memory::read(undo)?;
        self.same_user(subject, &memory)?;
        let (user, role) = (&memory.user, &memory.role);
        // Gone altogether: there is nothing left to give back.
        let Some(client) = self.client_named(user).await? else { return Ok(()) };
        let mut commands = Vec::new();
        let only_ours = client.roles.iter().all(|held| &held.rolename == role) && client.groups.is_empty();
        if !memory.known && only_ours {
            commands.push(json!({ "command": "deleteClient", "username": user }));
        } else {
            if memory.disable && !memory.was_disabled && client.disabled {
                commands.push(json!({ "command": "enableClient", "username": user }));
            }
            if !memory.had_role && client.priority_of(role).is_some() {
                commands.push(json!({ "command": "removeClientRole", "username": user, "rolename": role }));
            }
        }
        self.run_all(commands).await?;
        info!(user, role, "quarantine released");
        Ok(())
    }

    /// The undo record must be that of the subject, and the guard holds for it too.
    fn same_user(&self, subject: &Subject, memory: &Memory) -> Result<(), ControlError> {
        let user = self.user(subject)?;
        if user == memory.user {
            return Ok(());
        }
        Err(ControlError::Refused(format!("the undo record is of user `{}`, not of `{user}`", memory.user)))
    }
}

/// Whether the role is attached above all others.
fn attached(memory: &Memory, client: Option<&Client>) -> Check {
    let what = format!("role `{}` is attached to `{}` above all its other roles", memory.role, memory.user);
    let check = |held, seen| Check { what, held, seen };
    let Some(client) = client else { return check(false, "the plugin does not know the client".into()) };
    let Some(priority) = client.priority_of(&memory.role) else { return check(false, "not attached".into()) };
    match client.highest_other(&memory.role) {
        Some(other) if other >= priority => {
            check(false, format!("priority {priority}, another role has {other}"))
        }
        Some(other) => check(true, format!("priority {priority}, the next has {other}")),
        None => check(true, format!("priority {priority}, no other client role")),
    }
}

/// No rule can deny all topics that begin with `$`: those of a tree that no role names are left to the default.
fn closed_by_default(defaults: &Reply) -> Check {
    let what = "publishing is denied by default".to_owned();
    if let Some(error) = &defaults.error {
        return Check { what, held: false, seen: error.clone() };
    }
    let acls = defaults.data.get("acls").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let open = acls.iter().any(|acl| {
        let is = |name: &str, value: Value| acl.get(name) == Some(&value);
        is("acltype", "publishClientSend".into()) && is("allow", true.into())
    });
    let seen = if open {
        "publishClientSend is allowed by default: topics of other `$` trees are open to the client"
    } else {
        "publishClientSend is denied by default"
    };
    Check { what, held: !open, seen: seen.into() }
}

fn rules(reply: &Reply) -> Result<Option<Vec<Rule>>, ControlError> {
    match reply.error.as_deref() {
        None => read(&reply.data, "/role/acls").map(Some),
        Some(NO_ROLE) => Ok(None),
        Some(error) => Err(refused("getRole", error)),
    }
}

fn read<T: serde::de::DeserializeOwned>(data: &Value, place: &str) -> Result<T, ControlError> {
    serde_json::from_value(data.pointer(place).cloned().unwrap_or_default())
        .map_err(|error| ControlError::Refused(format!("its answer cannot be read at `{place}`: {error}")))
}

fn refused(command: &str, error: &str) -> ControlError {
    ControlError::Refused(format!("{command}: {error}"))
}

impl Control for DynsecControl {
    fn name(&self) -> &str {
        &self.name
    }

    fn prepare<'a>(&'a self, subject: &'a Subject) -> BoxFuture<'a, Result<Undo, ControlError>> {
        Box::pin(self.remember(subject))
    }

    fn quarantine<'a>(
        &'a self,
        subject: &'a Subject,
        undo: &'a Undo,
    ) -> BoxFuture<'a, Result<(), ControlError>> {
        Box::pin(self.apply(subject, undo))
    }

    fn verify<'a>(
        &'a self,
        subject: &'a Subject,
        undo: &'a Undo,
    ) -> BoxFuture<'a, Result<Vec<Check>, ControlError>> {
        Box::pin(self.check(subject, undo))
    }

    fn release<'a>(
        &'a self,
        subject: &'a Subject,
        undo: &'a Undo,
    ) -> BoxFuture<'a, Result<(), ControlError>> {
        Box::pin(self.give_back(subject, undo))
    }
}
