//! What an access log can say of a decision: one set of dynamic metadata, in the namespace `nightlatch.gate`.

use crate::decide::Verdict;
use crate::limit::{Limited, Registry, Rule};
use crate::mechanisms::Caller;
use crate::policy::Policy;
use serde::Deserialize;
use std::sync::atomic::{AtomicU64, Ordering};

pub const NAMESPACE: &str = "nightlatch.gate";

/// Present on a decision that is to be written: how many refusals were left out since the last that was.
const DROPPED: &str = "dropped";
const MILLION: u64 = 1_000_000;
/// The bucket of the refusals. No endpoint has this name: theirs have a slash.
const BUCKET: &str = "audit";

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

/// Which decisions are written: refusals up to a rate, and evenly picked ones of the calls that are let through.
pub struct Sample {
    refusals: Option<Limited>,
    allows_per_million: u64,
    allows: AtomicU64,
    dropped: AtomicU64,
}

impl Sample {
    /// The bucket of the refusals comes from the registry, so that a new configuration does not refill it.
    pub fn new(amount: &Amount, registry: &Registry, now_ms: u64) -> Sample {
        let burst = amount.refusals_per_second;
        let rule = (burst > 0).then_some(Rule { requests: burst, per_ms: 1_000, burst, gateways: 1 });
        Sample {
            refusals: registry.limits(BUCKET, [(BUCKET, rule)].into_iter(), now_ms).pop().flatten(),
            allows_per_million: u64::from(amount.allows_per_million).min(MILLION),
            allows: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    /// None: the refusal is not written. Otherwise how many were left out before it.
    pub fn refusal(&self, now_ms: u64) -> Option<u64> {
        if self.refusals.as_ref().is_some_and(|limit| limit.take(now_ms).retry_after.is_none()) {
            return Some(self.dropped.swap(0, Ordering::Relaxed));
        }
        self.dropped.fetch_add(1, Ordering::Relaxed);
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

/// What the hold needs of an admitted call. Members cost time (ADR 8), so it is there only where the hold follows.
pub fn identity<'a>(caller: &'a Caller) -> [(&'static str, &'a str); 2] {
    [("client", &*caller.client), ("credential", &*caller.credential)]
}

/// The members, without those that are not known. `code` is the code of the error that the call is answered with.
/// `dropped` is empty where the decision is not written.
pub fn members<'a>(
    policy: Option<&'a Policy>,
    verdict: &'a Verdict,
    code: &'a str,
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
        (DROPPED, dropped),
    ];
    all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::Refusal;

    #[test]
    fn refusals_are_bounded_also_over_configurations_and_allows_are_picked_evenly() {
        let registry = Registry::default();
        let amount = Amount { refusals_per_second: 10, allows_per_million: 250_000 };
        let written = |sample: &Sample, now: u64| (0..100).filter(|_| sample.refusal(now).is_some()).count();
        let sample = Sample::new(&amount, &registry, 0);
        assert_eq!(written(&sample, 0), 10);
        assert_eq!(written(&Sample::new(&amount, &registry, 0), 0), 0);
        assert_eq!(sample.refusal(100), Some(90));
        assert_eq!(written(&sample, 500), 4);
        assert_eq!((0..1000).filter(|_| sample.allow()).count(), 250);
        let none = Sample::new(&Amount { refusals_per_second: 0, allows_per_million: 0 }, &registry, 0);
        assert!(none.refusal(0).is_none() && !none.allow());
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let refused = Verdict::Refuse(Refusal { error: "unauthenticated", caller: None, rate: None });
        assert_eq!(members(None, &refused, "unauthenticated", ""), [("decision", "deny"), ("code", "unauthenticated")]);
    }
}
