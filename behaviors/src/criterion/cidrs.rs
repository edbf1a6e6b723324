//! A set of networks.

use std::net::IpAddr;

use ipnet::IpNet;

/// Networks, as sorted ranges that do not overlap; IPv4 and IPv6 apart, so that a lookup is
/// one binary search over plain integers.
///
/// An IPv4-mapped IPv6 address (`::ffff:a.b.c.d`) is the IPv4 address, in the set and in what is
/// asked: brokers that listen on both report IPv4 peers in that form. (AWS does not say.)
/// Apart from that an IPv4 address lies in IPv4 networks only, so `::/0` is all of IPv6 and no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CidrSet {
    networks: Box<[IpNet]>,
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl CidrSet {
    /// Whether some network holds the address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => in_ranges(&self.v4, address.to_bits()),
            IpAddr::V6(address) => in_ranges(&self.v6, address.to_bits()),
        }
    }

    /// The networks, sorted, host bits cleared, each once.
    pub fn iter(&self) -> impl Iterator<Item = IpNet> {
        self.networks.iter().copied()
    }
}

impl FromIterator<IpNet> for CidrSet {
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        let mut networks: Vec<IpNet> = networks.into_iter().map(canonical).collect();
        networks.sort_unstable();
        networks.dedup();
        let v4 = networks.iter().filter_map(|network| match network {
            IpNet::V4(network) => Some((network.network().to_bits(), network.broadcast().to_bits())),
            IpNet::V6(_) => None,
        });
        let v6 = networks.iter().filter_map(|network| match network {
            IpNet::V6(network) => Some((network.network().to_bits(), network.broadcast().to_bits())),
            IpNet::V4(_) => None,
        });
        let (v4, v6) = (merged(v4), merged(v6));
        Self { v4: v4.into(), v6: v6.into(), networks: networks.into() }
    }
}

/// Without host bits, and in IPv4 if it lies wholly in the mapped range.
fn canonical(network: IpNet) -> IpNet {
    if let IpNet::V6(v6) = network
        && v6.prefix_len() >= 96
        && let Some(v4) = v6.network().to_ipv4_mapped()
        && let Ok(network) = ipnet::Ipv4Net::new(v4, v6.prefix_len() - 96)
    {
        return IpNet::V4(network.trunc());
    }
    network.trunc()
}

/// Sorted, with ranges that touch or overlap made one.
fn merged<T: Ord + Copy>(ranges: impl Iterator<Item = (T, T)>) -> Vec<(T, T)> {
    let mut sorted: Vec<(T, T)> = ranges.collect();
    sorted.sort_unstable();
    let mut merged: Vec<(T, T)> = Vec::with_capacity(sorted.len());
    for (first, last) in sorted {
        match merged.last_mut() {
            Some(before) if first <= before.1 => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged
}

fn in_ranges<T: Ord + Copy>(ranges: &[(T, T)], value: T) -> bool {
    let after = ranges.partition_point(|&(first, _)| first <= value);
    after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|&(_, last)| value <= last)
}
