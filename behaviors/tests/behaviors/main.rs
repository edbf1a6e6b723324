//! Tests of the crate through its public interface.

#[cfg(test)]
mod compiled;
#[cfg(test)]
mod judged;
#[cfg(test)]
mod mud;
#[cfg(test)]
mod problems;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod shipped;
#[cfg(test)]
mod simulated;
#[cfg(test)]
mod verdicts;

#[cfg(test)]
use behaviors::{profile::parse_files, set::Behavior};
#[cfg(test)]
use std::sync::Arc;

/// The behavior of a profile with this one behavior, in JSON; windows of 300 s where it names none.
#[cfg(test)]
fn behavior(json: &str) -> Arc<Behavior> {
    let text = format!(
        r#"{{"securityProfileName":"p","fleetward":{{"targets":["arn:aws:iot:r:1:all/things"]}},"behaviors":[{json}]}}"#
    );
    let (profiles, problems) = parse_files(&[("p.json".into(), text)]);
    let errors: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let compiled = profiles.compile(300);
    let behavior = compiled.behaviors().next().cloned();
    behavior.unwrap_or_else(|| panic!("{json} gives no behavior: {errors:?}"))
}
