//! Quarantine through the dynamic-security plugin.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

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

/// Roles and groups that are remembered to be asked for at once.
const SEEN_MAX: usize = 16;

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
    /// Roles and groups of clients acted on lately. They are asked for together with the next
    /// client, which most likely has the same: an answer of a busy broker takes milliseconds.
    seen: Mutex<Seen>,
}

/// Names of roles and groups, [`SEEN_MAX`] each at most: then they are forgotten.
#[derive(Clone, Debug, Default)]
struct Seen {
    roles: BTreeSet<String>,
    groups: BTreeSet<String>,
}

/// What the plugin said of roles and of the roles of groups.
#[derive(Debug, Default)]
struct Told {
    roles: BTreeMap<String, Option<Vec<Rule>>>,
    groups: BTreeMap<String, Vec<String>>,
}

impl DynsecControl {
    /// Acts through `client`, whose user must be an administrator of the plugin.
    #[must_use]
    pub fn new(client: DynsecClient, settings: DynsecSettings) -> Self {
        let name = format!("mosquitto dynamic-security at {}", client.address());
        Self { client, settings, name, seen: Mutex::default() }
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
        client(&self.client.run_one(get_client(user)).await?)
    }

    /// The client, and all that is needed to know its rules: most often in one exchange.
    async fn look_up(&self, user: &str) -> Result<(Option<Client>, Told), ControlError> {
        let seen = self.seen().clone();
        let mut told = Told::default();
        let roles: Vec<String> = std::iter::once(self.settings.role.clone()).chain(seen.roles).collect();
        let groups: Vec<String> = seen.groups.into_iter().collect();
        let mut commands = vec![get_client(user)];
        commands.extend(asking(&roles, &groups));
        let replies = self.client.run(commands).await?;
        let (first, rest) = replies.split_first().ok_or_else(no_reply)?;
        told.take(&roles, &groups, rest)?;
        let found = client(first)?;
        if let Some(found) = &found {
            self.complete(found, &mut told).await?;
        }
        Ok((found, told))
    }

    /// Asks for what is missing: first for the client's groups, then for the roles.
    async fn complete(&self, client: &Client, told: &mut Told) -> Result<(), ControlError> {
        loop {
            let (roles, groups) = told.missing(client);
            if roles.is_empty() && groups.is_empty() {
                break;
            }
            let replies = self.client.run(asking(&roles, &groups).collect()).await?;
            told.take(&roles, &groups, &replies)?;
        }
        let mut seen = self.seen();
        seen.groups.extend(client.groups.iter().map(|held| held.groupname.clone()));
        seen.roles
            .extend(told.roles_of(client).filter(|name| *name != self.settings.role).map(str::to_owned));
        if seen.roles.len() > SEEN_MAX || seen.groups.len() > SEEN_MAX {
            *seen = Seen::default();
        }
        Ok(())
    }

    /// A panic while the lock was held leaves names at worst, which are only guesses.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn rules_of(&self, role: &str) -> Result<Option<Vec<Rule>>, ControlError> {
        rules(&self.client.run_one(get_role(role)).await?)
    }

    async fn run_some(&self, commands: Vec<Value>) -> Result<Vec<Reply>, ControlError> {
        if commands.is_empty() { Ok(Vec::new()) } else { self.client.run(commands).await }
    }

    async fn remember(&self, subject: &Subject) -> Result<Undo, ControlError> {
        let user = self.user(subject)?;
        let (found, told) = self.look_up(user).await?;
        let known = found.is_some();
        let client = found.unwrap_or_default();
        let rules = told.rules_reaching(&client, &self.settings.role);
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
        let own = told.roles.get(&role).cloned().flatten();
        let mut memory = Memory {
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
            role_whole: false,
            roots: roots.into_iter().map(str::to_owned).collect(),
            sessions,
            roles: client.roles,
            groups: client.groups,
            role,
        };
        memory.role_whole = own.is_some_and(|rules| self.wrong(&memory, &rules).is_empty());
        memory.write()
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
        if self.apply_at_once(&memory).await? {
            info!(user, role, "quarantine applied");
            return Ok(());
        }
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

    /// Acts without asking first, if nothing but the role was missing a moment ago, and looks at
    /// the outcome in the same exchange. False if it was not as expected: then asking comes first.
    async fn apply_at_once(&self, memory: &Memory) -> Result<bool, ControlError> {
        if !memory.role_whole || !memory.known || memory.had_role {
            return Ok(false);
        }
        let (user, role) = (memory.user.as_str(), memory.role.as_str());
        let mut commands = vec![json!({ "command": "addClientRole", "username": user,
            "rolename": role, "priority": memory.priority })];
        if memory.disable {
            commands.push(json!({ "command": "disableClient", "username": user }));
        }
        commands.extend([get_role(role), get_client(user)]);
        let replies = self.client.run(commands).await?;
        let Some((acts, [of_role, of_client])) = replies.split_last_chunk() else { return Ok(false) };
        let role_rules = rules(of_role)?.unwrap_or_default();
        if !role::allowing(&role_rules).is_empty() {
            // Somebody changed the role in this moment: it must not be what the client is left with.
            self.run_all(vec![json!({ "command": "removeClientRole", "username": user, "rolename": role })])
                .await?;
            return Ok(false);
        }
        let done = |reply: &Reply| reply.error.as_deref().is_none_or(|error| error.contains("already"));
        let above = client(of_client)?.is_some_and(|client| attached(memory, Some(&client)).held);
        Ok(acts.iter().all(done) && above && self.wrong(memory, &role_rules).is_empty())
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
        let asked = vec![
            get_client(&memory.user),
            get_role(&memory.role),
            json!({ "command": "getDefaultACLAccess" }),
        ];
        let replies = self.client.run(asked).await?;
        let [of_client, of_role, defaults] = replies.as_slice() else { return Err(no_reply()) };
        let client = client(of_client)?;
        let rules = rules(of_role)?;
        let mut checks = vec![
            attached(&memory, client.as_ref()),
            self.denies(&memory, rules.as_deref()),
            closed_by_default(defaults),
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
        let wrong = self.wrong(memory, rules);
        let seen = if wrong.is_empty() { "denies all".into() } else { format!("open: {}", wrong.join(", ")) };
        Check { what, held: wrong.is_empty(), seen }
    }

    /// What keeps a role with these rules from being the quarantine, as text.
    fn wrong(&self, memory: &Memory, rules: &[Rule]) -> Vec<String> {
        let mut wrong = role::gaps(rules, &self.filters(memory));
        wrong.extend(role::allowing(rules));
        wrong
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

impl Told {
    /// Takes the replies to [`asking`].
    fn take(&mut self, roles: &[String], groups: &[String], replies: &[Reply]) -> Result<(), ControlError> {
        let (of_roles, of_groups) = replies.split_at_checked(roles.len()).ok_or_else(no_reply)?;
        for (name, reply) in roles.iter().zip(of_roles) {
            self.roles.insert(name.clone(), rules(reply)?);
        }
        for (name, reply) in groups.iter().zip(of_groups) {
            let held = reply.data.pointer("/group/roles").cloned().unwrap_or_default();
            let held: Vec<RoleOf> = serde_json::from_value(held).unwrap_or_default();
            self.groups.insert(name.clone(), held.into_iter().map(|held| held.rolename).collect());
        }
        Ok(())
    }

    /// Roles that the client has, itself or through those of its groups that are known.
    fn roles_of<'a>(&'a self, client: &'a Client) -> impl Iterator<Item = &'a str> {
        let own = client.roles.iter().map(|held| held.rolename.as_str());
        let groups = client.groups.iter().filter_map(|held| self.groups.get(&held.groupname));
        own.chain(groups.flatten().map(String::as_str))
    }

    /// Roles and groups of the client that nothing is known of yet.
    fn missing(&self, client: &Client) -> (Vec<String>, Vec<String>) {
        let roles: BTreeSet<&str> =
            self.roles_of(client).filter(|name| !self.roles.contains_key(*name)).collect();
        let groups: BTreeSet<&str> = client.groups.iter().map(|held| held.groupname.as_str()).collect();
        let groups = groups.into_iter().filter(|name| !self.groups.contains_key(*name));
        (roles.into_iter().map(str::to_owned).collect(), groups.map(str::to_owned).collect())
    }

    /// Rules of all roles that the client has, itself or through its groups, but for the role `but`.
    fn rules_reaching(&self, client: &Client, but: &str) -> Vec<Rule> {
        let names: BTreeSet<&str> = self.roles_of(client).filter(|name| *name != but).collect();
        names.into_iter().filter_map(|name| self.roles.get(name)?.clone()).flatten().collect()
    }
}

fn get_client(user: &str) -> Value {
    json!({ "command": "getClient", "username": user })
}

fn get_role(role: &str) -> Value {
    json!({ "command": "getRole", "rolename": role })
}

fn asking(roles: &[String], groups: &[String]) -> impl Iterator<Item = Value> {
    let of_groups = |name: &String| json!({ "command": "getGroup", "groupname": name });
    roles.iter().map(|name| get_role(name)).chain(groups.iter().map(of_groups))
}

fn no_reply() -> ControlError {
    ControlError::Unavailable("an answer with fewer replies than commands".into())
}

fn client(reply: &Reply) -> Result<Option<Client>, ControlError> {
    match reply.error.as_deref() {
        None => read(&reply.data, "/client").map(Some),
        Some(NO_CLIENT) => Ok(None),
        Some(error) => Err(refused("getClient", error)),
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
