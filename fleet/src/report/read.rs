//! Reads the document, over either encoding, into a [`ReportBuf`].

use std::{
    fmt,
    marker::PhantomData,
    net::{IpAddr, Ipv4Addr},
    ops::RangeInclusive,
};

use super::{
    CUSTOM_METRICS_MAX, CustomMetric, CustomValue, LIST_ITEMS_MAX, ReportBuf, address,
    fault::{At, Fault, Reason, Step, quote},
    number::Number,
};

/// An encoding, read from front to back. Values are read by kind; a method that asks for
/// a kind and finds another one gives `None` and stays where it is.
pub(super) trait Source<'a>: Sized {
    /// How far an object or list is read.
    type Frame;

    /// At the document's first value.
    fn new(bytes: &'a [u8]) -> Step<Self>;
    /// Enters an object.
    fn open_object(&mut self) -> Step<Option<Self::Frame>>;
    /// The name of the next member, in valid UTF-8; `None` at the end of the object.
    fn name(&mut self, frame: &mut Self::Frame) -> Step<Option<&[u8]>>;
    /// Steps over the name of the next member if it is exactly `name`, written in the usual
    /// way. Only for speed: `name` gives the same name.
    #[inline(always)]
    fn guess(&mut self, _frame: &mut Self::Frame, _name: &'static str) -> bool {
        false
    }
    /// Enters a list.
    fn open_list(&mut self) -> Step<Option<Self::Frame>>;
    /// Whether there is a next item; if not, the list is left.
    fn item(&mut self, frame: &mut Self::Frame) -> Step<bool>;
    /// Steps over a null.
    fn null(&mut self) -> Step<bool>;
    /// Reads a number.
    fn number(&mut self) -> Step<Option<Number>>;
    /// Reads a text, in valid UTF-8.
    fn text(&mut self) -> Step<Option<&[u8]>>;
    /// Steps over a text that is an IPv4 address with a port, if that is seen at a glance. Only for
    /// speed: `text` gives the same text.
    #[inline(always)]
    fn v4_with_port(&mut self) -> Option<Ipv4Addr> {
        None
    }
    /// Hears what is being read. Only for who wants to know it again (`record`).
    #[inline(always)]
    fn note(&mut self, _note: Note) {}
    /// Steps over any well-formed value.
    fn skip(&mut self) -> Step<()>;
    /// Checks that nothing follows the document.
    fn end(&mut self) -> Step<()>;
    /// The value here, as a message shows it.
    fn describe(&self) -> String;
    /// The number that was read last, as a message shows it.
    fn describe_number(&self) -> String;
}

/// A value that differs from report to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Field {
    ReportId,
    BytesIn,
    BytesOut,
    PacketsIn,
    PacketsOut,
    TcpTotal,
    UdpTotal,
    ConnectionsTotal,
    TcpPort,
    UdpPort,
    LocalPort,
    RemoteAddress,
    /// A text that is checked, not kept; mostly the same in all reports.
    Text,
    /// The value of an unknown member.
    Skipped,
    /// All custom metrics.
    Custom,
    /// No value: the end of the report.
    End,
}

/// A list of a report, as a bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum List {
    TcpPorts = 1,
    UdpPorts = 2,
    RemoteAddresses = 4,
}

/// What is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// An object begins.
    Enter,
    /// The member with this number comes, with a value or null.
    Member(usize),
    /// It has a value.
    Value,
    /// The object ends.
    Leave,
    /// A list is there.
    Began(List),
    /// A value begins.
    Field(Field),
    /// The value ends.
    Done,
    /// Something that members and values do not tell.
    Odd,
}

/// Reads a value that differs from report to report.
#[inline(always)]
fn vary<'a, S: Source<'a>, T>(source: &mut S, field: Field, read: impl FnOnce(&mut S) -> Step<T>) -> Step<T> {
    source.note(Note::Field(field));
    let value = read(source)?;
    source.note(Note::Done);
    Ok(value)
}

/// The members that an object may have. Written out by [`members`] so that names are
/// compared as constants, which makes reading about half again as fast as over a table.
trait Members {
    /// The long names, in the order that agents mostly use.
    const LONG: &'static [&'static str];
    /// The number of the member called `name`, by any of its names.
    fn find(name: &[u8]) -> Option<usize>;
    /// The number of the next member if it goes by its long name; steps over the name.
    fn guess<'a, S: Source<'a>>(source: &mut S, frame: &mut S::Frame) -> Option<usize>;
}

/// Declares an object's members: `NUMBER = LONG | SHORT ...`, numbered from 0.
macro_rules! members {
    ($object:ident { $($number:literal = $long:literal $(| $short:literal)*,)* }) => {
        struct $object;

        impl Members for $object {
            const LONG: &'static [&'static str] = &[$($long),*];

            #[inline(always)]
            fn find(name: &[u8]) -> Option<usize> {
                $(if name == $long.as_bytes() $(|| name == $short.as_bytes())* {
                    return Some($number);
                })*
                None
            }

            #[inline(always)]
            fn guess<'a, S: Source<'a>>(source: &mut S, frame: &mut S::Frame) -> Option<usize> {
                $(if source.guess(frame, $long) {
                    return Some($number);
                })*
                None
            }
        }
    };
}

members!(Report { 0 = "header" | "hed" | "h", 1 = "metrics" | "met", 2 = "custom_metrics" | "cmet", });
members!(Header { 0 = "report_id" | "rid", 1 = "version" | "v", });
members!(Metrics {
    0 = "listening_tcp_ports" | "tp",
    1 = "listening_udp_ports" | "up",
    2 = "network_stats" | "ns",
    3 = "tcp_connections" | "tc",
});
members!(ListeningPorts { 0 = "ports" | "pts", 1 = "total" | "t", });
members!(PortItem { 0 = "interface" | "if", 1 = "port" | "pt", });
members!(NetworkStats {
    0 = "bytes_in" | "bi",
    1 = "bytes_out" | "bo",
    2 = "packets_in" | "pi",
    3 = "packets_out" | "po",
});
members!(TcpConnections { 0 = "established_connections" | "ec", });
members!(Established { 0 = "connections" | "cs", 1 = "total" | "t", });
members!(Connection { 0 = "local_interface" | "li", 1 = "local_port" | "lp", 2 = "remote_addr" | "rad", });
members!(CustomItem { 0 = "number", 1 = "number_list", 2 = "string_list", 3 = "ip_list", });

/// An object with known members, read member by member.
struct Object<F, M> {
    frame: F,
    /// The members that were given, as bits.
    seen: u32,
    members: PhantomData<M>,
}

impl<F, M: Members> Object<F, M> {
    /// Enters an object, or says what is there instead.
    #[inline(always)]
    fn open<'a, S: Source<'a, Frame = F>>(source: &mut S, _members: M) -> Step<Self> {
        let frame = open_object(source)?;
        source.note(Note::Enter);
        Ok(Self { frame, seen: 0, members: PhantomData })
    }

    /// The number of the next known member that has a value, which is to be read next.
    #[inline(always)]
    fn next<'a, S: Source<'a, Frame = F>>(&mut self, source: &mut S) -> Step<Option<usize>> {
        loop {
            let member = match M::guess(source, &mut self.frame) {
                Some(member) => member,
                None => match source.name(&mut self.frame)?.map(M::find) {
                    Some(Some(member)) => member,
                    Some(None) => {
                        vary(source, Field::Skipped, S::skip)?;
                        continue;
                    }
                    None => {
                        source.note(Note::Leave);
                        return Ok(None);
                    }
                },
            };
            if self.seen & (1 << member) != 0 {
                return Err(twice()).at(self.long(member));
            }
            self.seen |= 1 << member;
            source.note(Note::Member(member));
            if !source.null()? {
                source.note(Note::Value);
                return Ok(Some(member));
            }
        }
    }

    /// The long name of a member.
    #[inline(always)]
    fn long(&self, member: usize) -> &'static str {
        M::LONG.get(member).copied().unwrap_or_default()
    }
}

#[cold]
fn twice() -> Box<Fault> {
    Fault::new(Reason::Duplicate, "it is given twice; allowed is once, by its long or its short name")
}

#[inline(always)]
fn open_object<'a, S: Source<'a>>(source: &mut S) -> Step<S::Frame> {
    match source.open_object()? {
        Some(frame) => Ok(frame),
        None => Err(Fault::found(Reason::Type, &source.describe(), "an object")),
    }
}

/// Reads the whole report.
pub(super) fn report<'a, S: Source<'a>>(source: &mut S, out: &mut ReportBuf) -> Step<()> {
    let (mut has_header, mut has_block) = (false, false);
    let mut object = Object::open(source, Report)?;
    while let Some(member) = object.next(source)? {
        match member {
            0 => header(source, out).map(|()| has_header = true),
            1 => metrics(source, out).map(|()| has_block = true),
            _ => vary(source, Field::Custom, |source| custom_metrics(source, out)).map(|()| has_block = true),
        }
        .at(object.long(member))?;
    }
    if !has_header {
        return Err(Fault::missing("header", "an object with `report_id` and `version`"));
    }
    if !has_block {
        return Err(Fault::new(
            Reason::Missing,
            "`metrics` and `custom_metrics` are missing; required is one of them",
        ));
    }
    Ok(())
}

/// Looks for the report's id alone, in a report that is refused for something else.
pub(super) fn report_id<'a, S: Source<'a>>(source: &mut S) -> Step<Option<u64>> {
    let mut report = Object::open(source, Report)?;
    while let Some(member) = report.next(source)? {
        if member != 0 {
            source.skip()?;
            continue;
        }
        let mut header = Object::open(source, Header)?;
        while let Some(member) = header.next(source)? {
            match member {
                0 => return whole(source, 1..=u64::MAX).map(Some),
                _ => source.skip()?,
            }
        }
    }
    Ok(None)
}

fn header<'a, S: Source<'a>>(source: &mut S, out: &mut ReportBuf) -> Step<()> {
    let (mut has_id, mut has_version) = (false, false);
    let mut object = Object::open(source, Header)?;
    while let Some(member) = object.next(source)? {
        match member {
            0 => vary(source, Field::ReportId, |source| whole(source, 1..=u64::MAX))
                .map(|id| (out.report_id, has_id) = (id, true)),
            _ => version(source).map(|()| has_version = true),
        }
        .at(object.long(member))?;
    }
    if !has_id {
        return Err(Fault::missing("report_id", "a positive whole number"));
    }
    if !has_version {
        return Err(Fault::missing("version", VERSIONS));
    }
    Ok(())
}

const VERSIONS: &str = "version 1 with any minor number, such as \"1.0\"";

/// The major number changes when members go, so only the known one can be read.
fn version<'a, S: Source<'a>>(source: &mut S) -> Step<()> {
    let Some(text) = source.text()? else {
        return Err(Fault::found(Reason::Type, &source.describe(), VERSIONS));
    };
    match text.strip_prefix(b"1.") {
        Some(minor) if !minor.is_empty() && minor.len() <= 9 && minor.iter().all(u8::is_ascii_digit) => {
            Ok(())
        }
        _ => Err(Fault::found(Reason::Version, &quote(text), VERSIONS)),
    }
}

fn metrics<'a, S: Source<'a>>(source: &mut S, out: &mut ReportBuf) -> Step<()> {
    let mut object = Object::open(source, Metrics)?;
    while let Some(member) = object.next(source)? {
        match member {
            0 => listening_ports(source, &mut out.tcp_ports, false)
                .map(|found| (out.has_tcp_ports, out.tcp_ports_total) = found),
            1 => listening_ports(source, &mut out.udp_ports, true)
                .map(|found| (out.has_udp_ports, out.udp_ports_total) = found),
            2 => network_stats(source, out),
            _ => tcp_connections(source, out),
        }
        .at(object.long(member))?;
    }
    Ok(())
}

fn network_stats<'a, S: Source<'a>>(source: &mut S, out: &mut ReportBuf) -> Step<()> {
    let mut object = Object::open(source, NetworkStats)?;
    while let Some(member) = object.next(source)? {
        let (counter, field) = match member {
            0 => (&mut out.bytes_in, Field::BytesIn),
            1 => (&mut out.bytes_out, Field::BytesOut),
            2 => (&mut out.packets_in, Field::PacketsIn),
            _ => (&mut out.packets_out, Field::PacketsOut),
        };
        let number = vary(source, field, |source| whole(source, 0..=u64::MAX));
        *counter = Some(number.at(object.long(member))?);
    }
    Ok(())
}

/// A list of listening ports: whether the list is there, and the total.
fn listening_ports<'a, S: Source<'a>>(
    source: &mut S,
    ports: &mut Vec<u16>,
    udp: bool,
) -> Step<(bool, Option<u64>)> {
    let (mut length, mut total) = (None, None);
    let mut object = Object::open(source, ListeningPorts)?;
    while let Some(member) = object.next(source)? {
        match member {
            0 => port_list(source, ports, udp).map(|found| length = Some(found)),
            _ => vary(source, if udp { Field::UdpTotal } else { Field::TcpTotal }, |source| {
                whole(source, 0..=u64::MAX)
            })
            .map(|found| total = Some(found)),
        }
        .at(object.long(member))?;
    }
    Ok(match length {
        Some(Length::Phantom) => (true, Some(total.unwrap_or(0).saturating_sub(1))),
        Some(Length::Items(items)) => (true, Some(total.unwrap_or(items))),
        None => (false, total),
    })
}

/// How many items a list has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    /// So many, nulls not counted.
    Items(u64),
    /// One UDP item of port 0: what the C agent sends when no UDP socket is open.
    Phantom,
}

fn port_list<'a, S: Source<'a>>(source: &mut S, ports: &mut Vec<u16>, udp: bool) -> Step<Length> {
    let mut zero_at = None;
    source.note(Note::Began(if udp { List::UdpPorts } else { List::TcpPorts }));
    let items = each_item(source, |source, index| {
        match port_item(source, udp)? {
            Some(0) if udp && index == 0 => zero_at = Some(index),
            Some(0) => return Err(zero_port()).at("port"),
            Some(port) => ports.push(port),
            None => source.note(Note::Odd),
        }
        Ok(())
    })?;
    match zero_at {
        None => Ok(Length::Items(items)),
        Some(_) if items == 1 => {
            source.note(Note::Odd);
            Ok(Length::Phantom)
        }
        Some(index) => Err(zero_port()).at("port").at_index(index),
    }
}

#[cold]
fn zero_port() -> Box<Fault> {
    Fault::found(Reason::Range, "`0`", Whole(&(1..=65535)))
}

/// The port of an item of a port list, if it has one.
#[inline]
fn port_item<'a, S: Source<'a>>(source: &mut S, udp: bool) -> Step<Option<u16>> {
    let mut port = None;
    let mut object = Object::open(source, PortItem)?;
    while let Some(member) = object.next(source)? {
        match member {
            0 => vary(source, Field::Text, |source| any_text(source, "the name of an interface")),
            _ => vary(source, if udp { Field::UdpPort } else { Field::TcpPort }, whole_port)
                .map(|found| port = Some(found)),
        }
        .at(object.long(member))?;
    }
    Ok(port)
}

/// A port; 0 is for the caller to judge.
#[inline(always)]
pub(super) fn whole_port<'a, S: Source<'a>>(source: &mut S) -> Step<u16> {
    let Some(number) = source.number()? else {
        return Err(wrong_number(source, &(1..=65535)));
    };
    match number.whole().and_then(|number| u16::try_from(number).ok()) {
        Some(port) => Ok(port),
        None => Err(out_of_range(source, &(1..=65535))),
    }
}

fn tcp_connections<'a, S: Source<'a>>(source: &mut S, out: &mut ReportBuf) -> Step<()> {
    let mut object = Object::open(source, TcpConnections)?;
    while let Some(member) = object.next(source)? {
        established(source, out).at(object.long(member))?;
    }
    Ok(())
}

fn established<'a, S: Source<'a>>(source: &mut S, out: &mut ReportBuf) -> Step<()> {
    let (mut items, mut total) = (None, None);
    let addresses = &mut out.remote_addresses;
    let mut object = Object::open(source, Established)?;
    while let Some(member) = object.next(source)? {
        match member {
            0 => {
                source.note(Note::Began(List::RemoteAddresses));
                each_item(source, |source, _| connection(source).map(|address| addresses.push(address)))
                    .map(|found| items = Some(found))
            }
            _ => vary(source, Field::ConnectionsTotal, |source| whole(source, 0..=u64::MAX))
                .map(|found| total = Some(found)),
        }
        .at(object.long(member))?;
    }
    out.has_remote_addresses = items.is_some();
    out.connections_total = total.or(items);
    Ok(())
}

/// The remote address of one connection. The other members are checked, not kept.
#[inline]
fn connection<'a, S: Source<'a>>(source: &mut S) -> Step<IpAddr> {
    let mut address = None;
    let mut object = Object::open(source, Connection)?;
    while let Some(member) = object.next(source)? {
        match member {
            0 => vary(source, Field::Text, |source| any_text(source, "the name of an interface")),
            1 => vary(source, Field::LocalPort, |source| whole(source, 0..=65535)).map(|_| ()),
            _ => vary(source, Field::RemoteAddress, remote_address).map(|found| address = Some(found)),
        }
        .at(object.long(member))?;
    }
    address.ok_or_else(|| Fault::missing("remote_addr", REMOTE))
}

const REMOTE: &str = "`IPv4:port` or `[IPv6]:port` with a port from 1 to 65535";

#[inline]
pub(super) fn remote_address<'a, S: Source<'a>>(source: &mut S) -> Step<IpAddr> {
    if let Some(address) = source.v4_with_port() {
        return Ok(address.into());
    }
    let Some(text) = source.text()? else {
        return Err(Fault::found(Reason::Type, &source.describe(), REMOTE));
    };
    match address::parse_with_port(text) {
        Some((address, _)) => Ok(address),
        None => Err(Fault::found(Reason::Address, &quote(text), REMOTE)),
    }
}

pub(super) fn custom_metrics<'a, S: Source<'a>>(source: &mut S, out: &mut ReportBuf) -> Step<()> {
    let mut frame = open_object(source)?;
    loop {
        let start = out.text.len();
        let Some(name) = source.name(&mut frame)? else { return Ok(()) };
        push_text(&mut out.text, name)?;
        let name = start..out.text.len();
        let result = custom_metric(source, out, start);
        if result.is_err() {
            let place = super::fault::shorten(out.text.get(name).unwrap_or_default().as_bytes());
            return result.at(&place);
        }
    }
}

/// Reads the value of the custom metric whose name is the last text, from `start`.
fn custom_metric<'a, S: Source<'a>>(source: &mut S, out: &mut ReportBuf, start: usize) -> Step<()> {
    let end = out.text.len();
    let name = out.text.get(start..end);
    if out.custom.iter().any(|metric| out.text_of(&metric.name) == name) {
        return Err(Fault::new(Reason::Duplicate, "it is given twice; allowed is once"));
    }
    if source.null()? {
        return Ok(());
    }
    if out.custom.len() >= CUSTOM_METRICS_MAX {
        let message = format!("it is one metric too many; allowed are up to {CUSTOM_METRICS_MAX}");
        return Err(Fault::new(Reason::Limit, message));
    }
    let Some(mut frame) = source.open_list()? else {
        return Err(Fault::found(Reason::Type, &source.describe(), ONE_VALUE));
    };
    let (mut index, mut values, mut value) = (0, 0, None);
    while source.item(&mut frame)? {
        if !source.null()? {
            values += 1;
            if values > 1 {
                return Err(Fault::found(Reason::Limit, "a second item", ONE_VALUE)).at_index(index);
            }
            value = custom_value(source, out).at_index(index)?;
        }
        index += 1;
    }
    if values == 0 {
        return Err(Fault::found(Reason::Missing, "an empty list", ONE_VALUE));
    }
    if let Some(value) = value {
        out.custom.push(CustomMetric { name: offset(start)..offset(end), value });
    }
    Ok(())
}

const ONE_VALUE: &str = "a list with one object, such as `[{\"number\": 1}]`";

/// The value of a custom metric; `None` if it is of a kind that is not known (yet).
fn custom_value<'a, S: Source<'a>>(source: &mut S, out: &mut ReportBuf) -> Step<Option<CustomValue>> {
    let mut value = None;
    let mut object = Object::open(source, CustomItem)?;
    while let Some(member) = object.next(source)? {
        if value.is_some() {
            let fault = Fault::new(Reason::Duplicate, "it is a second value of the metric; allowed is one");
            return Err(fault).at(object.long(member));
        }
        let read = match member {
            0 => finite(source).map(CustomValue::Number),
            1 => number_list(source, out),
            2 => string_list(source, out),
            _ => ip_list(source, out),
        };
        value = Some(read.at(object.long(member))?);
    }
    Ok(value)
}

fn number_list<'a, S: Source<'a>>(source: &mut S, out: &mut ReportBuf) -> Step<CustomValue> {
    let start = offset(out.numbers.len());
    // A demo of the embedded C library writes a bare number here.
    if let Some(number) = source.number()? {
        out.numbers.push(check_finite(source, number)?);
    } else {
        each_item(source, |source, _| finite(source).map(|number| out.numbers.push(number)))?;
    }
    Ok(CustomValue::NumberList(start..offset(out.numbers.len())))
}

fn string_list<'a, S: Source<'a>>(source: &mut S, out: &mut ReportBuf) -> Step<CustomValue> {
    let start = offset(out.strings.len());
    each_item(source, |source, _| {
        let from = offset(out.text.len());
        match source.text()? {
            Some(text) => push_text(&mut out.text, text)?,
            None => return Err(Fault::found(Reason::Type, &source.describe(), "text")),
        }
        out.strings.push(from..offset(out.text.len()));
        Ok(())
    })?;
    Ok(CustomValue::StringList(start..offset(out.strings.len())))
}

fn ip_list<'a, S: Source<'a>>(source: &mut S, out: &mut ReportBuf) -> Step<CustomValue> {
    const ALLOWED: &str = "an IPv4 or IPv6 address without a port";
    let start = offset(out.addresses.len());
    each_item(source, |source, _| {
        let Some(text) = source.text()? else {
            return Err(Fault::found(Reason::Type, &source.describe(), ALLOWED));
        };
        let address =
            address::parse(text).ok_or_else(|| Fault::found(Reason::Address, &quote(text), ALLOWED))?;
        out.addresses.push(address);
        Ok(())
    })?;
    Ok(CustomValue::IpList(start..offset(out.addresses.len())))
}

/// Reads a list, item by item; gives the number of items, nulls not counted.
#[inline]
fn each_item<'a, S: Source<'a>>(
    source: &mut S,
    mut read: impl FnMut(&mut S, usize) -> Step<()>,
) -> Step<u64> {
    let Some(mut frame) = source.open_list()? else {
        return Err(Fault::found(Reason::Type, &source.describe(), "a list"));
    };
    let (mut index, mut items) = (0, 0);
    while source.item(&mut frame)? {
        if index >= LIST_ITEMS_MAX {
            let message = format!("it is one item too many; allowed are up to {LIST_ITEMS_MAX}");
            return Err(Fault::new(Reason::Limit, message)).at_index(index);
        }
        if source.null()? {
            source.note(Note::Odd);
        } else {
            read(source, index).at_index(index)?;
            items += 1;
        }
        index += 1;
    }
    Ok(items)
}

#[inline(always)]
pub(super) fn whole<'a, S: Source<'a>>(source: &mut S, range: RangeInclusive<u64>) -> Step<u64> {
    let Some(number) = source.number()? else {
        return Err(wrong_number(source, &range));
    };
    match number.whole().filter(|number| range.contains(number)) {
        Some(number) => Ok(number),
        None => Err(out_of_range(source, &range)),
    }
}

fn finite<'a, S: Source<'a>>(source: &mut S) -> Step<f64> {
    match source.number()? {
        Some(number) => check_finite(source, number),
        None => Err(Fault::found(Reason::Type, &source.describe(), "a number")),
    }
}

fn check_finite<'a, S: Source<'a>>(source: &S, number: Number) -> Step<f64> {
    let double = number.double();
    if double.is_finite() {
        return Ok(double);
    }
    Err(Fault::found(Reason::Range, &source.describe_number(), "a number that a double can hold"))
}

#[inline(always)]
pub(super) fn any_text<'a, S: Source<'a>>(source: &mut S, allowed: &str) -> Step<()> {
    match source.text()? {
        Some(_) => Ok(()),
        None => Err(Fault::found(Reason::Type, &source.describe(), allowed)),
    }
}

#[cold]
fn wrong_number<'a, S: Source<'a>>(source: &S, range: &RangeInclusive<u64>) -> Box<Fault> {
    Fault::found(Reason::Type, &source.describe(), Whole(range))
}

#[cold]
fn out_of_range<'a, S: Source<'a>>(source: &S, range: &RangeInclusive<u64>) -> Box<Fault> {
    Fault::found(Reason::Range, &source.describe_number(), Whole(range))
}

/// Says which whole numbers are allowed.
struct Whole<'r>(&'r RangeInclusive<u64>);

impl fmt::Display for Whole<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from {} to {}", self.0.start(), self.0.end())
    }
}

fn push_text(text: &mut String, bytes: &[u8]) -> Step<()> {
    match std::str::from_utf8(bytes) {
        Ok(piece) => text.push_str(piece),
        Err(_) => return Err(Fault::new(Reason::Utf8, "found text that is not UTF-8")),
    }
    Ok(())
}

/// An index into an arena; arenas are smaller than a report, so it always fits.
fn offset(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
