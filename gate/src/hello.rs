//! The first bytes of a connection: a ClientHello whose server name is not lower case is closed before TLS begins.
//!
//! Envoy compares server names in lower case when it chooses a chain, but asks for a certificate under the name as it
//! was sent. Without this, every spelling of a known name would cost a certificate subscription that stays for ever.

use crate::audit::Amount;
use crate::strict::FORMAT;
use serde::Deserialize;

/// What has arrived is asked for again with this many bytes at first.
pub const FIRST_READ: usize = 512;
/// The longest stretch of a connection that is looked at. TLS itself reads no ClientHello above 16 KiB.
const LONGEST: usize = 16 * 1024 + 512;

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: usize = 0;
const LONGEST_RECORD: usize = 1 << 14;

/// The configuration of the listener filter. An empty value is the default.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    format: u64,
    #[serde(default)]
    audit: Amount,
}

/// How many of the closed connections the audit log is told of.
pub fn settings(json: &[u8]) -> Result<Amount, String> {
    if json.is_empty() {
        return Ok(Amount::default());
    }
    let settings: Settings = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    if settings.format == FORMAT {
        Ok(settings.audit)
    } else {
        Err(format!("format {} is not {FORMAT}", settings.format))
    }
}

/// What the bytes so far are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Hello {
    /// No decision before there are this many bytes.
    More(usize),
    /// With a server name in lower case, or without one.
    Pass(Name),
    Close(Fault),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Name {
    LowerCase,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// The server name has a capital letter or another character that a host name cannot have.
    Spelling,
    NotTls,
    TooLong,
}

impl Fault {
    pub fn details(self) -> &'static str {
        match self {
            Fault::Spelling => "nightlatch_hello_spelling",
            Fault::NotTls => "nightlatch_hello_not_tls",
            Fault::TooLong => "nightlatch_hello_too_long",
        }
    }
}

/// Looks at a connection from its first byte on. `data` is all that has arrived.
pub fn look(data: &[u8]) -> Hello {
    let hello = read(data);
    match hello {
        Hello::More(bytes) if bytes > LONGEST => Hello::Close(Fault::TooLong),
        hello => hello,
    }
}

fn read(data: &[u8]) -> Hello {
    let mut message = Vec::new();
    let mut rest = data;
    loop {
        // A record: its type, a version, its length.
        let Some((&[kind, major, _, high, low], body)) = rest.split_first_chunk::<5>() else {
            let not_tls = rest.first().is_some_and(|kind| *kind != HANDSHAKE);
            return if not_tls { Hello::Close(Fault::NotTls) } else { Hello::More(data.len() - rest.len() + 9) };
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if kind != HANDSHAKE || major != 3 || length == 0 || length > LONGEST_RECORD {
            return Hello::Close(Fault::NotTls);
        }
        let part = &body[..length.min(body.len())];
        message.extend_from_slice(part);
        let Some(wanted) = wanted(&message) else { return Hello::Close(Fault::NotTls) };
        if wanted > LONGEST {
            return Hello::Close(Fault::TooLong);
        }
        if wanted > 0 && message.len() >= wanted {
            return server_name(&message[4..wanted]).unwrap_or(Hello::Close(Fault::NotTls));
        }
        if part.len() < length {
            let missing = if wanted > 0 { wanted - message.len() } else { usize::MAX };
            return Hello::More(data.len() + missing.min(length - part.len()));
        }
        rest = &body[length..];
    }
}

/// The length of the handshake message with its head; 0 while that is not known. None: no ClientHello.
fn wanted(message: &[u8]) -> Option<usize> {
    match message {
        [kind, ..] if *kind != CLIENT_HELLO => None,
        [_, a, b, c, ..] => Some(4 + u32::from_be_bytes([0, *a, *b, *c]) as usize),
        _ => Some(0),
    }
}

/// Walks the ClientHello to its server name. None: it is malformed.
fn server_name(hello: &[u8]) -> Option<Hello> {
    let rest = hello.get(34..)?; // version and random
    let (_session, rest) = vector8(rest)?;
    let (_suites, rest) = vector16(rest)?;
    let (_compression, rest) = vector8(rest)?;
    if rest.is_empty() {
        return Some(Hello::Pass(Name::None));
    }
    let (mut extensions, end) = vector16(rest)?;
    if !end.is_empty() {
        return None;
    }
    let mut found = None;
    while !extensions.is_empty() {
        let (kind, rest) = number(extensions)?;
        let (body, rest) = vector16(rest)?;
        if kind == SERVER_NAME && found.replace(body).is_some() {
            return None;
        }
        extensions = rest;
    }
    let Some(list) = found else { return Some(Hello::Pass(Name::None)) };
    let (names, end) = vector16(list)?;
    let (name, more) = vector16(names.strip_prefix(&[0])?)?;
    if !end.is_empty() || !more.is_empty() || name.is_empty() {
        return None;
    }
    let proper = name.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(byte));
    Some(if proper { Hello::Pass(Name::LowerCase) } else { Hello::Close(Fault::Spelling) })
}

fn number(data: &[u8]) -> Option<(usize, &[u8])> {
    let (bytes, rest) = data.split_first_chunk::<2>()?;
    Some((usize::from(u16::from_be_bytes(*bytes)), rest))
}

fn vector8(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = data.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

fn vector16(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = number(data)?;
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn with_length(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
    }

    fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &with_length(body)].concat()
    }

    fn sni(name: &[u8]) -> Vec<u8> {
        extension(0, &with_length(&[&[0], &with_length(name)[..]].concat()))
    }

    fn message(extensions: &[u8]) -> Vec<u8> {
        let body =
            [&[3, 3][..], &[7; 32], &[2, 1, 1], &with_length(&[0x13, 1]), &[1, 0], &with_length(extensions)].concat();
        [&[1, 0][..], &with_length(&body)].concat()
    }

    fn records(message: &[u8], size: usize) -> Vec<u8> {
        message.chunks(size).flat_map(|part| [&[22, 3, 1][..], &with_length(part)].concat()).collect()
    }

    fn hello(name: &[u8]) -> Vec<u8> {
        records(&message(&[extension(43, &[2, 3, 4]), sni(name)].concat()), 1 << 14)
    }

    #[test]
    fn only_a_server_name_in_lower_case_passes() {
        for (name, expected) in [
            ("minilm.search.localhost", Hello::Pass(Name::LowerCase)),
            ("a_b-1.x", Hello::Pass(Name::LowerCase)),
            ("Minilm.search.localhost", Hello::Close(Fault::Spelling)),
            ("minilm.search.localhosT", Hello::Close(Fault::Spelling)),
            ("mini lm", Hello::Close(Fault::Spelling)),
            ("m\u{131}nilm", Hello::Close(Fault::Spelling)),
            ("a\0", Hello::Close(Fault::Spelling)),
            ("", Hello::Close(Fault::NotTls)),
        ] {
            assert_eq!(look(&hello(name.as_bytes())), expected, "{name:?}");
        }
        assert_eq!(look(&records(&message(&extension(43, &[2, 3, 4])), 1 << 14)), Hello::Pass(Name::None));
    }

    #[test]
    fn what_tls_would_read_differently_is_closed() {
        let two_extensions = message(&[sni(b"a.b"), sni(b"A.b")].concat());
        let two_names = [&[0], &with_length(b"a.b")[..], &[0], &with_length(b"A.b")].concat();
        let two_names = message(&extension(0, &with_length(&two_names)));
        let other_type = message(&extension(0, &with_length(&[&[1], &with_length(b"a.b")[..]].concat())));
        for bad in [two_extensions, two_names, other_type] {
            assert_eq!(look(&records(&bad, 1 << 14)), Hello::Close(Fault::NotTls));
        }
        assert_eq!(look(b"GET / HTTP/1.1\r\n\r\n"), Hello::Close(Fault::NotTls));
        assert_eq!(look(b"\x16\x03\x01\x00\x05\x02aaaaa"), Hello::Close(Fault::NotTls));
        assert_eq!(look(b"\x16\x03\x01\x40\x00\x01\x00\xff\xff"), Hello::Close(Fault::TooLong));
    }

    #[test]
    fn a_hello_in_pieces_is_read_once_it_is_whole() {
        let long = message(&[sni(b"abc.example"), extension(21, &[0; 9_000])].concat());
        for size in [40, 128, 5_000, 1 << 14] {
            let whole = records(&long, size);
            let (mut have, mut looks) = (0, 0);
            let hello = loop {
                match look(&whole[..have]) {
                    Hello::More(bytes) => {
                        assert!(bytes > have && bytes <= whole.len(), "{have} {bytes}");
                        have = bytes;
                    }
                    hello => break hello,
                }
                looks += 1;
            };
            assert_eq!((hello, have), (Hello::Pass(Name::LowerCase), whole.len()), "{size}");
            assert!(looks <= 3 + 2 * (whole.len() / size), "{looks}");
        }
    }

    #[test]
    fn the_settings_are_strict() {
        assert!(settings(b"").is_ok() && settings(br#"{"format": 1}"#).is_ok());
        assert!(settings(br#"{"format": 2}"#).is_err() && settings(br#"{"format": 1, "x": 1}"#).is_err());
    }

    proptest! {
        #[test]
        fn looking_never_panics(data in proptest::collection::vec(any::<u8>(), 0..600)) {
            look(&data);
            look(&[&[22, 3, 1], &data[..]].concat());
        }

        #[test]
        fn a_changed_byte_never_panics_nor_lets_a_capital_through(at in 0usize..200, with in any::<u8>()) {
            let mut bytes = hello(b"ABCDEFGHIJKLMNOPQRST.example");
            let at = at % bytes.len();
            bytes[at] = with;
            let changed_to_lower = look(&bytes) == Hello::Pass(Name::LowerCase);
            prop_assert!(!changed_to_lower, "at {} with {}", at, with);
        }

        #[test]
        fn every_prefix_asks_for_more(cut in 0usize..400) {
            let bytes = hello(b"abc.example");
            let cut = cut % bytes.len();
            prop_assert!(matches!(look(&bytes[..cut]), Hello::More(more) if more > cut));
        }
    }
}
