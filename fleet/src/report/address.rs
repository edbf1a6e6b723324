//! Addresses as reports write them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::number::value_of;

/// Reads `1.2.3.4:port`, `[v6]:port`, or `v6:port` where the last colon is before the port.
#[inline(always)]
pub(super) fn parse_with_port(text: &[u8]) -> Option<(IpAddr, u16)> {
    if let Some((address, [b':', rest @ ..])) = leading_v4(text) {
        return Some((address.into(), port(rest)?));
    }
    let colon = text.iter().rposition(|&byte| byte == b':')?;
    let (host, tail) = text.split_at_checked(colon)?;
    let host = match host {
        [b'[', inner @ .., b']'] => inner,
        _ => host,
    };
    Some((parse_v6(host)?, port(tail.strip_prefix(b":")?)?))
}

/// Reads `"1.2.3.4:port"` with its quotes, without a branch for each of its bytes; gives the address
/// and what follows. Nothing for whatever else there is, and near the end of `text`: then
/// [`parse_with_port`] has to look.
#[inline(always)]
pub(super) fn quoted_v4_with_port(text: &[u8]) -> Option<(Ipv4Addr, &[u8])> {
    let [b'"', text @ ..] = text else { return None };
    let chunk: &[u8; 24] = text.first_chunk()?;
    let mut others = others_than_digits(chunk);
    let mut next = || {
        let at = others.trailing_zeros() as usize;
        others &= others.wrapping_sub(1);
        at
    };
    let end = first_quote(chunk);
    let [a, b, c, d] = [next(), next(), next(), next()];
    let is = |at: usize, mark: u8| chunk.get(at) == Some(&mark);
    let port = end.wrapping_sub(d + 1);
    if !(is(a, b'.') && is(b, b'.') && is(c, b'.') && is(d, b':') && is(end, b'"'))
        || next() != end
        || !matches!(port, 1..=5)
    {
        return None;
    }
    let octets = [
        octet_at(chunk, 0, a)?,
        octet_at(chunk, a + 1, b)?,
        octet_at(chunk, b + 1, c)?,
        octet_at(chunk, c + 1, d)?,
    ];
    let digits = u64::from_le_bytes(*chunk.get(d + 1..)?.first_chunk()?);
    if !matches!(value_of(digits, port), 1..=65_535) {
        return None;
    }
    Some((Ipv4Addr::from(octets), text.get(end + 1..)?))
}

/// Where the first quote is behind the eighth byte; 24 if there is none. What follows the address can be
/// read as soon as this is known, before the rest of it is checked.
#[inline(always)]
fn first_quote(chunk: &[u8; 24]) -> usize {
    let [_, high @ ..] = chunk.as_chunks::<8>().0 else { return 24 };
    let mut marks = 0_u128;
    for (at, word) in high.iter().enumerate() {
        let word = u64::from_le_bytes(*word) ^ (ONES * u64::from(b'"'));
        // The lowest mark is exact.
        marks |= u128::from(word.wrapping_sub(ONES) & !word & (ONES * 0x80)) << (64 * at);
    }
    8 + marks.trailing_zeros() as usize / 8
}

const ONES: u64 = 0x0101_0101_0101_0101;

/// Marks the bytes that are no digits, one bit each.
#[inline(always)]
fn others_than_digits(chunk: &[u8; 24]) -> u32 {
    /// Brings the lowest bits of eight bytes together in the highest byte.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let (words, _) = chunk.as_chunks::<8>();
    let mut all = 0;
    for (at, word) in words.iter().enumerate() {
        let digits = u64::from_le_bytes(*word) ^ (ONES * u64::from(b'0'));
        let others = (((digits & (ONES * 0x7f)) + ONES * (0x80 - 10)) | digits) & (ONES * 0x80);
        let bits = (others >> 7).wrapping_mul(GATHER) >> 56;
        all |= u32::try_from(bits).unwrap_or(0) << (8 * at);
    }
    all
}

/// The octet between two places, which are digits: one to three without a leading zero, up to 255.
#[inline(always)]
fn octet_at(chunk: &[u8; 24], from: usize, to: usize) -> Option<u8> {
    let digits = u32::from_le_bytes(*chunk.get(from..)?.first_chunk()?);
    let len = to - from;
    if !matches!(len, 1..=3) || (len > 1 && digits & 0xff == u32::from(b'0')) {
        return None;
    }
    let [_, a, b, c] = ((digits & 0x0f0f_0f0f) << (8 * (4 - len))).to_le_bytes();
    u8::try_from(u32::from(a) * 100 + u32::from(b) * 10 + u32::from(c)).ok()
}

/// Reads an address alone.
pub(super) fn parse(text: &[u8]) -> Option<IpAddr> {
    match leading_v4(text) {
        Some((address, [])) => Some(address.into()),
        _ => parse_v6(text),
    }
}

/// IPv6, without its zone; an IPv4-mapped address is the IPv4 address it stands for,
/// since a dual-stack socket shows IPv4 peers so.
#[cold]
fn parse_v6(text: &[u8]) -> Option<IpAddr> {
    let text = match text.iter().position(|&byte| byte == b'%') {
        Some(at) if at + 1 < text.len() => text.get(..at)?,
        _ => text,
    };
    let address: Ipv6Addr = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(IpAddr::V6(address).to_canonical())
}

/// An IPv4 address at the start of `text`, in the strict dotted form, and what follows.
#[inline(always)]
fn leading_v4(text: &[u8]) -> Option<(Ipv4Addr, &[u8])> {
    let (a, rest) = octet(text)?;
    let (b, rest) = octet(rest.strip_prefix(b".")?)?;
    let (c, rest) = octet(rest.strip_prefix(b".")?)?;
    let (d, rest) = octet(rest.strip_prefix(b".")?)?;
    Some((Ipv4Addr::new(a, b, c, d), rest))
}

/// One to three digits up to 255 without a leading zero, and what follows.
#[inline(always)]
fn octet(text: &[u8]) -> Option<(u8, &[u8])> {
    match text {
        [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', rest @ ..] => {
            let value = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
            Some((u8::try_from(value).ok()?, rest))
        }
        [a @ b'1'..=b'9', b @ b'0'..=b'9', rest @ ..] => Some(((a - b'0') * 10 + (b - b'0'), rest)),
        [a @ b'0'..=b'9', rest @ ..] => Some((a - b'0', rest)),
        _ => None,
    }
}

/// A port from 1 to 65535, in at most five digits.
#[inline(always)]
fn port(text: &[u8]) -> Option<u16> {
    if text.is_empty() || text.len() > 5 {
        return None;
    }
    let mut value = 0_u32;
    for byte in text {
        value = value * 10 + u32::from(byte.is_ascii_digit().then(|| byte - b'0')?);
    }
    u16::try_from(value).ok().filter(|&port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_three_forms() {
        let cases = [
            ("198.51.100.20:8883", Some(("198.51.100.20", 8883))),
            ("0.0.0.0:1", Some(("0.0.0.0", 1))),
            ("255.255.255.255:65535", Some(("255.255.255.255", 65535))),
            ("[2001:db8::7]:51022", Some(("2001:db8::7", 51022))),
            ("2001:db8::7:51022", Some(("2001:db8::7", 51022))),
            ("::1:443", Some(("::1", 443))),
            ("[::ffff:10.0.0.1]:8883", Some(("10.0.0.1", 8883))),
            ("[fe80::1%eth0]:22", Some(("fe80::1", 22))),
            ("198.51.100.20", None),
            ("198.51.100.20:", None),
            ("198.51.100.20:0", None),
            ("198.51.100.20:65536", None),
            ("198.51.100.20:000022", None),
            ("198.51.100.20:22 ", None),
            ("256.0.0.1:22", None),
            ("01.0.0.1:22", None),
            ("1.2.3:22", None),
            ("1.2.3.4.5:22", None),
            ("[2001:db8::7]", None),
            ("[1.2.3.4]:22", None),
            ("[::1%]:22", None),
            ("2001:db8::7", None),
            ("2001:db8::1:7", Some(("2001:db8::1", 7))),
            ("example.org:443", None),
            (":443", None),
            ("", None),
        ];
        for (text, expected) in cases {
            let expected = expected.map(|(address, port)| (address.parse().unwrap(), port));
            assert_eq!(parse_with_port(text.as_bytes()), expected, "{text}");
            let quoted = format!("\"{text}\",\"and so on, for 24 bytes");
            let v4 =
                expected.filter(|(address, _): &(IpAddr, u16)| address.is_ipv4() && !text.starts_with('['));
            let found = quoted_v4_with_port(quoted.as_bytes());
            assert_eq!(found.map(|(address, _)| address.into()), v4.map(|(address, _)| address), "{text}");
            assert!(found.is_none_or(|(_, rest)| rest == b",\"and so on, for 24 bytes"));
        }
    }

    #[test]
    fn reads_addresses_alone() {
        let cases = [
            ("10.0.4.7", Some("10.0.4.7")),
            ("2001:db8::9", Some("2001:db8::9")),
            ("::ffff:10.0.4.7", Some("10.0.4.7")),
            ("10.0.4.7:1", None),
            ("10.0.4", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text.as_bytes()), expected.map(|text| text.parse().unwrap()), "{text}");
        }
    }
}
