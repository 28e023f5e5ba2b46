//! An endpoint's policy: read once, strictly, on Envoy's main thread, and never changed. README.md has an example.

use crate::accept::Accept;
use crate::gauge::{GAUGES, Gauge};
use crate::limit::{Limited, Registry, Rule};
use crate::mechanisms::Mechanism;
use crate::mechanisms::api_key::{self, Keys};
use crate::mechanisms::jwt::{self, Tokens};
use crate::mechanisms::mtls::{self, Identities};
use crate::operation::Operations;
use crate::revoked::Revoked;
use crate::rules::{self, Rules};
use crate::strict::{FORMAT, Unique, visible};
use serde::Deserialize;
use std::collections::HashMap;

/// Also of the URI of a certificate, which is its client's id.
const LONGEST_NAME: usize = 512;
/// A permission is a bit of a mask.
const MOST_PERMISSIONS: usize = 64;

pub struct Policy {
    /// Calls in flight at the endpoint, under whatever policy they began.
    pub in_flight: Gauge,
    pub endpoint: Box<str>,
    /// The document's sequence, in decimal digits, for the audit log.
    pub sequence: Box<str>,
    /// Unix seconds. From then on the gate denies by itself.
    pub valid_until: Option<i64>,
    /// The error that every call is answered with.
    pub denied: Option<Box<str>>,
    pub operations: Operations,
    pub permissions: Permissions,
    pub clients: Vec<Client>,
    /// None: the mechanism is off.
    pub api_keys: Option<Keys>,
    pub tokens: Option<Tokens>,
    pub certificates: Option<Identities>,
    pub rules: Rules,
    pub accept: Accept,
    pub revoked: Revoked,
}

pub struct Client {
    pub id: Box<str>,
    pub permissions: u64,
    pub permission_list: Box<str>,
    /// The rules that name the client, a bit for each.
    pub by_client: u64,
    pub limit: Option<Limited>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Value {
    format: u64,
    endpoint: Box<str>,
    sequence: u64,
    valid_until: Option<i64>,
    denied: Option<Denied>,
    #[serde(default)]
    operations: Vec<(Box<str>, Box<str>, Box<str>)>,
    #[serde(default)]
    mechanisms: Mechanisms,
    #[serde(default)]
    clients: Vec<ClientValue>,
    #[serde(default)]
    accept: Vec<Vec<Box<str>>>,
    #[serde(default)]
    rules: Vec<rules::Value>,
    #[serde(default)]
    revoked: Revoked,
    #[serde(default)]
    limits: Unique<RuleValue>,
    #[serde(default = "one")]
    gateways: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Denied {
    code: Box<str>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Mechanisms {
    api_key: Option<api_key::Value>,
    jwt: Option<jwt::Value>,
    mtls: Option<mtls::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientValue {
    id: Box<str>,
    permissions: Vec<Box<str>>,
    limit: Option<Box<str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RuleValue {
    requests: u32,
    per_milliseconds: u64,
    burst: u32,
}

fn one() -> u32 {
    1
}

impl Policy {
    /// Reads a policy. The buckets of its clients come from the registry. The error says what is wrong, for Envoy's log.
    pub fn parse(json: &[u8], registry: &Registry, now_ms: u64) -> Result<Policy, String> {
        let value: Value = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        build(value, registry, now_ms)
    }
}

fn build(mut value: Value, registry: &Registry, now_ms: u64) -> Result<Policy, String> {
    if value.format != FORMAT {
        return Err(format!("format {} is not {FORMAT}, the only one that this gate reads", value.format));
    }
    if !visible(&value.endpoint, LONGEST_NAME) {
        return Err("endpoint is not visible ASCII".to_owned());
    }
    let mut permissions = Permissions::default();
    let mut operations = Operations::default();
    for (method, path, permission) in &value.operations {
        operations.add(method, path, permissions.index(permission)?)?;
    }
    let accept = accept(&value)?;
    let rules = Rules::new(std::mem::take(&mut value.rules), |names| permissions.mask(names))?;
    let clients = clients(&value, &mut permissions, &rules, registry, now_ms)?;
    let crowd =
        value.mechanisms.jwt.as_ref().map(|it| limit(&limits(&value)?, it.limit.as_deref())).transpose()?.flatten();
    let crowd = crowd.map(|rule| registry.subjects(&value.endpoint, rule, now_ms));
    let api_keys = value.mechanisms.api_key.map(|it| Keys::read(it, clients.len())).transpose()?;
    let tokens = value.mechanisms.jwt.map(|it| Tokens::new(it, crowd)).transpose()?;
    let certificates = value.mechanisms.mtls.map(|it| Identities::read(it, clients.len())).transpose()?;
    Ok(Policy {
        in_flight: GAUGES.of(&value.endpoint),
        endpoint: value.endpoint,
        sequence: value.sequence.to_string().into(),
        valid_until: value.valid_until,
        denied: value.denied.map(|denied| denied.code),
        operations,
        permissions,
        clients,
        api_keys,
        tokens,
        certificates,
        rules,
        accept,
        revoked: value.revoked,
    })
}

fn accept(value: &Value) -> Result<Accept, String> {
    let on = |mechanism| match mechanism {
        Mechanism::ApiKey => value.mechanisms.api_key.is_some(),
        Mechanism::Jwt => value.mechanisms.jwt.is_some(),
        Mechanism::Mtls => value.mechanisms.mtls.is_some(),
    };
    let named = |name: &str| match Mechanism::named(name) {
        Some(mechanism) if on(mechanism) => Ok(mechanism),
        _ => Err(format!("accept names {name:?}, which is not among the mechanisms")),
    };
    let lists =
        value.accept.iter().map(|list| list.iter().map(|name| named(name)).collect()).collect::<Result<_, _>>()?;
    Ok(Accept::new(lists)?)
}

fn clients(
    value: &Value,
    permissions: &mut Permissions,
    rules: &Rules,
    registry: &Registry,
    now_ms: u64,
) -> Result<Vec<Client>, String> {
    let known = limits(value)?;
    let mut limits: Vec<Option<Rule>> = Vec::with_capacity(value.clients.len());
    let mut seen = std::collections::HashSet::new();
    for client in &value.clients {
        if !visible(&client.id, LONGEST_NAME) || !seen.insert(&client.id) {
            return Err(format!("client {:?} is not visible ASCII or occurs twice", client.id));
        }
        limits.push(limit(&known, client.limit.as_deref())?);
    }
    let ids = value.clients.iter().map(|client| &*client.id);
    let limits = registry.limits(&value.endpoint, ids.zip(limits), now_ms);
    value
        .clients
        .iter()
        .zip(limits)
        .map(|(client, limit)| {
            Ok(Client {
                id: client.id.clone(),
                permissions: permissions.mask(&client.permissions)?,
                permission_list: client.permissions.join(",").into(),
                by_client: rules.with_client(&client.id),
                limit,
            })
        })
        .collect()
}

fn limit(known: &HashMap<&str, Rule>, name: Option<&str>) -> Result<Option<Rule>, String> {
    name.map(|name| known.get(name).copied().ok_or_else(|| format!("limits has no {name:?}"))).transpose()
}

fn limits(value: &Value) -> Result<HashMap<&str, Rule>, String> {
    if value.gateways == 0 {
        return Err("gateways is 0".to_owned());
    }
    let rule = |(name, it): &'_ (String, RuleValue)| {
        if it.requests == 0 || it.per_milliseconds == 0 || it.burst == 0 {
            return Err(format!("limit {name:?} has a 0"));
        }
        Ok(Rule { requests: it.requests, per_ms: it.per_milliseconds, burst: it.burst, gateways: value.gateways })
    };
    value.limits.0.iter().map(|each| Ok((each.0.as_str(), rule(each)?))).collect()
}

/// The permissions by name; their number is their bit.
#[derive(Default)]
pub struct Permissions {
    names: Vec<Box<str>>,
}

impl Permissions {
    pub fn name(&self, bit: u8) -> &str {
        &self.names[usize::from(bit)]
    }

    /// The bits of those that the policy knows. No operation needs any other.
    pub fn of(&self, names: &[&str]) -> u64 {
        let bits = names.iter().filter_map(|name| self.names.iter().position(|each| **each == **name));
        bits.fold(0, |mask, bit| mask | 1 << bit)
    }

    /// Their names, with commas.
    pub fn list(&self, mask: u64) -> String {
        let mut names: Vec<_> =
            (0..).zip(&self.names).filter(|(bit, _)| mask & (1 << bit) != 0).map(|it| &**it.1).collect();
        names.sort_unstable();
        names.join(",")
    }

    pub fn mask(&mut self, names: &[Box<str>]) -> Result<u64, String> {
        names.iter().try_fold(0, |mask, name| Ok(mask | 1 << self.index(name)?))
    }

    fn index(&mut self, name: &str) -> Result<u8, String> {
        if let Some(index) = self.names.iter().position(|each| **each == *name) {
            return Ok(index as u8);
        }
        if !visible(name, LONGEST_NAME) || name.contains(',') || self.names.len() == MOST_PERMISSIONS {
            return Err(format!("permission {name:?} is not visible ASCII, or there are too many"));
        }
        self.names.push(name.into());
        Ok(self.names.len() as u8 - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub const GOOD: &str = r#"{
        "format": 1, "endpoint": "search/minilm", "sequence": 7, "gateways": 2, "validUntil": 2000000000,
        "operations": [["POST", "/v2/models/minilm/infer", "infer"], ["GET", "/v2/models/{m}", "metadata"]],
        "mechanisms": {"apiKey": {"keys": [
            ["00000000000000000000000000000000000000000000000000000000000000ff", 0, "000000000000", null, 1900000000]]}},
        "clients": [{"id": "search/bot", "permissions": ["infer", "metadata"], "limit": "t"}],
        "accept": [["apiKey"]],
        "rules": [],
        "revoked": {"clients": ["search/gone"], "keys": []},
        "limits": {"t": {"requests": 10, "perMilliseconds": 1000, "burst": 20}}
    }"#;

    fn parse(text: &str) -> Result<Policy, String> {
        Policy::parse(text.as_bytes(), &Registry::default(), 0)
    }

    #[test]
    fn a_policy_is_read() {
        let policy = parse(GOOD).unwrap();
        assert_eq!((&*policy.endpoint, &*policy.sequence), ("search/minilm", "7"));
        assert_eq!(&*policy.clients[0].permission_list, "infer,metadata");
        assert!(policy.clients[0].limit.is_some() && policy.revoked.client("search/gone"));
        let least = parse(r#"{"format": 1, "endpoint": "a/b", "sequence": 0}"#).unwrap();
        assert!(least.api_keys.is_none() && least.clients.is_empty());
    }

    #[test]
    fn every_deviation_is_refused() {
        for (from, to) in [
            (r#""format": 1"#, r#""format": 2"#),
            (r#""format": 1, "#, ""),
            (r#""sequence": 7"#, r#""sequence": -7"#),
            (r#""sequence": 7"#, r#""sequence": "7""#),
            (r#""sequence": 7"#, r#""sequence": 7, "sequence": 8"#),
            (r#""sequence": 7"#, r#""sequence": 7, "more": 8"#),
            (r#""search/minilm""#, r#""""#),
            (r#""gateways": 2"#, r#""gateways": 0"#),
            (r#""POST""#, r#""post""#),
            ("{m}", "{m"),
            (r#", "metadata"]]"#, r#", "metadata", 1]]"#),
            (r#"{"apiKey": {"#, r#"{"jwt": {"#),
            (r#"{"apiKey": {"#, r#"{"jwt": {"issuers": [["", "x"]]}, "apiKey": {"#),
            (r#"{"apiKey": {"#, r#"{"jwt": {"issuers": [["a/b"]]}, "apiKey": {"#),
            (r#"{"apiKey": {"#, r#"{"jwt": {"issuers": [], "limit": "u"}, "apiKey": {"#),
            (r#"[["apiKey"]]"#, r#"[["jwt"]]"#),
            (r#"ff", 0"#, r#"ff", 1"#),
            (r#"ff", 0"#, r#"FF", 0"#),
            (r#"ff", 0"#, r#"fff", 0"#),
            (r#"1900000000]"#, r#"1900000000, 1]"#),
            (r#"null, 1900000000]"#, r#"null]"#),
            (r#""search/bot""#, r#""search bot""#),
            (r#""search/bot""#, r#""search\nbot""#),
            (r#""limit": "t""#, r#""limit": "u""#),
            (r#"[["apiKey"]]"#, r#"[["apiKey"], []]"#),
            (r#"[["apiKey"]]"#, r#"[["mtls"]]"#),
            (r#""rules": []"#, r#""rules": [{}]"#),
            (r#"{"t": {"#, r#"{"t": {"requests": 1, "perMilliseconds": 1, "burst": 1}, "t": {"#),
            (r#""requests": 10"#, r#""requests": 0"#),
            (r#""burst": 20"#, r#""burst": 1e400"#),
            ("}\n    }", "}\n    } x"),
        ] {
            let changed = GOOD.replacen(from, to, 1);
            assert_ne!(changed, GOOD, "{from}");
            assert!(parse(&changed).is_err(), "{to}");
        }
        assert!(parse("").is_err() && parse("[]").is_err() && parse("null").is_err());
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "\\PC{0,200}", at in 0usize..900, with in any::<u8>()) {
            let _ = parse(&text);
            let mut bytes = GOOD.as_bytes().to_vec();
            let at = at % bytes.len();
            bytes[at] = with;
            let _ = Policy::parse(&bytes, &Registry::default(), 0);
            let _ = Policy::parse(&GOOD.as_bytes()[..at], &Registry::default(), 0);
        }
    }

    /// `cargo test --release measure -- --ignored --nocapture`: the numbers of ADR 9.
    #[test]
    #[ignore = "a measurement, not a test"]
    fn measure_a_thousand_clients_with_two_keys_each() {
        use sha2::Digest;
        let clients: Vec<_> = (0..1000)
            .map(|n| format!(r#"{{"id":"search/client-{n:04}","permissions":["infer","metadata"],"limit":"t"}}"#))
            .collect();
        let keys: Vec<_> = (0..2000)
            .map(|n| {
                let hex: String = sha2::Sha256::digest(n.to_string()).iter().map(|b| format!("{b:02x}")).collect();
                format!(r#"["{hex}",{},"k{n:011}",null,1900000000]"#, n / 2)
            })
            .collect();
        let text = format!(
            r#"{{"format":1,"endpoint":"search/minilm","sequence":7,"operations":[["POST","/v2/models/m/infer","infer"],
            ["GET","/v2/models/m","metadata"]],"mechanisms":{{"apiKey":{{"keys":[{}]}}}},"clients":[{}],
            "accept":[["apiKey"]],"limits":{{"t":{{"requests":10,"perMilliseconds":1000,"burst":20}}}}}}"#,
            keys.join(","),
            clients.join(",")
        );
        let registry = Registry::default();
        let (mut reads, mut drops) = (Vec::new(), Vec::new());
        for _ in 0..50 {
            let start = std::time::Instant::now();
            let policy = Policy::parse(text.as_bytes(), &registry, 0).unwrap();
            reads.push(start.elapsed());
            let start = std::time::Instant::now();
            drop(policy);
            drops.push(start.elapsed());
        }
        reads.sort();
        drops.sort();
        println!("{} bytes, read in {:?} (median of 50), freed in {:?}", text.len(), reads[25], drops[25]);
    }
}
