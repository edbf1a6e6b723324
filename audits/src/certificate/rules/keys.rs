//! Keys that are weak, known or not allowed, and weak signatures.

use crate::certificate::check::CheckId;
use crate::certificate::facts::{Facts, Marks};
use crate::certificate::finding::Findings;
use crate::certificate::key::KeyAlgorithm;
use crate::certificate::rsa::Weakness;
use crate::certificate::run::Context;
use crate::certificate::view::{Registered, Resource};

/// Weaknesses in the order of the codes of the check.
const BROKEN: [Weakness; 5] = [
    Weakness::EVEN,
    Weakness::SMALL_FACTOR,
    Weakness::CLOSE_PRIMES,
    Weakness::STRUCTURED,
    Weakness::EXPONENT,
];

pub(crate) fn certificate(
    context: &Context<'_, '_>,
    resource: Resource,
    registered: &Registered,
    found: &mut Findings,
) {
    let facts = &registered.facts;
    quality(context, resource, facts, found);
    size(context, resource, facts, found);
    if context.runs(CheckId::KeyBroken) && !facts.key.weakness.is_empty() {
        for (code, _) in (0..).zip(BROKEN).filter(|(_, weakness)| facts.key.weakness.has(*weakness)) {
            found.add(CheckId::KeyBroken, code, resource, 0);
        }
    }
    if context.runs(CheckId::KeyExponent) && facts.key.algorithm.is_rsa() && facts.key.bits > 0 {
        match facts.key.exponent {
            exponent @ 2..65_537 => {
                found.add(CheckId::KeyExponent, 0, resource, i64::try_from(exponent).unwrap_or(i64::MAX));
            }
            exponent if exponent > u64::from(u32::MAX) => found.add(CheckId::KeyExponent, 1, resource, 0),
            _ => {}
        }
    }
    if context.runs(CheckId::KeyPublic) && context.view.weak_keys.is_public(&facts.spki_sha256) {
        found.add(CheckId::KeyPublic, 0, resource, 0);
    }
    let own_signature = matches!(resource, Resource::Authority(_)) && facts.marks.has(Marks::SELF_ISSUED);
    if context.runs(CheckId::SignatureWeak) && facts.signature.is_weak() && !own_signature {
        found.add(CheckId::SignatureWeak, 0, resource, 0);
    }
}

/// The check of AWS: the two CVEs and nothing else.
fn quality(context: &Context<'_, '_>, resource: Resource, facts: &Facts, found: &mut Findings) {
    let check = match resource {
        Resource::Authority(_) => CheckId::AuthorityKeyQuality,
        _ => CheckId::DeviceKeyQuality,
    };
    if !context.runs(check) || !facts.key.algorithm.is_rsa() {
        return;
    }
    if facts.key.weakness.has(Weakness::ROCA) {
        found.add(check, 0, resource, 0);
    }
    if context.view.weak_keys.is_debian(&facts.key.debian) {
        found.add(check, 1, resource, 0);
    }
}

fn size(context: &Context<'_, '_>, resource: Resource, facts: &Facts, found: &mut Findings) {
    let (key, parameters) = (&facts.key, context.parameters);
    let (code, min) = match key.algorithm {
        KeyAlgorithm::Rsa | KeyAlgorithm::RsaPss => (0, parameters.rsa_bits_min),
        KeyAlgorithm::Dsa | KeyAlgorithm::DiffieHellman => (2, parameters.rsa_bits_min),
        KeyAlgorithm::P192
        | KeyAlgorithm::P224
        | KeyAlgorithm::P256
        | KeyAlgorithm::P384
        | KeyAlgorithm::P521
        | KeyAlgorithm::Secp256k1
        | KeyAlgorithm::Brainpool
        | KeyAlgorithm::OtherCurve
        | KeyAlgorithm::ExplicitCurve => (1, parameters.ec_bits_min),
        // One size each, and no short one.
        KeyAlgorithm::Ed25519
        | KeyAlgorithm::Ed448
        | KeyAlgorithm::Montgomery
        | KeyAlgorithm::MlDsa
        | KeyAlgorithm::Unknown => (0, 0),
    };
    // Size 0 is a key whose inside cannot be read: an encoding fault.
    if context.runs(CheckId::KeyShort) && key.bits > 0 && u32::from(key.bits) < min {
        found.add(CheckId::KeyShort, code, resource, i64::from(key.bits));
    }
    if context.runs(CheckId::KeyAlgorithm) && !parameters.algorithms.contains(&key.algorithm) {
        let code = u8::from(key.algorithm == KeyAlgorithm::ExplicitCurve);
        found.add(CheckId::KeyAlgorithm, code, resource, 0);
    }
}

/// What the pass over all moduli found.
pub(crate) fn shared_primes(context: &Context<'_, '_>, found: &mut Findings) {
    let view = context.view;
    if !context.runs(CheckId::SharedPrime) {
        return;
    }
    let resource = |index: usize| u32::try_from(index).ok().map(Resource::Device);
    for shared in view.shared_primes {
        let Some(device) = resource(shared.index) else { continue };
        if !view.registered(device).is_some_and(|registered| registered.status.is_audited()) {
            continue;
        }
        let number = i64::try_from(shared.partners.len()).unwrap_or(i64::MAX);
        let code = u8::from(shared.is_small);
        let partners = shared.partners.iter().copied().filter_map(resource);
        found.add_with((CheckId::SharedPrime, code, device, number), partners);
    }
}
