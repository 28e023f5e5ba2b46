//! Why a call would be allowed or denied, for administrators: what `decide` says, and the reasons that no caller learns.
//!
//! The verdict is that of `decide` itself, and the reasons are what the same mechanisms return. A value never has a
//! secret: no key, no token, no digest of one, and of a token's claims only who issued it, for whom, when and with which
//! permissions.

use crate::api_key::{id, shown_in};
use crate::call::Call;
use crate::config::Config;
use crate::credential::{self, Presented};
use crate::decide::{Now, Verdict, decide, evidence};
use crate::jwt::claims::Times;
use crate::jwt::issuer::Judgement;
use crate::jwt::json::Json;
use crate::jwt::token::Token;
use crate::limit::Registry;
use crate::mechanisms::mtls::Shown;
use crate::mechanisms::{self, Caller, Evidence, Mechanism, Proof, api_key, jwt, mtls};
use crate::policy::Policy;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// What is quoted of a token is at most so many characters long, and so many values.
const LONGEST_QUOTE: usize = 256;
const MOST_QUOTED: usize = 32;

/// The explanation of a call to an endpoint with this policy. The rate limits of the policy are to be full.
pub fn explain(config: &Config, policy: &Policy, call: &Call, now: Now) -> Value {
    let mut told = Map::new();
    told.insert("endpoint".into(), json!(policy.endpoint));
    told.insert("sequence".into(), json!(policy.sequence));
    told.insert("accept".into(), policy.accept.names().collect());
    tell_verdict(&mut told, config, policy, call, now);
    match credential::read(&call.credentials) {
        Err(malformed) => drop(told.insert("malformed".into(), json!(malformed.error()))),
        Ok(presented) => {
            told.insert("otherKinds".into(), other_kinds(&presented, call.path));
            let evidence = evidence(config, policy, call, &presented, now);
            told.insert("credentials".into(), mechanisms::ALL.map(|each| credential(each, &evidence)).into());
        }
    }
    Value::Object(told)
}

fn tell_verdict(told: &mut Map<String, Value>, config: &Config, policy: &Policy, call: &Call, now: Now) {
    let needed = policy.operations.permission(call.method, call.path).map(|bit| policy.permissions.name(bit));
    told.insert("permission".into(), json!(needed));
    match decide(config, Some(policy), call, now) {
        Verdict::Admit(it) => {
            told.insert("decision".into(), json!("allow"));
            tell_caller(told, &it.caller);
            told.insert("permissions".into(), json!(it.permission_list));
            told.insert("rule".into(), json!(it.rule));
            told.insert("ends".into(), json!(it.ends.map(|unix_ms| unix_ms / 1000)));
            let beside = it.beside.iter().map(|each| json!({"client": each.client, "method": each.method.name()}));
            told.insert("beside".into(), beside.collect());
        }
        Verdict::Refuse(it) => {
            told.insert("decision".into(), json!("deny"));
            let entry = config.errors.entry(it.error);
            told.insert("error".into(), json!(it.error));
            told.insert("code".into(), json!(entry.code));
            told.insert("status".into(), json!(entry.status));
            if let Some(caller) = it.caller {
                let held = policy.rules.hold_for(&caller).permissions() | caller.permissions.unwrap_or(0);
                told.insert("permissions".into(), json!(policy.permissions.list(held)));
                tell_caller(told, &caller);
            }
        }
    }
}

fn tell_caller(told: &mut Map<String, Value>, caller: &Caller) {
    told.insert("client".into(), json!(caller.client));
    told.insert("method".into(), json!(caller.method.name()));
}

/// Credentials that no endpoint takes, whatever else is there.
fn other_kinds(presented: &Presented, path: &[u8]) -> Value {
    let all = [
        ("key_in_path", shown_in(path)),
        ("opaque_token", presented.opaque.is_some()),
        ("dpop_token", presented.dpop.is_some()),
        ("not_a_bearer_token", presented.other),
    ];
    all.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect()
}

/// What became of one mechanism, and what can be told of its credential.
fn credential(mechanism: Mechanism, evidence: &Evidence) -> Value {
    let mut told = match mechanism {
        Mechanism::ApiKey => key(evidence),
        Mechanism::Jwt => token(evidence),
        Mechanism::Mtls => certificate(evidence),
    };
    told.insert("mechanism".into(), json!(mechanism.name()));
    let (result, flaw) = match mechanism.prove(evidence) {
        Proof::Absent => ("absent", None),
        Proof::Failed(flaw) => ("failed", Some(flaw)),
        Proof::Unavailable(flaw) => ("unavailable", Some(flaw)),
        Proof::Ok(caller) => {
            told.insert("client".into(), json!(caller.client));
            told.insert("permissions".into(), json!(caller.permissions.map(|it| evidence.policy.permissions.list(it))));
            ("good", None)
        }
    };
    told.insert("result".into(), json!(result));
    told.insert("flaw".into(), json!(flaw.map(|it| it.name())));
    Value::Object(told)
}

/// The id of a key is no secret: it is in the status of its client.
fn key(evidence: &Evidence) -> Map<String, Value> {
    let mut told = Map::new();
    let Some(text) = evidence.presented.api_key else { return told };
    let id = id(text);
    told.insert("keyId".into(), json!(id));
    told.insert("idIsRevoked".into(), json!(id.is_some_and(|id| evidence.revoked.iter().any(|list| list.key(id)))));
    if let Some((key, client)) = api_key::known(evidence.policy, text) {
        told.insert("client".into(), json!(client.id));
        told.insert("notBefore".into(), json!(key.not_before));
        told.insert("notAfter".into(), json!(key.not_after));
    }
    told
}

fn certificate(evidence: &Evidence) -> Map<String, Value> {
    let mut told = Map::new();
    let Shown::Certificate(certificate) = evidence.certificate else { return told };
    told.insert("identity".into(), json!(certificate.name().map(|it| quoted(&it))));
    told.insert("notAfter".into(), json!(certificate.ends() / 1000));
    if let Some(client) = mtls::known(evidence.policy, &certificate) {
        told.insert("client".into(), json!(client.id));
    }
    told
}

/// What the token says of itself, proved or not, and what each of the endpoint's issuers makes of it.
fn token(evidence: &Evidence) -> Map<String, Value> {
    let mut told = Map::new();
    let Some(token) = evidence.presented.jwt.and_then(Token::read) else { return told };
    told.insert("algorithm".into(), json!(format!("{:?}", token.algorithm)));
    told.insert("kid".into(), json!(token.kid.as_deref().map(quoted)));
    told.insert("typ".into(), json!(token.typ.as_deref().map(quoted)));
    let Some(claims) = Json::read(&token.payload) else { return told };
    for name in ["iss", "sub"] {
        told.insert(name.into(), json!(claims.get(name).and_then(Json::text).map(quoted)));
    }
    told.insert("aud".into(), texts(claims.get("aud")));
    if let Some(times) = Times::read(&claims) {
        told.insert("issued".into(), json!(times.issued / 1000));
        told.insert("notBefore".into(), json!(times.not_before.map(|it| it / 1000)));
        told.insert("expires".into(), json!(times.expires / 1000));
    }
    let issuers = jwt::judgements(evidence, &token, &claims).map(|(name, issuer, judgement)| {
        let (result, flaw) = match judgement {
            Judgement::Good(_) => ("good", None),
            Judgement::Bad(flaw) => ("failed", Some(flaw)),
            Judgement::Unverifiable(flaw) => ("unavailable", Some(flaw)),
        };
        let mut told = json!({"name": name, "result": result, "flaw": flaw.map(|it| it.name())});
        if let Some((claim, words)) = issuer.map(|it| it.permission_words(&claims)) {
            told["permissionsClaim"] = json!(claim.dotted());
            told["permissionsWords"] = words.into_iter().take(MOST_QUOTED).map(quoted).collect();
        }
        told
    });
    told.insert("issuers".into(), issuers.collect());
    told
}

fn texts(claim: Option<&Json>) -> Value {
    match claim {
        Some(Json::Text(text)) => json!([quoted(text)]),
        Some(Json::List(values)) => values.iter().filter_map(Json::text).take(MOST_QUOTED).map(quoted).collect(),
        _ => json!([]),
    }
}

fn quoted(text: &str) -> String {
    text.chars().take(LONGEST_QUOTE).collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question<'a> {
    /// The filter's configuration and the endpoint's policy, as Envoy would get them.
    #[serde(borrow)]
    gate: &'a RawValue,
    #[serde(borrow)]
    policy: &'a RawValue,
    call: Asked,
}

/// The call, with each header as often as it is there. `certificate`: the listener's note.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    method: String,
    path: String,
    #[serde(default)]
    authorization: Vec<String>,
    #[serde(default)]
    api_key: Vec<String>,
    #[serde(default)]
    certificate: String,
}

/// The answer to a question, both as JSON. The error quotes nothing of the call.
pub fn answer(question: &[u8], unix_ms: i64) -> Result<String, String> {
    let asked: Question = serde_json::from_slice(question).map_err(|error| {
        format!("its input is no question ({:?} error in column {})", error.classify(), error.column())
    })?;
    let config =
        Config::parse(asked.gate.get().as_bytes()).map_err(|error| format!("the gate's configuration: {error}"))?;
    let policy = Policy::parse(asked.policy.get().as_bytes(), &Registry::default(), 0)
        .map_err(|error| format!("the endpoint's policy: {error}"))?;
    Ok(explain(&config, &policy, &asked.call.read(), Now { unix_ms, monotonic_ms: 0 }).to_string())
}

impl Asked {
    /// As it comes to the gate of an endpoint: by its host, whose name does not matter.
    fn read(&self) -> Call<'_> {
        const HOST: &[u8] = b"endpoint";
        let mut call = Call {
            server_name: HOST,
            host: HOST,
            method: self.method.as_bytes(),
            path: self.path.as_bytes(),
            certificate: Shown::read(self.certificate.as_bytes()),
            routed: true,
            ..Call::default()
        };
        self.authorization.iter().for_each(|value| call.credentials.authorization.add(value.as_bytes()));
        self.api_key.iter().for_each(|value| call.credentials.api_key.add(value.as_bytes()));
        call
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::tests::KEY;
    use crate::jwt::signer::Signer;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    const INFER: &str = "/v2/models/m/infer";
    const NOW: Now = Now { unix_ms: 1_100_000, monotonic_ms: 0 };
    const DIGEST: &str = "00000000000000000000000000000000000000000000000000000000000000ff";
    const SUBJECT: &str = "spiffe://nightlatch/ns/search/ic/bot";
    static SIGNER: LazyLock<Signer> = LazyLock::new(Signer::new);

    fn config(revoked: &str) -> Config {
        let issuer = |name: &str, audience: &str| {
            format!(
                r#"{{"name": "{name}", "issuer": "https://id.example", "audiences": ["{audience}"],
                "algorithms": ["ES256"], "keys": [{}], "maxLifetimeMilliseconds": 300000,
                "clockSkewMilliseconds": 30000, "permissionsFrom": {{"claim": ["scope"], "map": {{"go": ["infer"]}}}},
                "identityFrom": ["sub"], "senderConstrained": "IfBound"}}"#,
                SIGNER.jwk(r#", "kid": "k1""#)
            )
        };
        let issuers = [issuer("ids/corp", "minilm"), issuer("ids/other", "other")].join(",");
        let more = format!(r#", "revoked": {{{revoked}}}, "issuers": [{issuers}]"#);
        Config::parse(crate::config::tests::config(&more).as_bytes()).unwrap()
    }

    fn policy(accept: &str, until: i64) -> Policy {
        let hex: String = crate::api_key::digest(KEY.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        let text = format!(
            r#"{{"format": 1, "endpoint": "search/minilm", "sequence": 7, "accept": {accept},
            "operations": [["POST", "{INFER}", "infer"], ["GET", "/v2/models/m", "metadata"]],
            "clients": [{{"id": "search/bot", "permissions": ["infer"], "limit": "t"}}],
            "mechanisms": {{"apiKey": {{"keys": [["{hex}", 0, "000000000000", null, {until}]]}},
                "jwt": {{"issuers": [["ids/corp", "https://id.example"], ["ids/other", "https://id.example"],
                    ["ids/gone", "https://gone.example"]]}},
                "mtls": {{"uris": [["{SUBJECT}", 0]]}}}},
            "limits": {{"t": {{"requests": 1, "perMilliseconds": 60000, "burst": 1}}}}}}"#
        );
        Policy::parse(text.as_bytes(), &Registry::default(), 0).unwrap()
    }

    fn token(from: &str, to: &str) -> String {
        const CLAIMS: &str = r#"{"iss": "https://id.example", "aud": "minilm", "sub": "alice", "jti": "t1",
            "scope": "go on", "secret": "hidden", "iat": 1000, "exp": 1300}"#;
        assert!(CLAIMS.contains(from), "{from}");
        SIGNER.sign(r#"{"alg": "ES256", "kid": "k1"}"#, &CLAIMS.replacen(from, to, 1))
    }

    fn asked(path: &str, token: Option<&str>, key: Option<&str>, note: &str) -> Asked {
        Asked {
            method: if path == INFER { "POST" } else { "GET" }.to_owned(),
            path: path.to_owned(),
            authorization: token.iter().map(|it| format!("Bearer {it}")).collect(),
            api_key: key.iter().map(|it| (*it).to_owned()).collect(),
            certificate: note.to_owned(),
        }
    }

    fn note(until: i64, uris: &str) -> String {
        format!("{until} {DIGEST}\n{uris}\n")
    }

    const ANY: &str = r#"[["apiKey"], ["jwt"], ["mtls"]]"#;

    /// Decision or code, and then result and flaw of each credential that is there.
    fn said(revoked: &str, accept: &str, asked: &Asked) -> String {
        let told = explain(&config(revoked), &policy(accept, 2_000), &asked.read(), NOW);
        let mut words = vec![told.get("code").unwrap_or(&told["decision"]).as_str().unwrap().to_owned()];
        for each in told["credentials"].as_array().into_iter().flatten() {
            let flaw = each["flaw"].as_str().map_or(String::new(), |flaw| format!(" {flaw}"));
            if each["result"] != "absent" {
                words.push(format!(
                    "{} {}{flaw}",
                    each["mechanism"].as_str().unwrap(),
                    each["result"].as_str().unwrap()
                ));
            }
        }
        words.extend(told["otherKinds"].as_array().into_iter().flatten().map(|it| it.as_str().unwrap().to_owned()));
        words.join("; ")
    }

    #[test]
    fn each_credential_has_its_reason() {
        let by_key = |key: &str| asked(INFER, None, Some(key), "");
        let by_token = |from: &str, to: &str| asked(INFER, Some(&token(from, to)), None, "");
        let by_note = |note: &str| asked(INFER, None, None, note);
        let unknown = "nl_000000000001_0000000000000000000000000000000000000000000_2ymzmR";
        let iss = "https://id.example";
        for (revoked, asked, expected) in [
            ("", by_key(KEY), "allow; apiKey good"),
            (r#""keys": ["000000000000"]"#, by_key(KEY), "unauthenticated; apiKey failed key_revoked"),
            (r#""clients": ["search/bot"]"#, by_key(KEY), "unauthenticated; apiKey failed key_of_revoked_client"),
            ("", by_key("nl_x"), "unauthenticated; apiKey failed key_malformed"),
            ("", by_key(unknown), "unauthenticated; apiKey failed key_malformed"),
            ("", by_token("alice", "alice"), "allow; jwt good"),
            ("", by_token("1300", "1069"), "unauthenticated; jwt failed token_expired"),
            ("", by_token("1000", "1200"), "unauthenticated; jwt failed token_issued_in_future"),
            ("", by_token("1300", "1301"), "unauthenticated; jwt failed token_lives_too_long"),
            ("", by_token("minilm", "else"), "unauthenticated; jwt failed token_audience"),
            ("", by_token(iss, "https://x"), "unauthenticated; jwt failed token_of_stranger"),
            ("", by_token(iss, "https://gone.example"), "verification_unavailable; jwt unavailable issuer_missing"),
            ("", by_token(r#""iss""#, r#""i""#), "unauthenticated; jwt failed token_without_issuer"),
            ("", by_token(r#""iat""#, r#""i""#), "unauthenticated; jwt failed token_times_missing"),
            (
                r#""tokens": {"ids/corp": {"jti": ["t1"]}}"#,
                by_token("t1", "t1"),
                "unauthenticated; jwt failed token_denied_by_jti",
            ),
            (
                r#""tokens": {"ids/corp": {"sub": ["alice"]}}"#,
                by_token("t1", "t2"),
                "unauthenticated; jwt failed token_denied_by_sub",
            ),
            (
                r#""tokens": {"ids/corp": {"issuedBefore": {"": 1001}}}"#,
                by_token("t1", "t2"),
                "unauthenticated; jwt failed token_issued_too_early",
            ),
            ("", by_token(r#""sub""#, r#""cnf": {"jkt": "AA"}, "sub""#), "unauthenticated; jwt failed token_not_bound"),
            ("", asked(INFER, Some("a.b.c"), None, ""), "unauthenticated; jwt failed token_malformed"),
            ("", asked(INFER, Some("opaque"), None, ""), "unauthenticated; opaque_token"),
            ("", by_note(&note(2_000, SUBJECT)), "allow; mtls good"),
            ("", by_note(&note(1_000, SUBJECT)), "unauthenticated; mtls failed certificate_expired"),
            ("", by_note(&note(2_000, "a:b")), "unauthenticated; mtls failed certificate_of_nobody"),
            ("", by_note(&note(2_000, "a:b,c:d")), "unauthenticated; mtls failed certificate_without_one_name"),
            (
                &format!(r#""certificates": [["search/bot", "{DIGEST}"]]"#),
                by_note(&note(2_000, SUBJECT)),
                "unauthenticated; mtls failed certificate_revoked",
            ),
            (
                &format!(r#""identities": ["{SUBJECT}"]"#),
                by_note(&note(2_000, SUBJECT)),
                "unauthenticated; mtls failed identity_revoked",
            ),
        ] {
            assert_eq!(said(revoked, ANY, &asked), expected);
        }
        let both = asked(INFER, Some(&token("minilm", "else")), Some(KEY), "");
        assert_eq!(said("", ANY, &both), "unauthenticated; apiKey good; jwt failed token_audience");
        let all = r#"[["apiKey", "mtls"]]"#;
        assert_eq!(said("", all, &by_key(KEY)), "unauthenticated; apiKey good");
        assert_eq!(
            said("", all, &asked(INFER, None, Some(KEY), &note(2_000, SUBJECT))),
            "allow; apiKey good; mtls good"
        );
        assert_eq!(said("", ANY, &asked("/v2/models/m", None, Some(KEY), "")), "insufficient_scope; apiKey good");
    }

    #[test]
    fn of_two_issuers_with_one_iss_each_says_what_is_wrong_and_the_reason_is_that_of_the_one_that_got_further() {
        let asked = asked(INFER, Some(&token("1300", "1069")), None, "");
        let told = explain(&config(""), &policy(ANY, 2_000), &asked.read(), NOW);
        let flaws: Vec<_> =
            told["credentials"][1]["issuers"].as_array().unwrap().iter().map(|it| &it["flaw"]).collect();
        assert_eq!(flaws, ["token_expired", "token_audience"]);
        assert_eq!(told["credentials"][1]["flaw"], "token_expired");
    }

    #[test]
    fn nothing_secret_is_told() {
        let jwt = token("alice", "alice");
        let asked = asked(INFER, Some(&jwt), Some(KEY), &note(2_000, SUBJECT));
        let told = explain(&config(""), &policy(ANY, 2_000), &asked.read(), NOW).to_string();
        let digest: String = crate::api_key::digest(KEY.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        let of_token: String =
            crate::api_key::digest(jwt.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        for secret in [&jwt[jwt.len() - 20..], &KEY[16..40], "hidden", "t1", &digest[..16], &of_token[..16]] {
            assert!(!told.contains(secret), "{secret}");
        }
    }

    #[test]
    fn a_question_is_answered_and_a_bad_one_quotes_nothing() {
        let (gate, policy) =
            (crate::config::tests::config(""), crate::decide::tests::policy_json(r#", "accept": [["apiKey"]]"#));
        let ask = |call: &str| {
            answer(format!(r#"{{"gate": {gate}, "policy": {policy}, "call": {call}}}"#).as_bytes(), 150_000)
        };
        let call = format!(r#"{{"method": "POST", "path": "{INFER}", "api_key": ["{KEY}"]}}"#);
        let told: Value = serde_json::from_str(&ask(&call).unwrap()).unwrap();
        assert_eq!((&told["decision"], &told["client"]), (&json!("allow"), &json!("search/bot")));
        for bad in [
            r#"{"method": "SECRET"}"#,
            r#"{"method": "POST", "path": "/", "SECRET": 1}"#,
            r#""SECRET"#,
            r#"{"api_key": "SECRET"}"#,
        ] {
            assert!(!ask(bad).unwrap_err().contains("SECRET"), "{bad}");
        }
    }

    /// Any of the credentials that the property tries, among them good ones.
    fn credentials() -> impl Strategy<Value = (Option<String>, Option<String>, String)> {
        let tokens = prop_oneof![
            Just(None),
            Just(Some(token("alice", "alice"))),
            Just(Some(token("minilm", "else"))),
            Just(Some(token("go on", "off"))),
            Just(Some(token("https://id.example", "https://gone.example"))),
            (0i64..3000, 0i64..3000).prop_map(|(iat, exp)| Some(token(
                r#""iat": 1000, "exp": 1300"#,
                &format!(r#""iat": {iat}, "exp": {exp}"#)
            ))),
            "[ -~]{0,40}".prop_map(Some),
        ];
        let keys = prop_oneof![
            Just(None),
            Just(Some(KEY.to_owned())),
            "nl_[0-9A-Za-z]{0,70}".prop_map(Some),
            "[ -~]{0,9}".prop_map(Some)
        ];
        let notes = prop_oneof![
            Just(String::new()),
            (0i64..3000, "(spiffe://nightlatch/ns/search/ic/bot|a:b|a:b,c:d|)")
                .prop_map(|(until, uris)| note(until, &uris)),
            "[ -~\n]{0,30}"
        ];
        (tokens, keys, notes)
    }

    proptest! {
        #[test]
        fn the_explanation_decides_as_the_gate_does_and_gives_a_reason(
            (token, key, note) in credentials(),
            path in prop_oneof![Just(INFER), Just("/v2/models/m"), Just("/nowhere"), Just("/?nl_000000000000_0")],
            accept in prop_oneof![Just(ANY), Just("[]"), Just(r#"[["apiKey", "jwt"]]"#), Just(r#"[["mtls", "jwt"], ["apiKey"]]"#)],
            revoked in prop_oneof![Just(""), Just(r#""clients": ["search/bot"]"#), Just(r#""tokens": {"ids/corp": {"jti": ["t1"]}}"#)],
            until in 0i64..3000,
        ) {
            let asked = asked(path, token.as_deref(), key.as_deref(), &note);
            let config = config(revoked);
            let told = explain(&config, &policy(accept, until), &asked.read(), NOW);
            // A policy of its own, so that the one limit is not used up by the explanation.
            let policy = policy(accept, until);
            let results: Vec<_> = told["credentials"].as_array().into_iter().flatten().map(|it| it["result"].clone()).collect();
            let has = |result: &str| results.iter().any(|it| it == result);
            match decide(&config, Some(&policy), &asked.read(), NOW) {
                Verdict::Admit(it) => {
                    prop_assert_eq!((&told["decision"], &told["client"], &told["rule"]), (&json!("allow"), &json!(it.caller.client), &json!(it.rule)));
                    prop_assert!(has("good") && !has("failed"));
                }
                Verdict::Refuse(it) => {
                    prop_assert_eq!((&told["decision"], &told["error"]), (&json!("deny"), &json!(it.error)));
                    let good: Vec<_> = told["credentials"].as_array().into_iter().flatten().filter(|it| it["result"] == "good").map(|it| it["mechanism"].as_str().unwrap()).collect();
                    let satisfied = told["accept"].as_array().unwrap().iter().any(|list| list.as_str().unwrap().split('+').all(|each| good.contains(&each)));
                    let other = told["otherKinds"].as_array().is_some_and(|it| !it.is_empty());
                    match it.error {
                        "unauthenticated" => prop_assert!(has("failed") || other || !satisfied),
                        "verification_unavailable" => prop_assert!(has("unavailable") && !satisfied),
                        "insufficient_scope" => prop_assert!(satisfied),
                        _ => prop_assert!(told["malformed"].is_string()),
                    }
                }
            }
        }
    }
}
