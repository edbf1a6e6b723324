//! Lists that are collected: of those that a thing reports in a window, only the last is handed on,
//! when the window's end is told.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fleet::time::Timestamp;
use hashbrown::{HashMap, HashTable};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::step::Whole;
use crate::transition::MetricValue;

/// Longest list that is held, bytes as held: 255 ports or 102 IPv4 addresses. A longer one is handed
/// on as it comes, so that what a thing costs is bounded.
pub(crate) const HELD_BYTES_MAX: usize = 512;

/// The last list of each thing and metric in the window that is open. Bounded: one list of at most
/// [`HELD_BYTES_MAX`] for each thing and metric; equal ones share their bytes.
#[derive(Debug)]
pub(crate) struct Lists {
    held: HashMap<(u32, u16), Held>,
    shared: Shared,
    /// Up to when ends of windows have been told.
    told: Timestamp,
    /// No held window ends before.
    earliest: Timestamp,
    /// Nothing is held: every list is handed on as it comes.
    pub(crate) every: bool,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    /// End of its window.
    end: Timestamp,
    list: u32,
}

/// A list to be handed on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Due {
    pub(crate) entity: u32,
    pub(crate) order: u16,
    pub(crate) end: Timestamp,
    pub(crate) value: MetricValue,
}

/// A held list in a snapshot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Saved {
    pub(crate) entity: u32,
    pub(crate) order: u16,
    end: Timestamp,
    bytes: Vec<u8>,
}

impl Default for Lists {
    fn default() -> Self {
        let (told, earliest) = (Timestamp::MIN, Timestamp::from_millis(i64::MAX));
        Self {
            held: HashMap::new(),
            shared: Shared::default(),
            told,
            earliest,
            every: false,
            bytes: Vec::new(),
        }
    }
}

impl Lists {
    /// Takes the list that `entity` reported in the window that ends at `end`, and gives what is due
    /// at once: the list of an earlier window, and this one if it is late or too long.
    pub(crate) fn take(
        &mut self,
        (entity, order): (u32, u16),
        end: Timestamp,
        list: Whole<'_>,
        give: &mut dyn FnMut(Due),
    ) {
        let key = (entity, order);
        let before = self.held.get(&key).copied();
        if self.every || end <= self.told || before.is_some_and(|before| end < before.end) {
            give(Due { entity, order, end, value: list.value() });
            return;
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        list.put(&mut bytes);
        let same = before.is_some_and(|before| before.end == end && self.shared.get(before.list) == bytes);
        if !same {
            match self.release(key) {
                Some(earlier) if earlier.end < end => give(earlier),
                _ => {}
            }
            if bytes.len() > HELD_BYTES_MAX {
                give(Due { entity, order, end, value: list.value() });
            } else {
                self.held.insert(key, Held { end, list: self.shared.take(&bytes) });
                self.earliest = self.earliest.min(end);
            }
        }
        self.bytes = bytes;
    }

    /// Lets go of what is held, because its thing or its metric goes.
    pub(crate) fn release(&mut self, key: (u32, u16)) -> Option<Due> {
        let held = self.held.remove(&key)?;
        let value = MetricValue::from_held(self.shared.get(held.list));
        self.shared.release(held.list);
        Some(Due { entity: key.0, order: key.1, end: held.end, value: value? })
    }

    /// The same, of everything.
    pub(crate) fn release_all(&mut self, give: &mut dyn FnMut(Due)) {
        self.hand_on(Timestamp::from_millis(i64::MAX), give);
    }

    /// Windows end at `at`: gives the lists of those that are over, in no order.
    pub(crate) fn ended(&mut self, at: Timestamp, give: &mut dyn FnMut(Due)) {
        self.told = self.told.max(at);
        if self.earliest <= at {
            self.hand_on(at, give);
        }
    }

    fn hand_on(&mut self, until: Timestamp, give: &mut dyn FnMut(Due)) {
        let Self { held, shared, .. } = self;
        let mut earliest = Timestamp::from_millis(i64::MAX);
        held.retain(|&(entity, order), own| {
            if own.end > until {
                earliest = earliest.min(own.end);
                return true;
            }
            if let Some(value) = MetricValue::from_held(shared.get(own.list)) {
                give(Due { entity, order, end: own.end, value });
            }
            shared.release(own.list);
            false
        });
        self.earliest = earliest;
    }

    /// For a snapshot: what is held, in order, and up to when ends have been told.
    pub(crate) fn save(&self) -> (Vec<Saved>, Timestamp) {
        let saved = |(&(entity, order), held): (&(u32, u16), &Held)| Saved {
            entity,
            order,
            end: held.end,
            bytes: self.shared.get(held.list).to_vec(),
        };
        let mut all: Vec<Saved> = self.held.iter().map(saved).collect();
        all.sort_unstable_by_key(|saved| (saved.entity, saved.order));
        (all, self.told)
    }

    /// Holds a list of a snapshot.
    pub(crate) fn restore(&mut self, saved: &Saved, order: u16) {
        let list = self.shared.take(&saved.bytes);
        self.held.insert((saved.entity, order), Held { end: saved.end, list });
        self.earliest = self.earliest.min(saved.end);
    }

    /// Ends have been told up to this time.
    pub(crate) const fn restore_told(&mut self, told: Timestamp) {
        self.told = told;
    }

    pub(crate) fn memory(&self) -> usize {
        // A byte of control beside each place.
        self.held.capacity() * (size_of::<((u32, u16), Held)>() + 1) + self.shared.memory()
    }
}

/// Lists as bytes, equal ones once.
#[derive(Debug, Default)]
struct Shared {
    all: Vec<List>,
    free: Vec<u32>,
    index: HashTable<u32>,
    bytes: usize,
}

#[derive(Debug)]
struct List {
    bytes: Box<[u8]>,
    uses: u32,
}

impl Shared {
    fn get(&self, number: u32) -> &[u8] {
        self.all.get(number as usize).map_or(&[], |list| &list.bytes)
    }

    fn take(&mut self, bytes: &[u8]) -> u32 {
        let hash = xxh3_64(bytes);
        let Self { all, free, index, .. } = self;
        let same = |&own: &u32| all.get(own as usize).is_some_and(|list| *list.bytes == *bytes);
        if let Some(&number) = index.find(hash, same) {
            if let Some(list) = all.get_mut(number as usize) {
                list.uses += 1;
            }
            return number;
        }
        let list = List { bytes: bytes.into(), uses: 1 };
        self.bytes += bytes.len();
        // As many as are held at most, which the numbers of things and metrics bound.
        let number = free.pop().unwrap_or_else(|| u32::try_from(all.len()).unwrap_or(u32::MAX));
        match all.get_mut(number as usize) {
            Some(place) => *place = list,
            None => all.push(list),
        }
        let rehash = |&own: &u32| all.get(own as usize).map_or(0, |list| xxh3_64(&list.bytes));
        index.insert_unique(hash, number, rehash);
        number
    }

    fn release(&mut self, number: u32) {
        let Some(list) = self.all.get_mut(number as usize) else { return };
        list.uses = list.uses.saturating_sub(1);
        if list.uses > 0 {
            return;
        }
        if let Ok(entry) = self.index.find_entry(xxh3_64(&list.bytes), |&own| own == number) {
            entry.remove();
        }
        self.bytes -= list.bytes.len();
        list.bytes = Box::default();
        self.free.push(number);
    }

    fn memory(&self) -> usize {
        self.all.capacity() * size_of::<List>()
            + self.free.capacity() * 4
            + self.index.capacity() * 5
            + self.bytes
    }
}

/// What the first byte of a held list says of the others.
const PORTS: u8 = 1;
const ADDRESSES: u8 = 2;
const NUMBERS: u8 = 3;
const STRINGS: u8 = 4;

impl Whole<'_> {
    /// Puts the list behind `out`, as it is held.
    fn put(self, out: &mut Vec<u8>) {
        match self {
            Self::Ports(ports) => {
                out.push(PORTS);
                ports.iter().for_each(|port| out.extend_from_slice(&port.to_le_bytes()));
            }
            Self::Addresses(addresses) => {
                out.push(ADDRESSES);
                for address in addresses {
                    match address {
                        IpAddr::V4(address) => {
                            out.push(4);
                            out.extend_from_slice(&address.octets());
                        }
                        IpAddr::V6(address) => {
                            out.push(16);
                            out.extend_from_slice(&address.octets());
                        }
                    }
                }
            }
            Self::Numbers(numbers) => {
                out.push(NUMBERS);
                numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
            }
            Self::Strings(..) | Self::Text(_) => {
                out.push(STRINGS);
                self.texts().for_each(|text| {
                    out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
                    out.extend_from_slice(text.as_bytes());
                });
            }
        }
    }
}

impl MetricValue {
    /// From a list as it is held; nothing if it was not written so.
    fn from_held(bytes: &[u8]) -> Option<Self> {
        let (&tag, mut rest) = bytes.split_first()?;
        let rest = &mut rest;
        match tag {
            PORTS => many(rest, |rest| take(rest).map(u16::from_le_bytes)).map(Self::Ports),
            NUMBERS => many(rest, |rest| take(rest).map(f64::from_le_bytes)).map(Self::Numbers),
            ADDRESSES => many(rest, |rest| address(rest).map(|address| address.to_string())).map(Self::Cidrs),
            STRINGS => many(rest, text).map(Self::Strings),
            _ => None,
        }
    }
}

fn many<T>(rest: &mut &[u8], next: impl Fn(&mut &[u8]) -> Option<T>) -> Option<Vec<T>> {
    let mut all = Vec::new();
    while !rest.is_empty() {
        all.push(next(rest)?);
    }
    Some(all)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*first)
}

fn address(rest: &mut &[u8]) -> Option<IpAddr> {
    match take(rest)? {
        [4] => take(rest).map(|octets: [u8; 4]| Ipv4Addr::from(octets).into()),
        [16] => take(rest).map(|octets: [u8; 16]| Ipv6Addr::from(octets).into()),
        _ => None,
    }
}

fn text(rest: &mut &[u8]) -> Option<String> {
    let len = usize::try_from(u32::from_le_bytes(take(rest)?)).ok()?;
    let (text, after) = rest.split_at_checked(len)?;
    *rest = after;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: (u32, u16) = (7, 1);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_secs(second)
    }

    /// Ports that are given, with the end of their window.
    fn given(lists: &mut Lists, act: impl FnOnce(&mut Lists, &mut dyn FnMut(Due))) -> Vec<(i64, Vec<u16>)> {
        let mut all = Vec::new();
        act(lists, &mut |due| {
            let MetricValue::Ports(ports) = due.value else { panic!("{due:?}") };
            all.push((due.end.secs(), ports));
        });
        all
    }

    fn take(lists: &mut Lists, end: i64, ports: &[u16]) -> Vec<(i64, Vec<u16>)> {
        given(lists, |lists, give| lists.take(A, at(end), Whole::Ports(ports), give))
    }

    #[test]
    fn the_last_list_of_a_window_is_given_when_the_end_is_told() {
        let mut lists = Lists::default();
        for ports in [&[22][..], &[22, 80], &[22, 80], &[]] {
            assert_eq!(take(&mut lists, 300, ports), []);
        }
        assert_eq!(given(&mut lists, |lists, give| lists.ended(at(299), give)), []);
        assert_eq!(given(&mut lists, |lists, give| lists.ended(at(300), give)), [(300, vec![])]);
        assert_eq!(given(&mut lists, |lists, give| lists.ended(at(600), give)), []);
        assert_eq!(lists.shared.bytes, 0, "nothing is left");
    }

    #[test]
    fn the_list_of_the_window_before_is_due_with_the_first_of_the_next_and_late_ones_at_once() {
        let mut lists = Lists::default();
        take(&mut lists, 300, &[1]);
        assert_eq!(take(&mut lists, 600, &[2]), [(300, vec![1])]);
        assert_eq!(take(&mut lists, 300, &[3]), [(300, vec![3])], "its end is not told, but it counts");
        assert_eq!(given(&mut lists, |lists, give| lists.ended(at(300), give)), []);
        assert_eq!(take(&mut lists, 300, &[4]), [(300, vec![4])], "late");
        assert_eq!(given(&mut lists, Lists::release_all), [(600, vec![2])]);
        assert_eq!(take(&mut lists, 300, &[5]), [(300, vec![5])], "late, with nothing held");
    }

    #[test]
    fn what_is_too_long_to_be_held_takes_the_place_of_what_is_held() {
        let mut lists = Lists::default();
        let longest = vec![9; (HELD_BYTES_MAX - 1) / 2];
        let longer = vec![9; longest.len() + 1];
        assert_eq!(take(&mut lists, 300, &longest), []);
        assert_eq!(take(&mut lists, 300, &longer), [(300, longer.clone())]);
        assert_eq!(given(&mut lists, |lists, give| lists.ended(at(300), give)), []);
        take(&mut lists, 600, &[1]);
        assert_eq!(take(&mut lists, 900, &longer), [(600, vec![1]), (900, longer)]);
    }

    #[test]
    fn every_kind_of_list_comes_back_and_damaged_bytes_do_not() {
        let (v4, v6) = ("10.0.0.1".parse().unwrap(), "fe80::1".parse().unwrap());
        let lists = [
            Whole::Ports(&[22, 65_535]),
            Whole::Addresses(&[v4, v6]),
            Whole::Numbers(&[-0.5, 2.0]),
            Whole::Text("käse"),
            Whole::Numbers(&[]),
        ];
        for list in lists {
            let mut bytes = Vec::new();
            list.put(&mut bytes);
            assert_eq!(MetricValue::from_held(&bytes), Some(list.value()));
            bytes.push(0);
            assert_eq!(MetricValue::from_held(&bytes), None, "{list:?}");
        }
        assert_eq!(MetricValue::from_held(&[]), None);
        assert_eq!(MetricValue::from_held(&[9]), None);
    }

    #[test]
    fn equal_lists_share_their_bytes_while_anybody_holds_them() {
        let mut shared = Shared::default();
        let (a, b) = (shared.take(b"one"), shared.take(b"two"));
        assert_eq!((shared.take(b"one"), shared.bytes), (a, 6));
        shared.release(a);
        assert_eq!(shared.get(a), b"one");
        shared.release(a);
        assert_eq!((shared.take(b"three"), shared.bytes), (a, 8), "its place is used again");
        assert_eq!(shared.take(b"two"), b);
    }
}
