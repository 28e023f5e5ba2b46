//! RSA keys that a faulty chip made (CVE-2017-15361): whoever has the public key can compute the private one.

/// Primes with which the chip's library worked. A modulus that it made is a power of 65537 modulo each of them; of
/// other moduli, fewer than one in 2^27 are.
const PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109,
    113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

/// Whether the modulus, big-endian, has the mark of such a key.
pub fn is_marked(modulus: &[u8]) -> bool {
    PRIMES.iter().all(|prime| {
        let rest = modulus.iter().fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime);
        let mut power = 1;
        (0..*prime).any(|_| {
            power = power * 65537 % prime;
            power == rest
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_the_generator_are_marked_and_nothing_near_them_is() {
        let mut modulus = [0; 16];
        modulus[13..].copy_from_slice(&65537_u32.to_be_bytes()[1..]);
        assert!(is_marked(&modulus));
        modulus[15] = 3;
        assert!(!is_marked(&modulus) && !is_marked(&[]) && !is_marked(&[0; 256]));
    }
}
