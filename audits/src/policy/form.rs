//! The one form that the policies of all systems take: subjects, and for each the rules in the
//! order in which the first that matches decides.

use std::collections::BTreeMap;

use fleet::problem::Problem;

use super::lang::{
    Dfa, Letter, Nfa, Parent, Pattern, SYMBOLS, SYMBOLS_MAX, Tag, Token, TooLarge, reach, valid_filter,
    valid_topic,
};

/// Whose rules they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// AWS IoT policies: an explicit deny wins, nothing is allowed by default.
    AwsIot,
    /// Mosquitto's ACL file: the user's denials, the user's grants, the denials and grants of
    /// `pattern` lines; nothing is readable or writable by default, every subscription is accepted.
    MosquittoAcl,
    /// Mosquitto's dynamic security: client roles by priority, then groups by priority, then defaults.
    MosquittoDynsec,
    /// `RabbitMQ`: regular expressions per user, virtual host and exchange.
    RabbitMq,
    /// EMQX `acl.conf`: the first rule that matches, then `no_match`.
    Emqx,
    /// NATS permissions: a denial wins; with a list of grants all else is denied.
    Nats,
}

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Connect with a client id.
    Connect,
    /// Publish to a topic.
    Publish,
    /// Publish a retained message.
    RetainPublish,
    /// Be sent what is published to a topic.
    Receive,
    /// Subscribe with a topic filter.
    Subscribe,
    /// Read a thing's shadow over HTTP.
    GetThingShadow,
    /// Write a thing's shadow over HTTP.
    UpdateThingShadow,
    /// Delete a thing's shadow over HTTP.
    DeleteThingShadow,
    /// `iotjobsdata:DescribeJobExecution`
    DescribeJobExecution,
    /// `iotjobsdata:GetPendingJobExecutions`
    GetPendingJobExecutions,
    /// `iotjobsdata:StartNextPendingJobExecution`
    StartNextPendingJobExecution,
    /// `iotjobsdata:UpdateJobExecution`
    UpdateJobExecution,
    /// The older spelling `iot:DescribeJobExecution`, and so on.
    OldDescribeJobExecution,
    /// See [`Action::OldDescribeJobExecution`].
    OldGetPendingJobExecutions,
    /// See [`Action::OldDescribeJobExecution`].
    OldStartNextPendingJobExecution,
    /// See [`Action::OldDescribeJobExecution`].
    OldUpdateJobExecution,
}

/// What an action is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A client id.
    Client,
    /// A topic.
    Topic,
    /// A topic filter.
    Filter,
    /// A thing's name.
    Thing,
}

impl Action {
    /// All actions.
    pub const ALL: [Self; 16] = [
        Self::Connect,
        Self::Publish,
        Self::RetainPublish,
        Self::Receive,
        Self::Subscribe,
        Self::GetThingShadow,
        Self::UpdateThingShadow,
        Self::DeleteThingShadow,
        Self::DescribeJobExecution,
        Self::GetPendingJobExecutions,
        Self::StartNextPendingJobExecution,
        Self::UpdateJobExecution,
        Self::OldDescribeJobExecution,
        Self::OldGetPendingJobExecutions,
        Self::OldStartNextPendingJobExecution,
        Self::OldUpdateJobExecution,
    ];

    /// As AWS writes it.
    #[must_use]
    pub const fn aws_name(self) -> &'static str {
        match self {
            Self::Connect => "iot:Connect",
            Self::Publish => "iot:Publish",
            Self::RetainPublish => "iot:RetainPublish",
            Self::Receive => "iot:Receive",
            Self::Subscribe => "iot:Subscribe",
            Self::GetThingShadow => "iot:GetThingShadow",
            Self::UpdateThingShadow => "iot:UpdateThingShadow",
            Self::DeleteThingShadow => "iot:DeleteThingShadow",
            Self::DescribeJobExecution => "iotjobsdata:DescribeJobExecution",
            Self::GetPendingJobExecutions => "iotjobsdata:GetPendingJobExecutions",
            Self::StartNextPendingJobExecution => "iotjobsdata:StartNextPendingJobExecution",
            Self::UpdateJobExecution => "iotjobsdata:UpdateJobExecution",
            Self::OldDescribeJobExecution => "iot:DescribeJobExecution",
            Self::OldGetPendingJobExecutions => "iot:GetPendingJobExecutions",
            Self::OldStartNextPendingJobExecution => "iot:StartNextPendingJobExecution",
            Self::OldUpdateJobExecution => "iot:UpdateJobExecution",
        }
    }

    /// What it is done to.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Connect => Kind::Client,
            Self::Publish | Self::RetainPublish | Self::Receive => Kind::Topic,
            Self::Subscribe => Kind::Filter,
            _ => Kind::Thing,
        }
    }

    /// The current name of an action, whichever spelling it has.
    #[must_use]
    pub const fn current(self) -> Self {
        match self {
            Self::OldDescribeJobExecution => Self::DescribeJobExecution,
            Self::OldGetPendingJobExecutions => Self::GetPendingJobExecutions,
            Self::OldStartNextPendingJobExecution => Self::StartNextPendingJobExecution,
            Self::OldUpdateJobExecution => Self::UpdateJobExecution,
            action => action,
        }
    }
}

/// A set of actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Actions(u32);

impl Actions {
    /// No action.
    pub const NONE: Self = Self(0);
    /// Every action.
    pub const ALL: Self = Self(u32::MAX);
    /// Publishing, retained or not.
    pub const PUBLISH: Self = Self::of(&[Action::Publish, Action::RetainPublish]);

    /// These actions.
    #[must_use]
    pub const fn of(actions: &[Action]) -> Self {
        let mut bits = 0;
        let mut rest = actions;
        while let Some((action, others)) = rest.split_first() {
            bits |= 1 << *action as u32;
            rest = others;
        }
        Self(bits)
    }

    /// Whether the action is in the set.
    #[must_use]
    pub const fn has(self, action: Action) -> bool {
        self.0 & (1 << action as u32) != 0
    }

    /// Both sets.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Whether a rule allows or denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Allows.
    Allow,
    /// Denies.
    Deny,
}

/// What a rule speaks about.
#[derive(Clone, Debug)]
pub(crate) enum Object {
    /// The words of any of the patterns.
    Any(Vec<Pattern>),
    /// All words but those.
    Except(Vec<Pattern>),
    /// The words of an expression.
    Expression(Nfa),
}

impl Object {
    pub(crate) fn everything() -> Self {
        Self::Any(vec![Pattern::of(vec![Token::Run])])
    }
}

/// One rule, as it was written and as it is understood.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Line in the file, from 1.
    pub line: usize,
    /// As written, shortened.
    pub text: String,
    /// Whether it allows.
    pub effect: Effect,
    /// For which actions.
    pub actions: Actions,
    /// It holds under a condition that the files do not decide: an allowance counts as given.
    pub conditional: bool,
    /// The condition is AWS's `iot:Connection.Thing.IsAttached` is true.
    pub attached: bool,
    pub(crate) object: Object,
}

/// Somebody whom the rules tell apart from others.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// As a report names it: `user backend`, `anonymous clients`.
    pub name: String,
    /// Line where it is spoken of first; 0 if nowhere.
    pub line: usize,
    /// User name, if it has one and it is known.
    pub user: Option<String>,
    /// Client id, if only this one may be used.
    pub client_id: Option<String>,
    /// The file itself says that it administers: a tag, the name of a role.
    pub administrator: bool,
    /// Nobody has to be named to be this subject: any other user, or no user at all.
    pub everyone: bool,
    /// Indices of rules; the first that matches decides.
    pub(crate) order: Vec<usize>,
    /// Actions that are allowed where no rule matches.
    pub(crate) default: Actions,
    /// Actions about which a rule that could not be read speaks.
    pub(crate) undecided: Actions,
}

/// Whether a client can choose its own id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ClientIds {
    /// Any client may use any id: what is granted by `%c` is granted to all.
    #[default]
    Free,
    /// The broker ties the id to the credential (`use_username_as_clientid`, certificates).
    Bound,
}

/// The symbols of policy variables, and how they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variables {
    names: Vec<String>,
}

impl Variables {
    /// The thing's name, the client id, the user name.
    pub(crate) const THING: Letter = SYMBOLS;
    pub(crate) const CLIENT: Letter = SYMBOLS + 1;
    pub(crate) const USER: Letter = SYMBOLS + 2;

    pub(crate) fn new(thing: &str, client: &str, user: &str) -> Self {
        Self { names: [thing, client, user].map(str::to_owned).to_vec() }
    }

    /// The symbol of a variable by its written form; `None` if there are too many.
    pub(crate) fn symbol(&mut self, name: &str) -> Option<Letter> {
        let index = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        let index = u32::try_from(index).ok().filter(|index| *index < SYMBOLS_MAX);
        if index.is_none() {
            self.names.pop();
        }
        index.map(|index| SYMBOLS + index)
    }

    pub(crate) fn count(&self) -> usize {
        self.names.len()
    }

    /// A word as text.
    pub(crate) fn text(&self, word: &[Letter]) -> String {
        let mut text = String::new();
        for &letter in word {
            match char::from_u32(letter) {
                Some(letter) => text.push(letter),
                None => text.push_str(self.name(letter)),
            }
        }
        text
    }

    pub(crate) fn name(&self, symbol: Letter) -> &str {
        let index = symbol.checked_sub(SYMBOLS).and_then(|index| usize::try_from(index).ok());
        index.and_then(|index| self.names.get(index)).map_or("?", String::as_str)
    }
}

/// Why a question was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undecided {
    /// The answer would need more than the bounds allow.
    TooLarge,
    /// A rule could not be read: an expression that is not regular, too many variables.
    Unreadable,
}

impl From<TooLarge> for Undecided {
    fn from(_: TooLarge) -> Self {
        Self::TooLarge
    }
}

impl std::fmt::Display for Undecided {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "undecided: the rules together are too large an automaton",
            Self::Unreadable => "undecided: a rule cannot be translated",
        })
    }
}

/// A policy of any system, understood.
#[derive(Clone, Debug)]
pub struct Document {
    /// Whose.
    pub system: System,
    /// File, as the user named it.
    pub file: String,
    /// The rules in the order of the file.
    pub rules: Vec<Rule>,
    /// Everybody whom the rules tell apart, in the order of the file.
    pub subjects: Vec<Subject>,
    /// What is wrong in the file; the rest of it counts.
    pub problems: Vec<Problem>,
    /// Whether client ids are free; from the broker's configuration.
    pub client_ids: ClientIds,
    pub(crate) variables: Variables,
}

/// What one subject may do, as sets. `read` is what it can come to see: topics that a filter it
/// may subscribe with covers, and that it may receive.
#[derive(Clone, Debug)]
pub struct Access {
    /// Client ids.
    pub connect: Result<Dfa, Undecided>,
    /// Topics.
    pub publish: Result<Dfa, Undecided>,
    /// Filters.
    pub subscribe: Result<Dfa, Undecided>,
    /// Topics.
    pub receive: Result<Dfa, Undecided>,
    /// Topics.
    pub read: Result<Dfa, Undecided>,
}

impl Document {
    pub(crate) fn new(system: System, file: &str, variables: Variables) -> Self {
        Self {
            system,
            file: file.to_owned(),
            rules: Vec::new(),
            subjects: Vec::new(),
            problems: Vec::new(),
            client_ids: ClientIds::default(),
            variables,
        }
    }

    /// What the subject may do. Its known names take the place of variables; the client id stands
    /// for itself if it is bound, else for every id with which it may connect.
    #[must_use]
    pub fn access(&self, subject: &Subject) -> Access {
        let values = self.values(subject);
        let connect = self.language(subject, Action::Connect, &BTreeMap::new());
        let publish = self.language(subject, Action::Publish, &values);
        let subscribe = self.language(subject, Action::Subscribe, &values);
        let receive = self.language(subject, Action::Receive, &values);
        let parent = if self.system == System::Nats { Parent::Apart } else { Parent::Covered };
        let read = match (&subscribe, &receive) {
            (Ok(subscribe), Ok(receive)) => {
                reach(subscribe, parent).and_then(|reached| reached.and(receive)).map_err(Undecided::from)
            }
            (Err(undecided), _) | (_, Err(undecided)) => Err(*undecided),
        };
        Access { connect, publish, subscribe, receive, read }
    }

    /// What the variables stand for, as alternatives; no alternative if that is undecided.
    pub(crate) fn values(&self, subject: &Subject) -> BTreeMap<Letter, Vec<Vec<Token>>> {
        let text = |text: &str| vec![text.chars().map(|letter| Token::Letter(letter.into())).collect()];
        let mut values = BTreeMap::new();
        if let Some(user) = &subject.user {
            values.insert(Variables::USER, text(user));
        }
        match (&subject.client_id, self.client_ids, self.system) {
            (Some(id), _, _) => {
                values.insert(Variables::CLIENT, text(id));
            }
            (None, _, System::AwsIot) => {
                let ids = self.aws_client_ids(subject);
                if !ids.is_empty() {
                    let ids = if self.denies_connect(subject) { Vec::new() } else { ids };
                    values.insert(Variables::CLIENT, ids);
                }
            }
            (None, ClientIds::Free, _) => {
                values.insert(Variables::CLIENT, vec![vec![Token::Name]]);
            }
            (None, ClientIds::Bound, _) => {}
        }
        values
    }

    /// The client ids with which a policy lets a device connect, its own attached name aside.
    fn aws_client_ids(&self, subject: &Subject) -> Vec<Vec<Token>> {
        let rules = subject.order.iter().filter_map(|&index| self.rules.get(index));
        let mut ids: Vec<Vec<Token>> = Vec::new();
        for rule in rules.filter(|rule| {
            rule.effect == Effect::Allow && rule.actions.has(Action::Connect) && !rule.attached
        }) {
            match &rule.object {
                Object::Any(patterns) => ids.extend(patterns.iter().map(|pattern| pattern.tokens.clone())),
                _ => ids.push(vec![Token::Run]),
            }
        }
        // `client/${iot:ClientId}` is any id at all.
        for tokens in &mut ids {
            if tokens.contains(&Token::Letter(Variables::CLIENT)) {
                *tokens = vec![Token::Run];
            }
        }
        ids.retain(|tokens| *tokens != [Token::Letter(Variables::THING)]);
        ids.sort();
        ids.dedup();
        if ids.contains(&vec![Token::Run]) {
            ids = vec![vec![Token::Run]];
        }
        ids
    }

    /// Whether some rule of the subject allows the action, on whatever.
    pub(crate) fn speaks_of(&self, subject: &Subject, action: Action) -> bool {
        let mut rules = subject.order.iter().filter_map(|&index| self.rules.get(index));
        subject.default.has(action)
            || subject.undecided.has(action)
            || rules.any(|rule| rule.effect == Effect::Allow && rule.actions.has(action))
    }

    fn denies_connect(&self, subject: &Subject) -> bool {
        let mut rules = subject.order.iter().filter_map(|&index| self.rules.get(index));
        rules.any(|rule| rule.effect == Effect::Deny && rule.actions.has(Action::Connect))
    }

    /// The words for which the subject may do `action`; of topics and filters the valid ones.
    pub(crate) fn language(
        &self,
        subject: &Subject,
        action: Action,
        values: &BTreeMap<Letter, Vec<Vec<Token>>>,
    ) -> Result<Dfa, Undecided> {
        if subject.undecided.has(action) {
            return Err(Undecided::Unreadable);
        }
        let mut nfa = Nfa::default();
        let mut allows: Vec<bool> = Vec::new();
        let rules = subject.order.iter().filter_map(|&index| self.rules.get(index));
        for (tag, rule) in (0..).zip(rules.filter(|rule| rule.actions.has(action))) {
            add_object(&mut nfa, &rule.object, tag, values, rule.effect)?;
            allows.push(rule.effect == Effect::Allow);
        }
        let default = subject.default.has(action);
        let verdict = |tag: Option<Tag>| match tag {
            Some(tag) => usize::try_from(tag).ok().and_then(|tag| allows.get(tag)).copied().unwrap_or(false),
            None => default,
        };
        let words = nfa.determinize(verdict)?;
        Ok(match action.kind() {
            Kind::Topic => words.and(valid_topic())?,
            Kind::Filter => words.and(valid_filter())?,
            Kind::Client | Kind::Thing => words,
        })
    }
}

/// Values of one variable at most; with more the question is undecided.
const VALUES_MAX: usize = 64;

fn add_object(
    nfa: &mut Nfa,
    object: &Object,
    tag: Tag,
    values: &BTreeMap<Letter, Vec<Vec<Token>>>,
    effect: Effect,
) -> Result<(), Undecided> {
    match object {
        Object::Any(patterns) => {
            for pattern in patterns {
                for bound in bind(pattern, values, effect)? {
                    nfa.add(&bound, tag);
                }
            }
        }
        Object::Except(patterns) => {
            let mut inner = Nfa::default();
            let other = if effect == Effect::Allow { Effect::Deny } else { Effect::Allow };
            for pattern in patterns {
                for bound in bind(pattern, values, other)? {
                    inner.add(&bound, 0);
                }
            }
            nfa.add_dfa(&inner.determinize(|tag| tag.is_some())?.complement()?, tag);
        }
        Object::Expression(expression) => nfa.add_nfa(expression, tag),
    }
    Ok(())
}

/// The pattern with the values of its variables. A variable with several values in a denial denies
/// only what each value denies, which is not a pattern: there it stays a symbol of its own, so that
/// nothing of others is taken as denied.
fn bind(
    pattern: &Pattern,
    values: &BTreeMap<Letter, Vec<Vec<Token>>>,
    effect: Effect,
) -> Result<Vec<Pattern>, Undecided> {
    let is_text = |tokens: &[Token]| tokens.iter().all(|token| matches!(token, Token::Letter(_)));
    let mut patterns = vec![pattern.clone()];
    for (symbol, alternatives) in values {
        let times = pattern.symbols().filter(|found| found == symbol).count();
        if times == 0 {
            continue;
        }
        let single = alternatives.len() == 1 && alternatives.iter().all(|tokens| is_text(tokens));
        if effect == Effect::Deny && !single {
            continue;
        }
        if alternatives.is_empty() {
            return Err(Undecided::Unreadable);
        }
        if alternatives.len() > VALUES_MAX
            || (times > 1 && !alternatives.iter().all(|tokens| is_text(tokens)))
        {
            return Err(Undecided::TooLarge);
        }
        patterns = patterns
            .iter()
            .flat_map(|pattern| {
                alternatives
                    .iter()
                    .map(|tokens| pattern.bound(&|found| (found == *symbol).then(|| tokens.clone())))
            })
            .collect();
    }
    Ok(patterns)
}
