//! Which proofs suffice: any one of several lists, and within a list every mechanism.

use crate::mechanisms::{Caller, Mechanism, Proof};

/// The lists, in the policy's order. Without a list nobody gets in.
#[derive(Default)]
pub struct Accept(Box<[List]>);

struct List {
    mask: u32,
    /// The first mechanism that the list names. Its client is the caller.
    first: Mechanism,
    name: Box<str>,
}

/// What the proofs of a call come to.
#[derive(Debug)]
pub enum Outcome<'a, 'p> {
    /// `rule` is the list that was satisfied, such as `apiKey` or `mtls+jwt`.
    Accepted {
        caller: Caller<'p>,
        rule: &'a str,
        /// Who the list's other proofs are of.
        beside: Vec<Caller<'p>>,
    },
    Refused,
    /// Only a credential that cannot be verified now is missing.
    Unavailable,
}

impl Accept {
    pub fn new(lists: Vec<Vec<Mechanism>>) -> Result<Accept, &'static str> {
        let list = |mechanisms: Vec<Mechanism>| {
            let first = *mechanisms.first().ok_or("a list of accept is empty")?;
            let mask = mechanisms.iter().fold(0, |mask, each| mask | each.bit());
            let name = mechanisms.iter().map(|each| each.name()).collect::<Vec<_>>().join("+").into();
            Ok(List { mask, first, name })
        };
        Ok(Accept(lists.into_iter().map(list).collect::<Result<_, &'static str>>()?))
    }

    /// The lists, each with the names of its mechanisms and plus signs between them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|list| &*list.name)
    }

    /// `proofs`: one for each mechanism. A presented credential that failed refuses the call, whatever else is there.
    pub fn evaluate<'p, const N: usize>(&self, proofs: [(Mechanism, Proof<'p>); N]) -> Outcome<'_, 'p> {
        let (mut proved, mut unavailable) = (0, 0);
        for (mechanism, proof) in &proofs {
            match proof {
                Proof::Absent => {}
                Proof::Failed(_) => return Outcome::Refused,
                Proof::Unavailable(_) => unavailable |= mechanism.bit(),
                Proof::Ok(_) => proved |= mechanism.bit(),
            }
        }
        let within = |mask: u32| self.0.iter().find(|list| list.mask & !mask == 0);
        let Some(list) = within(proved) else {
            return if within(proved | unavailable).is_some() { Outcome::Unavailable } else { Outcome::Refused };
        };
        let (mut caller, mut beside) = (None, Vec::new());
        for (mechanism, proof) in proofs {
            match proof {
                Proof::Ok(it) if mechanism == list.first => caller = Some(it),
                Proof::Ok(it) if mechanism.bit() & list.mask != 0 => beside.push(it),
                _ => {}
            }
        }
        caller.map_or(Outcome::Refused, |caller| Outcome::Accepted { caller, rule: &list.name, beside })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flaw::Flaw;
    use std::borrow::Cow;

    const FAILED: Proof = Proof::Failed(Flaw::KeyUnknown);
    const UNAVAILABLE: Proof = Proof::Unavailable(Flaw::IssuerMissing);

    fn caller() -> Caller<'static> {
        of(Mechanism::ApiKey)
    }

    fn of(method: Mechanism) -> Caller<'static> {
        Caller {
            client: Cow::Borrowed("ns/c"),
            credential: Cow::Borrowed("k"),
            method,
            permissions: Some(1),
            permission_list: Some("infer"),
            by_claims: 0,
            by_client: 0,
            by_certificate: 0,
            ends: None,
            limit: None,
            last_use: None,
        }
    }

    fn outcome(accept: &Accept, proof: Proof<'static>) -> &'static str {
        match accept.evaluate([(Mechanism::ApiKey, proof)]) {
            Outcome::Accepted { rule: "apiKey", .. } => "accepted",
            Outcome::Accepted { .. } => "another rule",
            Outcome::Refused => "refused",
            Outcome::Unavailable => "unavailable",
        }
    }

    #[test]
    fn a_list_of_two_asks_for_both_and_the_first_one_says_who_calls() {
        let with = |method, permissions: Option<u64>| {
            Proof::Ok(Caller { client: Cow::Borrowed(Mechanism::name(method)), method, permissions, ..caller() })
        };
        let (key, token) = (Mechanism::ApiKey, Mechanism::Jwt);
        let both = |first, second| Accept::new(vec![vec![first, second]]).unwrap();
        let said = |accept: &Accept, own: Proof<'static>, others: Proof<'static>| match accept
            .evaluate([(key, own), (token, others)])
        {
            Outcome::Accepted { caller, rule, beside } => {
                let caller = beside.iter().fold(caller, Caller::beside);
                format!("{rule} {} {:?}", caller.client, caller.permissions)
            }
            refused => format!("{refused:?}"),
        };
        for (accept, client) in [(both(key, token), "apiKey"), (both(token, key), "jwt")] {
            let rule = if client == "jwt" { "jwt+apiKey" } else { "apiKey+jwt" };
            for (own, others, expected) in [
                (Some(0b11), Some(0b10), "Some(2)"),
                (Some(0b01), Some(0b10), "Some(0)"),
                (Some(0b01), None, "Some(1)"),
                (None, Some(0b10), "Some(2)"),
                (None, None, "None"),
            ] {
                let all = said(&accept, with(key, own), with(token, others));
                assert_eq!(all, format!("{rule} {client} {expected}"));
            }
            assert_eq!(said(&accept, with(key, None), Proof::Absent), "Refused");
            assert_eq!(said(&accept, with(key, None), FAILED), "Refused");
            assert_eq!(said(&accept, with(key, None), UNAVAILABLE), "Unavailable");
            assert_eq!(said(&accept, Proof::Absent, UNAVAILABLE), "Refused");
        }
        let any = Accept::new(vec![vec![token], vec![key]]).unwrap();
        assert_eq!(said(&any, with(key, None), UNAVAILABLE), "apiKey apiKey None");
        assert_eq!(said(&any, with(key, Some(1)), with(token, Some(2))), "jwt jwt Some(2)");
        assert_eq!(said(&any, with(key, None), FAILED), "Refused");
        assert_eq!(said(&any, FAILED, with(token, None)), "Refused");
    }

    #[test]
    fn a_list_is_satisfied_by_all_its_proofs_and_no_list_by_none() {
        let accept = Accept::new(vec![vec![Mechanism::ApiKey]]).unwrap();
        assert_eq!(outcome(&accept, Proof::Ok(caller())), "accepted");
        assert_eq!(outcome(&accept, Proof::Absent), "refused");
        assert_eq!(outcome(&accept, FAILED), "refused");
        assert_eq!(outcome(&accept, UNAVAILABLE), "unavailable");
        assert_eq!(outcome(&Accept::default(), Proof::Ok(caller())), "refused");
        assert_eq!(outcome(&Accept::default(), UNAVAILABLE), "refused");
        assert!(Accept::new(vec![vec![]]).is_err());
    }

    #[test]
    fn any_list_suffices_and_within_a_list_every_mechanism() {
        use Mechanism::{ApiKey, Mtls};
        let ok = |mechanism| Proof::Ok(of(mechanism));
        let any = vec![vec![Mtls], vec![ApiKey]];
        let all = vec![vec![Mtls, ApiKey]];
        let turned = vec![vec![ApiKey, Mtls]];
        for (lists, key, certificate, expected) in [
            (&any, ok(ApiKey), Proof::Absent, "apiKey by apiKey beside "),
            (&any, Proof::Absent, ok(Mtls), "mtls by mtls beside "),
            (&any, ok(ApiKey), ok(Mtls), "mtls by mtls beside "),
            (&any, Proof::Absent, Proof::Absent, "refused"),
            (&any, ok(ApiKey), FAILED, "refused"),
            (&any, FAILED, ok(Mtls), "refused"),
            (&any, UNAVAILABLE, ok(Mtls), "mtls by mtls beside "),
            (&all, ok(ApiKey), Proof::Absent, "refused"),
            (&all, Proof::Absent, ok(Mtls), "refused"),
            (&all, UNAVAILABLE, ok(Mtls), "unavailable"),
            (&all, UNAVAILABLE, Proof::Absent, "refused"),
            (&all, ok(ApiKey), ok(Mtls), "mtls by mtls+apiKey beside apiKey"),
            (&turned, ok(ApiKey), ok(Mtls), "apiKey by apiKey+mtls beside mtls"),
        ] {
            let accept = Accept::new(lists.clone()).unwrap();
            let found = match accept.evaluate([(ApiKey, key), (Mtls, certificate)]) {
                Outcome::Refused => "refused".to_owned(),
                Outcome::Unavailable => "unavailable".to_owned(),
                Outcome::Accepted { caller, rule, beside } => {
                    let beside: Vec<_> = beside.iter().map(|each| each.method.name()).collect();
                    format!("{} by {rule} beside {}", caller.method.name(), beside.join(","))
                }
            };
            assert_eq!(found, expected, "{lists:?}");
        }
    }
}
