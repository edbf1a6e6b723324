//! Parameters of the checks.

use std::borrow::Cow;
use std::fmt;

use super::check::{CHECKS, CheckId};
use super::key::KeyAlgorithm;
use super::name_rule::{NameRule, RuleError};

/// Names that the parameter `KEY_ALGORITHMS` knows.
const ALGORITHMS: [(&str, KeyAlgorithm); 10] = [
    ("RSA", KeyAlgorithm::Rsa),
    ("RSA-PSS", KeyAlgorithm::RsaPss),
    ("P-224", KeyAlgorithm::P224),
    ("P-256", KeyAlgorithm::P256),
    ("P-384", KeyAlgorithm::P384),
    ("P-521", KeyAlgorithm::P521),
    ("secp256k1", KeyAlgorithm::Secp256k1),
    ("Brainpool", KeyAlgorithm::Brainpool),
    ("Ed25519", KeyAlgorithm::Ed25519),
    ("Ed448", KeyAlgorithm::Ed448),
];

/// Parameters of all checks; the defaults are those of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// `CERT_EXPIRATION_THRESHOLD_IN_DAYS` of device certificates.
    pub expiration_days: u32,
    /// `CERT_AGE_THRESHOLD_IN_DAYS`.
    pub age_days: u32,
    /// `RSA_BITS_MIN`, for DSA as well.
    pub rsa_bits_min: u32,
    /// `EC_BITS_MIN`.
    pub ec_bits_min: u32,
    /// `KEY_ALGORITHMS`, separated by commas.
    pub algorithms: Vec<KeyAlgorithm>,
    /// `DEVICE_VALIDITY_DAYS_MAX`.
    pub device_validity_days_max: u32,
    /// `CA_VALIDITY_DAYS_MAX`.
    pub ca_validity_days_max: u32,
    /// `CRL_NEXT_UPDATE_DAYS`: an update that is due sooner is reported.
    pub crl_days: u32,
    /// `NAME_RULES`, separated by commas; a certificate fits if one of them does.
    pub name_rules: Vec<NameRule>,
}

impl Default for Parameters {
    fn default() -> Self {
        use KeyAlgorithm::{Ed25519, P256, P384, P521, Rsa};
        Self {
            expiration_days: 30,
            age_days: 365,
            rsa_bits_min: 2048,
            ec_bits_min: 256,
            algorithms: vec![Rsa, P256, P384, P521, Ed25519],
            device_validity_days_max: 3660,
            ca_validity_days_max: 9140,
            crl_days: 2,
            name_rules: Vec::new(),
        }
    }
}

/// A parameter that cannot be set so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParameterError {
    /// The check has no such parameter.
    Unknown {
        /// Check.
        check: &'static str,
        /// Name that was given.
        name: String,
        /// Names it has.
        expected: Vec<&'static str>,
    },
    /// Not a whole number within the bounds.
    Number {
        /// Name.
        name: &'static str,
        /// Value that was given.
        value: String,
        /// Smallest and largest value allowed.
        bounds: (u32, u32),
    },
    /// A word that is not known.
    Algorithm(String),
    /// A name rule that cannot be read.
    Rule(RuleError),
}

impl fmt::Display for ParameterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { check, name, expected } if expected.is_empty() => {
                write!(f, "`{check}` has no parameter `{name}`; it has none")
            }
            Self::Unknown { check, name, expected } => {
                write!(f, "`{check}` has no parameter `{name}`; expected {}", expected.join(" or "))
            }
            Self::Number { name, value, bounds: (min, max) } => {
                write!(f, "`{name}` is `{value}`; expected a whole number from {min} to {max}")
            }
            Self::Algorithm(word) => {
                let known: Vec<&str> = ALGORITHMS.iter().map(|(name, _)| *name).collect();
                write!(f, "unknown key algorithm `{word}`; expected one of {}", known.join(", "))
            }
            Self::Rule(error) => write!(f, "{error}"),
        }
    }
}

impl Parameters {
    /// Sets the parameter `name` of `check` from text, as AWS IoT carries it.
    ///
    /// # Errors
    /// If the check does not have it, or the value is not allowed.
    pub fn set(&mut self, check: CheckId, name: &str, value: &str) -> Result<(), ParameterError> {
        let check = check.check();
        let Some(parameter) = check.parameters.iter().find(|parameter| parameter.name == name) else {
            let expected = check.parameters.iter().map(|parameter| parameter.name).collect();
            return Err(ParameterError::Unknown { check: check.name, name: name.into(), expected });
        };
        let Some(bounds) = parameter.number else { return self.set_words(parameter.name, value) };
        let number =
            value.parse().ok().filter(|number| (bounds.min..=bounds.max).contains(number)).ok_or_else(
                || ParameterError::Number {
                    name: parameter.name,
                    value: value.into(),
                    bounds: (bounds.min, bounds.max),
                },
            )?;
        match parameter.name {
            "CERT_EXPIRATION_THRESHOLD_IN_DAYS" => self.expiration_days = number,
            "CERT_AGE_THRESHOLD_IN_DAYS" => self.age_days = number,
            "RSA_BITS_MIN" => self.rsa_bits_min = number,
            "EC_BITS_MIN" => self.ec_bits_min = number,
            "DEVICE_VALIDITY_DAYS_MAX" => self.device_validity_days_max = number,
            "CA_VALIDITY_DAYS_MAX" => self.ca_validity_days_max = number,
            "CRL_NEXT_UPDATE_DAYS" => self.crl_days = number,
            other => debug_assert!(false, "parameter {other} is in the table alone"),
        }
        Ok(())
    }

    fn set_words(&mut self, name: &str, value: &str) -> Result<(), ParameterError> {
        let words = value.split(',').map(str::trim).filter(|word| !word.is_empty());
        if name == "NAME_RULES" {
            self.name_rules =
                words.map(NameRule::parse).collect::<Result<_, _>>().map_err(ParameterError::Rule)?;
        } else {
            let algorithm = |word: &str| {
                let known = ALGORITHMS.iter().find(|(known, _)| *known == word);
                known.map(|(_, algorithm)| *algorithm).ok_or_else(|| ParameterError::Algorithm(word.into()))
            };
            self.algorithms = words.map(algorithm).collect::<Result<_, _>>()?;
        }
        Ok(())
    }
}

/// Default and allowed values of a list of words.
pub(super) fn words_info(name: &str) -> (Cow<'static, str>, Cow<'static, str>) {
    if name == "NAME_RULES" {
        return ("".into(), "rules such as `cn=${thing}`, separated by commas".into());
    }
    let known: Vec<&str> = ALGORITHMS.iter().map(|(name, _)| *name).collect();
    let name = |algorithm| ALGORITHMS.iter().find(|(_, known)| *known == algorithm).map(|(name, _)| *name);
    let default: Vec<&str> = Parameters::default().algorithms.into_iter().filter_map(name).collect();
    (default.join(",").into(), format!("some of {}, separated by commas", known.join(", ")).into())
}

/// All parameters of the table, by check.
pub fn all() -> impl Iterator<Item = (CheckId, &'static str)> {
    CHECKS.iter().flat_map(|check| check.parameters.iter().map(|parameter| (check.id, parameter.name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_the_table_can_be_set_within_its_bounds() {
        for check in &CHECKS {
            for (parameter, bounds) in check.parameters.iter().filter_map(|p| Some((p, p.number?))) {
                let mut parameters = Parameters::default();
                parameters.set(check.id, parameter.name, &bounds.default.to_string()).unwrap();
                assert_eq!(parameters, Parameters::default(), "{}", parameter.name);
                let other = if bounds.default == bounds.max { bounds.min } else { bounds.max };
                parameters.set(check.id, parameter.name, &other.to_string()).unwrap();
                assert_ne!(parameters, Parameters::default(), "{}", parameter.name);
                for value in [i64::from(bounds.min) - 1, i64::from(bounds.max) + 1] {
                    assert!(parameters.set(check.id, parameter.name, &value.to_string()).is_err());
                }
            }
        }
    }

    #[test]
    fn errors_say_what_is_allowed() {
        let mut parameters = Parameters::default();
        for (check, name, value, expected) in [
            (
                CheckId::DeviceExpiring,
                "CERT_EXPIRATION_THRESHOLD_IN_DAYS",
                "29",
                "`CERT_EXPIRATION_THRESHOLD_IN_DAYS` is `29`; expected a whole number from 30 to 3652",
            ),
            (
                CheckId::DeviceExpiring,
                "DAYS",
                "30",
                "`DEVICE_CERTIFICATE_EXPIRING_CHECK` has no parameter `DAYS`; expected CERT_EXPIRATION_THRESHOLD_IN_DAYS",
            ),
            (
                CheckId::AuthorityExpiring,
                "DAYS",
                "30",
                "`CA_CERTIFICATE_EXPIRING_CHECK` has no parameter `DAYS`; it has none",
            ),
            (
                CheckId::KeyAlgorithm,
                "KEY_ALGORITHMS",
                "RSA, P-255",
                "unknown key algorithm `P-255`; expected one of RSA, RSA-PSS, P-224, P-256, P-384, P-521, \
                 secp256k1, Brainpool, Ed25519, Ed448",
            ),
        ] {
            assert_eq!(parameters.set(check, name, value).unwrap_err().to_string(), expected);
        }
        assert_eq!(parameters, Parameters::default());
    }
}
