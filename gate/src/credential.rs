//! What a call presents, from its headers and before anything is proved: `Authorization` and `X-API-Key`.

/// The longest token, and the longest scheme with its blank before it.
const LONGEST: usize = 16 * 1024 + 64;

/// A header that may occur once.
#[derive(Clone, Copy, Default)]
pub struct Single<'a> {
    pub count: usize,
    pub value: &'a [u8],
}

impl<'a> Single<'a> {
    pub fn add(&mut self, value: &'a [u8]) {
        self.count += 1;
        self.value = value;
    }
}

/// The headers that credentials come in.
#[derive(Clone, Copy, Default)]
pub struct Headers<'a> {
    pub authorization: Single<'a>,
    pub api_key: Single<'a>,
}

/// The credentials of one call by their class. Several may be there; each that is there has to be good.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Presented<'a> {
    /// The text of an API key, not checked in any way.
    pub api_key: Option<&'a [u8]>,
    /// A bearer token of three segments with dots between them.
    pub jwt: Option<&'a [u8]>,
    /// Any other bearer token.
    pub opaque: Option<&'a [u8]>,
    /// A token that comes with a proof of possession.
    pub dpop: Option<&'a [u8]>,
    /// Something else in `Authorization`, such as Basic.
    pub other: bool,
}

/// Why the headers answer 400. Each is an entry of the table of errors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Malformed {
    Repeated,
    Unreadable,
    Conflicting,
}

impl Malformed {
    pub fn error(self) -> &'static str {
        match self {
            Malformed::Repeated => "repeated_credential",
            Malformed::Unreadable => "unreadable_credential",
            Malformed::Conflicting => "conflicting_credentials",
        }
    }
}

/// Sorts the credentials of a call into their classes, in one pass over each header.
pub fn read<'a>(headers: &Headers<'a>) -> Result<Presented<'a>, Malformed> {
    let authorization = single(&headers.authorization)?;
    let api_key = single(&headers.api_key)?;
    let mut presented = Presented { api_key, ..Presented::default() };
    let Some(value) = authorization else { return Ok(presented) };
    // Envoy joins some repeated headers with a comma, and no credential that we accept has one.
    if value.contains(&b',') {
        return Err(Malformed::Repeated);
    }
    let (scheme, token) = match value.iter().position(|byte| *byte == b' ') {
        Some(blank) => (&value[..blank], value[blank..].trim_ascii()),
        None => (value, &value[value.len()..]),
    };
    if !is_token68(token) {
        presented.other = true;
    } else if scheme.eq_ignore_ascii_case(b"dpop") {
        presented.dpop = Some(token);
    } else if !scheme.eq_ignore_ascii_case(b"bearer") {
        presented.other = true;
    } else if token.starts_with(b"nl_") {
        if api_key.is_some_and(|key| key != token) {
            return Err(Malformed::Conflicting);
        }
        presented.api_key = Some(token);
    } else if token.iter().filter(|byte| **byte == b'.').count() == 2 {
        presented.jwt = Some(token);
    } else {
        presented.opaque = Some(token);
    }
    Ok(presented)
}

fn single<'a>(header: &Single<'a>) -> Result<Option<&'a [u8]>, Malformed> {
    match header.count {
        0 => Ok(None),
        1 if header.value.len() > LONGEST => Err(Malformed::Unreadable),
        // Without a way out in the middle the compiler looks at 16 bytes at a time.
        1 if !header.value.iter().fold(true, |good, byte| good & (b' '..=b'~').contains(byte)) => {
            Err(Malformed::Unreadable)
        }
        1 => Ok(Some(header.value)),
        _ => Err(Malformed::Repeated),
    }
}

/// RFC 7235: letters, digits and `-._~+/`, then any number of `=`.
fn is_token68(token: &[u8]) -> bool {
    let end = token.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    end > 0 && token[..end].iter().all(|byte| TOKEN68[usize::from(*byte)])
}

const TOKEN68: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] =
            (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn headers<'a>(authorization: &[&'a str], api_key: &[&'a str]) -> Headers<'a> {
        let mut headers = Headers::default();
        authorization.iter().for_each(|value| headers.authorization.add(value.as_bytes()));
        api_key.iter().for_each(|value| headers.api_key.add(value.as_bytes()));
        headers
    }

    fn class(presented: &Presented) -> String {
        let classes = [
            ("key", presented.api_key.is_some()),
            ("jwt", presented.jwt.is_some()),
            ("opaque", presented.opaque.is_some()),
            ("dpop", presented.dpop.is_some()),
            ("other", presented.other),
        ];
        classes.iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect::<Vec<_>>().join("+")
    }

    #[test]
    fn every_credential_has_its_class() {
        for (authorization, api_key, expected) in [
            (&[][..], &[][..], ""),
            (&["Bearer nl_x"], &[], "key"),
            (&["bEARER   nl_x  "], &[], "key"),
            (&[], &["anything"], "key"),
            (&[], &[""], "key"),
            (&["Bearer nl_x"], &["nl_x"], "key"),
            (&["Bearer a.b.c"], &[], "jwt"),
            (&["Bearer .."], &[], "jwt"),
            (&["Bearer a.b.c.d.e"], &[], "opaque"),
            (&["Bearer abc=="], &[], "opaque"),
            (&["Bearer a.b.c"], &["nl_x"], "key+jwt"),
            (&["DPoP a.b.c"], &[], "dpop"),
            (&["Basic YTpi"], &[], "other"),
            (&["Bearer"], &[], "other"),
            (&["Bearer "], &[], "other"),
            (&[""], &[], "other"),
            (&["Bearer two tokens"], &[], "other"),
            (&["Bearer a=b"], &[], "other"),
            (&["Bearer ="], &[], "other"),
            (&["Basic YTpi"], &["nl_x"], "key+other"),
        ] {
            let presented = read(&headers(authorization, api_key)).unwrap();
            assert_eq!(class(&presented), expected, "{authorization:?} {api_key:?}");
        }
    }

    #[test]
    fn what_cannot_be_one_credential_is_malformed() {
        let long = format!("Bearer {}", "a".repeat(16 * 1024 + 65));
        for (authorization, api_key, expected) in [
            (&["Bearer nl_x", "Bearer nl_x"][..], &[][..], Malformed::Repeated),
            (&["", ""], &[], Malformed::Repeated),
            (&["Bearer nl_x,Bearer nl_x"], &[], Malformed::Repeated),
            (&["Basic YTpi, Bearer nl_x"], &[], Malformed::Repeated),
            (&[","], &[], Malformed::Repeated),
            (&[], &["nl_x", "nl_x"], Malformed::Repeated),
            (&["Bearer nl_x"], &["nl_y"], Malformed::Conflicting),
            (&["Bearer n\tl"], &[], Malformed::Unreadable),
            (&["Bearer ü"], &[], Malformed::Unreadable),
            (&[], &["nl_\0"], Malformed::Unreadable),
            (&[long.as_str()], &[], Malformed::Unreadable),
        ] {
            assert_eq!(read(&headers(authorization, api_key)), Err(expected), "{authorization:?} {api_key:?}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(
            authorization in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..3),
            api_key in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..3),
        ) {
            let mut headers = Headers::default();
            authorization.iter().for_each(|value| headers.authorization.add(value));
            api_key.iter().for_each(|value| headers.api_key.add(value));
            let repeated = authorization.len() > 1 || api_key.len() > 1;
            let read = read(&headers);
            if repeated { prop_assert!(read.is_err()); }
            if let Ok(presented) = read {
                let nothing = presented == Presented::default();
                prop_assert_eq!(nothing, authorization.is_empty() && api_key.is_empty());
            }
        }
    }
}
