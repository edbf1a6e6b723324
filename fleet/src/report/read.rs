//! Reads the document, over either encoding, into a [`ReportBuf`].

use std::{fmt, net::IpAddr, ops::RangeInclusive};

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
    /// Steps over any well-formed value.
    fn skip(&mut self) -> Step<()>;
    /// Checks that nothing follows the document.
    fn end(&mut self) -> Step<()>;
    /// The value here, as a message shows it.
    fn describe(&self) -> String;
    /// The number that was read last, as a message shows it.
    fn describe_number(&self) -> String;
}

/// The members of one object that were seen, to find those given twice.
#[derive(Default)]
struct Seen(u32);

impl Seen {
    /// Whether the member `name`, number `bit` of its object, has a value to be read next.
    #[inline]
    fn first<'a, S: Source<'a>>(&mut self, source: &mut S, bit: u32, name: &str) -> Step<bool> {
        if self.0 & (1 << bit) != 0 {
            let fault = Fault::new(
                Reason::Duplicate,
                "it is given twice; allowed is once, by its long or its short name",
            );
            return Err(fault).at(name);
        }
        self.0 |= 1 << bit;
        Ok(!source.null()?)
    }
}

/// Reads the whole report.
pub(super) fn report<'a, S: Source<'a>>(source: &mut S, out: &mut ReportBuf) -> Step<()> {
    let (mut seen, mut has_header, mut has_block) = (Seen::default(), false, false);
    let mut frame = object(source)?;
    while let Some(name) = source.name(&mut frame)? {
        match name {
            b"header" | b"hed" | b"h" => {
                if seen.first(source, 0, "header")? {
                    header(source, out).at("header")?;
                    has_header = true;
                }
            }
            b"metrics" | b"met" => {
                if seen.first(source, 1, "metrics")? {
                    metrics(source, out).at("metrics")?;
                    has_block = true;
                }
            }
            b"custom_metrics" | b"cmet" => {
                if seen.first(source, 2, "custom_metrics")? {
                    custom_metrics(source, out).at("custom_metrics")?;
                    has_block = true;
                }
            }
            _ => source.skip()?,
        }
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
    let mut frame = object(source)?;
    while let Some(name) = source.name(&mut frame)? {
        if !matches!(name, b"header" | b"hed" | b"h") {
            source.skip()?;
            continue;
        }
        let mut header = object(source)?;
        while let Some(name) = source.name(&mut header)? {
            match name {
                b"report_id" | b"rid" => return whole(source, 1..=u64::MAX).map(Some),
                _ => source.skip()?,
            }
        }
    }
    Ok(None)
}

fn header<'a, S: Source<'a>>(source: &mut S, out: &mut ReportBuf) -> Step<()> {
    let (mut seen, mut has_id, mut has_version) = (Seen::default(), false, false);
    let mut frame = object(source)?;
    while let Some(name) = source.name(&mut frame)? {
        match name {
            b"report_id" | b"rid" => {
                if seen.first(source, 0, "report_id")? {
                    out.report_id = whole(source, 1..=u64::MAX).at("report_id")?;
                    has_id = true;
                }
            }
            b"version" | b"v" => {
                if seen.first(source, 1, "version")? {
                    version(source).at("version")?;
                    has_version = true;
                }
            }
            _ => source.skip()?,
        }
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
    let mut seen = Seen::default();
    let mut frame = object(source)?;
    while let Some(name) = source.name(&mut frame)? {
        match name {
            b"listening_tcp_ports" | b"tp" => {
                if seen.first(source, 0, "listening_tcp_ports")? {
                    let found =
                        listening_ports(source, &mut out.tcp_ports, false).at("listening_tcp_ports")?;
                    (out.has_tcp_ports, out.tcp_ports_total) = found;
                }
            }
            b"listening_udp_ports" | b"up" => {
                if seen.first(source, 1, "listening_udp_ports")? {
                    let found =
                        listening_ports(source, &mut out.udp_ports, true).at("listening_udp_ports")?;
                    (out.has_udp_ports, out.udp_ports_total) = found;
                }
            }
            b"network_stats" | b"ns" => {
                if seen.first(source, 2, "network_stats")? {
                    network_stats(source, out).at("network_stats")?;
                }
            }
            b"tcp_connections" | b"tc" => {
                if seen.first(source, 3, "tcp_connections")? {
                    tcp_connections(source, out).at("tcp_connections")?;
                }
            }
            _ => source.skip()?,
        }
    }
    Ok(())
}

fn network_stats<'a, S: Source<'a>>(source: &mut S, out: &mut ReportBuf) -> Step<()> {
    let mut seen = Seen::default();
    let mut frame = object(source)?;
    while let Some(name) = source.name(&mut frame)? {
        let (bit, long, target) = match name {
            b"bytes_in" | b"bi" => (0, "bytes_in", &mut out.bytes_in),
            b"bytes_out" | b"bo" => (1, "bytes_out", &mut out.bytes_out),
            b"packets_in" | b"pi" => (2, "packets_in", &mut out.packets_in),
            b"packets_out" | b"po" => (3, "packets_out", &mut out.packets_out),
            _ => {
                source.skip()?;
                continue;
            }
        };
        if seen.first(source, bit, long)? {
            *target = Some(whole(source, 0..=u64::MAX).at(long)?);
        }
    }
    Ok(())
}

/// A list of listening ports: whether the list is there, and the total.
fn listening_ports<'a, S: Source<'a>>(
    source: &mut S,
    ports: &mut Vec<u16>,
    udp: bool,
) -> Step<(bool, Option<u64>)> {
    let (mut seen, mut length, mut total) = (Seen::default(), None, None);
    let mut frame = object(source)?;
    while let Some(name) = source.name(&mut frame)? {
        match name {
            b"ports" | b"pts" => {
                if seen.first(source, 0, "ports")? {
                    length = Some(port_list(source, ports, udp).at("ports")?);
                }
            }
            b"total" | b"t" => {
                if seen.first(source, 1, "total")? {
                    total = Some(whole(source, 0..=u64::MAX).at("total")?);
                }
            }
            _ => source.skip()?,
        }
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
    let items = each_item(source, |source, index| {
        match port_item(source)? {
            Some(0) if udp && index == 0 => zero_at = Some(index),
            Some(0) => return Err(zero_port()).at("port"),
            Some(port) => ports.push(port),
            None => {}
        }
        Ok(())
    })?;
    match zero_at {
        None => Ok(Length::Items(items)),
        Some(_) if items == 1 => Ok(Length::Phantom),
        Some(index) => Err(zero_port()).at("port").at_index(index),
    }
}

#[cold]
fn zero_port() -> Box<Fault> {
    Fault::found(Reason::Range, "`0`", Whole(&(1..=65535)))
}

/// The port of an item of a port list, if it has one.
#[inline]
fn port_item<'a, S: Source<'a>>(source: &mut S) -> Step<Option<u16>> {
    let (mut seen, mut port) = (Seen::default(), None);
    let mut frame = object(source)?;
    while let Some(name) = source.name(&mut frame)? {
        match name {
            b"port" | b"pt" => {
                if seen.first(source, 0, "port")? {
                    port = Some(whole_port(source).at("port")?);
                }
            }
            b"interface" | b"if" => {
                if seen.first(source, 1, "interface")? {
                    any_text(source, "the name of an interface").at("interface")?;
                }
            }
            _ => source.skip()?,
        }
    }
    Ok(port)
}

/// A port; 0 is for the caller to judge.
#[inline]
fn whole_port<'a, S: Source<'a>>(source: &mut S) -> Step<u16> {
    let Some(number) = source.number()? else {
        return Err(wrong_number(source, &(1..=65535)));
    };
    match number.whole().and_then(|number| u16::try_from(number).ok()) {
        Some(port) => Ok(port),
        None => Err(out_of_range(source, &(1..=65535))),
    }
}

fn tcp_connections<'a, S: Source<'a>>(source: &mut S, out: &mut ReportBuf) -> Step<()> {
    let mut seen = Seen::default();
    let mut frame = object(source)?;
    while let Some(name) = source.name(&mut frame)? {
        match name {
            b"established_connections" | b"ec" => {
                if seen.first(source, 0, "established_connections")? {
                    established(source, out).at("established_connections")?;
                }
            }
            _ => source.skip()?,
        }
    }
    Ok(())
}

fn established<'a, S: Source<'a>>(source: &mut S, out: &mut ReportBuf) -> Step<()> {
    let (mut seen, mut items, mut total) = (Seen::default(), None, None);
    let mut frame = object(source)?;
    while let Some(name) = source.name(&mut frame)? {
        match name {
            b"connections" | b"cs" => {
                if seen.first(source, 0, "connections")? {
                    let addresses = &mut out.remote_addresses;
                    let read = each_item(source, |source, _| {
                        connection(source).map(|address| addresses.push(address))
                    });
                    items = Some(read.at("connections")?);
                }
            }
            b"total" | b"t" => {
                if seen.first(source, 1, "total")? {
                    total = Some(whole(source, 0..=u64::MAX).at("total")?);
                }
            }
            _ => source.skip()?,
        }
    }
    out.has_remote_addresses = items.is_some();
    out.connections_total = total.or(items);
    Ok(())
}

/// The remote address of one connection. The other members are checked, not kept.
#[inline]
fn connection<'a, S: Source<'a>>(source: &mut S) -> Step<IpAddr> {
    let (mut seen, mut address) = (Seen::default(), None);
    let mut frame = object(source)?;
    while let Some(name) = source.name(&mut frame)? {
        match name {
            b"remote_addr" | b"rad" => {
                if seen.first(source, 0, "remote_addr")? {
                    address = Some(remote_address(source).at("remote_addr")?);
                }
            }
            b"local_port" | b"lp" => {
                if seen.first(source, 1, "local_port")? {
                    whole(source, 0..=65535).at("local_port")?;
                }
            }
            b"local_interface" | b"li" => {
                if seen.first(source, 2, "local_interface")? {
                    any_text(source, "the name of an interface").at("local_interface")?;
                }
            }
            _ => source.skip()?,
        }
    }
    address.ok_or_else(|| Fault::missing("remote_addr", REMOTE))
}

const REMOTE: &str = "`IPv4:port` or `[IPv6]:port` with a port from 1 to 65535";

#[inline]
fn remote_address<'a, S: Source<'a>>(source: &mut S) -> Step<IpAddr> {
    let Some(text) = source.text()? else {
        return Err(Fault::found(Reason::Type, &source.describe(), REMOTE));
    };
    match address::parse_with_port(text) {
        Some((address, _)) => Ok(address),
        None => Err(Fault::found(Reason::Address, &quote(text), REMOTE)),
    }
}

fn custom_metrics<'a, S: Source<'a>>(source: &mut S, out: &mut ReportBuf) -> Step<()> {
    let mut frame = object(source)?;
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
    let (mut seen, mut value) = (Seen::default(), None);
    let mut frame = object(source)?;
    while let Some(name) = source.name(&mut frame)? {
        let (bit, kind, read): (_, _, fn(&mut S, &mut ReportBuf) -> Step<CustomValue>) = match name {
            b"number" => (0, "number", |source, _| finite(source).map(CustomValue::Number)),
            b"number_list" => (1, "number_list", number_list),
            b"string_list" => (2, "string_list", string_list),
            b"ip_list" => (3, "ip_list", ip_list),
            _ => {
                source.skip()?;
                continue;
            }
        };
        if seen.first(source, bit, kind)? {
            if value.is_some() {
                let fault =
                    Fault::new(Reason::Duplicate, "it is a second value of the metric; allowed is one");
                return Err(fault).at(kind);
            }
            value = Some(read(source, out).at(kind)?);
        }
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

/// Enters an object, or says what is there instead.
#[inline]
fn object<'a, S: Source<'a>>(source: &mut S) -> Step<S::Frame> {
    match source.open_object()? {
        Some(frame) => Ok(frame),
        None => Err(Fault::found(Reason::Type, &source.describe(), "an object")),
    }
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
        if !source.null()? {
            read(source, index).at_index(index)?;
            items += 1;
        }
        index += 1;
    }
    Ok(items)
}

#[inline]
fn whole<'a, S: Source<'a>>(source: &mut S, range: RangeInclusive<u64>) -> Step<u64> {
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

#[inline]
fn any_text<'a, S: Source<'a>>(source: &mut S, allowed: &str) -> Step<()> {
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
