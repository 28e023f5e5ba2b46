//! The text of an API key: `nl_<id: 12>_<secret: 43>_<checksum: 6>`, base62, 66 characters.
//!
//! Python's `nightlatch.api_keys` mints keys and describes the form; both sides read `tests/vectors/api_keys.json`.
//! The checksum refuses a typo without a look-up. A key is known here only by its SHA-256 digest.

use sha2::{Digest, Sha256};

const LENGTH: usize = 66;
const BODY: usize = 59;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const CRC: [u32; 256] = crc_table();

const fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ 0xedb8_8320 } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
}

fn crc32(text: &[u8]) -> u32 {
    !text.iter().fold(!0, |value: u32, byte| (value >> 8) ^ CRC[((value ^ u32::from(*byte)) & 255) as usize])
}

/// Whether a text has the form of a key and the checksum that belongs to it. This says nothing about who wrote it.
pub fn well_formed(text: &[u8]) -> bool {
    if text.len() != LENGTH || !text.starts_with(b"nl_") || text[15] != b'_' || text[BODY] != b'_' {
        return false;
    }
    let base62 = |part: &[u8]| part.iter().fold(true, |good, byte| good & byte.is_ascii_alphanumeric());
    if !base62(&text[3..15]) || !base62(&text[16..BODY]) {
        return false;
    }
    let mut number = crc32(&text[..BODY]);
    text[BODY + 1..].iter().rev().all(|digit| {
        let expected = DIGITS[(number % 62) as usize];
        number /= 62;
        *digit == expected
    })
}

/// The id of a well-formed key, which is no secret.
pub fn id(text: &[u8]) -> Option<&str> {
    well_formed(text).then(|| std::str::from_utf8(&text[3..15]).ok()).flatten()
}

/// The digest under which a policy knows a key.
pub fn digest(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// Whether a URL shows the beginning of a key: `nl_`, twelve digits, `_`, one digit; through any percent-encoding.
pub fn shown_in(url: &[u8]) -> bool {
    if !url.contains(&b'%') {
        return begins_within(url);
    }
    begins_within(&decoded(url))
}

fn begins_within(text: &[u8]) -> bool {
    text.windows(17).any(|part| {
        part.starts_with(b"nl_")
            && part[15] == b'_'
            && part[3..15].iter().all(u8::is_ascii_alphanumeric)
            && part[16].is_ascii_alphanumeric()
    })
}

/// Undoes percent-encoding of every depth in one pass: each escape that is completed shrinks what was read so far.
fn decoded(text: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(text.len());
    for byte in text {
        out.push(*byte);
        while let [.., b'%', high, low] = out[..] {
            let (Some(high), Some(low)) = (char::from(high).to_digit(16), char::from(low).to_digit(16)) else { break };
            out.truncate(out.len() - 3);
            out.push((high << 4 | low) as u8);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;

    const ZEROS: &str = "nl_000000000000_0000000000000000000000000000000000000000000_3ESigE";

    #[derive(Deserialize)]
    struct Vectors {
        keys: Vec<(String, String)>,
        refused: Vec<String>,
    }

    #[test]
    fn the_vectors_shared_with_python_hold() {
        let text = include_str!("../../tests/vectors/api_keys.json");
        let vectors: Vectors = serde_json::from_str(text).unwrap();
        assert!(vectors.keys.len() > 3 && vectors.refused.len() > 10);
        for (key, sha256) in &vectors.keys {
            assert!(well_formed(key.as_bytes()), "{key}");
            let hex: String = digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(&hex, sha256);
        }
        for text in &vectors.refused {
            assert!(!well_formed(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_key_in_a_url_is_seen_through_every_encoding() {
        for url in [
            format!("/v2/models/m/infer?key={ZEROS}"),
            format!("/v2/{ZEROS}/x"),
            format!("/v2?key=%6El{}", &ZEROS[2..]),
            format!("/v2?key=n%6C_{}", &ZEROS[3..]),
            format!("/v2?key=nl%5f{}", &ZEROS[3..]),
            format!("/v2?key=nl%255F{}", &ZEROS[3..]),
            format!("/v2?key=%25256E%6c{}", &ZEROS[2..]),
            ZEROS.bytes().map(|byte| format!("%{byte:02X}")).collect(),
        ] {
            assert!(shown_in(url.as_bytes()), "{url}");
        }
    }

    #[test]
    fn an_ordinary_url_shows_no_key() {
        for url in ["/v2/models/m/infer?x=nl_short_x", "/nl_/nl_", "%", "%6", "%6E", "nl_00000000000_0", "/%25%25%2"] {
            assert!(!shown_in(url.as_bytes()), "{url}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics_and_decoding_never_grows(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            well_formed(&text);
            shown_in(&text);
            prop_assert!(decoded(&text).len() <= text.len());
        }

        #[test]
        fn one_changed_character_is_refused(at in 0usize..66, with in "[0-9A-Za-z]") {
            let mut changed = ZEROS.as_bytes().to_vec();
            changed[at] = with.as_bytes()[0];
            prop_assert_eq!(well_formed(&changed), changed == ZEROS.as_bytes());
        }

        #[test]
        fn a_key_escaped_at_random_is_seen(escapes in proptest::collection::vec(0u8..4, 66)) {
            let url: String = ZEROS.bytes().zip(&escapes).map(|(byte, depth)| match depth {
                0 => char::from(byte).to_string(),
                1 => format!("%{byte:02x}"),
                2 => format!("%25{byte:02X}"),
                _ => format!("%2525{byte:02x}"),
            }).collect();
            prop_assert!(shown_in(url.as_bytes()));
        }
    }
}
