//! Distinguished names and general names: as text, and in a form to compare.

use ring::digest;

use super::der::{Der, Fault, Flaw, Node, tag};

/// Attributes read of one name at most; more is a fault.
pub(crate) const ATTRIBUTES_MAX: usize = 128;

/// Short names of attribute types (RFC 4514, section 3).
const SHORT: &[(&[u8], &str)] = &[
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 9], "STREET"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], "DC"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1], "UID"),
];

/// `emailAddress` of PKCS #9, which name constraints treat as a mailbox (RFC 5280, section 4.2.1.10).
pub(crate) const EMAIL_ADDRESS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1];

/// One attribute of a distinguished name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attribute<'a> {
    /// Content octets of the type.
    pub(crate) kind: &'a [u8],
    pub(crate) value: Node<'a>,
    /// Whether it stands in the same relative name as the one before it.
    pub(crate) joined: bool,
}

/// The attributes of `name` in the order of the encoding.
pub(crate) fn attributes<'a>(name: Node<'a>, field: &'static str) -> Result<Vec<Attribute<'a>>, Fault> {
    let mut found = Vec::with_capacity(8);
    let mut relative_names = name.inside();
    while !relative_names.is_empty() {
        let mut set = relative_names.expect(tag::SET, field)?.inside();
        let mut joined = false;
        while !set.is_empty() {
            let pair = set.expect(tag::SEQUENCE, field)?;
            let mut inside = pair.inside();
            let kind = inside.expect(tag::OID, field)?.body;
            let value = inside.take(field)?;
            inside.end(field)?;
            if found.len() >= ATTRIBUTES_MAX {
                return Err(pair.fault(field, Flaw::TooMany));
            }
            found.push(Attribute { kind, value, joined });
            joined = true;
        }
    }
    Ok(found)
}

/// The name as text of RFC 4514, last relative name first.
pub(crate) fn text(name: Node<'_>, field: &'static str, into: &mut String) -> Result<(), Fault> {
    let attributes = attributes(name, field)?;
    let mut end = attributes.len();
    while end > 0 {
        let start = attributes.iter().take(end).rposition(|attribute| !attribute.joined).unwrap_or(0);
        if end < attributes.len() {
            into.push(',');
        }
        for attribute in attributes.iter().take(end).skip(start) {
            if attribute.joined {
                into.push('+');
            }
            push_kind(attribute.kind, into);
            into.push('=');
            push_value(attribute.value, into);
        }
        end = start;
    }
    Ok(())
}

fn push_kind(kind: &[u8], into: &mut String) {
    match SHORT.iter().find(|(oid, _)| *oid == kind) {
        Some((_, short)) => into.push_str(short),
        None => dotted(kind, into),
    }
}

/// An object identifier with dots; a sub-identifier past 64 bits is written as `?`.
pub(crate) fn dotted(oid: &[u8], into: &mut String) {
    use std::fmt::Write as _;
    let mut arc = 0_u64;
    let mut overflow = false;
    let mut first = true;
    for byte in oid {
        overflow |= arc >> 57 != 0;
        arc = arc << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            continue;
        }
        let written = match (first, overflow) {
            (_, true) => into.write_str(if first { "?" } else { ".?" }),
            (true, false) => {
                let root = (arc / 40).min(2);
                write!(into, "{root}.{}", arc - root * 40)
            }
            (false, false) => write!(into, ".{arc}"),
        };
        debug_assert!(written.is_ok(), "a string takes what is written");
        (arc, first, overflow) = (0, false, false);
    }
}

fn push_value(value: Node<'_>, into: &mut String) {
    let ascii = matches!(value.tag, tag::PRINTABLE_STRING | tag::UTF8_STRING | tag::IA5_STRING)
        && value
            .body
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':'));
    if ascii {
        into.extend(value.body.iter().map(|byte| char::from(*byte)));
        return;
    }
    match string(value) {
        Some(text) => escape(&text, into),
        None => {
            into.push('#');
            for byte in value.full {
                hex(*byte, into);
            }
        }
    }
}

/// Two hexadecimal digits.
pub(crate) fn hex(byte: u8, into: &mut String) {
    for digit in [byte >> 4, byte & 15] {
        into.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
    }
}

/// RFC 4514, section 2.4.
fn escape(text: &str, into: &mut String) {
    let last = text.chars().count().saturating_sub(1);
    for (index, letter) in text.chars().enumerate() {
        match letter {
            '\0' => into.push_str("\\00"),
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => {
                into.push('\\');
                into.push(letter);
            }
            ' ' if index == 0 || index == last => into.push_str("\\ "),
            '#' if index == 0 => into.push_str("\\#"),
            _ => into.push(letter),
        }
    }
}

/// Text of a string type; `None` for other types. What is not valid in the type becomes U+FFFD.
pub(crate) fn string(value: Node<'_>) -> Option<String> {
    let body = value.body;
    match value.tag {
        tag::UTF8_STRING
        | tag::PRINTABLE_STRING
        | tag::IA5_STRING
        | tag::VISIBLE_STRING
        | tag::NUMERIC_STRING => Some(String::from_utf8_lossy(body).into_owned()),
        // T.61 was never used as written; Latin-1 is what is found.
        tag::TELETEX_STRING => Some(body.iter().map(|byte| char::from(*byte)).collect()),
        tag::BMP_STRING => {
            let units =
                body.chunks(2).map(|pair| pair.iter().fold(0, |unit, byte| unit << 8 | u16::from(*byte)));
            Some(
                char::decode_utf16(units)
                    .map(|letter| letter.unwrap_or(char::REPLACEMENT_CHARACTER))
                    .collect(),
            )
        }
        tag::UNIVERSAL_STRING => Some(
            body.chunks(4)
                .map(|four| four.iter().fold(0, |code, byte| code << 8 | u32::from(*byte)))
                .map(|code| char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect(),
        ),
        _ => None,
    }
}

/// A distinguished name reduced to what RFC 5280, section 7.1 compares: string types do not
/// matter, nor letter case, nor white space at the ends and repeated inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameKey([u8; 16]);

impl NameKey {
    /// Eight of the sixteen bytes, for hash tables.
    pub(crate) fn hash_word(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_ne_bytes([a, b, c, d, e, f, g, h])
    }

    /// The key of an encoded name.
    pub(crate) fn of(name: Node<'_>, field: &'static str) -> Result<Self, Fault> {
        Ok(Self::of_relative(&relative_names(name, field)?))
    }

    pub(crate) fn of_relative(names: &[Vec<u8>]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        for name in names {
            context.update(&name.len().to_be_bytes());
            context.update(name);
        }
        let mut key = [0; 16];
        key.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
        Self(key)
    }
}

/// The relative names of `name` in comparable form, root first.
pub(crate) fn relative_names(name: Node<'_>, field: &'static str) -> Result<Vec<Vec<u8>>, Fault> {
    let mut names: Vec<Vec<Vec<u8>>> = Vec::new();
    for attribute in attributes(name, field)? {
        let pair = comparable(&attribute);
        match names.last_mut() {
            Some(last) if attribute.joined => last.push(pair),
            _ => names.push(vec![pair]),
        }
    }
    Ok(names
        .into_iter()
        .map(|mut pairs| {
            pairs.sort();
            pairs.concat()
        })
        .collect())
}

/// One relative name, under whatever tag it stands.
pub(crate) fn relative_name(set: Node<'_>, field: &'static str) -> Result<Vec<u8>, Fault> {
    let mut pairs = Vec::new();
    let mut inside = set.inside();
    while !inside.is_empty() && pairs.len() < ATTRIBUTES_MAX {
        let mut pair = inside.expect(tag::SEQUENCE, field)?.inside();
        let kind = pair.expect(tag::OID, field)?.body;
        pairs.push(comparable(&Attribute { kind, value: pair.take(field)?, joined: true }));
    }
    pairs.sort();
    Ok(pairs.concat())
}

fn comparable(attribute: &Attribute<'_>) -> Vec<u8> {
    let value = match string(attribute.value) {
        Some(text) => folded(&text).into_bytes(),
        None => attribute.value.full.to_vec(),
    };
    let mut pair = Vec::with_capacity(attribute.kind.len() + value.len() + 16);
    for part in [attribute.kind, &value] {
        pair.extend(part.len().to_be_bytes());
        pair.extend(part);
    }
    pair
}

fn folded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.extend(word.chars().flat_map(char::to_lowercase));
    }
    out
}

/// One name of the subject alternative name extension or of a distribution point.
#[derive(Clone, Copy, Debug)]
pub(crate) enum General<'a> {
    Mail(&'a [u8]),
    Dns(&'a [u8]),
    Directory(Node<'a>),
    Uri(&'a [u8]),
    Address(&'a [u8]),
    /// Other names, X.400 and EDI addresses, registered ids: the tag and the content.
    Other(u8, &'a [u8]),
}

/// The next general name (RFC 5280, section 4.2.1.6).
pub(crate) fn general<'a>(der: &mut Der<'a>, field: &'static str) -> Result<General<'a>, Fault> {
    let node = der.take(field)?;
    Ok(match node.tag {
        0x81 => General::Mail(node.body),
        0x82 => General::Dns(node.body),
        0xa4 => General::Directory(node.inside().expect(tag::SEQUENCE, field)?),
        0x86 => General::Uri(node.body),
        0x87 => General::Address(node.body),
        0xa0 | 0xa3 | 0xa5 | 0x88 => General::Other(node.tag, node.body),
        found => return Err(node.fault(field, Flaw::Tag { found, expected: 0x82 })),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::der::single;

    /// Type, tag and content of the value.
    type Pair<'a> = (&'a [u8], u8, &'a [u8]);

    fn name(relative: &[&[Pair<'_>]]) -> Vec<u8> {
        fn wrap(tag: u8, body: &[u8]) -> Vec<u8> {
            [&[tag, u8::try_from(body.len()).unwrap()], body].concat()
        }
        let sets: Vec<u8> = relative
            .iter()
            .flat_map(|pairs| {
                let pairs: Vec<u8> = pairs
                    .iter()
                    .flat_map(|(oid, tag, value)| wrap(0x30, &[wrap(6, oid), wrap(*tag, value)].concat()))
                    .collect();
                wrap(0x31, &pairs)
            })
            .collect();
        wrap(0x30, &sets)
    }

    const CN: &[u8] = &[0x55, 4, 3];
    const O: &[u8] = &[0x55, 4, 10];

    #[test]
    fn names_as_text() {
        let cases: [(Vec<u8>, &str); 6] = [
            (name(&[]), ""),
            (name(&[&[(O, 0x13, b"Acme")], &[(CN, 0x0c, b"pump-1")]]), "CN=pump-1,O=Acme"),
            (name(&[&[(CN, 0x13, b"a"), (O, 0x13, b"b")]]), "CN=a+O=b"),
            (name(&[&[(CN, 0x0c, b" #a,b\0 ")]]), "CN=\\ #a\\,b\\00\\ "),
            (name(&[&[(EMAIL_ADDRESS, 0x16, b"a@b")]]), "1.2.840.113549.1.9.1=a@b"),
            (name(&[&[(CN, 0x1e, b"\0a\x20\xac")]]), "CN=a\u{20ac}"),
        ];
        for (der, expected) in cases {
            let mut seen = String::new();
            text(single(&der, 0x30, "name").unwrap(), "name", &mut seen).unwrap();
            assert_eq!(seen, expected);
        }
    }

    #[test]
    fn comparison_ignores_case_white_space_and_string_type() {
        let key = |der: &[u8]| NameKey::of(single(der, 0x30, "name").unwrap(), "name").unwrap();
        let base = key(&name(&[&[(O, 0x13, b"Acme  Works")], &[(CN, 0x13, b"CA 1")]]));
        assert_eq!(base, key(&name(&[&[(O, 0x0c, b" acme works ")], &[(CN, 0x13, b"ca 1")]])));
        for other in [
            name(&[&[(CN, 0x13, b"CA 1")], &[(O, 0x13, b"Acme Works")]]),
            name(&[&[(O, 0x13, b"Acme Works"), (CN, 0x13, b"CA 1")]]),
            name(&[&[(O, 0x13, b"Acme Works")]]),
            name(&[&[(O, 0x13, b"AcmeWorks")], &[(CN, 0x13, b"CA 1")]]),
        ] {
            assert_ne!(base, key(&other));
        }
    }

    #[test]
    fn object_identifiers() {
        for (oid, expected) in [
            (&[0x2a, 0x86, 0x48][..], "1.2.840"),
            (&[0x88, 0x37], "2.999"),
            (&[0x55, 4, 3], "2.5.4.3"),
            (&[0x2a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1], "1.2.?.1"),
        ] {
            let mut seen = String::new();
            dotted(oid, &mut seen);
            assert_eq!(seen, expected);
        }
    }
}
