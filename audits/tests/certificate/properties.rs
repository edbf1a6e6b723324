//! Properties, against the plainest way to say the same.

use std::collections::BTreeSet;

use audits::certificate::check::CheckId;
use audits::certificate::facts::Reader;
use audits::certificate::parameters::Parameters;
use audits::certificate::pem;
use audits::certificate::run::{Selection, audit};
use audits::certificate::shared_primes;
use audits::certificate::view::{Resource, Session};
use base64::Engine as _;
use proptest::prelude::*;

use crate::fleet::{Fleet, session};
use crate::support::ders;

/// Primes above 65,536.
const PRIMES: [u64; 8] = [65_537, 65_539, 65_543, 65_551, 65_557, 65_563, 65_579, 65_581];

fn gcd(one: u64, other: u64) -> u64 {
    if other == 0 { one } else { gcd(other, one % other) }
}

fn overlaps(one: &Session, other: &Session) -> bool {
    let end = |session: &Session| session.disconnected.unwrap_or(i64::MAX);
    one.client != other.client && one.connected < end(other) && other.connected < end(one)
}

proptest! {
    #[test]
    fn batch_and_pairs_find_the_same(pairs in prop::collection::vec((0_usize..8, 0_usize..8), 0..12)) {
        let moduli: Vec<u64> = pairs.iter().map(|(p, q)| PRIMES[*p] * PRIMES[*q]).collect();
        let bytes: Vec<[u8; 8]> = moduli.iter().map(|modulus| modulus.to_be_bytes()).collect();
        let trimmed: Vec<&[u8]> = bytes.iter().map(|bytes| &bytes[3..]).collect();
        prop_assume!(moduli.iter().all(|modulus| *modulus >> 32 != 0));
        let found = shared_primes::find(&trimmed);
        let expected: Vec<(usize, Vec<usize>)> = (0..moduli.len())
            .map(|one| {
                let shares = |other: &usize| moduli[one] != moduli[*other] && gcd(moduli[one], moduli[*other]) != 1;
                (one, (0..moduli.len()).filter(shares).collect::<Vec<_>>())
            })
            .filter(|(_, partners)| !partners.is_empty())
            .collect();
        let seen: Vec<(usize, Vec<usize>)> =
            found.shared.into_iter().map(|shared| (shared.index, shared.partners)).collect();
        prop_assert_eq!(seen, expected);
    }

    #[test]
    fn sessions_overlap_as_their_pairs_do(
        sessions in prop::collection::vec((0_u8..4, 0_i64..50, prop::option::of(1_i64..20)), 0..14)
    ) {
        let mut fleet = Fleet::shared().lock().unwrap();
        fleet.sessions = sessions
            .iter()
            .map(|(client, begin, length)| session(0, &client.to_string(), *begin, length.map(|length| begin + length)))
            .collect();
        let expected: BTreeSet<u32> = (0..)
            .zip(&fleet.sessions)
            .filter(|(_, one)| fleet.sessions.iter().any(|other| overlaps(one, other)))
            .map(|(index, _)| index)
            .collect();
        let found = audit(&fleet.view(), &Parameters::default(), Selection::of([CheckId::SharedCertificate]));
        let seen: BTreeSet<u32> = found
            .hits()
            .iter()
            .flat_map(|hit| found.related(hit))
            .filter_map(|related| match related.resource {
                Resource::Session(index) => Some(index),
                _ => None,
            })
            .collect();
        prop_assert_eq!(seen, expected);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Err(fault) = Reader::default().read(&bytes) {
            prop_assert!(usize::try_from(fault.offset).unwrap() <= bytes.len());
        }
    }

    #[test]
    fn a_changed_certificate_is_read_or_refused(
        which in 0_usize..800,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)
    ) {
        let corpus = CORPUS.get_or_init(|| ders("x509-zlint", "certs.csv.gz"));
        let mut der = corpus[which].1.clone();
        for (place, byte) in changes {
            let place = place.index(der.len());
            der[place] = byte;
        }
        match Reader::default().read(&der) {
            Ok(facts) => prop_assert!(facts.faults.iter().all(|fault| fault.offset as usize <= der.len())),
            Err(fault) => prop_assert!(fault.offset as usize <= der.len()),
        }
    }

    #[test]
    fn bundles_hold_what_was_put_in(
        blocks in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..80), 1_usize..70), 0..5)
    ) {
        let mut text = String::new();
        for (der, width) in &blocks {
            text += "-----BEGIN X-----\n";
            let base64 = base64::engine::general_purpose::STANDARD.encode(der);
            for line in base64.as_bytes().chunks(*width) {
                text += std::str::from_utf8(line).unwrap();
                text += "\r\n";
            }
            text += "-----END X-----\n";
        }
        let seen: Vec<Vec<u8>> = pem::blocks(&text).into_iter().map(|block| block.unwrap().der).collect();
        let expected: Vec<Vec<u8>> = blocks.into_iter().map(|(der, _)| der).collect();
        prop_assert_eq!(seen, expected);
    }
}

static CORPUS: std::sync::OnceLock<Vec<(String, Vec<u8>)>> = std::sync::OnceLock::new();
