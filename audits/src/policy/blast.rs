//! Blast radius: how many things somebody could read from or write to, and which.
//!
//! A policy is analysed once, for whoever has it: the set of topics it allows is turned into the set
//! of *thing names* for which a topic of the thing's templates is in it. That set is an automaton
//! again, and it walks the sorted list of names: a beginning from which every name is reached counts
//! as a whole, by subtraction of two places in the list; one from which none is reached is left out.
//! So a policy with `*` or with a fixed prefix costs some comparisons whatever the size of the fleet.
//! One whose wildcard stands before the end of the name costs a walk over the names, in which each
//! begins where it differs from the one before. A variable stands for the device itself, and is no
//! other thing.

use super::{
    check::Template,
    form::{Action, Document, Subject, System, Undecided},
    lang::{DEAD, Dfa, Letter, Nfa, Pattern, Row, SYMBOLS, State, Token, TooLarge},
};

/// Names listed of those reached, at most; the number counts all.
pub const LISTED_MAX: usize = 20;
/// Pairs of states looked at for one template at most.
const PAIRS_MAX: usize = 4_000_000;
/// Ranges up to so many names are walked through one by one.
const FEW: usize = 1_024;

/// The names of all things, sorted. 5 bytes and the name for each.
#[derive(Clone, Debug, Default)]
pub struct Things {
    text: String,
    /// Where each name ends in `text`.
    ends: Vec<u32>,
    /// How many bytes each name shares with the one before, at a boundary of characters; 255 at most.
    alike: Vec<u8>,
    longest: usize,
    /// Names that found no room: past 4 GiB of text.
    left_out: usize,
}

impl Things {
    /// Takes names in any order; repeated ones count once.
    #[must_use]
    pub fn new(mut names: Vec<String>) -> Self {
        names.sort_unstable();
        names.dedup();
        Self::from_sorted(names.iter().map(String::as_str))
    }

    /// Takes names in ascending order of their bytes, without repetition.
    pub fn from_sorted<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let mut things = Self::default();
        let mut before = "";
        for name in names {
            let end = u32::try_from(things.text.len() + name.len());
            match end {
                Ok(end) => {
                    things.text.push_str(name);
                    things.ends.push(end);
                    things.alike.push(u8::try_from(alike(before, name, 255)).unwrap_or(0));
                    things.longest = things.longest.max(name.len());
                    before = name;
                }
                Err(_) => things.left_out += 1,
            }
        }
        things.text.shrink_to_fit();
        things.ends.shrink_to_fit();
        things
    }

    /// How many things there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Names that found no room and are counted nowhere.
    #[must_use]
    pub const fn left_out(&self) -> usize {
        self.left_out
    }

    fn alike(&self, index: usize) -> usize {
        self.alike.get(index).map_or(0, |alike| usize::from(*alike))
    }

    /// The name at a place of the list.
    fn name(&self, index: usize) -> &str {
        let end = self.ends.get(index).map_or(0, |end| *end as usize);
        let start =
            index.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |end| *end as usize);
        self.text.get(start..end).unwrap_or_default()
    }
}

/// The things that are reached.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Reached {
    /// How many, the device itself aside if it is known by a variable only.
    pub things: usize,
    /// The first of them by name, [`LISTED_MAX`] at most.
    pub listed: Vec<String>,
    /// The device itself, by a policy variable.
    pub itself: bool,
}

/// What somebody could do to the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blast {
    /// Things some of whose topics can be read, or whose shadow or jobs.
    pub read: Result<Reached, Undecided>,
    /// Things to some of whose topics can be published, or whose shadow or jobs can be changed.
    pub write: Result<Reached, Undecided>,
    /// Things under whose names a connection can be made, which throws the thing itself out.
    pub connect: Result<Reached, Undecided>,
}

const READING: [Action; 5] = [
    Action::GetThingShadow,
    Action::DescribeJobExecution,
    Action::GetPendingJobExecutions,
    Action::OldDescribeJobExecution,
    Action::OldGetPendingJobExecutions,
];
const WRITING: [Action; 6] = [
    Action::UpdateThingShadow,
    Action::DeleteThingShadow,
    Action::StartNextPendingJobExecution,
    Action::UpdateJobExecution,
    Action::OldStartNextPendingJobExecution,
    Action::OldUpdateJobExecution,
];

/// The blast radius of a subject in a fleet whose topics lie where the templates say.
#[must_use]
pub fn blast_radius(
    document: &Document,
    subject: &Subject,
    things: &Things,
    templates: &[Template],
) -> Blast {
    let access = document.access(subject);
    let shadows = |actions: &[Action]| -> Result<Vec<Dfa>, Undecided> {
        if document.system != System::AwsIot {
            return Ok(Vec::new());
        }
        let values = document.values(subject);
        actions
            .iter()
            .filter(|action| document.speaks_of(subject, **action))
            .map(|action| document.language(subject, *action, &values))
            .collect()
    };
    let names = |topics: &Result<Dfa, Undecided>, actions: &[Action]| {
        let topics = topics.as_ref().map_err(|reason| *reason)?;
        let mut names = Dfa::nothing();
        for template in templates {
            names = either(names, names_of(topics, template)?)?;
        }
        let whole = Template { before: Vec::new(), after: vec![Token::Rest] };
        for words in shadows(actions)? {
            names = either(names, names_of(&words, &whole)?)?;
        }
        Ok(names)
    };
    let (reads, writes) = (names(&access.read, &READING), names(&access.publish, &WRITING));
    let counted = |names: &Result<Dfa, Undecided>| {
        names.as_ref().map_err(|reason| *reason).map(|names| count(names, things))
    };
    let read = counted(&reads);
    // Mostly the same things are read and written; they are counted once.
    let same = matches!((&reads, &writes), (Ok(a), Ok(b)) if a.find(b, |a, b| a != b) == Ok(None));
    let write = if same { read.clone() } else { counted(&writes) };
    Blast { read, write, connect: counted(&access.connect) }
}

fn either(a: Dfa, b: Dfa) -> Result<Dfa, TooLarge> {
    if a.start() == DEAD {
        return Ok(b);
    }
    if b.start() == DEAD { Ok(a) } else { a.or(&b) }
}

/// The names for which some word of the template is in the set.
pub(crate) fn names_of(words: &Dfa, template: &Template) -> Result<Dfa, TooLarge> {
    let before = template.before.iter().map(|token| match token {
        Token::Letter(letter) => *letter,
        _ => 0,
    });
    let start = words.run(words.start(), before);
    if start == DEAD {
        return Ok(Dfa::nothing());
    }
    let mut nfa = Nfa::default();
    nfa.add(&Pattern::of(template.after.clone()), 0);
    let after = nfa.determinize(|tag| tag.is_some())?;
    let good = from_where(words, &after)?;
    Ok(words.rooted(start, &good))
}

/// For each state of `words`, whether a word of `after` leads from there to acceptance.
fn from_where(words: &Dfa, after: &Dfa) -> Result<Vec<bool>, TooLarge> {
    let (rows, width) = (words.rows().len(), after.rows().len());
    if rows.saturating_mul(width) > PAIRS_MAX {
        return Err(TooLarge);
    }
    let mut good = vec![false; rows * width];
    let mut back: Vec<Vec<usize>> = vec![Vec::new(); rows * width];
    let mut stack = Vec::new();
    for (state, index) in (0..).zip(0..rows) {
        for (other, column) in (0..).zip(0..width) {
            let here = index * width + column;
            if words.accepts_at(state) && after.accepts_at(other) {
                stack.push(here);
            }
            words.joined(after, (state, other), |_, (to, next): (State, State)| {
                if to != DEAD
                    && next != DEAD
                    && let Some(sources) = back.get_mut(to as usize * width + next as usize)
                {
                    sources.push(here);
                }
            });
        }
    }
    while let Some(at) = stack.pop() {
        let Some(mark) = good.get_mut(at) else { continue };
        if !std::mem::replace(mark, true) {
            stack.extend(back.get(at).into_iter().flatten());
        }
    }
    let start = after.start() as usize;
    Ok((0..rows).map(|index| good.get(index * width + start).copied().unwrap_or(false)).collect())
}

/// The names of the list that are in the set.
pub(crate) fn count(names: &Dfa, things: &Things) -> Reached {
    let symbols = SYMBOLS..crate::policy::lang::END;
    let itself = symbols.into_iter().any(|symbol| names.contains_word([symbol]));
    let names = names.minimal();
    let walk = Walk::new(&names, things);
    let mut reached = Reached { itself, ..Reached::default() };
    walk.all(&mut reached);
    reached
}

struct Walk<'w> {
    names: &'w Dfa,
    things: &'w Things,
    fates: Vec<Fate>,
    /// Steps on ASCII, 128 for each state: four times the next state, and what it says in the last
    /// bits (see [`code`]). None as long as few names are walked through, or if there are too many
    /// states.
    table: Vec<u32>,
    /// Names walked through so far.
    walked: usize,
}

/// What a state says about the names that go on from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// None is reached.
    None,
    /// All are reached.
    All,
    /// That depends; whether the name that ends here is reached.
    Open(bool),
}

/// States up to which a table of steps is made: 512 bytes for each.
const TABLE_MAX: usize = 2_000;

/// A state with its fate: bit 1 is whether it is open, bit 0 whether the name is reached.
const fn code(state: State, fate: Fate) -> u32 {
    state << 2
        | match fate {
            Fate::None => 0,
            Fate::All => 1,
            Fate::Open(false) => 2,
            Fate::Open(true) => 3,
        }
}

impl<'w> Walk<'w> {
    fn new(names: &'w Dfa, things: &'w Things) -> Self {
        let alive = names.reaching(|row| row.accept);
        let open = names.reaching(|row| !row.accept);
        let fate = |((row, alive), open): ((&Row, bool), bool)| match (alive, open) {
            (false, _) => Fate::None,
            (true, false) => Fate::All,
            (true, true) => Fate::Open(row.accept),
        };
        let fates = names.rows().iter().zip(alive).zip(open).map(fate).collect();
        Self { names, things, fates, table: Vec::new(), walked: 0 }
    }

    fn fate(&self, state: State) -> Fate {
        self.fates.get(state as usize).copied().unwrap_or(Fate::None)
    }

    fn run(&self, state: State, text: &str) -> State {
        self.names.run(state, text.chars().map(Letter::from))
    }

    /// Goes through ranges of names that begin alike, in the order of the list.
    fn all(mut self, reached: &mut Reached) {
        let mut stack = vec![(0, self.things.len(), 0, self.names.start())];
        while let Some((from, to, depth, state)) = stack.pop() {
            match self.fate(state) {
                _ if from >= to => {}
                Fate::None => {}
                Fate::All => self.take(from, to, reached),
                Fate::Open(_) if to - from <= FEW => self.one_by_one((from, to, depth, state), reached),
                Fate::Open(_) => {
                    let alike = depth + alike(self.rest(from, depth), self.rest(to - 1, depth), usize::MAX);
                    if alike > depth {
                        let shared = self.things.name(from).get(depth..alike).unwrap_or_default();
                        stack.push((from, to, alike, self.run(state, shared)));
                    } else {
                        self.branch((from, to, depth, state), &mut stack, reached);
                    }
                }
            }
        }
    }

    fn rest(&self, index: usize, depth: usize) -> &'w str {
        self.things.name(index).get(depth..).unwrap_or_default()
    }

    /// Walks through a range, each name from where it differs from the one before.
    fn one_by_one(&mut self, (from, to, depth, state): (usize, usize, usize, State), reached: &mut Reached) {
        self.walked += to - from;
        if self.walked > FEW && self.table.is_empty() && self.names.rows().len() <= TABLE_MAX {
            self.fill_table();
        }
        // The state before each byte of the name at hand, with its fate.
        let mut codes = vec![0; self.things.longest + 1];
        if let Some(first) = codes.get_mut(depth) {
            *first = code(state, self.fate(state));
        }
        // From which byte on nothing depends on the rest any more.
        let mut settled: Option<(usize, bool)> = None;
        for index in from..to {
            let alike = if index == from { depth } else { self.things.alike(index).max(depth) };
            let yes = match settled {
                Some((at, yes)) if alike >= at => yes,
                _ => {
                    let (at, code) = self.walk(self.things.name(index), alike, &mut codes);
                    settled = (code & 2 == 0).then_some((at, code & 1 == 1));
                    code & 1 == 1
                }
            };
            if yes {
                self.take(index, index + 1, reached);
            }
        }
    }

    /// Goes on with a name from a byte, to its end or to where nothing depends on the rest: there,
    /// and the state with its fate.
    fn walk(&self, name: &str, from: usize, codes: &mut [u32]) -> (usize, u32) {
        let bytes = name.as_bytes();
        let mut at = from;
        let mut here = codes.get(at).copied().unwrap_or(0);
        while here & 2 != 0
            && let Some(&byte) = bytes.get(at)
        {
            match self.table.get((here >> 2) as usize * 128 + usize::from(byte)) {
                Some(to) if byte < 128 => {
                    here = *to;
                    at += 1;
                }
                _ => {
                    let Some(letter) = name.get(at..).and_then(|rest| rest.chars().next()) else { break };
                    let state = self.names.step(here >> 2, letter.into());
                    here = code(state, self.fate(state));
                    at += letter.len_utf8();
                }
            }
            if let Some(place) = codes.get_mut(at) {
                *place = here;
            }
        }
        (at, here)
    }

    /// Splits a range by the next letter.
    fn branch(
        &self,
        (mut from, to, depth, state): (usize, usize, usize, State),
        stack: &mut Vec<(usize, usize, usize, State)>,
        reached: &mut Reached,
    ) {
        if self.things.name(from).len() == depth {
            if self.names.accepts_at(state) {
                self.take(from, from + 1, reached);
            }
            from += 1;
        }
        let mut parts = Vec::new();
        while from < to {
            let Some(letter) = self.things.name(from).get(depth..).and_then(|rest| rest.chars().next())
            else {
                break;
            };
            let is_same = |index: usize| {
                self.things.name(index).get(depth..).is_some_and(|rest| rest.starts_with(letter))
            };
            let end = partition(from, to, is_same);
            parts.push((from, end, depth + letter.len_utf8(), self.names.step(state, letter.into())));
            from = end;
        }
        stack.extend(parts.into_iter().rev());
    }

    fn take(&self, from: usize, to: usize, reached: &mut Reached) {
        reached.things += to - from;
        let room = LISTED_MAX.saturating_sub(reached.listed.len());
        reached.listed.extend((from..to).take(room).map(|index| self.things.name(index).to_owned()));
    }

    #[expect(clippy::cast_possible_truncation, reason = "states are bounded by STATES_MAX")]
    fn fill_table(&mut self) {
        let states = self.names.rows().len();
        let mut table = Vec::with_capacity(states * 128);
        for state in 0..states {
            table.extend((0..128).map(|letter| {
                let to = self.names.step(state as State, letter);
                code(to, self.fate(to))
            }));
        }
        self.table = table;
    }
}

/// The first place from which `is_same` is false; it is true before and false after.
fn partition(from: usize, to: usize, is_same: impl Fn(usize) -> bool) -> usize {
    // Doubling first: neighbours are mostly near.
    let (mut low, mut width) = (from, 1);
    while low + width < to && is_same(low + width) {
        low += width;
        width *= 2;
    }
    let mut high = to.min(low + width);
    while low + 1 < high {
        let middle = low + (high - low) / 2;
        if is_same(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// How many bytes both names share, at a boundary of characters, `max` at most.
fn alike(a: &str, b: &str, max: usize) -> usize {
    let same = a.bytes().zip(b.bytes()).take(max).take_while(|(a, b)| a == b).count();
    (0..=same).rev().find(|at| a.is_char_boundary(*at)).unwrap_or(0)
}

/// A name as a word.
#[cfg(test)]
fn word(name: &str) -> Vec<Letter> {
    crate::policy::lang::letters(name).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::parse::{aws, mosquitto};

    fn policy(action: &str, resource: &str) -> Document {
        let text = format!(
            r#"{{"Statement": [{{"Effect": "Allow", "Action": {action}, "Resource": {resource}}}]}}"#
        );
        aws::parse("p", &text.replace("A:", "arn:aws:iot:us-east-1:123456789012:")).document()
    }

    fn radius(document: &Document, names: &[&str], templates: &[&str]) -> Blast {
        let templates: Vec<Template> = templates.iter().map(|text| Template::parse(text).unwrap()).collect();
        let things = Things::new(names.iter().map(|name| (*name).to_owned()).collect());
        blast_radius(document, &document.subjects[0], &things, &templates)
    }

    const FLEET: [&str; 5] = ["cam-1", "cam-2", "pump-1", "pump-10", "pump-2"];

    #[test]
    fn prefixes_variables_and_everything() {
        let own = policy(r#""iot:Publish""#, r#""A:topic/d/${iot:Connection.Thing.ThingName}/up""#);
        let write = radius(&own, &FLEET, &["d/{thing}/#"]).write.unwrap();
        assert_eq!((write.things, write.itself), (0, true), "a variable is the device itself");
        let pumps = policy(r#""iot:Publish""#, r#""A:topic/d/pump-*""#);
        let write = radius(&pumps, &FLEET, &["d/{thing}/#"]).write.unwrap();
        assert_eq!(write.listed, ["pump-1", "pump-10", "pump-2"]);
        let all = policy(r#"["iot:Publish", "iot:Subscribe", "iot:Receive", "iot:Connect"]"#, r#""*""#);
        let blast = radius(&all, &FLEET, &["d/{thing}/#", "$aws/things/{thing}/shadow/+"]);
        assert_eq!(
            [blast.read, blast.write, blast.connect].map(|reached| reached.unwrap().things),
            [5, 5, 5]
        );
    }

    #[test]
    fn reading_needs_a_filter_and_the_right_to_receive() {
        let topics = r#"["A:topicfilter/d/+/up", "A:topic/d/cam-*"]"#;
        let both = policy(r#"["iot:Subscribe", "iot:Receive"]"#, topics);
        assert_eq!(radius(&both, &FLEET, &["d/{thing}/#"]).read.unwrap().listed, ["cam-1", "cam-2"]);
        let only = policy(r#"["iot:Receive"]"#, topics);
        assert_eq!(radius(&only, &FLEET, &["d/{thing}/#"]).read.unwrap().things, 0);
        assert_eq!(radius(&both, &FLEET, &["d/{thing}/down"]).read.unwrap().things, 0);
    }

    #[test]
    fn a_client_id_that_can_be_chosen_is_every_id_it_can_be() {
        let text = r#"["A:topic/d/${iot:ClientId}/up", "A:client/pump-*"]"#;
        let document = policy(r#"["iot:Publish", "iot:Connect"]"#, text);
        let blast = radius(&document, &FLEET, &["d/{thing}/#"]);
        assert_eq!(blast.write.unwrap().listed, ["pump-1", "pump-10", "pump-2"]);
        assert_eq!(blast.connect.unwrap().things, 3);
        let acl = mosquitto::parse("acl", "pattern write d/%c/#\n");
        assert_eq!(radius(&acl, &FLEET, &["d/{thing}/#"]).write.unwrap().things, 5);
    }

    #[test]
    fn shadows_over_http_count() {
        let document = policy(r#""iot:UpdateThingShadow""#, r#""A:thing/cam-*""#);
        let blast = radius(&document, &FLEET, &[]);
        assert_eq!((blast.write.unwrap().things, blast.read.unwrap().things), (2, 0));
    }

    #[test]
    fn templates_that_cannot_be_used_are_refused() {
        for text in ["d/x", "{thing}/{thing}", "+/{thing}"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
        assert_eq!(Template::parse("a/{thing}/+/b/#").unwrap().text(), "a/{thing}/+/b/#");
    }

    proptest! {
        #[test]
        fn counts_as_one_by_one(
            names in prop::collection::vec("[abä]{0,6}", 0..80),
            globs in prop::collection::vec("[abä*?]{0,5}", 0..4),
        ) {
            let mut nfa = Nfa::default();
            for glob in &globs {
                nfa.add(&Pattern::of(crate::policy::lang::aws_glob(glob, |_| None).unwrap()), 0);
            }
            let set = nfa.determinize(|tag| tag.is_some()).unwrap();
            let things = Things::new(names.clone());
            let mut expected: Vec<String> = names.into_iter().filter(|name| set.contains_word(word(name))).collect();
            expected.sort();
            expected.dedup();
            let reached = count(&set, &things);
            prop_assert_eq!(reached.things, expected.len());
            expected.truncate(LISTED_MAX);
            prop_assert_eq!(reached.listed, expected);
        }
    }
}
