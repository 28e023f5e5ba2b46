//! The configuration of the filter `gate`, the same for all endpoints. It comes by ECDS. README.md has an example.

use crate::audit::{Amount, EnvoyCodes};
use crate::issuers::{Issuers, UNKNOWN_KEYS};
use crate::reply::Table;
use crate::revoked::Revoked;
use crate::strict::{FORMAT, visible};
use serde::Deserialize;
use serde_json::value::RawValue;

pub struct Config {
    pub realm: Box<str>,
    pub errors: Table,
    /// Consulted before anything that a policy says.
    pub revoked: Revoked,
    /// Unix seconds. From then on every endpoint is stale.
    pub valid_until: Option<i64>,
    pub issuers: Issuers,
    pub audit: Amount,
    pub envoy_codes: EnvoyCodes,
}

/// The configuration of the filter `watch`.
pub struct Watch {
    pub audit: Amount,
    pub envoy_codes: EnvoyCodes,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct WatchValue {
    format: u64,
    audit: Amount,
    envoy_codes: EnvoyCodes,
}

impl Watch {
    pub fn parse(json: &[u8]) -> Result<Watch, String> {
        let value: WatchValue = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        require_format(value.format)?;
        Ok(Watch { audit: value.audit, envoy_codes: value.envoy_codes })
    }
}

fn require_format(format: u64) -> Result<(), String> {
    match format {
        FORMAT => Ok(()),
        _ => Err(format!("format {format} is not {FORMAT}, the only one that this gate reads")),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Value<'a> {
    format: u64,
    realm: Box<str>,
    errors: Table,
    #[serde(default)]
    revoked: Revoked,
    valid_until: Option<i64>,
    #[serde(default)]
    audit: Amount,
    #[serde(default)]
    envoy_codes: EnvoyCodes,
    #[serde(default, borrow)]
    issuers: Vec<&'a RawValue>,
}

impl Config {
    pub fn parse(json: &[u8]) -> Result<Config, String> {
        let value: Value = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        require_format(value.format)?;
        if !visible(&value.realm, 64) || value.realm.contains(['"', '\\']) {
            return Err("realm cannot stand in a header".to_owned());
        }
        Ok(Config {
            realm: value.realm,
            errors: value.errors,
            revoked: value.revoked,
            valid_until: value.valid_until,
            issuers: Issuers::read(&value.issuers, &UNKNOWN_KEYS),
            audit: value.audit,
            envoy_codes: value.envoy_codes,
        })
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use proptest::prelude::*;

    pub fn config(more: &str) -> String {
        format!(r#"{{"format": 1, "realm": "nightlatch", "errors": {}{more}}}"#, crate::reply::tests::ERRORS)
    }

    #[test]
    fn a_configuration_is_read_strictly_but_each_issuer_by_itself() {
        let good = Config::parse(
            config(r#", "validUntil": 5, "revoked": {"clients": ["a/b"]}, "issuers": [{"bad": 1}]"#).as_bytes(),
        )
        .unwrap();
        assert!(good.revoked.client("a/b") && good.valid_until == Some(5) && good.issuers.refused().count() == 1);
        for more in [
            r#", "more": 1"#,
            r#", "format": 1"#,
            r#", "revoked": {"clients": 1}"#,
            r#", "revoked": {"tokens": {"a/b": {"more": []}}}"#,
            r#", "revoked": {"tokens": {"a/b": {}, "a/b": {}}}"#,
            r#", "revoked": {"tokens": {"a/b": {"issuedBefore": {"x": 1, "x": 2}}}}"#,
            r#", "issuers": [}]"#,
            r#", "audit": {"refusalsPerSecond": 1}"#,
            r#", "envoyCodes": {"x": "y"}"#,
        ] {
            assert!(Config::parse(config(more).as_bytes()).is_err(), "{more}");
        }
        assert!(Config::parse(config("").replace("\"nightlatch\"", "\"a b\"").as_bytes()).is_err());
        assert!(Config::parse(config("").replace("\"format\": 1", "\"format\": 2").as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn reading_never_panics(at in 0usize..3000, with in any::<u8>()) {
            let mut bytes = config(r#", "issuers": [{"name": "a/b", "issuer": "x"}], "revoked": {"tokens": {"a/b": {"jti": ["t"]}}}"#).into_bytes();
            let at = at % bytes.len();
            bytes[at] = with;
            let _ = Config::parse(&bytes);
        }
    }
}
