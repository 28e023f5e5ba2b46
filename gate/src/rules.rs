//! Rules: permissions that an endpoint gives by what is proved about a caller, beside those that its credential carries.

use crate::jwt::claims::Path;
use crate::jwt::json::Json;
use crate::mechanisms::Caller;
use serde::Deserialize;
use std::collections::HashSet;

/// A rule is a bit of a mask.
const MOST: usize = 64;

/// Where a claim lies, and the values of which it must have one.
type Claim = (Path, Box<[Box<str>]>);

/// A rule of a policy. Everything that it names must hold: each claim has one of its values, a proof is of one of the
/// clients, another of one of the certificates. One that names nothing is about every credential that carries no
/// permission.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Value {
    name: Box<str>,
    permissions: Vec<Box<str>>,
    #[serde(default)]
    claims: Box<[Claim]>,
    #[serde(default)]
    clients: HashSet<Box<str>>,
    #[serde(default)]
    certificates: HashSet<Box<str>>,
}

#[derive(Debug, Default)]
pub struct Rules(Box<[Rule]>);

#[derive(Debug)]
struct Rule {
    name: Box<str>,
    permissions: u64,
    claims: Box<[Claim]>,
    clients: HashSet<Box<str>>,
    certificates: HashSet<Box<str>>,
}

impl Rules {
    /// `mask` gives the bits of permissions.
    pub fn new(values: Vec<Value>, mut mask: impl FnMut(&[Box<str>]) -> Result<u64, String>) -> Result<Rules, String> {
        if values.len() > MOST {
            return Err(format!("there are more than {MOST} rules"));
        }
        let rule = |Value { name, permissions, claims, clients, certificates }| {
            if claims.iter().any(|(path, values)| path.is_empty() || values.is_empty()) {
                return Err(format!("rule {name:?} has a claim without a name or without a value"));
            }
            Ok(Rule { permissions: mask(&permissions)?, name, claims, clients, certificates })
        };
        Ok(Rules(values.into_iter().map(rule).collect::<Result<_, _>>()?))
    }

    /// The rules whose claims these are, a bit for each.
    pub fn with_claims(&self, claims: &Json) -> u64 {
        let has = |(path, values): &Claim| values.iter().any(|value| path.has(claims, value));
        self.mask(|_, rule| !rule.claims.is_empty() && rule.claims.iter().all(has))
    }

    /// The rules that have this client, a bit for each.
    pub fn with_client(&self, id: &str) -> u64 {
        self.mask(|_, rule| rule.clients.contains(id))
    }

    /// The rules that have this name of a certificate, a bit for each.
    pub fn with_certificate(&self, identity: &str) -> u64 {
        self.mask(|_, rule| rule.certificates.contains(identity))
    }

    /// The rules that hold for a caller.
    pub fn hold_for(&self, caller: &Caller) -> Held<'_> {
        let is_met = |at: usize, rule: &Rule| {
            let names_nothing = rule.claims.is_empty() && rule.clients.is_empty() && rule.certificates.is_empty();
            (rule.claims.is_empty() || caller.by_claims & (1 << at) != 0)
                && (rule.clients.is_empty() || caller.by_client & (1 << at) != 0)
                && (rule.certificates.is_empty() || caller.by_certificate & (1 << at) != 0)
                && (!names_nothing || caller.permissions.is_none())
        };
        Held { rules: &self.0, mask: self.mask(is_met) }
    }

    fn mask(&self, is_met: impl Fn(usize, &Rule) -> bool) -> u64 {
        let met = self.0.iter().enumerate().filter(|(at, rule)| is_met(*at, rule));
        met.fold(0, |mask, (at, _)| mask | 1 << at)
    }
}

pub struct Held<'p> {
    rules: &'p [Rule],
    mask: u64,
}

impl<'p> Held<'p> {
    pub fn permissions(&self) -> u64 {
        self.each().fold(0, |mask, rule| mask | rule.permissions)
    }

    /// The first rule that gives this permission.
    pub fn that_gives(&self, permission: u8) -> Option<&'p str> {
        self.each().find(|rule| rule.permissions & (1 << permission) != 0).map(|rule| &*rule.name)
    }

    fn each(&self) -> impl Iterator<Item = &'p Rule> {
        self.rules.iter().enumerate().filter(|(at, _)| self.mask & (1 << at) != 0).map(|(_, rule)| rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mechanisms::Mechanism;
    use std::borrow::Cow;

    fn rules(text: &str) -> Result<Rules, String> {
        let values: Vec<Value> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        Rules::new(values, |names| Ok(1 << (names[0].len() - 1)))
    }

    fn caller(permissions: Option<u64>, by_claims: u64, by_client: u64, by_certificate: u64) -> Caller<'static> {
        Caller {
            client: Cow::Borrowed("a/b"),
            credential: Cow::Borrowed("k"),
            method: Mechanism::ApiKey,
            permissions,
            permission_list: None,
            by_claims,
            by_client,
            by_certificate,
            ends: None,
            limit: None,
            last_use: None,
        }
    }

    #[test]
    fn a_rule_holds_where_all_that_it_names_does() {
        let rules = rules(
            r#"[{"name": "groups", "permissions": ["a"], "claims": [[["groups"], ["x", "y"]], [["org", "id"], ["7"]]]},
            {"name": "clients", "permissions": ["bb"], "clients": ["a/b"]},
            {"name": "both", "permissions": ["ccc"], "claims": [[["groups"], ["x"]]], "clients": ["a/b"]},
            {"name": "all", "permissions": ["bb"]},
            {"name": "bound", "permissions": ["ccc"], "clients": ["a/b"], "certificates": ["u:x"]}]"#,
        )
        .unwrap();
        let claims = |text: &str| rules.with_claims(&Json::read(text.as_bytes()).unwrap());
        assert_eq!(claims(r#"{"groups": "y", "org": {"id": 7}}"#), 0b0001);
        assert_eq!(claims(r#"{"groups": ["z", "x"], "org": {"id": "7"}}"#), 0b0101);
        assert_eq!(claims(r#"{"groups": "x", "org": {"id": "70"}}"#), 0b0100);
        assert_eq!(claims(r#"{"org": {"id": "7"}}"#), 0);
        assert_eq!((rules.with_client("a/b"), rules.with_client("a/bb"), rules.with_client("u:x")), (0b10110, 0, 0));
        assert_eq!((rules.with_certificate("u:x"), rules.with_certificate("a/b")), (0b10000, 0));
        for (caller, permissions, gives_second) in [
            (caller(Some(0), 0, 0, 0), 0, None),
            (caller(None, 0, 0, 0), 0b010, Some("all")),
            (caller(None, 0b0001, 0, 0), 0b011, Some("all")),
            (caller(Some(1), 0b0100, 0, 0), 0, None),
            (caller(Some(1), 0, 0b10110, 0), 0b010, Some("clients")),
            (caller(None, 0b0100, 0b0110, 0), 0b110, Some("clients")),
            (caller(Some(1), 0, 0, 0b10000), 0, None),
            (caller(Some(1), 0, 0b10000, 0b10000), 0b100, None),
        ] {
            let held = rules.hold_for(&caller);
            assert_eq!((held.permissions(), held.that_gives(1)), (permissions, gives_second), "{caller:?}");
        }
    }

    #[test]
    fn rules_that_mean_nothing_are_refused() {
        for text in [
            r#"[{"name": "a"}]"#,
            r#"[{"name": "a", "permissions": ["a"], "more": 1}]"#,
            r#"[{"name": "a", "permissions": ["a"], "claims": [[[], ["x"]]]}]"#,
            r#"[{"name": "a", "permissions": ["a"], "claims": [[["groups"], []]]}]"#,
            r#"[{"name": "a", "permissions": ["a"], "claims": [["groups", ["x"]]]}]"#,
        ] {
            assert!(rules(text).is_err(), "{text}");
        }
        let many = |count: usize| format!("[{}]", vec![r#"{"name": "a", "permissions": ["a"]}"#; count].join(","));
        assert!(rules(&many(MOST)).is_ok() && rules(&many(MOST + 1)).is_err());
    }
}
