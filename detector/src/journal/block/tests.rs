//! Packing and unpacking: what was packed comes out, and nothing else is believed.

use fleet::time::Timestamp;

use super::*;
use crate::{
    input::{Format, SourceId},
    journal::Kind,
};

fn record(seq: u64, payload: &[u8]) -> Record<'_> {
    Record {
        seq,
        arrival: Timestamp::from_millis(-5),
        source: SourceId(3),
        kind: Kind::Input(Format::MosquittoLog),
        position: u64::MAX,
        subject: "pumpe-ä",
        payload,
    }
}

/// Records 7 and on, of one commit.
fn blocks(payloads: &[&[u8]]) -> Vec<u8> {
    let mut packer = Packer::new(7);
    for (seq, payload) in (7..).zip(payloads) {
        packer.push(&record(seq, payload), 8, u32::try_from(8 + payload.len()).unwrap());
    }
    packer.finish().to_vec()
}

/// A block with what fits its bytes: length and check sum.
fn block(seq: u64, count: u32, plain: usize, stored: &[u8]) -> Vec<u8> {
    let mut block = [&[0; HEADER_BYTES], stored].concat();
    Header { seq, earlier: 0, count, plain }.write(&mut block);
    block
}

fn unpacked(bytes: &[u8]) -> Result<Vec<u8>, Damage> {
    let mut out = Vec::new();
    let (block, size) = Block::decode(bytes)?;
    assert!(size <= bytes.len());
    block.unpack(&mut out)?;
    block.check(&out)?;
    Ok(out)
}

#[test]
fn every_cut_and_every_flipped_bit_is_noticed() {
    let payload = [b'a'; 400];
    for payloads in [&[&b"payload"[..]][..], &[&payload[..]; 5]] {
        let bytes = blocks(payloads);
        assert!(unpacked(&bytes).is_ok());
        for cut in 0..bytes.len() {
            assert!(Block::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Block::decode(&damaged).is_err(), "bit {bit}");
        }
    }
}

#[test]
fn blocks_of_a_commit_say_where_it_began() {
    let large = [b'a'; 40_000];
    let bytes = blocks(&[b"x", &large, &large, &large]);
    let (mut at, mut found) = (0, Vec::new());
    while at < bytes.len() {
        let (block, size) = Block::decode(&bytes[at..]).unwrap();
        assert!(size < 1_000, "40,000 times the same byte");
        found.push((block.seq, block.count, block.commit()));
        at += size;
    }
    assert_eq!(found, [(7, 2, 7), (9, 1, 7), (10, 1, 7)]);
}

#[test]
fn the_next_commit_begins_anew() {
    let mut packer = Packer::new(1);
    packer.push(&record(1, b"one"), 8, 11);
    let first = packer.finish().to_vec();
    packer.clear(0);
    assert_eq!((packer.pending(), packer.finish()), (0, &[][..]));
    packer.push(&record(2, b"one"), 8, 11);
    assert_eq!(packer.pending(), first.len());
    let (block, _) = Block::decode(packer.finish()).unwrap();
    assert_eq!((block.seq, block.commit()), (2, 2));
}

/// With a check sum that fits: what a later version or somebody's tool might write.
#[test]
fn what_a_block_claims_is_checked() {
    let mut one = Vec::new();
    record::encode(&record(7, b"payload"), 8, 15, &mut one);
    let two = [&one[..], &one].concat();
    let packed = {
        let mut room = vec![0; get_maximum_output_size(two.len())];
        let len = compress_into_with_table(&two, &mut room, &mut CompressTable::small()).unwrap();
        room[..len].to_vec()
    };
    let mut kind = one.clone();
    kind[14] = 250;
    let content = Damage::Content;
    let cannot = content("cannot be unpacked");
    let counts = content("has not the records that it counts");
    let odd = content("has a record of an impossible length");
    for (name, bytes, expected) in [
        ("one record", block(7, 1, one.len(), &one), Ok(one.len())),
        ("two, packed", block(7, 2, two.len(), &packed), Ok(two.len())),
        ("more than there are", block(7, 2, one.len(), &one), Err(counts)),
        ("fewer than there are", block(7, 1, two.len(), &packed), Err(counts)),
        ("none", block(7, 0, 0, &[]), Err(counts)),
        ("half a record", block(7, 1, one.len() - 1, &one[..one.len() - 1]), Err(odd)),
        ("a kind of later", block(7, 1, kind.len(), &kind), Err(Damage::Kind(250))),
        ("too short a length", block(7, 2, two.len() - 1, &packed), Err(cannot)),
        ("too long a length", block(7, 2, two.len() + 1, &packed), Err(cannot)),
        ("the longest length", block(7, 2, PACKED_BYTES_MAX, &packed), Err(cannot)),
        (
            "one more",
            block(7, 2, PACKED_BYTES_MAX + 1, &packed),
            Err(content("is longer unpacked than is allowed")),
        ),
        ("4 GiB", block(7, 2, usize::MAX, &packed), Err(content("is longer unpacked than is allowed"))),
        ("no LZ4", block(7, 2, two.len(), &[0xff; 40]), Err(cannot)),
        ("the last seq", block(u64::MAX, 1, one.len(), &one), Err(counts)),
    ] {
        assert_eq!(unpacked(&bytes).map(|out| out.len()), expected, "{name}");
    }
}

#[test]
fn a_damaged_length_is_refused_before_anything_is_allocated() {
    for head in [0, 1, 19, MARK, MARK | 19, u32::MAX, MARK | u32::try_from(STORED_BYTES_MAX + 21).unwrap()] {
        assert_eq!(whole_len(&head.to_le_bytes()), Err(Damage::Length(head)), "{head:#x}");
    }
    let longest = MARK | u32::try_from(STORED_BYTES_MAX + 20).unwrap();
    assert_eq!(whole_len(&longest.to_le_bytes()), Ok(HEADER_BYTES + STORED_BYTES_MAX));
}
