//! `fleetward audit diff`

use audits::finding::Finding;
use audits::run::compare::compare;
use serde_json::json;

use super::arguments::DiffArguments;
use super::saved;
use crate::cli::{Exit, output};

pub(super) fn run(arguments: &DiffArguments) -> anyhow::Result<Exit> {
    let (old, new) = (saved(&arguments.old)?, saved(&arguments.new)?);
    let changes = compare(&old.checks, &new.checks);
    if arguments.json {
        let all = json!({"appeared": changes.appeared, "gone": changes.gone, "stayed": changes.stayed.len()});
        output::line(&serde_json::to_string_pretty(&all)?)?;
    } else {
        let row = |mark: &str, finding: &Finding| {
            let place =
                finding.place.as_ref().map_or_else(|| finding.resource.to_string(), ToString::to_string);
            [mark, finding.severity.name(), &place, &finding.check, &finding.reason]
                .map(output::printable)
                .to_vec()
        };
        let appeared = changes.appeared.iter().map(|finding| row("+", finding));
        let gone = changes.gone.iter().map(|finding| row("-", finding));
        let rows: Vec<Vec<String>> = appeared.chain(gone).collect();
        if !rows.is_empty() {
            output::line(&output::table(&["", "SEVERITY", "WHERE", "CHECK", "FINDING"], &rows))?;
        }
        output::line(&format!(
            "{} new, {} gone, {} as before",
            changes.appeared.len(),
            changes.gone.len(),
            changes.stayed.len()
        ))?;
    }
    Ok(if changes.appeared.is_empty() { Exit::Done } else { Exit::Noncompliant })
}
