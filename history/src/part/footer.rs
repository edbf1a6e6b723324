//! What stands where in a part.

use crate::{
    key::Key,
    wire::{Cursor, put_bytes, put_ivarint, put_len, put_uvarint},
};

/// The footer of a part.
#[derive(Debug, Default)]
pub(crate) struct Footer {
    pub(crate) day: i64,
    pub(crate) origin: Origin,
    pub(crate) points: u64,
    pub(crate) range: (i64, i64),
    /// Names all told.
    pub(crate) things: u32,
    pub(crate) names: Vec<NamesFrame>,
    /// INVARIANT: sorted by key.
    pub(crate) keys: Vec<KeyFrames>,
}

/// Where a part comes from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    /// 0 for a log, one more for each merge.
    pub(crate) level: u8,
    /// The newest log whose values it holds: where two parts hold a window, the newer one counts.
    pub(crate) newest: u64,
    /// Parts whose values it holds.
    pub(crate) replaces: Vec<(u64, u32)>,
}

/// A frame of names.
#[derive(Debug)]
pub(crate) struct NamesFrame {
    pub(crate) first: Box<str>,
    pub(crate) first_number: u32,
    pub(crate) offset: u64,
}

/// The frames of a key.
#[derive(Debug)]
pub(crate) struct KeyFrames {
    pub(crate) key: Key,
    pub(crate) points: u64,
    pub(crate) frames: Vec<FrameOf>,
}

/// A frame of values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameOf {
    pub(crate) first_number: u32,
    pub(crate) offset: u64,
}

impl Footer {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_ivarint(&mut out, self.day);
        out.push(self.origin.level);
        put_uvarint(&mut out, self.origin.newest);
        put_uvarint(&mut out, self.points);
        put_ivarint(&mut out, self.range.0);
        put_ivarint(&mut out, self.range.1);
        put_len(&mut out, self.origin.replaces.len());
        for &(number, nth) in &self.origin.replaces {
            put_uvarint(&mut out, number);
            put_uvarint(&mut out, u64::from(nth));
        }
        put_uvarint(&mut out, u64::from(self.things));
        put_len(&mut out, self.names.len());
        let mut before = (0, 0);
        for frame in &self.names {
            put_bytes(&mut out, frame.first.as_bytes());
            put_step(&mut out, &mut before, frame.first_number, frame.offset);
        }
        put_len(&mut out, self.keys.len());
        for of in &self.keys {
            of.key.put(&mut out);
            put_uvarint(&mut out, of.points);
            put_len(&mut out, of.frames.len());
            let mut before = (0, 0);
            for frame in &of.frames {
                put_step(&mut out, &mut before, frame.first_number, frame.offset);
            }
        }
        out
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor(bytes);
        let cursor = &mut cursor;
        let mut footer = Self { day: cursor.ivarint()?, ..Self::default() };
        footer.origin.level = cursor.byte()?;
        footer.origin.newest = cursor.uvarint()?;
        footer.points = cursor.uvarint()?;
        footer.range = (cursor.ivarint()?, cursor.ivarint()?);
        let count = cursor.count()?;
        footer.origin.replaces =
            (0..count).map(|_| Some((cursor.uvarint()?, cursor.u32()?))).collect::<Option<_>>()?;
        footer.things = cursor.u32()?;
        let count = cursor.count()?;
        let mut before = (0, 0);
        for _ in 0..count {
            let first = cursor.text()?.into();
            let (first_number, offset) = take_step(cursor, &mut before)?;
            footer.names.push(NamesFrame { first, first_number, offset });
        }
        let count = cursor.count()?;
        for _ in 0..count {
            let (key, points) = (Key::read(cursor)?, cursor.uvarint()?);
            let frames = cursor.count()?;
            let mut before = (0, 0);
            let mut next = || take_step(cursor, &mut before);
            let frames = (0..frames)
                .map(|_| next().map(|(first_number, offset)| FrameOf { first_number, offset }))
                .collect::<Option<_>>()?;
            footer.keys.push(KeyFrames { key, points, frames });
        }
        cursor.0.is_empty().then_some(footer)
    }
}

fn put_step(out: &mut Vec<u8>, before: &mut (u32, u64), number: u32, offset: u64) {
    put_uvarint(out, u64::from(number - before.0));
    put_uvarint(out, offset - before.1);
    *before = (number, offset);
}

fn take_step(cursor: &mut Cursor<'_>, before: &mut (u32, u64)) -> Option<(u32, u64)> {
    let step = (cursor.u32()?, cursor.uvarint()?);
    *before = (before.0.checked_add(step.0)?, before.1.checked_add(step.1)?);
    Some(*before)
}
