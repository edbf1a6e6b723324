//! Disconnects that a reconnect does not follow in time.

use fleet::{event::DisconnectReason, time::Timestamp};

use super::{
    verdict::Verdict,
    words::{put, secs, word},
};

/// A session ended and none began within the grace time.
///
/// The wait: a disconnect begins it, a reconnect cancels it, its end is a violating datapoint;
/// a reconnect after that is a compliant one. With `after` only disconnects for these reasons
/// begin it: a device that says goodbye may stay away. Time in which a source was blind does
/// not count: the wait begins anew after it.
///
/// One word: the second of the disconnect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absence {
    /// Grace time, seconds.
    pub grace_secs: u32,
    /// Reasons that begin the wait.
    pub after: Reasons,
}

/// A set of reasons of disconnects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reasons(u16);

/// Words used in profiles, one a reason.
pub const REASONS: [(&str, DisconnectReason); 9] = [
    ("clean", DisconnectReason::Clean),
    ("connection-lost", DisconnectReason::Unclean),
    ("keep-alive-timeout", DisconnectReason::Timeout),
    ("takeover", DisconnectReason::Takeover),
    ("kicked", DisconnectReason::Kicked),
    ("not-authorized", DisconnectReason::Auth),
    ("tls-error", DisconnectReason::Tls),
    ("protocol-error", DisconnectReason::Protocol),
    ("unknown", DisconnectReason::Unknown),
];

impl Reasons {
    /// All of them.
    pub const ALL: Self = Self((1 << REASONS.len()) - 1);
    /// All but the ones where the client said goodbye.
    pub const UNCLEAN: Self = Self(Self::ALL.0 & !1);

    /// Whether the reason is in the set.
    #[must_use]
    pub fn contains(self, reason: DisconnectReason) -> bool {
        let at = REASONS.iter().position(|&(_, known)| known == reason);
        at.is_some_and(|at| self.0 >> at & 1 == 1)
    }

    /// The words of the set, in the order of [`REASONS`].
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        REASONS.into_iter().filter(move |&(_, reason)| self.contains(reason)).map(|(name, _)| name)
    }
}

impl Default for Reasons {
    fn default() -> Self {
        Self::ALL
    }
}

impl FromIterator<DisconnectReason> for Reasons {
    fn from_iter<I: IntoIterator<Item = DisconnectReason>>(reasons: I) -> Self {
        let bit = |reason| REASONS.iter().position(|&(_, known)| known == reason).map_or(0, |at| 1 << at);
        Self(reasons.into_iter().fold(0, |all, reason| all | bit(reason)))
    }
}

impl Absence {
    /// Words of the state.
    pub const WORDS: usize = 1;

    /// A session ended. Further disconnects without a reconnect change nothing.
    pub fn left(&self, words: &mut [u32], at: Timestamp, reason: DisconnectReason) {
        if word(words, 0) == 0 && self.after.contains(reason) {
            put(words, 0, secs(at));
        }
    }

    /// A session began: a compliant datapoint, if there was a wait.
    pub fn back(&self, words: &mut [u32]) -> Option<Verdict> {
        let waited = word(words, 0) != 0;
        put(words, 0, 0);
        waited.then(|| Verdict::of(false, f64::from(self.grace_secs)))
    }

    /// Judges the wait, if there is one, as of `now`; and says how long it is, seconds.
    #[must_use]
    pub fn judge(&self, words: &[u32], now: Timestamp, blind_until: Timestamp) -> Option<(f64, Verdict)> {
        let left = word(words, 0);
        if left == 0 {
            return None;
        }
        let from = if blind_until == Timestamp::MIN { left } else { left.max(secs(blind_until)) };
        let away = secs(now).saturating_sub(from);
        // Within the grace time nothing is said, so that a reconnect leaves no trace.
        let late = away > self.grace_secs;
        let verdict = if late { Verdict::of(true, f64::from(self.grace_secs)) } else { Verdict::Learning };
        Some((f64::from(away), verdict))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn a_reconnect_within_the_grace_time_cancels_the_wait() {
        let absence = Absence { grace_secs: 60, after: Reasons::UNCLEAN };
        let mut words = [0];
        let never = Timestamp::MIN;
        absence.left(&mut words, at(100), DisconnectReason::Clean);
        assert_eq!(absence.judge(&words, at(10_000), never), None, "it said goodbye");
        absence.left(&mut words, at(100), DisconnectReason::Timeout);
        absence.left(&mut words, at(150), DisconnectReason::Unclean);
        assert_eq!(absence.judge(&words, at(160), never), Some((60.0, Verdict::Learning)));
        assert_eq!(absence.judge(&words, at(161), never), Some((61.0, Verdict::Unusual { limit: 60.0 })));
        assert_eq!(
            absence.judge(&words, at(161), at(120)),
            Some((41.0, Verdict::Learning)),
            "blind till 120"
        );
        assert_eq!(absence.back(&mut words), Some(Verdict::Usual { limit: 60.0 }));
        assert_eq!(absence.back(&mut words), None);
    }

    #[test]
    fn every_reason_has_a_word() {
        for (name, reason) in REASONS {
            let one = Reasons::from_iter([reason]);
            assert_eq!(one.names().collect::<Vec<_>>(), [name]);
            assert!(Reasons::ALL.contains(reason));
            assert_eq!(Reasons::UNCLEAN.contains(reason), reason != DisconnectReason::Clean);
        }
        assert_eq!(Reasons::ALL.names().count(), REASONS.len());
    }
}
