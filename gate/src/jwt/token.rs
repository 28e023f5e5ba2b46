//! A token in its compact form (RFC 7515): three segments of base64url, a header that says how it is signed, a payload.

use super::json::Json;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};
use sha2::{Digest, Sha256};
use std::cell::OnceCell;

/// The longest token, in bytes.
pub const LONGEST: usize = 16 * 1024;
const LONGEST_KID: usize = 512;

/// Members of a header that change what the rest means, or offer a key. Nothing that we accept needs them.
///
/// `crit` and `b64` (RFC 7797) name extensions. `zip`, `enc` and `cty` belong to encrypted and nested tokens. The
/// others bring a key or say where one lies; a DPoP proof has one as well, and is no token.
const REFUSED: [&str; 9] = ["crit", "b64", "zip", "enc", "cty", "jwk", "jku", "x5u", "x5c"];

/// How a token may be signed. There is no `none`, and nothing with a shared secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    ES512,
    EdDSA,
}

impl Algorithm {
    pub const ALL: [Algorithm; 10] = [
        Algorithm::RS256,
        Algorithm::RS384,
        Algorithm::RS512,
        Algorithm::PS256,
        Algorithm::PS384,
        Algorithm::PS512,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::ES512,
        Algorithm::EdDSA,
    ];

    /// Case counts, so that `nOnE` and `rs256` are nothing.
    pub fn named(name: &str) -> Option<Algorithm> {
        let name: StrDeserializer<Error> = name.into_deserializer();
        Algorithm::deserialize(name).ok()
    }
}

/// A token that was taken apart. Nothing of it is proved.
#[derive(Debug)]
pub struct Token<'a> {
    pub algorithm: Algorithm,
    pub kid: Option<Box<str>>,
    pub typ: Option<Box<str>>,
    /// Header and payload as they were signed.
    pub signed: &'a [u8],
    pub payload: Vec<u8>,
    pub signature: Vec<u8>,
    text: &'a [u8],
    digest: OnceCell<[u8; 32]>,
}

impl Token<'_> {
    /// None: this is no token that could ever be accepted.
    pub fn read(text: &[u8]) -> Option<Token<'_>> {
        if text.len() > LONGEST {
            return None;
        }
        let mut segments = text.split(|byte| *byte == b'.');
        let (header, payload, signature) = (segments.next()?, segments.next()?, segments.next()?);
        if segments.next().is_some() {
            return None;
        }
        let bytes = decoded(header)?;
        let header_members = Json::read(&bytes)?;
        if REFUSED.iter().any(|name| header_members.get(name).is_some()) {
            return None;
        }
        let signature = decoded(signature).filter(|it| !it.is_empty())?;
        Some(Token {
            algorithm: Algorithm::named(header_members.get("alg")?.text()?)?,
            kid: text_if_there(&header_members, "kid")?,
            typ: text_if_there(&header_members, "typ")?,
            signed: &text[..header.len() + 1 + payload.len()],
            payload: decoded(payload)?,
            signature,
            text,
            digest: OnceCell::new(),
        })
    }

    /// The SHA-256 of the whole token, as it came.
    pub fn digest(&self) -> &[u8; 32] {
        self.digest.get_or_init(|| Sha256::digest(self.text).into())
    }

    /// Whether `typ` is this media type. Case does not count, nor does `application/` (RFC 7515, 4.1.9).
    pub fn is_of_type(&self, wanted: &str) -> bool {
        self.typ.as_deref().is_some_and(|typ| short(typ).eq_ignore_ascii_case(short(wanted)))
    }
}

/// Without `application/`, which may be left out if no other slash follows.
fn short(media_type: &str) -> &str {
    const PREFIX: &str = "application/";
    match media_type.split_at_checked(PREFIX.len()) {
        Some((start, rest)) if start.eq_ignore_ascii_case(PREFIX) && !rest.contains('/') => rest,
        _ => media_type,
    }
}

/// The outer None: it is there and no proper text.
#[allow(clippy::option_option, reason = "absent and wrong are different answers")]
fn text_if_there(header: &Json, name: &str) -> Option<Option<Box<str>>> {
    match header.get(name) {
        None => Some(None),
        Some(value) => value.text().filter(|text| text.len() <= LONGEST_KID).map(|text| Some(text.into())),
    }
}

/// base64url without padding; bits that are left over at the end have to be 0, so that there is one spelling.
pub fn decoded(segment: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(segment).ok()
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use proptest::prelude::*;

    pub fn encoded(bytes: impl AsRef<[u8]>) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn read(header: &str, payload: &str) -> Option<Algorithm> {
        let text = format!("{}.{}.AAAA", encoded(header), encoded(payload));
        Token::read(text.as_bytes()).map(|token| token.algorithm)
    }

    #[test]
    fn a_token_is_taken_apart() {
        let text = format!("{}.{}.AAAA", encoded(r#"{"alg": "ES256", "kid": "k", "typ": "at+jwt"}"#), encoded("{}"));
        let token = Token::read(text.as_bytes()).unwrap();
        assert_eq!((token.algorithm, token.kid.as_deref()), (Algorithm::ES256, Some("k")));
        assert_eq!(token.signed, text.strip_suffix(".AAAA").unwrap().as_bytes());
        assert_eq!((&*token.payload, &*token.signature), (&b"{}"[..], &[0, 0, 0][..]));
        assert_eq!(read(r#"{"alg": "EdDSA", "x5t": "a", "nonce": "b"}"#, ""), Some(Algorithm::EdDSA));
    }

    #[test]
    fn headers_that_are_not_plain_are_refused() {
        for header in [
            r#"{"alg": "none"}"#,
            r#"{"alg": "nOnE"}"#,
            r#"{"alg": ""}"#,
            r#"{"alg": "HS256"}"#,
            r#"{"alg": "rs256"}"#,
            r#"{"alg": "ES256K"}"#,
            r#"{"alg": ["RS256"]}"#,
            r#"{"alg": "RS256", "alg": "RS256"}"#,
            r#"{"kid": "k"}"#,
            r#"{"alg": "RS256", "crit": ["exp"]}"#,
            r#"{"alg": "RS256", "crit": []}"#,
            r#"{"alg": "RS256", "b64": false, "crit": ["b64"]}"#,
            r#"{"alg": "RS256", "b64": true}"#,
            r#"{"alg": "RS256", "zip": "DEF"}"#,
            r#"{"alg": "RS256", "enc": "A256GCM"}"#,
            r#"{"alg": "RS256", "cty": "JWT"}"#,
            r#"{"alg": "RS256", "jwk": {}}"#,
            r#"{"alg": "RS256", "jku": "https://x"}"#,
            r#"{"alg": "RS256", "x5u": "https://x"}"#,
            r#"{"alg": "RS256", "x5c": ["x"]}"#,
            r#"{"alg": "RS256", "kid": ["k"]}"#,
            r#"{"alg": "RS256", "kid": 1}"#,
            r#"{"alg": "RS256", "kid": null}"#,
            r#"{"alg": "RS256", "typ": 1}"#,
            r#"["RS256"]"#,
            "",
        ] {
            assert_eq!(read(header, "{}"), None, "{header}");
        }
        let long = |length: usize| format!(r#"{{"alg": "RS256", "kid": "{}"}}"#, "k".repeat(length));
        assert!(read(&long(512), "{}").is_some() && read(&long(513), "{}").is_none());
    }

    #[test]
    fn there_is_one_spelling_of_a_token_and_a_longest_one() {
        let good = format!("{}.{}.AAA", encoded(r#"{"alg": "RS256"}"#), encoded("{} "));
        let (header, rest) = good.split_once('.').unwrap();
        let read = |text: &str| Token::read(text.as_bytes()).is_some();
        assert!(read(&good));
        assert!(!read(&format!("{header}.{rest}=")) && !read(&format!("{header}=.{rest}")));
        assert!(!read(&good.replace("AAA", "AAB")), "bits left over");
        assert!(!read(&good.replace("AAA", "A+A")) && !read(&good.replace("AAA", "A/A")));
        assert!(!read(&good.replace("AAA", "A A")) && !read(&good.replace("AAA", "A\nA")));
        assert!(!read(&good.replace("AAA", "")) && !read(&format!("{good}.")) && !read(header) && !read(".."));
        let of = |length: usize| {
            let start = format!("{header}.AAAA.");
            format!("{start}{}", "A".repeat(length - start.len()))
        };
        let longest = (0..4).map(|less| LONGEST - less).find(|length| read(&of(*length)));
        assert!(longest.is_some() && (1..5).all(|more| !read(&of(LONGEST + more))));
    }

    #[test]
    fn a_type_is_compared_as_a_media_type() {
        let of = |typ: &str| Token {
            algorithm: Algorithm::RS256,
            kid: None,
            typ: Some(typ.into()),
            signed: b"",
            payload: vec![],
            signature: vec![],
            text: b"",
            digest: OnceCell::new(),
        };
        for (typ, wanted, expected) in [
            ("at+jwt", "at+jwt", true),
            ("AT+JWT", "at+jwt", true),
            ("application/at+jwt", "at+jwt", true),
            ("Application/AT+jwt", "application/at+jwt", true),
            ("at+jwt", "application/at+jwt", true),
            ("JWT", "at+jwt", false),
            ("at+jwt ", "at+jwt", false),
            ("application/application/at+jwt", "at+jwt", false),
            ("text/at+jwt", "at+jwt", false),
            ("", "at+jwt", false),
        ] {
            assert_eq!(of(typ).is_of_type(wanted), expected, "{typ} {wanted}");
        }
        assert!(!Token { typ: None, ..of("") }.is_of_type("at+jwt"));
    }

    proptest! {
        #[test]
        fn reading_never_panics_and_a_segment_has_one_spelling(
            text in "[-_=+/. A-Za-z0-9]{0,80}", bytes in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let _ = Token::read(text.as_bytes());
            let _ = Token::read(&bytes);
            if let Some(bytes) = decoded(&text) {
                prop_assert_eq!(encoded(bytes), text);
            }
        }
    }
}
