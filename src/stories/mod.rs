//! Attack stories: which behaviors catch which attack of the public captures, when, and at which
//! price in false alarms.
//!
//! Each capture is folded by the engine that also runs live, with the profiles as they are: one set
//! for all captures. The table says what came out, not what should have.

mod judge;
mod table;
pub mod tape;

use std::collections::BTreeMap;

use brokers::recorded::RecordedDecoder;
use datasets::{
    folder::{DatasetError, Folder},
    recording::{CAPTURES, Recording},
};
use detector::{
    change::Rules,
    engine::Engine,
    front::Decoders,
    input::{Format, Input, SourceId},
    replay::Replay,
    transition::Transition,
};
use fleet::registry::Registry;

pub use judge::{Attack, Benign, Stories};
pub use table::render;

use tape::Tape;

/// The shipped starter profiles: file name and text.
pub const SHIPPED: [(&str, &str); 5] = [
    ("across-the-fleet.json", include_str!("../../profiles/across-the-fleet.json")),
    ("device-network.json", include_str!("../../profiles/device-network.json")),
    ("logins-and-connections.json", include_str!("../../profiles/logins-and-connections.json")),
    ("messages.json", include_str!("../../profiles/messages.json")),
    ("silence.json", include_str!("../../profiles/silence.json")),
];

/// Windows end only when time goes on: a window and the lateness past the last event closes those
/// in which something happened. More would make devices silent that were only recorded no longer.
const AFTER_MS: i64 = 300_000 + Rules::LATENESS_MS_MAX as i64;

/// Runs all captures with labels under the profiles (file name and text).
///
/// # Errors
/// When a file of the data sets is missing or damaged.
pub fn run(folder: &Folder, profiles: &[(String, String)]) -> Result<Stories, DatasetError> {
    let rules = Rules { profiles: profiles.to_vec(), ..Rules::default() };
    let mut stories = Stories::default();
    for capture in &CAPTURES {
        let recording = Recording::open(folder, capture)?;
        if recording.labelled {
            let tape = Tape::record(&recording);
            let transitions = fold(&tape, &rules, recording.knows_devices);
            judge::judge(capture, &recording, &tape, &transitions, &mut stories);
        }
    }
    Ok(stories)
}

/// All transitions of a capture.
fn fold(tape: &Tape, rules: &Rules, knows_devices: bool) -> Vec<Transition> {
    let registry = if knows_devices { registry(tape) } else { Registry::default() };
    let decoders = Decoders::default().with(Format::Recorded, Box::new(RecordedDecoder::new()));
    let mut replay = Replay::new(Engine::new(decoders, 1, Vec::new()), rules, &registry);
    let mut transitions = Vec::new();
    let mut keep = |transition| transitions.push(transition);
    for (at, payload) in tape.lines() {
        let input = Input {
            source: SourceId(1),
            format: Format::Recorded,
            arrival: at,
            position: 0,
            subject: "".into(),
            payload: payload.into(),
            tag: 0,
        };
        replay.input(&input, &mut keep, &mut |refusal| {
            debug_assert!(false, "an event that was written here is refused: {refusal}");
        });
    }
    if let Some((_, last)) = tape.span() {
        replay.tick(last.plus_millis(AFTER_MS), &mut keep);
    }
    replay.finish(&mut keep);
    transitions
}

/// The devices of the capture, as registered things without groups. A client id that cannot be a
/// thing's name is followed all the same.
fn registry(tape: &Tape) -> Registry {
    let names = tape.things().keys().filter_map(|name| name.parse().ok());
    Registry {
        things: names.map(|name| (name, fleet::registry::Thing::default())).collect(),
        groups: BTreeMap::new(),
    }
}
