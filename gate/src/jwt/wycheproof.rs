//! Google's and C2SP's vectors for signatures and keys against our verifier. They lie beside the repository and not in
//! it; `NIGHTLATCH_VECTORS` may name another folder. Without them this test says so and does nothing.

use super::json::Json;
use super::keys::{Keys, Signature};
use super::token::{Algorithm, Token};
use std::collections::BTreeMap;
use std::path::PathBuf;

const FILES: [&str; 3] = ["json_web_signature_test.json", "json_web_key_test.json", "json_web_crypto_test.json"];

fn folder() -> PathBuf {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors");
    std::env::var_os("NIGHTLATCH_VECTORS").map_or_else(|| beside.into(), PathBuf::from).join("wycheproof")
}

/// Why a vector that is valid by the standards is refused all the same. None: there is no reason.
fn reason(set: &Json, text: &str) -> Option<&'static str> {
    let keys = match set.get("keys") {
        Some(Json::List(keys)) => keys.iter().collect(),
        _ => vec![set],
    };
    let has = |name: &str, value: &str| keys.iter().any(|key| key.get(name).and_then(Json::text) == Some(value));
    if has("kty", "oct") {
        return Some("the key is symmetric, so every gateway could sign");
    }
    if has("alg", "ES521") {
        return Some("the key's alg is ES521, which no standard has: it is ES512");
    }
    if text.split('.').count() == 5 {
        return Some("the token is encrypted");
    }
    let algorithm = Token::read(text.as_bytes()).map(|token| format!("{:?}", token.algorithm));
    if algorithm.is_some_and(|name| !has("alg", &name)) {
        return Some("the key's alg is another one than the token's");
    }
    None
}

fn accepts(set: &Json, text: &str) -> bool {
    let read = |keys: &[Json]| Keys::read(keys, &Algorithm::ALL);
    let keys = match set {
        Json::Object(members) => match members.iter().find(|(name, _)| name == "keys") {
            Some((_, Json::List(keys))) => read(keys),
            _ => read(std::slice::from_ref(set)),
        },
        _ => return false,
    };
    let token = Token::read(text.as_bytes());
    let (Ok(keys), Some(token)) = (keys, token) else { return false };
    // The set is new and remembers no token, so the first answer is the library's; the second one is from memory if it
    // was good.
    assert_eq!(keys.remembered(), 0);
    let first = keys.verify(&token);
    assert_eq!(keys.remembered(), usize::from(first == Signature::Good));
    assert_eq!(keys.verify(&token), first);
    first == Signature::Good
}

#[test]
fn no_vector_is_accepted_wrongly_and_each_refusal_of_a_valid_one_is_explained() {
    let folder = folder();
    if !folder.is_dir() {
        eprintln!("SKIPPED: {} is absent, so no Wycheproof vector was tried", folder.display());
        return;
    }
    let (mut tried, mut accepted, mut refused) = (0, 0, 0);
    let mut explained: BTreeMap<&str, u32> = BTreeMap::new();
    for file in FILES {
        let text = std::fs::read(folder.join(file)).unwrap();
        let all: serde_json::Value = serde_json::from_slice(&text).unwrap();
        for group in all["testGroups"].as_array().unwrap() {
            let set = group.get("public").unwrap_or(&group["private"]).to_string();
            let set = Json::read(set.as_bytes()).unwrap();
            for test in group["tests"].as_array().unwrap() {
                // Some tokens are in JSON serialization, which is no text here.
                let value = ["jws", "jwe"].into_iter().find_map(|name| test.get(name)).unwrap();
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let said = format!("{file} {} {}", test["tcId"], test["comment"]);
                tried += 1;
                match (test["result"].as_str().unwrap(), accepts(&set, &text)) {
                    ("valid", true) => accepted += 1,
                    ("valid", false) => {
                        let why = reason(&set, &text).unwrap_or_else(|| panic!("refused without a reason: {said}"));
                        *explained.entry(why).or_default() += 1;
                    }
                    ("invalid", false) => refused += 1,
                    (result, _) => panic!("wrongly accepted, it is {result}: {said}"),
                }
            }
        }
    }
    println!("{tried} vectors: {refused} invalid and refused, {accepted} valid and accepted, valid and refused:");
    explained.iter().for_each(|(why, count)| println!("  {count}: {why}"));
    assert!(tried > 400 && accepted > 20 && refused > 300, "the vectors were hardly tried");
}
