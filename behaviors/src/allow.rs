//! The manufacturer's allow list: which things there are.

/// Most entries of an allow list.
pub const ENTRIES_MAX: usize = 1_000_000;
/// Most entries with a wildcard: each is tried for each new session.
pub const PATTERNS_MAX: usize = 1_000;

/// Names and patterns of things that are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowList {
    /// INVARIANT: in order.
    names: Vec<Box<str>>,
    patterns: Vec<Box<str>>,
    /// Things of the registry are known too.
    pub registered: bool,
}

impl AllowList {
    /// From names and patterns, in which `*` stands for any characters.
    #[must_use]
    pub fn new(entries: impl IntoIterator<Item = Box<str>>, registered: bool) -> Self {
        let (patterns, mut names): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|entry| entry.contains('*'));
        names.sort_unstable();
        names.dedup();
        Self { names, patterns, registered }
    }

    /// Puts another list to it.
    pub fn extend(&mut self, other: Self) {
        self.names.extend(other.names);
        self.names.sort_unstable();
        self.names.dedup();
        self.patterns.extend(other.patterns);
        self.registered |= other.registered;
    }

    /// Whether a thing is on it; whether it is registered is for the caller to say.
    #[must_use]
    pub fn contains(&self, thing: &str, is_registered: impl FnOnce() -> bool) -> bool {
        self.names.binary_search_by(|name| (**name).cmp(thing)).is_ok()
            || self.patterns.iter().any(|pattern| matches(pattern, thing))
            || self.registered && is_registered()
    }
}

/// Whether `text` fits a pattern in which `*` stands for any characters, none included.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_patterns_and_the_registry_are_known() {
        let entries = ["pump-1", "valve-*", "*-test", "a*b*c"].map(Box::from);
        let mut list = AllowList::new(entries, false);
        let known = |list: &AllowList, thing: &str| list.contains(thing, || thing == "registered");
        for (thing, expected) in [
            ("pump-1", true),
            ("pump-10", false),
            ("pump", false),
            ("valve-", true),
            ("valve-x", true),
            ("valve", false),
            ("my-test", true),
            ("my-test-2", false),
            ("abc", true),
            ("axxbyyc", true),
            ("acb", false),
            ("ab", false),
            ("registered", false),
            ("", false),
        ] {
            assert_eq!(known(&list, thing), expected, "{thing}");
        }
        list.extend(AllowList::new([Box::from("lamp")], true));
        assert!(known(&list, "lamp") && known(&list, "registered") && known(&list, "pump-1"));
    }
}
