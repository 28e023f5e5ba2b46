//! An issuer's keys: JSON Web Keys (RFC 7517), read once, and the signatures that they verify.
//!
//! A set may have keys for other purposes, which are passed over. A set that nobody should sign with is refused whole.

use super::json::Json;
use super::roca;
use super::token::{Algorithm, Token, decoded};
use super::verified::Verified;
use aws_lc_rs::signature::{self, ParsedPublicKey, VerificationAlgorithm};
use std::collections::HashSet;

const MOST_KEYS: usize = 64;
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// A token without a `kid` is tried with so many keys, so that nobody's guess costs more than that.
const MOST_TRIED: usize = 4;
/// Members of a private or a symmetric key.
const SECRET: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// A set of keys. Another set, even with the same keys, is another value with a memory of its own.
#[derive(Debug)]
pub struct Keys {
    keys: Box<[Key]>,
    verified: Verified,
}

#[derive(Debug)]
struct Key {
    kid: Option<Box<str>>,
    /// One for each algorithm that the issuer uses and the key allows.
    verifiers: Vec<Verifier>,
}

#[derive(Debug)]
struct Verifier {
    algorithm: Algorithm,
    key: ParsedPublicKey,
    /// Its own one in the set.
    number: u16,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Signature {
    Good,
    Bad,
    /// It is by a key that is not in the set, which may be because the set is older than the key.
    OfUnknownKey,
}

impl Keys {
    /// The error says what to change in the key set.
    pub fn read(values: &[Json], allowed: &[Algorithm]) -> Result<Keys, String> {
        if values.len() > MOST_KEYS {
            return Err(format!("it has more than {MOST_KEYS} keys"));
        }
        let mut kids = HashSet::new();
        let mut keys: Vec<Key> = Vec::new();
        let mut numbers = 0..;
        for value in values {
            if let Some(key) = key(value, allowed, &mut numbers)? {
                if key.kid.as_ref().is_some_and(|kid| !kids.insert(kid.clone())) {
                    return Err("two of its keys have the same kid".to_owned());
                }
                keys.push(key);
            }
        }
        if keys.is_empty() {
            return Err("it has no key that verifies a signature of its algorithms".to_owned());
        }
        Ok(Keys { keys: keys.into(), verified: Verified::default() })
    }

    /// A `kid` names its key. Without one, the keys that fit are tried.
    pub fn verify(&self, token: &Token) -> Signature {
        let signed_by = |verifier: &Verifier| self.is_signed_by(verifier, token);
        let fitting = |key: &'_ Key| key.verifiers.iter().position(|each| each.algorithm == token.algorithm);
        let good = match &token.kid {
            Some(kid) => {
                let Some(key) = self.keys.iter().find(|key| key.kid.as_ref() == Some(kid)) else {
                    return Signature::OfUnknownKey;
                };
                fitting(key).is_some_and(|at| signed_by(&key.verifiers[at]))
            }
            None => {
                let tried = self.keys.iter().filter_map(|key| fitting(key).map(|at| &key.verifiers[at]));
                tried.take(MOST_TRIED).any(signed_by)
            }
        };
        if good { Signature::Good } else { Signature::Bad }
    }

    /// Only a good signature is remembered.
    fn is_signed_by(&self, verifier: &Verifier, token: &Token) -> bool {
        if self.verified.has(token.digest(), verifier.number) {
            return true;
        }
        let good = verifier.key.verify_sig(token.signed, &token.signature).is_ok();
        if good {
            self.verified.remember(*token.digest(), verifier.number);
        }
        good
    }

    /// How many tokens are remembered.
    #[cfg(test)]
    pub fn remembered(&self) -> usize {
        self.verified.count()
    }
}

/// None: the key is for something else.
fn key(value: &Json, allowed: &[Algorithm], numbers: &mut impl Iterator<Item = u16>) -> Result<Option<Key>, String> {
    if !matches!(value, Json::Object(_)) {
        return Err("a key is no object".to_owned());
    }
    let text = |name: &str| match value.get(name) {
        None => Ok(None),
        Some(it) => it.text().map(Some).ok_or_else(|| format!("a key's {name} is no text")),
    };
    let kid = text("kid")?;
    let named = || kid.map_or_else(|| "a key without a kid".to_owned(), |kid| format!("key {kid:?}"));
    if let Some(member) = SECRET.iter().find(|member| value.get(member).is_some()) {
        return Err(format!("{} has the member {member}, so it is private or symmetric", named()));
    }
    let verifies = match value.get("key_ops") {
        None => true,
        Some(Json::List(operations)) => operations.iter().any(|each| each.text() == Some("verify")),
        Some(_) => false,
    };
    let kind = (text("kty")?.unwrap_or_default(), text("crv")?.unwrap_or_default());
    let own = match text("alg")? {
        None => None,
        Some(name) => match Algorithm::named(name) {
            Some(algorithm) => Some(algorithm),
            None => return Ok(None),
        },
    };
    let used = |algorithm: &Algorithm| {
        suits(*algorithm, kind) && allowed.contains(algorithm) && own.is_none_or(|own| own == *algorithm)
    };
    let algorithms: Vec<_> = Algorithm::ALL.into_iter().filter(used).collect();
    if !verifies || text("use")?.is_some_and(|purpose| purpose != "sig") || algorithms.is_empty() {
        return Ok(None);
    }
    let public = public(value, kind.0).ok_or_else(|| {
        format!(
            "{} is unusable: RSA keys have {} to {} bits, others lie on their curve",
            named(),
            RSA_BITS.start(),
            RSA_BITS.end()
        )
    })?;
    let parsed = |(algorithm, number)| {
        ParsedPublicKey::new(verifier(algorithm), &public).map(|key| Verifier { algorithm, key, number })
    };
    let verifiers = algorithms.into_iter().zip(numbers).map(parsed).collect::<Result<_, _>>();
    let verifiers = verifiers.map_err(|_| format!("{} is unusable: it is no point of its curve", named()))?;
    Ok(Some(Key { kid: kid.map(Into::into), verifiers }))
}

/// RFC 7518 and RFC 8037: which algorithms a key of this type and curve has.
fn suits(algorithm: Algorithm, (kty, crv): (&str, &str)) -> bool {
    match algorithm {
        Algorithm::ES256 => (kty, crv) == ("EC", "P-256"),
        Algorithm::ES384 => (kty, crv) == ("EC", "P-384"),
        Algorithm::ES512 => (kty, crv) == ("EC", "P-521"),
        Algorithm::EdDSA => (kty, crv) == ("OKP", "Ed25519"),
        _ => kty == "RSA",
    }
}

fn verifier(algorithm: Algorithm) -> &'static dyn VerificationAlgorithm {
    match algorithm {
        Algorithm::RS256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::RS384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RS512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::PS256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::PS384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::PS512 => &signature::RSA_PSS_2048_8192_SHA512,
        Algorithm::ES256 => &signature::ECDSA_P256_SHA256_FIXED,
        Algorithm::ES384 => &signature::ECDSA_P384_SHA384_FIXED,
        Algorithm::ES512 => &signature::ECDSA_P521_SHA512_FIXED,
        Algorithm::EdDSA => &signature::ED25519,
    }
}

/// The public key in the form that `ParsedPublicKey` takes.
fn public(value: &Json, kty: &str) -> Option<Vec<u8>> {
    let number = |name: &str| decoded(value.get(name)?.text()?);
    match kty {
        "RSA" => rsa(&number("n")?, &number("e")?),
        "EC" => {
            let (x, y) = (number("x")?, number("y")?);
            (x.len() == y.len()).then(|| [&[4], &*x, &*y].concat())
        }
        _ => number("x").filter(|x| x.len() == 32),
    }
}

fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<Vec<u8>> {
    let (modulus, exponent) = (without_zeros(modulus), without_zeros(exponent));
    let bits = (modulus.len() * 8).saturating_sub(modulus.first()?.leading_zeros() as usize);
    let odd_and_not_one = exponent.last()? % 2 == 1 && exponent != [1] && exponent.len() <= 4;
    if !RSA_BITS.contains(&bits) || !odd_and_not_one || roca::is_marked(modulus) {
        return None;
    }
    let integer = |value: &[u8]| der(2, &[if value[0] < 128 { &[][..] } else { &[0] }, value].concat());
    Some(der(48, &[integer(modulus), integer(exponent)].concat()))
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

/// A value in DER, of at most 64 KiB.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = (content.len() as u16).to_be_bytes();
    let start = match content.len() {
        0..128 => vec![tag, low],
        128..256 => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [&start, content].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::signer::Signer;

    fn keys(texts: &[&str]) -> Result<Keys, String> {
        let values: Vec<_> = texts.iter().map(|text| Json::read(text.as_bytes()).unwrap()).collect();
        Keys::read(&values, &Algorithm::ALL)
    }

    fn verify(keys: &Keys, text: &str) -> Signature {
        keys.verify(&Token::read(text.as_bytes()).unwrap())
    }

    #[test]
    fn a_kid_names_its_key_and_without_one_those_that_fit_are_tried() {
        let signers: Vec<_> = (0..6).map(|_| Signer::new()).collect();
        let named: Vec<_> = signers.iter().zip(0..).map(|(it, n)| it.jwk(&format!(r#", "kid": "k{n}""#))).collect();
        let keys = keys(&named.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        let sign = |at: usize, more: &str| signers[at].sign(&format!(r#"{{"alg": "ES256"{more}}}"#), "{}");
        assert_eq!(verify(&keys, &sign(0, r#", "kid": "k0""#)), Signature::Good);
        assert_eq!(verify(&keys, &sign(1, r#", "kid": "k0""#)), Signature::Bad);
        assert_eq!(verify(&keys, &sign(0, r#", "kid": "k9""#)), Signature::OfUnknownKey);
        assert_eq!(verify(&keys, &sign(0, r#", "kid": """#)), Signature::OfUnknownKey);
        assert_eq!(verify(&keys, &sign(MOST_TRIED - 1, "")), Signature::Good);
        assert_eq!(verify(&keys, &sign(MOST_TRIED, "")), Signature::Bad);
        for algorithm in ["ES384", "RS256", "PS256", "EdDSA"] {
            let other = signers[0].sign(&format!(r#"{{"alg": "{algorithm}", "kid": "k0"}}"#), "{}");
            assert_eq!(verify(&keys, &other), Signature::Bad, "{algorithm}");
        }
    }

    #[test]
    fn a_key_verifies_only_what_the_issuer_and_it_itself_allow() {
        let signer = Signer::new();
        let token = signer.sign(r#"{"alg": "ES256"}"#, "{}");
        let plain = signer.jwk("");
        let values = [Json::read(plain.as_bytes()).unwrap()];
        assert_eq!(verify(&Keys::read(&values, &[Algorithm::ES256]).unwrap(), &token), Signature::Good);
        assert!(Keys::read(&values, &[Algorithm::RS256, Algorithm::ES384]).is_err());
        for good in [r#", "use": "sig""#, r#", "alg": "ES256""#, r#", "key_ops": ["verify"]"#, r#", "x5t": "a""#] {
            assert_eq!(verify(&keys(&[&signer.jwk(good)]).unwrap(), &token), Signature::Good, "{good}");
        }
        for passed in [r#", "use": "enc""#, r#", "alg": "ES384""#, r#", "alg": "ECDH-ES""#, r#", "key_ops": ["sign"]"#]
        {
            let other = Signer::new().jwk("");
            assert!(keys(&[&signer.jwk(passed)]).is_err());
            assert_eq!(verify(&keys(&[&signer.jwk(passed), &other]).unwrap(), &token), Signature::Bad, "{passed}");
        }
    }

    #[test]
    fn a_signature_is_remembered_for_its_key_and_for_all_bytes_of_its_token() {
        let (first, second) = (Signer::new(), Signer::new());
        let keys = keys(&[&first.jwk(""), &second.jwk("")]).unwrap();
        let token = second.sign(r#"{"alg": "ES256"}"#, "{}");
        let has = |text: &str, verifier| keys.verified.has(Token::read(text.as_bytes()).unwrap().digest(), verifier);
        for _ in 0..2 {
            assert_eq!(verify(&keys, &token), Signature::Good);
            assert!(has(&token, 1) && !has(&token, 0) && keys.remembered() == 1);
        }
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let again = second.sign(r#"{"alg": "ES256"}"#, "{}");
        let (signed_again, another) = again.rsplit_once('.').unwrap();
        assert!(signed == signed_again && signature != another, "ECDSA signs with a random number");
        assert!(!has(&again, 1));
        let of = |by: &Signer, payload| by.sign(r#"{"alg": "ES256"}"#, payload);
        let (other_payload, by_other) = (of(&second, "[]"), of(&Signer::new(), "{}"));
        for forged in [
            format!("{signed}.{}", by_other.rsplit_once('.').unwrap().1),
            format!("{signed}.{}", other_payload.rsplit_once('.').unwrap().1),
            format!("{signed}.{}", "A".repeat(86)),
            format!("{}.{signature}", other_payload.rsplit_once('.').unwrap().0),
        ] {
            assert_eq!(verify(&keys, &forged), Signature::Bad, "{forged}");
        }
        assert_eq!(keys.remembered(), 1);
    }

    #[test]
    fn strangers_push_nothing_out() {
        let (signer, stranger) = (Signer::new(), Signer::new());
        let keys = keys(&[&signer.jwk(r#", "kid": "k""#)]).unwrap();
        let header = r#"{"alg": "ES256", "kid": "k"}"#;
        assert_eq!(verify(&keys, &signer.sign(header, "{}")), Signature::Good);
        for number in 0..3_000 {
            assert_eq!(verify(&keys, &stranger.sign(header, &number.to_string())), Signature::Bad);
        }
        assert_eq!(keys.remembered(), 1);
    }

    #[test]
    fn a_set_that_nobody_should_sign_with_is_refused_whole() {
        let good = Signer::new().jwk(r#", "kid": "k""#);
        for (bad, said) in [
            (good.replace("\"kty\"", "\"d\": \"AA\", \"kty\""), "private"),
            (r#"{"kty": "oct", "k": "AAAA", "alg": "HS256"}"#.to_owned(), "symmetric"),
            (good.clone(), "same kid"),
            (good.replace("\"k\"", "7"), "no text"),
            (good.replace("\"x\": \"", "\"x\": \"AAAA").replace("\"k\"", "\"l\""), "curve"),
            (r#"{"kty": "RSA", "n": "AQAB", "e": "AQAB"}"#.to_owned(), "2048"),
            ("17".to_owned(), "object"),
        ] {
            let error = keys(&[&good, &bad]).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
        assert!(keys(&[]).is_err());
    }
}
