//! The answers that a device gets on `.../accepted` and `.../rejected`.
//!
//! Source: `device-defender-device-metrics.md`, section 5. The CBOR answer has the
//! members of the JSON one (inferred there: no source shows it).

use serde::Serialize;

use crate::time::Timestamp;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    thing_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    report_id: Option<u64>,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_details: Option<StatusDetails<'a>>,
    /// Epoch milliseconds.
    timestamp: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StatusDetails<'a> {
    error_code: &'a str,
    error_message: &'a str,
}

/// The answer to an accepted JSON report; `thing` is the one of the topic.
#[must_use]
pub fn accepted_json(thing: &str, report_id: u64, now: Timestamp) -> Vec<u8> {
    json(&Answer::accepted(thing, report_id, now))
}

/// The answer to a refused JSON report. `report_id` is left out where it is not known;
/// `code` is `InvalidPayload` for whatever is wrong with the report itself.
#[must_use]
pub fn rejected_json(
    thing: &str,
    report_id: Option<u64>,
    code: &str,
    message: &str,
    now: Timestamp,
) -> Vec<u8> {
    json(&Answer::rejected(thing, report_id, code, message, now))
}

/// The answer to an accepted CBOR report.
#[must_use]
pub fn accepted_cbor(thing: &str, report_id: u64, now: Timestamp) -> Vec<u8> {
    cbor(&Answer::accepted(thing, report_id, now))
}

/// The answer to a refused CBOR report; see [`rejected_json`].
#[must_use]
pub fn rejected_cbor(
    thing: &str,
    report_id: Option<u64>,
    code: &str,
    message: &str,
    now: Timestamp,
) -> Vec<u8> {
    cbor(&Answer::rejected(thing, report_id, code, message, now))
}

impl<'a> Answer<'a> {
    fn accepted(thing_name: &'a str, report_id: u64, now: Timestamp) -> Self {
        let timestamp = now.millis();
        Self { thing_name, report_id: Some(report_id), status: "ACCEPTED", status_details: None, timestamp }
    }

    fn rejected(
        thing_name: &'a str,
        report_id: Option<u64>,
        code: &'a str,
        message: &'a str,
        now: Timestamp,
    ) -> Self {
        let status_details = Some(StatusDetails { error_code: code, error_message: message });
        Self { thing_name, report_id, status: "REJECTED", status_details, timestamp: now.millis() }
    }
}

fn json(answer: &Answer<'_>) -> Vec<u8> {
    #[expect(clippy::expect_used, reason = "texts and whole numbers always serialize")]
    serde_json::to_vec(answer).expect("an answer is JSON")
}

fn cbor(answer: &Answer<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    let members = 3 + u64::from(answer.report_id.is_some()) + u64::from(answer.status_details.is_some());
    head(&mut out, 5, members);
    text(&mut out, "thingName");
    text(&mut out, answer.thing_name);
    if let Some(report_id) = answer.report_id {
        text(&mut out, "reportId");
        head(&mut out, 0, report_id);
    }
    text(&mut out, "status");
    text(&mut out, answer.status);
    if let Some(details) = &answer.status_details {
        text(&mut out, "statusDetails");
        head(&mut out, 5, 2);
        text(&mut out, "ErrorCode");
        text(&mut out, details.error_code);
        text(&mut out, "ErrorMessage");
        text(&mut out, details.error_message);
    }
    text(&mut out, "timestamp");
    match u64::try_from(answer.timestamp) {
        Ok(millis) => head(&mut out, 0, millis),
        Err(_) => head(&mut out, 1, answer.timestamp.unsigned_abs() - 1),
    }
    out
}

fn text(out: &mut Vec<u8>, text: &str) {
    head(out, 3, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// The head of a data item in its shortest form (RFC 8949, section 3).
fn head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let [.., a, b, c, d] = argument.to_be_bytes();
    let major = major << 5;
    match argument {
        0..24 => out.push(major | d),
        24..=0xff => out.extend_from_slice(&[major | 24, d]),
        0x100..=0xffff => out.extend_from_slice(&[major | 25, c, d]),
        0x1_0000..=0xffff_ffff => out.extend_from_slice(&[major | 26, a, b, c, d]),
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&argument.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_735_689_600_417);

    #[test]
    fn json_answers_are_those_of_the_guide() {
        assert_eq!(
            String::from_utf8(accepted_json("pump-17", 1_735_689_600, NOW)).unwrap(),
            r#"{"thingName":"pump-17","reportId":1735689600,"status":"ACCEPTED","timestamp":1735689600417}"#
        );
        assert_eq!(
            String::from_utf8(rejected_json(
                "pump-17",
                Some(7),
                "InvalidPayload",
                "Malformed metrics report",
                NOW
            ))
            .unwrap(),
            r#"{"thingName":"pump-17","reportId":7,"status":"REJECTED","statusDetails":{"ErrorCode":"InvalidPayload","ErrorMessage":"Malformed metrics report"},"timestamp":1735689600417}"#
        );
        assert_eq!(
            String::from_utf8(rejected_json("a\"b", None, "InvalidPayload", "x: found `\"y\"`", NOW))
                .unwrap(),
            r#"{"thingName":"a\"b","status":"REJECTED","statusDetails":{"ErrorCode":"InvalidPayload","ErrorMessage":"x: found `\"y\"`"},"timestamp":1735689600417}"#
        );
    }

    /// The bytes were written by hand from RFC 8949.
    #[test]
    fn cbor_answers_have_the_same_members() {
        let mut expected = vec![0xa4, 0x69];
        expected.extend(b"thingName\x67pump-17\x68reportId\x1a");
        expected.extend(1_735_689_600_u32.to_be_bytes());
        expected.extend(b"\x66status\x68ACCEPTED\x69timestamp\x1b");
        expected.extend(1_735_689_600_417_u64.to_be_bytes());
        assert_eq!(accepted_cbor("pump-17", 1_735_689_600, NOW), expected);

        let long = "m".repeat(300);
        let mut expected = vec![0xa4, 0x69];
        expected.extend(
            b"thingName\x61p\x66status\x68REJECTED\x6dstatusDetails\xa2\x69ErrorCode\x6eInvalidPayload",
        );
        expected.extend(b"\x6cErrorMessage\x79\x01\x2c");
        expected.extend(long.as_bytes());
        expected.extend(b"\x69timestamp\x38\x63");
        assert_eq!(rejected_cbor("p", None, "InvalidPayload", &long, Timestamp::from_millis(-100)), expected);
    }
}
