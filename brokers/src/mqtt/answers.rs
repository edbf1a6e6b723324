//! The `accepted` and `rejected` answers that a device gets to its report.
//!
//! Source: `device-defender-device-metrics.md`, section 5. Accepted means parsed and journaled.

use detector::input::{Format, Outcome};
use fleet::{report, time::Timestamp};

use super::topics::Topics;

/// The only error code that Device Defender is known to send.
const CODE: &str = "InvalidPayload";

/// Who asked for an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Thing of the topic.
    pub thing: Box<str>,
    /// Encoding of the report; the answer has the same.
    pub format: Format,
}

/// Topic and payload of the answer; none where the outcome calls for none.
#[must_use]
pub fn answer(
    topics: &Topics,
    asked: &Asked,
    outcome: &Outcome,
    now: Timestamp,
) -> Option<(String, Vec<u8>)> {
    let thing = &asked.thing;
    let cbor = asked.format == Format::ReportCbor;
    let (accepted, payload) = match outcome {
        Outcome::Journaled { report_id } => {
            let id = (*report_id)?;
            (
                true,
                if cbor {
                    report::accepted_cbor(thing, id, now)
                } else {
                    report::accepted_json(thing, id, now)
                },
            )
        }
        Outcome::Irrelevant => return None,
        Outcome::Refused(refusal) => {
            let encode = if cbor { report::rejected_cbor } else { report::rejected_json };
            (false, encode(thing, refusal.report_id, CODE, &refusal.message, now))
        }
    };
    Some((topics.answer(thing, asked.format, accepted), payload))
}
