//! The stories as two tables in text.

use super::{Attack, Benign, Stories};
use crate::cli::output::{printable, table};

const ATTACKS: [&str; 8] =
    ["DATA SET", "CAPTURE", "ATTACK", "CAUGHT", "AFTER S", "ALARMS", "BY", "NOT CAUGHT BECAUSE"];
const BENIGN: [&str; 8] =
    ["DATA SET", "CAPTURE", "DEVICES", "HOURS", "FALSE ALARMS", "PER DEVICE-HOUR", "PER DAY", "BY"];

/// The tables.
#[must_use]
pub fn render(stories: &Stories) -> String {
    let attacks: Vec<Vec<String>> = stories.attacks.iter().map(attack).collect();
    let quiet: Vec<Vec<String>> = stories.benign.iter().map(benign).collect();
    format!(
        "Attacks and faults\n\n{}\n\nWhat is benign\n\n{}\n\n{}\n",
        table(&ATTACKS, &attacks),
        table(&BENIGN, &quiet),
        sums(stories)
    )
}

fn attack(row: &Attack) -> Vec<String> {
    let by: Vec<String> = row
        .by
        .iter()
        .map(
            |(name, count)| {
                if row.times == 1 { short(name).into() } else { format!("{} ({count})", short(name)) }
            },
        )
        .collect();
    let after = match (row.after_secs, row.after_secs_max) {
        (Some(median), Some(longest)) if row.caught > 1 => format!("{median:.1} (max {longest:.1})"),
        (Some(one), _) => format!("{one:.1}"),
        (None, _) => "-".to_owned(),
    };
    vec![
        row.data_set.to_owned(),
        row.capture.to_owned(),
        printable(&row.attack),
        format!("{} of {}", row.caught, row.times),
        after,
        row.alarms.to_string(),
        if by.is_empty() { "-".to_owned() } else { by.join(", ") },
        row.missed.clone(),
    ]
}

fn benign(row: &Benign) -> Vec<String> {
    let by: Vec<String> = row.by.iter().map(|(name, count)| format!("{} ({count})", short(name))).collect();
    vec![
        row.data_set.to_owned(),
        row.capture.to_owned(),
        row.devices.to_string(),
        format!("{:.2}", row.hours),
        row.false_alarms.to_string(),
        format!("{:.5}", row.per_device_hour),
        format!("{:.2}", row.per_day),
        by.join(", "),
    ]
}

/// The behavior without its profile; JSON has both.
fn short(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(_, behavior)| behavior)
}

fn sums(stories: &Stories) -> String {
    let kinds = stories.attacks.len();
    let whole = stories.attacks.iter().filter(|row| row.caught == row.times).count();
    let none = stories.attacks.iter().filter(|row| row.caught == 0).count();
    let (caught, times) =
        stories.attacks.iter().fold((0, 0), |sum, row| (sum.0 + row.caught, sum.1 + row.times));
    let alarms: usize = stories.benign.iter().map(|row| row.false_alarms).sum();
    let hours: f64 = stories.benign.iter().map(|row| row.device_hours).sum();
    format!(
        "{kinds} kinds of attack or fault in captures: {whole} caught each time, {none} never; {caught} of {times} \
         single ones caught. {alarms} false alarms in {hours:.0} device-hours."
    )
}
