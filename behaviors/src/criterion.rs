//! What is compliant: the comparison operators over each kind of value, compiled.
//!
//! A criterion describes NORMAL behavior: true is compliant, false is a violation
//! (`device-defender-detect.md`, section 4). An empty reported list is always compliant.

use std::{fmt, net::IpAddr};

mod cidrs;
mod operator;
mod ports;
mod values;

pub use cidrs::CidrSet;
pub use operator::{NumberOperator, Operator};
pub use ports::PortSet;
pub use values::{NumberSet, StringSet};

/// A compiled criterion.
#[derive(Clone, Debug, PartialEq)]
pub enum Criterion {
    /// A number against a bound.
    Number(NumberCriterion),
    /// Ports against a set of ports.
    Ports(Membership, PortSet),
    /// Addresses against a set of networks.
    Addresses(Membership, CidrSet),
    /// Numbers against a set of numbers.
    Numbers(Membership, NumberSet),
    /// Texts against a set of texts.
    Strings(Membership, StringSet),
}

/// Which kind of value a criterion judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ValueKind {
    /// One number.
    Number,
    /// A list of ports.
    Ports,
    /// A list of addresses.
    Addresses,
    /// A list of numbers.
    Numbers,
    /// A list of texts.
    Strings,
}

/// Whether the values must all be in a set, or none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// Compliant when every value is in the set.
    In,
    /// Compliant when no value is in the set.
    NotIn,
}

/// A number is compliant when `number OP threshold` holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NumberCriterion {
    /// Comparison.
    pub op: NumberOperator,
    /// Bound, in the unit of the metric.
    pub threshold: f64,
}

impl NumberCriterion {
    /// Whether `value` is compliant.
    #[must_use]
    #[inline]
    pub fn holds(self, value: f64) -> bool {
        self.op.holds(value, self.threshold)
    }
}

impl Membership {
    /// Judges a list, given whether one value is in the set. Stops at the first that decides.
    fn judge<T>(self, values: impl IntoIterator<Item = T>, mut contains: impl FnMut(T) -> bool) -> bool {
        let mut values = values.into_iter();
        match self {
            Self::In => values.all(contains),
            Self::NotIn => !values.any(&mut contains),
        }
    }
}

impl Criterion {
    /// The kind of value that it judges.
    #[must_use]
    pub const fn kind(&self) -> ValueKind {
        match self {
            Self::Number(_) => ValueKind::Number,
            Self::Ports(..) => ValueKind::Ports,
            Self::Addresses(..) => ValueKind::Addresses,
            Self::Numbers(..) => ValueKind::Numbers,
            Self::Strings(..) => ValueKind::Strings,
        }
    }

    /// Whether the ports are compliant; a value of another kind than [`Criterion::kind`] is.
    #[must_use]
    pub fn judge_ports(&self, values: &[u16]) -> bool {
        match self {
            Self::Ports(membership, set) => membership.judge(values, |&port| set.contains(port)),
            Self::Number(_) | Self::Addresses(..) | Self::Numbers(..) | Self::Strings(..) => true,
        }
    }

    /// Whether the addresses are compliant; a value of another kind than [`Criterion::kind`] is.
    #[must_use]
    pub fn judge_addresses(&self, values: &[IpAddr]) -> bool {
        match self {
            Self::Addresses(membership, set) => membership.judge(values, |&address| set.contains(address)),
            Self::Number(_) | Self::Ports(..) | Self::Numbers(..) | Self::Strings(..) => true,
        }
    }

    /// Whether the numbers are compliant; a value of another kind than [`Criterion::kind`] is.
    #[must_use]
    pub fn judge_numbers(&self, values: &[f64]) -> bool {
        match self {
            Self::Numbers(membership, set) => membership.judge(values, |&number| set.contains(number)),
            Self::Number(_) | Self::Ports(..) | Self::Addresses(..) | Self::Strings(..) => true,
        }
    }

    /// Whether the texts are compliant; a value of another kind than [`Criterion::kind`] is.
    #[must_use]
    pub fn judge_strings<'a>(&self, values: impl IntoIterator<Item = &'a str>) -> bool {
        match self {
            Self::Strings(membership, set) => membership.judge(values, |text| set.contains(text)),
            Self::Number(_) | Self::Ports(..) | Self::Addresses(..) | Self::Numbers(..) => true,
        }
    }

    /// The operator's name on the wire, such as `in-cidr-set`.
    #[must_use]
    pub const fn operator(&self) -> Operator {
        match self {
            Self::Number(criterion) => match criterion.op {
                NumberOperator::LessThan => Operator::LessThan,
                NumberOperator::LessThanEquals => Operator::LessThanEquals,
                NumberOperator::GreaterThan => Operator::GreaterThan,
                NumberOperator::GreaterThanEquals => Operator::GreaterThanEquals,
            },
            Self::Ports(Membership::In, _) => Operator::InPortSet,
            Self::Ports(Membership::NotIn, _) => Operator::NotInPortSet,
            Self::Addresses(Membership::In, _) => Operator::InCidrSet,
            Self::Addresses(Membership::NotIn, _) => Operator::NotInCidrSet,
            Self::Numbers(Membership::In, _) | Self::Strings(Membership::In, _) => Operator::InSet,
            Self::Numbers(Membership::NotIn, _) | Self::Strings(Membership::NotIn, _) => Operator::NotInSet,
        }
    }

    /// The whole definition, every element of a set included, in a fixed order: what a
    /// fingerprint is taken of. [`fmt::Display`] shortens long sets.
    #[must_use]
    pub fn canonical(&self) -> String {
        self.text(usize::MAX)
    }

    fn text(&self, elements_max: usize) -> String {
        let operator = self.operator();
        match self {
            Self::Number(criterion) => format!("{operator} {}", criterion.threshold),
            Self::Ports(_, set) => format!("{operator} {}", join(set.iter(), elements_max)),
            Self::Addresses(_, set) => format!("{operator} {}", join(set.iter(), elements_max)),
            Self::Numbers(_, set) => format!("{operator} {}", join(set.iter(), elements_max)),
            Self::Strings(_, set) => {
                format!("{operator} {}", join(set.iter().map(|text| format!("{text:?}")), elements_max))
            }
        }
    }
}

/// The operator and its value, such as `less-than 100` or `in-port-set 22, 443`. Of a set
/// with more than [`SHOWN_MAX`] elements the first are shown, and how many follow.
impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(SHOWN_MAX))
    }
}

/// Elements of a set that messages show.
pub const SHOWN_MAX: usize = 16;

fn join(values: impl Iterator<Item = impl fmt::Display>, max: usize) -> String {
    let mut text = String::new();
    let mut more = 0_usize;
    for (at, value) in values.enumerate() {
        if at >= max {
            more += 1;
            continue;
        }
        if at > 0 {
            text.push_str(", ");
        }
        text.push_str(&value.to_string());
    }
    match (more, text.is_empty()) {
        (0, true) => "nothing".into(),
        (0, false) => text,
        _ => format!("{text} and {more} more"),
    }
}
