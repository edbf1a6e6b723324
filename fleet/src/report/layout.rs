//! Reports laid out as earlier ones, read without asking what each member is.
//!
//! The devices of a fleet write the same members in the same order, time and again; only the
//! values differ. So what lies between two values is kept as plain bytes: a report is then a few
//! comparisons of bytes, and its values. All layouts together form a graph. Its nodes are what the
//! general reader (`read`) knows behind a value and what decides about everything that follows: the
//! open objects with the members that they have had. An edge is the bytes from one value to the
//! next, as the general reader once read them there. As it would do the same with the same bytes
//! again, whoever comes along edges to the end has what it would have made of the report. Items of
//! a list lead back to the same node, so that a list may have any length.
//!
//! Whoever finds no edge makes the general reader read the report from its beginning: it alone
//! refuses reports, and its errors are the only ones. Wherever that succeeds the graph learns.
//!
//! Bounded: at most [`EDGES_MAX`] edges, [`NODES_MAX`] nodes and [`TEXT_MAX`] bytes of text between
//! values; a graph that is full begins anew. To learn costs more than to read, so that at most one report
//! in [`LEARN_COST`] is learnt in the long run ([`LEARN_BURST`] at once), and while hardly any report
//! comes to the end only one in [`TRY_EACH`] is tried: where no two reports are alike that costs little.

use hashbrown::HashMap;

use super::{
    LIST_ITEMS_MAX, ReportBuf, address,
    fault::Step,
    json::Json,
    number,
    read::{self, Field, List, Source},
    record::{Recorder, Trace, Value},
};

const EDGES_MAX: usize = 4_096;
const NODES_MAX: usize = 2_048;
const TEXT_MAX: usize = 256 * 1024;
/// Edges of one node. When there are more it begins anew.
const FAN_MAX: u32 = 32;
/// Edges of one node from which on the texts in new ones become values.
const SPELLINGS_MAX: u32 = 8;

/// What a learnt report costs, in reports.
const LEARN_COST: u32 = 16;
const LEARN_BURST: u32 = 64;
/// Tries that fail in a row, or about as many more than succeed, before trying is given up.
const LUCK_MAX: u32 = 64;
const TRY_EACH: u32 = 16;

/// No edge.
const NONE: u32 = u32::MAX;
/// The node before the first value.
const ROOT: usize = 0;

/// The graph of layouts.
#[derive(Debug)]
pub(super) struct Layouts {
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    /// What edges compare with.
    text: Vec<u8>,
    /// Nodes by their state.
    known: HashMap<Box<[u8]>, u32>,
    credit: u32,
    luck: u32,
    reports: u32,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    first: u32,
    edges: u32,
    /// Texts are values here.
    textual: bool,
}

#[derive(Clone, Copy, Debug)]
struct Edge {
    /// Its text, in [`Layouts::text`].
    start: u32,
    end: u32,
    /// Where it leads.
    to: u32,
    /// Another edge of the same node.
    other: u32,
    /// The value behind the text.
    field: Field,
    /// Lists that begin in the text.
    lists: u8,
}

impl Edge {
    const END: Self = Self { start: 0, end: 0, to: 0, other: NONE, field: Field::End, lists: 0 };
}

impl Default for Layouts {
    fn default() -> Self {
        let mut layouts = Self {
            nodes: Vec::new(),
            edges: Vec::new(),
            text: Vec::new(),
            known: HashMap::new(),
            credit: LEARN_COST * LEARN_BURST,
            luck: LUCK_MAX,
            reports: 0,
        };
        layouts.begin_anew();
        layouts
    }
}

impl Layouts {
    /// Reads a report that is laid out as an earlier one; `false` if it is not, or is not valid:
    /// then the content of `out` means nothing.
    #[inline]
    pub(super) fn read(&mut self, bytes: &[u8], out: &mut ReportBuf) -> bool {
        self.reports = self.reports.wrapping_add(1);
        self.credit = (self.credit + 1).min(LEARN_COST * LEARN_BURST);
        if self.luck == 0 && !self.reports.is_multiple_of(TRY_EACH) {
            return false;
        }
        let done = self.follow(bytes, out).is_some();
        self.luck = if done { (self.luck + 1).min(LUCK_MAX) } else { self.luck.saturating_sub(1) };
        done
    }

    /// What is left of the report is passed by value from step to step: where one value ends decides
    /// where the next text begins, and that chain is what the time goes into.
    fn follow(&self, bytes: &[u8], out: &mut ReportBuf) -> Option<()> {
        let (mut rest, mut node, mut lists) = (bytes, ROOT, 0);
        loop {
            let (edge, after) = self.edge(node, rest)?;
            lists |= edge.lists;
            if edge.field == Field::End {
                return finish(after, lists, out);
            }
            rest = value(edge.field, after, out)?;
            node = edge.to as usize;
        }
    }

    /// The edge of a node whose text is next, and what follows the text.
    #[inline(always)]
    fn edge<'a>(&self, node: usize, rest: &'a [u8]) -> Option<(&Edge, &'a [u8])> {
        let mut at = self.nodes.get(node)?.first;
        loop {
            let edge = self.edges.get(at as usize)?;
            if let Some(rest) = step_over(rest, self.text.get(edge.start as usize..edge.end as usize)?) {
                return Some((edge, rest));
            }
            at = edge.other;
        }
    }

    /// Whether a report may be learnt now; that is paid for.
    pub(super) fn may_learn(&mut self) -> bool {
        let may = self.credit >= LEARN_COST && self.luck_or_turn();
        if may {
            self.credit -= LEARN_COST;
        }
        may
    }

    /// Whether the report at hand was tried.
    const fn luck_or_turn(&self) -> bool {
        self.luck > 0 || self.reports.is_multiple_of(TRY_EACH)
    }

    /// Learns how a report is laid out that the general reader has accepted.
    pub(super) fn learn(&mut self, bytes: &[u8], trace: &Trace) {
        if trace.odd {
            return;
        }
        if self.edges.len() + trace.values.len() >= EDGES_MAX
            || self.nodes.len() + trace.values.len() >= NODES_MAX
            || self.text.len() + bytes.len() > TEXT_MAX
        {
            self.begin_anew();
        }
        let (mut node, mut from, mut lists, mut spelled) = (ROOT, 0, 0, false);
        for value in &trace.values {
            lists |= value.lists;
            let textual = self.nodes.get(node).is_some_and(|node| node.textual);
            if value.field == Field::Text && !textual {
                spelled = true;
                continue;
            }
            let text = bytes.get(from..value.start).unwrap_or_default();
            let to = self.node_of(value);
            self.add(node, text, Edge { to, field: value.field, lists, ..Edge::END }, spelled);
            (node, from, lists, spelled) = (to as usize, value.end, 0, false);
        }
        lists |= trace.lists;
        let text = bytes.get(from..).unwrap_or_default();
        self.add(node, text, Edge { lists, ..Edge::END }, spelled);
    }

    fn begin_anew(&mut self) {
        self.nodes.clear();
        self.edges.clear();
        self.text.clear();
        self.known.clear();
        self.nodes.push(Node { first: NONE, edges: 0, textual: false });
    }

    fn node_of(&mut self, value: &Value) -> u32 {
        let next = u32::try_from(self.nodes.len()).unwrap_or(NONE);
        let node = *self.known.entry_ref(value.state.as_slice()).or_insert(next);
        if node == next {
            self.nodes.push(Node { first: NONE, edges: 0, textual: false });
        }
        node
    }

    /// Adds an edge behind the others of a node, unless it has it. `spelled`: its text holds texts of
    /// the report.
    fn add(&mut self, node: usize, text: &[u8], edge: Edge, spelled: bool) {
        let Self { nodes, edges, text: texts, .. } = self;
        let Some(node) = nodes.get_mut(node) else { return };
        let (mut at, mut last) = (node.first, NONE);
        while let Some(own) = edges.get(at as usize) {
            let same = texts.get(own.start as usize..own.end as usize) == Some(text);
            if same && (own.field, own.to, own.lists) == (edge.field, edge.to, edge.lists) {
                return;
            }
            (last, at) = (at, own.other);
        }
        let textual = spelled && node.edges >= SPELLINGS_MAX;
        if textual || node.edges >= FAN_MAX {
            *node = Node { first: NONE, edges: 0, textual: node.textual || textual };
            last = NONE;
        }
        let place = |len: usize| u32::try_from(len).unwrap_or(NONE);
        let (start, new) = (place(texts.len()), place(edges.len()));
        texts.extend_from_slice(text);
        edges.push(Edge { start, end: place(texts.len()), ..edge });
        node.edges += 1;
        match edges.get_mut(last as usize) {
            Some(last) => last.other = new,
            None => node.first = new,
        }
    }
}

/// Reads the value that is next, as the general reader does; gives what follows it. Nothing if the
/// general reader would refuse it, or if it takes it for more than a value.
#[inline(always)]
fn value<'a>(field: Field, rest: &'a [u8], out: &mut ReportBuf) -> Option<&'a [u8]> {
    let whole = || {
        let (number, rest) = number::parse(rest)?;
        Some((number.whole()?, rest))
    };
    let port = || {
        let (number, rest) = whole()?;
        Some((u16::try_from(number).ok().filter(|&port| port > 0)?, rest))
    };
    let number = match field {
        Field::ReportId => {
            let (number, rest) = whole()?;
            out.report_id = number;
            return (number > 0).then_some(rest);
        }
        Field::TcpPort => {
            let (port, rest) = port()?;
            out.tcp_ports.push(port);
            return Some(rest);
        }
        Field::UdpPort => {
            let (port, rest) = port()?;
            out.udp_ports.push(port);
            return Some(rest);
        }
        Field::LocalPort => {
            let (number, rest) = whole()?;
            return (number <= 65_535).then_some(rest);
        }
        Field::RemoteAddress => {
            let (address, rest) = match address::quoted_v4_with_port(rest) {
                Some((address, rest)) => (address.into(), rest),
                None => with_text(rest, read::remote_address)?,
            };
            out.remote_addresses.push(address);
            return Some(rest);
        }
        Field::Text => return with_text(rest, |json| read::any_text(json, "")).map(|((), rest)| rest),
        Field::Skipped => return with_text(rest, Source::skip).map(|((), rest)| rest),
        Field::Custom => {
            return with_text(rest, |json| read::custom_metrics(json, out)).map(|((), rest)| rest);
        }
        Field::End => return None,
        Field::BytesIn => &mut out.bytes_in,
        Field::BytesOut => &mut out.bytes_out,
        Field::PacketsIn => &mut out.packets_in,
        Field::PacketsOut => &mut out.packets_out,
        Field::TcpTotal => &mut out.tcp_ports_total,
        Field::UdpTotal => &mut out.udp_ports_total,
        Field::ConnectionsTotal => &mut out.connections_total,
    };
    let (read, rest) = whole()?;
    *number = Some(read);
    Some(rest)
}

/// Reads what may hold more than ASCII. What is compared with learnt text is UTF-8 by that.
#[cold]
fn with_text<'a, T>(rest: &'a [u8], read: impl FnOnce(&mut Json<'a>) -> Step<T>) -> Option<(T, &'a [u8])> {
    let mut json = Json::unchecked(rest);
    let value = read(&mut json).ok()?;
    let read = rest.get(..json.position())?;
    std::str::from_utf8(read).ok()?;
    Some((value, json.rest()))
}

/// What follows `text` in `rest`, if that begins with it.
#[inline(always)]
fn step_over<'a>(rest: &'a [u8], text: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = rest.split_at_checked(text.len())?;
    same(head, text).then_some(rest)
}

/// Whether the bytes are the same. Texts between values are short: what the library's comparison
/// costs before it begins is most of it.
#[inline(always)]
fn same(own: &[u8], other: &[u8]) -> bool {
    let (chunks, tail) = own.as_chunks::<16>();
    let (others, other_tail) = other.as_chunks::<16>();
    let word = |chunk: &[u8; 16]| u128::from_le_bytes(*chunk);
    if !chunks.iter().zip(others).all(|(own, other)| word(own) == word(other)) {
        return false;
    }
    // Whatever is left is in the last 16, 8 or 4 bytes, beside what was compared already.
    if let (Some(own), Some(other)) = (own.last_chunk::<16>(), other.last_chunk::<16>()) {
        return word(own) == word(other);
    }
    let ends = |bytes: &[u8]| {
        Some((u64::from_le_bytes(*bytes.first_chunk()?), u64::from_le_bytes(*bytes.last_chunk()?)))
    };
    if tail.len() >= 8 {
        return ends(tail) == ends(other_tail);
    }
    let ends = |bytes: &[u8]| {
        Some((u32::from_le_bytes(*bytes.first_chunk()?), u32::from_le_bytes(*bytes.last_chunk()?)))
    };
    if tail.len() >= 4 {
        return ends(tail) == ends(other_tail);
    }
    tail.iter().zip(other_tail).all(|(own, other)| own == other)
}

/// What the general reader does at the ends of lists and of the report.
fn finish(rest: &[u8], lists: u8, out: &mut ReportBuf) -> Option<()> {
    let has = |list: List| lists & list as u8 != 0;
    let too_long = [out.tcp_ports.len(), out.udp_ports.len(), out.remote_addresses.len()].iter().max()
        > Some(&LIST_ITEMS_MAX);
    if !rest.is_empty() || too_long {
        return None;
    }
    let total = |has: bool, total: Option<u64>, len: usize| total.or(has.then_some(len as u64));
    out.has_tcp_ports = has(List::TcpPorts);
    out.tcp_ports_total = total(out.has_tcp_ports, out.tcp_ports_total, out.tcp_ports.len());
    out.has_udp_ports = has(List::UdpPorts);
    out.udp_ports_total = total(out.has_udp_ports, out.udp_ports_total, out.udp_ports.len());
    out.has_remote_addresses = has(List::RemoteAddresses);
    out.connections_total =
        total(out.has_remote_addresses, out.connections_total, out.remote_addresses.len());
    Some(())
}

/// Reads a report with the general reader, and takes down how it is laid out.
pub(super) fn recorded(bytes: &[u8], out: &mut ReportBuf) -> Step<Trace> {
    let mut source = Recorder::new(bytes)?;
    read::report(&mut source, out)?;
    source.end()?;
    Ok(source.trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learn(layouts: &mut Layouts, text: &str) {
        let trace = recorded(text.as_bytes(), &mut ReportBuf::default()).unwrap();
        layouts.learn(text.as_bytes(), &trace);
    }

    fn knows(layouts: &mut Layouts, text: &str) -> bool {
        layouts.read(text.as_bytes(), &mut ReportBuf::default())
    }

    #[test]
    fn what_never_comes_again_takes_no_more_room() {
        let mut layouts = Layouts::default();
        let text = |n: u32| {
            let name = "x".repeat(usize::try_from(n % 1_000).unwrap());
            format!(r#"{{"a{n}{name}":{n},"h":{{"rid":{n},"v":"1.0"}},"met":{{"ns":{{"bi":{n}}}}}}}"#)
        };
        for n in 1..20_000 {
            learn(&mut layouts, &text(n));
            assert!(knows(&mut layouts, &text(n)), "the last one is always known: {n}");
            assert!(layouts.edges.len() <= EDGES_MAX && layouts.nodes.len() <= NODES_MAX);
            assert!(layouts.text.len() <= TEXT_MAX && layouts.known.len() <= NODES_MAX);
        }
    }

    #[test]
    fn learning_is_rationed_and_hopeless_tries_are_too() {
        let mut layouts = Layouts::default();
        let mut learnt = 0;
        for _ in 0..100_000 {
            assert!(!knows(&mut layouts, "{}"));
            learnt += u32::from(layouts.may_learn());
        }
        assert!((LEARN_BURST..LEARN_BURST + 100_000 / LEARN_COST + 2).contains(&learnt), "{learnt}");
        assert_eq!(layouts.luck, 0);
        let text = r#"{"h":{"rid":7,"v":"1.0"},"met":{}}"#;
        learn(&mut layouts, text);
        let known = (0..100).filter(|_| knows(&mut layouts, text)).count();
        assert!(known > 80, "one try in {TRY_EACH} and then all: {known}");
    }

    #[test]
    fn names_that_differ_become_values() {
        let text = |name: u32| {
            format!(
                r#"{{"h":{{"rid":7,"v":"1.0"}},"met":{{"tp":{{"pts":[{{"if":"veth{name}","pt":22}},{{"pt":80,"if":"{name}ä"}}]}}}}}}"#
            )
        };
        let mut layouts = Layouts::default();
        for name in 0..20 {
            learn(&mut layouts, &text(name));
        }
        assert!(knows(&mut layouts, &text(1_000)));
        let mut bytes = text(1_000).into_bytes();
        let at = bytes.iter().rposition(|&byte| byte == 0xc3).unwrap();
        bytes.remove(at);
        assert!(!layouts.read(&bytes, &mut ReportBuf::default()), "a text that is not UTF-8");
    }
}
