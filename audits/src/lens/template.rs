//! A review file to be filled in: every question and best practice as comments, answers that exist kept.

use std::fmt::Write as _;

use super::asked;
use super::evaluate::evaluate;
use super::evidence::Evidence;
use super::figure::Source;
use super::practice::{How, PRACTICES, Pillar, Practice};
use super::question::question;
use super::review::{Answer, Workload};
use super::review_file::{ANSWERS, ReviewFile};

/// The template; answers and workload of `existing` are kept, what is missing is a comment.
#[must_use]
pub fn template(existing: Option<&ReviewFile>) -> String {
    let mut out = String::from(
        "# A review against the IoT Lens. Fill in what you know, take the `#` away from what you fill in, then:\n\
         #   fleetward lens review --review THIS-FILE --config fleetward.toml\n\
         # Answers are \"yes\", \"no\" or \"not applicable\" (with a note that says why). Machine evidence wins over an\n\
         # answer to a practice that it decides, unless `overrules` says why it should not.\n\n",
    );
    workload(&mut out, existing.map(|file| &file.workload));
    let mut pillar = None;
    let mut last = 0;
    for practice in PRACTICES {
        if pillar != Some(practice.pillar) {
            pillar = Some(practice.pillar);
            put(&mut out, format_args!("\n# ===== {} =====\n", practice.pillar.name()));
        }
        if practice.question != last {
            last = practice.question;
            put(&mut out, format_args!("\n# --- {last}. {} ---\n", question(last)));
        }
        let answer = existing.and_then(|file| file.answers.get(practice.id));
        one(&mut out, practice, answer);
    }
    out
}

/// A string takes what is written.
fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    let written = out.write_fmt(text);
    debug_assert!(written.is_ok());
}

fn workload(out: &mut String, existing: Option<&Workload>) {
    let empty = Workload::default();
    let own = existing.unwrap_or(&empty);
    put(out, format_args!("[workload]\n"));
    let texts = [
        ("name", &own.name, "required"),
        ("description", &own.description, "required: what it is for, its users, its key figures"),
        ("review_owner", &own.review_owner, "required: who answers for this review"),
        ("workload_owner", &own.workload_owner, "required: who answers for the workload"),
    ];
    for (key, value, comment) in texts {
        put(out, format_args!("{key} = {}  # {comment}\n", quoted(value)));
    }
    put(out, format_args!("stakeholders = {}  # required\n", list(&own.stakeholders)));
    put(out, format_args!("partners = {}  # required\n", list(&own.partners)));
    match &own.architecture {
        Some(link) => put(out, format_args!("architecture = {}\n", quoted(link))),
        None => put(out, format_args!("# architecture = \"https://…\"  # recommended\n")),
    }
    for (key, values) in [("accounts", &own.accounts), ("compliance", &own.compliance)] {
        match values {
            Some(values) => put(out, format_args!("{key} = {}\n", list(values))),
            None => put(out, format_args!("# {key} = []  # recommended\n")),
        }
    }
    let names = Pillar::ALL.map(|pillar| pillar.name().to_owned());
    let chosen: Vec<String> = own.pillars.iter().map(|pillar| pillar.name().to_owned()).collect();
    if chosen.is_empty() {
        put(out, format_args!("# pillars = {}  # those that matter; all if left out\n", list(&names)));
    } else {
        put(out, format_args!("pillars = {}\n", list(&chosen)));
    }
}

fn one(out: &mut String, practice: &Practice, answer: Option<&Answer>) {
    put(out, format_args!("\n# {} {} ({})\n", practice.id, practice.title, practice.priority.name()));
    put(out, format_args!("#   {}\n", who_decides(practice)));
    match answer {
        Some(answer) => filled(out, practice.id, answer),
        None => put(
            out,
            format_args!(
                "#[[answer]]\n#practice = \"{}\"\n#answer = \"\"\n#who = \"\"\n#when = \n#note = \"\"\n#evidence = []\n",
                practice.id
            ),
        ),
    }
}

fn filled(out: &mut String, id: &str, answer: &Answer) {
    let word = ANSWERS.iter().find(|(_, verdict)| *verdict == answer.verdict).map_or("", |(word, _)| word);
    put(out, format_args!("[[answer]]\npractice = \"{id}\"\nanswer = \"{word}\"\n"));
    // A date of a draft may be none.
    let when =
        if super::review_file::is_day(&answer.when) { answer.when.clone() } else { quoted(&answer.when) };
    put(out, format_args!("who = {}\nwhen = {when}\n", quoted(&answer.who)));
    put(out, format_args!("note = {}\nevidence = {}\n", quoted(&answer.note), list(&answer.evidence)));
    if let Some(reason) = &answer.overrules {
        put(out, format_args!("overrules = {}\n", quoted(reason)));
    }
}

/// Who decides a practice, and from what.
#[must_use]
pub fn who_decides(practice: &Practice) -> String {
    if let Some(why) = asked::why(practice.id) {
        return format!("You answer: {why}.");
    }
    let judgement = evaluate(practice.id, &Evidence::default());
    let mut sources: Vec<Source> =
        judgement.iter().flat_map(|judgement| &judgement.figures).map(|figure| figure.source).collect();
    sources.sort_unstable();
    sources.dedup();
    let names: Vec<&str> = sources.into_iter().map(Source::name).collect();
    let names = names.join(", ");
    match practice.how {
        How::Auto => format!("Evidence decides: {names}. An answer counts where evidence does not decide."),
        How::Partial | How::Answer => format!("You answer; evidence is shown: {names}."),
    }
}

/// A basic string of TOML: JSON's escapes are among its own, but DEL must be escaped, too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

fn list(texts: &[String]) -> String {
    format!("[{}]", texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", "))
}
