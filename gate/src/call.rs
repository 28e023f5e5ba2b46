//! One call, as the decision sees it: read in a single pass over the request headers.

use crate::credential::Headers;

#[derive(Clone, Copy, Default)]
pub struct Call<'a> {
    /// The TLS server name; empty where there is none.
    pub server_name: &'a [u8],
    pub host: &'a [u8],
    pub method: &'a [u8],
    /// With the query.
    pub path: &'a [u8],
    pub content_type: &'a [u8],
    pub credentials: Headers<'a>,
    /// SHA-256 of the certificate that the caller proved to have.
    pub certificate: Option<[u8; 32]>,
    /// Whether the host has a virtual host.
    pub routed: bool,
}

impl<'a> Call<'a> {
    /// `headers`: names in lower case, as Envoy gives them.
    pub fn read(headers: &[(&'a [u8], &'a [u8])], server_name: &'a [u8], routed: bool) -> Call<'a> {
        let mut call = Call { server_name, routed, ..Call::default() };
        for (name, value) in headers {
            match *name {
                b":authority" => call.host = value,
                b":method" => call.method = value,
                b":path" => call.path = value,
                b"content-type" => call.content_type = value,
                b"authorization" => call.credentials.authorization.add(value),
                b"x-api-key" => call.credentials.api_key.add(value),
                _ => {}
            }
        }
        call
    }

    /// Whether the host is the TLS server name. Case does not count, nor does a dot at the end.
    pub fn is_for_its_server(&self) -> bool {
        let host = self.host.strip_suffix(b".").unwrap_or(self.host);
        !host.is_empty() && host.eq_ignore_ascii_case(self.server_name)
    }

    /// A body of such a call means nothing (RFC 9110, 9.3.1), so the gate drops it.
    pub fn has_no_body(&self) -> bool {
        matches!(self.method, b"GET" | b"HEAD")
    }

    /// Calls that no route takes, on whatever host: they have no path of their own.
    pub fn has_no_path(&self) -> bool {
        self.method == b"CONNECT" || !self.path.starts_with(b"/")
    }
}

/// The form in which a host chooses its route: lower case, without a dot at the end. None if it has it already.
pub fn canonical_host(host: &[u8]) -> Option<Vec<u8>> {
    let stripped = host.strip_suffix(b".").filter(|it| !it.ends_with(b".")).unwrap_or(host);
    if stripped.len() == host.len() && !host.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    Some(stripped.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_its_server_in_any_case_and_with_a_dot() {
        for (host, server_name, expected) in [
            ("a.example", "a.example", true),
            ("A.Example.", "a.example", true),
            ("a.example..", "a.example", false),
            ("b.example", "a.example", false),
            ("", "", false),
            (".", "", false),
            ("a.example", "", false),
        ] {
            let (host, server_name) = (host.as_bytes(), server_name.as_bytes());
            assert_eq!(Call { host, server_name, ..Call::default() }.is_for_its_server(), expected, "{host:?}");
        }
    }

    #[test]
    fn a_host_is_brought_into_the_form_that_chooses_its_route() {
        assert_eq!(canonical_host(b"a.example"), None);
        assert_eq!(canonical_host(b"A.example.").as_deref(), Some(&b"a.example"[..]));
        assert_eq!(canonical_host(b"a.example.").as_deref(), Some(&b"a.example"[..]));
        assert_eq!(canonical_host(b""), None);
        assert_eq!(canonical_host(b"a.example.."), None);
    }
}
