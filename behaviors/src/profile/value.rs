//! Reads the value of a criterion with a fixed value.

use std::net::IpAddr;

use fleet::metric::Shape;
use ipnet::IpNet;

use super::document::{Document, Fields, Node, list, shorten};
use crate::{
    criterion::{
        CidrSet, Criterion, Membership, NumberCriterion, NumberOperator, NumberSet, Operator, PortSet,
        StringSet,
    },
    set::MetricKey,
};

const MEMBERS: [&str; 6] = ["count", "cidrs", "ports", "number", "numbers", "strings"];
/// Largest count: whole numbers up to here are exact in the numbers we compare with.
const COUNT_MAX: u64 = 1 << 53;

/// Reads `value` and puts it together with the operator. `elements` grows by the value's elements.
pub(super) fn read(
    document: &mut Document<'_>,
    fields: &Fields<'_>,
    metric: Option<&MetricKey>,
    operator: Option<Operator>,
    elements: &mut usize,
) -> Option<Criterion> {
    let node = fields.get("value")?;
    let value = document.fields(node, &MEMBERS)?;
    let there: Vec<&str> = MEMBERS.into_iter().filter(|key| value.has(key)).collect();
    let [member] = *there.as_slice() else {
        let message = match there.len() {
            0 => format!("is empty; expected exactly one of {}", list(&MEMBERS)),
            _ => format!("has {}; exactly one of them is allowed", list(&there)),
        };
        document.error(node.at(), node.place(), message);
        return None;
    };
    let member_node = value.get(member)?;
    if let (Some(metric), Some(operator)) = (metric, operator) {
        let allowed = members(metric, operator);
        if !allowed.contains(&member) {
            let message =
                format!("`{member}` does not fit `{metric}` with `{operator}`; expected {}", or(allowed));
            document.error(member_node.at(), member_node.place(), message);
            return None;
        }
    }
    let parsed = parse(document, member_node, member, elements)?;
    let criterion = combine(operator?, parsed);
    if let Some(criterion) = &criterion {
        warn_of_empty(document, member_node, criterion);
    }
    criterion
}

/// A value on its own.
#[derive(Debug)]
enum Parsed {
    Number(f64),
    Cidrs(Vec<IpNet>),
    Ports(Vec<u16>),
    Numbers(Vec<f64>),
    Strings(Vec<Box<str>>),
}

/// Members that fit; more than one only where the member says the type of a custom metric.
const fn members(metric: &MetricKey, operator: Operator) -> &'static [&'static str] {
    match operator {
        Operator::LessThan
        | Operator::LessThanEquals
        | Operator::GreaterThan
        | Operator::GreaterThanEquals => match metric {
            MetricKey::Custom(_) => &["number"],
            MetricKey::Own(_) => &["count"],
            MetricKey::Aws(metric) => match metric.shape() {
                Shape::Counter | Shape::Each | Shape::Gauge | Shape::Delta | Shape::Duration => &["count"],
                Shape::Ports => &["ports"],
                Shape::Addresses => &["cidrs"],
            },
        },
        Operator::InCidrSet | Operator::NotInCidrSet => &["cidrs"],
        Operator::InPortSet | Operator::NotInPortSet => &["ports"],
        Operator::InSet | Operator::NotInSet => &["numbers", "strings"],
    }
}

fn or(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ")
}

fn parse(document: &mut Document<'_>, node: &Node<'_>, member: &str, elements: &mut usize) -> Option<Parsed> {
    match member {
        "count" => {
            *elements += 1;
            // Exact: COUNT_MAX is the last number up to which every whole one is representable.
            document.whole(node, 0, COUNT_MAX).map(|count| Parsed::Number(count as f64))
        }
        "number" => {
            *elements += 1;
            document.number(node).map(Parsed::Number)
        }
        "cidrs" => each(document, node, elements, cidr).map(Parsed::Cidrs),
        "ports" => each(document, node, elements, port).map(Parsed::Ports),
        "numbers" => each(document, node, elements, |d, node| d.number(node)).map(Parsed::Numbers),
        _ => each(document, node, elements, |d, node| d.text(node).map(Box::from)).map(Parsed::Strings),
    }
}

/// All elements of a list, if all of them are right.
fn each<T>(
    document: &mut Document<'_>,
    node: &Node<'_>,
    elements: &mut usize,
    read: impl Fn(&mut Document<'_>, &Node<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    let nodes = document.list(node)?;
    *elements += nodes.len();
    // Collected twice, so that the problems of all elements are found.
    let values: Vec<Option<T>> = nodes.iter().map(|node| read(document, node)).collect();
    values.into_iter().collect()
}

fn port(document: &mut Document<'_>, node: &Node<'_>) -> Option<u16> {
    document.whole(node, 0, u64::from(u16::MAX)).and_then(|port| u16::try_from(port).ok())
}

/// A network, or an address, which is a network of one. Bits of the host part are cleared.
fn cidr(document: &mut Document<'_>, node: &Node<'_>) -> Option<IpNet> {
    let text = document.text(node)?;
    let network = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    if network.is_none() {
        let message = format!(
            "found `{}`; expected a network such as `10.0.0.0/8` or `2001:db8::/32`, or an address",
            shorten(text)
        );
        document.error(node.at(), node.place(), message);
    }
    network
}

fn combine(operator: Operator, parsed: Parsed) -> Option<Criterion> {
    let membership = match operator {
        Operator::InCidrSet | Operator::InPortSet | Operator::InSet => Membership::In,
        Operator::NotInCidrSet | Operator::NotInPortSet | Operator::NotInSet => Membership::NotIn,
        Operator::LessThan
        | Operator::LessThanEquals
        | Operator::GreaterThan
        | Operator::GreaterThanEquals => {
            return match parsed {
                Parsed::Number(threshold) => number(operator.number()?, threshold),
                Parsed::Cidrs(_) | Parsed::Ports(_) | Parsed::Numbers(_) | Parsed::Strings(_) => None,
            };
        }
    };
    match parsed {
        Parsed::Number(_) => None,
        Parsed::Cidrs(values) => Some(Criterion::Addresses(membership, CidrSet::from_iter(values))),
        Parsed::Ports(values) => Some(Criterion::Ports(membership, PortSet::from_iter(values))),
        Parsed::Numbers(values) => Some(Criterion::Numbers(membership, NumberSet::from_iter(values))),
        Parsed::Strings(values) => Some(Criterion::Strings(membership, StringSet::from_iter(values))),
    }
}

const fn number(op: NumberOperator, threshold: f64) -> Option<Criterion> {
    Some(Criterion::Number(NumberCriterion { op, threshold }))
}

fn warn_of_empty(document: &mut Document<'_>, node: &Node<'_>, criterion: &Criterion) {
    let (membership, empty) = match criterion {
        Criterion::Number(_) => return,
        Criterion::Ports(membership, set) => (membership, set.iter().next().is_none()),
        Criterion::Addresses(membership, set) => (membership, set.iter().next().is_none()),
        Criterion::Numbers(membership, set) => (membership, set.iter().next().is_none()),
        Criterion::Strings(membership, set) => (membership, set.iter().next().is_none()),
    };
    if !empty {
        return;
    }
    let effect = match membership {
        Membership::In => "every value violates it",
        Membership::NotIn => "no value violates it",
    };
    document.warning(node.at(), node.place(), format!("the list is empty: {effect}"));
}
