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

mod things;
mod walk;

pub use things::Things;
use walk::Walk;

use super::{
    check::Template,
    form::{Action, Document, Subject, System, Undecided},
    lang::{DEAD, Dfa, Nfa, Pattern, SYMBOLS, State, Token, TooLarge},
};

/// Names listed of those reached, at most; the number counts all.
pub const LISTED_MAX: usize = 20;
/// Pairs of states looked at for one template at most.
const PAIRS_MAX: usize = 4_000_000;

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
            let mut expected: Vec<String> = names.into_iter().filter(|name| set.contains(name)).collect();
            expected.sort();
            expected.dedup();
            let reached = count(&set, &things);
            prop_assert_eq!(reached.things, expected.len());
            expected.truncate(LISTED_MAX);
            prop_assert_eq!(reached.listed, expected);
        }
    }
}
