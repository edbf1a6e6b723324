//! The frame of a story: what is told before it begins.

use fleet::time::Timestamp;

/// What is told first.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Hello {
    pub(super) seed: u64,
    pub(super) devices: usize,
    pub(super) speed: u32,
    pub(super) for_secs: Option<u64>,
    pub(super) starts_at: Timestamp,
    pub(super) broker: String,
    pub(super) profiles: Vec<String>,
}

#[cfg(test)]
impl Hello {
    pub(super) fn example() -> Self {
        Self {
            seed: 7,
            devices: 1_000,
            speed: 30,
            for_secs: Some(40),
            starts_at: Timestamp::from_millis(datasets::fleet_sim::START_MILLIS),
            broker: "127.0.0.1:1883".to_owned(),
            profiles: vec!["messages".to_owned()],
        }
    }
}
