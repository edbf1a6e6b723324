//! In which dimensions the message on a topic is, remembered for topics that come again.

use behaviors::dimension::{Dimensions, Mask};
use xxhash_rust::xxh3::xxh3_64;

/// Topics that are remembered. Each has one place; a new one takes it.
const ENTRIES: usize = 4_096;
/// Longest topic with client id that is remembered, bytes; longer ones are matched each time.
const KEY_BYTES_MAX: usize = 256;

/// A cache of [`Dimensions::mask`]: at most about a megabyte, and no allocation once it is full. What
/// it answers does not depend on what it holds.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    entries: Vec<Entry>,
    /// A filter has the client id in it, so that the same topic means different things.
    by_client: bool,
}

#[derive(Clone, Debug, Default)]
struct Entry {
    topic_len: usize,
    /// Topic, then client id if that matters.
    key: Vec<u8>,
    mask: Mask,
}

impl Topics {
    pub(crate) fn new(dimensions: &Dimensions) -> Self {
        let entries = if dimensions.is_empty() { 0 } else { ENTRIES };
        Self { entries: vec![Entry::default(); entries], by_client: dimensions.has_client() }
    }

    pub(crate) fn mask(&mut self, dimensions: &Dimensions, topic: &str, client: &str) -> Mask {
        let client_key = if self.by_client { client } else { "" };
        let len = topic.len() + client_key.len();
        let hash = xxh3_64(topic.as_bytes()) ^ xxh3_64(client_key.as_bytes()).rotate_left(17);
        let place = usize::try_from(hash % ENTRIES as u64).unwrap_or(0);
        let Some(entry) = self.entries.get_mut(place).filter(|_| len <= KEY_BYTES_MAX) else {
            return dimensions.mask(topic, client);
        };
        let known = entry.key.split_at_checked(entry.topic_len);
        if len > 0 && known == Some((topic.as_bytes(), client_key.as_bytes())) {
            return entry.mask;
        }
        entry.mask = dimensions.mask(topic, client);
        entry.topic_len = topic.len();
        entry.key.clear();
        entry.key.extend_from_slice(topic.as_bytes());
        entry.key.extend_from_slice(client_key.as_bytes());
        entry.mask
    }

    pub(crate) fn memory(&self) -> usize {
        let keys: usize = self.entries.iter().map(|entry| entry.key.capacity()).sum();
        self.entries.capacity() * size_of::<Entry>() + keys
    }
}

#[cfg(test)]
mod tests {
    use behaviors::dimension::{DimensionFilters, Filter};

    use super::*;

    #[test]
    fn the_cache_answers_as_the_dimensions_do() {
        for filter in ["dev/+/up", "dev/${iot:ClientId}/up"] {
            let filters = vec![Filter::parse(filter).unwrap()];
            let dimensions = Dimensions::new(vec![DimensionFilters { name: "d".into(), filters }]);
            let mut topics = Topics::new(&dimensions);
            let long = format!("dev/{}/up", "x".repeat(300));
            for n in 0..40_000_u32 {
                let client = format!("{}", n % 7);
                let topic = match n % 5 {
                    0 => format!("dev/{}/up", n % 9),
                    1 => format!("dev/{n}/up"),
                    2 => String::new(),
                    3 => long.clone(),
                    _ => format!("other/{n}"),
                };
                assert_eq!(
                    topics.mask(&dimensions, &topic, &client),
                    dimensions.mask(&topic, &client),
                    "{topic}"
                );
            }
            assert!(topics.memory() < 2 << 20);
        }
    }
}
