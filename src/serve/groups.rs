//! Group changes of mitigations, made in the engine's registry and so in the journal.

use std::sync::{Arc, OnceLock};

use detector::runner::{RunnerHandle, Stopped};
use fleet::{
    ids::{GroupName, ThingName},
    registry::Registry,
};
use mitigations::{
    control::{BoxFuture, ControlError},
    response::GroupChange,
    task::{Task, TaskState},
};

/// The engine's registry, once the engine runs.
#[derive(Clone, Debug, Default)]
pub struct EngineGroups(Arc<OnceLock<RunnerHandle>>);

impl EngineGroups {
    /// Says which engine it is. A second call changes nothing.
    pub fn attach(&self, handle: RunnerHandle) {
        if self.0.set(handle).is_err() {
            tracing::debug!("an engine was attached already");
        }
    }

    fn handle(&self) -> Result<&RunnerHandle, ControlError> {
        self.0.get().ok_or_else(|| ControlError::Unavailable("the engine has not started".into()))
    }

    async fn change(
        &self,
        thing: &str,
        groups: &[GroupName],
        change: fn(Registry, &ThingName, &GroupName) -> Registry,
    ) -> Result<(), ControlError> {
        let thing: ThingName = thing.parse().map_err(|error| ControlError::Refused(format!("{error}")))?;
        let groups = groups.to_vec();
        let stopped = |error: Stopped| ControlError::Unavailable(error.to_string());
        self.handle()?
            .update_registry(move |registry| {
                groups.iter().fold(registry.clone(), |registry, group| change(registry, &thing, group))
            })
            .await
            .map_err(stopped)
    }
}

impl GroupChange for EngineGroups {
    fn joined<'a>(
        &'a self,
        thing: &'a str,
        groups: &'a [GroupName],
    ) -> BoxFuture<'a, Result<Vec<GroupName>, ControlError>> {
        Box::pin(async move {
            let registry = self.handle()?.registry();
            let own = registry.things.get(thing).map(|thing| &thing.groups);
            Ok(groups.iter().filter(|group| own.is_some_and(|own| own.contains(*group))).cloned().collect())
        })
    }

    fn add<'a>(
        &'a self,
        thing: &'a str,
        groups: &'a [GroupName],
        _override_dynamic: bool,
    ) -> BoxFuture<'a, Result<(), ControlError>> {
        // Groups are static and a thing may be in any number of them, so nothing need be pushed out.
        Box::pin(self.change(thing, groups, Registry::with_member))
    }

    fn remove<'a>(
        &'a self,
        thing: &'a str,
        groups: &'a [GroupName],
    ) -> BoxFuture<'a, Result<(), ControlError>> {
        Box::pin(self.change(thing, groups, Registry::without_member))
    }
}

/// The registry of the files with the memberships that tasks in effect have made: the files do not
/// know them, and a restart must not undo them.
#[must_use]
pub fn with_tasks(registry: Registry, tasks: &[Task]) -> Registry {
    let in_effect = tasks.iter().filter(|task| {
        matches!(
            task.state,
            TaskState::Prepared | TaskState::Applied | TaskState::Verified { .. } | TaskState::NotHeld { .. }
        )
    });
    in_effect.fold(registry, |registry, task| {
        let Ok(thing) = task.thing.parse() else { return registry };
        let groups = task.action.params.groups().unwrap_or_default();
        groups.iter().fold(registry, |registry, group| registry.with_member(&thing, group))
    })
}
