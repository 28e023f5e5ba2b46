//! JSON Web Tokens: a call proves itself by a token of an issuer that the endpoint names.

use super::{Caller, Evidence, Limit, Mechanism, Proof};
use crate::flaw::Flaw;
use crate::jwt::issuer::{Issuer, Judgement};
use crate::jwt::json::Json;
use crate::jwt::token::Token;
use crate::limit::Subjects;
use serde::Deserialize;
use std::borrow::Cow;
use std::fmt::Write;

/// The mechanism's part of a policy: name and `iss` of each issuer, and which limit a caller has.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Value {
    issuers: Vec<(Box<str>, Box<str>)>,
    pub limit: Option<Box<str>>,
}

pub struct Tokens {
    issuers: Vec<(Box<str>, Box<str>)>,
    limit: Option<Subjects>,
}

impl Tokens {
    pub fn new(value: Value, limit: Option<Subjects>) -> Result<Tokens, String> {
        if value.issuers.iter().any(|(name, issuer)| name.is_empty() || issuer.is_empty()) {
            return Err("an issuer of jwt has no name or no iss".to_owned());
        }
        Ok(Tokens { issuers: value.issuers, limit })
    }
}

/// An `iss` that the endpoint does not name is a stranger's. Of one that it names, the gateway may lack the keys.
pub fn prove<'p>(evidence: &Evidence<'_, 'p>) -> Proof<'p> {
    let Some(text) = evidence.presented.jwt else { return Proof::Absent };
    let Some(tokens) = &evidence.policy.tokens else { return Proof::Failed(Flaw::NotAccepted) };
    let Some(token) = Token::read(text) else { return Proof::Failed(Flaw::TokenMalformed) };
    let Some(claims) = Json::read(&token.payload) else { return Proof::Failed(Flaw::TokenClaimsMalformed) };
    let (mut failed, mut unverifiable) = (None, None);
    for (_, _, judgement) in judgements(evidence, &token, &claims) {
        match judgement {
            Judgement::Good(caller) => {
                return Proof::Ok(Caller {
                    permissions: Some(evidence.policy.permissions.of(&caller.permissions)).filter(|mask| *mask != 0),
                    client: Cow::Owned(caller.id),
                    credential: Cow::Owned(fingerprint(token.digest())),
                    method: Mechanism::Jwt,
                    permission_list: None,
                    by_claims: evidence.policy.rules.with_claims(&claims),
                    by_client: 0,
                    by_certificate: 0,
                    ends: Some(caller.ends),
                    limit: tokens.limit.as_ref().map(Limit::Subject),
                    last_use: None,
                });
            }
            Judgement::Bad(flaw) => failed = failed.max(Some(flaw)),
            Judgement::Unverifiable(flaw) => unverifiable = unverifiable.max(Some(flaw)),
        }
    }
    if let Some(flaw) = unverifiable {
        return Proof::Unavailable(flaw);
    }
    Proof::Failed(failed.unwrap_or(match iss(&claims) {
        Some(_) => Flaw::TokenOfStranger,
        None => Flaw::TokenWithoutIssuer,
    }))
}

/// What each issuer of the endpoint that has the token's `iss` makes of it: its name, itself if the gateway has it, and
/// the judgement. Each is asked when it is its turn.
pub fn judgements<'e, 'p>(
    evidence: &Evidence<'e, 'p>,
    token: &Token,
    claims: &Json,
) -> impl Iterator<Item = (&'p str, Option<&'e Issuer>, Judgement<'e>)> {
    let iss = iss(claims);
    let certificate = evidence.certificate.digest();
    let named = evidence.policy.tokens.iter().flat_map(|tokens| &tokens.issuers);
    named.filter(move |(_, issuer)| iss == Some(issuer)).map(move |(name, iss)| {
        let issuer = evidence.issuers.usable.get(name).filter(|issuer| issuer.issuer == *iss);
        let judged = issuer.map(|it| it.judge(token, claims, evidence.revoked, certificate, evidence.unix_ms));
        (&**name, issuer, judged.unwrap_or(Judgement::Unverifiable(Flaw::IssuerMissing)))
    })
}

fn iss<'c>(claims: &'c Json) -> Option<&'c str> {
    claims.get("iss").and_then(Json::text)
}

/// The start of a token's digest, in hex: tells tokens apart in a log, and nobody can call with it.
fn fingerprint(digest: &[u8; 32]) -> String {
    digest[..8].iter().fold(String::with_capacity(16), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use crate::call::Call;
    use crate::config::Config;
    use crate::credential;
    use crate::decide::{Now, Verdict, decide};
    use crate::issuers::{Issuers, UnknownKeys};
    use crate::jwt::json::Json;
    use crate::jwt::signer::Signer;
    use crate::jwt::token::Token;
    use crate::limit::Registry;
    use crate::mechanisms::mtls::Shown;
    use crate::mechanisms::{Evidence, Proof};
    use crate::policy::Policy;
    use crate::revoked::Revoked;
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    const INFER: &str = "/v2/models/m/infer";
    const HEADER: &str = r#"{"alg": "ES256", "kid": "k1", "typ": "at+jwt"}"#;
    const CLAIMS: &str = r#"{"iss": "https://id.example", "aud": ["other", "minilm"], "sub": "alice", "jti": "t1",
        "sid": "s1", "scope": "ml:infer", "tenant": "blue", "groups": ["ml-users"], "iat": 1000, "exp": 1300}"#;
    const NOW: Now = Now { unix_ms: 1_100_000, monotonic_ms: 1_000 };
    const ALICE: &str = "admit ids/corp:alice infer jwt";

    /// An endpoint that takes tokens of `ids/corp`, and its issuer.
    struct Lab {
        signer: Signer,
        issuer: String,
        config: String,
        policy: Policy,
    }

    fn lab() -> Lab {
        let signer = Signer::new();
        let issuer = format!(
            r#"{{"name": "ids/corp", "issuer": "https://id.example", "audiences": ["minilm"],
            "algorithms": ["RS256", "ES256"], "keys": [{}], "validUntil": 2000, "tokenType": "at+jwt",
            "maxLifetimeMilliseconds": 300000, "clockSkewMilliseconds": 30000, "requiredClaims": [[["tenant"], "blue"]],
            "permissionsFrom": {{"claim": ["scope"], "map": {{"ml:infer": ["infer"], "ml:other": ["unheard-of"]}}}},
            "identityFrom": ["sub"], "senderConstrained": "IfBound"}}"#,
            signer.jwk(r#", "kid": "k1""#)
        );
        Lab { signer, issuer, config: String::new(), policy: policy(r#""accept": [["jwt"]]"#) }
    }

    fn policy(more: &str) -> Policy {
        policy_of("ids/corp", more)
    }

    fn policy_of(issuer: &str, more: &str) -> Policy {
        let text = format!(
            r#"{{"format": 1, "endpoint": "search/minilm", "sequence": 7, {more},
            "operations": [["POST", "{INFER}", "infer"], ["GET", "/v2/models/m", "metadata"]],
            "mechanisms": {{"jwt": {{"issuers": [["{issuer}", "https://id.example"]], "limit": "t"}}}},
            "rules": [{{"name": "rules[0]", "permissions": ["metadata"], "claims": [[["groups"], ["ml-users", "x"]]]}}],
            "limits": {{"t": {{"requests": 1, "perMilliseconds": 60000, "burst": 100}}}}}}"#
        );
        Policy::parse(text.as_bytes(), &Registry::default(), 0).unwrap()
    }

    impl Lab {
        fn issuer(mut self, from: &str, to: &str) -> Lab {
            assert!(self.issuer.contains(from), "{from}");
            self.issuer = self.issuer.replacen(from, to, 1);
            self
        }

        fn sign(&self, from: &str, to: &str) -> String {
            assert!(CLAIMS.contains(from), "{from}");
            self.signer.sign(HEADER, &CLAIMS.replacen(from, to, 1))
        }

        fn config(&self) -> Config {
            let more = format!(r#", "issuers": [{}]{}"#, self.issuer, self.config);
            Config::parse(crate::config::tests::config(&more).as_bytes()).unwrap()
        }

        fn get(&self, method: &str, path: &str, token: &str, now: Now) -> String {
            self.answer(&self.config(), &self.policy, (method, path), token, now)
        }

        /// For several calls under one configuration, as they are in a gateway.
        fn ask(&self, config: &Config, policy: &Policy, token: &str, now: Now) -> String {
            self.answer(config, policy, ("POST", INFER), token, now)
        }

        fn answer(
            &self,
            config: &Config,
            policy: &Policy,
            (method, path): (&str, &str),
            token: &str,
            now: Now,
        ) -> String {
            let value = format!("Bearer {token}");
            let host = "minilm.search.localhost";
            let headers = [(":authority", host), (":method", method), (":path", path), ("authorization", &value)];
            let headers = headers.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
            match decide(config, Some(policy), &Call::read(&headers, host.as_bytes(), true), now) {
                Verdict::Admit(it) => format!("admit {} {} {}", it.caller.client, it.permission, it.rule),
                Verdict::Refuse(it) => it.error.to_owned(),
            }
        }

        fn says(&self, token: &str) -> String {
            self.get("POST", INFER, token, NOW)
        }
    }

    #[test]
    fn a_good_token_is_admitted_and_what_it_permits_comes_from_its_claims_and_the_rules() {
        let lab = lab();
        let token = lab.sign("alice", "alice");
        assert_eq!(lab.says(&token), ALICE);
        assert_eq!(lab.get("GET", "/v2/models/m", &token, NOW), "admit ids/corp:alice metadata rules[0]");
        assert_eq!(lab.get("GET", "/nowhere", &token, NOW), "insufficient_scope");
        for scope in ["ml:infer2", "ml:inf", "ML:INFER", "ml:other", "infer", "ml:infer\\tx", ""] {
            assert_eq!(lab.says(&lab.sign("ml:infer", scope)), "insufficient_scope", "{scope}");
        }
        assert_eq!(lab.says(&lab.sign("ml:infer", "a ml:infer b")), ALICE);
        assert_eq!(lab.says(&lab.sign(r#""ml:infer""#, r#"["ml:infer"]"#)), ALICE);
        assert_eq!(lab.says(&lab.sign(r#""ml:infer""#, r#"["a ml:infer"]"#)), "insufficient_scope");
        let stranger = lab.sign("ml-users", "ml-users2");
        assert_eq!(lab.get("GET", "/v2/models/m", &stranger, NOW), "insufficient_scope");
    }

    #[test]
    fn a_token_with_one_thing_wrong_is_refused() {
        let lab = lab();
        for (from, to) in [
            ("https://id.example", "https://id.example/"),
            ("https://id.example", "https://ID.example"),
            ("https://id.example", "https://other.example"),
            (r#""iss": "https://id.example", "#, ""),
            (r#""iss": "https://id.example""#, r#""iss": ["https://id.example"]"#),
            (r#"["other", "minilm"]"#, r#""minilm2""#),
            (r#"["other", "minilm"]"#, r#""mini""#),
            (r#"["other", "minilm"]"#, r#"["a minilm"]"#),
            (r#"["other", "minilm"]"#, r#"["minilm", 1]"#),
            (r#"["other", "minilm"]"#, r#"{"minilm": "minilm"}"#),
            (r#""aud": ["other", "minilm"], "#, ""),
            (r#", "exp": 1300"#, ""),
            ("1300", r#""1300""#),
            ("1300", "NaN"),
            ("1300", "1e400"),
            ("1300", "1300.1"),
            ("1300", "1070"),
            (r#""iat": 1000, "#, ""),
            ("1000", "1131"),
            (r#""sub""#, r#""nbf": 1131, "sub""#),
            (r#""sub""#, r#""nbf": "1", "sub""#),
            (r#""alice""#, "7"),
            (r#""alice""#, r#""""#),
            (r#""t1""#, "1"),
            ("blue", "red"),
            (r#""sub": "alice", "#, ""),
            (r#""sub""#, r#""sub": "bob", "sub""#),
            (r#""sub""#, r#""cnf": {"jkt": "AAAA"}, "sub""#),
            (r#""sub""#, r#""cnf": {"x5t#S256": "AAAA"}, "sub""#),
            (r#""sub""#, r#""cnf": {}, "sub""#),
            (r#""sub""#, r#""cnf": null, "sub""#),
        ] {
            assert_eq!(lab.says(&lab.sign(from, to)), "unauthenticated", "{to}");
        }
        for (from, to) in [(r#""alg""#, r#""jwk": {}, "alg""#), ("at+jwt", "jwt"), (r#", "typ": "at+jwt""#, "")] {
            assert_eq!(lab.says(&lab.signer.sign(&HEADER.replacen(from, to, 1), CLAIMS)), "unauthenticated", "{to}");
        }
        assert_eq!(lab.says(&Signer::new().sign(HEADER, CLAIMS)), "unauthenticated");
        let good = lab.sign("alice", "alice");
        assert_eq!(lab.says(&format!("{good}A")), "unauthenticated");
        assert_eq!(lab.says(&good), ALICE);
    }

    #[test]
    fn a_token_holds_within_the_skew_and_not_a_millisecond_longer() {
        let lab = lab();
        let token = lab.sign("alice", "alice");
        let at = |unix_ms| lab.get("POST", INFER, &token, Now { unix_ms, ..NOW });
        assert_eq!((at(969_999), at(970_000)), ("unauthenticated".into(), ALICE.into()));
        assert_eq!((at(1_329_999), at(1_330_000)), (ALICE.into(), "unauthenticated".into()));
    }

    #[test]
    fn an_admission_says_when_the_token_ends() {
        let lab = lab();
        let value = format!("Bearer {}", lab.sign("alice", "alice"));
        let host = "minilm.search.localhost";
        let headers = [(":authority", host), (":method", "POST"), (":path", INFER), ("authorization", &value)];
        let headers = headers.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let config = lab.config();
        let call = Call::read(&headers, host.as_bytes(), true);
        let Verdict::Admit(it) = decide(&config, Some(&lab.policy), &call, NOW) else { panic!("refused") };
        assert_eq!(it.ends, Some(1_330_000));
    }

    #[test]
    fn keys_that_are_missing_or_too_old_make_a_token_unverifiable_and_a_bad_one_stays_bad() {
        let unknown = "verification_unavailable";
        let rotated = HEADER.replace("k1", "k2");
        let lab = lab();
        let new = Now { unix_ms: 1_009_999, ..NOW };
        let at = |token: &str, now| lab.get("POST", INFER, token, now);
        let token = lab.signer.sign(&rotated, CLAIMS);
        assert_eq!((at(&token, new), at(&token, NOW)), (unknown.into(), "unauthenticated".into()));
        assert_eq!(at(&lab.signer.sign(&rotated, &CLAIMS.replace("minilm", "x")), new), "unauthenticated");
        assert_eq!(at(&Signer::new().sign(HEADER, CLAIMS), new), "unauthenticated");
        let token = lab.sign("alice", "alice");
        for changed in [
            lab.issuer("2000", "1100"),
            self::lab().issuer("ids/corp", "ids/other"),
            self::lab().issuer("https://id.example", "https://id.example/2"),
            self::lab().issuer(r#""kty": "EC""#, r#""kty": "oct""#),
        ] {
            assert_eq!(changed.says(&token), unknown, "{}", changed.issuer);
            assert_eq!(changed.says(&token.replace('.', "..")), "unauthenticated");
        }
    }

    #[test]
    fn tokens_by_keys_that_are_not_known_are_counted_and_others_are_not() {
        let lab = lab();
        let counts = UnknownKeys::default();
        let value: &RawValue = serde_json::from_str(&lab.issuer).unwrap();
        let issuers = Issuers::read(&[value], &counts);
        let unknown = HEADER.replace("k1", "k2");
        for (header, claims, by, expected) in [
            (HEADER.to_owned(), CLAIMS.to_owned(), &lab.signer, 0),
            (HEADER.to_owned(), CLAIMS.to_owned(), &Signer::new(), 0),
            (unknown.clone(), CLAIMS.replace("1300", "1001"), &lab.signer, 0),
            (unknown.clone(), CLAIMS.replace("minilm", "x"), &lab.signer, 0),
            (unknown, CLAIMS.to_owned(), &lab.signer, 1),
            (HEADER.replace(r#""kid": "k1", "#, ""), CLAIMS.to_owned(), &lab.signer, 1),
            (HEADER.replace(r#""kid": "k1", "#, ""), CLAIMS.to_owned(), &Signer::new(), 2),
        ] {
            proof(&lab.policy, &issuers, &by.sign(&header, &claims), None);
            assert_eq!(counts.read().get("ids/corp").copied().unwrap_or(0), expected, "{header} {claims}");
        }
    }

    #[test]
    fn a_denied_token_is_refused_and_another_one_is_not() {
        for (denied, expected) in [
            (r#""jti": ["t1"]"#, "unauthenticated"),
            (r#""sub": ["alice"]"#, "unauthenticated"),
            (r#""sid": ["s1"]"#, "unauthenticated"),
            (r#""issuedBefore": {"alice": 1001}"#, "unauthenticated"),
            (r#""issuedBefore": {"": 1001}"#, "unauthenticated"),
            (r#""issuedBefore": {"": 1000, "alice": 1000, "bob": 2000}"#, ALICE),
            (r#""jti": ["t2", "alice"], "sub": ["t1"], "sid": ["s2"]"#, ALICE),
        ] {
            let token = |lab: &Lab| lab.sign("alice", "alice");
            let revoked = |name: &str| format!(r#", "revoked": {{"tokens": {{"{name}": {{{denied}}}}}}}"#);
            let lab = Lab { config: revoked("ids/corp"), ..lab() };
            assert_eq!(lab.says(&token(&lab)), expected, "{denied}");
            let other = Lab { config: revoked("ids/other"), ..self::lab() };
            assert_eq!(other.says(&token(&other)), ALICE);
        }
    }

    /// What `prove` says of a token beside a certificate with a digest: whether it is good.
    fn proof(policy: &Policy, issuers: &Issuers, token: &str, digest: Option<&[u8; 32]>) -> bool {
        let hex = |digest: &[u8; 32]| digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let note = digest.map_or(String::new(), |digest| format!("2000000000 {}\nspiffe://a/b\n", hex(digest)));
        let certificate = Shown::read(note.as_bytes());
        let value = format!("Bearer {token}");
        let mut headers = credential::Headers::default();
        headers.authorization.add(value.as_bytes());
        let presented = credential::read(&headers).unwrap();
        let none = Revoked::default();
        let revoked = [&none, &none];
        let unix_ms = NOW.unix_ms;
        let evidence = Evidence { policy, issuers, certificate, presented: &presented, revoked, unix_ms };
        matches!(super::prove(&evidence), Proof::Ok(_))
    }

    #[test]
    fn a_bound_token_counts_with_its_certificate_alone() {
        let bind = |cnf: &str| format!(r#""cnf": {cnf}, "sub""#);
        let own = [7; 32];
        let digest = crate::jwt::token::tests::encoded(own);
        let good = bind(&format!(r#"{{"x5t#S256": "{digest}"}}"#));
        let both = bind(&format!(r#"{{"x5t#S256": "{digest}", "jkt": "AAAA"}}"#));
        for (rule, cnf, with, without, with_other) in [
            ("Never", "\"sub\"", true, true, true),
            ("Never", &good, true, true, true),
            ("Never", &bind(r#"{"jkt": "AAAA"}"#), true, true, true),
            ("IfBound", "\"sub\"", true, true, true),
            ("IfBound", &good, true, false, false),
            ("IfBound", &both, false, false, false),
            ("IfBound", &bind(r#"{"jkt": "AAAA"}"#), false, false, false),
            ("Always", "\"sub\"", false, false, false),
            ("Always", &good, true, false, false),
        ] {
            let lab = lab().issuer("IfBound", rule);
            let token = lab.sign("\"sub\"", cnf);
            let config = lab.config();
            let said = [Some(&own), None, Some(&[8; 32])].map(|it| proof(&lab.policy, &config.issuers, &token, it));
            assert_eq!(said, [with, without, with_other], "{rule} {cnf}");
        }
    }

    #[test]
    fn callers_are_told_apart_from_each_other_and_from_clients() {
        let lab = lab();
        let mut seen = std::collections::HashSet::new();
        for (sub, expected) in [
            ("alice", "ids/corp:alice"),
            ("search/bot", "ids/corp:search/bot"),
            ("auth0|a b", "ids/corp:auth0|a%20b"),
            ("a%20b", "ids/corp:a%2520b"),
            ("a,b", "ids/corp:a%2Cb"),
            ("\u{fc}\\u0000\\r\\n", "ids/corp:%C3%BC%00%0D%0A"),
            ("system:serviceaccount:ns:name", "ids/corp:system:serviceaccount:ns:name"),
        ] {
            let said = lab.says(&lab.sign("alice", sub));
            assert_eq!(said, format!("admit {expected} infer jwt"));
            assert!(seen.insert(said));
        }
        assert_eq!(lab.says(&lab.sign("alice", &"a".repeat(513))), "unauthenticated");
    }

    #[test]
    fn each_subject_has_a_bucket_of_its_own() {
        let lab = Lab { policy: policy(r#""accept": [["jwt"]], "gateways": 100"#), ..lab() };
        let (alice, bob) = (lab.sign("alice", "alice"), lab.sign("alice", "bob"));
        assert_eq!((lab.says(&alice), lab.says(&alice)), (ALICE.into(), "rate_limited".into()));
        assert_eq!(lab.says(&bob), "admit ids/corp:bob infer jwt");
        assert_eq!(lab.says(&alice), "rate_limited");
    }

    fn remembered(config: &Config) -> usize {
        config.issuers.usable.values().map(|issuer| issuer.remembered()).sum()
    }

    /// A token that was accepted, and whose signature is therefore remembered.
    fn accepted(lab: &Lab, config: &Config) -> String {
        let token = lab.sign("alice", "alice");
        let said = (lab.ask(config, &lab.policy, &token, NOW), lab.ask(config, &lab.policy, &token, NOW));
        assert_eq!((said, remembered(config)), ((ALICE.into(), ALICE.into()), 1));
        token
    }

    #[test]
    fn a_remembered_signature_admits_nobody_whom_the_next_call_must_not_admit() {
        let lab = lab().issuer("2000", "1300");
        let config = lab.config();
        let token = accepted(&lab, &config);
        let at = |unix_ms| lab.ask(&config, &lab.policy, &token, Now { unix_ms, ..NOW });
        assert_eq!((at(969_999), at(970_000)), ("unauthenticated".into(), ALICE.into()));
        assert_eq!((at(1_299_999), at(1_300_000)), (ALICE.into(), "verification_unavailable".into()));
        assert_eq!(at(1_330_000), "unauthenticated", "expired");
        for denied in [
            r#""jti": ["t1"]"#,
            r#""sub": ["alice"]"#,
            r#""sid": ["s1"]"#,
            r#""issuedBefore": {"alice": 1001}"#,
            r#""issuedBefore": {"": 1001}"#,
        ] {
            let denial = format!(r#""accept": [["jwt"]], "revoked": {{"tokens": {{"ids/corp": {{{denied}}}}}}}"#);
            assert_eq!(lab.ask(&config, &policy(&denial), &token, NOW), "unauthenticated", "{denied}");
        }
        assert_eq!(lab.ask(&config, &policy(r#""accept": []"#), &token, NOW), "unauthenticated");
        assert_eq!(lab.ask(&config, &lab.policy, &token, NOW), ALICE);
        assert_eq!(remembered(&config), 1);
    }

    #[test]
    fn a_remembered_token_that_is_bound_counts_with_its_certificate_alone() {
        let own = [7; 32];
        let digest = crate::jwt::token::tests::encoded(own);
        let lab = lab();
        let token = lab.sign("\"sub\"", &format!(r#""cnf": {{"x5t#S256": "{digest}"}}, "sub""#));
        let config = lab.config();
        let shown = [Some(&own), None, Some(&[8; 32]), Some(&own)];
        let said = shown.map(|it| proof(&lab.policy, &config.issuers, &token, it));
        assert_eq!((said, remembered(&config)), ([true, false, false, true], 1));
    }

    #[test]
    fn a_key_that_is_removed_or_replaced_takes_what_it_verified_with_it() {
        let lab = lab();
        let token = accepted(&lab, &lab.config());
        let (own, other) = (lab.signer.jwk(r#", "kid": "k1""#), Signer::new());
        let keys = |keys: &str| Lab { issuer: lab.issuer.replace(&own, keys), signer: Signer::new(), ..self::lab() };
        let (removed, replaced) = (other.jwk(r#", "kid": "k2""#), other.jwk(r#", "kid": "k1""#));
        for (set, expected) in [
            (&removed, "unauthenticated"),
            (&replaced, "unauthenticated"),
            (&own.replace("k1", "k2"), "unauthenticated"),
            (&own, ALICE),
            (&format!("{own}, {removed}"), ALICE),
        ] {
            let after = keys(set);
            let config = after.config();
            assert_eq!(remembered(&config), 0);
            assert_eq!(after.ask(&config, &after.policy, &token, NOW), expected, "{set}");
        }
    }

    #[test]
    fn what_one_issuers_key_verified_counts_for_no_other_issuer_with_the_same_kid_and_iss() {
        let lab = lab();
        let other = Signer::new();
        let of_other = lab.issuer.replace("ids/corp", "ids/other");
        let of_other = of_other
            .replace(&lab.signer.jwk(""), &other.jwk(""))
            .replace(&lab.signer.jwk(r#", "kid": "k1""#), &other.jwk(r#", "kid": "k1""#));
        let config = format!(r#", "issuers": [{}, {of_other}]"#, lab.issuer);
        let config = Config::parse(crate::config::tests::config(&config).as_bytes()).unwrap();
        assert_eq!(config.issuers.usable.len(), 2);
        let token = accepted(&lab, &config);
        let names_other = policy_of("ids/other", r#""accept": [["jwt"]]"#);
        assert_eq!(lab.ask(&config, &names_other, &token, NOW), "unauthenticated");
        assert_eq!(remembered(&config), 1);
        let twin = other.sign(HEADER, CLAIMS);
        assert_eq!(lab.ask(&config, &names_other, &twin, NOW), "admit ids/other:alice infer jwt");
        assert_eq!(lab.ask(&config, &lab.policy, &twin, NOW), "unauthenticated");
    }

    #[test]
    fn tokens_that_are_not_accepted_are_not_remembered() {
        let lab = lab();
        let config = lab.config();
        let good = accepted(&lab, &config);
        let unsigned = good.rsplit_once('.').unwrap().0;
        let other_signature = Signer::new().sign(HEADER, CLAIMS);
        let other_signature = other_signature.rsplit_once('.').unwrap().1;
        for bad in [
            format!("{unsigned}.{other_signature}"),
            format!("{unsigned}.{}", "A".repeat(86)),
            format!("{unsigned}.AAAA"),
            Signer::new().sign(HEADER, CLAIMS),
            lab.signer.sign(&HEADER.replace("k1", "k2"), CLAIMS),
            lab.sign("minilm", "other"),
            lab.sign("1300", "1001"),
        ] {
            for _ in 0..2 {
                assert_eq!(lab.ask(&config, &lab.policy, &bad, NOW), "unauthenticated", "{bad}");
            }
            assert_eq!(remembered(&config), 1, "{bad}");
        }
    }

    #[test]
    #[ignore = "a measurement: cargo test --release costs -- --ignored --nocapture"]
    fn costs_of_tokens() {
        const CALLS: usize = 8192;
        let lab = Lab { policy: policy(r#""accept": [["jwt"]]"#), ..lab() };
        let tokens: Vec<_> = (0..CALLS).map(|at| lab.sign("alice", &format!("caller-{at}"))).collect();
        let config = lab.config();
        // A caller that asked too often was let in as well.
        let decided = |token: &str| lab.ask(&config, &lab.policy, token, NOW) != "unauthenticated";
        let cost = |what: &str, work: &dyn Fn(usize) -> bool| {
            let start = std::time::Instant::now();
            assert!((0..CALLS).all(|at| std::hint::black_box(work(at))));
            println!("{what}: {:?}", start.elapsed() / CALLS as u32);
        };
        for _ in 0..3 {
            let payload = Token::read(tokens[0].as_bytes()).unwrap().payload;
            cost("take a token apart", &|at| Token::read(tokens[at].as_bytes()).is_some());
            cost("read its claims", &|_| Json::read(&payload).is_some());
            cost("both, and its digest", &|at| {
                let token = Token::read(tokens[at].as_bytes()).unwrap();
                Json::read(&token.payload).is_some() && token.digest() != &[0; 32]
            });
            cost("decide, a new token each call", &|at| decided(&tokens[at]));
            cost("decide, the same tokens again", &|at| decided(&tokens[at % 16]));
        }
    }

    proptest! {
        #[test]
        fn no_changed_byte_of_a_token_is_admitted(at in any::<prop::sample::Index>(), with in any::<u8>()) {
            let lab = lab();
            let config = lab.config();
            let good = accepted(&lab, &config);
            let mut bytes = good.clone().into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = with & 0x7f;
            let changed = String::from_utf8(bytes).unwrap();
            let said = lab.ask(&config, &lab.policy, &changed, NOW);
            prop_assert!(changed == good || !said.starts_with("admit"));
        }
    }
}
