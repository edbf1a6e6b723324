//! The one form that the policies of all systems take: subjects, and for each the rules in the
//! order in which the first that matches decides.

use std::collections::BTreeMap;

mod action;
mod bind;

use fleet::problem::Problem;

pub use action::{Action, Actions, Kind};

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
            bind::add_object(&mut nfa, &rule.object, tag, values, rule.effect)?;
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
