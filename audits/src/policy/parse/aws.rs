//! AWS IoT policy documents.
//!
//! Facts: `device-defender-audit.md`, section 3: actions are globs without letter case, resources
//! globs over the whole ARN (`*` crosses `/` and `:`), an explicit Deny wins, a Deny with a
//! condition is not counted on, an Allow with a condition counts as given.

use std::collections::BTreeSet;

use fleet::problem::Problem;
use jsonc_parser::ast::Value;

use super::{
    RULES_MAX,
    json::{Member, Source, get},
    shown,
};
use crate::finding::ResourceRef;
use crate::policy::{
    form::{Action, Actions, Document, Effect, Kind, Object, Rule, Subject, System, Variables},
    lang::{Pattern, Token, aws_glob, glob_matches, residual},
};

/// Region and account that resources are examined for; further ones are told as a problem.
const SCOPES_MAX: usize = 8;

/// A policy as it was written.
#[derive(Clone, Debug)]
pub struct AwsPolicy {
    /// File, or the policy's name.
    pub file: String,
    /// `policyName` and `policyVersionId`, where they are known.
    pub identity: Option<(String, String)>,
    /// Statements in order.
    pub statements: Vec<Statement>,
    /// What is wrong in the document.
    pub problems: Vec<Problem>,
    pub(crate) version: Option<String>,
    pub(crate) variables: Variables,
}

/// One statement.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Line of its first character.
    pub line: usize,
    /// `Sid`, if there is one.
    pub sid: Option<String>,
    /// Whether it allows.
    pub effect: Effect,
    /// `Action` or `NotAction` with their lines.
    pub actions: Vec<(usize, String)>,
    /// The actions are those that are *not* meant.
    pub not_action: bool,
    /// `Resource` or `NotResource` with their lines.
    pub resources: Vec<(usize, String)>,
    /// The resources are those that are *not* meant.
    pub not_resource: bool,
    /// The condition as JSON.
    pub condition: Option<String>,
    /// The condition is exactly that the client id is a thing attached to the certificate.
    pub attached: bool,
}

/// Partition, region and account of an ARN.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope {
    pub(crate) partition: String,
    pub(crate) region: String,
    pub(crate) account: String,
}

impl Scope {
    pub(crate) fn prefix(&self, kind: &str) -> String {
        format!("arn:{}:iot:{}:{}:{kind}/", self.partition, self.region, self.account)
    }
}

pub(crate) const fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Client => "client",
        Kind::Topic => "topic",
        Kind::Filter => "topicfilter",
        Kind::Thing => "thing",
    }
}

const ROOT: [&str; 3] = ["Version", "Id", "Statement"];
const STATEMENT: [&str; 7] = ["Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"];

impl AwsPolicy {
    /// What findings are about: the policy by name and version, else by its file in the name's place.
    #[must_use]
    pub fn resource(&self) -> ResourceRef {
        let (name, version) = self.identity.clone().unwrap_or_else(|| (self.file.clone(), "1".into()));
        ResourceRef::new("IOT_POLICY", [("policyName", name), ("policyVersionId", version)])
    }
}

/// Reads a policy document.
#[must_use]
pub fn parse(file: &str, text: &str) -> AwsPolicy {
    let mut source = Source::new(file, text);
    let mut policy = AwsPolicy {
        file: file.to_owned(),
        identity: None,
        statements: Vec::new(),
        problems: Vec::new(),
        version: None,
        variables: Variables::new("${iot:Connection.Thing.ThingName}", "${iot:ClientId}", "${user}"),
    };
    if let Some(root) = source.parse() {
        let members = source.members(&root, "");
        for member in members.iter().filter(|member| !ROOT.contains(&member.key)) {
            source.unknown(*member, member.key, &ROOT);
        }
        policy.version =
            get(&members, "Version").and_then(|value| source.text(value, "Version")).map(str::to_owned);
        match get(&members, "Statement") {
            Some(Value::Array(list)) => {
                for (index, value) in list.elements.iter().enumerate() {
                    let place = format!("Statement[{index}]");
                    policy.statements.extend(statement(&mut source, value, &place));
                }
            }
            Some(single) => policy.statements.extend(statement(&mut source, single, "Statement")),
            None if matches!(root, Value::Object(_)) => source.error(&root, "Statement", "is missing".into()),
            None => {}
        }
    }
    policy.problems = source.into_problems();
    policy
}

fn statement(source: &mut Source<'_>, value: &Value<'_>, place: &str) -> Option<Statement> {
    let members = source.members(value, place);
    for member in members.iter().filter(|member| !STATEMENT.contains(&member.key)) {
        source.unknown(*member, &format!("{place}.{}", member.key), &STATEMENT);
    }
    let effect = effect(source, value, &members, place)?;
    let (actions, not_action) = either(source, value, &members, place, ["Action", "NotAction"])?;
    let (resources, not_resource) = either(source, value, &members, place, ["Resource", "NotResource"])?;
    for (line, resource) in &resources {
        if resource != "*" && !resource.starts_with("arn:") && !resource.starts_with(['*', '?']) {
            let message = format!(
                "found `{}`; a resource is `*` or an ARN such as `arn:aws:iot:REGION:ACCOUNT:topic/NAME`, so this matches nothing",
                shown(resource)
            );
            source.warning_at(*line, &format!("{place}.Resource"), message);
        }
    }
    let sid =
        get(&members, "Sid").and_then(|sid| source.text(sid, &format!("{place}.Sid"))).map(str::to_owned);
    let condition = get(&members, "Condition");
    let attached = condition.is_some_and(is_attached);
    let condition = condition.map(|value| source.source(value).to_owned());
    let line = source.line(value);
    Some(Statement { line, sid, effect, actions, not_action, resources, not_resource, condition, attached })
}

fn effect(source: &mut Source<'_>, value: &Value<'_>, members: &[Member<'_>], place: &str) -> Option<Effect> {
    let Some(found) = get(members, "Effect") else {
        source.error(value, &format!("{place}.Effect"), "is missing; allowed are `Allow` and `Deny`".into());
        return None;
    };
    match source.text(found, &format!("{place}.Effect"))? {
        "Allow" => Some(Effect::Allow),
        "Deny" => Some(Effect::Deny),
        other => {
            let message = format!("found `{}`; allowed are `Allow` and `Deny`", shown(other));
            source.error(found, &format!("{place}.Effect"), message);
            None
        }
    }
}

/// The texts of one of two keys, and whether it is the second.
fn either(
    source: &mut Source<'_>,
    value: &Value<'_>,
    members: &[Member<'_>],
    place: &str,
    [plain, inverse]: [&str; 2],
) -> Option<(Vec<(usize, String)>, bool)> {
    let (found, key) = match (get(members, plain), get(members, inverse)) {
        (Some(found), None) => (found, plain),
        (None, Some(found)) => (found, inverse),
        (Some(_), Some(both)) => {
            source.error(
                both,
                &format!("{place}.{inverse}"),
                format!("is there beside `{plain}`; keep one of them"),
            );
            return None;
        }
        (None, None) => {
            source.error(value, &format!("{place}.{plain}"), format!("is missing, and `{inverse}` too"));
            return None;
        }
    };
    let texts = source.texts(found, &format!("{place}.{key}"));
    Some((texts.into_iter().map(|(line, text)| (line, text.to_owned())).collect(), key == inverse))
}

/// `{"Bool": {"iot:Connection.Thing.IsAttached": "true"}}`, also as a list or as a flag.
fn is_attached(condition: &Value<'_>) -> bool {
    let says_true = |value: &Value<'_>| match value {
        Value::StringLit(text) => text.value.eq_ignore_ascii_case("true"),
        Value::BooleanLit(flag) => flag.value,
        _ => false,
    };
    let Value::Object(operators) = condition else { return false };
    operators.properties.iter().any(|operator| {
        let Value::Object(keys) = &operator.value else { return false };
        operator.name.as_str() == "Bool"
            && keys.properties.iter().any(|key| {
                key.name.as_str() == "iot:Connection.Thing.IsAttached"
                    && match &key.value {
                        Value::Array(list) => {
                            !list.elements.is_empty() && list.elements.iter().all(says_true)
                        }
                        single => says_true(single),
                    }
            })
    })
}

impl Statement {
    /// Whether the statement speaks about the action.
    #[must_use]
    pub fn speaks_of(&self, action: Action) -> bool {
        let matched = self.actions.iter().any(|(_, glob)| glob_matches(glob, action.aws_name()));
        matched != self.not_action
    }

    pub(crate) fn actions_on(&self, kind: Kind) -> Actions {
        let actions =
            Action::ALL.into_iter().filter(|action| action.kind() == kind && self.speaks_of(*action));
        actions.fold(Actions::NONE, |all, action| all.with(Actions::of(&[action])))
    }
}

impl AwsPolicy {
    /// The regions and accounts that the resources name; one that stands for any if they name none.
    #[must_use]
    pub fn scopes(&self) -> Vec<Scope> {
        let mut scopes = BTreeSet::new();
        for (_, resource) in self.statements.iter().flat_map(|statement| &statement.resources) {
            let mut fields = resource.split(':');
            let parts = (fields.next(), fields.next(), fields.next(), fields.next(), fields.next());
            if let (Some("arn"), Some(partition), Some("iot"), Some(region), Some(account)) = parts
                && fields.next().is_some()
                && ![partition, region, account].iter().any(|field| field.contains(['*', '?', '$']))
            {
                let [partition, region, account] = [partition, region, account].map(str::to_owned);
                scopes.insert(Scope { partition, region, account });
            }
        }
        if scopes.is_empty() {
            let [partition, region, account] = ["aws", "us-east-1", "000000000000"].map(str::to_owned);
            scopes.insert(Scope { partition, region, account });
        }
        scopes.into_iter().take(SCOPES_MAX).collect()
    }

    /// The patterns of one resource for one kind of object.
    pub(crate) fn patterns(&mut self, resource: &str, scope: &Scope, kind: Kind) -> Option<Vec<Pattern>> {
        let variables = &mut self.variables;
        let text = resource.replace(":/", ":");
        let tokens = aws_glob(&text, |name| variables.symbol(&format!("${{{name}}}")))?;
        Some(residual(&tokens, &scope.prefix(word(kind))).into_iter().map(Pattern::of).collect())
    }

    /// The policy in the one form: a subject for each scope.
    #[must_use]
    pub fn document(&self) -> Document {
        let mut policy = self.clone();
        let mut document = Document::new(System::AwsIot, &self.file, self.variables.clone());
        document.problems.clone_from(&self.problems);
        let scopes = self.scopes();
        for scope in &scopes {
            let name = if scopes.len() == 1 {
                "any device with this policy".to_owned()
            } else {
                format!("any device with this policy in {} of {}", scope.region, scope.account)
            };
            let line = self.statements.first().map_or(0, |statement| statement.line);
            let subject = Subject { name, line, everyone: true, ..Subject::default() };
            let subject = policy.rules(&mut document, scope, subject);
            document.subjects.push(subject);
        }
        document.variables = policy.variables;
        document
    }

    fn rules(&mut self, document: &mut Document, scope: &Scope, mut subject: Subject) -> Subject {
        let (mut denials, mut grants) = (Vec::new(), Vec::new());
        for statement in self.statements.clone() {
            if statement.effect == Effect::Deny && statement.condition.is_some() {
                continue;
            }
            for kind in [Kind::Client, Kind::Topic, Kind::Filter, Kind::Thing] {
                let actions = statement.actions_on(kind);
                if actions.is_empty() {
                    continue;
                }
                for (line, text, object) in self.objects(&statement, scope, kind) {
                    let Some(object) = object else {
                        subject.undecided = subject.undecided.with(actions);
                        continue;
                    };
                    if document.rules.len() >= RULES_MAX {
                        subject.undecided = Actions::ALL;
                        continue;
                    }
                    let of_effect = if statement.effect == Effect::Deny { &mut denials } else { &mut grants };
                    of_effect.push(document.rules.len());
                    document.rules.push(Rule {
                        line,
                        text,
                        effect: statement.effect,
                        actions,
                        conditional: statement.condition.is_some(),
                        attached: statement.attached,
                        object,
                    });
                }
            }
        }
        subject.order = denials.into_iter().chain(grants).collect();
        subject
    }

    fn objects(
        &mut self,
        statement: &Statement,
        scope: &Scope,
        kind: Kind,
    ) -> Vec<(usize, String, Option<Object>)> {
        if statement.not_resource {
            let mut patterns = Vec::new();
            for (_, resource) in &statement.resources {
                match self.patterns(resource, scope, kind) {
                    Some(more) => patterns.extend(more),
                    None => return vec![(statement.line, shown(resource), None)],
                }
            }
            return vec![(statement.line, "NotResource".into(), Some(Object::Except(patterns)))];
        }
        let mut objects = Vec::new();
        for (line, resource) in &statement.resources {
            match self.patterns(resource, scope, kind) {
                Some(patterns) if patterns.is_empty() => {}
                patterns => objects.push((*line, shown(resource), patterns.map(Object::Any))),
            }
        }
        objects
    }
}

/// Tokens with a variable replaced: what the check of broad access does with the client id.
pub(crate) fn replaced(tokens: &[Token], symbol: u32, by: Token) -> Vec<Token> {
    tokens.iter().map(|token| if *token == Token::Letter(symbol) { by } else { *token }).collect()
}
