//! What is kept: numbers and lists.

use std::sync::Arc;

use fleet::time::Timestamp;

use crate::wire::{Cursor, put_bytes, put_len, put_uvarint};

/// Longest list that is kept, bytes as stored: some 4,000 ports or 1,600 IPv4 addresses. A longer
/// one is left out and counted, so that a merge, which holds a day of one series, stays small.
pub const LIST_BYTES_MAX: usize = 8 << 10;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number.
    Number(f64),
    /// A list of numbers.
    Numbers(Vec<f64>),
    /// A list of ports.
    Ports(Vec<u16>),
    /// A list of addresses or networks, as text.
    Addresses(Vec<String>),
    /// A list of texts.
    Texts(Vec<String>),
}

/// The values of one metric in windows that ended together.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Record of the journal that closed the windows.
    pub seq: u64,
    /// When the windows ended.
    pub end: Timestamp,
    /// Length of the windows, seconds.
    pub window_secs: u32,
    /// Metric.
    pub metric: String,
    /// Dimension; empty for none.
    pub dimension: String,
    /// How the windows' observations became values, such as `sum` or `max`.
    pub aggregate: String,
    /// The values. Of a thing that comes twice, here or in a later block, the last value counts.
    pub rows: Vec<Row>,
}

/// A thing's value.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Name of the thing.
    pub thing: String,
    /// The value.
    pub value: Value,
}

/// A value as it is stored: lists as their bytes, so that equal ones are kept once.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    Number(f64),
    List(Arc<[u8]>),
}

const NUMBERS: u8 = 1;
const PORTS: u8 = 2;
const ADDRESSES: u8 = 3;
const TEXTS: u8 = 4;

impl Value {
    /// As it is stored; nothing for a list that is too long.
    pub(crate) fn to_cell(&self) -> Option<Cell> {
        let mut out = Vec::new();
        match self {
            Self::Number(number) => return Some(Cell::Number(*number)),
            Self::Numbers(numbers) => {
                out.push(NUMBERS);
                put_len(&mut out, numbers.len());
                numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
            }
            Self::Ports(ports) => {
                out.push(PORTS);
                put_len(&mut out, ports.len());
                ports.iter().for_each(|&port| put_uvarint(&mut out, u64::from(port)));
            }
            Self::Addresses(texts) | Self::Texts(texts) => {
                out.push(if matches!(self, Self::Addresses(_)) { ADDRESSES } else { TEXTS });
                put_len(&mut out, texts.len());
                texts.iter().for_each(|text| put_bytes(&mut out, text.as_bytes()));
            }
        }
        (out.len() <= LIST_BYTES_MAX).then(|| Cell::List(out.into()))
    }

    /// From what is stored; nothing if it was not written by [`Value::to_cell`].
    pub(crate) fn from_cell(cell: &Cell) -> Option<Self> {
        let bytes = match cell {
            Cell::Number(number) => return Some(Self::Number(*number)),
            Cell::List(bytes) => bytes,
        };
        let mut cursor = Cursor(bytes);
        let tag = cursor.byte()?;
        let count = cursor.count()?;
        let cursor = &mut cursor;
        let value = match tag {
            NUMBERS => Self::Numbers(many(count, || cursor.array().map(f64::from_le_bytes))?),
            PORTS => Self::Ports(many(count, || u16::try_from(cursor.uvarint()?).ok())?),
            ADDRESSES => Self::Addresses(many(count, || cursor.text().map(str::to_owned))?),
            TEXTS => Self::Texts(many(count, || cursor.text().map(str::to_owned))?),
            _ => return None,
        };
        cursor.0.is_empty().then_some(value)
    }
}

fn many<T>(count: usize, mut next: impl FnMut() -> Option<T>) -> Option<Vec<T>> {
    (0..count).map(|_| next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_and_damaged_ones_do_not() {
        let values = [
            Value::Number(-0.0),
            Value::Numbers(vec![]),
            Value::Numbers(vec![1.5, -2.0]),
            Value::Ports(vec![22, 65_535, 0]),
            Value::Addresses(vec!["10.0.0.1".into(), "fe80::/10".into()]),
            Value::Texts(vec![String::new(), "käse".into()]),
        ];
        for value in values {
            let cell = value.to_cell().unwrap();
            assert_eq!(Value::from_cell(&cell), Some(value.clone()));
            if let Cell::List(bytes) = cell {
                for cut in 0..bytes.len() {
                    assert_eq!(
                        Value::from_cell(&Cell::List(bytes[..cut].into())),
                        None,
                        "{value:?} cut at {cut}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_list_at_the_bound_is_kept_and_one_longer_is_not() {
        let room = LIST_BYTES_MAX - 3;
        assert!(Value::Ports(vec![1; room]).to_cell().is_some());
        assert!(Value::Ports(vec![1; room + 1]).to_cell().is_none());
    }
}
