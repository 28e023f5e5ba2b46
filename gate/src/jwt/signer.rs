//! An issuer for the tests: signs with a P-256 key of its own.

use super::token::tests::encoded;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};

pub struct Signer(EcdsaKeyPair);

impl Signer {
    pub fn new() -> Signer {
        Signer(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    /// `more`: further members, each after a comma.
    pub fn jwk(&self, more: &str) -> String {
        let point = self.0.public_key().as_ref();
        let (x, y) = (encoded(&point[1..33]), encoded(&point[33..]));
        format!(r#"{{"kty": "EC", "crv": "P-256", "x": "{x}", "y": "{y}"{more}}}"#)
    }

    pub fn sign(&self, header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", encoded(header), encoded(payload));
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", encoded(signature))
    }
}
