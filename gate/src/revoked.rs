//! Clients, keys, certificates and tokens that are refused although a policy or an issuer still has them.
//!
//! The gateway's own list is in the filter configuration and is consulted first, so that a revocation is one small
//! push whatever the number of endpoints. An endpoint's policy may have a list as well.

use crate::flaw::Flaw;
use crate::strict::{Digest, Unique};
use serde::{Deserialize, Deserializer};
use std::collections::{HashMap, HashSet};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoked {
    /// Ids of clients, `NAMESPACE/NAME`.
    #[serde(default)]
    clients: HashSet<Box<str>>,
    /// Ids of keys, the twelve digits after `nl_`.
    #[serde(default)]
    keys: HashSet<Box<str>>,
    /// By the SHA-256 of a certificate: the clients for which it is revoked, so that nobody can revoke another's. An
    /// empty name stands for every client; an endpoint's own list uses it.
    #[serde(default, deserialize_with = "certificates")]
    certificates: ClientsByDigest,
    /// URIs and DNS names of certificates.
    #[serde(default)]
    identities: HashSet<Box<str>>,
    /// By name of the issuer.
    #[serde(default, deserialize_with = "by_name")]
    tokens: HashMap<Box<str>, Tokens>,
}

type ClientsByDigest = HashMap<[u8; 32], Vec<Box<str>>>;

/// Tokens of one issuer that are refused before they expire.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Tokens {
    #[serde(default)]
    jti: HashSet<Box<str>>,
    #[serde(default)]
    sub: HashSet<Box<str>>,
    /// Sessions at the issuer.
    #[serde(default)]
    sid: HashSet<Box<str>>,
    /// By subject, and for every subject by the empty one: Unix seconds before which its tokens were issued.
    #[serde(default, deserialize_with = "by_name")]
    issued_before: HashMap<Box<str>, i64>,
}

fn certificates<'de, D: Deserializer<'de>>(from: D) -> Result<ClientsByDigest, D::Error> {
    let mut found = ClientsByDigest::new();
    for (client, Digest(digest)) in Vec::<(Box<str>, Digest)>::deserialize(from)? {
        found.entry(digest).or_default().push(client);
    }
    Ok(found)
}

fn by_name<'de, V: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<HashMap<Box<str>, V>, D::Error> {
    Ok(Unique::deserialize(from)?.0.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

impl Revoked {
    pub fn client(&self, id: &str) -> bool {
        !self.clients.is_empty() && self.clients.contains(id)
    }

    pub fn key(&self, id: &str) -> bool {
        !self.keys.is_empty() && self.keys.contains(id)
    }

    pub fn certificate(&self, client: &str, digest: &[u8; 32]) -> bool {
        !self.certificates.is_empty()
            && self
                .certificates
                .get(digest)
                .is_some_and(|clients| clients.iter().any(|each| each.is_empty() || **each == *client))
    }

    pub fn identity(&self, name: &str) -> bool {
        !self.identities.is_empty() && self.identities.contains(name)
    }

    /// Which list has the token. `issued`: Unix milliseconds.
    pub fn token(
        &self,
        issuer: &str,
        jti: Option<&str>,
        sub: Option<&str>,
        sid: Option<&str>,
        issued: i64,
    ) -> Option<Flaw> {
        let tokens = self.tokens.get(issuer)?;
        let is_in = |list: &HashSet<Box<str>>, id: Option<&str>| id.is_some_and(|id| list.contains(id));
        let too_old =
            |subject: &str| tokens.issued_before.get(subject).is_some_and(|time| issued < time.saturating_mul(1000));
        if is_in(&tokens.jti, jti) {
            return Some(Flaw::TokenDeniedByJti);
        }
        if is_in(&tokens.sub, sub) {
            return Some(Flaw::TokenDeniedBySub);
        }
        if is_in(&tokens.sid, sid) {
            return Some(Flaw::TokenDeniedBySid);
        }
        (too_old("") || sub.is_some_and(too_old)).then_some(Flaw::TokenIssuedTooEarly)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_revoked_for_the_client_that_is_named_or_for_all() {
        let (one, two, three) = ("11".repeat(32), "22".repeat(32), "33".repeat(32));
        let list: Revoked = serde_json::from_str(&format!(
            r#"{{"certificates": [["search/bot", "{one}"], ["search/eve", "{one}"], ["", "{two}"]]}}"#
        ))
        .unwrap();
        for (client, digest, expected) in [
            ("search/bot", 0x11, true),
            ("search/eve", 0x11, true),
            ("search/other", 0x11, false),
            ("search/other", 0x22, true),
            ("search/bot", 0x33, false),
        ] {
            assert_eq!(list.certificate(client, &[digest; 32]), expected, "{client} {digest:x}");
        }
        for bad in [format!(r#"[["a", "{}"]]"#, &three[1..]), format!(r#"["{three}"]"#), format!(r#"[["{three}"]]"#)] {
            assert!(serde_json::from_str::<Revoked>(&format!(r#"{{"certificates": {bad}}}"#)).is_err(), "{bad}");
        }
    }
}
