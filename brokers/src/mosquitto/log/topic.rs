//! Log lines as Mosquitto publishes them on `$SYS/broker/log/#`.

/// First byte of a line whose class is known. The broker refuses control characters in ids, user
/// names and topics, and its own texts have none, so that no line of a file begins with it.
const MARK: u8 = 0x01;

/// A line that says: lines are missing here (see [`gap_line`]).
const GAP: &[u8] = &[MARK, b'G'];

/// What is known of a line beside its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// From a file: any kind of line, subscribe and unsubscribe lines among them.
    Any,
    /// From a topic that carries no subscribe or unsubscribe lines.
    Message,
    /// `M/subscribe`: `CLIENT QOS FILTER`.
    Subscribe,
    /// `M/unsubscribe`: `CLIENT FILTER`.
    Unsubscribe,
    /// Lines are missing.
    Gap,
}

/// The line to decode for a message on `$SYS/broker/log/...`: the payload with a mark of two
/// bytes that keeps what the topic tells. Subscribe and unsubscribe lines begin with a client id,
/// and in a file only the id's spelling tells them from other lines; the topic tells it for sure.
///
/// `None` for a topic that carries no log lines.
#[must_use]
pub fn topic_line(topic: &str, payload: &[u8]) -> Option<Vec<u8>> {
    let class = match topic.strip_prefix("$SYS/broker/log/")? {
        "M/subscribe" => b'S',
        "M/unsubscribe" => b'U',
        "" => return None,
        _ => b'L',
    };
    let mut line = Vec::with_capacity(payload.len() + 2);
    line.extend_from_slice(&[MARK, class]);
    line.extend_from_slice(payload);
    Some(line)
}

/// The line that a source hands in where it lost lines (a file rotated away while nobody read it,
/// a lost subscription): logins that still wait for their address are charged as ambiguous, and
/// the list of sessions is no longer taken to be complete.
#[must_use]
pub const fn gap_line() -> &'static [u8] {
    GAP
}

/// Takes the mark off.
pub(super) fn unmark(line: &[u8]) -> (Class, &[u8]) {
    match line {
        [MARK, b'G'] => (Class::Gap, &[]),
        [MARK, b'S', text @ ..] => (Class::Subscribe, text),
        [MARK, b'U', text @ ..] => (Class::Unsubscribe, text),
        [MARK, b'L', text @ ..] => (Class::Message, text),
        _ => (Class::Any, line),
    }
}
