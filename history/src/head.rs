//! The values of the log that is being written, in memory, and its blocks as bytes.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::{
    chunk::Sample,
    key::Key,
    value::{Block, Cell},
    wire::{Cursor, put_bytes, put_ivarint, put_len, put_uvarint, unzigzag, zigzag},
};

/// What a log holds.
#[derive(Debug, Default)]
pub(crate) struct Head {
    /// Number of the log.
    pub(crate) number: u64,
    ids: HashMap<Arc<str>, u32>,
    pub(crate) names: Vec<Arc<str>>,
    key_ids: HashMap<Key, u32>,
    pub(crate) keys: Vec<Key>,
    pub(crate) blocks: Vec<HeadBlock>,
    /// The last block of each key.
    last: Vec<usize>,
    pub(crate) points: usize,
    /// Bytes of names, lists and blocks.
    pub(crate) text_bytes: usize,
}

/// A block with its things and its key as numbers.
#[derive(Debug)]
pub(crate) struct HeadBlock {
    pub(crate) key: u32,
    pub(crate) end: i64,
    pub(crate) ids: Vec<u32>,
    /// Whether the ids increase; else a thing may come several times, and the last counts.
    sorted: bool,
    pub(crate) column: Column,
}

/// The values, in the order of the ids. Nearly all are numbers: 8 bytes each instead of 24.
#[derive(Debug)]
pub(crate) enum Column {
    Numbers(Vec<f64>),
    Mixed(Vec<Cell>),
}

impl Column {
    fn extend(&mut self, other: Self) {
        match (self, other) {
            (Self::Numbers(numbers), Self::Numbers(more)) => numbers.extend(more),
            (Self::Mixed(cells), other) => cells.extend(other.into_cells()),
            (own, other) => {
                let mut cells = std::mem::replace(own, Self::Mixed(Vec::new())).into_cells();
                cells.extend(other.into_cells());
                *own = Self::Mixed(cells);
            }
        }
    }

    fn into_cells(self) -> Vec<Cell> {
        match self {
            Self::Numbers(numbers) => numbers.into_iter().map(Cell::Number).collect(),
            Self::Mixed(cells) => cells,
        }
    }

    pub(crate) fn cell(&self, row: usize) -> Option<Cell> {
        match self {
            Self::Numbers(numbers) => numbers.get(row).map(|&number| Cell::Number(number)),
            Self::Mixed(cells) => cells.get(row).cloned(),
        }
    }
}

/// What became of a block.
#[derive(Debug)]
pub(crate) struct Taken {
    /// For the log.
    pub(crate) payload: Vec<u8>,
    pub(crate) rows: usize,
    /// Rows left out because their list is too long.
    pub(crate) too_long: usize,
}

const NUMBERS: u8 = 0;
const MIXED: u8 = 1;
/// Integers that are written as such; those beyond take 8 bytes as doubles.
const INTEGER_MAX: f64 = 9_007_199_254_740_992.0;

impl Head {
    pub(crate) fn new(number: u64) -> Self {
        Self { number, ..Self::default() }
    }

    /// The earliest and the latest window end.
    pub(crate) fn range(&self) -> Option<(i64, i64)> {
        let ends = self.blocks.iter().map(|block| block.end);
        Some((ends.clone().min()?, ends.max()?))
    }

    /// Takes a block in.
    pub(crate) fn take(&mut self, block: &Block) -> Taken {
        let mut payload = Vec::new();
        put_uvarint(&mut payload, block.seq);
        put_ivarint(&mut payload, block.end.millis());
        let key = self.key(block, &mut payload);
        let known = self.names.len();
        let (mut rows, mut too_long) = (Vec::with_capacity(block.rows.len()), 0);
        for row in &block.rows {
            match row.value.to_cell() {
                Some(cell) => rows.push((self.id(&row.thing), cell)),
                None => too_long += 1,
            }
        }
        // Stable, so that of a thing that comes twice the last row is the first.
        rows.reverse();
        rows.sort_by_key(|row| row.0);
        rows.dedup_by_key(|row| row.0);
        let fresh = self.names.get(known..).unwrap_or_default();
        put_len(&mut payload, fresh.len());
        fresh.iter().for_each(|name| put_bytes(&mut payload, name.as_bytes()));
        let taken = rows.len();
        let (ids, cells): (Vec<u32>, Vec<Cell>) = rows.into_iter().unzip();
        put_ids(&ids, &mut payload);
        let column = put_column(cells, &mut payload);
        self.push(HeadBlock { key, end: block.end.millis(), ids, sorted: true, column });
        Taken { payload, rows: taken, too_long }
    }

    fn push(&mut self, block: HeadBlock) {
        self.points += block.ids.len();
        if let Column::Mixed(cells) = &block.column {
            let list = |cell: &Cell| if let Cell::List(list) = cell { list.len() } else { 0 };
            self.text_bytes += cells.iter().map(list).sum::<usize>();
        }
        // Lists come one by one as they are reported: those of a window are put together.
        let last = self.last.get_mut(block.key as usize);
        if let Some(before) = last.as_ref().and_then(|last| self.blocks.get_mut(**last))
            && before.key == block.key
            && before.end == block.end
        {
            before.sorted = false;
            before.ids.extend(block.ids);
            before.column.extend(block.column);
            return;
        }
        if let Some(last) = last {
            *last = self.blocks.len();
        }
        self.text_bytes += size_of::<HeadBlock>();
        self.blocks.push(block);
    }

    fn key(&mut self, block: &Block, payload: &mut Vec<u8>) -> u32 {
        let key = Key {
            metric: block.metric.as_str().into(),
            dimension: block.dimension.as_str().into(),
            aggregate: block.aggregate.as_str().into(),
            window_secs: block.window_secs,
        };
        if let Some(&id) = self.key_ids.get(&key) {
            put_uvarint(payload, u64::from(id));
            return id;
        }
        put_len(payload, self.keys.len());
        key.put(payload);
        self.add_key(key)
    }

    fn add_key(&mut self, key: Key) -> u32 {
        let id = number(self.keys.len());
        self.key_ids.insert(key.clone(), id);
        self.keys.push(key);
        self.last.push(usize::MAX);
        id
    }

    fn id(&mut self, name: &str) -> u32 {
        match self.ids.get(name) {
            Some(&id) => id,
            None => self.add_name(name.into()),
        }
    }

    fn add_name(&mut self, name: Arc<str>) -> u32 {
        let id = number(self.names.len());
        self.text_bytes += name.len() + 64;
        self.ids.insert(Arc::clone(&name), id);
        self.names.push(name);
        id
    }

    /// Takes a block of a log in again. Nothing changes if it makes no sense.
    pub(crate) fn apply(&mut self, payload: &[u8]) -> Option<()> {
        let mut cursor = Cursor(payload);
        let cursor = &mut cursor;
        cursor.uvarint()?;
        let end = cursor.ivarint()?;
        let key = cursor.u32()?;
        let fresh_key = if key as usize == self.keys.len() { Some(Key::read(cursor)?) } else { None };
        let count = cursor.count()?;
        let fresh: Vec<Arc<str>> = (0..count).map(|_| cursor.text().map(Arc::from)).collect::<Option<_>>()?;
        let ids = take_ids(cursor)?;
        let column = take_column(cursor, ids.len())?;
        let names = self.names.len() + fresh.len();
        let known = fresh_key.is_some() || (key as usize) < self.keys.len();
        if !cursor.0.is_empty() || !known || ids.last().is_some_and(|&last| last as usize >= names) {
            return None;
        }
        if let Some(fresh) = fresh_key {
            self.add_key(fresh);
        }
        fresh.into_iter().for_each(|name| {
            self.add_name(name);
        });
        self.push(HeadBlock { key, end, ids, sorted: true, column });
        Some(())
    }

    /// Hands the samples of a thing to `each`, for every key that `wanted` likes.
    pub(crate) fn find(
        &self,
        thing: &str,
        wanted: &dyn Fn(&Key) -> bool,
        each: &mut dyn FnMut(&Key, Sample),
    ) {
        let Some(&id) = self.ids.get(thing) else { return };
        for block in &self.blocks {
            let Some(key) = self.keys.get(block.key as usize).filter(|key| wanted(key)) else { continue };
            let row = if block.sorted {
                block.ids.binary_search(&id).ok()
            } else {
                block.ids.iter().rposition(|&found| found == id)
            };
            if let Some(cell) = row.and_then(|row| block.column.cell(row)) {
                each(key, (block.end, cell));
            }
        }
    }
}

/// Names and keys of a log are bounded far below `u32::MAX`.
fn number(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

fn put_ids(ids: &[u32], out: &mut Vec<u8>) {
    put_len(out, ids.len());
    let mut next = 0;
    for &id in ids {
        put_uvarint(out, u64::from(id - next));
        next = id + 1;
    }
}

fn take_ids(cursor: &mut Cursor<'_>) -> Option<Vec<u32>> {
    let count = cursor.count()?;
    let mut next = 0_u32;
    let mut take = || {
        let id = next.checked_add(cursor.u32()?)?;
        next = id.checked_add(1)?;
        Some(id)
    };
    (0..count).map(|_| take()).collect()
}

fn put_column(cells: Vec<Cell>, out: &mut Vec<u8>) -> Column {
    let numbers: Option<Vec<f64>> = cells
        .iter()
        .map(|cell| match cell {
            Cell::Number(number) => Some(*number),
            Cell::List(_) => None,
        })
        .collect();
    if let Some(numbers) = numbers {
        out.push(NUMBERS);
        numbers.iter().for_each(|&number| put_number(number, out));
        return Column::Numbers(numbers);
    }
    out.push(MIXED);
    let mut lists: HashMap<Arc<[u8]>, u64> = HashMap::new();
    for cell in &cells {
        match cell {
            Cell::Number(number) => {
                out.push(0);
                put_number(*number, out);
            }
            Cell::List(list) => {
                // 1 is a new list, 2 and above the lists so far.
                let fresh = lists.len() as u64;
                match lists.get(list) {
                    Some(index) => put_uvarint(out, index + 2),
                    None => {
                        out.push(1);
                        put_bytes(out, list);
                        lists.insert(Arc::clone(list), fresh);
                    }
                }
            }
        }
    }
    Column::Mixed(cells)
}

fn take_column(cursor: &mut Cursor<'_>, count: usize) -> Option<Column> {
    match cursor.byte()? {
        NUMBERS => Some(Column::Numbers((0..count).map(|_| take_number(cursor)).collect::<Option<_>>()?)),
        MIXED => {
            let mut lists: Vec<Arc<[u8]>> = Vec::new();
            let mut take = || match cursor.uvarint()? {
                0 => take_number(cursor).map(Cell::Number),
                1 => {
                    let list: Arc<[u8]> = cursor.bytes()?.into();
                    lists.push(Arc::clone(&list));
                    Some(Cell::List(list))
                }
                index => lists.get(usize::try_from(index - 2).ok()?).cloned().map(Cell::List),
            };
            Some(Column::Mixed((0..count).map(|_| take()).collect::<Option<_>>()?))
        }
        _ => None,
    }
}

/// Integers as twice their zigzag number, other doubles as 1 and their bits.
fn put_number(number: f64, out: &mut Vec<u8>) {
    let whole =
        number.abs() < INTEGER_MAX && number.fract() == 0.0 && number.to_bits() != (-0.0_f64).to_bits();
    if whole {
        #[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^53")]
        let integer = number as i64;
        put_uvarint(out, zigzag(integer) << 1);
    } else {
        out.push(1);
        out.extend_from_slice(&number.to_le_bytes());
    }
}

fn take_number(cursor: &mut Cursor<'_>) -> Option<f64> {
    let code = cursor.uvarint()?;
    if code & 1 == 1 {
        return cursor.array().map(f64::from_le_bytes);
    }
    #[expect(clippy::cast_precision_loss, reason = "written from a double")]
    let number = unzigzag(code >> 1) as f64;
    Some(number)
}
