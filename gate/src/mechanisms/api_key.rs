//! API keys: a call proves itself by showing a key whose digest the policy has, while the key is in force.

use super::{Caller, Evidence, Limit, Mechanism, Proof};
use crate::api_key::{digest, well_formed};
use crate::flaw::Flaw;
use crate::last_use::{LAST_USES, LastUse};
use crate::policy::{Client, Policy};
use crate::strict::{Digest, visible};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::HashSet;
use subtle::ConstantTimeEq;

const LONGEST_ID: usize = 256;

/// The mechanism's part of a policy.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Value {
    keys: Vec<KeyValue>,
}

/// Digest, index of the client, id of the key, not before, not after. An array, because there are many of them.
#[derive(Deserialize)]
struct KeyValue(Digest, u32, Box<str>, Option<i64>, Option<i64>);

/// A key as the policy knows it. Times are Unix seconds; `not_after` itself is too late.
pub struct Key {
    pub digest: [u8; 32],
    pub client: u32,
    pub id: Box<str>,
    pub not_before: Option<i64>,
    pub not_after: Option<i64>,
    pub last_use: LastUse,
}

/// All keys of an endpoint. Found by the first bytes of the digest, compared in constant time.
#[derive(Default)]
pub struct Keys {
    keys: Box<[Key]>,
    /// Indices into `keys`, plus one; 0 is an empty place. The length is a power of two, at least twice that of `keys`.
    places: Box<[u32]>,
}

impl Keys {
    /// `clients`: how many the policy has.
    pub fn read(value: Value, clients: usize) -> Result<Keys, String> {
        let last_uses = LAST_USES.of(value.keys.iter().map(|key| &*key.2));
        let key = |(KeyValue(Digest(digest), client, id, not_before, not_after), last_use): (KeyValue, LastUse)| {
            if client as usize >= clients || !visible(&id, LONGEST_ID) {
                return Err(format!("key {id:?} names no client or has no proper id"));
            }
            Ok(Key { digest, client, id, not_before, not_after, last_use })
        };
        Ok(Keys::new(value.keys.into_iter().zip(last_uses).map(key).collect::<Result<_, _>>()?)?)
    }

    fn new(keys: Vec<Key>) -> Result<Keys, &'static str> {
        let mut seen = HashSet::new();
        if !keys.iter().all(|key| seen.insert(key.digest)) {
            return Err("two keys have the same digest");
        }
        let mut places = vec![0; (keys.len() * 2).next_power_of_two().max(2)].into_boxed_slice();
        for (index, key) in keys.iter().enumerate() {
            let mut at = start(&key.digest, places.len());
            while places[at] != 0 {
                at = (at + 1) % places.len();
            }
            places[at] = index as u32 + 1;
        }
        Ok(Keys { keys: keys.into(), places })
    }

    fn find(&self, digest: &[u8; 32]) -> Option<&Key> {
        if self.keys.is_empty() {
            return None;
        }
        let mut at = start(digest, self.places.len());
        while self.places[at] != 0 {
            let key = &self.keys[self.places[at] as usize - 1];
            if key.digest.ct_eq(digest).into() {
                return Some(key);
            }
            at = (at + 1) % self.places.len();
        }
        None
    }
}

fn start(digest: &[u8; 32], places: usize) -> usize {
    u64::from_le_bytes([digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7]])
        as usize
        % places
}

impl Key {
    /// None: it is in force.
    fn fault(&self, unix_ms: i64) -> Option<Flaw> {
        if self.not_before.is_some_and(|time| unix_ms < time.saturating_mul(1000)) {
            return Some(Flaw::KeyNotYetValid);
        }
        self.not_after.is_some_and(|time| unix_ms >= time.saturating_mul(1000)).then_some(Flaw::KeyExpired)
    }
}

pub fn prove<'p>(evidence: &Evidence<'_, 'p>) -> Proof<'p> {
    let Some(text) = evidence.presented.api_key else { return Proof::Absent };
    if evidence.policy.api_keys.is_none() {
        return Proof::Failed(Flaw::NotAccepted);
    }
    if !well_formed(text) {
        return Proof::Failed(Flaw::KeyMalformed);
    }
    let Some((key, client)) = known(evidence.policy, text) else { return Proof::Failed(Flaw::KeyUnknown) };
    if evidence.revoked.iter().any(|list| list.client(&client.id)) {
        return Proof::Failed(Flaw::KeyOfRevokedClient);
    }
    if evidence.revoked.iter().any(|list| list.key(&key.id)) {
        return Proof::Failed(Flaw::KeyRevoked);
    }
    if let Some(flaw) = key.fault(evidence.unix_ms) {
        return Proof::Failed(flaw);
    }
    Proof::Ok(Caller {
        client: Cow::Borrowed(&client.id),
        credential: Cow::Borrowed(&key.id),
        method: Mechanism::ApiKey,
        permissions: Some(client.permissions),
        permission_list: Some(&client.permission_list),
        by_claims: 0,
        by_client: client.by_client,
        by_certificate: 0,
        ends: None,
        limit: client.limit.as_ref().map(Limit::Client),
        last_use: Some(&key.last_use),
    })
}

/// The key with this text and its client, if the endpoint knows it.
pub fn known<'p>(policy: &'p Policy, text: &[u8]) -> Option<(&'p Key, &'p Client)> {
    let key = policy.api_keys.as_ref()?.find(&digest(text))?;
    Some((key, &policy.clients[key.client as usize]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(digest: [u8; 32]) -> Key {
        Key { digest, client: 0, id: "k".into(), not_before: None, not_after: None, last_use: LastUse::default() }
    }

    proptest! {
        #[test]
        fn every_key_is_found_and_no_other(
            digests in proptest::collection::hash_set(any::<[u8; 32]>(), 0..60),
            other in any::<[u8; 32]>(),
        ) {
            let keys = Keys::new(digests.iter().map(|digest| key(*digest)).collect()).unwrap();
            for digest in &digests {
                prop_assert_eq!(keys.find(digest).map(|found| found.digest), Some(*digest));
            }
            prop_assert_eq!(keys.find(&other).is_some(), digests.contains(&other));
        }

        #[test]
        fn digests_that_begin_alike_are_told_apart(last in 1u8..255) {
            let (mut one, mut two) = ([7; 32], [7; 32]);
            one[31] = 0;
            two[31] = last;
            let keys = Keys::new(vec![key(one), key(two)]).unwrap();
            prop_assert_eq!(keys.find(&two).unwrap().digest, two);
            two[30] = 9;
            prop_assert!(keys.find(&two).is_none());
        }
    }

    #[test]
    fn a_digest_that_occurs_twice_is_refused() {
        assert!(Keys::new(vec![key([1; 32]), key([1; 32])]).is_err());
    }

    #[test]
    fn a_key_is_in_force_from_not_before_until_just_before_not_after() {
        let mut key = key([0; 32]);
        (key.not_before, key.not_after) = (Some(10), Some(20));
        for (now, expected) in [(9_999, false), (10_000, true), (19_999, true), (20_000, false), (i64::MAX, false)] {
            assert_eq!(key.fault(now).is_none(), expected, "{now}");
        }
        (key.not_before, key.not_after) = (Some(i64::MIN), Some(i64::MAX));
        assert!(key.fault(0).is_none());
    }
}
