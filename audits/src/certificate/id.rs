//! Fingerprints, serial numbers and key identifiers, kept in place.

use std::fmt;

use ring::digest;

/// SHA-256, as of a certificate's DER (AWS: `certificateId`) or of a SubjectPublicKeyInfo.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// SHA-256 of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.iter_mut()
            .zip(digest::digest(&digest::SHA256, bytes).as_ref())
            .for_each(|(to, from)| *to = *from);
        Self(hash)
    }

    /// Reads 64 hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        from_hex(text, &mut hash).then_some(Self(hash))
    }
}

/// Fills `bytes` from exactly as many pairs of hexadecimal digits.
pub(crate) fn from_hex(text: &str, bytes: &mut [u8]) -> bool {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    text.len() == bytes.len() * 2
        && bytes.iter_mut().zip(text.as_bytes().chunks(2)).all(|(byte, pair)| match pair {
            [high, low] => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    *byte = high << 4 | low;
                    true
                }
                _ => false,
            },
            _ => false,
        })
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A short string of octets kept in place. One longer than `N` is replaced by the start of its SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Octets<const N: usize> {
    len: u8,
    bytes: [u8; N],
}

/// Content octets of a serial number; RFC 5280 allows 20 and a sign.
pub type Serial = Octets<21>;
/// A key identifier.
pub type KeyId = Octets<20>;

impl<const N: usize> Octets<N> {
    /// Keeps `octets`.
    #[must_use]
    pub fn of(octets: &[u8]) -> Self {
        let hash;
        let source = if octets.len() > N {
            hash = Fingerprint::of(octets);
            &hash.0
        } else {
            octets
        };
        let mut bytes = [0; N];
        bytes.iter_mut().zip(source).for_each(|(to, from)| *to = *from);
        Self { len: u8::try_from(octets.len()).unwrap_or(u8::MAX), bytes }
    }

    /// The octets, or the start of the SHA-256 of a longer string.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len).min(N)).unwrap_or_default()
    }
}

impl<const N: usize> fmt::Display for Octets<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if usize::from(self.len) > N {
            write!(f, "sha256:")?;
        }
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl<const N: usize> fmt::Debug for Octets<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_octets_are_told_apart_by_their_hash() {
        let short = KeyId::of(&[7; 20]);
        assert_eq!(short.to_string(), "07".repeat(20));
        let (one, two) = (KeyId::of(&[7; 21]), KeyId::of(&[7; 22]));
        assert!(one.to_string().starts_with("sha256:") && one != two && one != short);
        assert_eq!(KeyId::of(&[]).as_bytes(), b"");
    }

    #[test]
    fn fingerprints_from_text() {
        let text = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Fingerprint::from_hex(text), Some(Fingerprint::of(b"")));
        assert_eq!(Fingerprint::of(b"").to_string(), text);
        for bad in ["", "e3", &text[1..], &text.replace('e', "g")] {
            assert_eq!(Fingerprint::from_hex(bad), None, "{bad}");
        }
    }
}
