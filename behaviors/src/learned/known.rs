//! Values learnt in time: addresses, ports, topics, users; what is new afterwards is told.

use std::net::IpAddr;

use fleet::time::Timestamp;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    peers::Peers,
    verdict::Verdict,
    words::{put, secs, word},
};

/// A set of values that one entity is known for.
///
/// While it learns (for so long and so many observations, whichever is later), every value is
/// taken in. Afterwards an observation with a value that is not in the set violates; the value
/// is then taken in (`remember`), so that it is told once, or not, so that it is told every time.
///
/// Bounded: `capacity` values, each a hash of 32 bits, in the order of their last use. A new
/// value that finds no room takes the place of the one that was not seen for longest; that is
/// counted. Values of an evicted hash are new again. Two values share a hash once in 2^32: with
/// 64 values in the set, one new value in 67 million goes unnoticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownSet {
    /// Seconds before the first verdict.
    pub learn_secs: u32,
    /// Observations before the first verdict.
    pub learn_observations: u32,
    /// Values held at most, 1 to [`KnownSet::CAPACITY_MAX`], of a group's set to
    /// [`KnownSet::GROUP_CAPACITY_MAX`].
    pub capacity: u16,
    /// Whether a new value is known after it was told.
    pub remember: bool,
    /// Bits of an IPv4 address that count.
    pub v4_prefix: u8,
    /// Bits of an IPv6 address that count.
    pub v6_prefix: u8,
    /// Levels of a topic that count; all if none is given.
    pub topic_levels: Option<u8>,
    /// Whose set it is: of these things together ([`super::peers`]), or of each thing if none is given.
    pub of: Option<Peers>,
}

impl Default for KnownSet {
    fn default() -> Self {
        Self {
            learn_secs: 7 * 86_400,
            learn_observations: 100,
            capacity: 16,
            remember: true,
            v4_prefix: 32,
            v6_prefix: 64,
            topic_levels: None,
            of: None,
        }
    }
}

const FIRST: usize = 0;
const OBSERVED: usize = 1;
/// Values held (low byte), evictions above.
const SIZES: usize = 2;
const VALUES: usize = 3;

/// What an observation brought.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Known {
    /// Verdict; its limit is the number of values that are known.
    pub verdict: Verdict,
    /// The first of the values that is new, if the verdict is that.
    pub new: Option<usize>,
    /// Values that lost their place.
    pub evicted: u32,
}

impl KnownSet {
    /// Most values a set can hold.
    pub const CAPACITY_MAX: u16 = 64;
    /// The same of a set that a group has together.
    pub const GROUP_CAPACITY_MAX: u16 = 1_024;

    /// Words of the state: 3, and one a value; none of a thing whose group has the set.
    #[must_use]
    pub const fn words(&self) -> usize {
        if self.of.is_some() { 0 } else { VALUES + self.capacity as usize }
    }

    /// Judges an observation, the hashes of its values, and learns from it. An observation
    /// without a value is compliant.
    pub fn observe(&self, words: &mut [u32], at: Timestamp, hashes: impl IntoIterator<Item = u32>) -> Known {
        let now = secs(at);
        if word(words, FIRST) == 0 {
            put(words, FIRST, now);
        }
        let observed = word(words, OBSERVED);
        let since = now.saturating_sub(word(words, FIRST));
        let learning = observed < self.learn_observations || since < self.learn_secs;
        put(words, OBSERVED, observed.saturating_add(1));
        let (mut new, mut evicted) = (None, 0);
        for (index, hash) in hashes.into_iter().enumerate() {
            if Self::touch(words, hash) {
                continue;
            }
            if !learning {
                new = new.or(Some(index));
            }
            if learning || self.remember {
                evicted += self.add(words, hash);
            }
        }
        let limit = f64::from(word(words, SIZES) & 0xff);
        let verdict = if learning { Verdict::Learning } else { Verdict::of(new.is_some(), limit) };
        Known { verdict, new, evicted }
    }

    /// Values that lost their place so far; counted up to 2^24.
    #[must_use]
    pub fn evictions(words: &[u32]) -> u32 {
        word(words, SIZES) >> 8
    }

    /// Moves a known value to the front. False if it is not known.
    fn touch(words: &mut [u32], hash: u32) -> bool {
        let held = (word(words, SIZES) & 0xff) as usize;
        let Some(values) = words.get_mut(VALUES..VALUES + held) else { return false };
        let Some(at) = values.iter().position(|&value| value == hash) else { return false };
        if let Some(front) = values.get_mut(..=at) {
            front.rotate_right(1);
        }
        true
    }

    /// Puts a new value to the front. How many had to go: 0 or 1.
    fn add(&self, words: &mut [u32], hash: u32) -> u32 {
        let sizes = word(words, SIZES);
        let held = (sizes & 0xff) as usize;
        let full = held >= usize::from(self.capacity);
        let last = if full { held } else { held + 1 };
        if let Some(values) = words.get_mut(VALUES..VALUES + last) {
            values.rotate_right(1);
        }
        put(words, VALUES, hash);
        let evictions = (sizes >> 8) + u32::from(full);
        put(words, SIZES, u32::try_from(last).unwrap_or(0) | evictions.min(0xff_ffff) << 8);
        u32::from(full)
    }

    /// Hash of an address, as far as its prefix counts. IPv4-mapped IPv6 addresses are IPv4 ones.
    #[must_use]
    pub fn address(&self, address: IpAddr) -> u32 {
        let bits = match address.to_canonical() {
            IpAddr::V4(address) => {
                let cleared = 32 - u32::from(self.v4_prefix.min(32));
                u128::from(u64::from(address.to_bits()) >> cleared << cleared)
            }
            IpAddr::V6(address) => {
                let cleared = 128 - u32::from(self.v6_prefix.min(128));
                // Apart from IPv4 by a bit that no network in use has.
                let kept = if cleared == 128 { 0 } else { address.to_bits() >> cleared << cleared };
                kept | 1 << 127 | 1
            }
        };
        hash(&bits.to_le_bytes())
    }

    /// Hash of a topic, as far as its levels count.
    #[must_use]
    pub fn topic(&self, topic: &str) -> u32 {
        let kept = match self.topic_levels {
            Some(levels) => {
                let end = topic.match_indices('/').nth(usize::from(levels.max(1)) - 1);
                end.map_or(topic, |(end, _)| topic.get(..end).unwrap_or(topic))
            }
            None => topic,
        };
        Self::text(kept)
    }

    /// Hash of a text.
    #[must_use]
    pub fn text(text: &str) -> u32 {
        hash(text.as_bytes())
    }

    /// Hash of a number, such as a port.
    #[must_use]
    pub fn number(number: f64) -> u32 {
        // Adding zero makes negative zero zero.
        hash(&(number + 0.0).to_bits().to_le_bytes())
    }
}

/// The upper half of XXH3.
fn hash(bytes: &[u8]) -> u32 {
    u32::try_from(xxh3_64(bytes) >> 32).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Observations such as `10 a b` at second 10; what is said of each.
    fn check(set: &KnownSet, observations: &[&str], expected: &str) -> Vec<u32> {
        let mut words = vec![0; set.words()];
        let mut said = Vec::new();
        for observation in observations {
            let mut parts = observation.split(' ');
            let at = Timestamp::from_secs(parts.next().unwrap().parse().unwrap());
            let known = set.observe(&mut words, at, parts.map(KnownSet::text));
            said.push(match (known.verdict, known.new) {
                (Verdict::Learning, _) => "learns".to_owned(),
                (Verdict::Usual { .. }, None) => "knows".to_owned(),
                (Verdict::Unusual { .. }, Some(new)) => format!("new:{new}"),
                other => panic!("{other:?}"),
            });
        }
        assert_eq!(said.join(" "), expected, "{observations:?}");
        words
    }

    const SHORT: KnownSet = KnownSet {
        learn_secs: 60,
        learn_observations: 3,
        capacity: 3,
        remember: true,
        v4_prefix: 24,
        v6_prefix: 48,
        topic_levels: Some(2),
        of: None,
    };

    #[test]
    fn it_learns_for_long_enough_and_often_enough() {
        check(&SHORT, &["10 a", "20 b", "30 a", "69 c", "70 c"], "learns learns learns learns knows");
        check(&SHORT, &["10 a", "500 b", "600 a", "601 b"], "learns learns learns knows");
    }

    #[test]
    fn what_is_new_is_told_once_or_always() {
        let steps = ["10 a", "20 a", "80 b", "81 c a", "82 c", "83", "84 a d"];
        check(&SHORT, &steps, "learns learns learns new:0 knows knows new:1");
        let always = KnownSet { remember: false, ..SHORT };
        check(&always, &steps, "learns learns learns new:0 new:0 knows new:1");
    }

    #[test]
    fn the_one_not_seen_for_longest_goes() {
        let words = check(
            &SHORT,
            &["1 a", "2 b", "3 c", "4 a", "70 a", "71 d", "72 b", "73 a", "74 d"],
            "learns learns learns learns knows new:0 new:0 knows knows",
        );
        assert_eq!(KnownSet::evictions(&words), 2, "d took the place of b, b that of c");
    }

    #[test]
    fn what_counts_as_the_same() {
        let address = |text: &str| SHORT.address(text.parse().unwrap());
        assert_eq!(address("10.0.0.1"), address("10.0.0.200"));
        assert_eq!(address("10.0.0.1"), address("::ffff:10.0.0.9"));
        assert_ne!(address("10.0.0.1"), address("10.0.1.1"));
        assert_eq!(address("2001:db8:1::1"), address("2001:db8:1:2::1"));
        assert_ne!(address("2001:db8:1::1"), address("2001:db8:2::1"));
        assert_ne!(address("::"), address("0.0.0.0"));
        assert_eq!(SHORT.topic("a/b/c"), SHORT.topic("a/b"));
        assert_ne!(SHORT.topic("a/b/c"), SHORT.topic("a/c"));
        assert_ne!(SHORT.topic("a"), SHORT.topic("a/b"));
        assert_ne!(KnownSet::default().topic("a/b/c"), KnownSet::default().topic("a/b"));
        assert_eq!(KnownSet::number(0.0), KnownSet::number(-0.0));
        let all = KnownSet { v4_prefix: 0, v6_prefix: 0, ..SHORT };
        assert_eq!(all.address("1.2.3.4".parse().unwrap()), all.address("9.9.9.9".parse().unwrap()));
        assert_eq!(all.address("::1".parse().unwrap()), all.address("2001::".parse().unwrap()));
    }
}
