//! A report as one page: no script, no other file, nothing fetched. Everything that comes from files
//! is escaped, and the page's own policy forbids what an escape might miss.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use audits::catalogue::{CheckInfo, checks};
use audits::finding::Severity;

use crate::audit::report::{Report, Row};
use crate::audit::suppressions::written;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem;color:#1b1f24}\
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.35rem .6rem;border-bottom:1px solid #d8dee4}\
th{background:#f6f8fa}code{font:13px ui-monospace,monospace;overflow-wrap:anywhere}\
.critical{color:#8c0d0d;font-weight:600}.high{color:#b3420c;font-weight:600}.medium{color:#7a5a00}.low{color:#555}\
.suppressed{opacity:.55}dt{font-weight:600;margin-top:.6rem}";

/// The page.
pub(super) fn page(report: &Report) -> String {
    let rows = report.rows();
    let mut page = String::from(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>Audit</title>\n",
    );
    writeln!(page, "<style>{STYLE}</style>\n</head>\n<body>").ok();
    writeln!(
        page,
        "<h1>Audit of <code>{}</code></h1>\n<p>As of {}.</p>",
        escaped(&report.target),
        written(report.run.task_start_time)
    )
    .ok();
    summary(report, &rows, &mut page);
    findings(&rows, &mut page);
    remedies(&rows, &mut page);
    not_checked(report, &mut page);
    page.push_str("</body>\n</html>\n");
    page
}

fn summary(report: &Report, rows: &[Row<'_>], page: &mut String) {
    let count =
        |severity| rows.iter().filter(|row| !row.is_suppressed && row.finding.severity == severity).count();
    page.push_str("<p>");
    for severity in Severity::ALL {
        let name = severity.name().to_lowercase();
        write!(page, "<span class=\"{name}\">{} {name}</span> ", count(severity)).ok();
    }
    let statistics = &report.run.task_statistics;
    let [policies, lists, brokers] = report.others;
    writeln!(
        page,
        "&middot; {} suppressed</p>\n<p>{} checks: {} without findings, {} with, {} without data. Read: {} files, {} certificates, {} CRLs, {policies} policies, {lists} access lists, {brokers} brokers.</p>",
        rows.iter().filter(|row| row.is_suppressed).count(),
        statistics.total_checks,
        statistics.compliant_checks,
        statistics.non_compliant_checks,
        statistics.waiting_for_data_collection_checks,
        report.reading.files,
        report.reading.certificates,
        report.reading.lists,
    )
    .ok();
}

fn findings(rows: &[Row<'_>], page: &mut String) {
    if rows.is_empty() {
        page.push_str("<p>No findings.</p>\n");
        return;
    }
    page.push_str(
        "<table>\n<tr><th>Severity</th><th>Where</th><th>Check</th><th>Finding</th><th>Id</th></tr>\n",
    );
    for row in rows {
        let finding = row.finding;
        let place = finding.place.as_ref().map_or_else(|| finding.resource.to_string(), ToString::to_string);
        let name = finding.severity.name().to_lowercase();
        let class = if row.is_suppressed { " class=\"suppressed\"" } else { "" };
        writeln!(
            page,
            "<tr{class}><td class=\"{name}\">{name}</td><td><code>{}</code></td><td><a href=\"#{check}\"><code>{check}</code></a></td><td>{}</td><td><code>{}</code></td></tr>",
            escaped(&place),
            escaped(&finding.reason),
            row.id,
            check = escaped(&finding.check),
        )
        .ok();
    }
    page.push_str("</table>\n");
}

/// What to do, once for each check.
fn remedies(rows: &[Row<'_>], page: &mut String) {
    let known: BTreeMap<String, CheckInfo> =
        checks().into_iter().map(|info| (info.name.clone().into_owned(), info)).collect();
    let mut names: Vec<&str> = rows.iter().map(|row| &*row.finding.check).collect();
    names.dedup();
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(*name));
    if names.is_empty() {
        return;
    }
    page.push_str("<h2>What to do</h2>\n");
    for info in names.into_iter().filter_map(|name| known.get(name)) {
        writeln!(
            page,
            "<h3 id=\"{name}\"><code>{name}</code></h3>\n<dl><dt>Notices</dt><dd>{}</dd><dt>Why it matters</dt><dd>{}</dd><dt>What to do</dt><dd>{}</dd><dt>References</dt><dd>{}</dd></dl>",
            escaped(&info.notices),
            escaped(&info.why),
            escaped(&info.remedy),
            escaped(&info.references),
            name = escaped(&info.name),
        )
        .ok();
    }
}

fn not_checked(report: &Report, page: &mut String) {
    let reasons = report.not_checked();
    if !reasons.is_empty() {
        page.push_str("<h2>Not checked</h2>\n<ul>\n");
        for (why, checks) in reasons {
            writeln!(page, "<li>{}: {}</li>", escaped(&why), escaped(&checks.join(", "))).ok();
        }
        page.push_str("</ul>\n");
    }
    let left_out = &report.reading.left_out;
    if left_out.count() > 0 {
        page.push_str("<h2>Not looked at</h2>\n<ul>\n");
        for (name, why) in &left_out.told {
            writeln!(page, "<li><code>{}</code>: {}</li>", escaped(name), escaped(why)).ok();
        }
        if left_out.more > 0 {
            writeln!(page, "<li>and {} more</li>", left_out.more).ok();
        }
        page.push_str("</ul>\n");
    }
}

/// Text as HTML shows it; control characters and marks that turn the direction are replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push('\u{fffd}'),
            control if control.is_control() => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_hostile_name_is_markup() {
        assert_eq!(
            escaped("<script>\"'&\u{202e}\u{1b}[2J"),
            "&lt;script&gt;&quot;&#39;&amp;\u{fffd}\u{fffd}[2J"
        );
    }
}
