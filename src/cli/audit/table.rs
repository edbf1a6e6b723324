//! A report for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use audits::finding::Severity;

use crate::audit::report::{Report, Row};
use crate::cli::output::{printable, table as rows_of};

/// Findings with their places, then what was and was not checked.
pub(super) fn table(report: &Report, verbose: bool) -> String {
    let rows = report.rows();
    let mut text = String::new();
    let shown: Vec<Vec<String>> = rows.iter().map(row).collect();
    if shown.is_empty() {
        text.push_str("no findings\n");
    } else {
        text.push_str(&rows_of(&["SEVERITY", "ID", "WHERE", "CHECK", "FINDING"], &shown));
        text.push('\n');
    }
    text.push('\n');
    text.push_str(&summary(report, &rows));
    text.push_str(&not_checked(report, verbose));
    text
}

fn row(row: &Row<'_>) -> Vec<String> {
    let finding = row.finding;
    let place = finding.place.as_ref().map_or_else(|| finding.resource.to_string(), ToString::to_string);
    let suppressed = if row.is_suppressed { "(suppressed) " } else { "" };
    [finding.severity.name(), &row.id, &place, &finding.check, &format!("{suppressed}{}", finding.reason)]
        .map(printable)
        .to_vec()
}

fn summary(report: &Report, rows: &[Row<'_>]) -> String {
    let statistics = &report.run.task_statistics;
    let mut by_severity: BTreeMap<Severity, usize> = BTreeMap::new();
    rows.iter().filter(|row| !row.is_suppressed).for_each(|row| {
        *by_severity.entry(row.finding.severity).or_default() += 1;
    });
    let counts: Vec<String> = Severity::ALL
        .into_iter()
        .filter_map(|severity| Some((severity, by_severity.get(&severity)?)))
        .map(|(severity, count)| format!("{count} {}", severity.name().to_lowercase()))
        .collect();
    let suppressed = rows.iter().filter(|row| row.is_suppressed).count();
    let shed: u64 = report.run.checks.iter().map(|check| check.shed).sum();
    let mut text = format!(
        "{} checks: {} without findings, {} with, {} without data",
        statistics.total_checks,
        statistics.compliant_checks,
        statistics.non_compliant_checks,
        statistics.waiting_for_data_collection_checks
    );
    for (count, what) in [(statistics.failed_checks, "failed"), (statistics.canceled_checks, "not reached")] {
        if count > 0 {
            write!(text, ", {count} {what}").ok();
        }
    }
    let counts = if counts.is_empty() { "none".into() } else { counts.join(", ") };
    write!(text, "\nfindings: {counts}; {suppressed} suppressed").ok();
    if report.expired > 0 {
        write!(text, " ({} suppressions have expired and count again)", report.expired).ok();
    }
    if shed > 0 {
        write!(text, "; {shed} more are counted and not shown").ok();
    }
    let [policies, lists, brokers] = report.others;
    let reading = &report.reading;
    writeln!(
        text,
        "\nread {} files: {} certificates, {} CRLs, {} keys, {policies} policies, {lists} access lists, {brokers} brokers; {} not looked at{}",
        reading.files,
        reading.certificates,
        reading.lists,
        reading.keys,
        reading.left_out.count(),
        if reading.left_out.count() == 0 { "" } else { " (--verbose names them)" },
    )
    .ok();
    text
}

fn not_checked(report: &Report, verbose: bool) -> String {
    let mut text = String::new();
    let reasons = report.not_checked();
    if !reasons.is_empty() {
        text.push_str("\nnot checked:\n");
    }
    for (why, checks) in reasons {
        let named =
            if checks.len() > 3 && !verbose { format!("{} checks", checks.len()) } else { checks.join(", ") };
        writeln!(text, "  {}: {named}", printable(&why)).ok();
    }
    if verbose && report.reading.left_out.count() > 0 {
        text.push_str("\nnot looked at:\n");
        for (name, why) in &report.reading.left_out.told {
            writeln!(text, "  {}: {}", printable(name), printable(why)).ok();
        }
        if report.reading.left_out.more > 0 {
            writeln!(text, "  and {} more", report.reading.left_out.more).ok();
        }
    }
    text
}
