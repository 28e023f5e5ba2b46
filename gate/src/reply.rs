//! What the gate answers by itself: the table of errors, and a body in the shape of the API that the path belongs to.

use crate::limit::Rate;
use crate::operation::without_query;
use crate::strict::{Unique, visible};
use serde::Deserialize;
use std::collections::HashMap;

/// Every error that the gate answers with by itself. The table has to have all of them; a policy may name more.
pub const REQUIRED: [&str; 11] = [
    "misdirected_request",
    "not_found",
    "denied",
    "repeated_credential",
    "unreadable_credential",
    "conflicting_credentials",
    "unauthenticated",
    "insufficient_scope",
    "rate_limited",
    "policy_stale",
    "verification_unavailable",
];
/// What answers where a policy denies its endpoint with a code that the table does not have.
pub const FALLBACK: &str = "denied";
const GRPC_UNKNOWN: u8 = 2;
/// The code where something in the gate panicked.
pub const BROKEN: &str = "request_failed";

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct EntryValue {
    status: u16,
    message: String,
    /// Default: the name of the entry.
    code: Option<String>,
    /// The gRPC status, a number from 1 to 16.
    grpc: u8,
    /// Seconds.
    retry_after: Option<u32>,
    /// The value of `grpc-status-details-bin`.
    grpc_details: Option<String>,
}

/// One error: its sentence in every shape is made once.
pub struct Entry {
    pub code: Box<str>,
    pub status: u16,
    grpc: u8,
    message: Box<str>,
    retry_after: Option<u32>,
    grpc_details: Option<String>,
    open_inference: Box<str>,
    openai: Box<str>,
    plain: Box<str>,
    /// Its place in the table.
    pub index: usize,
}

/// The table of errors, from the filter's configuration.
#[derive(Deserialize)]
#[serde(try_from = "Unique<EntryValue>")]
pub struct Table {
    entries: Vec<Entry>,
    by_name: HashMap<Box<str>, usize>,
}

impl TryFrom<Unique<EntryValue>> for Table {
    type Error = String;

    fn try_from(value: Unique<EntryValue>) -> Result<Table, String> {
        let mut table = Table { entries: Vec::new(), by_name: HashMap::new() };
        for (name, value) in value.0 {
            let index = table.entries.len();
            table.entries.push(entry(&name, value, index)?);
            table.by_name.insert(name.into(), index);
        }
        match REQUIRED.iter().find(|name| !table.by_name.contains_key(**name)) {
            Some(missing) => Err(format!("errors has no {missing}")),
            None => Ok(table),
        }
    }
}

fn entry(name: &str, value: EntryValue, index: usize) -> Result<Entry, String> {
    let code = value.code.unwrap_or_else(|| name.to_owned());
    let sentence = value.message.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && !value.message.is_empty();
    let details = value.grpc_details.as_deref().is_none_or(|details| visible(details, 1024));
    if !details
        || !(400..600).contains(&value.status)
        || !(1..=16).contains(&value.grpc)
        || !visible(&code, 64)
        || !sentence
    {
        return Err(format!("errors has an entry {name:?} whose status, gRPC status, code or message is not possible"));
    }
    let message = &value.message;
    let kind = match value.status {
        403 => "permission_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    };
    let openai = serde_json::json!({"error": {"message": message, "type": kind, "param": null, "code": code}});
    Ok(Entry {
        open_inference: serde_json::json!({"error": message, "code": code}).to_string().into(),
        openai: openai.to_string().into(),
        plain: serde_json::json!({"error": {"code": code, "message": message}}).to_string().into(),
        code: code.into(),
        status: value.status,
        grpc: value.grpc,
        message: value.message.into(),
        retry_after: value.retry_after,
        grpc_details: value.grpc_details,
        index,
    })
}

impl Table {
    /// The entry of that name; where there is none, that of a denied endpoint.
    pub fn entry(&self, name: &str) -> &Entry {
        let index = self.by_name.get(name).or_else(|| self.by_name.get(FALLBACK));
        &self.entries[index.copied().unwrap_or_default()]
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

/// Whose form a body has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    Grpc,
    OpenInference,
    OpenAi,
    Plain,
}

impl Shape {
    pub fn of(path: &[u8], content_type: &[u8]) -> Shape {
        let path = without_query(path);
        if content_type.starts_with(b"application/grpc") {
            Shape::Grpc
        } else if path == b"/v2" || path.starts_with(b"/v2/") {
            Shape::OpenInference
        } else if path.starts_with(b"/v1/") || path.starts_with(b"/openai/v1/") {
            Shape::OpenAi
        } else {
            Shape::Plain
        }
    }
}

/// A whole answer.
#[derive(Debug, PartialEq)]
pub struct Reply<'a> {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: &'a str,
}

pub fn reply<'a>(entry: &'a Entry, shape: Shape, realm: &str, rate: Option<&Rate>) -> Reply<'a> {
    let mut headers = Vec::with_capacity(8);
    match entry.status {
        401 => headers.push(("www-authenticate", format!("Bearer realm=\"{realm}\""))),
        403 => {
            headers.push(("www-authenticate", format!("Bearer realm=\"{realm}\", error=\"insufficient_scope\"")));
        }
        _ => {}
    }
    let retry_after = rate.and_then(|rate| rate.retry_after).or(entry.retry_after.map(u64::from));
    headers.extend(retry_after.map(|seconds| ("retry-after", seconds.to_string())));
    headers.extend(rate.into_iter().flat_map(rate_headers));
    let body = match shape {
        // Envoy makes a trailers-only answer of this, with the body as grpc-message.
        Shape::Grpc => {
            headers.push(("grpc-status", entry.grpc.to_string()));
            headers.extend(entry.grpc_details.iter().map(|details| ("grpc-status-details-bin", details.clone())));
            return Reply { status: entry.status, headers, body: &entry.message };
        }
        Shape::OpenInference => &entry.open_inference,
        Shape::OpenAi => &entry.openai,
        Shape::Plain => &entry.plain,
    };
    headers.push(("content-type", "application/json".to_owned()));
    Reply { status: entry.status, headers, body }
}

/// The answer to a call when the gate itself failed, in a form that needs no table.
pub fn broken(grpc: bool) -> Reply<'static> {
    let headers = if grpc {
        vec![("grpc-status", GRPC_UNKNOWN.to_string())]
    } else {
        vec![("content-type", "application/json".to_owned())]
    };
    // The code is BROKEN.
    let body = r#"{"error":{"code":"request_failed","message":"The request could not be served."}}"#;
    Reply { status: 500, headers, body }
}

/// `RateLimit-Limit`, `-Remaining` and `-Reset` of draft-ietf-httpapi-ratelimit-headers.
pub fn rate_headers(rate: &Rate) -> [(&'static str, String); 3] {
    [
        ("ratelimit-limit", rate.limit.to_string()),
        ("ratelimit-remaining", rate.remaining.to_string()),
        ("ratelimit-reset", rate.reset.to_string()),
    ]
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A table as the operator's errors file makes it.
    pub const ERRORS: &str = include_str!("../testdata/errors.json");

    pub fn table() -> Table {
        serde_json::from_str(ERRORS).unwrap()
    }

    #[test]
    fn a_body_has_the_shape_of_its_api() {
        for (path, content_type, expected) in [
            ("/v2", "", Shape::OpenInference),
            ("/v2/models/m/infer?x=1", "application/json", Shape::OpenInference),
            ("/v2x", "", Shape::Plain),
            ("/v1/models", "", Shape::OpenAi),
            ("/openai/v1/models", "", Shape::OpenAi),
            ("/metrics", "", Shape::Plain),
            ("*", "", Shape::Plain),
            ("/v2/models", "application/grpc", Shape::Grpc),
            ("/x.Y/Z", "application/grpc+proto", Shape::Grpc),
        ] {
            assert_eq!(Shape::of(path.as_bytes(), content_type.as_bytes()), expected, "{path}");
        }
        let table = table();
        let of = |shape| reply(table.entry("unauthenticated"), shape, "nightlatch", None);
        let json = |shape| serde_json::from_str::<serde_json::Value>(of(shape).body).unwrap();
        let sentence = "A valid credential is required.";
        assert_eq!(json(Shape::Plain)["error"]["code"], "unauthenticated");
        assert_eq!(json(Shape::OpenInference)["error"], sentence);
        assert_eq!(json(Shape::OpenAi)["error"]["type"], "invalid_request_error");
        assert_eq!(of(Shape::Grpc).body, sentence);
        assert!(of(Shape::Grpc).headers.contains(&("grpc-status", "16".to_owned())));
        assert!(of(Shape::Plain).headers.contains(&("www-authenticate", "Bearer realm=\"nightlatch\"".to_owned())));
    }

    #[test]
    fn a_rate_limit_says_when_to_come_back() {
        let rate = Rate { limit: 5, remaining: 0, reset: 60, retry_after: Some(12) };
        let table = table();
        let reply = reply(table.entry("rate_limited"), Shape::Plain, "nightlatch", Some(&rate));
        for header in [("retry-after", "12"), ("ratelimit-limit", "5"), ("ratelimit-reset", "60")] {
            assert!(reply.headers.contains(&(header.0, header.1.to_owned())), "{header:?}");
        }
    }

    #[test]
    fn a_table_that_lacks_an_error_or_has_an_impossible_one_is_refused() {
        for (from, to) in [
            ("\"not_found\"", "\"not_there\""),
            ("\"status\": 404", "\"status\": 200"),
            ("\"grpc\": 16", "\"grpc\": 0"),
            ("\"status\": 404", "\"status\": 404, \"more\": 1"),
            ("\"not_found\"", "\"unauthenticated\""),
            ("No endpoint", "No\\nendpoint"),
        ] {
            let changed = ERRORS.replacen(from, to, 1);
            assert_ne!(changed, ERRORS);
            assert!(serde_json::from_str::<Table>(&changed).is_err(), "{to}");
        }
        assert_eq!((&*table().entry("nobody knows").code, table().entry("nobody knows").status), ("denied", 503));
    }
}
