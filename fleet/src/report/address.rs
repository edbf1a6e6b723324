//! Addresses as reports write them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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
