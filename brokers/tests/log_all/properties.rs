//! Properties over real lines and arbitrary bytes.

use std::sync::LazyLock;

use brokers::mosquitto::log::{LogDecoder, topic_line};
use detector::input::{Decoded, Decoder as _};
use fleet::time::Timestamp;
use proptest::prelude::*;

use super::support::{ARRIVAL, SOURCE, capture, decode_line, lines, timed};

static REAL: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    [
        "2.0.11-plain-all",
        "2.0.11-tls-all",
        "2.0.11-dynsec-all",
        "2.1.2-plain-all",
        "2.1.2-tls-all",
        "2.0.11-burst-all",
    ]
    .iter()
    .flat_map(|name| lines(&capture(&format!("{name}.log"))).map(<[u8]>::to_vec).collect::<Vec<_>>())
    .collect()
});

fn real() -> impl Strategy<Value = Vec<u8>> {
    (0..REAL.len()).prop_map(|index| REAL[index].clone())
}

/// A real line with a piece replaced by a piece of another one, or by any bytes.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![real(), any::<Vec<u8>>(), "[ -~]{0,40}".prop_map(String::into_bytes)];
    (real(), piece, any::<[prop::sample::Index; 4]>()).prop_map(|(mut line, piece, at)| {
        let (a, b) = (at[0].index(line.len() + 1), at[1].index(line.len() + 1));
        let (c, d) = (at[2].index(piece.len() + 1), at[3].index(piece.len() + 1));
        line.splice(a.min(b)..a.max(b), piece[c.min(d)..c.max(d)].iter().copied());
        line
    })
}

fn any_line() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![4 => real(), 4 => mutated(), 1 => any::<Vec<u8>>()]
}

proptest! {
    /// Nothing panics; a line without effect leaves the state as it was; a state that is saved
    /// and restored anywhere gives the same events after.
    #[test]
    fn any_lines_are_taken(all in prop::collection::vec(any_line(), 1..60), cut in any::<prop::sample::Index>()) {
        let mut decoder = LogDecoder::new();
        let mut other = LogDecoder::new();
        let cut = cut.index(all.len());
        for (index, line) in all.iter().enumerate() {
            if index == cut {
                let mut restored = LogDecoder::new();
                restored.restore(&other.save()).unwrap();
                other = restored;
            }
            decoder.tick(ARRIVAL, &mut |_| {});
            other.tick(ARRIVAL, &mut |_| {});
            let before = decoder.save();
            let (decoded, events) = decode_line(&mut decoder, line);
            prop_assert_eq!(&(decoded.clone(), events.clone()), &decode_line(&mut other, line));
            if !matches!(decoded, Decoded::Relevant { .. }) {
                prop_assert!(events.is_empty());
                prop_assert_eq!(before, decoder.save());
            }
        }
        prop_assert_eq!(decoder.save(), other.save());
    }

    #[test]
    fn topics_and_states_of_any_bytes_do_not_panic(topic: String, bytes: Vec<u8>) {
        let mut decoder = LogDecoder::new();
        drop(decoder.restore(&bytes));
        for topic in [topic.as_str(), "$SYS/broker/log/M/subscribe", "$SYS/broker/log/M/unsubscribe"] {
            if let Some(line) = topic_line(topic, &bytes) {
                decode_line(&mut decoder, &line);
            }
        }
    }

    /// Leaving out what has no effect, as the journal does, changes nothing.
    #[test]
    fn a_replay_of_what_mattered_gives_the_same_events(all in prop::collection::vec(any_line(), 1..60)) {
        let (mut live, mut replay) = (LogDecoder::new(), LogDecoder::new());
        for (secs, line) in (1..).zip(&all) {
            let now = Timestamp::from_secs(secs * 5);
            let (mut a, mut b) = (Vec::new(), Vec::new());
            let decoded = live.decode(SOURCE, now, "", line, &mut |event| a.push(timed(event)));
            if matches!(decoded, Decoded::Relevant { .. }) {
                replay.decode(SOURCE, now, "", line, &mut |event| b.push(timed(event)));
            }
            prop_assert_eq!(a, b);
        }
    }
}

/// The whole of a capture, saved and restored before every single line.
#[test]
fn a_restart_at_any_line_changes_nothing() {
    for name in ["2.0.11-plain-all", "2.0.11-burst-default", "2.1.2-dynsec-all"] {
        let log = capture(&format!("{name}.log"));
        let mut decoder = LogDecoder::new();
        let mut restarted = LogDecoder::new();
        for line in lines(&log) {
            let mut next = LogDecoder::new();
            next.restore(&restarted.save()).unwrap();
            restarted = next;
            assert_eq!(decode_line(&mut restarted, line), decode_line(&mut decoder, line), "{name}");
        }
    }
}

#[test]
fn a_state_of_another_version_is_refused() {
    let mut decoder = LogDecoder::new();
    assert_eq!(decoder.restore(&[]).unwrap_err(), "state of the log decoder: version None; expected 1");
    assert_eq!(decoder.restore(&[9]).unwrap_err(), "state of the log decoder: version Some(9); expected 1");
    assert!(decoder.restore(&[1, 9]).unwrap_err().starts_with("state of the log decoder: "));
}
