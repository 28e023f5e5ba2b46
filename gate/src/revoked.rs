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
    /// By the SHA-256 of a certificate: the clients for which it is revoked. Nobody can revoke another's.
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
            && self.certificates.get(digest).is_some_and(|clients| clients.iter().any(|each| **each == *client))
    }

    pub fn identity(&self, name: &str) -> bool {
        !self.identities.is_empty() && self.identities.contains(name)
    }
}
