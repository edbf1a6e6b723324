//! What people found out about a violation: `PutVerificationStateOnViolation`.
//!
//! It decides nothing, so it is no record of the journal: a row of the store, keyed by the id of the
//! violation, which a repeated fold gives again. The last one written counts.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest description, characters (`device-defender-detect.md`, section 7).
pub const DESCRIPTION_CHARS_MAX: usize = 1_000;

/// Verdict of people about a violation, with the names of the AWS API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum VerificationState {
    /// There was nothing wrong.
    FalsePositive,
    /// It did happen, and it was harmless.
    BenignPositive,
    /// It was an attack or a fault.
    TruePositive,
    /// Nobody has looked yet.
    #[default]
    Unknown,
}

impl VerificationState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::FalsePositive, Self::BenignPositive, Self::TruePositive, Self::Unknown];

    /// The word on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FalsePositive => "FALSE_POSITIVE",
            Self::BenignPositive => "BENIGN_POSITIVE",
            Self::TruePositive => "TRUE_POSITIVE",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// A verification as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Verification {
    /// Verdict.
    pub verification_state: VerificationState,
    /// In words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification_state_description: Option<String>,
}

/// Why a verification is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum VerificationError {
    /// None of the four.
    #[error("found `{0}`; allowed are `FALSE_POSITIVE`, `BENIGN_POSITIVE`, `TRUE_POSITIVE`, `UNKNOWN`")]
    UnknownState(String),
    /// Too many characters.
    #[error("the description has {0} characters; allowed are at most {DESCRIPTION_CHARS_MAX}")]
    TooLong(usize),
    /// A control character.
    #[error(
        "the description has the character {found:?} at character {at}; allowed are all but control characters"
    )]
    Control {
        /// The character.
        found: char,
        /// Its place, from 0.
        at: usize,
    },
}

impl Verification {
    /// From the words of a request.
    ///
    /// # Errors
    /// When the state is none of the four, or the description is not allowed.
    pub fn new(state: &str, description: Option<&str>) -> Result<Self, VerificationError> {
        let known = VerificationState::ALL.into_iter().find(|known| known.name() == state);
        let verification_state = known.ok_or_else(|| VerificationError::UnknownState(state.to_owned()))?;
        if let Some(text) = description {
            let len = text.chars().count();
            if len > DESCRIPTION_CHARS_MAX {
                return Err(VerificationError::TooLong(len));
            }
            if let Some((at, found)) = text.chars().enumerate().find(|(_, c)| c.is_control()) {
                return Err(VerificationError::Control { found, at });
            }
        }
        Ok(Self { verification_state, verification_state_description: description.map(str::to_owned) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_and_descriptions_are_checked() {
        for state in VerificationState::ALL {
            let made = Verification::new(state.name(), Some("seen")).unwrap();
            assert_eq!(made.verification_state, state);
            let json = serde_json::to_string(&made).unwrap();
            let name = state.name();
            assert_eq!(
                json,
                format!(r#"{{"verificationState":"{name}","verificationStateDescription":"seen"}}"#)
            );
            assert_eq!(serde_json::from_str::<Verification>(&json).unwrap(), made);
        }
        assert_eq!(Verification::default().verification_state, VerificationState::Unknown);
        let check = |description: &str| Verification::new("UNKNOWN", Some(description)).map(|_| ());
        assert_eq!(check(&"ä".repeat(1_000)), Ok(()));
        assert_eq!(check(&"ä".repeat(1_001)), Err(VerificationError::TooLong(1_001)));
        assert_eq!(check("a\nb"), Err(VerificationError::Control { found: '\n', at: 1 }));
        let error = Verification::new("true_positive", None).unwrap_err();
        assert!(error.to_string().starts_with("found `true_positive`; allowed are"));
    }
}
