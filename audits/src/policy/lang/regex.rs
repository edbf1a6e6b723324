//! Regular expressions of RabbitMQ and EMQX (PCRE, searched anywhere in the text).
//!
//! Their regular part is translated exactly for ASCII texts; RabbitMQ compares bytes, so for other
//! texts one `.` stands here for a character and there for a byte. What is not regular or differs
//! between PCRE and the parser (look-around, references, possessive repeats, `\b`, nested classes)
//! is [`Unreadable`], and counts as undecided.

use regex_syntax::{
    ParserBuilder,
    hir::{Class, Hir, HirKind, Look, Repetition},
};

use super::{END, FIRST, Letter, Nfa, SYMBOLS, SYMBOLS_MAX, nfa::When};

/// Nodes of one expression at most.
const NODES_MAX: usize = 20_000;
/// The character that stands for the first symbol in an expression: private use, plane 15.
const PLACEHOLDER: u32 = 0xF_0000;

/// Why an expression was not translated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable(pub(crate) String);

/// The character that an expression holds for a symbol.
pub(crate) fn placeholder(symbol: Letter) -> Option<char> {
    char::from_u32(PLACEHOLDER + symbol.checked_sub(SYMBOLS)?)
}

/// The texts in which the expression is found.
pub(crate) fn search_regex(expression: &str) -> Result<Nfa, Unreadable> {
    refuse_differences(expression)?;
    let mut parser = ParserBuilder::new().nest_limit(64).build();
    let hir = parser.parse(expression).map_err(|error| {
        let text = error.to_string();
        Unreadable(text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned())
    })?;
    let mut nfa = Nfa::default();
    let (start, later, begin, end) = (nfa.node(0), nfa.node(0), nfa.node(0), nfa.node(0));
    nfa.start(start);
    nfa.jump(start, begin, When::Always);
    nfa.edge(start, FIRST, END, later);
    nfa.edge(later, FIRST, END, later);
    nfa.jump(later, begin, When::Always);
    let last = build(&mut nfa, &hir, begin)?;
    nfa.jump(last, end, When::Always);
    nfa.accept_all(end);
    Ok(nfa)
}

/// The MQTT topics and filters in whose AMQP routing key the expression is found: `/` is `.` there,
/// and `+` is `*` (`rabbit_mqtt_util`).
pub(crate) fn routing_key_regex(expression: &str) -> Result<Nfa, Unreadable> {
    Ok(search_regex(expression)?.relabelled(&[('/', '.'), ('+', '*')]))
}

/// Refuses what PCRE and the parser read differently.
fn refuse_differences(expression: &str) -> Result<(), Unreadable> {
    let mut in_class = false;
    let mut previous = ' ';
    let mut letters = expression.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '\\' {
            previous = letters.next().map_or('\\', |_| 'x');
            continue;
        }
        if in_class {
            match letter {
                '[' if letters.peek() != Some(&':') => return Err(Unreadable("`[` inside a class".into())),
                '&' | '-' | '~' if letters.peek() == Some(&letter) => {
                    return Err(Unreadable(format!("`{letter}{letter}` inside a class")));
                }
                ']' if previous != '[' && previous != '^' => in_class = false,
                ':' if letters.peek() == Some(&']') => {
                    letters.next();
                }
                _ => {}
            }
        } else {
            if letter == '+' && matches!(previous, '*' | '+' | '?' | '}') {
                return Err(Unreadable("a possessive repeat".into()));
            }
            in_class = letter == '[';
        }
        previous = letter;
    }
    Ok(())
}

fn build(nfa: &mut Nfa, hir: &Hir, from: u32) -> Result<u32, Unreadable> {
    if nfa.len() > NODES_MAX {
        return Err(Unreadable(format!("more than {NODES_MAX} steps")));
    }
    match hir.kind() {
        HirKind::Empty => Ok(from),
        HirKind::Literal(literal) => {
            let text =
                std::str::from_utf8(&literal.0).map_err(|_| Unreadable("bytes that are no text".into()))?;
            let mut at = from;
            for letter in text.chars() {
                let next = nfa.node(0);
                let letter = symbol(letter).unwrap_or_else(|| letter.into());
                nfa.edge(at, letter, letter + 1, next);
                at = next;
            }
            Ok(at)
        }
        HirKind::Class(class) => build_class(nfa, class, from),
        HirKind::Look(look) => {
            let next = nfa.node(0);
            match look {
                Look::Start => nfa.jump(from, next, When::AtStart),
                Look::End => nfa.jump(from, next, When::AtEnd),
                _ => return Err(Unreadable("a word or line boundary".into())),
            }
            Ok(next)
        }
        HirKind::Repetition(repetition) => repeat(nfa, repetition, from),
        HirKind::Capture(capture) => build(nfa, &capture.sub, from),
        HirKind::Concat(parts) => parts.iter().try_fold(from, |at, part| build(nfa, part, at)),
        HirKind::Alternation(parts) => {
            let end = nfa.node(0);
            for part in parts {
                let begin = nfa.node(0);
                nfa.jump(from, begin, When::Always);
                let last = build(nfa, part, begin)?;
                nfa.jump(last, end, When::Always);
            }
            Ok(end)
        }
    }
}

fn symbol(letter: char) -> Option<Letter> {
    let index = u32::from(letter).checked_sub(PLACEHOLDER)?;
    (index < SYMBOLS_MAX).then_some(SYMBOLS + index)
}

/// A symbol is a whole name: a class takes it if it takes whatever names are made of.
fn build_class(nfa: &mut Nfa, class: &Class, from: u32) -> Result<u32, Unreadable> {
    let Class::Unicode(class) = class else { return Err(Unreadable("a class of bytes".into())) };
    let next = nfa.node(0);
    let takes =
        |letter: char| class.ranges().iter().any(|range| (range.start()..=range.end()).contains(&letter));
    for range in class.ranges() {
        nfa.edge(from, u32::from(range.start()).max(FIRST), u32::from(range.end()) + 1, next);
    }
    if ('a'..='z').chain('A'..='Z').chain('0'..='9').chain("-_:.".chars()).all(takes) {
        nfa.edge(from, SYMBOLS, END, next);
    }
    Ok(next)
}

fn repeat(nfa: &mut Nfa, repetition: &Repetition, from: u32) -> Result<u32, Unreadable> {
    let mut at = from;
    for _ in 0..repetition.min {
        at = build(nfa, &repetition.sub, at)?;
    }
    let end = nfa.node(0);
    nfa.jump(at, end, When::Always);
    match repetition.max {
        None => {
            let last = build(nfa, &repetition.sub, end)?;
            nfa.jump(last, end, When::Always);
        }
        Some(max) => {
            for _ in repetition.min..max {
                at = build(nfa, &repetition.sub, at)?;
                nfa.jump(at, end, When::Always);
            }
        }
    }
    Ok(end)
}
