//! Token issuers, from the filter's own configuration: each is read by itself, so that a bad one harms no other.
//!
//! No mechanism uses them yet. What is here proves the road: the keys of an issuer change by one ECDS push.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;

/// The issuers that could be read, and what became of each.
#[derive(Default)]
pub struct Issuers {
    #[allow(dead_code, reason = "the mechanisms for tokens read this")]
    pub usable: HashMap<Box<str>, Issuer>,
    /// Name and, for an issuer that was refused, what is wrong with it.
    pub states: Vec<(String, Option<String>)>,
}

/// An issuer. Its keys are opaque texts until there is a mechanism that reads them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "the mechanisms for tokens read this")]
pub struct Issuer {
    pub name: Box<str>,
    pub issuer: Box<str>,
    pub keys: Vec<Box<str>>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

impl Issuers {
    pub fn read(values: &[&RawValue]) -> Issuers {
        let mut issuers = Issuers::default();
        for (index, value) in values.iter().enumerate() {
            let named = serde_json::from_str::<Named>(value.get()).ok();
            let label = named.map(|it| it.name).filter(|it| is_name(it)).unwrap_or_else(|| format!("#{index}"));
            let issuer = match parse(value.get()) {
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

fn parse(value: &str) -> Result<Issuer, String> {
    let issuer: Issuer = serde_json::from_str(value).map_err(|error| error.to_string())?;
    if !is_name(&issuer.name) {
        return Err("its name is not NAMESPACE/NAME".to_owned());
    }
    if issuer.keys.is_empty() || issuer.keys.iter().any(|key| key.is_empty()) {
        return Err("it has no key, or an empty one".to_owned());
    }
    Ok(issuer)
}

/// The name becomes part of a statistic's name.
fn is_name(text: &str) -> bool {
    let safe = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-./".contains(&byte);
    !text.is_empty() && text.len() <= 256 && text.bytes().all(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Issuers {
        Issuers::read(&serde_json::from_str::<Vec<&RawValue>>(text).unwrap())
    }

    #[test]
    fn a_bad_issuer_is_refused_alone() {
        let issuers = read(
            r#"[{"name": "ids/good", "issuer": "https://id.example", "keys": ["k1"]},
                {"name": "ids/empty", "issuer": "x", "keys": []},
                {"name": "ids/good", "issuer": "again", "keys": ["k"]},
                {"name": "ids/unknown", "issuer": "x", "keys": ["k"], "more": 1},
                {"name": "ids/twice", "issuer": "x", "issuer": "y", "keys": ["k"]},
                {"name": "No Name", "issuer": "x", "keys": ["k"]},
                17,
                {"name": "ids/also-good", "issuer": "https://other.example", "keys": ["k1", "k2"]}]"#,
        );
        let mut usable: Vec<_> = issuers.usable.keys().map(|name| &**name).collect();
        usable.sort_unstable();
        assert_eq!(usable, ["ids/also-good", "ids/good"]);
        let refused: Vec<_> = issuers.refused().map(|(name, _)| name).collect();
        assert_eq!(refused, ["ids/empty", "ids/good", "ids/unknown", "ids/twice", "#5", "#6"]);
    }
}
