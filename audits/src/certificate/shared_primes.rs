//! RSA moduli that share a prime, over the whole fleet (Bernstein, "How to find smooth parts of
//! integers", 2004; Heninger et al., "Mining your Ps and Qs", 2012).
//!
//! Devices that make keys at first boot with too little entropy get the same first prime; the
//! greatest common divisor of two moduli then is that prime, and both keys are broken. A product
//! tree and a remainder tree find all of them in one pass, in less than quadratic time. The
//! product of all primes below 65,536 goes along, so that small factors show as well.

use std::collections::BTreeMap;

use dashu_int::UBig;
use dashu_int::ops::Gcd as _;

/// Moduli of one pass at most. With 2,048 bits each of the 17 levels of the product tree then is 16 MiB,
/// and two levels of the remainder tree 32 MiB each. More are examined
/// in passes of this size, and two moduli in different passes are not compared (counted).
pub const MODULI_MAX: usize = 1 << 16;
/// Moduli with a factor in common that are compared pair by pair to name the partner at most.
const PAIRS_MAX: usize = 4096;

/// One modulus with a factor that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// Index of the modulus.
    pub index: usize,
    /// Whether the factor is a product of primes below 65,536 and no prime is shared.
    pub is_small: bool,
    /// Indices of moduli that share a larger prime; empty for a small factor, and where more than
    /// 4,096 moduli share primes.
    pub partners: Vec<usize>,
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Ascending by index.
    pub shared: Vec<Shared>,
    /// Distinct moduli that were examined.
    pub examined: usize,
    /// Passes; with more than one, moduli of different passes were not compared.
    pub passes: usize,
}

/// Examines big-endian `moduli`. Equal ones are examined once and never count as sharing: that
/// they are equal is another check. Zero, one and even moduli are left out.
#[must_use]
pub fn find(moduli: &[&[u8]]) -> Found {
    let mut indices: BTreeMap<&[u8], Vec<usize>> = BTreeMap::new();
    for (index, modulus) in moduli.iter().enumerate() {
        if modulus.len() > 1 && modulus.last().is_some_and(|byte| byte & 1 == 1) {
            indices.entry(modulus).or_default().push(index);
        }
    }
    let groups: Vec<(UBig, Vec<usize>)> =
        indices.into_iter().map(|(modulus, indices)| (UBig::from_be_bytes(modulus), indices)).collect();
    let mut found = Found { examined: groups.len(), ..Found::default() };
    for pass in groups.chunks(MODULI_MAX) {
        found.passes += 1;
        found.shared.extend(examine(pass));
    }
    found.shared.sort_by_key(|shared| shared.index);
    found
}

fn examine(pass: &[(UBig, Vec<usize>)]) -> Vec<Shared> {
    let small = small_primes();
    let mut leaves: Vec<UBig> = pass.iter().map(|(modulus, _)| modulus.clone()).collect();
    leaves.push(small.clone());
    let levels = product_tree(leaves);
    let rests = remainder_tree(&levels);
    // With z = product mod n², n shares a factor with the others exactly if gcd(n, z / n) is not 1.
    let factors: Vec<(usize, UBig)> = pass
        .iter()
        .zip(&rests)
        .enumerate()
        .map(|(index, ((modulus, _), rest))| (index, modulus.gcd(&(rest / modulus))))
        .filter(|(_, factor)| !factor.is_one())
        .map(|(index, factor)| (index, without(factor, &small)))
        .collect();
    let large: Vec<(usize, &UBig)> = factors
        .iter()
        .filter(|(_, factor)| !factor.is_one())
        .map(|(index, factor)| (*index, factor))
        .collect();
    let partners_named = large.len() <= PAIRS_MAX;
    let mut shared = Vec::new();
    for (index, factor) in &factors {
        let others = large.iter().filter(|(other, _)| partners_named && !factor.is_one() && other != index);
        let mut partners: Vec<usize> = others
            .filter(|(_, other)| !factor.gcd(*other).is_one())
            .filter_map(|(other, _)| pass.get(*other))
            .flat_map(|(_, indices)| indices.iter().copied())
            .collect();
        partners.sort_unstable();
        let indices = pass.get(*index).map_or(&[][..], |(_, indices)| indices);
        let is_small = factor.is_one();
        shared.extend(indices.iter().map(|index| Shared {
            index: *index,
            is_small,
            partners: partners.clone(),
        }));
    }
    shared
}

/// `number` without its factors in `primes`.
fn without(number: UBig, primes: &UBig) -> UBig {
    let mut rest = number;
    // Each turn takes a factor of three or more.
    loop {
        let common = (&rest).gcd(&(primes % &rest));
        if common.is_one() {
            return rest;
        }
        rest /= common;
    }
}

/// All products from the leaves to the root.
fn product_tree(leaves: Vec<UBig>) -> Vec<Vec<UBig>> {
    let mut levels = vec![leaves];
    while let Some(level) = levels.last().filter(|level| level.len() > 1) {
        let next = level
            .chunks(2)
            .map(|pair| match pair {
                [one, other] => one * other,
                rest => rest.iter().product(),
            })
            .collect();
        levels.push(next);
    }
    levels
}

/// The root modulo the square of each leaf.
fn remainder_tree(levels: &[Vec<UBig>]) -> Vec<UBig> {
    let mut above: Vec<UBig> = levels.last().cloned().unwrap_or_default();
    for level in levels.iter().rev().skip(1) {
        above = level
            .iter()
            .enumerate()
            .filter_map(|(index, node)| above.get(index / 2).map(|rest| rest % (node * node)))
            .collect();
    }
    above
}

/// Product of the primes from 3 to 65,521.
fn small_primes() -> UBig {
    let mut composite = vec![false; 1 << 16];
    let mut primes = Vec::new();
    for number in 2..composite.len() {
        if composite.get(number).copied().unwrap_or(true) {
            continue;
        }
        if number > 2 {
            primes.push(UBig::from(number));
        }
        composite.iter_mut().skip(number * number).step_by(number).for_each(|mark| *mark = true);
    }
    product_tree(primes).pop().and_then(|mut root| root.pop()).unwrap_or(UBig::ONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Primes of Mersenne.
    fn prime(power: usize) -> UBig {
        (UBig::ONE << power) - 1_u8
    }

    fn check(moduli: &[UBig], expected: &[(usize, &[usize])]) {
        let bytes: Vec<Vec<u8>> = moduli.iter().map(|modulus| modulus.to_be_bytes().to_vec()).collect();
        let found = find(&bytes.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let seen: Vec<(usize, &[usize])> =
            found.shared.iter().map(|shared| (shared.index, shared.partners.as_slice())).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn moduli_with_a_prime_in_common() {
        let (p, q, r, s, t) = (prime(521), prime(607), prime(1279), prime(2203), prime(2281));
        check(&[], &[]);
        check(&[&p * &q], &[]);
        check(&[&p * &q, &r * &s], &[]);
        check(&[&p * &q, &r * &s, &p * &t], &[(0, &[2]), (2, &[0])]);
        // Both primes of the first are shared: its gcd is the modulus itself.
        check(&[&p * &q, &p * &r, &q * &s], &[(0, &[1, 2]), (1, &[0]), (2, &[0])]);
    }

    #[test]
    fn equal_moduli_are_no_shared_prime() {
        let (p, q, r) = (prime(521), prime(607), prime(1279));
        check(&[&p * &q, &p * &q], &[]);
        check(&[&p * &q, &p * &q, &p * &r], &[(0, &[2]), (1, &[2]), (2, &[0, 1])]);
    }

    #[test]
    fn small_factors_show_without_a_partner() {
        let p = prime(521);
        check(&[&p * 65_521_u32, prime(607) * prime(1279)], &[(0, &[])]);
        check(&[&p * 65_537_u32], &[]);
    }

    #[test]
    fn what_is_no_modulus_is_left_out() {
        assert_eq!(find(&[b"", b"\x01", b"\x04\x00", b"\x06\x00"]), Found::default());
    }
}
