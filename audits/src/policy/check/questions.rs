//! Questions about one subject, answered exactly.

use crate::policy::{
    form::{Access, Action, Document, Effect, Object, Subject, System, Undecided, Variables},
    lang::{Dfa, FIRST, Letter, Nfa, Pattern, SYMBOLS, Token, TooLarge, letters, valid_topic, wildcard},
};

/// Where the topics of a thing lie: `devices/{thing}/#`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Template {
    pub(crate) before: Vec<Token>,
    pub(crate) after: Vec<Token>,
}

/// The word in a template that stands for the thing.
const THING: &str = "{thing}";
/// Templates that the rules themselves show, at most; further ones add nothing new as a rule.
const TEMPLATES_MAX: usize = 32;

impl Template {
    /// Reads a template: a topic filter with `{thing}` in it once. A `#` stands for one level or more
    /// and `+` for any level.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some((before, after)) = text.split_once(THING) else {
            return Err(format!("found `{text}`; expected `{THING}` in it, such as `devices/{THING}/#`"));
        };
        if after.contains(THING) || before.contains(['+', '#']) {
            return Err(format!("found `{text}`; allowed is one `{THING}` with no wildcard before it"));
        }
        let mut tokens = Vec::new();
        for (index, level) in after.split('/').enumerate() {
            if index > 0 {
                tokens.push(Token::Letter('/'.into()));
            }
            match level {
                "+" => tokens.push(Token::Level),
                "#" => {
                    tokens.push(Token::Run);
                    break;
                }
                level => tokens.extend(letters(level).map(Token::Letter)),
            }
        }
        Ok(Self { before: letters(before).map(Token::Letter).collect(), after: tokens })
    }

    /// The template as text.
    #[must_use]
    pub fn text(&self) -> String {
        let part = |tokens: &[Token]| -> String {
            let letter = |token: &Token| match token {
                Token::Letter(letter) => char::from_u32(*letter).unwrap_or('?'),
                Token::Level | Token::LevelNoHash => '+',
                _ => '#',
            };
            tokens.iter().map(letter).collect()
        };
        format!("{}{THING}{}", part(&self.before), part(&self.after))
    }

    /// The templates that the rules show by naming the device in a topic.
    #[must_use]
    pub fn shown_by(document: &Document) -> Vec<Self> {
        let mut templates = Vec::new();
        for rule in document.rules.iter().filter(|rule| rule.effect == Effect::Allow) {
            let Object::Any(patterns) = &rule.object else { continue };
            if !rule.actions.has(Action::Publish) && !rule.actions.has(Action::Receive) {
                continue;
            }
            for pattern in patterns {
                templates.extend(of_pattern(pattern));
            }
        }
        templates.sort();
        templates.dedup();
        templates.truncate(TEMPLATES_MAX);
        templates
    }

    fn words(&self, name: &[Token]) -> Pattern {
        Pattern::of(self.before.iter().chain(name).chain(&self.after).copied().collect())
    }
}

fn of_pattern(pattern: &Pattern) -> Option<Template> {
    let is_identity = |token: &Token| matches!(token, Token::Letter(letter) if [Variables::THING, Variables::CLIENT, Variables::USER].contains(letter));
    let at = pattern.tokens.iter().position(is_identity)?;
    let (before, rest) = pattern.tokens.split_at_checked(at)?;
    let after = rest.get(1..)?;
    let literal = before.iter().all(|token| matches!(token, Token::Letter(letter) if *letter < SYMBOLS));
    // An identity in the first place, before anything fixed, tells nothing about where things lie.
    let tells = !before.is_empty() && literal && !after.iter().any(is_identity);
    tells.then(|| Template { before: before.to_vec(), after: after.to_vec() })
}

/// The answers about one subject. A topic or filter is an example for a "yes".
#[derive(Clone, Debug)]
pub struct Answers {
    /// It may read every topic that does not begin with `$`.
    pub reads_all: Result<bool, Undecided>,
    /// It may publish to every topic that does not begin with `$`.
    pub writes_all: Result<bool, Undecided>,
    /// It may read topics of another device.
    pub reads_others: Result<Option<String>, Undecided>,
    /// It may publish to topics of another device.
    pub writes_others: Result<Option<String>, Undecided>,
    /// It may read what the broker administers: `$CONTROL`, `$SYS`, AWS's `$aws/events` and `$aws/rules`.
    pub reads_administration: Result<Option<String>, Undecided>,
    /// It may publish there. `$CONTROL`, by which the broker is changed, is named before others.
    pub writes_administration: Result<Option<String>, Undecided>,
    /// It may subscribe with a wildcard.
    pub wildcard: Result<Option<String>, Undecided>,
    /// It may publish to a topic that no rule names.
    pub writes_unnamed: Result<bool, Undecided>,
    /// It may read a topic that no rule names.
    pub reads_unnamed: Result<bool, Undecided>,
}

impl Answers {
    /// How many questions stayed undecided.
    #[must_use]
    pub fn undecided(&self) -> usize {
        let examples = [
            &self.reads_others,
            &self.writes_others,
            &self.reads_administration,
            &self.writes_administration,
            &self.wildcard,
        ];
        let flags = [&self.reads_all, &self.writes_all, &self.writes_unnamed, &self.reads_unnamed];
        examples.into_iter().filter(|answer| answer.is_err()).count()
            + flags.into_iter().filter(|answer| answer.is_err()).count()
    }
}

/// Answers all questions about a subject. `templates` say where the topics of things lie.
#[must_use]
pub fn answers(document: &Document, subject: &Subject, templates: &[Template]) -> Answers {
    let access = document.access(subject);
    let of_others = others(document, subject, templates);
    let example = |set: &Result<Dfa, Undecided>, wanted: &Result<Dfa, Undecided>| {
        let (set, wanted) =
            (set.as_ref().map_err(|reason| *reason)?, wanted.as_ref().map_err(|reason| *reason)?);
        Ok(set.common(wanted)?.map(|word| document.variables.text(&word)))
    };
    let everything = |set: &Result<Dfa, Undecided>| {
        let set = set.as_ref().map_err(|reason| *reason)?;
        Ok(ordinary().and_then(|topics| topics.is_subset(set))?)
    };
    let unnamed =
        |set: &Result<Dfa, Undecided>| Ok(set.as_ref().map_err(|reason| *reason)?.contains(UNNAMED));
    let administration = administrative(document.system).map_err(Undecided::from);
    let control = if matches!(document.system, System::MosquittoAcl | System::MosquittoDynsec) {
        set(&[below("$CONTROL/")]).map_err(Undecided::from)
    } else {
        Ok(Dfa::nothing())
    };
    let Access { publish, read, subscribe, .. } = &access;
    Answers {
        reads_all: everything(read),
        writes_all: everything(publish),
        reads_others: example(read, &of_others),
        writes_others: example(publish, &of_others),
        reads_administration: example(read, &administration),
        writes_administration: match example(publish, &control) {
            Ok(None) => example(publish, &administration),
            found => found,
        },
        wildcard: example(subscribe, &Ok(wildcard().clone())),
        writes_unnamed: unnamed(publish),
        reads_unnamed: unnamed(read),
    }
}

/// A topic of a character that rules do not use: what is allowed for it no rule has named.
const UNNAMED: &str = "\u{10FFFD}";

fn set(patterns: &[Pattern]) -> Result<Dfa, TooLarge> {
    let mut nfa = Nfa::default();
    for pattern in patterns {
        nfa.add(pattern, 0);
    }
    nfa.determinize(|tag| tag.is_some())?.and(valid_topic())
}

/// Topics that do not begin with `$`.
fn ordinary() -> Result<Dfa, TooLarge> {
    set(&[Pattern { tokens: vec![Token::Run], not_dollar: true }])?.and(&characters()?)
}

/// Words without symbols.
fn characters() -> Result<Dfa, TooLarge> {
    let mut nfa = Nfa::default();
    let node = nfa.node(0);
    nfa.start(node);
    nfa.edge(node, FIRST, SYMBOLS, node);
    nfa.accept(node);
    nfa.determinize(|tag| tag.is_some())
}

fn below(text: &str) -> Pattern {
    let mut pattern = Pattern::text(text);
    pattern.tokens.push(Token::Run);
    pattern
}

fn administrative(system: System) -> Result<Dfa, TooLarge> {
    let trees: &[&str] = match system {
        System::MosquittoAcl | System::MosquittoDynsec => &["$CONTROL/", "$SYS/"],
        System::Emqx | System::Nats => &["$SYS/"],
        System::AwsIot => &["$aws/events/", "$aws/rules/"],
        // Topics with a `$` are as others there.
        System::RabbitMq => &[],
    };
    set(&trees.iter().map(|tree| below(tree)).collect::<Vec<_>>())
}

/// The topics of things other than the subject itself.
fn others(document: &Document, subject: &Subject, templates: &[Template]) -> Result<Dfa, Undecided> {
    let theirs: Vec<Pattern> = templates.iter().map(|template| template.words(&[Token::Name])).collect();
    let mut own: Vec<Vec<Token>> = Vec::new();
    for name in [&subject.user, &subject.client_id].into_iter().flatten() {
        own.push(letters(name).map(Token::Letter).collect());
    }
    let symbols = (SYMBOLS..).take(document.variables.count());
    own.extend(symbols.map(|symbol: Letter| vec![Token::Letter(symbol)]));
    let mine: Vec<Pattern> =
        templates.iter().flat_map(|template| own.iter().map(|name| template.words(name))).collect();
    Ok(set(&theirs)?.without(&set(&mine)?)?)
}
