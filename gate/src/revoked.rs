//! Clients, keys and tokens that are refused although a policy or an issuer still has them.
//!
//! The gateway's own list is in the filter configuration and is consulted first, so that a revocation is one small
//! push whatever the number of endpoints. An endpoint's policy may have a list as well.

use crate::strict::Unique;
use serde::Deserialize;
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
    /// By name of the issuer.
    #[serde(default, deserialize_with = "by_name")]
    tokens: HashMap<Box<str>, Tokens>,
}

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

fn by_name<'de, V: Deserialize<'de>, D: serde::Deserializer<'de>>(from: D) -> Result<HashMap<Box<str>, V>, D::Error> {
    Ok(Unique::deserialize(from)?.0.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

impl Revoked {
    pub fn client(&self, id: &str) -> bool {
        !self.clients.is_empty() && self.clients.contains(id)
    }

    pub fn key(&self, id: &str) -> bool {
        !self.keys.is_empty() && self.keys.contains(id)
    }

    /// `issued`: Unix milliseconds.
    pub fn token(&self, issuer: &str, jti: Option<&str>, sub: Option<&str>, sid: Option<&str>, issued: i64) -> bool {
        let Some(tokens) = self.tokens.get(issuer) else { return false };
        let is_in = |list: &HashSet<Box<str>>, id: Option<&str>| id.is_some_and(|id| list.contains(id));
        let too_old =
            |subject: &str| tokens.issued_before.get(subject).is_some_and(|time| issued < time.saturating_mul(1000));
        is_in(&tokens.jti, jti)
            || is_in(&tokens.sub, sub)
            || is_in(&tokens.sid, sid)
            || too_old("")
            || sub.is_some_and(too_old)
    }
}
