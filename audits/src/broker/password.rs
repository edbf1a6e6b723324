//! Password hashes of Mosquitto: `$7$ROUNDS$SALT$HASH` (PBKDF2 with SHA-512), `$6$SALT$HASH`
//! (SHA-512 once), anything else as it stands. Source: `mosquitto_passwd(1)`, `password_mosq.c`.

/// Rounds below which the hash is weak; `mosquitto_passwd` and `mosquitto_ctrl` made 101 up to 2.0.
pub(super) const ROUNDS_MIN: u64 = 1_000;

/// How a password is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Plain,
    /// SHA-512, once.
    Once,
    Rounds(u64),
}

pub(super) fn kept(hash: &str) -> Kept {
    if hash.starts_with("$6$") {
        return Kept::Once;
    }
    let rounds =
        hash.strip_prefix("$7$").and_then(|rest| rest.split('$').next()).and_then(|text| text.parse().ok());
    rounds.map_or(Kept::Plain, Kept::Rounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_hashes() {
        for (hash, expected) in [
            ("$7$101$c2FsdA==$aGFzaA==", Kept::Rounds(101)),
            ("$7$1000$c2FsdA==$aGFzaA==", Kept::Rounds(1000)),
            ("$6$c2FsdA==$aGFzaA==", Kept::Once),
            ("secret", Kept::Plain),
            ("$7$many$c2FsdA==$aGFzaA==", Kept::Plain),
            ("", Kept::Plain),
        ] {
            assert_eq!(kept(hash), expected, "{hash}");
        }
    }
}
