//! The comparison operators by name.

use std::fmt;

/// A comparison operator, with the names of the AWS API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operator {
    /// `less-than`
    LessThan,
    /// `less-than-equals`
    LessThanEquals,
    /// `greater-than`
    GreaterThan,
    /// `greater-than-equals`
    GreaterThanEquals,
    /// `in-cidr-set`
    InCidrSet,
    /// `not-in-cidr-set`
    NotInCidrSet,
    /// `in-port-set`
    InPortSet,
    /// `not-in-port-set`
    NotInPortSet,
    /// `in-set`
    InSet,
    /// `not-in-set`
    NotInSet,
}

/// An operator that compares numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberOperator {
    /// `less-than`
    LessThan,
    /// `less-than-equals`
    LessThanEquals,
    /// `greater-than`
    GreaterThan,
    /// `greater-than-equals`
    GreaterThanEquals,
}

impl NumberOperator {
    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LessThan => Operator::LessThan.name(),
            Self::LessThanEquals => Operator::LessThanEquals.name(),
            Self::GreaterThan => Operator::GreaterThan.name(),
            Self::GreaterThanEquals => Operator::GreaterThanEquals.name(),
        }
    }

    /// Whether `value OP bound`.
    #[must_use]
    #[inline]
    pub fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Self::LessThan => value < bound,
            Self::LessThanEquals => value <= bound,
            Self::GreaterThan => value > bound,
            Self::GreaterThanEquals => value >= bound,
        }
    }

    /// Whether it bounds a number from above (`less-than`, `less-than-equals`).
    #[must_use]
    pub const fn bounds_above(self) -> bool {
        matches!(self, Self::LessThan | Self::LessThanEquals)
    }
}

impl Operator {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::LessThan,
        Self::LessThanEquals,
        Self::GreaterThan,
        Self::GreaterThanEquals,
        Self::InCidrSet,
        Self::NotInCidrSet,
        Self::InPortSet,
        Self::NotInPortSet,
        Self::InSet,
        Self::NotInSet,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LessThan => "less-than",
            Self::LessThanEquals => "less-than-equals",
            Self::GreaterThan => "greater-than",
            Self::GreaterThanEquals => "greater-than-equals",
            Self::InCidrSet => "in-cidr-set",
            Self::NotInCidrSet => "not-in-cidr-set",
            Self::InPortSet => "in-port-set",
            Self::NotInPortSet => "not-in-port-set",
            Self::InSet => "in-set",
            Self::NotInSet => "not-in-set",
        }
    }

    /// The operator of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operator| operator.name() == name)
    }

    /// As an operator over numbers, if it is one.
    #[must_use]
    pub const fn number(self) -> Option<NumberOperator> {
        match self {
            Self::LessThan => Some(NumberOperator::LessThan),
            Self::LessThanEquals => Some(NumberOperator::LessThanEquals),
            Self::GreaterThan => Some(NumberOperator::GreaterThan),
            Self::GreaterThanEquals => Some(NumberOperator::GreaterThanEquals),
            Self::InCidrSet
            | Self::NotInCidrSet
            | Self::InPortSet
            | Self::NotInPortSet
            | Self::InSet
            | Self::NotInSet => None,
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
