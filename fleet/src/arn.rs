//! Targets of security profiles as Amazon resource names.

use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::ids::{GroupName, IdError};

/// Whom a security profile watches, from an ARN such as
/// `arn:aws:iot:eu-west-1:123456789012:all/registered-things` or `...:thinggroup/pumps`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// `all/things`
    AllThings,
    /// `all/registered-things`
    RegisteredThings,
    /// `all/unregistered-things`
    UnregisteredThings,
    /// `thinggroup/NAME`: things of the group and of the groups below it.
    Group(GroupName),
}

/// Why a text is not a target ARN.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TargetError {
    /// Not of the form `arn:PARTITION:iot:REGION:ACCOUNT:RESOURCE`.
    #[error("`{0}` is not a target ARN; expected `arn:aws:iot:REGION:ACCOUNT:RESOURCE`")]
    Shape(String),
    /// The resource is none of the four kinds.
    #[error(
        "`{0}` is no target; allowed are `all/things`, `all/registered-things`, `all/unregistered-things` and `thinggroup/NAME`"
    )]
    Resource(String),
    /// The group name is malformed.
    #[error(transparent)]
    Group(#[from] IdError),
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let mut parts = text.splitn(6, ':');
        let (Some("arn"), Some(_partition), Some("iot"), Some(_region), Some(_account), Some(resource)) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TargetError::Shape(text.to_owned()));
        };
        match resource {
            "all/things" => Ok(Self::AllThings),
            "all/registered-things" => Ok(Self::RegisteredThings),
            "all/unregistered-things" => Ok(Self::UnregisteredThings),
            _ => match resource.strip_prefix("thinggroup/") {
                Some(name) => Ok(Self::Group(name.parse()?)),
                None => Err(TargetError::Resource(resource.to_owned())),
            },
        }
    }
}

/// The resource part alone, as in `thinggroup/pumps`.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AllThings => f.write_str("all/things"),
            Self::RegisteredThings => f.write_str("all/registered-things"),
            Self::UnregisteredThings => f.write_str("all/unregistered-things"),
            Self::Group(name) => write!(f, "thinggroup/{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_the_four_kinds_and_names_what_is_allowed() {
        for resource in ["all/things", "all/registered-things", "all/unregistered-things", "thinggroup/a:b"] {
            let target: Target = format!("arn:aws:iot:r:1:{resource}").parse().unwrap();
            assert_eq!(target.to_string(), resource);
        }
        for bad in [
            "",
            "all/things",
            "arn:aws:iot:r:1:all",
            "arn:aws:s3:r:1:all/things",
            "arn:aws:iot:r:1:thinggroup/",
        ] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }
}
