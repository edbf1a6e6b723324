//! What the front hands to the shards: operations on entities, in the order of the journal, with
//! arenas for what does not fit into an operation.
//!
//! Batches are used again, so that nothing is allocated per event once their arenas have grown.

use std::{net::IpAddr, ops::Range, sync::Arc};

use behaviors::{
    dimension::Mask,
    set::{Compiled, SetId},
};
use fleet::{
    event::Attribution,
    report::{CustomMetric, CustomValue, ReportBuf},
    time::Timestamp,
};
use xxhash_rust::xxh3::xxh3_64;

use crate::{input::SourceId, names::NameList, output::Watched, refused::RefusedInput};

/// What happened to an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum What {
    /// The entity is new, or its behavior set changed: `arg` is an index of [`Batch::sets`].
    AssignThing,
    /// The entity is forgotten; its number will be another's.
    Retire,
    /// A session began: `arg` is principal and index of [`Batch::addresses`], see [`Op::connect_arg`].
    Connect,
    /// A session ended: `arg` is the reason.
    Disconnect,
    /// A session ended with its broker, which is nothing the thing did.
    SessionOver,
    /// A login was refused.
    AuthFailure,
    /// The thing did what counts for metrics of our own: `arg` is their bits.
    Own,
    /// Something that counts for an entity other than a thing: `arg` is an index of [`Batch::keyed`].
    /// `entity` is the slice that it belongs to.
    Keyed,
    /// A request was refused: `arg` is its dimensions.
    Denied,
    /// A message was sent: `arg` is its size in bytes, and its dimensions.
    Publish,
    /// A message was sent from an address: `arg` is an index of [`Batch::addresses`], and the
    /// message's dimensions. Only if a dimension narrows addresses.
    PublishedFrom,
    /// A message was sent on a topic that somebody learns: `arg` is its place in [`Batch::text`].
    Topic,
    /// A message was received: `arg` is its dimensions.
    Delivery,
    /// The thing did something that no metric counts.
    Seen,
    /// A report: `arg` is an index of [`Batch::reports`].
    Report,
    /// Windows of `arg` seconds end at `at`. To all shards.
    Boundary,
    /// The rules changed: `arg` is an index of [`Batch::reassigns`]. To all shards.
    Reassign,
    /// Every event before this record happened before `at`, and this record's at or after it. To
    /// all shards.
    Mark,
    /// A source was blind from `arg` (ms since the epoch) to `at`. To all shards.
    Blind,
}

/// One operation, 32 bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op {
    /// Record that caused it.
    pub(crate) seq: u64,
    /// Event time.
    pub(crate) at: Timestamp,
    /// See [`What`].
    pub(crate) arg: u64,
    /// Entity; meaningless for operations to all shards.
    pub(crate) entity: u32,
    /// Number of the event within its record.
    pub(crate) nth: u16,
    /// What happened.
    pub(crate) what: What,
    /// How sure it is that the entity did it.
    pub(crate) who: Attribution,
}

impl Op {
    /// `arg` of [`What::Connect`].
    pub(crate) fn connect_arg(principal: u32, address: Option<usize>) -> u64 {
        let address = address.and_then(|at| u32::try_from(at).ok()).unwrap_or(u32::MAX);
        u64::from(principal) << 32 | u64::from(address)
    }

    /// Principal and index of the address of [`What::Connect`].
    pub(crate) const fn connect_parts(self) -> (u32, usize) {
        ((self.arg >> 32) as u32, (self.arg & 0xffff_ffff) as usize)
    }

    /// `arg` of a message: a number, and its dimensions.
    pub(crate) const fn message_arg(number: u32, mask: Mask) -> u64 {
        (mask.0 as u64) << 32 | number as u64
    }

    /// Number and dimensions of a message.
    #[inline]
    pub(crate) const fn message_parts(self) -> (u32, Mask) {
        ((self.arg & 0xffff_ffff) as u32, Mask((self.arg >> 32 & 0xffff) as u16))
    }

    /// `arg` as an index.
    pub(crate) fn index(self) -> usize {
        usize::try_from(self.arg).unwrap_or(usize::MAX)
    }
}

/// Numbers of a report that AWS defines, in the order of [`ReportRow::numbers`].
pub(crate) const NUMBERS: usize = 7;

/// A report in the batch's arenas.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReportRow {
    pub(crate) numbers: [u64; NUMBERS],
    /// Which of the numbers it has, as bits.
    pub(crate) given: u8,
    pub(crate) tcp_ports: Option<Range<u32>>,
    pub(crate) udp_ports: Option<Range<u32>>,
    pub(crate) remote_addresses: Option<Range<u32>>,
    pub(crate) custom: Range<u32>,
}

/// New rules for all entities at once.
#[derive(Debug)]
pub(crate) struct Reassign {
    pub(crate) compiled: Arc<Compiled>,
    /// Set of each entity.
    pub(crate) sets: Vec<SetId>,
    /// Entities of each kind that are followed at most.
    pub(crate) entities_max: u32,
}

/// The name of an entity in two pieces, and how sure it is that it did what is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keyed<'a> {
    pub(crate) head: &'a [u8],
    pub(crate) tail: &'a [u8],
    pub(crate) who: Attribution,
}

/// Something that counts for an entity other than a thing.
#[derive(Clone, Debug)]
pub(crate) struct KeyedRow {
    /// Index of the group of behaviors.
    pub(crate) group: u16,
    /// Metrics that it counts for.
    pub(crate) bits: u64,
    /// Size of a message, or a share.
    pub(crate) value: u32,
    /// Name, in [`Batch::keys`].
    pub(crate) key: Range<u32>,
    /// Hash of the name.
    pub(crate) hash: u64,
    /// Hashes of what it names, by [`behaviors::set::Item`]; 0 for what is not known.
    pub(crate) items: [u64; 4],
}

/// A name that another one has taken the place of.
#[derive(Clone, Debug)]
pub(crate) struct Renamed {
    pub(crate) seq: u64,
    pub(crate) nth: u16,
    pub(crate) entity: u32,
    pub(crate) old: Box<[u8]>,
}

/// Parts that entities other than things are dealt out to by their hash, each with its own bound, so
/// that who makes room for whom does not depend on the number of shards. Part `k` is with shard `k`
/// modulo their number.
pub(crate) const SLICES: u32 = 64;

/// Operations by shard, and arenas.
#[derive(Debug, Default)]
pub struct Batch {
    pub(crate) ops: Vec<Vec<Op>>,
    pub(crate) sets: Vec<SetId>,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) ports: Vec<u16>,
    pub(crate) reports: Vec<ReportRow>,
    pub(crate) custom: Vec<CustomMetric>,
    pub(crate) text: String,
    pub(crate) numbers: Vec<f64>,
    pub(crate) strings: Vec<Range<u32>>,
    pub(crate) reassigns: Vec<Arc<Reassign>>,
    pub(crate) keyed: Vec<KeyedRow>,
    pub(crate) keys: Vec<u8>,
    /// Names of new things, and their numbers.
    pub(crate) new_entities: NameList,
    pub(crate) new_numbers: Vec<u32>,
    pub(crate) renamed: Vec<Renamed>,
    pub(crate) new_principals: NameList,
    pub(crate) watched: Vec<Watched>,
    pub(crate) refused: Vec<RefusedInput>,
    /// Last record of the batch.
    pub(crate) last_seq: u64,
    /// Operations in all shards.
    pub(crate) len: usize,
}

impl Batch {
    /// An empty batch for `shards` shards.
    #[must_use]
    pub fn new(shards: usize) -> Self {
        Self { ops: vec![Vec::new(); shards.max(1)], ..Self::default() }
    }

    /// Whether it holds nothing for anybody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0 && self.refused.is_empty() && self.watched.is_empty() && self.last_seq == 0
    }

    /// Number of operations.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.ops.iter_mut().for_each(Vec::clear);
        self.sets.clear();
        self.addresses.clear();
        self.ports.clear();
        self.reports.clear();
        self.custom.clear();
        self.text.clear();
        self.numbers.clear();
        self.strings.clear();
        self.reassigns.clear();
        self.keyed.clear();
        self.keys.clear();
        self.new_entities.clear();
        self.new_numbers.clear();
        self.renamed.clear();
        self.new_principals.clear();
        self.watched.clear();
        self.refused.clear();
        self.last_seq = 0;
        self.len = 0;
    }

    #[inline]
    pub(crate) fn push(&mut self, op: Op) {
        let shards = self.ops.len();
        if let Some(ops) = self.ops.get_mut(op.entity as usize % shards) {
            ops.push(op);
            self.len += 1;
        }
    }

    pub(crate) fn push_to_all(&mut self, op: Op) {
        for ops in &mut self.ops {
            ops.push(op);
        }
        self.len += 1;
    }

    /// Adds something that counts for an entity other than a thing.
    pub(crate) fn push_keyed(&mut self, op: Op, row: KeyedRow, key: Keyed<'_>) {
        let start = offset(self.keys.len());
        self.keys.extend_from_slice(key.head);
        self.keys.extend_from_slice(key.tail);
        let end = offset(self.keys.len());
        let hash = xxh3_64(self.keys.get(start as usize..).unwrap_or_default());
        let arg = self.keyed.len() as u64;
        self.keyed.push(KeyedRow { key: start..end, hash, ..row });
        // The upper bits: the table inside a slice goes by the lower ones.
        let entity = u32::try_from(hash >> 32).unwrap_or(0) % SLICES;
        self.push(Op { arg, entity, what: What::Keyed, who: key.who, ..op });
    }

    /// Copies a text into the arena and gives its place, as an argument of an operation.
    pub(crate) fn add_text(&mut self, text: &str) -> u64 {
        let start = offset(self.text.len());
        self.text.push_str(text);
        u64::from(start) << 32 | u64::from(offset(self.text.len()))
    }

    /// The text at a place that [`Batch::add_text`] gave.
    pub(crate) fn text_at(&self, place: u64) -> &str {
        let (start, end) = (place >> 32, place & 0xffff_ffff);
        let range = usize::try_from(start).unwrap_or(usize::MAX)..usize::try_from(end).unwrap_or(0);
        self.text.get(range).unwrap_or_default()
    }

    /// Copies a report into the arenas and gives its row.
    pub(crate) fn add_report(&mut self, report: &ReportBuf) -> u64 {
        let numbers = [
            report.bytes_out,
            report.bytes_in,
            report.packets_out,
            report.packets_in,
            report.tcp_ports_total,
            report.udp_ports_total,
            report.connections_total,
        ];
        let given =
            (0..).zip(&numbers).fold(0, |given, (bit, number)| given | u8::from(number.is_some()) << bit);
        let row = ReportRow {
            numbers: numbers.map(Option::unwrap_or_default),
            given,
            tcp_ports: report.has_tcp_ports.then(|| extend(&mut self.ports, &report.tcp_ports)),
            udp_ports: report.has_udp_ports.then(|| extend(&mut self.ports, &report.udp_ports)),
            remote_addresses: report
                .has_remote_addresses
                .then(|| extend(&mut self.addresses, &report.remote_addresses)),
            custom: self.add_custom(report),
        };
        self.reports.push(row);
        self.reports.len() as u64 - 1
    }

    fn add_custom(&mut self, report: &ReportBuf) -> Range<u32> {
        let start = offset(self.custom.len());
        if report.custom.is_empty() {
            return start..start;
        }
        let text = offset(self.text.len());
        self.text.push_str(&report.text);
        let numbers = extend(&mut self.numbers, &report.numbers).start;
        let addresses = extend(&mut self.addresses, &report.addresses).start;
        let strings = offset(self.strings.len());
        self.strings.extend(report.strings.iter().map(|range| shift(range, text)));
        self.custom.extend(report.custom.iter().map(|metric| CustomMetric {
            name: shift(&metric.name, text),
            value: match &metric.value {
                CustomValue::Number(number) => CustomValue::Number(*number),
                CustomValue::NumberList(range) => CustomValue::NumberList(shift(range, numbers)),
                CustomValue::StringList(range) => CustomValue::StringList(shift(range, strings)),
                CustomValue::IpList(range) => CustomValue::IpList(shift(range, addresses)),
            },
        }));
        start..offset(self.custom.len())
    }

    pub(crate) fn memory(&self) -> usize {
        self.ops.iter().map(|ops| ops.capacity() * size_of::<Op>()).sum::<usize>()
            + self.addresses.capacity() * size_of::<IpAddr>()
            + self.ports.capacity() * 2
            + self.reports.capacity() * size_of::<ReportRow>()
            + self.custom.capacity() * size_of::<CustomMetric>()
            + self.text.capacity()
            + self.numbers.capacity() * 8
            + self.strings.capacity() * size_of::<Range<u32>>()
            + self.keyed.capacity() * size_of::<KeyedRow>()
            + self.keys.capacity()
            + self.new_entities.memory()
            + self.new_principals.memory()
    }

    pub(crate) fn refuse(
        &mut self,
        source: SourceId,
        subject: &str,
        payload: &[u8],
        refusal: crate::input::Refusal,
    ) {
        self.refused.push(RefusedInput::new(source, subject, payload, refusal));
    }
}

/// The items of an arena.
pub(crate) fn slice<'a, T>(arena: &'a [T], range: &Range<u32>) -> &'a [T] {
    fleet::report::slice_of(arena, range).unwrap_or_default()
}

fn extend<T: Copy>(arena: &mut Vec<T>, items: &[T]) -> Range<u32> {
    let start = offset(arena.len());
    arena.extend_from_slice(items);
    start..offset(arena.len())
}

fn shift(range: &Range<u32>, by: u32) -> Range<u32> {
    range.start.saturating_add(by)..range.end.saturating_add(by)
}

/// An arena never comes near 4 GiB, because a batch is handed over long before.
fn offset(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
