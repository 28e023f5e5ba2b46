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

    /// `proofs`: one for each mechanism. A presented credential that failed refuses the call, whatever else is there.
    pub fn evaluate<'p, const N: usize>(&self, proofs: [(Mechanism, Proof<'p>); N]) -> Outcome<'_, 'p> {
        let (mut proved, mut unavailable) = (0, 0);
        for (mechanism, proof) in &proofs {
            match proof {
                Proof::Absent => {}
                Proof::Failed => return Outcome::Refused,
                Proof::Unavailable => unavailable |= mechanism.bit(),
                Proof::Ok(_) => proved |= mechanism.bit(),
            }
        }
        let within = |mask: u32| self.0.iter().find(|list| list.mask & !mask == 0);
        let Some(list) = within(proved) else {
            return if within(proved | unavailable).is_some() { Outcome::Unavailable } else { Outcome::Refused };
        };
        let caller = proofs.into_iter().find_map(|(mechanism, proof)| match proof {
            Proof::Ok(caller) if mechanism == list.first => Some(caller),
            _ => None,
        });
        caller.map_or(Outcome::Refused, |caller| Outcome::Accepted { caller, rule: &list.name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;

    fn caller() -> Caller<'static> {
        Caller {
            client: Cow::Borrowed("ns/c"),
            credential: Cow::Borrowed("k"),
            method: Mechanism::ApiKey,
            permissions: 1,
            permission_list: Cow::Borrowed("infer"),
            by_rule: Vec::new(),
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
    fn a_list_is_satisfied_by_all_its_proofs_and_no_list_by_none() {
        let accept = Accept::new(vec![vec![Mechanism::ApiKey]]).unwrap();
        assert_eq!(outcome(&accept, Proof::Ok(caller())), "accepted");
        assert_eq!(outcome(&accept, Proof::Absent), "refused");
        assert_eq!(outcome(&accept, Proof::Failed), "refused");
        assert_eq!(outcome(&accept, Proof::Unavailable), "unavailable");
        assert_eq!(outcome(&Accept::default(), Proof::Ok(caller())), "refused");
        assert_eq!(outcome(&Accept::default(), Proof::Unavailable), "refused");
        assert!(Accept::new(vec![vec![]]).is_err());
    }
}
