//! Name constraints (RFC 5280, section 4.2.1.10).

use super::der::{Fault, Node, tag};
use super::extension::{self, ITEMS_MAX};
use super::name::{self, EMAIL_ADDRESS, General, general};
use super::parse::{Certificate, Extension, Known};

/// Constraints kept on one path at most; a path with more is refused.
const CONSTRAINTS_MAX: usize = 4096;

/// A name, or the base of a subtree.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Mail(String),
    Dns(String),
    Directory(Vec<Vec<u8>>),
    Uri(String),
    Address(Vec<u8>),
    /// A type that is not compared: constrained means refused.
    Other(u8),
}

impl Name {
    fn of(name: &General<'_>) -> Result<Self, Fault> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(match name {
            General::Mail(bytes) => Self::Mail(text(bytes)),
            General::Dns(bytes) => Self::Dns(text(bytes)),
            General::Directory(node) => Self::Directory(name::relative_names(*node, "nameConstraints")?),
            General::Uri(bytes) => Self::Uri(text(bytes)),
            General::Address(bytes) => Self::Address(bytes.to_vec()),
            General::Other(tag, _) => Self::Other(*tag),
        })
    }

    fn is_same_type(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Other(tag), Self::Other(other)) => tag == other,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }

    /// Whether this name lies in the subtree of `base`; `None`: cannot be said.
    fn is_within(&self, base: &Self) -> Option<bool> {
        Some(match (self, base) {
            (Self::Dns(name), Self::Dns(base)) => is_domain_within(name, base.trim_start_matches('.')),
            (Self::Mail(name), Self::Mail(base)) => is_mailbox_within(name, base),
            (Self::Directory(name), Self::Directory(base)) => name.starts_with(base),
            (Self::Uri(name), Self::Uri(base)) => is_host_within(host(name)?, base),
            (Self::Address(name), Self::Address(base)) => is_address_within(name, base),
            _ => return None,
        })
    }
}

fn is_domain_within(name: &str, base: &str) -> bool {
    let (name, base) = (name.to_ascii_lowercase(), base.to_ascii_lowercase());
    base.is_empty() || name.strip_suffix(&base).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// A base with a leading dot takes in the domains below, without one the host alone.
fn is_host_within(name: &str, base: &str) -> bool {
    if base.starts_with('.') {
        let (name, base) = (name.to_ascii_lowercase(), base.to_ascii_lowercase());
        name.len() > base.len() && name.ends_with(&base)
    } else {
        name.eq_ignore_ascii_case(base)
    }
}

fn is_mailbox_within(name: &str, base: &str) -> bool {
    let Some((local, host)) = name.rsplit_once('@') else { return false };
    match base.rsplit_once('@') {
        Some((base_local, base_host)) => local == base_local && host.eq_ignore_ascii_case(base_host),
        None => is_host_within(host, base),
    }
}

/// Host of a URI with an authority (RFC 3986, section 3.2); an address is no host name.
fn host(uri: &str) -> Option<&str> {
    let (_, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host_port = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = host_port.split(':').next()?;
    let numeric = host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    (!host.is_empty() && !host.starts_with('[') && !numeric).then_some(host)
}

fn is_address_within(name: &[u8], base: &[u8]) -> bool {
    if base.len() != name.len() * 2 {
        return false;
    }
    let (network, mask) = base.split_at(name.len());
    name.iter().zip(network.iter().zip(mask)).all(|(byte, (network, mask))| byte & mask == network & mask)
}

/// The constraints that certificates so far put on those below.
#[derive(Clone, Debug, Default)]
pub(crate) struct Constraints {
    /// One set per certificate that has some; a name must lie in each that speaks of its type.
    permitted: Vec<Vec<Name>>,
    excluded: Vec<Name>,
    count: usize,
}

impl Constraints {
    /// Adds the constraints of a CA; `None` if there are too many.
    pub(crate) fn add(&mut self, extension: &Extension<'_>) -> Result<Option<()>, Fault> {
        const FIELD: &str = "nameConstraints";
        let mut inside = extension.value(tag::SEQUENCE, FIELD)?.inside();
        if let Some(permitted) = inside.optional(tag::constructed(0), FIELD)? {
            let bases = bases(permitted, FIELD)?;
            self.count += bases.len();
            self.permitted.push(bases);
        }
        if let Some(excluded) = inside.optional(tag::constructed(1), FIELD)? {
            let bases = bases(excluded, FIELD)?;
            self.count += bases.len();
            self.excluded.extend(bases);
        }
        inside.end(FIELD)?;
        Ok((self.count <= CONSTRAINTS_MAX).then_some(()))
    }

    /// Whether all names of `certificate` are allowed.
    pub(crate) fn allow(&self, certificate: &Certificate<'_>) -> Result<bool, Fault> {
        if self.count == 0 {
            return Ok(true);
        }
        Ok(names(certificate)?.iter().all(|name| self.allow_name(name)))
    }

    fn allow_name(&self, name: &Name) -> bool {
        let permitted = self.permitted.iter().all(|set| {
            let mut same = set.iter().filter(|base| name.is_same_type(base)).peekable();
            same.peek().is_none() || same.any(|base| name.is_within(base) == Some(true))
        });
        let excluded = self
            .excluded
            .iter()
            .filter(|base| name.is_same_type(base))
            .any(|base| name.is_within(base) != Some(false));
        permitted && !excluded
    }
}

fn bases(list: Node<'_>, field: &'static str) -> Result<Vec<Name>, Fault> {
    let mut inside = list.inside();
    let mut found = Vec::new();
    while !inside.is_empty() && found.len() <= ITEMS_MAX {
        let mut subtree = inside.expect(tag::SEQUENCE, field)?.inside();
        found.push(Name::of(&general(&mut subtree, field)?)?);
        // minimum and maximum are not used (RFC 5280: minimum 0, maximum absent).
    }
    Ok(found)
}

fn names(certificate: &Certificate<'_>) -> Result<Vec<Name>, Fault> {
    let mut found = Vec::new();
    let subject = name::attributes(certificate.subject, "tbsCertificate.subject")?;
    if !subject.is_empty() {
        found.push(Name::Directory(name::relative_names(certificate.subject, "tbsCertificate.subject")?));
    }
    let alternative = certificate.extensions.get(Known::SubjectNames);
    let alternative = match alternative {
        Some(extension) => extension::general_names(extension, "subjectAltName")?,
        None => Vec::new(),
    };
    if !alternative.iter().any(|name| matches!(name, General::Mail(_))) {
        let mailboxes = subject.iter().filter(|attribute| attribute.kind == EMAIL_ADDRESS);
        found.extend(mailboxes.filter_map(|attribute| name::string(attribute.value)).map(Name::Mail));
    }
    for name in &alternative {
        found.push(Name::of(name)?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subtrees() {
        let dns = |text: &str| Name::Dns(text.into());
        let mail = |text: &str| Name::Mail(text.into());
        let uri = |text: &str| Name::Uri(text.into());
        let address = |bytes: &[u8]| Name::Address(bytes.into());
        for (name, base, expected) in [
            (dns("a.example.com"), dns("example.com"), Some(true)),
            (dns("Example.COM"), dns("example.com"), Some(true)),
            (dns("badexample.com"), dns("example.com"), Some(false)),
            (dns("anything"), dns(""), Some(true)),
            (mail("a@h.example.com"), mail("h.example.com"), Some(true)),
            (mail("a@x.h.example.com"), mail("h.example.com"), Some(false)),
            (mail("a@x.example.com"), mail(".example.com"), Some(true)),
            (mail("a@example.com"), mail(".example.com"), Some(false)),
            (mail("a@h"), mail("a@H"), Some(true)),
            (mail("A@h"), mail("a@h"), Some(false)),
            (mail("no mailbox"), mail("h"), Some(false)),
            (uri("http://u@a.example.com:8/p"), uri("a.example.com"), Some(true)),
            (uri("http://b.a.example.com/"), uri(".example.com"), Some(true)),
            (uri("http://example.com/"), uri(".example.com"), Some(false)),
            (uri("urn:x"), uri("example.com"), None),
            (uri("http://10.0.0.1/"), uri("example.com"), None),
            (address(&[10, 1, 2, 3]), address(&[10, 0, 0, 0, 255, 0, 0, 0]), Some(true)),
            (address(&[11, 1, 2, 3]), address(&[10, 0, 0, 0, 255, 0, 0, 0]), Some(false)),
            (address(&[0; 16]), address(&[0; 8]), Some(false)),
        ] {
            assert_eq!(name.is_within(&base), expected, "{name:?} in {base:?}");
        }
    }
}
