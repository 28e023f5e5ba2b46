//! What an access log can say of a decision: one set of dynamic metadata, in the namespace `nightlatch.gate`.

use crate::decide::Verdict;
use crate::limit::{Limited, Registry, Rule};
use crate::mechanisms::{Caller, Mechanism};
use crate::policy::Policy;
use crate::reply::BROKEN;
use crate::strict::{Unique, visible};
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

pub const NAMESPACE: &str = "nightlatch.gate";

/// Present on a decision that is to be written: how many refusals were left out since the last that was.
const DROPPED: &str = "dropped";
/// Of an admitted call that the hold follows.
pub const ENDS: &str = "ends";
const MILLION: u64 = 1_000_000;
/// The bucket of the refusals. No endpoint has this name: theirs have a slash.
const BUCKET: &str = "audit";
/// Refusals that were left out since the last one that is written: one number for all filters and configurations.
pub static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

/// How much is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Amount {
    refusals_per_second: u32,
    allows_per_million: u32,
}

impl Default for Amount {
    fn default() -> Amount {
        Amount { refusals_per_second: 100, allows_per_million: 0 }
    }
}

/// The codes of what Envoy answers by itself, by status, and for gRPC by `grpc-` and the value of
/// `grpc-status-details-bin`, because one gRPC status stands for several codes. `hold` is where the hold could not be
/// asked, `*` the rest.
#[derive(Deserialize)]
#[serde(try_from = "Unique<Box<str>>")]
pub struct EnvoyCodes {
    by_status: HashMap<u16, Box<str>>,
    by_grpc_details: HashMap<Box<[u8]>, Box<str>>,
    pub hold: Box<str>,
    other: Box<str>,
}

impl Default for EnvoyCodes {
    fn default() -> EnvoyCodes {
        let (by_status, by_grpc_details) = (HashMap::new(), HashMap::new());
        EnvoyCodes { by_status, by_grpc_details, hold: BROKEN.into(), other: BROKEN.into() }
    }
}

impl TryFrom<Unique<Box<str>>> for EnvoyCodes {
    type Error = String;

    fn try_from(value: Unique<Box<str>>) -> Result<EnvoyCodes, String> {
        let mut codes = EnvoyCodes::default();
        for (status, code) in value.0 {
            if !visible(&code, 64) {
                return Err("envoyCodes has a code that is not possible".to_owned());
            }
            if let Some(details) = status.strip_prefix("grpc-") {
                codes.by_grpc_details.insert(details.as_bytes().into(), code);
                continue;
            }
            match status.parse() {
                Ok(status) => drop(codes.by_status.insert(status, code)),
                Err(_) if status == "hold" => codes.hold = code,
                Err(_) if status == "*" => codes.other = code,
                Err(_) => return Err("envoyCodes has a status that is not a number".to_owned()),
            }
        }
        Ok(codes)
    }
}

impl EnvoyCodes {
    pub fn of(&self, status: u16) -> &str {
        self.by_status.get(&status).unwrap_or(&self.other)
    }

    pub fn of_grpc(&self, details: &[u8]) -> &str {
        self.by_grpc_details.get(details).unwrap_or(&self.other)
    }
}

/// Which decisions are written: refusals up to a rate, and evenly picked ones of the calls that are let through.
pub struct Sample {
    refusals: Option<Limited>,
    allows_per_million: u64,
    allows: AtomicU64,
    left_out: &'static AtomicU64,
}

impl Sample {
    /// The bucket of the refusals comes from the registry, so that a new configuration does not refill it.
    pub fn new(amount: &Amount, registry: &Registry, left_out: &'static AtomicU64, now_ms: u64) -> Sample {
        let burst = amount.refusals_per_second;
        let rule = (burst > 0).then_some(Rule { requests: burst, per_ms: 1_000, burst, gateways: 1 });
        Sample {
            refusals: registry.limits(BUCKET, [(BUCKET, rule)].into_iter(), now_ms).pop().flatten(),
            allows_per_million: u64::from(amount.allows_per_million).min(MILLION),
            allows: AtomicU64::new(0),
            left_out,
        }
    }

    /// None: the refusal is not written. Otherwise how many were left out before it.
    pub fn refusal(&self, now_ms: u64) -> Option<u64> {
        if self.refusals.as_ref().is_some_and(|limit| limit.take(now_ms).retry_after.is_none()) {
            return Some(self.left_out.swap(0, Ordering::Relaxed));
        }
        self.left_out.fetch_add(1, Ordering::Relaxed);
        None
    }

    pub fn allow(&self) -> bool {
        if self.allows_per_million == 0 {
            return false;
        }
        let number = self.allows.fetch_add(1, Ordering::Relaxed) % MILLION;
        number * self.allows_per_million / MILLION != (number + 1) * self.allows_per_million / MILLION
    }
}

/// What the hold needs of an admitted call. Members cost time (ADR 8), so it is there only where the hold follows, and
/// without the method where that is an API key. `ends` is as in `Admission`, in decimal digits.
pub fn identity<'a>(caller: &'a Caller, beside: &'a str, ends: &'a str) -> Vec<(&'static str, &'a str)> {
    let method = if caller.method == Mechanism::ApiKey { "" } else { caller.method.name() };
    let all = [
        ("client", &*caller.client),
        ("credential", &*caller.credential),
        ("method", method),
        ("beside", beside),
        (ENDS, ends),
    ];
    all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

/// Who the other proofs of a call are of: method, client and credential of each, with commas between several.
pub fn beside(others: &[Caller]) -> String {
    let told = others.iter().map(|each| format!("{} {} {}", each.method.name(), each.client, each.credential));
    told.collect::<Vec<_>>().join(",")
}

/// The members, without those that are not known. `code` is the code of the error that the call is answered with.
/// `dropped` is empty where the decision is not written.
pub fn members<'a>(
    policy: Option<&'a Policy>,
    verdict: &'a Verdict,
    code: &'a str,
    beside: &'a str,
    dropped: &'a str,
) -> Vec<(&'static str, &'a str)> {
    let (decision, caller, rule, permission) = match verdict {
        Verdict::Admit(it) => ("allow", Some(&it.caller), it.rule, it.permission),
        Verdict::Refuse(it) => ("deny", it.caller.as_ref(), "", ""),
    };
    let endpoint = policy.map_or(("", ""), |policy| (&*policy.endpoint, &*policy.sequence));
    let caller = caller.map_or(("", "", ""), |it| (&*it.client, &*it.credential, it.method.name()));
    let all = [
        ("decision", decision),
        ("code", code),
        ("endpoint", endpoint.0),
        ("sequence", endpoint.1),
        ("client", caller.0),
        ("credential", caller.1),
        ("method", caller.2),
        ("rule", rule),
        ("permission", permission),
        ("beside", beside),
        (DROPPED, dropped),
    ];
    all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

/// The members of a refusal that the gate did not decide. Those of the client are there already if it is known.
pub fn answer<'a>(policy: Option<&'a Policy>, code: &'a str, dropped: &'a str) -> Vec<(&'static str, &'a str)> {
    let endpoint = policy.map_or(("", ""), |policy| (&*policy.endpoint, &*policy.sequence));
    let all =
        [("decision", "deny"), ("code", code), ("endpoint", endpoint.0), ("sequence", endpoint.1), (DROPPED, dropped)];
    all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

/// The members of a connection that is closed before there is a call.
pub fn closed<'a>(details: &'a str, dropped: &'a str) -> [(&'static str, &'a str); 3] {
    [("decision", "deny"), ("details", details), (DROPPED, dropped)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::Refusal;

    #[test]
    fn refusals_are_bounded_also_over_configurations_and_allows_are_picked_evenly() {
        let registry = Registry::default();
        let left_out = Box::leak(Box::new(AtomicU64::new(0)));
        let amount = Amount { refusals_per_second: 10, allows_per_million: 250_000 };
        let written = |sample: &Sample, now: u64| (0..100).filter(|_| sample.refusal(now).is_some()).count();
        let sample = Sample::new(&amount, &registry, left_out, 0);
        assert_eq!(written(&sample, 0), 10);
        assert_eq!(written(&Sample::new(&amount, &registry, left_out, 0), 0), 0);
        assert_eq!(sample.refusal(100), Some(190));
        assert_eq!(written(&sample, 500), 4);
        assert_eq!((0..1000).filter(|_| sample.allow()).count(), 250);
        let none = Sample::new(&Amount { refusals_per_second: 0, allows_per_million: 0 }, &registry, left_out, 0);
        assert!(none.refusal(0).is_none() && !none.allow());
    }

    #[test]
    fn what_envoy_answers_has_the_code_of_its_status() {
        let read = |json: &str| serde_json::from_str::<EnvoyCodes>(json);
        let codes = read(r#"{"404": "not_found", "grpc-CAU": "gone", "hold": "unavailable", "*": "other"}"#).unwrap();
        assert_eq!((codes.of(404), codes.of(408), &*codes.hold), ("not_found", "other", "unavailable"));
        assert_eq!((codes.of_grpc(b"CAU"), codes.of_grpc(b"")), ("gone", "other"));
        for bad in [r#"{"x": "a"}"#, r#"{"404": ""}"#, r#"{"404": "a", "404": "b"}"#, r#"{"404": 1}"#] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let refused = Verdict::Refuse(Refusal { error: "unauthenticated", caller: None, rate: None });
        assert_eq!(
            members(None, &refused, "unauthenticated", "", ""),
            [("decision", "deny"), ("code", "unauthenticated")]
        );
    }
}
