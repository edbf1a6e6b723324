//! What a report says, as blocks that Markdown and HTML write in their own way.

use super::super::asked;
use super::super::difference::{Difference, Direction};
use super::super::evaluate::evaluate;
use super::super::evidence::Evidence;
use super::super::figure::{Figure, Role};
use super::super::practice::{PRACTICES, Pillar, Priority, practice};
use super::super::question::question;
use super::super::review::{Answer, Counts, DecidedBy, Item, Review, Verdict, Workload};

/// A piece of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Span {
    /// Text, from outside too.
    Text(String),
    /// Text that stands out.
    Strong(String),
    /// What may be a link.
    Link(String),
    /// A verdict.
    Verdict(Verdict),
}

/// A line.
pub(super) type Line = Vec<Span>;

/// A part of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// A heading of level 1 to 4.
    Heading(u8, String),
    /// A paragraph.
    Paragraph(Line),
    /// A table.
    Table(Vec<&'static str>, Vec<Vec<Line>>),
    /// A list.
    List(Vec<Line>),
}

fn text(text: impl Into<String>) -> Span {
    Span::Text(text.into())
}

/// The whole page.
pub(super) fn page(review: &Review) -> Vec<Block> {
    let name = review.workload.as_ref().map(|workload| format!(": {}", workload.name)).unwrap_or_default();
    let mut blocks = vec![Block::Heading(1, format!("IoT Lens review{name}"))];
    blocks.push(Block::Paragraph(vec![text(format!("{}. Read: {}.", review.day, sources(review)))]));
    if let Some(workload) = &review.workload {
        blocks.push(Block::Table(vec!["workload", ""], workload_rows(workload)));
    }
    blocks.push(Block::Heading(2, "Summary".to_owned()));
    blocks.push(summary(review));
    blocks.extend(review.difference.iter().flat_map(difference));
    blocks.extend(listed(review, "Not met", |item| item.verdict == Verdict::NotMet, why));
    blocks.extend(listed(review, "Evidence and answer differ", |item| item.contradiction.is_some(), differs));
    for pillar in Pillar::ALL {
        blocks.extend(of_pillar(review, pillar));
    }
    blocks
}

fn sources(review: &Review) -> String {
    if review.sources.is_empty() { "nothing".to_owned() } else { review.sources.join(", ") }
}

fn workload_rows(workload: &Workload) -> Vec<Vec<Line>> {
    let list = |texts: &[String]| if texts.is_empty() { "none".to_owned() } else { texts.join(", ") };
    let recorded =
        |texts: Option<&Vec<String>>| texts.map_or_else(|| "not recorded".to_owned(), |texts| list(texts));
    let pillars: Vec<String> = workload.pillars.iter().map(|pillar| pillar.name().to_owned()).collect();
    let mut rows = vec![
        ("description", workload.description.clone()),
        ("review owner", workload.review_owner.clone()),
        ("workload owner", workload.workload_owner.clone()),
        ("stakeholders", list(&workload.stakeholders)),
        ("partners", list(&workload.partners)),
        ("accounts", recorded(workload.accounts.as_ref())),
        ("compliance", recorded(workload.compliance.as_ref())),
        ("pillars that matter", if pillars.is_empty() { "all".to_owned() } else { list(&pillars) }),
    ]
    .into_iter()
    .map(|(name, value)| vec![vec![text(name)], vec![text(value)]])
    .collect::<Vec<_>>();
    if let Some(link) = &workload.architecture {
        rows.push(vec![vec![text("architecture")], vec![Span::Link(link.clone())]]);
    }
    rows
}

fn summary(review: &Review) -> Block {
    let row = |name: String, priority: &str, counts: Counts| {
        let mut cells = vec![vec![text(name)], vec![text(priority)]];
        cells.extend(Verdict::ALL.map(|verdict| vec![text(counts.with(verdict).to_string())]));
        cells
    };
    let mut rows = Vec::new();
    for pillar in Pillar::ALL {
        let matters = if review.matters(pillar) { "" } else { " (does not matter here)" };
        for priority in Priority::ALL {
            let own = |item: &&Item| item.practice.pillar == pillar && item.practice.priority == priority;
            let items: Vec<&Item> = review.items.iter().filter(own).collect();
            if !items.is_empty() {
                rows.push(row(format!("{}{matters}", pillar.name()), priority.name(), Counts::of(items)));
            }
        }
    }
    rows.push(row("all".to_owned(), "", Counts::of(&review.items)));
    let mut head = vec!["pillar", "priority"];
    head.extend(Verdict::ALL.map(Verdict::name));
    Block::Table(head, rows)
}

fn difference(difference: &Difference) -> Vec<Block> {
    let mut blocks = vec![
        Block::Heading(2, "Since the last review".to_owned()),
        Block::Paragraph(vec![text(format!(
            "Compared with {} of {}: {} changed, {} the same.",
            difference.place,
            difference.day,
            difference.changes.len(),
            difference.same
        ))]),
    ];
    let row = |change: &super::super::difference::Change| {
        let direction = match change.direction {
            Direction::Worse => "worse",
            Direction::Better => "better",
            Direction::Other => "other",
        };
        vec![
            vec![text(change.id)],
            vec![text(practice(change.id).map_or("", |practice| practice.title))],
            vec![Span::Verdict(change.before)],
            vec![Span::Verdict(change.after)],
            vec![text(direction)],
        ]
    };
    if !difference.changes.is_empty() {
        let rows = difference.changes.iter().map(row).collect();
        blocks.push(Block::Table(vec!["id", "best practice", "then", "now", ""], rows));
    }
    blocks
}

/// A table of some items, the most important first.
fn listed(
    review: &Review,
    heading: &str,
    wanted: impl Fn(&Item) -> bool,
    why: fn(&Item) -> Line,
) -> Vec<Block> {
    let mut items: Vec<&Item> = review.items.iter().filter(|item| wanted(item)).collect();
    if items.is_empty() {
        return Vec::new();
    }
    // Stable, so the order of the practices stays within a priority.
    items.sort_by_key(|item| (!review.matters(item.practice.pillar), item.practice.priority));
    let row = |item: &&Item| {
        vec![
            vec![text(item.practice.id)],
            vec![text(item.practice.priority.name())],
            vec![text(item.practice.pillar.name())],
            vec![text(item.practice.title)],
            why(item),
        ]
    };
    let rows = items.iter().map(row).collect();
    vec![
        Block::Heading(2, heading.to_owned()),
        Block::Table(vec!["id", "priority", "pillar", "best practice", "why"], rows),
    ]
}

/// Which of both holds.
fn differs(item: &Item) -> Line {
    vec![Span::Verdict(item.verdict), text(format!(": {}", item.contradiction.unwrap_or_default()))]
}

/// The figures that speak against it, or the answer if that decided.
fn why(item: &Item) -> Line {
    let against = item.evidence.iter().flat_map(|judgement| &judgement.figures);
    let against: Vec<String> = against
        .filter(|figure| figure.holds == Some(false) && figure.role != Role::Shown)
        .map(|figure| format!("{}: {}", figure.what, figure.found.as_deref().unwrap_or("unknown")))
        .collect();
    match &item.answer {
        Some(answer) if item.decided_by == DecidedBy::Answer => {
            let note = if answer.note.is_empty() { String::new() } else { format!(": {}", answer.note) };
            vec![text(format!("{} says so{note}", answer.who))]
        }
        _ => vec![text(against.join("; "))],
    }
}

fn of_pillar(review: &Review, pillar: Pillar) -> Vec<Block> {
    let items: Vec<&Item> = review.items.iter().filter(|item| item.practice.pillar == pillar).collect();
    if items.is_empty() {
        return Vec::new();
    }
    let mut blocks = vec![Block::Heading(2, pillar.name().to_owned())];
    let mut last = 0;
    for item in items {
        if item.practice.question != last {
            last = item.practice.question;
            blocks.push(Block::Heading(3, format!("{last}. {}", question(last))));
        }
        blocks.extend(of_item(review, item));
    }
    blocks
}

fn of_item(review: &Review, item: &Item) -> Vec<Block> {
    let row = item.practice;
    let by = match (item.decided_by, item.reason) {
        (DecidedBy::Evidence, _) => ", by evidence".to_owned(),
        (DecidedBy::Answer, _) => ", by answer".to_owned(),
        (DecidedBy::Nobody, reason) => format!(": {reason}"),
    };
    let mut lines = Vec::new();
    if let Some(contradiction) = item.contradiction {
        lines.push(vec![Span::Strong("Contradiction".to_owned()), text(format!(": {contradiction}"))]);
    }
    if let Some(judgement) = &item.evidence {
        if item.decided_by != DecidedBy::Evidence && judgement.verdict != Verdict::Unanswered {
            lines.push(vec![text("evidence says: "), Span::Verdict(judgement.verdict)]);
        }
        lines.extend(judgement.figures.iter().map(figure));
    }
    if let Some(why) = asked::why(row.id).filter(|_| item.answer.is_none()) {
        lines.push(vec![text(format!("only a person can answer: {why}"))]);
    }
    lines.extend(item.answer.iter().flat_map(|own| answer(own, review.is_old(own))));
    vec![
        Block::Heading(4, format!("{} {}", row.id, row.title)),
        Block::Paragraph(vec![Span::Verdict(item.verdict), text(format!("{by}. {}.", row.priority.name()))]),
        Block::List(lines),
    ]
}

fn figure(figure: &Figure) -> Line {
    let sign = match (figure.role, figure.holds) {
        (Role::Shown, _) | (_, None) => "",
        (_, Some(true)) => "holds: ",
        (_, Some(false)) => "against: ",
    };
    let found = figure.found.as_deref().unwrap_or("not known");
    let wanted = match figure.role {
        _ if figure.wanted.is_empty() => String::new(),
        Role::Refutes => format!("; wanted {} [{}], can only speak against", figure.wanted, figure.basis),
        Role::Decides | Role::Shown => format!("; wanted {} [{}]", figure.wanted, figure.basis),
    };
    let place = figure.place.as_ref().map(|place| format!(", {place}")).unwrap_or_default();
    vec![
        text(format!("{sign}{}: ", figure.what)),
        Span::Strong(found.to_owned()),
        text(format!("{wanted} ({}{place})", figure.source.name())),
    ]
}

fn answer(answer: &Answer, is_old: bool) -> Vec<Line> {
    let note = if answer.note.is_empty() { String::new() } else { format!(": {}", answer.note) };
    let old = if is_old { " (more than a year old)" } else { "" };
    let mut lines = vec![vec![
        text("answer: "),
        Span::Verdict(answer.verdict),
        text(format!(", {}, {}{old}{note}", answer.who, answer.when)),
    ]];
    if let Some(reason) = &answer.overrules {
        lines.push(vec![text(format!("overrules evidence, because: {reason}"))]);
    }
    lines.extend(answer.evidence.iter().map(|link| vec![text("see "), Span::Link(link.clone())]));
    lines
}

/// What is known about a practice before any evidence, for `fleetward lens explain`, as lines of text.
pub(in super::super) fn explained(id: &str) -> Option<String> {
    let row = practice(id)?;
    let mut lines = vec![
        format!("{} {}", row.id, row.title),
        format!("{}, {}", row.pillar.name(), row.priority.name()),
        format!("Question {}: {}", row.question, question(row.question)),
        String::new(),
        super::super::template::who_decides(row),
    ];
    let judgement = evaluate(id, &Evidence::default());
    for figure in judgement.iter().flat_map(|judgement| &judgement.figures) {
        let role = match figure.role {
            Role::Decides => "must hold",
            Role::Refutes => "can only speak against",
            Role::Shown => "shown",
        };
        lines.push(format!("- {} ({}; {role})", figure.what, figure.source.name()));
        if !figure.wanted.is_empty() {
            lines.push(format!("  wanted: {}", figure.wanted));
            lines.push(format!("  basis:  {}", figure.basis));
        }
    }
    Some(lines.join("\n"))
}

/// A table of all practices, for `docs/lens.md`.
pub(in super::super) fn sheet() -> String {
    let mut rows = String::from("| id | priority | best practice | decided by |\n|---|---|---|---|\n");
    for row in PRACTICES {
        let decided = super::super::template::who_decides(row);
        rows.push_str(&format!("| {} | {} | {} | {decided} |\n", row.id, row.priority.name(), row.title));
    }
    rows
}
