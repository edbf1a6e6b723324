//! Secrets: which can be guessed, and what only stands for one. They are never shown.

/// Passwords that are tried first: the defaults of brokers, and the commonest.
const GUESSED: [&str; 40] = [
    "public",
    "guest",
    "admin",
    "password",
    "passwd",
    "pass",
    "secret",
    "supersecret",
    "changeme",
    "change_me",
    "changeit",
    "default",
    "emqx",
    "emqxsecretcookie",
    "rabbitmq",
    "rabbit",
    "mqtt",
    "nats",
    "mosquitto",
    "test",
    "testing",
    "root",
    "user",
    "demo",
    "toor",
    "letmein",
    "qwerty",
    "s3cr3t",
    "p@ssw0rd",
    "1234",
    "12345",
    "123456",
    "12345678",
    "123456789",
    "1234567890",
    "admin123",
    "password1",
    "password123",
    "iot",
    "device",
];

/// Whether a secret is among those that are tried first; `user` is whose it is.
pub(super) fn is_guessable(secret: &str, user: &str) -> bool {
    let lower = secret.to_ascii_lowercase();
    !secret.is_empty() && (GUESSED.contains(&lower.as_str()) || secret.eq_ignore_ascii_case(user))
}

/// All that are tried for a user, for hashes.
pub(super) fn guesses(user: &str) -> impl Iterator<Item = &str> {
    GUESSED.into_iter().chain((!user.is_empty()).then_some(user))
}

/// A word that something else is put in place of: `${X}`, `<X>`, `%X%`, `{{X}}`, `RABBITMQ_PASS`.
pub(super) fn stands_for_one(value: &str) -> bool {
    let value = value.trim();
    let capitals = value.contains('_')
        && value.starts_with(|c: char| c.is_ascii_uppercase())
        && value.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    let empty = value.is_empty() || ["null", "none", "undefined"].contains(&value);
    empty || capitals || value.starts_with(['[', '<', '$', '%', '{'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessed_and_placeholders() {
        for (secret, user, expected) in [
            ("public", "", true),
            ("Guest", "x", true),
            ("dev7", "dev7", true),
            ("", "", false),
            ("k8#vQ", "a", false),
        ] {
            assert_eq!(is_guessable(secret, user), expected, "{secret}");
        }
        for (value, expected) in [
            ("${SECRET}", true),
            ("<password>", true),
            ("MYSQL_USER_PLACEHOLDER", true),
            ("null", true),
            ("hunter2", false),
            ("HUNTER", false),
        ] {
            assert_eq!(stands_for_one(value), expected, "{value}");
        }
    }
}
