//! What an RSA public key gives away by itself: factors that are easy to find, and how it was made.
//!
//! # What is looked for
//! - modulus that is even, or has a prime factor below 752 (the bound of NIST SP 800-89, section 5.3.3),
//! - primes so close that Fermat's method finds them in [`FERMAT_STEPS`] steps
//!   (de Weger, "Cryptanalysis of RSA with small prime difference", 2002; CVE-2022-26320),
//! - the fingerprint of Infineon's RSALib (Nemec et al., "The Return of Coppersmith's Attack", 2017;
//!   CVE-2017-15361): modulo each of 17 primes the modulus is a power of 65537
//!   (`device-defender-audit.md`, section 5; a random modulus passes with a chance of 4e-9),
//! - a modulus most of whose 32-bit words begin with zeros, as a polynomial with small coefficients
//!   or a counter has (chance of a random 2048-bit modulus: below 1e-19),
//! - exponents 1, even, or not below the modulus, with which the key protects nothing.
//!
//! Larger small factors and primes shared with other keys take the whole fleet: `shared_primes`.

use std::sync::LazyLock;

use dashu_int::UBig;
use dashu_int::ops::SquareRoot as _;

/// Steps of Fermat's method.
pub const FERMAT_STEPS: u64 = 100;
/// A larger modulus is not examined (and is reported as a fault of the encoding).
pub(crate) const MODULUS_BYTES_MAX: usize = 2048;

/// Primes below this are tried as factors.
const SMALL_PRIMES_END: u32 = 752;
/// Words of 32 bits whose sum of products with residues below 2^26 fits 64 bits.
const CHUNK: usize = 64;
const GROUP_END: u64 = 1 << 26;
/// Words with twelve leading zero bits from which on a modulus counts as structured.
const SPARSE_WORDS: usize = 8;

/// Defects of a key, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weakness(u16);

impl Weakness {
    /// Modulus is zero, one or even.
    pub const EVEN: Self = Self(1);
    /// Modulus has a prime factor below 752.
    pub const SMALL_FACTOR: Self = Self(1 << 1);
    /// Fermat's method factors the modulus.
    pub const CLOSE_PRIMES: Self = Self(1 << 2);
    /// Fingerprint of CVE-2017-15361.
    pub const ROCA: Self = Self(1 << 3);
    /// Modulus of small coefficients.
    pub const STRUCTURED: Self = Self(1 << 4);
    /// Exponent is one, even, or not below the modulus.
    pub const EXPONENT: Self = Self(1 << 5);

    /// Whether all of `other` are among these.
    #[must_use]
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn add(&mut self, other: Self, present: bool) {
        if present {
            self.0 |= other.0;
        }
    }
}

/// All defects of the key with `modulus` and `exponent`, both big-endian without leading zeros.
pub(crate) fn weaknesses(modulus: &[u8], exponent: &[u8]) -> Weakness {
    let mut weak = Weakness::default();
    let even = |number: &[u8]| number.last().is_none_or(|byte| byte & 1 == 0);
    let exponent_useless = even(exponent)
        || matches!(exponent, [] | [1])
        || (exponent.len(), exponent) >= (modulus.len(), modulus);
    weak.add(Weakness::EXPONENT, exponent_useless);
    if even(modulus) || matches!(modulus, [1]) {
        weak.add(Weakness::EVEN, true);
        return weak;
    }
    let mut words = [0; MODULUS_BYTES_MAX / 4];
    let Some(words) = little_endian_words(modulus, &mut words) else { return weak };
    let (factor, roca) = residues(words);
    weak.add(Weakness::SMALL_FACTOR, factor);
    weak.add(Weakness::ROCA, roca);
    let sparse = words.iter().rev().skip(1).filter(|word| **word >> 20 == 0).count();
    weak.add(Weakness::STRUCTURED, sparse >= SPARSE_WORDS);
    weak.add(Weakness::CLOSE_PRIMES, has_close_primes(&UBig::from_be_bytes(modulus)));
    weak
}

fn little_endian_words<'a>(bytes: &[u8], words: &'a mut [u32]) -> Option<&'a [u32]> {
    let count = bytes.len().div_ceil(4);
    let words = words.get_mut(..count)?;
    for (word, four) in words.iter_mut().zip(bytes.rchunks(4)) {
        *word = four.iter().fold(0, |word, byte| word << 8 | u32::from(*byte));
    }
    Some(words)
}

/// A few small primes whose product stays below 2^26, and the powers of 2^32 modulo that product.
struct Group {
    product: u64,
    /// 2^(32 i) for i in 0..64.
    powers: [u32; CHUNK],
    /// 2^2048.
    chunk: u64,
    primes: Vec<Prime>,
}

struct Prime {
    prime: u32,
    /// For the primes of the ROCA fingerprint: bit r is set if r is a power of 65537 modulo the prime.
    powers_of_65537: Option<[u64; 3]>,
}

const ROCA_PRIMES: [u32; 17] = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];

static GROUPS: LazyLock<Vec<Group>> = LazyLock::new(|| {
    let primes = (3..SMALL_PRIMES_END).filter(|n| (2..*n).take_while(|d| d * d <= *n).all(|d| n % d != 0));
    let mut groups: Vec<Vec<Prime>> = Vec::new();
    let mut product = GROUP_END;
    for prime in primes {
        if product * u64::from(prime) >= GROUP_END {
            groups.push(Vec::new());
            product = 1;
        }
        product *= u64::from(prime);
        let powers_of_65537 = ROCA_PRIMES.contains(&prime).then(|| powers_of_65537(prime));
        groups.last_mut().into_iter().for_each(|group| group.push(Prime { prime, powers_of_65537 }));
    }
    groups.into_iter().map(group).collect()
});

#[expect(clippy::cast_possible_truncation, reason = "residues modulo a product below 2^26")]
fn group(primes: Vec<Prime>) -> Group {
    let product = primes.iter().map(|prime| u64::from(prime.prime)).product();
    let mut powers = [0; CHUNK];
    let mut power = 1 % product;
    for slot in &mut powers {
        *slot = power as u32;
        power = (power << 32) % product;
    }
    Group { product, powers, chunk: power, primes }
}

fn powers_of_65537(prime: u32) -> [u64; 3] {
    let mut mask = [0_u64; 3];
    let mut power = 1;
    for _ in 1..prime {
        if let Some(word) = mask.get_mut((power / 64) as usize) {
            *word |= 1 << (power % 64);
        }
        power = power * (65_537 % prime) % prime;
    }
    mask
}

/// Whether a small prime divides the number, and whether it carries the ROCA fingerprint.
fn residues(words: &[u32]) -> (bool, bool) {
    let mut factor = false;
    let mut roca = true;
    for group in GROUPS.iter() {
        let rest = group.rest(words);
        for prime in &group.primes {
            let residue = rest % prime.prime;
            factor |= residue == 0;
            if let Some(mask) = prime.powers_of_65537.filter(|_| roca) {
                roca = mask.get((residue / 64) as usize).is_some_and(|word| word >> (residue % 64) & 1 == 1);
            }
        }
    }
    (factor, roca)
}

impl Group {
    /// The number modulo the product.
    #[expect(clippy::cast_possible_truncation, reason = "a residue modulo a product below 2^26")]
    fn rest(&self, words: &[u32]) -> u32 {
        let mut rest = 0;
        for chunk in words.chunks(CHUNK).rev() {
            // 64 products below 2^32 * 2^26 stay below 2^64.
            let sum: u64 = chunk
                .iter()
                .zip(&self.powers)
                .map(|(word, power)| u64::from(*word) * u64::from(*power))
                .sum();
            rest = (rest * self.chunk + sum % self.product) % self.product;
        }
        rest as u32
    }
}

/// Fermat: looks for a with a² - n = b², from the root of n upwards; then n = (a - b)(a + b).
fn has_close_primes(modulus: &UBig) -> bool {
    let root = modulus.sqrt();
    if &root * &root == *modulus {
        return true;
    }
    let base = root + 1_u8;
    let (base_rest, modulus_rest) = (&base % SQUARES_MODULUS, modulus % SQUARES_MODULUS);
    (0..FERMAT_STEPS).any(|step| {
        let a = (u64::from(base_rest) + step) % u64::from(SQUARES_MODULUS);
        let rest = (a * a + u64::from(SQUARES_MODULUS - modulus_rest)) % u64::from(SQUARES_MODULUS);
        may_be_square(rest) && {
            let a = &base + step;
            let square = &a * &a - modulus;
            let b = square.sqrt();
            &b * &b == square
        }
    })
}

/// Squares are rare modulo these: one number in 120 is a square modulo all four.
const SQUARES_MODULI: [u32; 4] = [64, 63, 65, 11];
const SQUARES_MODULUS: u32 = 64 * 63 * 65 * 11;

static SQUARES: LazyLock<[u128; 4]> = LazyLock::new(|| {
    SQUARES_MODULI.map(|modulus| (0..modulus).fold(0, |mask, root| mask | 1 << (root * root % modulus)))
});

fn may_be_square(rest: u64) -> bool {
    SQUARES_MODULI
        .iter()
        .zip(SQUARES.iter())
        .all(|(modulus, mask)| mask >> (rest % u64::from(*modulus)) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(number: &UBig) -> Vec<u8> {
        number.to_be_bytes().to_vec()
    }

    fn weak(modulus: &UBig) -> Weakness {
        weaknesses(&bytes(modulus), &[1, 0, 1])
    }

    /// 2^521 - 1 and 2^607 - 1, primes of Mersenne.
    fn mersenne(power: usize) -> UBig {
        (UBig::ONE << power) - 1_u8
    }

    #[test]
    fn residues_agree_with_division() {
        let number = UBig::from_be_bytes(&(0..1000_u32).map(|i| (i * 37 % 251) as u8).collect::<Vec<_>>());
        let mut words = [0; 512];
        let words = little_endian_words(&bytes(&number), &mut words).unwrap();
        for group in GROUPS.iter() {
            assert_eq!(u64::from(group.rest(words)), &number % group.product);
        }
        let primes: Vec<u32> =
            GROUPS.iter().flat_map(|group| group.primes.iter().map(|prime| prime.prime)).collect();
        assert_eq!((primes.len(), primes.first(), primes.last()), (132, Some(&3), Some(&751)));
    }

    #[test]
    fn the_fingerprint_has_the_published_orders() {
        let orders =
            ROCA_PRIMES.map(|prime| powers_of_65537(prime).iter().map(|word| word.count_ones()).sum::<u32>());
        assert_eq!(orders, [2, 6, 8, 9, 3, 26, 20, 35, 24, 13, 6, 51, 53, 54, 42, 50, 78]);
    }

    #[test]
    fn a_power_of_65537_carries_the_fingerprint() {
        let power = UBig::from(65_537_u32).pow(64);
        assert!(weak(&power).has(Weakness::ROCA));
        assert!(!weak(&(power + 2_u8)).has(Weakness::ROCA));
    }

    #[test]
    fn small_factors_on_both_sides_of_the_bound() {
        let (p, q) = (mersenne(521), mersenne(607));
        assert!(weak(&(&p * 751_u32)).has(Weakness::SMALL_FACTOR));
        assert!(!weak(&(&p * 757_u32)).has(Weakness::SMALL_FACTOR));
        assert!(weak(&(&p * &q * 3_u8)).has(Weakness::SMALL_FACTOR));
        assert!(!weak(&(&p * &q)).has(Weakness::SMALL_FACTOR));
    }

    #[test]
    fn fermat_on_both_sides_of_the_bound() {
        // n = a² - b² with a root of n that lies `steps` below a.
        let factored = |steps: u64| {
            let b = UBig::ONE << 300;
            let mut a = (&b * &b) / (2 * (steps + 1));
            a |= UBig::ONE;
            let n = (&a - &b) * (&a + &b);
            let found = &a - n.sqrt() - 1_u8;
            (u64::try_from(found).unwrap(), has_close_primes(&n))
        };
        assert!(has_close_primes(&(mersenne(521) * mersenne(521))));
        assert_eq!(factored(0), (0, true));
        let (steps, found) = factored(98);
        assert!(steps < FERMAT_STEPS && found, "{steps}");
        let (steps, found) = factored(120);
        assert!(steps >= FERMAT_STEPS && !found, "{steps}");
    }

    #[test]
    fn exponents() {
        let modulus = bytes(&(mersenne(521) * mersenne(607)));
        let larger = [&[1], &modulus[..]].concat();
        for (exponent, expected) in [
            (&[][..], true),
            (&[1], true),
            (&[2], true),
            (&[3], false),
            (&[1, 0, 1], false),
            (&modulus, true),
            (&larger, true),
        ] {
            assert_eq!(weaknesses(&modulus, exponent).has(Weakness::EXPONENT), expected, "{exponent:02x?}");
        }
    }

    #[test]
    fn empty_one_and_even_moduli() {
        for modulus in [&[][..], &[1], &[2], &[0x80, 0]] {
            assert!(weaknesses(modulus, &[1, 0, 1]).has(Weakness::EVEN), "{modulus:02x?}");
        }
    }

    #[test]
    fn structured_moduli() {
        let sparse = (UBig::ONE << 2047) + 1_u8;
        assert!(weak(&sparse).has(Weakness::STRUCTURED));
        // 2,048 bits of a generator, as good as random for this.
        let mut state = 1_u32;
        let random: Vec<u8> = (0..256)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8 | 1
            })
            .collect();
        assert!(!weaknesses(&random, &[1, 0, 1]).has(Weakness::STRUCTURED));
    }
}
