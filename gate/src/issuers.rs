//! Token issuers, from the filter's own configuration: each is read by itself, so that a bad one harms no other.

use crate::jwt::issuer::{Issuer, is_name};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// The tokens of this gateway that a key is missing for.
pub static UNKNOWN_KEYS: LazyLock<UnknownKeys> = LazyLock::new(UnknownKeys::default);

/// The issuers that could be read, and what became of each.
#[derive(Default)]
pub struct Issuers {
    pub usable: HashMap<Box<str>, Issuer>,
    /// Name and, for an issuer that was refused, what is wrong with it.
    pub states: Vec<(String, Option<String>)>,
}

/// How many tokens came with a key that is not known, by issuer: whoever fetches keys looks again where a number grew.
///
/// What callers send is not kept, so that nobody fills this. The numbers outlive configurations, and go with the last
/// one that has the issuer.
#[derive(Default)]
pub struct UnknownKeys(Mutex<BTreeMap<Box<str>, Arc<AtomicU64>>>);

impl UnknownKeys {
    fn of(&self, issuer: &str) -> Arc<AtomicU64> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.retain(|name, count| **name == *issuer || Arc::strong_count(count) > 1);
        counts.entry(issuer.into()).or_default().clone()
    }

    /// The issuers with at least one.
    pub fn read(&self) -> BTreeMap<Box<str>, u64> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let numbers = counts.iter().map(|(name, count)| (name.clone(), count.load(Ordering::Relaxed)));
        numbers.filter(|(_, number)| *number > 0).collect()
    }
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

impl Issuers {
    pub fn read(values: &[&RawValue], unknown_keys: &UnknownKeys) -> Issuers {
        let mut issuers = Issuers::default();
        for (index, value) in values.iter().enumerate() {
            let named = serde_json::from_str::<Named>(value.get()).ok();
            let label = named.map(|it| it.name).filter(|it| is_name(it)).unwrap_or_else(|| format!("#{index}"));
            let issuer = match Issuer::parse(value.get(), |name| unknown_keys.of(name)) {
                Ok(issuer) if issuers.usable.contains_key(&issuer.name) => Err("its name occurs twice".to_owned()),
                parsed => parsed,
            };
            let error = match issuer {
                Ok(issuer) => issuers.usable.insert(issuer.name.clone(), issuer).and(None),
                Err(error) => Some(error),
            };
            issuers.states.push((label, error));
        }
        issuers
    }

    pub fn refused(&self) -> impl Iterator<Item = (&str, &str)> {
        self.states.iter().filter_map(|(name, error)| error.as_deref().map(|error| (name.as_str(), error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::signer::Signer;
    use proptest::prelude::*;

    fn issuer(name: &str, key: &str) -> String {
        format!(
            r#"{{"name": "{name}", "issuer": "https://id.example", "audiences": ["a"], "algorithms": ["ES256", "RS256"],
            "keys": [{key}], "maxLifetimeMilliseconds": 1, "clockSkewMilliseconds": 0,
            "permissionsFrom": {{"claim": ["scope"], "map": {{}}}}, "identityFrom": ["sub"],
            "senderConstrained": "Never"}}"#
        )
    }

    #[test]
    fn a_bad_issuer_is_refused_alone() {
        let key = Signer::new().jwk("");
        let good = |name: &str| issuer(name, &key);
        let bad = |name: &str, from: &str, to: &str| {
            assert!(good(name).contains(from), "{from}");
            good(name).replacen(from, to, 1)
        };
        let values = [
            good("ids/good"),
            bad("ids/keyless", &key, ""),
            good("ids/good"),
            bad("ids/unknown", "\"keys\"", "\"more\": 1, \"keys\""),
            bad("ids/twice", "\"issuer\"", "\"issuer\": \"y\", \"issuer\""),
            bad("ids/for-nobody", "[\"a\"]", "[]"),
            bad("ids/none", "ES256", "none"),
            bad("ids/symmetric", "ES256", "HS256"),
            bad("ids/nameless-claim", "[\"sub\"]", "[]"),
            bad("ids/private", "\"kty\"", "\"d\": \"AA\", \"kty\""),
            bad("ids/key-twice", "\"kty\"", "\"use\": \"enc\", \"use\": \"sig\", \"kty\""),
            good("No Name"),
            "17".to_owned(),
            good("ids/also-good"),
        ];
        let values: Vec<&RawValue> = values.iter().map(|value| serde_json::from_str(value).unwrap()).collect();
        let issuers = Issuers::read(&values, &UnknownKeys::default());
        let mut usable: Vec<_> = issuers.usable.keys().map(|name| &**name).collect();
        usable.sort_unstable();
        assert_eq!(usable, ["ids/also-good", "ids/good"]);
        let refused: Vec<_> = issuers.refused().map(|(name, _)| name).collect();
        let expected = "ids/keyless ids/good ids/unknown ids/twice ids/for-nobody ids/none ids/symmetric \
            ids/nameless-claim ids/private ids/key-twice #11 #12";
        assert_eq!(refused, expected.split(' ').collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn reading_never_panics(at in any::<prop::sample::Index>(), with in 32u8..127, text in "\\PC{0,100}") {
            let mut bytes = issuer("ids/a", &Signer::new().jwk("")).into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = with;
            for text in [String::from_utf8(bytes).unwrap(), text] {
                if let Ok(value) = serde_json::from_str::<&RawValue>(&text) {
                    let issuers = Issuers::read(&[value], &UnknownKeys::default());
                    prop_assert_eq!(issuers.states.len(), 1);
                    prop_assert_eq!(issuers.refused().count() + issuers.usable.len(), 1);
                }
            }
        }

        #[test]
        fn no_numbers_of_a_key_are_too_odd_to_be_judged(
            kty in "(RSA|EC|OKP|oct)", crv in "(P-256|Ed25519|)", n in "[A-Za-z0-9_=-]{0,8}[A-Za-z0-9_-]{0,400}",
            e in "(AQAB|AQ|Aw|AA|[A-Za-z0-9_-]{0,12})", x in "[A-Za-z0-9_-]{43}", y in "[A-Za-z0-9_-]{42,43}",
        ) {
            let key = format!(
                r#"{{"kty": "{kty}", "crv": "{crv}", "n": "{n}", "e": "{e}", "x": "{x}", "y": "{y}"}}"#
            );
            let text = issuer("ids/a", &key);
            let issuers = Issuers::read(&[serde_json::from_str(&text).unwrap()], &UnknownKeys::default());
            prop_assert_eq!(issuers.states.len(), 1);
        }
    }

    #[test]
    fn numbers_of_unknown_keys_outlive_a_configuration_and_go_with_the_last() {
        let counts = UnknownKeys::default();
        let before = counts.of("ids/a");
        before.fetch_add(2, Ordering::Relaxed);
        let next = counts.of("ids/a");
        drop(before);
        counts.of("ids/b");
        assert_eq!(counts.read(), BTreeMap::from([("ids/a".into(), 2)]));
        drop(next);
        counts.of("ids/b");
        assert!(counts.read().is_empty());
    }
}
