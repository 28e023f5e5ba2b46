//! The rules of one issuer: what a token must be like to count, and what it then says about its caller.

use super::claims::{Path, Times};
use super::json::Json;
use super::keys::{Keys, Signature};
use super::token::{Algorithm, Token, decoded};
use crate::flaw::Flaw;
use crate::revoked::Revoked;
use crate::strict::{Unique, visible};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const LONGEST_IDENTITY: usize = 512;
/// How old a token may be whose key is not known yet: issuers sign with a new key before gateways have it.
const NEW_KEY_MS: i64 = 10_000;

#[derive(Debug)]
pub struct Issuer {
    /// `NAMESPACE/NAME` of the TokenIssuer.
    pub name: Box<str>,
    /// What `iss` has to be.
    pub issuer: Box<str>,
    /// Tokens that may be signed by a key that is not known, since the gateway started.
    pub unknown_keys: Arc<AtomicU64>,
    audiences: Box<[Box<str>]>,
    algorithms: Box<[Algorithm]>,
    keys: Keys,
    /// Unix seconds. From then on the keys are too old to be believed.
    valid_until: Option<i64>,
    token_type: Option<Box<str>>,
    longest_ms: i64,
    skew_ms: i64,
    required_claims: Box<[(Path, Box<str>)]>,
    permissions_claim: Path,
    permissions: HashMap<Box<str>, Box<[Box<str>]>>,
    identity_claim: Path,
    sender_constrained: SenderConstrained,
}

/// Whether a token counts only together with a proof that its holder presents it (RFC 8705, RFC 9449).
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
enum SenderConstrained {
    Never,
    IfBound,
    Always,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Value<'a> {
    name: Box<str>,
    issuer: Box<str>,
    audiences: Box<[Box<str>]>,
    algorithms: Box<[Algorithm]>,
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
    valid_until: Option<i64>,
    token_type: Option<Box<str>>,
    max_lifetime_milliseconds: u64,
    clock_skew_milliseconds: u32,
    #[serde(default)]
    required_claims: Vec<(Path, Box<str>)>,
    permissions_from: PermissionsFrom,
    identity_from: Path,
    sender_constrained: SenderConstrained,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PermissionsFrom {
    claim: Path,
    map: Unique<Box<[Box<str>]>>,
}

/// What became of a token.
#[derive(Debug)]
pub enum Judgement<'i> {
    Good(Caller<'i>),
    Bad(Flaw),
    /// The keys that would tell are missing or too old.
    Unverifiable(Flaw),
}

/// What a good token says about its caller.
#[derive(Debug)]
pub struct Caller<'i> {
    /// The issuer's name and the caller's, as `ids/corp:alice`. A client of ours has no colon in its id.
    pub id: String,
    /// The permissions that the token's own claim has, by name. One may be there twice.
    pub permissions: Vec<&'i str>,
    /// Unix milliseconds.
    issued: i64,
    /// The first millisecond in which the token is too old.
    pub ends: i64,
}

impl Issuer {
    /// The error says what is wrong. `unknown_keys` is the counter of the issuer with a name.
    pub fn parse(text: &str, unknown_keys: impl Fn(&str) -> Arc<AtomicU64>) -> Result<Issuer, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if !is_name(&value.name) {
            return Err("its name is not NAMESPACE/NAME".to_owned());
        }
        if value.issuer.is_empty() || value.audiences.is_empty() || value.audiences.iter().any(|it| it.is_empty()) {
            return Err("it has no issuer or no audience, or an empty one".to_owned());
        }
        let claims = value.required_claims.iter().map(|(path, _)| path);
        if claims.chain([&value.permissions_from.claim, &value.identity_from]).any(Path::is_empty) {
            return Err("a claim has no name".to_owned());
        }
        let keys: Option<Vec<_>> = value.keys.iter().map(|key| Json::read(key.get().as_bytes())).collect();
        let keys = keys.ok_or("a key has a member twice, or is nested too deep")?;
        Ok(Issuer {
            unknown_keys: unknown_keys(&value.name),
            keys: Keys::read(&keys, &value.algorithms)?,
            name: value.name,
            issuer: value.issuer,
            audiences: value.audiences,
            algorithms: value.algorithms,
            valid_until: value.valid_until,
            token_type: value.token_type,
            longest_ms: i64::try_from(value.max_lifetime_milliseconds).unwrap_or(i64::MAX),
            skew_ms: value.clock_skew_milliseconds.into(),
            required_claims: value.required_claims.into(),
            permissions_claim: value.permissions_from.claim,
            permissions: value.permissions_from.map.0.into_iter().map(|(word, its)| (word.into(), its)).collect(),
            identity_claim: value.identity_from,
            sender_constrained: value.sender_constrained,
        })
    }

    /// `claims`: the payload of `token`. `certificate`: SHA-256 of the caller's certificate, where one was proved.
    ///
    /// The signature comes last, because it costs most. A token that is bad anyway says nothing about the keys.
    pub fn judge(
        &self,
        token: &Token,
        claims: &Json,
        revoked: [&Revoked; 2],
        certificate: Option<&[u8; 32]>,
        unix_ms: i64,
    ) -> Judgement<'_> {
        let caller = match self.caller(token, claims, revoked, certificate, unix_ms) {
            Ok(caller) => caller,
            Err(flaw) => return Judgement::Bad(flaw),
        };
        if self.valid_until.is_some_and(|time| unix_ms >= time.saturating_mul(1000)) {
            return Judgement::Unverifiable(Flaw::IssuerKeysTooOld);
        }
        match self.keys.verify(token) {
            Signature::Good => Judgement::Good(caller),
            Signature::Bad => {
                // A token without a kid may be by any key, also by a new one.
                if token.kid.is_none() {
                    self.unknown_keys.fetch_add(1, Ordering::Relaxed);
                }
                Judgement::Bad(Flaw::TokenSignature)
            }
            Signature::OfUnknownKey => {
                self.unknown_keys.fetch_add(1, Ordering::Relaxed);
                // Whoever fetches the keys had no time to see the one that signed it.
                if caller.issued.saturating_add(NEW_KEY_MS) > unix_ms {
                    Judgement::Unverifiable(Flaw::TokenOfNewKey)
                } else {
                    Judgement::Bad(Flaw::TokenOfUnknownKey)
                }
            }
        }
    }

    /// How many tokens are remembered whose signatures were good.
    #[cfg(test)]
    pub fn remembered(&self) -> usize {
        self.keys.remembered()
    }

    /// Who the caller is if the signature is good. Else why the token is refused, whoever signed it.
    fn caller(
        &self,
        token: &Token,
        claims: &Json,
        revoked: [&Revoked; 2],
        certificate: Option<&[u8; 32]>,
        unix_ms: i64,
    ) -> Result<Caller<'_>, Flaw> {
        let times = Times::read(claims).ok_or(Flaw::TokenTimesMissing)?;
        let required = |holds: bool, flaw: Flaw| if holds { Ok(()) } else { Err(flaw) };
        required(self.algorithms.contains(&token.algorithm), Flaw::TokenAlgorithm)?;
        let iss = claims.get("iss").and_then(Json::text);
        required(iss == Some(&*self.issuer), Flaw::TokenOfStranger)?;
        required(claims.get("aud").is_some_and(|aud| self.is_audience(aud)), Flaw::TokenAudience)?;
        times.fault(unix_ms, self.skew_ms, self.longest_ms).map_or(Ok(()), Err)?;
        required(self.token_type.as_deref().is_none_or(|wanted| token.is_of_type(wanted)), Flaw::TokenType)?;
        let has_required = self.required_claims.iter().all(|(path, wanted)| path.has(claims, wanted));
        required(has_required, Flaw::TokenRequiredClaim)?;
        required(self.is_presented_by_its_holder(claims, certificate), Flaw::TokenNotBound)?;
        let [jti, sub, sid] = ["jti", "sub", "sid"].map(|name| match claims.get(name) {
            None => Ok(None),
            Some(value) => value.text().map(Some).ok_or(Flaw::TokenIdsMalformed),
        });
        let (jti, sub, sid) = (jti?, sub?, sid?);
        let mut lists = revoked.iter();
        lists.find_map(|list| list.token(&self.name, jti, sub, sid, times.issued)).map_or(Ok(()), Err)?;
        let identity = self.identity_claim.find(claims).and_then(Json::text).ok_or(Flaw::TokenIdentity)?;
        required(!identity.is_empty() && identity.len() <= LONGEST_IDENTITY, Flaw::TokenIdentity)?;
        let words = self.permissions_claim.words(claims);
        let permissions = words.iter().filter_map(|word| self.permissions.get(*word)).flatten();
        Ok(Caller {
            id: id(&self.name, identity),
            permissions: permissions.map(|it| &**it).collect(),
            issued: times.issued,
            ends: times.ends(self.skew_ms),
        })
    }

    /// What the token says in the claim whose values give permissions: the claim's place, and the values.
    pub fn permission_words<'c>(&self, claims: &'c Json) -> (&Path, Vec<&'c str>) {
        (&self.permissions_claim, self.permissions_claim.words(claims))
    }

    /// A text, or a list of texts that has one of ours.
    fn is_audience(&self, claim: &Json) -> bool {
        let ours = |text: &str| self.audiences.iter().any(|each| **each == *text);
        match claim {
            Json::Text(text) => ours(text),
            Json::List(values) => {
                values.iter().all(|value| value.text().is_some()) && values.iter().filter_map(Json::text).any(ours)
            }
            _ => false,
        }
    }

    /// A binding that this gate cannot check is not kept: until there is DPoP, `cnf.jkt` is one.
    fn is_presented_by_its_holder(&self, claims: &Json, certificate: Option<&[u8; 32]>) -> bool {
        match (self.sender_constrained, claims.get("cnf")) {
            (SenderConstrained::Never, _) | (SenderConstrained::IfBound, None) => true,
            (SenderConstrained::Always, None) => false,
            (_, Some(Json::Object(members))) => match &**members {
                [(name, Json::Text(bound))] if name == "x5t#S256" => {
                    certificate.is_some_and(|own| decoded(&**bound).is_some_and(|bound| bound == own))
                }
                _ => false,
            },
            (_, Some(_)) => false,
        }
    }
}

/// The caller's name goes into a header and into logs, and must not be taken for another one: what is not visible
/// ASCII is written as `%` and two hex digits, and so are `%` and the comma.
fn id(issuer: &str, identity: &str) -> String {
    let mut id = format!("{issuer}:");
    for byte in identity.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' && byte != b',' {
            id.push(byte.into());
        } else {
            // Writing to a String cannot fail.
            let _ = write!(id, "%{byte:02X}");
        }
    }
    id
}

/// The name becomes part of a statistic's name and of the ids of callers.
pub fn is_name(text: &str) -> bool {
    let safe = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-./".contains(&byte);
    visible(text, 256) && text.bytes().all(safe)
}
