//! The best practices in one table, in the order of `iot-lens.md`.

use serde::Serialize;

/// A pillar of the lens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Pillar {
    /// Security.
    Security,
    /// Reliability.
    Reliability,
    /// Performance efficiency.
    Performance,
    /// Cost optimization.
    Cost,
    /// Operational excellence.
    Operations,
    /// Sustainability: pillar of the later edition; it has answered items only.
    Sustainability,
}

impl Pillar {
    /// All, in the order of the report.
    pub const ALL: [Self; 6] = [
        Self::Security,
        Self::Reliability,
        Self::Performance,
        Self::Cost,
        Self::Operations,
        Self::Sustainability,
    ];

    /// As people read it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Security => "Security",
            Self::Reliability => "Reliability",
            Self::Performance => "Performance efficiency",
            Self::Cost => "Cost optimization",
            Self::Operations => "Operational excellence",
            Self::Sustainability => "Sustainability",
        }
    }
}

/// How much a best practice matters, most first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Priority {
    /// Required.
    Required,
    /// Highly recommended.
    HighlyRecommended,
    /// Recommended.
    Recommended,
}

impl Priority {
    /// All, most important first.
    pub const ALL: [Self; 3] = [Self::Required, Self::HighlyRecommended, Self::Recommended];

    /// As the lens writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Required => "Required",
            Self::HighlyRecommended => "Highly Recommended",
            Self::Recommended => "Recommended",
        }
    }
}

/// Who decides a best practice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// Decided from evidence.
    Auto,
    /// Evidence is shown, a person decides.
    Partial,
    /// A person answers.
    Answer,
}

impl How {
    /// As `iot-lens.md` writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Partial => "partial",
            Self::Answer => "answer",
        }
    }
}

/// One best practice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Practice {
    /// Id, such as `11.4`.
    pub id: &'static str,
    /// Pillar.
    pub pillar: Pillar,
    /// Question that it belongs to, from 1.
    pub question: u8,
    /// Priority.
    pub priority: Priority,
    /// What is asked for, in a few words.
    pub title: &'static str,
    /// Who decides.
    pub how: How,
}

/// The best practice of an id.
#[must_use]
pub fn practice(id: &str) -> Option<&'static Practice> {
    PRACTICES.iter().find(|practice| practice.id == id)
}

/// All best practices.
#[rustfmt::skip]
pub const PRACTICES: &[Practice] = &[
    row("1.1", Pillar::Security, 1, Priority::Required, How::Auto, "Every device has an identity of its own"),
    row("1.2", Pillar::Security, 1, Priority::HighlyRecommended, How::Auto, "Devices may do only what they need"),
    row("2.1", Pillar::Security, 2, Priority::Required, How::Answer, "Credentials lie in separate hardware or a protected area of the device"),
    row("2.2", Pillar::Security, 2, Priority::HighlyRecommended, How::Answer, "A trusted platform module does the cryptography"),
    row("2.3", Pillar::Security, 2, Priority::Recommended, How::Answer, "Devices boot verified software and encrypt what they store"),
    row("3.1", Pillar::Security, 3, Priority::Required, How::Auto, "People log in and have only the rights of their role"),
    row("3.2", Pillar::Security, 3, Priority::HighlyRecommended, How::Partial, "People and applications do not reach the devices' broker directly"),
    row("4.1", Pillar::Security, 4, Priority::Required, How::Auto, "Refused and failed accesses are logged, measured and answered"),
    row("4.2", Pillar::Security, 4, Priority::HighlyRecommended, How::Auto, "Security events, misconfiguration and odd behavior raise alerts"),
    row("4.3", Pillar::Security, 4, Priority::Recommended, How::Auto, "Non-compliant configurations raise alerts and are put right by automation"),
    row("5.1", Pillar::Security, 5, Priority::Required, How::Auto, "A way to answer incidents on many devices exists and is exercised"),
    row("5.2", Pillar::Security, 5, Priority::HighlyRecommended, How::Answer, "Suppliers report vulnerabilities and deliver updates in time"),
    row("6.1", Pillar::Security, 6, Priority::Required, How::Auto, "Certificates are managed from issue to revocation"),
    row("7.1", Pillar::Security, 7, Priority::Required, How::Auto, "Data are encrypted on the wire and where they are stored"),
    row("7.2", Pillar::Security, 7, Priority::HighlyRecommended, How::Answer, "Data are classified, and the class decides who may see them"),
    row("7.3", Pillar::Security, 7, Priority::Recommended, How::Answer, "Data are protected as the law and the rules of the trade demand"),
    row("8.1", Pillar::Reliability, 8, Priority::HighlyRecommended, How::Partial, "Failures between services are noticed and handled with the means at hand"),
    row("9.1", Pillar::Reliability, 9, Priority::Required, How::Partial, "Capacity of the back end follows the load"),
    row("10.1", Pillar::Reliability, 10, Priority::Required, How::Auto, "Data are stored before they are processed"),
    row("10.2", Pillar::Reliability, 10, Priority::HighlyRecommended, How::Partial, "The loss of the primary storage is compensated"),
    row("11.1", Pillar::Reliability, 11, Priority::Required, How::Partial, "Device state is brought in step when a device connects"),
    row("11.2", Pillar::Reliability, 11, Priority::HighlyRecommended, How::Answer, "Devices can hold their data while they are disconnected"),
    row("11.3", Pillar::Reliability, 11, Priority::HighlyRecommended, How::Partial, "Data are thinned out before they use network and storage"),
    row("11.4", Pillar::Reliability, 11, Priority::Recommended, How::Auto, "Devices reconnect with growing, jittered pauses"),
    row("12.1", Pillar::Reliability, 12, Priority::Required, How::Auto, "Device clocks are synchronized"),
    row("12.2", Pillar::Reliability, 12, Priority::HighlyRecommended, How::Partial, "Devices can reach a time server"),
    row("13.1", Pillar::Reliability, 13, Priority::Required, How::Auto, "Messages go to the devices they concern"),
    row("13.2", Pillar::Reliability, 13, Priority::HighlyRecommended, How::Partial, "Retries and throttling suit the type of device"),
    row("14.1", Pillar::Reliability, 14, Priority::Required, How::Partial, "Firmware updates are deployed and followed"),
    row("14.2", Pillar::Reliability, 14, Priority::HighlyRecommended, How::Answer, "Devices can go back to the firmware before"),
    row("14.3", Pillar::Reliability, 14, Priority::Recommended, How::Partial, "Updates reach the fleet group by group"),
    row("14.4", Pillar::Reliability, 14, Priority::Recommended, How::Partial, "Device configuration can be changed remotely"),
    row("15.1", Pillar::Reliability, 15, Priority::Required, How::Partial, "The back end addresses only devices that are online"),
    row("15.2", Pillar::Reliability, 15, Priority::HighlyRecommended, How::Answer, "Devices and applications can use another region"),
    row("15.3", Pillar::Reliability, 15, Priority::Recommended, How::Answer, "Edge devices keep and evaluate data"),
    row("16.1", Pillar::Performance, 16, Priority::HighlyRecommended, How::Auto, "Performance of the running system is analyzed"),
    row("16.2", Pillar::Performance, 16, Priority::Recommended, How::Auto, "Published messages carry a timestamp"),
    row("16.3", Pillar::Performance, 16, Priority::Recommended, How::Answer, "The system is tested under load"),
    row("17.1", Pillar::Performance, 17, Priority::HighlyRecommended, How::Auto, "Devices report diagnostics"),
    row("17.2", Pillar::Performance, 17, Priority::Recommended, How::Partial, "Firmware updates are measured and improved"),
    row("17.3", Pillar::Performance, 17, Priority::Required, How::Auto, "Devices receive few messages that they must throw away"),
    row("18.1", Pillar::Performance, 18, Priority::Recommended, How::Auto, "Quotas are watched and managed"),
    row("19.1", Pillar::Performance, 19, Priority::HighlyRecommended, How::Answer, "The way data come in suits the use"),
    row("19.2", Pillar::Performance, 19, Priority::Required, How::Auto, "Connectivity and the needed freshness of data are known"),
    row("19.3", Pillar::Performance, 19, Priority::Recommended, How::Partial, "What devices send is optimized"),
    row("20.1", Pillar::Cost, 20, Priority::Required, How::Auto, "Raw telemetry is kept in a data lake"),
    row("20.2", Pillar::Cost, 20, Priority::HighlyRecommended, How::Partial, "Users find and extract data themselves"),
    row("20.3", Pillar::Cost, 20, Priority::HighlyRecommended, How::Partial, "Use of data sources is known and managed"),
    row("20.4", Pillar::Cost, 20, Priority::HighlyRecommended, How::Partial, "Data are aggregated at the edge"),
    row("21.1", Pillar::Cost, 21, Priority::HighlyRecommended, How::Answer, "Services are chosen with their cost in view"),
    row("21.2", Pillar::Cost, 21, Priority::HighlyRecommended, How::Auto, "Telemetry is lean"),
    row("21.3", Pillar::Cost, 21, Priority::HighlyRecommended, How::Partial, "Shadows hold only what changes slowly"),
    row("21.4", Pillar::Cost, 21, Priority::HighlyRecommended, How::Auto, "Devices and messages are tagged for cost allocation"),
    row("21.5", Pillar::Cost, 21, Priority::HighlyRecommended, How::Auto, "Messaging is arranged for low transfer cost"),
    row("22.1", Pillar::Cost, 22, Priority::Required, How::Auto, "Data are archived and deleted by rule"),
    row("22.2", Pillar::Cost, 22, Priority::HighlyRecommended, How::Answer, "Kind of storage suits its use"),
    row("22.3", Pillar::Cost, 22, Priority::Recommended, How::Partial, "Raw archives lie on cheap storage"),
    row("23.1", Pillar::Operations, 23, Priority::Required, How::Auto, "Events find the appropriate answer"),
    row("24.1", Pillar::Operations, 24, Priority::Required, How::Answer, "The team is trained in the system's life cycle and its purpose"),
    row("25.1", Pillar::Operations, 25, Priority::Required, How::Answer, "The way of a device from factory to fleet is documented"),
    row("25.2", Pillar::Operations, 25, Priority::Recommended, How::Partial, "Devices are provisioned by programs"),
    row("25.3", Pillar::Operations, 25, Priority::HighlyRecommended, How::Partial, "Devices can be provisioned again"),
    row("25.4", Pillar::Operations, 25, Priority::Recommended, How::Auto, "Audit data show which devices may be compromised"),
    row("25.5", Pillar::Operations, 25, Priority::HighlyRecommended, How::Answer, "Devices start with the endpoint nearest to them"),
    row("26.1", Pillar::Operations, 26, Priority::Required, How::Auto, "Devices are provisioned into a planned hierarchy"),
    row("26.2", Pillar::Operations, 26, Priority::Recommended, How::Auto, "Fixed and dynamic groups are used to operate the fleet"),
    row("26.3", Pillar::Operations, 26, Priority::Recommended, How::Auto, "Devices are found quickly by search"),
    row("27.1", Pillar::Operations, 27, Priority::Required, How::Auto, "Lifecycle events of the fleet are collected"),
    row("27.2", Pillar::Operations, 27, Priority::HighlyRecommended, How::Auto, "Devices report their status regularly"),
    row("27.3", Pillar::Operations, 27, Priority::Recommended, How::Auto, "Connectivity patterns are noticed"),
    row("28.1", Pillar::Operations, 28, Priority::Recommended, How::Auto, "Attributes are used to find devices that behave oddly"),
];

const fn row(
    id: &'static str,
    pillar: Pillar,
    question: u8,
    priority: Priority,
    how: How,
    title: &'static str,
) -> Practice {
    Practice { id, pillar, question, priority, title, how }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn counts_are_those_of_the_lens() {
        let count = |how| PRACTICES.iter().filter(|practice| practice.how == how).count();
        assert_eq!((count(How::Auto), count(How::Partial), count(How::Answer)), (33, 21, 17));
        let ids: BTreeSet<&str> = PRACTICES.iter().map(|practice| practice.id).collect();
        let questions: BTreeSet<u8> = PRACTICES.iter().map(|practice| practice.question).collect();
        assert_eq!((ids.len(), questions), (71, (1..=28).collect()));
        for practice in PRACTICES {
            let question = practice.question.to_string();
            assert_eq!(practice.id.split_once('.').unwrap().0, question, "{}", practice.id);
        }
    }

    /// Only where the sheet lies beside the data sets; the counts above hold everywhere.
    #[test]
    fn rows_are_those_of_the_sheet() {
        let Some(folder) = std::env::var_os("FLEETWARD_DATASETS") else { return };
        let sheet = std::path::Path::new(&folder).join("../spec/iot-lens.md");
        let Ok(sheet) = std::fs::read_to_string(sheet) else { return };
        let cells = |line: &str| -> Vec<String> {
            line.split('|').map(|cell| cell.trim().to_owned()).filter(|cell| !cell.is_empty()).collect()
        };
        let written: Vec<Vec<String>> =
            sheet.lines().filter(|line| line.starts_with("| ")).map(cells).skip(1).collect();
        assert_eq!(written.len(), PRACTICES.len());
        for (row, practice) in written.iter().zip(PRACTICES) {
            let found = [
                practice.id.to_owned(),
                practice.pillar.name().to_owned(),
                practice.question.to_string(),
                practice.priority.name().to_owned(),
                practice.how.name().to_owned(),
            ];
            assert_eq!([&row[0], &row[1], &row[2], &row[3], &row[5]].map(Clone::clone), found);
        }
    }
}
