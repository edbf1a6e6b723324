//! What the targets of decoders share: a session of inputs, and what every decoder promises.

use detector::input::{Decoded, Decoder, SourceId};
use fleet::time::Timestamp;

/// One input: thing or client id of the topic, and the bytes.
pub struct Message<'a> {
    pub subject: &'a str,
    pub payload: &'a [u8],
}

/// Feeds a session to a decoder, twice: in one go, and with save and restore before message `cut`.
///
/// # Panics
/// When an input that is refused or irrelevant gave an event or changed the state, and when the
/// restored decoder goes on in another way than the one that was saved.
pub fn check<D: Decoder>(new: impl Fn() -> D, messages: &[Message<'_>], cut: usize) {
    let mut whole = Session { decoder: new(), events: Vec::new() };
    let mut second = None;
    for (index, message) in messages.iter().enumerate() {
        if index == cut {
            let state = whole.decoder.save();
            let mut decoder = new();
            decoder.restore(&state).expect("its own state");
            assert_eq!(decoder.save(), state, "a restored state is written as it was read");
            second = Some(Session { decoder, events: Vec::new() });
            whole.events.clear();
        }
        whole.take(index, message);
        if let Some(second) = &mut second {
            second.take(index, message);
        }
    }
    if let Some(second) = second {
        assert_eq!(whole.events, second.events);
        assert_eq!(whole.decoder.save(), second.decoder.save());
    }
}

struct Session<D> {
    decoder: D,
    events: Vec<String>,
}

impl<D: Decoder> Session<D> {
    /// Message `index` arrives that many seconds after the first.
    fn take(&mut self, index: usize, message: &Message<'_>) {
        let Self { decoder, events } = self;
        let arrival = Timestamp::from_secs(1_767_225_600 + i64::try_from(index).expect("few"));
        let before = decoder.save();
        let count = events.len();
        let Message { subject, payload } = *message;
        let decoded = decoder
            .decode(SourceId(1), arrival, subject, payload, &mut |event| events.push(format!("{event:?}")));
        match decoded {
            Decoded::Relevant { .. } => {}
            Decoded::Irrelevant => unchanged(decoder, &before, events.len() - count),
            Decoded::Refused(refusal) => {
                assert!(!refusal.reason.is_empty() && !refusal.message.is_empty());
                assert!(refusal.message.len() < 2000, "{}", refusal.message.len());
                unchanged(decoder, &before, events.len() - count);
            }
        }
        decoder.tick(arrival, &mut |event| events.push(format!("{event:?}")));
    }
}

fn unchanged(decoder: &impl Decoder, before: &[u8], events: usize) {
    assert_eq!(events, 0, "an input without meaning gave events");
    assert!(decoder.save() == before, "an input without meaning changed the state");
}
