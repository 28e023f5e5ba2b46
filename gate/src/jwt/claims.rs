//! What a token claims: where a claim lies, which values it has, and the times between which it holds.

use super::json::Json;
use crate::flaw::Flaw;
use serde::Deserialize;

/// The place of a claim: the name of a member, then of a member in it, and so on.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(transparent)]
pub struct Path(Box<[Box<str>]>);

impl Path {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names with dots between them, for people.
    pub fn dotted(&self) -> String {
        self.0.join(".")
    }

    pub fn find<'c, 'a>(&self, claims: &'c Json<'a>) -> Option<&'c Json<'a>> {
        self.0.iter().try_fold(claims, |at, name| at.get(name))
    }

    /// Whether the claim is this value, or a list that has it. Only whole values count: a text is not taken apart,
    /// because people choose some of them, such as their names. `scope` and `scp` are the exception, since their words
    /// are separate values (RFC 8693, 4.2). `true`, `false` and whole numbers are compared as JSON writes them.
    pub fn has(&self, claims: &Json, wanted: &str) -> bool {
        let is_wanted = |value: &Json| match value {
            Json::Text(text) => text == wanted,
            Json::Bool(value) => wanted == if *value { "true" } else { "false" },
            Json::Integer(value) => value.to_string() == wanted,
            _ => false,
        };
        match self.find(claims) {
            Some(Json::List(values)) => values.iter().any(is_wanted),
            Some(Json::Text(text)) if self.is_a_list_of_words() => text.split(' ').any(|word| word == wanted),
            Some(value) => is_wanted(value),
            None => false,
        }
    }

    /// The texts of a claim that lists permissions: of a list its texts, and of a text its words.
    pub fn words<'c>(&self, claims: &'c Json) -> Vec<&'c str> {
        match self.find(claims) {
            Some(Json::Text(text)) => text.split(' ').filter(|word| !word.is_empty()).collect(),
            Some(Json::List(values)) => values.iter().filter_map(Json::text).collect(),
            _ => Vec::new(),
        }
    }

    fn is_a_list_of_words(&self) -> bool {
        matches!(&*self.0, [name] if matches!(&**name, "scope" | "scp"))
    }
}

/// When a token was issued and holds, in Unix milliseconds.
#[derive(Debug, PartialEq)]
pub struct Times {
    pub issued: i64,
    pub not_before: Option<i64>,
    pub expires: i64,
}

impl Times {
    /// None: `exp` or `iat` is missing, or one of the times is no number. Without `iat` nobody knows how long a token
    /// has been about, so that `maxLifetime` and `issuedBefore` would mean nothing.
    pub fn read(claims: &Json) -> Option<Times> {
        let not_before = match claims.get("nbf") {
            None => None,
            Some(value) => Some(milliseconds(value)?),
        };
        Some(Times {
            issued: milliseconds(claims.get("iat")?)?,
            not_before,
            expires: milliseconds(claims.get("exp")?)?,
        })
    }

    /// `skew`: how far the issuer's clock may be off. It does not make the lifetime longer. None: they hold now.
    pub fn fault(&self, unix_ms: i64, skew: i64, longest: i64) -> Option<Flaw> {
        let begun = |time: i64| time <= unix_ms + skew;
        if unix_ms >= self.ends(skew) {
            return Some(Flaw::TokenExpired);
        }
        if !begun(self.issued) {
            return Some(Flaw::TokenIssuedInFuture);
        }
        if !self.not_before.is_none_or(begun) {
            return Some(Flaw::TokenNotYetValid);
        }
        (self.expires - self.issued > longest).then_some(Flaw::TokenLivesTooLong)
    }

    /// The first millisecond in which the token is too old.
    pub fn ends(&self, skew: i64) -> i64 {
        self.expires + skew
    }
}

/// A NumericDate (RFC 7519), within 30,000 years.
fn milliseconds(value: &Json) -> Option<i64> {
    const MOST: i64 = 1 << 40;
    match value {
        Json::Integer(seconds) if (-MOST..=MOST).contains(seconds) => Some(seconds * 1000),
        Json::Float(seconds) if seconds.abs() <= MOST as f64 => Some((seconds * 1000.0).floor() as i64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(names: &[&str]) -> Path {
        Path(names.iter().map(|name| (*name).into()).collect())
    }

    const CLAIMS: &str = r#"{
        "scope": "ml:infer  ml:read", "scp": ["a", "b c"], "name": "ml admin", "admin": true, "level": 7,
        "realm_access": {"roles": ["ml-infer", 5, ["x"]]}, "realm_access.roles": ["flat"], "none": null}"#;

    #[test]
    fn only_whole_values_count() {
        let claims = Json::read(CLAIMS.as_bytes()).unwrap();
        for (names, wanted, expected) in [
            (&["scope"][..], "ml:infer", true),
            (&["scope"], "ml:inf", false),
            (&["scope"], "ml:infer  ml:read", false),
            (&["scope"], "ML:INFER", false),
            (&["scope"], "ml:read", true),
            (&["scp"], "a", true),
            (&["scp"], "b", false),
            (&["name"], "ml admin", true),
            (&["name"], "admin", false),
            (&["admin"], "true", true),
            (&["admin"], "1", false),
            (&["level"], "7", true),
            (&["level"], "7.0", false),
            (&["realm_access", "roles"], "ml-infer", true),
            (&["realm_access", "roles"], "5", true),
            (&["realm_access", "roles"], "x", false),
            (&["realm_access", "roles"], "flat", false),
            (&["realm_access.roles"], "flat", true),
            (&["realm_access"], "roles", false),
            (&["realm_access", "roles", "ml-infer"], "", false),
            (&["none"], "null", false),
            (&["absent"], "", false),
        ] {
            assert_eq!(path(names).has(&claims, wanted), expected, "{names:?} {wanted}");
        }
    }

    #[test]
    fn permissions_are_the_words_of_a_text_and_the_texts_of_a_list() {
        let claims = Json::read(CLAIMS.as_bytes()).unwrap();
        assert_eq!(path(&["scope"]).words(&claims), ["ml:infer", "ml:read"]);
        assert_eq!(path(&["scp"]).words(&claims), ["a", "b c"]);
        assert_eq!(path(&["realm_access", "roles"]).words(&claims), ["ml-infer"]);
        assert!(path(&["level"]).words(&claims).is_empty() && path(&["absent"]).words(&claims).is_empty());
    }

    fn times(text: &str) -> Option<Times> {
        Times::read(&Json::read(text.as_bytes()).unwrap())
    }

    #[test]
    fn a_token_holds_from_its_times_to_its_end_and_for_no_longer_than_the_longest() {
        for (claims, from_ms, until_ms) in [
            (r#"{"iat": 100, "exp": 200}"#, 70_000, 230_000),
            (r#"{"iat": 100, "nbf": 150, "exp": 200}"#, 120_000, 230_000),
            (r#"{"iat": 150, "nbf": 100, "exp": 200}"#, 120_000, 230_000),
            (r#"{"iat": 100.0, "exp": 2e2}"#, 70_000, 230_000),
            (r#"{"iat": 100, "exp": 200.5}"#, 70_000, 230_500),
            (r#"{"iat": 100, "exp": 400}"#, 70_000, 430_000),
        ] {
            let holds = |unix_ms| times(claims).unwrap().fault(unix_ms, 30_000, 300_000).is_none();
            assert!(!holds(from_ms - 1) && holds(from_ms), "{claims}");
            assert!(holds(until_ms - 1) && !holds(until_ms), "{claims}");
        }
        let long = times(r#"{"iat": 100, "exp": 400.001}"#).unwrap();
        assert!(!(0..500_000).step_by(500).any(|now| long.fault(now, 30_000, 300_000).is_none()));
    }

    #[test]
    fn a_token_without_proper_times_is_none() {
        for text in [
            r#"{"iat": 100}"#,
            r#"{"exp": 100}"#,
            r#"{"iat": 100, "exp": "200"}"#,
            r#"{"iat": 100, "exp": null}"#,
            r#"{"iat": 100, "exp": [200]}"#,
            r#"{"iat": true, "exp": 200}"#,
            r#"{"iat": 100, "exp": 200, "nbf": "1"}"#,
            r#"{"iat": 100, "exp": 200, "nbf": null}"#,
            r#"{"iat": 100, "exp": 1e300}"#,
            r#"{"iat": 100, "exp": 9223372036854775807}"#,
            r#"{"iat": -9223372036854775808, "exp": 200}"#,
        ] {
            assert_eq!(times(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_times_overflow(iat in any::<f64>(), exp in any::<i64>(), nbf in any::<i64>(), now in 0i64..1 << 50) {
            let claims = Json::Object(vec![
                ("iat".into(), Json::Float(iat)), ("exp".into(), Json::Integer(exp)), ("nbf".into(), Json::Integer(nbf)),
            ]);
            if let Some(times) = Times::read(&claims) {
                let held = times.fault(now, 600_000, 86_400_000).is_none();
                prop_assert!(!held || exp as f64 - iat <= 86_400.001);
            }
        }
    }
}
