//! Clients and keys that are refused although a policy still has them.
//!
//! The gateway's own list is in the filter configuration and is consulted first, so that a revocation is one small
//! push whatever the number of endpoints. An endpoint's policy may have a list as well.

use serde::Deserialize;
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
}

impl Revoked {
    pub fn client(&self, id: &str) -> bool {
        !self.clients.is_empty() && self.clients.contains(id)
    }

    pub fn key(&self, id: &str) -> bool {
        !self.keys.is_empty() && self.keys.contains(id)
    }
}
