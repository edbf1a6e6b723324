//! From the bytes of a file to certificates and CRLs, each with its place.

use super::crl::List;
use super::parse::Certificate;
use super::pem;
use super::view::{Cause, Kind, Signer, Unreadable};

/// One thing that a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// A certificate.
    Certificate {
        /// File, and the line of the block in a bundle, as `FILE` or `FILE:LINE`.
        place: String,
        /// The DER.
        der: Vec<u8>,
    },
    /// A CRL.
    Crl {
        /// File, and the line of the block in a bundle.
        place: String,
        /// The DER.
        der: Vec<u8>,
    },
    /// A block of another kind, such as a key: not looked at.
    Other {
        /// File and line.
        place: String,
        /// What its `BEGIN` line says.
        label: String,
    },
    /// What cannot be read.
    Unreadable(Unreadable),
}

/// Everything in the file `name`, which holds PEM blocks or one certificate or CRL as DER.
#[must_use]
pub fn load(name: &str, bytes: &[u8]) -> Vec<Loaded> {
    if !pem::is_pem(bytes) {
        return vec![der(name.into(), bytes.to_vec(), by_name(name))];
    }
    // Comments between blocks need not be UTF-8; the blocks are ASCII.
    let text = String::from_utf8_lossy(bytes);
    pem::blocks(&text)
        .into_iter()
        .map(|block| match block {
            Ok(block) => {
                let place = format!("{name}:{}", block.line);
                match block.label.as_str() {
                    "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => {
                        der(place, block.der, Some(Kind::Certificate))
                    }
                    "X509 CRL" => der(place, block.der, Some(Kind::Crl)),
                    _ => Loaded::Other { place, label: block.label },
                }
            }
            Err(bad) => Loaded::Unreadable(Unreadable {
                place: format!("{name}:{}", bad.line),
                kind: by_name(name).unwrap_or(Kind::Certificate),
                cause: Cause::Pem(bad),
            }),
        })
        .collect()
}

fn by_name(name: &str) -> Option<Kind> {
    name.to_ascii_lowercase().ends_with(".crl").then_some(Kind::Crl)
}

/// What DER is, by what it should be or else by what it can be read as.
fn der(place: String, der: Vec<u8>, kind: Option<Kind>) -> Loaded {
    let (kind, fault) = match kind {
        Some(Kind::Crl) => match List::parse(&der) {
            Ok(_) => return Loaded::Crl { place, der },
            Err(fault) => (Kind::Crl, fault),
        },
        Some(Kind::Certificate) => match Certificate::parse(&der) {
            Ok(_) => return Loaded::Certificate { place, der },
            Err(fault) => (Kind::Certificate, fault),
        },
        None => match (Certificate::parse(&der), List::parse(&der)) {
            (Ok(_), _) => return Loaded::Certificate { place, der },
            (Err(_), Ok(_)) => return Loaded::Crl { place, der },
            (Err(fault), Err(_)) => (Kind::Certificate, fault),
        },
    };
    Loaded::Unreadable(Unreadable { place, kind, cause: Cause::Der(fault) })
}

impl Signer {
    /// Who signed `list`, among `issuers`.
    #[must_use]
    pub fn of<'i, 'a: 'i>(list: &List<'_>, issuers: impl IntoIterator<Item = &'i Certificate<'a>>) -> Self {
        let mut signer = Self::Unknown;
        for issuer in issuers {
            match list.is_signed_by(issuer) {
                Some(true) => return Self::Verified,
                Some(false) => signer = Self::Invalid,
                None => {}
            }
        }
        signer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, bytes: &[u8], expected: &[&str]) {
        let seen: Vec<String> = load(name, bytes)
            .iter()
            .map(|loaded| match loaded {
                Loaded::Certificate { place, .. } => format!("{place} certificate"),
                Loaded::Crl { place, .. } => format!("{place} CRL"),
                Loaded::Other { place, label } => format!("{place} {label}"),
                Loaded::Unreadable(bad) => match &bad.cause {
                    Cause::Der(fault) => format!("{} {:?} {fault}", bad.place, bad.kind),
                    Cause::Pem(block) => format!("{} {:?} {block}", bad.place, bad.kind),
                },
            })
            .collect();
        assert_eq!(seen, expected, "{name}");
    }

    #[test]
    fn what_cannot_be_read_has_its_place() {
        let no_der = "`certificate` at byte 0: element with tag 0x05; expected 0x30";
        check("a.der", b"\x05\x00", &[&format!("a.der Certificate {no_der}")]);
        let no_list = "`certificateList` at byte 0: element with tag 0x05; expected 0x30";
        check("a.crl", b"\x05\x00", &[&format!("a.crl Crl {no_list}")]);
        check(
            "a.der",
            b"",
            &["a.der Certificate `certificate` at byte 0: the bytes end before the element does"],
        );
        check(
            "a.pem",
            b"\xff\n-----BEGIN PRIVATE KEY-----\nAQI=\n-----END PRIVATE KEY-----\n-----BEGIN CERTIFICATE-----\nBQA=\n-----END CERTIFICATE-----\n-----BEGIN X509 CRL-----\n",
            &["a.pem:2 PRIVATE KEY", &format!("a.pem:5 Certificate {no_der}"), "a.pem:8 Certificate line 8: block without an END line"],
        );
    }
}
