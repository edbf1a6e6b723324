//! The values of one series, compressed.
//!
//! `count | times | values`. Times are the first one and then runs of equal distances (the
//! delta-of-delta of Gorilla, VLDB 2015, section 4.1.1, with run lengths in place of single bits:
//! windows end on a grid, so a whole day is one run). Values are written in whichever of these
//! forms is smallest:
//!
//! - *runs*: a value, as difference from the one before, and how often; for what rarely changes;
//! - *slopes*: a difference and how often; for what grows evenly;
//! - *packed*: integers above the least one in a fixed number of bits, with a mark and 64 bits for
//!   those that do not fit, so that one outlier does not widen all;
//! - *xor*: doubles as in Gorilla, section 4.1.2;
//! - *lists*: the distinct lists, then runs of their numbers.
//!
//! Doubles that are integers after a shift by 0 to 4 decimal places, and come back bit for bit,
//! are written as integers (the observation of ALP, SIGMOD 2024: most measured doubles are decimals).

use std::{collections::HashMap, sync::Arc};

use crate::{
    bits::{BitReader, BitWriter},
    value::Cell,
    wire::{Cursor, put_bytes, put_ivarint, put_len, put_uvarint},
};

/// Points of a chunk at most; a longer series has several.
pub(crate) const POINTS_MAX: usize = 1024;

const RUNS: u8 = 0;
const SLOPES: u8 = 1;
const PACKED: u8 = 2;
const XOR: u8 = 3;
const LISTS: u8 = 4;
/// Decimal places stand above the form.
const PLACES_SHIFT: u32 = 4;
const PLACES_MAX: u8 = 4;
/// Integers above this do not all exist as doubles.
const INTEGER_MAX: f64 = 9_007_199_254_740_992.0;

/// A time in milliseconds and a value.
pub(crate) type Sample = (i64, Cell);

/// Appends `samples` as chunks, each with its length before it. Times must increase; `unit_ms` is
/// the grid on which they are expected.
pub(crate) fn encode(samples: &[Sample], unit_ms: i64, out: &mut Vec<u8>) -> usize {
    let mut chunks = 0;
    let is_list = |sample: &Sample| matches!(sample.1, Cell::List(_));
    for alike in samples.chunk_by(|a, b| is_list(a) == is_list(b)) {
        for part in alike.chunks(POINTS_MAX) {
            let mut chunk = Vec::new();
            put_len(&mut chunk, part.len());
            put_times(part, unit_ms, &mut chunk);
            put_values(part, &mut chunk);
            put_bytes(out, &chunk);
            chunks += 1;
        }
    }
    chunks
}

/// Appends the samples of a chunk to `samples`.
pub(crate) fn decode(chunk: &[u8], unit_ms: i64, samples: &mut Vec<Sample>) -> Option<()> {
    let mut cursor = Cursor(chunk);
    let count = usize::try_from(cursor.uvarint()?).ok().filter(|count| (1..=POINTS_MAX).contains(count))?;
    let times = times(&mut cursor, count, unit_ms)?;
    let cells = values(&mut cursor, count)?;
    samples.extend(times.into_iter().zip(cells));
    Some(())
}

fn put_times(samples: &[Sample], unit_ms: i64, out: &mut Vec<u8>) {
    let unit_ms = unit_ms.max(1);
    let on_grid = samples.iter().all(|(at, _)| at % unit_ms == 0);
    let unit = if on_grid { unit_ms } else { 1 };
    out.push(u8::from(on_grid));
    let mut ticks = samples.iter().map(|(at, _)| at / unit);
    let first = ticks.next().unwrap_or_default();
    put_ivarint(out, first);
    let mut before = first;
    let steps = ticks.map(|tick| {
        let step = tick.wrapping_sub(before).cast_unsigned();
        before = tick;
        step
    });
    put_runs(steps, out);
}

fn times(cursor: &mut Cursor<'_>, count: usize, unit_ms: i64) -> Option<Vec<i64>> {
    let unit = match cursor.byte()? {
        0 => 1,
        1 => unit_ms.max(1),
        _ => return None,
    };
    let mut tick = cursor.ivarint()?;
    let mut times = Vec::with_capacity(count);
    times.push(tick.checked_mul(unit)?);
    take_runs(cursor, count - 1, |step| {
        tick = tick.checked_add_unsigned(step)?;
        times.push(tick.checked_mul(unit)?);
        Some(())
    })?;
    Some(times)
}

/// Equal neighbours as value and count.
fn put_runs(values: impl Iterator<Item = u64>, out: &mut Vec<u8>) {
    let mut run: Option<(u64, u64)> = None;
    for value in values {
        match &mut run {
            Some((same, times)) if *same == value => *times += 1,
            _ => {
                flush_run(run, out);
                run = Some((value, 1));
            }
        }
    }
    flush_run(run, out);
}

fn flush_run(run: Option<(u64, u64)>, out: &mut Vec<u8>) {
    if let Some((value, times)) = run {
        put_uvarint(out, value);
        put_uvarint(out, times);
    }
}

fn take_runs(cursor: &mut Cursor<'_>, count: usize, mut each: impl FnMut(u64) -> Option<()>) -> Option<()> {
    let mut left = count as u64;
    while left > 0 {
        let (value, times) = (cursor.uvarint()?, cursor.uvarint()?);
        left = left.checked_sub(times).filter(|_| times > 0)?;
        for _ in 0..times {
            each(value)?;
        }
    }
    Some(())
}

fn put_values(samples: &[Sample], out: &mut Vec<u8>) {
    let numbers: Option<Vec<f64>> = samples
        .iter()
        .map(|(_, cell)| match cell {
            Cell::Number(number) => Some(*number),
            Cell::List(_) => None,
        })
        .collect();
    let Some(numbers) = numbers else { return put_lists(samples, out) };
    let integers = (0..=PLACES_MAX).find_map(|places| Some((places, as_integers(&numbers, places)?)));
    let Some((places, integers)) = integers else { return put_xor(&numbers, out) };
    let (form, bytes) = smallest(&integers);
    out.push(form | (places << PLACES_SHIFT));
    out.extend_from_slice(&bytes);
}

fn values(cursor: &mut Cursor<'_>, count: usize) -> Option<Vec<Cell>> {
    let tag = cursor.byte()?;
    let (form, places) = (tag & ((1 << PLACES_SHIFT) - 1), tag >> PLACES_SHIFT);
    let integers = match form {
        RUNS => take_value_runs(cursor, count)?,
        SLOPES => take_slopes(cursor, count)?,
        PACKED => take_packed(cursor, count)?,
        XOR => return take_xor(cursor.0, count),
        LISTS => return take_lists(cursor, count),
        _ => return None,
    };
    if places > PLACES_MAX {
        return None;
    }
    let scale = 10_f64.powi(i32::from(places));
    Some(integers.into_iter().map(|integer| Cell::Number(from_integer(integer, scale))).collect())
}

#[expect(clippy::cast_precision_loss, reason = "integers come from doubles, so they exist as doubles")]
fn from_integer(integer: i64, scale: f64) -> f64 {
    integer as f64 / scale
}

/// The numbers as integers of `10^-places`, if every one comes back bit for bit.
fn as_integers(numbers: &[f64], places: u8) -> Option<Vec<i64>> {
    let scale = 10_f64.powi(i32::from(places));
    let shifted = |&number: &f64| {
        let rounded = (number * scale).round();
        if rounded.abs() > INTEGER_MAX || rounded.is_nan() {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "a whole number within 2^53")]
        let integer = rounded as i64;
        (from_integer(integer, scale).to_bits() == number.to_bits()).then_some(integer)
    };
    numbers.iter().map(shifted).collect()
}

fn smallest(integers: &[i64]) -> (u8, Vec<u8>) {
    let mut best = (RUNS, Vec::new());
    let mut before = 0_i64;
    for run in integers.chunk_by(|a, b| a == b) {
        let value = run.first().copied().unwrap_or_default();
        put_ivarint(&mut best.1, value.wrapping_sub(before));
        put_len(&mut best.1, run.len());
        before = value;
    }
    let mut slopes = Vec::new();
    put_runs(differences(integers), &mut slopes);
    if slopes.len() < best.1.len() {
        best = (SLOPES, slopes);
    }
    let least = integers.iter().copied().min().unwrap_or_default();
    let (width, bits) = packed_width(integers, least);
    if bits.div_ceil(8) + 11 < best.1.len() as u64 || best.1.len() > 16 {
        let packed = packed(integers, least, width);
        if packed.len() < best.1.len() {
            best = (PACKED, packed);
        }
    }
    best
}

/// Differences of neighbours, the first from 0, as [`crate::wire::zigzag`].
fn differences(integers: &[i64]) -> impl Iterator<Item = u64> + '_ {
    let mut before = 0_i64;
    integers.iter().map(move |&integer| {
        let difference = integer.wrapping_sub(before);
        before = integer;
        crate::wire::zigzag(difference)
    })
}

fn take_value_runs(cursor: &mut Cursor<'_>, count: usize) -> Option<Vec<i64>> {
    let (mut integers, mut value) = (Vec::with_capacity(count), 0_i64);
    while integers.len() < count {
        value = value.wrapping_add(cursor.ivarint()?);
        let times = usize::try_from(cursor.uvarint()?).ok()?;
        let len = integers.len().checked_add(times).filter(|&len| times > 0 && len <= count)?;
        integers.resize(len, value);
    }
    Some(integers)
}

/// Sums up what [`differences`] took apart.
fn take_slopes(cursor: &mut Cursor<'_>, count: usize) -> Option<Vec<i64>> {
    let (mut integers, mut sum) = (Vec::with_capacity(count), 0_i64);
    take_runs(cursor, count, |difference| {
        sum = sum.wrapping_add(crate::wire::unzigzag(difference));
        integers.push(sum);
        Some(())
    })?;
    Some(integers)
}

/// The width of packed values that takes the fewest bits, and how many.
fn packed_width(integers: &[i64], least: i64) -> (u32, u64) {
    let mut of_width = [0_u64; 65];
    for &integer in integers {
        let width = 64 - integer.abs_diff(least).leading_zeros();
        if let Some(count) = of_width.get_mut(width as usize) {
            *count += 1;
        }
    }
    let total = integers.len() as u64;
    let mut fitting = 0;
    let mut best = (63, u64::MAX);
    for (width, count) in (0_u32..).zip(of_width).take(64) {
        fitting += count;
        let bits = total * (1 + u64::from(width)) + (total - fitting) * 64;
        if bits < best.1 {
            best = (width, bits);
        }
    }
    best
}

fn packed(integers: &[i64], least: i64, width: u32) -> Vec<u8> {
    let mut out = Vec::new();
    put_ivarint(&mut out, least);
    out.push(width.to_le_bytes()[0]);
    let mut bits = BitWriter::default();
    for &integer in integers {
        let above = integer.abs_diff(least);
        if above >> width == 0 {
            bits.put(0, 1);
            bits.put(above, width);
        } else {
            bits.put(1, 1);
            bits.put(above, 64);
        }
    }
    out.extend_from_slice(&bits.finish());
    out
}

fn take_packed(cursor: &mut Cursor<'_>, count: usize) -> Option<Vec<i64>> {
    let least = cursor.ivarint()?;
    let width = u32::from(cursor.byte()?);
    if width > 63 {
        return None;
    }
    let mut bits = BitReader::new(cursor.0);
    let mut next = || {
        let wide = bits.take(1)? == 1;
        least.checked_add_unsigned(bits.take(if wide { 64 } else { width })?)
    };
    (0..count).map(|_| next()).collect()
}

fn put_xor(numbers: &[f64], out: &mut Vec<u8>) {
    out.push(XOR);
    let mut bits = BitWriter::default();
    let (mut before, mut leading, mut trailing) = (0_u64, u32::MAX, 0);
    for (index, number) in numbers.iter().enumerate() {
        let word = number.to_bits();
        let xor = word ^ before;
        before = word;
        if index == 0 {
            bits.put(word, 64);
        } else if xor == 0 {
            bits.put(0, 1);
        } else if leading != u32::MAX && xor.leading_zeros() >= leading && xor.trailing_zeros() >= trailing {
            bits.put(0b10, 2);
            bits.put(xor >> trailing, 64 - leading - trailing);
        } else {
            leading = xor.leading_zeros().min(31);
            trailing = xor.trailing_zeros();
            let len = 64 - leading - trailing;
            bits.put(0b11, 2);
            bits.put(u64::from(leading), 5);
            bits.put(u64::from(len - 1), 6);
            bits.put(xor >> trailing, len);
        }
    }
    out.extend_from_slice(&bits.finish());
}

fn take_xor(bytes: &[u8], count: usize) -> Option<Vec<Cell>> {
    let mut bits = BitReader::new(bytes);
    let mut word = bits.take(64)?;
    let (mut leading, mut len) = (0, 0);
    let mut cells = Vec::with_capacity(count);
    cells.push(Cell::Number(f64::from_bits(word)));
    for _ in 1..count {
        if bits.take(1)? == 1 {
            if bits.take(1)? == 1 {
                leading = u32::try_from(bits.take(5)?).ok()?;
                len = u32::try_from(bits.take(6)?).ok()? + 1;
            }
            let trailing = 64_u32.checked_sub(leading)?.checked_sub(len).filter(|_| len > 0)?;
            word ^= bits.take(len)? << trailing;
        }
        cells.push(Cell::Number(f64::from_bits(word)));
    }
    Some(cells)
}

fn put_lists(samples: &[Sample], out: &mut Vec<u8>) {
    let mut numbers: HashMap<&[u8], u64> = HashMap::new();
    let (mut lists, mut indexes): (Vec<&[u8]>, Vec<u64>) = (Vec::new(), Vec::new());
    for (_, cell) in samples {
        let list: &[u8] = match cell {
            Cell::List(list) => list,
            Cell::Number(_) => &[],
        };
        indexes.push(*numbers.entry(list).or_insert_with(|| {
            lists.push(list);
            lists.len() as u64 - 1
        }));
    }
    out.push(LISTS);
    put_len(out, lists.len());
    lists.iter().for_each(|list| put_bytes(out, list));
    put_runs(indexes.into_iter(), out);
}

fn take_lists(cursor: &mut Cursor<'_>, count: usize) -> Option<Vec<Cell>> {
    let distinct = cursor.count()?;
    let lists: Vec<Arc<[u8]>> =
        (0..distinct).map(|_| cursor.bytes().map(Arc::from)).collect::<Option<_>>()?;
    let mut cells = Vec::with_capacity(count);
    take_runs(cursor, count, |index| {
        let list = lists.get(usize::try_from(index).ok()?)?;
        cells.push(Cell::List(Arc::clone(list)));
        Some(())
    })?;
    Some(cells)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(bytes: &[u8], unit: i64) -> Option<Vec<Sample>> {
        let (mut cursor, mut samples) = (Cursor(bytes), Vec::new());
        while !cursor.0.is_empty() {
            decode(cursor.bytes()?, unit, &mut samples)?;
        }
        Some(samples)
    }

    /// NaN is none of our inputs, but its bits must come back as those of any double do.
    fn same(a: &[Sample], b: &[Sample]) -> bool {
        a.len() == b.len()
            && a.iter().zip(b).all(|(a, b)| {
                a.0 == b.0
                    && match (&a.1, &b.1) {
                        (Cell::Number(a), Cell::Number(b)) => a.to_bits() == b.to_bits(),
                        (a, b) => a == b,
                    }
            })
    }

    fn cells() -> impl Strategy<Value = Vec<Cell>> {
        let number = prop_oneof![
            prop::collection::vec(any::<f64>().prop_map(Cell::Number), 1..60),
            prop::collection::vec((-50_i32..1_000).prop_map(|n| Cell::Number(f64::from(n))), 1..2500),
            prop::collection::vec((0_i32..9_999).prop_map(|n| Cell::Number(f64::from(n) / 100.0)), 1..400),
            prop::collection::vec(any::<i64>().prop_map(|n| Cell::Number(n as f64)), 1..60),
            (any::<i32>(), -9_i32..9, 1_usize..400).prop_map(|(a, b, n)| {
                (0..n).map(|i| Cell::Number(f64::from(a) + f64::from(b) * i as f64)).collect()
            }),
        ];
        let list = prop::collection::vec(0_u8..4, 0..3).prop_map(|bytes| Cell::List(bytes.into()));
        let mixed = prop::collection::vec(
            prop_oneof![list.clone(), (0_i32..3).prop_map(|n| Cell::Number(n.into()))],
            1..80,
        );
        prop_oneof![4 => number, 1 => prop::collection::vec(list, 1..300), 1 => mixed]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn what_is_written_is_read(cells in cells(), first in -1_000_000_i64..1_000_000, steps in prop::collection::vec(1_i64..4, 1..20), grid in any::<bool>()) {
            let unit = 300_000;
            let mut at = if grid { first * unit } else { first };
            let samples: Vec<Sample> = cells.into_iter().enumerate().map(|(index, cell)| {
                at += steps[index % steps.len()] * if grid { unit } else { 1 };
                (at, cell)
            }).collect();
            let mut bytes = Vec::new();
            encode(&samples, unit, &mut bytes);
            let back = decoded(&bytes, unit);
            prop_assert!(back.as_deref().is_some_and(|back| same(back, &samples)), "{back:?}");
        }

        #[test]
        fn foreign_bytes_are_refused_or_read_but_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut samples = Vec::new();
            if decode(&bytes, 300_000, &mut samples).is_some() {
                prop_assert!(!samples.is_empty());
            }
        }
    }

    /// Bytes of a day of 288 windows, by what the values do.
    #[test]
    fn each_form_is_chosen_where_it_is_smallest() {
        let noise = |index: i64| (index * 7919 + index * index * 104_729) % 997;
        type Case = (&'static str, u8, usize, Box<dyn Fn(i64) -> f64>);
        let cases: [Case; 8] = [
            ("always the same", RUNS, 14, Box::new(|_| 5.0)),
            ("changes twice", RUNS, 20, Box::new(|i| if (99..200).contains(&i) { 7.0 } else { 5.0 })),
            ("grows evenly", SLOPES, 16, Box::new(|i| (7 + i * 5) as f64)),
            ("random below 997", PACKED, 412, Box::new(move |i| noise(i) as f64)),
            (
                "... with an outlier",
                PACKED,
                420,
                Box::new(move |i| if i == 99 { 1e12 } else { noise(i) as f64 }),
            ),
            ("one decimal", PACKED | 1 << PLACES_SHIFT, 412, Box::new(move |i| noise(i) as f64 / 10.0)),
            ("two decimals", PACKED | 2 << PLACES_SHIFT, 412, Box::new(move |i| noise(i) as f64 / 100.0)),
            ("thirds", XOR, 2_400, Box::new(move |i| noise(i) as f64 / 3.0)),
        ];
        for (name, form, most, value) in cases {
            let samples: Vec<Sample> = (0..288).map(|i| (i * 300_000, Cell::Number(value(i)))).collect();
            let mut bytes = Vec::new();
            encode(&samples, 300_000, &mut bytes);
            // Length (1 or 2), count (2), grid (1), first time (1), the run of steps (3), then the form.
            let at = if bytes.len() > 129 { 9 } else { 8 };
            assert_eq!(bytes[at], form, "{name}");
            assert!(bytes.len() <= most, "{name}: {} bytes", bytes.len());
            assert!(same(&decoded(&bytes, 300_000).unwrap(), &samples), "{name}");
        }
    }
}
