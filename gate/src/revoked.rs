//! Clients, keys and certificates that are refused although a policy still has them.
//!
//! The gateway's own list is in the filter configuration and is consulted first, so that a revocation is one small
//! push whatever the number of endpoints. An endpoint's policy may have a list as well.

use crate::strict::Digest;
use serde::{Deserialize, Deserializer};
use std::collections::HashSet;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoked {
    /// Ids of clients, `NAMESPACE/NAME`.
    #[serde(default)]
    clients: HashSet<Box<str>>,
    /// Ids of keys, the twelve digits after `nl_`.
    #[serde(default)]
    keys: HashSet<Box<str>>,
    /// SHA-256 of each certificate.
    #[serde(default, deserialize_with = "digests")]
    certificates: HashSet<[u8; 32]>,
    /// URIs and DNS names of certificates.
    #[serde(default)]
    identities: HashSet<Box<str>>,
}

fn digests<'de, D: Deserializer<'de>>(from: D) -> Result<HashSet<[u8; 32]>, D::Error> {
    Ok(Vec::<Digest>::deserialize(from)?.into_iter().map(|Digest(digest)| digest).collect())
}

impl Revoked {
    pub fn client(&self, id: &str) -> bool {
        !self.clients.is_empty() && self.clients.contains(id)
    }

    pub fn key(&self, id: &str) -> bool {
        !self.keys.is_empty() && self.keys.contains(id)
    }

    pub fn certificate(&self, digest: &[u8; 32]) -> bool {
        !self.certificates.is_empty() && self.certificates.contains(digest)
    }

    pub fn identity(&self, name: &str) -> bool {
        !self.identities.is_empty() && self.identities.contains(name)
    }
}
