//! The query language of fleet indexing: what a text asks for, and whether something fits.
//!
//! Source: spec sheet `aws-iot-events.md`, section 5. Values are compared without case, names of fields with.
//! A field may have several values (groups of a thing); one that fits is enough. Ranges and `>` compare
//! numbers where both sides are numbers, else texts.

/// Terms of a query at most.
const TERMS_MAX: usize = 12;
/// Nesting at most.
const DEPTH_MAX: usize = 32;

/// A query, read.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Query {
    And(Vec<Query>),
    Or(Vec<Query>),
    Not(Box<Query>),
    /// A field, or any field, and what one of its values must be.
    Term(Option<String>, Test),
}

/// What a value must be.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Test {
    /// Characters, and wildcards: `None` is one character, `Some(None)` any number of them.
    Like(Vec<Piece>),
    /// Between two ends, each with whether it is part of the range; an end may be open.
    Between(Option<(String, bool)>, Option<(String, bool)>),
}

/// A piece of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// This character, in lower case.
    Is(char),
    /// One character.
    One,
    /// Any number of characters.
    Any,
}

/// Values of the field of that name, or of all fields.
pub(super) type Values<'a> = dyn Fn(Option<&str>) -> Vec<String> + 'a;

impl Query {
    /// Reads a query.
    ///
    /// # Errors
    /// What is wrong, with its place, counted in characters from 1.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut reader = Reader { text: text.chars().collect(), at: 0, terms: 0, leading: 0 };
        let query = reader.any_of(None, 0)?;
        match reader.peek() {
            None => Ok(query),
            Some(found) => Err(reader.wrong(&format!("found `{found}`; expected the end"))),
        }
    }

    /// Whether something with these values fits.
    pub(super) fn fits(&self, values: &Values<'_>) -> bool {
        match self {
            Self::And(all) => all.iter().all(|query| query.fits(values)),
            Self::Or(any) => any.iter().any(|query| query.fits(values)),
            Self::Not(query) => !query.fits(values),
            Self::Term(field, test) => values(field.as_deref()).iter().any(|value| test.fits(value)),
        }
    }

    /// The fields that are named.
    pub(super) fn fields(&self) -> Vec<&str> {
        match self {
            Self::And(all) | Self::Or(all) => all.iter().flat_map(Self::fields).collect(),
            Self::Not(query) => query.fields(),
            Self::Term(field, _) => field.as_deref().into_iter().collect(),
        }
    }
}

impl Test {
    fn fits(&self, value: &str) -> bool {
        match self {
            Self::Like(pieces) => {
                let value: Vec<char> = value.chars().flat_map(char::to_lowercase).collect();
                like(pieces, &value)
            }
            Self::Between(low, high) => {
                let within = |end: &Option<(String, bool)>, past: std::cmp::Ordering| {
                    end.as_ref().is_none_or(|(end, included)| match order(value, end) {
                        std::cmp::Ordering::Equal => *included,
                        found => found == past,
                    })
                };
                within(low, std::cmp::Ordering::Greater) && within(high, std::cmp::Ordering::Less)
            }
        }
    }
}

fn order(value: &str, end: &str) -> std::cmp::Ordering {
    match (value.parse::<f64>(), end.parse::<f64>()) {
        (Ok(value), Ok(end)) => value.total_cmp(&end),
        _ => value.to_lowercase().cmp(&end.to_lowercase()),
    }
}

/// Goes back to the last `*` alone, so that the time is at most the product of both lengths.
fn like(pieces: &[Piece], value: &[char]) -> bool {
    let (mut piece, mut at) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while let Some(found) = value.get(at) {
        match pieces.get(piece) {
            Some(Piece::Any) => {
                back = Some((piece, at));
                piece += 1;
                continue;
            }
            Some(Piece::One) => {}
            Some(Piece::Is(wanted)) if wanted == found => {}
            _ => match back {
                Some((any, from)) => {
                    back = Some((any, from + 1));
                    (piece, at) = (any + 1, from + 1);
                    continue;
                }
                None => return false,
            },
        }
        (piece, at) = (piece + 1, at + 1);
    }
    pieces.get(piece..).is_some_and(|rest| rest.iter().all(|piece| *piece == Piece::Any))
}

struct Reader {
    text: Vec<char>,
    at: usize,
    terms: usize,
    /// Terms with a wildcard at the start.
    leading: usize,
}

impl Reader {
    fn wrong(&self, what: &str) -> String {
        format!("at character {}: {what}", self.at + 1)
    }

    fn skip_spaces(&mut self) {
        while self.text.get(self.at).is_some_and(|c| c.is_whitespace()) {
            self.at += 1;
        }
    }

    fn peek(&mut self) -> Option<char> {
        self.skip_spaces();
        self.text.get(self.at).copied()
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    /// A word in capitals that stands alone.
    fn take_word(&mut self, word: &str) -> bool {
        self.skip_spaces();
        let end = self.at + word.len();
        let is = self.text.get(self.at..end).is_some_and(|found| found.iter().copied().eq(word.chars()));
        let alone = self.text.get(end).is_none_or(|c| c.is_whitespace() || "()[]{}".contains(*c));
        if is && alone {
            self.at = end;
        }
        is && alone
    }

    fn any_of(&mut self, field: Option<&str>, depth: usize) -> Result<Query, String> {
        if depth > DEPTH_MAX {
            return Err(self.wrong(&format!("more than {DEPTH_MAX} parentheses within each other")));
        }
        let mut any = vec![self.all_of(field, depth)?];
        while self.take_word("OR") {
            any.push(self.all_of(field, depth)?);
        }
        Ok(if any.len() == 1 { any.remove(0) } else { Query::Or(any) })
    }

    fn all_of(&mut self, field: Option<&str>, depth: usize) -> Result<Query, String> {
        let mut all = vec![self.one(field, depth)?];
        loop {
            let said = self.take_word("AND");
            let before = self.at;
            let ends = matches!(self.peek(), None | Some(')')) || self.take_word("OR");
            self.at = before;
            match (said, ends) {
                (true, true) => return Err(self.wrong("`AND` is followed by nothing")),
                (false, true) => return Ok(if all.len() == 1 { all.remove(0) } else { Query::And(all) }),
                (_, false) => all.push(self.one(field, depth)?),
            }
        }
    }

    fn one(&mut self, field: Option<&str>, depth: usize) -> Result<Query, String> {
        if self.take_word("NOT") || self.take('-') {
            if depth > DEPTH_MAX {
                return Err(self.wrong("too many negations"));
            }
            return Ok(Query::Not(Box::new(self.one(field, depth + 1)?)));
        }
        if self.take('(') {
            let inner = self.any_of(field, depth + 1)?;
            return if self.take(')') { Ok(inner) } else { Err(self.wrong("expected `)`")) };
        }
        self.term(field, depth)
    }

    /// `value`, `field:value`, `field>5`, `field:(a b)`, `field:[1 TO 5]`.
    fn term(&mut self, field: Option<&str>, depth: usize) -> Result<Query, String> {
        if field.is_none() && self.peek() != Some('"') {
            let start = self.at;
            let name: String = self.pieces(":<>")?.iter().map(|(c, _)| *c).collect();
            match self.text.get(self.at) {
                Some(':') if !name.is_empty() => {
                    self.at += 1;
                    return self.value(&name, depth);
                }
                Some('<' | '>') if !name.is_empty() => return self.comparison(&name),
                _ => self.at = start,
            }
        }
        self.count()?;
        let test = self.pattern()?;
        Ok(Query::Term(field.map(str::to_owned), test))
    }

    fn count(&mut self) -> Result<(), String> {
        self.terms += 1;
        if self.terms > TERMS_MAX {
            return Err(self.wrong(&format!("more than {TERMS_MAX} terms")));
        }
        Ok(())
    }

    fn value(&mut self, name: &str, depth: usize) -> Result<Query, String> {
        match self.peek() {
            Some('(') => {
                self.at += 1;
                let inner = self.any_of(Some(name), depth + 1)?;
                if self.take(')') { Ok(inner) } else { Err(self.wrong("expected `)`")) }
            }
            Some('[' | '{') => {
                self.count()?;
                Ok(Query::Term(Some(name.to_owned()), self.range()?))
            }
            _ => {
                self.count()?;
                Ok(Query::Term(Some(name.to_owned()), self.pattern()?))
            }
        }
    }

    fn comparison(&mut self, name: &str) -> Result<Query, String> {
        self.count()?;
        let below = self.take('<');
        if !below {
            self.at += 1;
        }
        let included = self.text.get(self.at) == Some(&'=');
        self.at += usize::from(included);
        self.skip_spaces();
        let end: String = self.pieces("")?.into_iter().map(|(c, _)| c).collect();
        if end.parse::<f64>().is_err() {
            return Err(self.wrong(&format!("found `{end}`; expected a number")));
        }
        let end = Some((end, included));
        let test = if below { Test::Between(None, end) } else { Test::Between(end, None) };
        Ok(Query::Term(Some(name.to_owned()), test))
    }

    fn range(&mut self) -> Result<Test, String> {
        let low_included = self.text.get(self.at) == Some(&'[');
        self.at += 1;
        let low = self.range_end()?;
        if !self.take_word("TO") {
            return Err(self.wrong("expected `TO`"));
        }
        let high = self.range_end()?;
        let high_included = match self.peek() {
            Some(']') => true,
            Some('}') => false,
            _ => return Err(self.wrong("expected `]` or `}`")),
        };
        self.at += 1;
        let end = |text: String, included: bool| (text != "*").then_some((text, included));
        Ok(Test::Between(end(low, low_included), end(high, high_included)))
    }

    fn range_end(&mut self) -> Result<String, String> {
        self.skip_spaces();
        let end: String = self.pieces("")?.into_iter().map(|(c, _)| c).collect();
        if end.is_empty() { Err(self.wrong("expected an end of the range")) } else { Ok(end) }
    }

    /// A phrase in quotes, which is taken as it stands, or a word with wildcards.
    fn pattern(&mut self) -> Result<Test, String> {
        if self.take('"') {
            let start = self.at;
            while self.text.get(self.at).is_some_and(|c| *c != '"') {
                self.at += 1;
            }
            let phrase: String = self.text.get(start..self.at).unwrap_or_default().iter().collect();
            if !self.take('"') {
                return Err(self.wrong("expected `\"`"));
            }
            return Ok(Test::Like(phrase.to_lowercase().chars().map(Piece::Is).collect()));
        }
        let word = self.pieces("")?;
        if word.is_empty() {
            return Err(match self.peek() {
                Some(found) => self.wrong(&format!("found `{found}`; expected a value")),
                None => self.wrong("the query ends where a value is expected"),
            });
        }
        let mut pieces = Vec::with_capacity(word.len());
        for (c, escaped) in word {
            match c {
                '*' if !escaped => pieces.push(Piece::Any),
                '?' if !escaped => pieces.push(Piece::One),
                _ => pieces.extend(c.to_lowercase().map(Piece::Is)),
            }
        }
        let leads = matches!(pieces.first(), Some(Piece::Any | Piece::One)) && pieces != [Piece::Any];
        self.leading += usize::from(leads);
        if self.leading > 1 {
            return Err(self.wrong("more than one term begins with a wildcard"));
        }
        Ok(Test::Like(pieces))
    }

    /// Characters up to a space, a bracket or one of `stops`, each with whether it was escaped.
    fn pieces(&mut self, stops: &str) -> Result<Vec<(char, bool)>, String> {
        self.skip_spaces();
        let mut found = Vec::new();
        while let Some(&c) = self.text.get(self.at) {
            if c == '\\' {
                let Some(&escaped) = self.text.get(self.at + 1) else {
                    return Err(self.wrong("`\\` is followed by nothing"));
                };
                found.push((escaped, true));
                self.at += 2;
            } else if c.is_whitespace() || "()[]{}\"".contains(c) || stops.contains(c) {
                break;
            } else {
                found.push((c, false));
                self.at += 1;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const THING: &[(&str, &str)] = &[
        ("thingName", "Pump-17"),
        ("attributes.site", "North Hall"),
        ("attributes.rpm", "80"),
        ("thingGroupNames", "lab"),
        ("thingGroupNames", "plant:a"),
    ];

    fn fits(query: &str) -> Result<bool, String> {
        let values = |field: Option<&str>| {
            let wanted = THING.iter().filter(|(name, _)| field.is_none_or(|field| field == *name));
            wanted.map(|(_, value)| (*value).to_owned()).collect()
        };
        Query::read(query).map(|query| query.fits(&values))
    }

    #[test]
    fn what_fits() {
        for (query, expected) in [
            ("thingName:pump-17", true),
            ("thingName:PUMP-1", false),
            ("thingname:pump-17", false),
            ("thingName:pump*", true),
            ("thingName:p?mp-1?", true),
            ("thingName:*17", true),
            ("thingName:*", true),
            ("attributes.none:*", false),
            ("lab", true),
            ("labs", false),
            ("attributes.site:\"north hall\"", true),
            ("attributes.site:north", false),
            ("attributes.site:north\\ hall", true),
            ("thingGroupNames:plant\\:a", true),
            ("thingGroupNames:(lab \"plant:a\")", true),
            ("thingGroupNames:(lab AND x)", false),
            ("thingGroupNames:(x OR lab)", true),
            ("attributes.rpm:[80 TO 90]", true),
            ("attributes.rpm:{80 TO 90]", false),
            ("attributes.rpm:[9 TO 80}", false),
            ("attributes.rpm:[9 TO *]", true),
            ("attributes.rpm>79", true),
            ("attributes.rpm>80", false),
            ("attributes.rpm>=80", true),
            ("attributes.rpm<100", true),
            ("attributes.rpm<=79.5", false),
            ("thingName:[a TO q]", true),
            ("thingName:x OR lab", true),
            ("thingName:x lab", false),
            ("thingName:x AND lab OR lab", true),
            ("lab AND (thingName:x OR thingName:pump-17)", true),
            ("NOT thingName:x", true),
            ("lab -thingName:pump-17", false),
            ("NOT NOT lab", true),
            ("NOTHING", false),
        ] {
            assert_eq!(fits(query), Ok(expected), "{query}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_place() {
        for (query, expected) in [
            ("", "at character 1: the query ends where a value is expected"),
            ("a AND", "at character 6: `AND` is followed by nothing"),
            ("a OR", "at character 5: the query ends where a value is expected"),
            ("(a", "at character 3: expected `)`"),
            ("a)", "at character 2: found `)`; expected the end"),
            ("a:[1 5]", "at character 6: expected `TO`"),
            ("a:[1 TO 5", "at character 10: expected `]` or `}`"),
            ("a>b", "at character 4: found `b`; expected a number"),
            ("a:\"b", "at character 5: expected `\"`"),
            ("a\\", "at character 2: `\\` is followed by nothing"),
            ("*a *b", "at character 6: more than one term begins with a wildcard"),
        ] {
            assert_eq!(Query::read(query).unwrap_err(), expected, "{query}");
        }
        let terms = |n: usize| Query::read(&vec!["a"; n].join(" ")).is_ok();
        assert!(terms(TERMS_MAX) && !terms(TERMS_MAX + 1));
        assert!(Query::read(&"(".repeat(100_000)).is_err() && Query::read(&"-".repeat(100_000)).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-c:()\\[\\]{}*?\"\\\\ TONDAR<>=-]{0,40}") {
            if let Ok(query) = Query::read(&text) {
                query.fits(&|_| vec!["ab".into()]);
            }
        }

        #[test]
        fn patterns_fit_as_the_naive_rule_says(pattern in "[ab*?]{0,7}", value in "[ab]{0,8}") {
            fn naive(pattern: &[Piece], value: &[char]) -> bool {
                match pattern.split_first() {
                    None => value.is_empty(),
                    Some((Piece::Any, rest)) => (0..=value.len()).any(|n| naive(rest, &value[n..])),
                    Some((piece, rest)) => value.split_first().is_some_and(|(first, others)| {
                        (*piece == Piece::One || *piece == Piece::Is(*first)) && naive(rest, others)
                    }),
                }
            }
            let pieces: Vec<Piece> = pattern.chars().map(|c| match c {
                '*' => Piece::Any,
                '?' => Piece::One,
                c => Piece::Is(c),
            }).collect();
            let value: Vec<char> = value.chars().collect();
            prop_assert_eq!(like(&pieces, &value), naive(&pieces, &value));
        }
    }
}
