//! What an access log can say of a decision: one set of dynamic metadata, in the namespace `nightlatch.gate`.

use crate::decide::Verdict;
use crate::mechanisms::Caller;
use crate::policy::Policy;

pub const NAMESPACE: &str = "nightlatch.gate";

/// What is always there for an admitted call, because the hold needs it. Members cost time (ADR 8).
pub fn identity<'a>(caller: &'a Caller) -> [(&'static str, &'a str); 2] {
    [("client", &*caller.client), ("credential", &*caller.credential)]
}

/// Whether the call of this number is among so many of a thousand, spread evenly.
pub fn sampled(number: u32, of_thousand: u32) -> bool {
    number.wrapping_mul(7919) % 1000 < of_thousand
}

/// The members, without those that are not known. `code` is the code of the error that the call is answered with.
pub fn members<'a>(policy: Option<&'a Policy>, verdict: &'a Verdict, code: &'a str) -> Vec<(&'static str, &'a str)> {
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
    ];
    all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::Refusal;

    #[test]
    fn samples_are_as_many_as_asked_for() {
        for wanted in [0, 1, 250, 1000] {
            assert_eq!((0..1000).filter(|number| sampled(*number, wanted)).count(), wanted as usize);
        }
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let refused = Verdict::Refuse(Refusal { error: "unauthenticated", caller: None, rate: None });
        assert_eq!(members(None, &refused, "unauthenticated"), [("decision", "deny"), ("code", "unauthenticated")]);
    }
}
