//! The document's rules once more, slowly and over a tree: what the decoders are compared with.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fleet::report::{CustomMetric, CustomValue, ReportBuf};

use crate::document::Document;

type Members = [(String, Document)];

/// Which encoding the report came in: CBOR may write numbers as text.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Form {
    Json,
    Cbor,
}

/// The decoded report, or `None` if it is to be refused.
pub(crate) fn read(document: &Document, form: Form) -> Option<ReportBuf> {
    let mut out = ReportBuf::default();
    let root = object(document)?;
    only(root, &[&["header", "hed", "h"], &["metrics", "met"], &["custom_metrics", "cmet"]])?;
    let header = object(member(root, &["header", "hed", "h"])?)?;
    only(header, &[&["report_id", "rid"], &["version", "v"]])?;
    out.report_id = whole(member(header, &["report_id", "rid"])?, form).filter(|&id| id > 0)?;
    let version = text(member(header, &["version", "v"])?)?;
    let minor = version.strip_prefix("1.")?;
    (!minor.is_empty() && minor.len() < 10 && minor.chars().all(|c| c.is_ascii_digit())).then_some(())?;

    let (metrics, custom) = (member(root, &["metrics", "met"]), member(root, &["custom_metrics", "cmet"]));
    if metrics.is_none() && custom.is_none() {
        return None;
    }
    if let Some(metrics) = metrics {
        read_metrics(object(metrics)?, form, &mut out)?;
    }
    if let Some(custom) = custom {
        read_custom(object(custom)?, form, &mut out)?;
    }
    Some(out)
}

fn read_metrics(metrics: &Members, form: Form, out: &mut ReportBuf) -> Option<()> {
    let [tcp, udp, stats, connections] = [
        &["listening_tcp_ports", "tp"],
        &["listening_udp_ports", "up"],
        &["network_stats", "ns"],
        &["tcp_connections", "tc"],
    ];
    only(metrics, &[tcp, udp, stats, connections])?;
    if let Some(value) = member(metrics, tcp) {
        let (list, total) = ports(object(value)?, form, false)?;
        (out.has_tcp_ports, out.tcp_ports_total) = (list.is_some(), total);
        out.tcp_ports = list.unwrap_or_default();
    }
    if let Some(value) = member(metrics, udp) {
        let (list, total) = ports(object(value)?, form, true)?;
        (out.has_udp_ports, out.udp_ports_total) = (list.is_some(), total);
        out.udp_ports = list.unwrap_or_default();
    }
    if let Some(value) = member(metrics, stats) {
        let stats = object(value)?;
        let names = [["bytes_in", "bi"], ["bytes_out", "bo"], ["packets_in", "pi"], ["packets_out", "po"]];
        only(stats, &[&names[0], &names[1], &names[2], &names[3]])?;
        let mut counters = [None; 4];
        for (counter, names) in counters.iter_mut().zip(&names) {
            *counter = optional(member(stats, names), |value| whole(value, form))?;
        }
        [out.bytes_in, out.bytes_out, out.packets_in, out.packets_out] = counters;
    }
    let Some(value) = member(metrics, connections) else { return Some(()) };
    let connections = object(value)?;
    only(connections, &[&["established_connections", "ec"]])?;
    let Some(value) = member(connections, &["established_connections", "ec"]) else { return Some(()) };
    let established = object(value)?;
    only(established, &[&["connections", "cs"], &["total", "t"]])?;
    let list = optional(member(established, &["connections", "cs"]), |value| {
        items(value)?.into_iter().map(|item| connection(object(item)?, form)).collect::<Option<Vec<IpAddr>>>()
    })?;
    let total = optional(member(established, &["total", "t"]), |value| whole(value, form))?;
    out.has_remote_addresses = list.is_some();
    out.connections_total = total.or(list.as_ref().map(|list| list.len() as u64));
    out.remote_addresses = list.unwrap_or_default();
    Some(())
}

fn ports(listening: &Members, form: Form, udp: bool) -> Option<(Option<Vec<u16>>, Option<u64>)> {
    only(listening, &[&["ports", "pts"], &["total", "t"]])?;
    let total = optional(member(listening, &["total", "t"]), |value| whole(value, form))?;
    let Some(value) = member(listening, &["ports", "pts"]) else { return Some((None, total)) };
    let items = items(value)?;
    let mut ports = Vec::new();
    for item in &items {
        let item = object(item)?;
        only(item, &[&["port", "pt"], &["interface", "if"]])?;
        optional(member(item, &["interface", "if"]), text)?;
        let port = optional(member(item, &["port", "pt"]), |value| whole(value, form))?;
        ports.extend(optional(port, |port| u16::try_from(port).ok())?);
    }
    let first_is_port_item = matches!(raw_items(value)?.first(), Some(Document::Object(_)));
    if udp && ports == [0] && items.len() == 1 && first_is_port_item {
        return Some((Some(vec![]), Some(total.unwrap_or(0).saturating_sub(1))));
    }
    let total = total.unwrap_or(items.len() as u64);
    (!ports.contains(&0)).then_some((Some(ports), Some(total)))
}

fn connection(item: &Members, form: Form) -> Option<IpAddr> {
    only(item, &[&["remote_addr", "rad"], &["local_port", "lp"], &["local_interface", "li"]])?;
    optional(member(item, &["local_interface", "li"]), text)?;
    optional(member(item, &["local_port", "lp"]), |value| whole(value, form).filter(|&port| port <= 65535))?;
    let (host, port) = text(member(item, &["remote_addr", "rad"])?)?.rsplit_once(':')?;
    if port.len() > 5 || !port.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    port.parse::<u16>().ok().filter(|&port| port > 0)?;
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inner) => v6(inner),
        None => address(host),
    }
}

fn address(text: &str) -> Option<IpAddr> {
    text.parse::<Ipv4Addr>().ok().map(IpAddr::V4).or_else(|| v6(text))
}

fn v6(text: &str) -> Option<IpAddr> {
    let text = match text.split_once('%') {
        Some((address, zone)) if !zone.is_empty() => address,
        _ => text,
    };
    text.parse::<Ipv6Addr>().ok().map(|address| IpAddr::V6(address).to_canonical())
}

fn read_custom(custom: &Members, form: Form, out: &mut ReportBuf) -> Option<()> {
    for (at, (name, value)) in custom.iter().enumerate() {
        let start = out.text.len() as u32;
        out.text.push_str(name);
        let name_range = start..out.text.len() as u32;
        // As documented: a name counts as given once it has a value.
        let earlier = custom[..at].iter().any(|(other, value)| other == name && has_value(value));
        if earlier {
            return None;
        }
        if *value == Document::Null {
            continue;
        }
        if out.custom.len() >= 100 {
            return None;
        }
        let [item] = items(value)?[..] else { return None };
        if let Some(value) = custom_value(object(item)?, form, out)? {
            out.custom.push(CustomMetric { name: name_range, value });
        }
    }
    Some(())
}

fn has_value(value: &Document) -> bool {
    const KINDS: [&str; 4] = ["number", "number_list", "string_list", "ip_list"];
    let Document::List(items) = value else { return false };
    items.iter().any(|item| {
        object(item).is_some_and(|item| {
            item.iter().any(|(name, value)| KINDS.contains(&&**name) && *value != Document::Null)
        })
    })
}

fn custom_value(item: &Members, form: Form, out: &mut ReportBuf) -> Option<Option<CustomValue>> {
    only(item, &[&["number"], &["number_list"], &["string_list"], &["ip_list"]])?;
    let mut values = Vec::new();
    if let Some(value) = member(item, &["number"]) {
        values.push(CustomValue::Number(number(value, form)?));
    }
    if let Some(value) = member(item, &["number_list"]) {
        let start = out.numbers.len() as u32;
        match number(value, form) {
            Some(number) => out.numbers.push(number),
            None => {
                for item in items(value)? {
                    out.numbers.push(number(item, form)?);
                }
            }
        }
        values.push(CustomValue::NumberList(start..out.numbers.len() as u32));
    }
    if let Some(value) = member(item, &["string_list"]) {
        let start = out.strings.len() as u32;
        for item in items(value)? {
            let from = out.text.len() as u32;
            out.text.push_str(text(item)?);
            out.strings.push(from..out.text.len() as u32);
        }
        values.push(CustomValue::StringList(start..out.strings.len() as u32));
    }
    if let Some(value) = member(item, &["ip_list"]) {
        let start = out.addresses.len() as u32;
        for item in items(value)? {
            out.addresses.push(address(text(item)?)?);
        }
        values.push(CustomValue::IpList(start..out.addresses.len() as u32));
    }
    (values.len() < 2).then(|| values.pop())
}

/// Refuses members given twice, and unknown ones that are nested too deeply.
fn only(members: &Members, known: &[&[&str]]) -> Option<()> {
    let count = |names: &[&str]| members.iter().filter(|(name, _)| names.contains(&&**name)).count();
    let unknown = |name: &str| !known.iter().any(|names| names.contains(&name));
    let deep = members.iter().any(|(name, value)| unknown(name) && value.levels() > 32);
    (known.iter().all(|names| count(names) < 2) && !deep).then_some(())
}

fn member<'a>(members: &'a Members, names: &[&str]) -> Option<&'a Document> {
    let (_, value) = members.iter().find(|(name, _)| names.contains(&&**name))?;
    (*value != Document::Null).then_some(value)
}

/// `None` if the value is there but malformed.
fn optional<T, U>(value: Option<T>, read: impl FnOnce(T) -> Option<U>) -> Option<Option<U>> {
    value.map_or(Some(None), |value| read(value).map(Some))
}

fn object(document: &Document) -> Option<&Members> {
    if let Document::Object(members) = document { Some(members) } else { None }
}

fn raw_items(document: &Document) -> Option<&[Document]> {
    if let Document::List(items) = document { Some(items) } else { None }
}

fn items(document: &Document) -> Option<Vec<&Document>> {
    let items = raw_items(document)?;
    let limited = items.len() <= 4096;
    limited.then(|| items.iter().filter(|item| **item != Document::Null).collect())
}

fn text(document: &Document) -> Option<&str> {
    if let Document::Text(text) = document { Some(text) } else { None }
}

fn number(document: &Document, form: Form) -> Option<f64> {
    let number = match document {
        Document::Whole(number) => *number as f64,
        Document::Double(number) => *number,
        Document::Text(text) if form == Form::Cbor => number(&numeric(text)?, Form::Json)?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

fn whole(document: &Document, form: Form) -> Option<u64> {
    match document {
        Document::Whole(number) => Some(*number),
        Document::Double(number) => {
            (number.fract() == 0.0 && *number >= 0.0 && *number < 2_f64.powi(64)).then_some(*number as u64)
        }
        Document::Text(text) if form == Form::Cbor => whole(&numeric(text)?, Form::Json),
        _ => None,
    }
}

/// A text that is a number by the grammar of JSON, with nothing around it.
fn numeric(text: &str) -> Option<Document> {
    if text.trim() != text {
        return None;
    }
    Document::parse(text.as_bytes()).filter(|value| matches!(value, Document::Whole(_) | Document::Double(_)))
}
