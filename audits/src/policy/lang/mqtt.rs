//! Topics and filters of MQTT (5.0, section 4.7), and what the ACLs of brokers say about them.

use std::sync::LazyLock;

use super::{Dfa, Letter, Pattern, Token, dfa::Row};

/// Texts such as `%c` and the symbols they stand for.
pub(crate) type Placeholders<'p> = &'p [(&'p str, Letter)];

/// Topics that can be published to: not empty, no `+`, no `#`.
pub(crate) fn valid_topic() -> &'static Dfa {
    static TOPICS: LazyLock<Dfa> = LazyLock::new(|| {
        let next = |accept| Row::new(accept, 2, &[('#', 0), ('+', 0)]);
        Dfa::new(vec![Row::dead(), next(false), next(true)], 1)
    });
    &TOPICS
}

/// Filters that can be subscribed to: `+` alone in its level, `#` alone in the last.
pub(crate) fn valid_filter() -> &'static Dfa {
    static FILTERS: LazyLock<Dfa> = LazyLock::new(|| {
        // 1 start, 2 begin of a level, 3 inside a level, 4 after `+`, 5 after `#`.
        let level = |accept| Row::new(accept, 3, &[('#', 5), ('+', 4), ('/', 2)]);
        let rows = vec![
            Row::dead(),
            level(false),
            level(true),
            Row::new(true, 3, &[('#', 0), ('+', 0), ('/', 2)]),
            Row::new(true, 0, &[('/', 2)]),
            Row { accept: true, ..Row::dead() },
        ];
        Dfa::new(rows, 1)
    });
    &FILTERS
}

/// Words with a `+` or a `#`: of the valid filters those that cover more than one topic.
pub(crate) fn wildcard() -> &'static Dfa {
    static WILDCARD: LazyLock<Dfa> = LazyLock::new(|| {
        let rows = vec![Row::dead(), Row::new(false, 1, &[('#', 2), ('+', 2)]), Row::new(true, 2, &[])];
        Dfa::new(rows, 1)
    });
    &WILDCARD
}

/// How a broker's ACL treats topics that begin with `$`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dollar {
    /// A leading wildcard does not cover them (Mosquitto).
    Apart,
    /// As any other (EMQX compares levels only).
    Plain,
}

/// The topics that a filter in an ACL covers.
pub(crate) fn topic_of_acl(filter: &str, dollar: Dollar, placeholders: Placeholders<'_>) -> Pattern {
    let leading = filter.starts_with(['+', '#']);
    Pattern {
        tokens: levels(filter, Token::Level, placeholders),
        not_dollar: dollar == Dollar::Apart && leading,
    }
}

/// The filters that a `subscribePattern` of Mosquitto's dynamic security covers, as its
/// `sub_acl_check` compares them: level by level; a trailing `#` is taken off first, so that
/// `/#` and `+/#` cover the filter `#`.
pub(crate) fn filter_of_acl(filter: &str, placeholders: Placeholders<'_>) -> Vec<Pattern> {
    let mut patterns = vec![Pattern::of(levels(filter, Token::LevelNoHash, placeholders))];
    if filter == "/#" || filter == "+/#" {
        patterns.push(Pattern::text("#"));
    }
    patterns
}

fn levels(filter: &str, level: Token, placeholders: Placeholders<'_>) -> Vec<Token> {
    let mut tokens = Vec::with_capacity(filter.len());
    for (index, text) in filter.split('/').enumerate() {
        match text {
            "#" if index == 0 => {
                tokens.push(Token::Run);
                return tokens;
            }
            "#" => {
                tokens.push(Token::Rest);
                return tokens;
            }
            _ => {}
        }
        if index > 0 {
            tokens.push(Token::Letter('/'.into()));
        }
        if text == "+" {
            tokens.push(level);
        } else {
            literal(text, placeholders, &mut tokens);
        }
    }
    tokens
}

fn literal(text: &str, placeholders: Placeholders<'_>, tokens: &mut Vec<Token>) {
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some((name, symbol)) = placeholders.iter().find(|(name, _)| rest.starts_with(name)) {
            tokens.push(Token::Letter(*symbol));
            rest = rest.get(name.len()..).unwrap_or_default();
        } else {
            tokens.push(Token::Letter(first.into()));
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        }
    }
}

/// The topics and filters whose NATS subject a permission matches: `*` any one token, `>` one or
/// more. `/` of MQTT is `.`, an empty level is the token `/`, and `.` is `//`
/// (`broker-integration.md`, section 5).
///
/// `None` if no MQTT topic has such a subject.
pub(crate) fn nats_subject(subject: &str) -> Option<Pattern> {
    let mut tokens = Vec::with_capacity(subject.len());
    let mut parts = subject.split('.').enumerate().peekable();
    while let Some((index, part)) = parts.next() {
        if index > 0 {
            tokens.push(Token::Letter('/'.into()));
        }
        match part {
            "" => return None,
            "*" => tokens.push(Token::Level),
            ">" if parts.peek().is_none() => tokens.extend([Token::Level, Token::Rest]),
            "/" => {}
            literal => {
                let topic = literal.replace("//", ".");
                if topic.contains('/') {
                    return None;
                }
                tokens.extend(topic.chars().map(|letter| Token::Letter(letter.into())));
            }
        }
    }
    Some(Pattern::of(tokens))
}
