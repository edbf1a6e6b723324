//! Reads a report as [`Json`] does, and takes down where its values are and what was open there.

use super::{
    fault::Step,
    json::{Frame, Json},
    number::Number,
    read::{Field, Note, Source},
};

/// A value of a report that may be another one in the next.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) field: Field,
    /// Where it is in the report.
    pub(super) start: usize,
    pub(super) end: usize,
    /// Lists that began since the value before, as bits of [`super::read::List`].
    pub(super) lists: u8,
    /// What decides about everything behind it: the field, and of each object that is open which
    /// members it has had, which of them had a value, and which one is being read.
    pub(super) state: Vec<u8>,
}

/// The values of a report, in order.
#[derive(Debug, Default)]
pub(super) struct Trace {
    pub(super) values: Vec<Value>,
    /// Lists that began behind the last value.
    pub(super) lists: u8,
    /// It has something that its values do not tell.
    pub(super) odd: bool,
    open: Vec<Open>,
    /// How many values we are inside of: what is in a value is none of our business.
    inside: u32,
}

/// An object that is being read. Members are bits; no object knows more than eight.
#[derive(Clone, Copy, Debug, Default)]
struct Open {
    given: u8,
    valued: u8,
    reads: u8,
}

impl Trace {
    fn note(&mut self, note: Note, position: usize) {
        match note {
            Note::Field(_) => self.inside += 1,
            Note::Done => self.inside = self.inside.saturating_sub(1),
            _ => {}
        }
        let outermost = matches!(note, Note::Field(_)) && self.inside == 1;
        if self.inside > 0 && !outermost {
            return;
        }
        match note {
            Note::Enter => self.open.push(Open::default()),
            Note::Leave => drop(self.open.pop()),
            Note::Member(member) => {
                self.odd |= member >= 8;
                if let Some(open) = self.open.last_mut() {
                    open.given |= 1 << (member & 7);
                    open.reads = u8::try_from(member & 7).unwrap_or(0);
                }
            }
            Note::Value => {
                if let Some(open) = self.open.last_mut() {
                    open.valued |= 1 << open.reads;
                }
            }
            Note::Began(list) => self.lists |= list as u8,
            Note::Odd => self.odd = true,
            Note::Field(field) => {
                let state = std::iter::once(field as u8)
                    .chain(self.open.iter().flat_map(|open| [open.given, open.valued, open.reads]))
                    .collect();
                let lists = std::mem::take(&mut self.lists);
                self.values.push(Value { field, start: position, end: position, lists, state });
            }
            Note::Done => {
                if let Some(value) = self.values.last_mut() {
                    value.end = position;
                }
            }
        }
    }
}

/// [`Json`] with a [`Trace`].
#[derive(Debug)]
pub(super) struct Recorder<'a> {
    json: Json<'a>,
    pub(super) trace: Trace,
}

impl<'a> Source<'a> for Recorder<'a> {
    type Frame = Frame;

    fn new(bytes: &'a [u8]) -> Step<Self> {
        Ok(Self { json: Json::new(bytes)?, trace: Trace::default() })
    }

    fn note(&mut self, note: Note) {
        self.trace.note(note, self.json.position());
    }

    fn open_object(&mut self) -> Step<Option<Frame>> {
        self.json.open_object()
    }

    fn name(&mut self, frame: &mut Frame) -> Step<Option<&[u8]>> {
        self.json.name(frame)
    }

    fn open_list(&mut self) -> Step<Option<Frame>> {
        self.json.open_list()
    }

    fn item(&mut self, frame: &mut Frame) -> Step<bool> {
        self.json.item(frame)
    }

    fn null(&mut self) -> Step<bool> {
        self.json.null()
    }

    fn number(&mut self) -> Step<Option<Number>> {
        self.json.number()
    }

    fn text(&mut self) -> Step<Option<&[u8]>> {
        self.json.text()
    }

    fn v4_with_port(&mut self) -> Option<std::net::Ipv4Addr> {
        self.json.v4_with_port()
    }

    fn skip(&mut self) -> Step<()> {
        self.json.skip()
    }

    fn end(&mut self) -> Step<()> {
        self.json.end()
    }

    fn describe(&self) -> String {
        self.json.describe()
    }

    fn describe_number(&self) -> String {
        self.json.describe_number()
    }
}
