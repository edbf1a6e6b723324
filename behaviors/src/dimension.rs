//! Dimensions: topic filters that narrow a metric, matched once for each message.
//!
//! Filters follow MQTT 5, section 4.7: `+` stands for one level, `#` for the rest and for the level
//! before it, and a wildcard in the first level does not match a topic that begins with `$`.
//! `${iot:ClientId}` stands for the client id, whatever characters that has.

use std::{fmt::Write as _, sync::Arc};

/// Most dimensions (quota), and so bits of a mask.
pub const DIMENSIONS_MAX: usize = 10;
/// Marks that a topic is known. Without one, a message is neither in a dimension nor outside it.
const KNOWN: u16 = 1 << 15;
/// The variable that stands for the client id.
const CLIENT: &str = "${iot:ClientId}";

/// A topic filter, ready to be matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    text: Box<str>,
    levels: Vec<Level>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Level {
    Text(Box<str>),
    /// Text with the client id in it: what is before each client id, and what is after the last.
    Client(Vec<Box<str>>),
    Plus,
    Hash,
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let mut levels = Vec::with_capacity(parts.len());
        for (index, part) in parts.iter().enumerate() {
            let rest = part.replace(CLIENT, "");
            levels.push(match *part {
                "+" => Level::Plus,
                "#" if index + 1 == parts.len() => Level::Hash,
                "#" => return Err("`#` stands for all levels that follow and must be the last".into()),
                _ if rest.contains(['+', '#']) => {
                    return Err(format!("`+` and `#` must be a level of their own, not part of `{part}`"));
                }
                _ if rest.contains("${") => {
                    return Err(format!("the only variable is `{CLIENT}`; `{part}` has another"));
                }
                _ if part.contains(CLIENT) => Level::Client(part.split(CLIENT).map(Box::from).collect()),
                _ => Level::Text((*part).into()),
            });
        }
        Ok(Self { text: text.into(), levels })
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether `topic` of a message of `client` matches.
    #[must_use]
    pub fn matches(&self, topic: &str, client: &str) -> bool {
        let hidden = topic.starts_with('$');
        if hidden && matches!(self.levels.first(), Some(Level::Plus | Level::Hash)) {
            return false;
        }
        // What is left of the topic; nothing when its last level has been matched.
        let mut rest = Some(topic);
        for level in &self.levels {
            if matches!(level, Level::Hash) {
                return true;
            }
            let Some(now) = rest else { return false };
            let Some(after) = level.strip(now, client) else { return false };
            rest = match after.as_bytes().first() {
                None => None,
                Some(b'/') => after.get(1..),
                Some(_) => return false,
            };
        }
        rest.is_none()
    }

    fn has_client(&self) -> bool {
        self.levels.iter().any(|level| matches!(level, Level::Client(_)))
    }
}

impl Level {
    /// The topic without this level at its begin, if it is there.
    fn strip<'t>(&self, topic: &'t str, client: &str) -> Option<&'t str> {
        match self {
            Self::Text(text) => topic.strip_prefix(&**text),
            Self::Client(texts) => {
                let (first, others) = texts.split_first()?;
                let begin = topic.strip_prefix(&**first)?;
                others.iter().try_fold(begin, |rest, text| rest.strip_prefix(client)?.strip_prefix(&**text))
            }
            Self::Plus => topic.get(topic.find('/').unwrap_or(topic.len())..),
            Self::Hash => Some(""),
        }
    }
}

/// A dimension: a name for some topic filters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DimensionFilters {
    /// Name.
    pub name: Arc<str>,
    /// A message is in the dimension if one of them matches.
    pub filters: Vec<Filter>,
}

impl DimensionFilters {
    /// The filters as one text, part of the fingerprint of what they narrow.
    #[must_use]
    pub fn canonical(&self) -> String {
        let mut text = String::from(&*self.name);
        for filter in &self.filters {
            // Writing to a text cannot fail.
            write!(text, " {:?}", filter.text()).unwrap_or_default();
        }
        text
    }
}

/// In which of the dimensions a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mask(pub u16);

/// The dimensions that behaviors use, by bit of the mask.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dimensions(Vec<DimensionFilters>);

impl Dimensions {
    /// From dimensions in order; those past [`DIMENSIONS_MAX`] were refused when they were read.
    #[must_use]
    pub fn new(mut dimensions: Vec<DimensionFilters>) -> Self {
        dimensions.truncate(DIMENSIONS_MAX);
        Self(dimensions)
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a filter has the client id in it.
    #[must_use]
    pub fn has_client(&self) -> bool {
        self.0.iter().any(|dimension| dimension.filters.iter().any(Filter::has_client))
    }

    /// The bit of a dimension.
    #[must_use]
    pub fn bit(&self, name: &str) -> Option<u8> {
        let at = self.0.iter().position(|dimension| &*dimension.name == name);
        at.and_then(|at| u8::try_from(at).ok())
    }

    /// The dimension of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&DimensionFilters> {
        self.0.iter().find(|dimension| &*dimension.name == name)
    }

    /// In which dimensions a message of `client` on `topic` is; an empty topic is not known.
    #[must_use]
    pub fn mask(&self, topic: &str, client: &str) -> Mask {
        if topic.is_empty() {
            return Mask::default();
        }
        let is_in = |dimension: &DimensionFilters| dimension.filters.iter().any(|f| f.matches(topic, client));
        let bits = self.0.iter().enumerate().filter(|(_, dimension)| is_in(dimension));
        Mask(bits.fold(KNOWN, |mask, (bit, _)| mask | 1 << bit))
    }
}

/// How a behavior is narrowed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Narrowed {
    /// Name of the dimension.
    pub name: Arc<str>,
    /// Bit of the dimension.
    pub bit: u8,
    /// What is in none of its filters counts.
    pub negated: bool,
}

impl Narrowed {
    /// Whether a message counts.
    #[must_use]
    #[inline]
    pub const fn counts(&self, mask: Mask) -> bool {
        mask.0 & KNOWN != 0 && (mask.0 >> self.bit & 1 == 1) != self.negated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_as_mqtt_says() {
        // filter | client | topics that match | topics that do not
        let table = "
            a | c | a | b a/ /a a/b
            a/+ | c | a/b a/ | a a/b/c b/a
            + | c | a | a/b /a $SYS
            +/b | c | a/b /b | a/b/ b $SYS/b
            /+ | c | /a / | a a/b
            a/# | c | a a/ a/b a/b/c | b ab b/a
            # | c | a a/b / /a | $SYS $SYS/x
            $SYS/# | c | $SYS $SYS/broker | SYS a
            a/+/c | c | a/b/c a//c | a/c a/b/d a/b/c/d
            dev/${iot:ClientId}/up | d1 | dev/d1/up | dev/d2/up dev/d1 dev/d1/up/x dev//up
            dev/x-${iot:ClientId}-y/# | d1 | dev/x-d1-y dev/x-d1-y/z | dev/x-d1 dev/x-d1-yy
            ${iot:ClientId}/${iot:ClientId} | d | d/d | d/e d
            ${iot:ClientId}${iot:ClientId} | ab | abab | ab aba
            dev/${iot:ClientId}/up | a/b | dev/a/b/up | dev/a/up
            dev/${iot:ClientId} | + | dev/+ | dev/a
            dev/${iot:ClientId} | # | dev/# | dev/a";
        for row in table.lines().map(str::trim).filter(|row| !row.is_empty()) {
            let columns: Vec<&str> = row.split('|').map(str::trim).collect();
            let filter = Filter::parse(columns[0]).unwrap();
            for topic in columns[2].split_whitespace() {
                assert!(filter.matches(topic, columns[1]), "{row}: {topic}");
            }
            for topic in columns[3].split_whitespace() {
                assert!(!filter.matches(topic, columns[1]), "{row}: {topic}");
            }
        }
    }

    #[test]
    fn filters_that_are_none_say_why() {
        for (text, part) in [
            ("a#", "part of `a#`"),
            ("a/#/b", "must be the last"),
            ("a+/b", "part of `a+`"),
            ("${iot:Thing}", "only variable"),
        ] {
            let error = Filter::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_message_counts_in_or_outside_but_not_without_a_topic() {
        let filters = |names: &[&str]| names.iter().map(|name| Filter::parse(name).unwrap()).collect();
        let dimensions = Dimensions::new(vec![
            DimensionFilters { name: "up".into(), filters: filters(&["dev/+/up", "x"]) },
            DimensionFilters { name: "own".into(), filters: filters(&["dev/${iot:ClientId}/#"]) },
        ]);
        let narrowed =
            |name: &str, negated| Narrowed { name: name.into(), bit: dimensions.bit(name).unwrap(), negated };
        let check = |topic: &str, client: &str, expected: [bool; 4]| {
            let mask = dimensions.mask(topic, client);
            let found = [("up", false), ("up", true), ("own", false), ("own", true)]
                .map(|(name, negated)| narrowed(name, negated).counts(mask));
            assert_eq!(found, expected, "{topic} {client}");
        };
        check("dev/a/up", "a", [true, false, true, false]);
        check("dev/a/up", "b", [true, false, false, true]);
        check("x", "b", [true, false, false, true]);
        check("dev/b/down", "b", [false, true, true, false]);
        check("", "b", [false; 4]);
        assert!(dimensions.has_client() && !dimensions.is_empty());
    }
}
