//! Who can reach an address that a broker listens on or speaks to.

use std::net::IpAddr;

/// Whether others than programs of the same host reach what listens there: `PORT`, `HOST:PORT`,
/// `[HOST]:PORT`, `::1:PORT`, each with a scheme or without. A socket of the file system is not reached.
pub(super) fn is_reachable(bind: &str) -> bool {
    let host = host(bind);
    !(is_loopback(host) || bind.starts_with('/') || bind.starts_with("unix:") || port(bind) == Some("0"))
}

/// The host of an address; empty if there is only a port.
pub(super) fn host(address: &str) -> &str {
    let address = address.trim().trim_matches('"');
    let address = address.split_once("://").map_or(address, |(_, rest)| rest);
    let address = address.rsplit_once('@').map_or(address, |(_, rest)| rest);
    let address = address.split(['/', '?']).next().unwrap_or_default();
    if address.chars().all(|c| c.is_ascii_digit()) {
        return "";
    }
    if let Some(rest) = address.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    if address.parse::<IpAddr>().is_ok() && !address.ends_with("::") && address.matches(':').count() < 3 {
        return address;
    }
    match address.rsplit_once(':') {
        Some((host, port)) if port.chars().all(|c| c.is_ascii_digit()) => host,
        _ => address,
    }
}

fn port(address: &str) -> Option<&str> {
    let address = address.trim();
    if address.chars().all(|c| c.is_ascii_digit()) {
        return Some(address);
    }
    address.rsplit_once(':').map(|(_, port)| port).filter(|port| port.chars().all(|c| c.is_ascii_digit()))
}

pub(super) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_reaches_it() {
        for (bind, expected) in [
            ("1883", true),
            ("0", false),
            ("0.0.0.0:1883", true),
            (":1883", true),
            ("127.0.0.1:1883", false),
            ("localhost:1883", false),
            ("::1:5672", false),
            ("[::1]:5672", false),
            ("[::]:1883", true),
            (":::1883", true),
            ("::", true),
            ("10.0.0.1", true),
            ("127.0.0.1", false),
            ("::1", false),
            ("tcp://0.0.0.0:7993", true),
            ("mysql://a:b@localhost:3306/x", false),
            ("/run/s.sock", false),
        ] {
            assert_eq!(is_reachable(bind), expected, "{bind}");
        }
    }
}
