//! From files to actions.

use std::collections::BTreeMap;

use fleet::{
    ids::{ActionName, GroupName},
    problem::{Problem, Severity},
};
use jsonc_parser::{
    ast::{Object, Value},
    common::Ranged,
};

use super::{
    Action, Params,
    json::{Reader, quoted},
};

/// Actions of an account, as AWS bounds them.
const ACTIONS_MAX: usize = 100;
/// Groups of one action, as AWS bounds them.
const GROUPS_MAX: usize = 10;
const TAGS_MAX: usize = 50;

const MEMBERS: [&str; 6] = [
    "updateDeviceCertificateParams",
    "updateCACertificateParams",
    "addThingsToThingGroupParams",
    "replaceDefaultPolicyVersionParams",
    "enableIoTLoggingParams",
    "publishFindingToSnsParams",
];

pub(super) fn parse_files(files: &[(String, String)]) -> (Vec<Action>, Vec<Problem>) {
    let mut actions = Actions::default();
    for (file, text) in files {
        let mut reader = Reader::new(file, text);
        if let Some(root) = reader.parse() {
            actions.read_document(&mut reader, file, &root);
        }
        actions.problems.append(&mut reader.problems);
    }
    (actions.list, actions.problems)
}

#[derive(Default)]
struct Actions {
    list: Vec<Action>,
    /// Where each name was defined first.
    files: BTreeMap<ActionName, String>,
    problems: Vec<Problem>,
}

impl Actions {
    fn read_document<'a>(&mut self, reader: &mut Reader<'a>, file: &str, root: &Value<'a>) {
        match root {
            Value::Array(array) => {
                for (index, value) in array.elements.iter().enumerate() {
                    self.read_action(reader, file, value, &format!("[{index}]"));
                }
            }
            other => self.read_action(reader, file, other, ""),
        }
    }

    fn read_action<'a>(&mut self, reader: &mut Reader<'a>, file: &str, value: &Value<'a>, place: &str) {
        let errors_before = errors(reader);
        let Some(action) = action(reader, value, place) else { return };
        if let Some(first) = self.files.get(&action.name) {
            let message = format!("an action named `{}` is defined in {first} already", action.name);
            reader.error(value.start(), place, message);
        } else if self.list.len() >= ACTIONS_MAX {
            reader.error(
                value.start(),
                place,
                format!("more than {ACTIONS_MAX} actions; allowed are up to {ACTIONS_MAX}"),
            );
        } else if errors(reader) == errors_before {
            self.files.insert(action.name.clone(), file.to_owned());
            self.list.push(action);
        }
    }
}

fn errors(reader: &Reader<'_>) -> usize {
    reader.problems.iter().filter(|problem| problem.severity == Severity::Error).count()
}

fn join(place: &str, key: &str) -> String {
    if place.is_empty() { key.to_owned() } else { format!("{place}.{key}") }
}

fn action<'a>(reader: &mut Reader<'a>, value: &Value<'a>, place: &str) -> Option<Action> {
    let object = reader.object(value, place, &["actionName", "roleArn", "actionParams", "tags"])?;
    let name = reader.required(object, place, "actionName");
    let name = name.and_then(|value| identifier::<ActionName>(reader, value, &join(place, "actionName")));
    let role_arn =
        object.get("roleArn").and_then(|role| reader.sized(&role.value, &join(place, "roleArn"), 20, 2048));
    if let Some(tags) = object.get("tags") {
        check_tags(reader, &tags.value, &join(place, "tags"));
    }
    let params = reader.required(object, place, "actionParams");
    let params = params.and_then(|value| params_of(reader, value, &join(place, "actionParams")));
    Some(Action { name: name?, role_arn, params: params? })
}

fn identifier<'a, T: std::str::FromStr<Err = fleet::ids::IdError>>(
    reader: &mut Reader<'a>,
    value: &Value<'a>,
    place: &str,
) -> Option<T> {
    match reader.text(value, place)?.parse() {
        Ok(id) => Some(id),
        Err(error) => {
            reader.error(value.start(), place, error.to_string());
            None
        }
    }
}

/// Tags are accepted so that files for AWS work unchanged; they have no effect.
fn check_tags<'a>(reader: &mut Reader<'a>, value: &Value<'a>, place: &str) {
    let Some(tags) = reader.array(value, place) else { return };
    if tags.len() > TAGS_MAX {
        reader.error(
            value.start(),
            place,
            format!("found {} tags; allowed are up to {TAGS_MAX}", tags.len()),
        );
    }
    for (index, tag) in tags.iter().enumerate() {
        let place = format!("{place}[{index}]");
        let Some(object) = reader.object(tag, &place, &["Key", "Value"]) else { continue };
        for (key, min, max) in [("Key", 1, 128), ("Value", 0, 256)] {
            if let Some(value) = reader.required(object, &place, key) {
                reader.sized(value, &join(&place, key), min, max);
            }
        }
    }
}

fn params_of<'a>(reader: &mut Reader<'a>, value: &Value<'a>, place: &str) -> Option<Params> {
    let object = reader.object(value, place, &MEMBERS)?;
    let known: Vec<_> =
        object.properties.iter().filter(|property| MEMBERS.contains(&property.name.as_str())).collect();
    let &[member] = known.as_slice() else {
        if known.is_empty() && !object.properties.is_empty() {
            return None; // The unknown key was reported.
        }
        let found = if known.is_empty() { "no action" } else { "more than one action" };
        reader.error(
            value.start(),
            place,
            format!("found {found}; expected exactly one of {}", quoted(&MEMBERS)),
        );
        return None;
    };
    let key = member.name.as_str();
    let params = member_params(reader, key, &member.value, &join(place, key))?;
    if params.groups().is_none() {
        let message = format!("{} is accepted, not carried out yet: its tasks are held", params.kind());
        reader.warning(member.start(), &join(place, key), message);
    }
    Some(params)
}

fn member_params<'a>(reader: &mut Reader<'a>, key: &str, value: &Value<'a>, place: &str) -> Option<Params> {
    match key {
        "updateDeviceCertificateParams" => {
            let action = only(reader, value, place, "action", "DEACTIVATE")?;
            Some(Params::UpdateDeviceCertificate { action })
        }
        "updateCACertificateParams" => {
            let action = only(reader, value, place, "action", "DEACTIVATE")?;
            Some(Params::UpdateCaCertificate { action })
        }
        "replaceDefaultPolicyVersionParams" => {
            let template_name = only(reader, value, place, "templateName", "BLANK_POLICY")?;
            Some(Params::ReplaceDefaultPolicyVersion { template_name })
        }
        "enableIoTLoggingParams" => enable_logging(reader, value, place),
        "publishFindingToSnsParams" => {
            let object = reader.object(value, place, &["topicArn"])?;
            let topic = reader.required(object, place, "topicArn")?;
            let topic_arn = reader.sized(topic, &join(place, "topicArn"), 0, 350)?;
            Some(Params::PublishFindingToSns { topic_arn })
        }
        _ => add_to_groups(reader, value, place),
    }
}

/// A member whose one key has one allowed value.
fn only<'a>(
    reader: &mut Reader<'a>,
    value: &Value<'a>,
    place: &str,
    key: &str,
    allowed: &str,
) -> Option<String> {
    let object = reader.object(value, place, &[key])?;
    let found = reader.required(object, place, key)?;
    reader.choice(found, &join(place, key), &[allowed])
}

fn enable_logging<'a>(reader: &mut Reader<'a>, value: &Value<'a>, place: &str) -> Option<Params> {
    let object = reader.object(value, place, &["roleArnForLogging", "logLevel"])?;
    let role = reader.required(object, place, "roleArnForLogging");
    let role = role.and_then(|role| reader.sized(role, &join(place, "roleArnForLogging"), 20, 2048));
    let level = reader.required(object, place, "logLevel");
    let levels = ["DEBUG", "INFO", "ERROR", "WARN"];
    let level = level.and_then(|level| reader.choice(level, &join(place, "logLevel"), &levels));
    Some(Params::EnableIotLogging { role_arn_for_logging: role?, log_level: level? })
}

fn add_to_groups<'a>(reader: &mut Reader<'a>, value: &Value<'a>, place: &str) -> Option<Params> {
    let object = reader.object(value, place, &["thingGroupNames", "overrideDynamicGroups"])?;
    let names = group_names(reader, object, place);
    let override_dynamic_groups = match object.get("overrideDynamicGroups") {
        Some(flag) => reader.boolean(&flag.value, &join(place, "overrideDynamicGroups"))?,
        None => false,
    };
    Some(Params::AddThingsToThingGroup { thing_group_names: names?, override_dynamic_groups })
}

fn group_names<'a>(reader: &mut Reader<'a>, object: &Object<'a>, place: &str) -> Option<Vec<GroupName>> {
    let value = reader.required(object, place, "thingGroupNames")?;
    let place = join(place, "thingGroupNames");
    let names = reader.array(value, &place)?;
    if !(1..=GROUPS_MAX).contains(&names.len()) {
        let message = format!("found {} groups; allowed are 1 to {GROUPS_MAX}", names.len());
        reader.error(value.start(), &place, message);
    }
    let mut groups: Vec<GroupName> = Vec::with_capacity(names.len().min(GROUPS_MAX));
    for (index, name) in names.iter().enumerate() {
        let place = format!("{place}[{index}]");
        let Some(group) = identifier::<GroupName>(reader, name, &place) else { continue };
        if groups.contains(&group) {
            reader.error(name.start(), &place, format!("group `{group}` appears twice; expected it once"));
        }
        groups.push(group);
    }
    Some(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let (_, problems) = parse_files(&[("a.json".into(), text.into())]);
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn reads_the_form_of_the_aws_cli() {
        let text = r#"{"actionName":"quarantine","roleArn":"arn:aws:iam::123456789012:role/mitigate",
            "actionParams":{"addThingsToThingGroupParams":{"thingGroupNames":["Quarantine"],"overrideDynamicGroups":true}},
            "tags":[{"Key":"team","Value":""}]}"#;
        let (actions, problems) = parse_files(&[("a.json".into(), text.into())]);
        assert_eq!(problems, []);
        let action = actions.first().unwrap();
        assert_eq!(action.params.groups().unwrap().len(), 1);
        assert!(action.params.override_dynamic_groups());
        let written = serde_json::to_string(action).unwrap();
        assert_eq!(serde_json::from_str::<Action>(&written).unwrap(), *action);
        assert!(
            written.contains(
                r#""actionParams":{"addThingsToThingGroupParams":{"thingGroupNames":["Quarantine"]"#
            ),
            "{written}"
        );
    }

    #[test]
    fn the_other_five_kinds_are_accepted_with_a_warning() {
        let members = [
            r#""updateDeviceCertificateParams":{"action":"DEACTIVATE"}"#,
            r#""updateCACertificateParams":{"action":"DEACTIVATE"}"#,
            r#""replaceDefaultPolicyVersionParams":{"templateName":"BLANK_POLICY"}"#,
            r#""enableIoTLoggingParams":{"roleArnForLogging":"arn:aws:iam::1:role/log","logLevel":"INFO"}"#,
            r#""publishFindingToSnsParams":{"topicArn":"arn:aws:sns:eu-west-1:1:t"}"#,
        ];
        for member in members {
            let text = format!(r#"{{"actionName":"a","actionParams":{{{member}}}}}"#);
            let (actions, problems) = parse_files(&[("a.json".into(), text)]);
            assert_eq!(actions.len(), 1, "{member}");
            let warning = problems.first().unwrap().to_string();
            assert!(
                warning.contains(&format!("{} is accepted, not carried out yet", actions[0].params.kind())),
                "{warning}"
            );
            let written = serde_json::to_string(&actions[0].params).unwrap();
            assert_eq!(written, format!("{{{member}}}"));
        }
    }

    #[test]
    fn every_problem_names_place_value_and_what_is_allowed() {
        let group = |params: &str| {
            format!(r#"{{"actionName":"a","actionParams":{{"addThingsToThingGroupParams":{params}}}}}"#)
        };
        let params = |params: &str| format!(r#"{{"actionName":"a","actionParams":{params}}}"#);
        let members = quoted(&MEMBERS);
        let cases: Vec<(String, Vec<String>)> = vec![
            (String::new(), vec!["a.json:1:1: error: the file is empty; expected a mitigation action".into()]),
            ("7".into(), vec!["a.json:1:1: error: found the number `7`; expected an object".into()]),
            ("[null]".into(), vec!["a.json:1:2: error: [0]: found `null`; expected an object".into()]),
            ("{}".into(), vec!["a.json:1:1: error: `actionName` is missing".into(), "a.json:1:1: error: `actionParams` is missing".into()]),
            ("{\n  // note\n}".into(), vec!["a.json:2:3: error: not JSON: comments are not allowed".into()]),
            (
                r#"{"actionname":"a","actionParams":{"addThingsToThingGroupParams":{"thingGroupNames":["q"]}}}"#.into(),
                vec!["a.json:1:2: error: unknown key `actionname`; did you mean `actionName`?".into(), "a.json:1:1: error: `actionName` is missing".into()],
            ),
            (
                r#"{"actionName":"my action","actionParams":{"addThingsToThingGroupParams":{"thingGroupNames":["q"]}}}"#.into(),
                vec!["a.json:1:15: error: actionName: mitigation action name has the character ' ' at byte 2; allowed are `a-z A-Z 0-9 : _ -`".into()],
            ),
            (
                r#"{"actionName":"a","roleArn":"short","actionParams":{"addThingsToThingGroupParams":{"thingGroupNames":["q"]}}}"#.into(),
                vec!["a.json:1:29: error: roleArn: found 5 characters; allowed are 20 to 2048".into()],
            ),
            (params("{}"), vec![format!("a.json:1:34: error: actionParams: found no action; expected exactly one of {members}")]),
            (params("[]"), vec!["a.json:1:34: error: actionParams: found a list; expected an object".into()]),
            (
                params(r#"{"addThingsToThingGroupParam":{}}"#),
                vec!["a.json:1:35: error: actionParams: unknown key `addThingsToThingGroupParam`; did you mean `addThingsToThingGroupParams`?".into()],
            ),
            (
                params(r#"{"updateCACertificateParams":{"action":"DEACTIVATE"},"updateDeviceCertificateParams":{"action":"DEACTIVATE"}}"#),
                vec![format!("a.json:1:34: error: actionParams: found more than one action; expected exactly one of {members}")],
            ),
            (
                params(r#"{"updateDeviceCertificateParams":{"action":"DELETE"}}"#),
                vec!["a.json:1:77: error: actionParams.updateDeviceCertificateParams.action: found `DELETE`; allowed are `DEACTIVATE`".into()],
            ),
            (
                params(r#"{"enableIoTLoggingParams":{"roleArnForLogging":"arn:aws:iam::1:role/log","logLevel":"DISABLED"}}"#),
                vec!["a.json:1:118: error: actionParams.enableIoTLoggingParams.logLevel: found `DISABLED`; allowed are `DEBUG`, `INFO`, `ERROR` and `WARN`".into()],
            ),
            (group("{}"), vec!["a.json:1:65: error: actionParams.addThingsToThingGroupParams: `thingGroupNames` is missing".into()]),
            (
                group(r#"{"thingGroupNames":"q"}"#),
                vec!["a.json:1:84: error: actionParams.addThingsToThingGroupParams.thingGroupNames: found the text `q`; expected a list".into()],
            ),
            (
                group(r#"{"thingGroupNames":[]}"#),
                vec!["a.json:1:84: error: actionParams.addThingsToThingGroupParams.thingGroupNames: found 0 groups; allowed are 1 to 10".into()],
            ),
            (
                group(r#"{"thingGroupNames":["q","q"]}"#),
                vec!["a.json:1:89: error: actionParams.addThingsToThingGroupParams.thingGroupNames[1]: group `q` appears twice; expected it once".into()],
            ),
            (
                group(r#"{"thingGroupNames":["q"],"overrideDynamicGroups":1}"#),
                vec!["a.json:1:114: error: actionParams.addThingsToThingGroupParams.overrideDynamicGroups: found the number `1`; expected `true` or `false`".into()],
            ),
            (
                r#"{"actionName":"a","actionName":"b","actionParams":{"addThingsToThingGroupParams":{"thingGroupNames":["q"]}}}"#.into(),
                vec!["a.json:1:19: error: key `actionName` appears twice; expected it once".into()],
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(problems(&text), expected, "{text}");
        }
    }

    #[test]
    fn a_name_is_defined_once_over_all_files() {
        let text =
            r#"{"actionName":"a","actionParams":{"addThingsToThingGroupParams":{"thingGroupNames":["q"]}}}"#;
        let (actions, problems) =
            parse_files(&[("a.json".into(), text.into()), ("b.json".into(), text.into())]);
        assert_eq!(actions.len(), 1);
        assert_eq!(
            problems[0].to_string(),
            "b.json:1:1: error: an action named `a` is defined in a.json already"
        );
    }

    #[test]
    fn the_hundred_and_first_action_is_refused() {
        let one = |n: usize| {
            format!(
                r#"{{"actionName":"a{n}","actionParams":{{"addThingsToThingGroupParams":{{"thingGroupNames":["q"]}}}}}}"#
            )
        };
        let all: Vec<String> = (0..=ACTIONS_MAX).map(one).collect();
        let (actions, problems) = parse_files(&[("a.json".into(), format!("[{}]", all.join(",")))]);
        assert_eq!((actions.len(), problems.len()), (ACTIONS_MAX, 1));
    }
}
