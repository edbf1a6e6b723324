//! Segments of TCP out of a capture file.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, TransportSlice};
use fleet::time::Timestamp;
use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError, create_reader};

use super::{BROKER_PORT, CaptureCounts, CaptureError};

/// Room for the largest block of a file, bytes. Offloading network cards make "packets" of 64 KiB.
const BLOCK_BYTES_MAX: usize = 1 << 20;
/// Bytes of the shortest block of pcapng: its type, and its length twice.
const BLOCK_BYTES_MIN: u32 = 12;
/// Type of a pcapng section's first block, the same in both byte orders.
const SECTION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
/// Interfaces of a pcapng section; packets of later ones are left out.
const INTERFACES_MAX: usize = 1024;

/// A segment of TCP on its way from or to a broker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    pub(super) at: Timestamp,
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) seq: u32,
    pub(super) syn: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
    pub(super) payload: &'a [u8],
}

/// What an interface's packets begin with, and the unit of their time.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link: Linktype,
    offset_secs: i64,
    /// Units in a second.
    resolution: u64,
}

/// Hands the segments of port [`BROKER_PORT`] to `sink`.
pub(super) fn read(
    bytes: &[u8],
    counts: &mut CaptureCounts,
    sink: &mut dyn FnMut(&Segment<'_>, &mut CaptureCounts),
) -> Result<(), CaptureError> {
    let mut reader = create_reader(BLOCK_BYTES_MAX, std::io::Cursor::new(bytes.to_vec()))
        .map_err(|_| CaptureError::NotACapture)?;
    let mut interfaces: Vec<Interface> = Vec::new();
    let is_pcapng = bytes.starts_with(&SECTION);
    let mut big_endian = false;
    loop {
        if is_pcapng && !is_block(reader.data(), &mut big_endian) {
            return Err(damaged(counts, format!("a block has fewer than {BLOCK_BYTES_MIN} bytes")));
        }
        let consumed = match reader.next() {
            Ok((consumed, block)) => {
                take_block(&block, &mut interfaces, counts, sink);
                Some(consumed)
            }
            Err(PcapError::Eof) => return Ok(()),
            Err(PcapError::Incomplete(_)) => None,
            Err(error) => return Err(damaged(counts, reason(&error))),
        };
        if let Some(consumed) = consumed {
            reader.consume(consumed);
            continue;
        }
        let before = reader.data().len();
        if reader.reader_exhausted() || reader.refill().is_err() {
            return Err(damaged(counts, "it ends inside of a block".to_owned()));
        }
        if reader.data().len() == before && !reader.reader_exhausted() {
            return Err(damaged(counts, format!("a block has more than {BLOCK_BYTES_MAX} bytes")));
        }
    }
}

/// Whether what follows states a length that a pcapng block can have: the parser takes less for
/// granted and subtracts. A section's first block says in which byte order the next ones are.
fn is_block(data: &[u8], big_endian: &mut bool) -> bool {
    let word = |from: usize| data.get(from..from + 4).and_then(|bytes| bytes.try_into().ok());
    if data.starts_with(&SECTION) {
        *big_endian = word(8) == Some([0x1a, 0x2b, 0x3c, 0x4d]);
        return true;
    }
    let number = if *big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
    // Too few bytes to tell: the parser asks for more.
    word(4).is_none_or(|length| number(length) >= BLOCK_BYTES_MIN)
}

fn damaged(counts: &CaptureCounts, reason: String) -> CaptureError {
    CaptureError::Damaged { packets: counts.packets, reason }
}

/// Without the bytes that the parser shows.
fn reason(error: &PcapError<&[u8]>) -> String {
    match error {
        PcapError::NomError(_, kind) | PcapError::OwnedNomError(_, kind) => {
            format!("a block is no block ({kind:?})")
        }
        PcapError::Incomplete(_) | PcapError::UnexpectedEof => "it ends inside of a block".to_owned(),
        PcapError::BufferTooSmall => format!("a block has more than {BLOCK_BYTES_MAX} bytes"),
        PcapError::Eof | PcapError::ReadError | PcapError::HeaderNotRecognized => format!("{error:?}"),
    }
}

fn take_block(
    block: &PcapBlockOwned<'_>,
    interfaces: &mut Vec<Interface>,
    counts: &mut CaptureCounts,
    sink: &mut dyn FnMut(&Segment<'_>, &mut CaptureCounts),
) {
    match block {
        PcapBlockOwned::LegacyHeader(header) => {
            let resolution = if header.is_nanosecond_precision() { 1_000_000_000 } else { 1_000_000 };
            interfaces.push(Interface { link: header.network, offset_secs: 0, resolution });
        }
        PcapBlockOwned::Legacy(packet) => {
            let Some(interface) = interfaces.first() else { return };
            let units = u64::from(packet.ts_sec) * interface.resolution + u64::from(packet.ts_usec);
            take_packet(*interface, units, packet.data, counts, sink);
        }
        PcapBlockOwned::NG(Block::SectionHeader(_)) => interfaces.clear(),
        PcapBlockOwned::NG(Block::InterfaceDescription(it)) => {
            if interfaces.len() < INTERFACES_MAX {
                let resolution = it.ts_resolution().filter(|&units| units > 0).unwrap_or(1_000_000);
                interfaces.push(Interface { link: it.linktype, offset_secs: it.ts_offset(), resolution });
            }
        }
        PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
            let interface = usize::try_from(packet.if_id).ok().and_then(|index| interfaces.get(index));
            let Some(interface) = interface else {
                counts.packets += 1;
                counts.other_packets += 1;
                return;
            };
            let units = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
            let caplen = usize::try_from(packet.caplen).unwrap_or(usize::MAX);
            let data = packet.data.get(..caplen).unwrap_or(packet.data);
            take_packet(*interface, units, data, counts, sink);
        }
        // A simple packet has no time, so it tells no event.
        PcapBlockOwned::NG(Block::SimplePacket(_)) => {
            counts.packets += 1;
            counts.other_packets += 1;
        }
        PcapBlockOwned::NG(_) => {}
    }
}

fn take_packet(
    interface: Interface,
    units: u64,
    data: &[u8],
    counts: &mut CaptureCounts,
    sink: &mut dyn FnMut(&Segment<'_>, &mut CaptureCounts),
) {
    counts.packets += 1;
    let millis = u128::from(units) * 1000 / u128::from(interface.resolution);
    let at = Timestamp::from_secs(interface.offset_secs);
    let at = at.plus_millis(i64::try_from(millis).unwrap_or(i64::MAX));
    match slice(interface.link, data).as_ref().and_then(|packet| segment(at, packet)) {
        Some(segment) => sink(&segment, counts),
        None => counts.other_packets += 1,
    }
}

fn slice(link: Linktype, data: &[u8]) -> Option<LaxSlicedPacket<'_>> {
    let after = |header: usize, protocol: usize| {
        let protocol = data.get(protocol..protocol + 2)?;
        let protocol = u16::from_be_bytes(protocol.try_into().ok()?);
        Some(LaxSlicedPacket::from_ether_type(EtherType(protocol), data.get(header..)?))
    };
    match link {
        Linktype::ETHERNET => LaxSlicedPacket::from_ethernet(data).ok(),
        Linktype::RAW | Linktype(12 | 14) => LaxSlicedPacket::from_ip(data).ok(),
        Linktype::NULL | Linktype::LOOP => LaxSlicedPacket::from_ip(data.get(4..)?).ok(),
        // "Cooked" captures of all interfaces of a Linux machine, in two versions (LINKTYPE_LINUX_SLL, _SLL2).
        Linktype::LINUX_SLL => after(16, 14),
        Linktype(276) => after(20, 0),
        _ => None,
    }
}

fn segment<'a>(at: Timestamp, packet: &LaxSlicedPacket<'a>) -> Option<Segment<'a>> {
    let (from, to) = match packet.net.as_ref()? {
        LaxNetSlice::Ipv4(ip) => {
            let header = ip.header();
            (IpAddr::V4(Ipv4Addr::from(header.source())), IpAddr::V4(Ipv4Addr::from(header.destination())))
        }
        LaxNetSlice::Ipv6(ip) => {
            let header = ip.header();
            (IpAddr::V6(Ipv6Addr::from(header.source())), IpAddr::V6(Ipv6Addr::from(header.destination())))
        }
        LaxNetSlice::Arp(_) => return None,
    };
    let Some(TransportSlice::Tcp(tcp)) = packet.transport.as_ref() else { return None };
    let (source, target) = (tcp.source_port(), tcp.destination_port());
    if source != BROKER_PORT && target != BROKER_PORT {
        return None;
    }
    Some(Segment {
        at,
        from: SocketAddr::new(from, source),
        to: SocketAddr::new(to, target),
        seq: tcp.sequence_number(),
        syn: tcp.syn(),
        fin: tcp.fin(),
        rst: tcp.rst(),
        payload: tcp.payload(),
    })
}
