//! Small types that read JSON more strictly than serde does by itself.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// The only format of a policy and of a filter configuration that this build reads.
pub const FORMAT: u64 = 1;

/// A JSON object with names of the writer's choice. A name that occurs twice is an error.
pub struct Unique<V>(pub Vec<(String, V)>);

impl<V> Default for Unique<V> {
    fn default() -> Self {
        Unique(Vec::new())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Unique<V> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Members<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Members<V> {
            type Value = Unique<V>;
            fn expecting(&self, to: &mut fmt::Formatter) -> fmt::Result {
                to.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique<V>, A::Error> {
                let mut members: Vec<(String, V)> = Vec::new();
                let mut names = std::collections::HashSet::new();
                while let Some((name, value)) = map.next_entry::<String, V>()? {
                    if !names.insert(name.clone()) {
                        return Err(A::Error::custom("a member occurs twice"));
                    }
                    members.push((name, value));
                }
                Ok(Unique(members))
            }
        }
        from.deserialize_map(Members(PhantomData))
    }
}

/// A SHA-256 digest, written as 64 lower-case hex digits.
pub struct Digest(pub [u8; 32]);

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Hex;
        impl Visitor<'_> for Hex {
            type Value = Digest;
            fn expecting(&self, to: &mut fmt::Formatter) -> fmt::Result {
                to.write_str("64 lower-case hex digits")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Digest, E> {
                digest(text).map(Digest).ok_or_else(|| E::custom("expected 64 lower-case hex digits"))
            }
        }
        from.deserialize_str(Hex)
    }
}

/// The bytes of a digest; None if the text is none.
pub fn digest(text: &str) -> Option<[u8; 32]> {
    let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// Whether a text may stand in an HTTP header: 1 to `longest` visible ASCII characters.
pub fn visible(text: &str, longest: usize) -> bool {
    !text.is_empty() && text.len() <= longest && text.bytes().all(|byte| byte.is_ascii_graphic())
}
