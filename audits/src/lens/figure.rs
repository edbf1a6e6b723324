//! A figure: one thing that was looked at for a best practice, what was found, and what is wanted.

use serde::Serialize;

use super::evidence::{Audit, CheckEvidence, Part};
use super::review::Verdict;

/// Where a figure comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Findings of audit checks.
    Audit,
    /// The configuration with its profiles and actions.
    Configuration,
    /// The registry of things and groups.
    Registry,
    /// Events of devices: a journal or recorded events.
    Stream,
    /// A running Fleetward.
    Running,
}

impl Source {
    /// As people read it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Audit => "audit findings",
            Self::Configuration => "configuration",
            Self::Registry => "registry",
            Self::Stream => "events",
            Self::Running => "running server",
        }
    }
}

/// What a figure does for the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// All that decide must hold for the practice to be met; one that does not is enough for not met.
    Decides,
    /// Can only speak against the practice.
    Refutes,
    /// Is shown.
    Shown,
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figure {
    /// Where it comes from.
    pub source: Source,
    /// What it does for the verdict.
    pub role: Role,
    /// What was looked at.
    pub what: String,
    /// What was found; absent if no source says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// What is wanted; empty if the figure is only shown.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub wanted: String,
    /// Where the threshold comes from.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub basis: &'static str,
    /// File or address that it was read from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Whether it is as wanted; absent if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holds: Option<bool>,
}

/// Figures of a practice, and what follows from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Met, not met, or unanswered.
    pub verdict: Verdict,
    /// The figures.
    pub figures: Vec<Figure>,
}

impl Judgement {
    /// Not met if a figure that decides or refutes does not hold; met if there are figures that decide
    /// and all of them hold; else unanswered.
    #[must_use]
    pub fn of(figures: Vec<Figure>) -> Self {
        let against = figures.iter().any(|figure| figure.role != Role::Shown && figure.holds == Some(false));
        let mut deciding = figures.iter().filter(|figure| figure.role == Role::Decides).peekable();
        let any = deciding.peek().is_some();
        let all = deciding.all(|figure| figure.holds == Some(true));
        let verdict = match (against, any && all) {
            (true, _) => Verdict::NotMet,
            (false, true) => Verdict::Met,
            (false, false) => Verdict::Unanswered,
        };
        Self { verdict, figures }
    }

    /// Whether any source said anything.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.figures.iter().any(|figure| figure.found.is_some())
    }
}

impl Figure {
    fn new(source: Source, what: &str, wanted: String, basis: &'static str) -> Self {
        Self {
            source,
            role: Role::Decides,
            what: what.to_owned(),
            found: None,
            wanted,
            basis,
            place: None,
            holds: None,
        }
    }

    /// A figure that can only speak against the practice.
    #[must_use]
    pub const fn refuting(mut self) -> Self {
        self.role = Role::Refutes;
        self
    }

    /// Something that is shown and judges nothing.
    #[must_use]
    pub fn shown(source: Source, what: &str, found: Option<String>) -> Self {
        Self { role: Role::Shown, found, ..Self::new(source, what, String::new(), "") }
    }

    /// At least so many percent; unknown where nothing was looked at.
    #[must_use]
    pub fn share(source: Source, what: &str, found: Option<Part>, percent: u64, basis: &'static str) -> Self {
        let known = found.filter(|share| share.of > 0);
        let wanted = if percent >= 100 { "all".to_owned() } else { format!("at least {percent} %") };
        Self {
            found: found.map(share_text),
            holds: known
                .map(|share| u128::from(share.part) * 100 >= u128::from(share.of) * u128::from(percent)),
            ..Self::new(source, what, wanted, basis)
        }
    }

    /// At least so many.
    #[must_use]
    pub fn at_least(source: Source, what: &str, found: Option<u64>, min: u64, basis: &'static str) -> Self {
        Self {
            found: found.map(|found| found.to_string()),
            holds: found.map(|found| found >= min),
            ..Self::new(source, what, format!("at least {min}"), basis)
        }
    }

    /// At most so many.
    #[must_use]
    pub fn at_most(source: Source, what: &str, found: Option<u64>, max: u64, basis: &'static str) -> Self {
        let wanted = if max == 0 { "none".to_owned() } else { format!("at most {max}") };
        Self {
            found: found.map(|found| found.to_string()),
            holds: found.map(|found| found <= max),
            ..Self::new(source, what, wanted, basis)
        }
    }

    /// Something that must be so.
    #[must_use]
    pub fn fact(source: Source, what: &str, found: Option<bool>, basis: &'static str) -> Self {
        Self {
            found: found.map(|found| if found { "yes" } else { "no" }.to_owned()),
            holds: found,
            ..Self::new(source, what, "yes".to_owned(), basis)
        }
    }

    /// At least one of the wanted names must be among those found.
    #[must_use]
    pub fn any_of<'a>(
        source: Source,
        what: &str,
        found: Option<impl IntoIterator<Item = &'a String>>,
        wanted: &[&str],
        basis: &'static str,
    ) -> Self {
        let text = if wanted.len() == 1 { list(wanted) } else { format!("one of {}", list(wanted)) };
        let found: Option<Vec<&str>> = found.map(|found| {
            let names = found.into_iter().map(String::as_str);
            names.filter(|name| wanted.contains(name)).collect()
        });
        Self {
            found: found.as_ref().map(|found| list(found)),
            holds: found.map(|found| !found.is_empty()),
            ..Self::new(source, what, text, basis)
        }
    }

    /// Checks without a finding. It holds if all checks of one of the lists in `run` are known to have run
    /// and neither they nor the checks of `also` found anything; a finding of any is enough against it.
    #[must_use]
    pub fn checks(audit: &Audit, what: &str, run: &[&[&str]], also: &[&str], basis: &'static str) -> Self {
        let names: Vec<&str> = run.iter().copied().flatten().chain(also).copied().collect();
        let known: Vec<(&str, &CheckEvidence)> =
            names.iter().filter_map(|name| Some((*name, audit.checks.get(*name)?))).collect();
        let failing: Vec<(&str, &CheckEvidence)> =
            known.iter().filter(|(_, check)| check.findings > 0).copied().collect();
        let ran = |name: &&str| audit.checks.get(*name).is_some_and(|check| check.ran);
        let enough = run.iter().any(|checks| checks.iter().all(ran));
        let alternatives: Vec<String> = run.iter().map(|checks| checks.join(" and ")).collect();
        let wanted = format!(
            "no finding, and run: {}{}",
            alternatives.join(", or "),
            if also.is_empty() { String::new() } else { format!("; no finding of {}", also.join(", ")) }
        );
        let mut figure = Self::new(Source::Audit, what, wanted, basis);
        if !failing.is_empty() {
            figure.found = Some(failing_text(&failing));
            figure.holds = Some(false);
            figure.place = failing.iter().find_map(|(_, check)| check.places.first().cloned());
        } else if !known.is_empty() {
            let ran: Vec<&str> = names.iter().filter(|name| ran(name)).copied().collect();
            figure.found = Some(format!("no finding; ran: {}", list(&ran)));
            figure.holds = enough.then_some(true);
        }
        figure
    }
}

fn failing_text(failing: &[(&str, &CheckEvidence)]) -> String {
    let one = |(name, check): &(&str, &CheckEvidence)| {
        let s = if check.findings == 1 { "" } else { "s" };
        let suppressed = if check.suppressed > 0 {
            format!(" ({} more suppressed)", check.suppressed)
        } else {
            String::new()
        };
        format!("{} finding{s} of {name}{suppressed}", check.findings)
    };
    failing.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// `a, b, c`, or `none`.
fn list(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// `45 of 50 (90.0 %)`, rounded down, so that 99.96 % does not look like all.
fn share_text(share: Part) -> String {
    let permille = (u128::from(share.part) * 1000).checked_div(u128::from(share.of));
    let percent = permille.map_or(String::new(), |p| format!(" ({}.{} %)", p / 10, p % 10));
    format!("{} of {}{percent}", share.part, share.of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_hold_at_their_edge_and_nothing_looked_at_is_not_known() {
        for (part, of, holds, found) in [
            (9, 10, Some(true), "9 of 10 (90.0 %)"),
            (8_999, 10_000, Some(false), "8999 of 10000 (89.9 %)"),
            (0, 0, None, "0 of 0"),
        ] {
            let figure = Figure::share(Source::Stream, "w", Some(Part { part, of }), 90, "b");
            assert_eq!((figure.holds, figure.found.as_deref()), (holds, Some(found)));
        }
        for (found, least, most) in [(2, false, true), (3, true, true), (4, true, false)] {
            let (a, b) = (Some(found), "b");
            assert_eq!(Figure::at_least(Source::Stream, "w", a, 3, b).holds, Some(least));
            assert_eq!(Figure::at_most(Source::Stream, "w", a, 3, b).holds, Some(most));
        }
        assert_eq!(Figure::share(Source::Stream, "w", None, 90, "b").holds, None);
    }

    #[test]
    fn checks_hold_only_if_they_are_known_to_have_run() {
        let check = |ran, findings| CheckEvidence { ran, findings, ..CheckEvidence::default() };
        type Case = (&'static [(&'static str, bool, u64)], Option<bool>);
        let cases: [Case; 7] = [
            (&[], None),
            (&[("A", true, 0)], None),
            (&[("A", true, 0), ("B", true, 0)], Some(true)),
            (&[("C", true, 0)], Some(true)),
            (&[("C", true, 0), ("D", false, 2)], Some(false)),
            (&[("C", false, 0)], None),
            (&[("A", true, 1), ("C", true, 0)], Some(false)),
        ];
        for (known, holds) in cases {
            let checks = known.iter().map(|&(name, ran, findings)| (name.to_owned(), check(ran, findings)));
            let audit = Audit { place: None, checks: checks.collect() };
            let figure = Figure::checks(&audit, "w", &[&["A", "B"], &["C"]], &["D"], "b");
            assert_eq!(figure.holds, holds, "{known:?}");
            assert_eq!(figure.wanted, "no finding, and run: A and B, or C; no finding of D");
        }
    }

    #[test]
    fn one_figure_against_is_enough_and_shown_ones_decide_nothing() {
        let figure =
            |role, holds| Figure { role, holds, ..Figure::new(Source::Audit, "w", String::new(), "") };
        use Role::{Decides, Refutes, Shown};
        use Verdict::{Met, NotMet, Unanswered};
        type Case = (&'static [(Role, Option<bool>)], Verdict);
        let cases: [Case; 7] = [
            (&[], Unanswered),
            (&[(Decides, Some(true)), (Refutes, None), (Shown, Some(false))], Met),
            (&[(Decides, Some(true)), (Decides, None)], Unanswered),
            (&[(Decides, Some(true)), (Decides, Some(false))], NotMet),
            (&[(Decides, None), (Refutes, Some(false))], NotMet),
            (&[(Refutes, Some(true))], Unanswered),
            (&[(Shown, Some(true))], Unanswered),
        ];
        for (figures, verdict) in cases {
            let figures = figures.iter().map(|&(role, holds)| figure(role, holds)).collect();
            assert_eq!(Judgement::of(figures).verdict, verdict);
        }
    }
}
