//! Clients, keys and certificates that are refused although a policy still has them.
//!
//! The gateway's own list is in the filter configuration and is consulted first, so that a revocation is one small
//! push whatever the number of endpoints. An endpoint's policy may have a list as well.

use crate::strict::Digest;
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
}

type ClientsByDigest = HashMap<[u8; 32], Vec<Box<str>>>;

fn certificates<'de, D: Deserializer<'de>>(from: D) -> Result<ClientsByDigest, D::Error> {
    let mut found = ClientsByDigest::new();
    for (client, Digest(digest)) in Vec::<(Box<str>, Digest)>::deserialize(from)? {
        found.entry(digest).or_default().push(client);
    }
    Ok(found)
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
