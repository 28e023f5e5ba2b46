//! Rate limits per client: token buckets that belong to an endpoint and a client, and outlive every policy.
//!
//! A new policy finds the buckets of the old one in the registry, so that a push refills nothing. A bucket that has
//! become full again is the same as none, and is dropped once no policy uses it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};

/// The buckets of this gateway.
pub static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::default);

/// What a policy allows each of some clients, on all gateways together, and over how many gateways it is shared out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    pub requests: u32,
    pub per_ms: u64,
    pub burst: u32,
    pub gateways: u32,
}

impl Rule {
    fn per_millisecond(&self) -> f64 {
        f64::from(self.requests) / (self.per_ms as f64 * f64::from(self.gateways))
    }

    fn capacity(&self) -> f64 {
        (f64::from(self.burst) / f64::from(self.gateways)).max(1.0)
    }
}

/// One client's limit at one endpoint.
#[derive(Debug)]
pub struct Limited {
    rule: Rule,
    bucket: Arc<Bucket>,
}

/// What is told to a caller about the limit. Times are whole seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    pub limit: u64,
    pub remaining: u64,
    /// Until the bucket is full again.
    pub reset: u64,
    /// Until a call is allowed; None where this one was.
    pub retry_after: Option<u64>,
}

#[derive(Debug)]
struct Bucket(Mutex<Tokens>);

#[derive(Debug)]
struct Tokens {
    /// None: the bucket is full, as far as this time goes back.
    left: Option<f64>,
    at_ms: u64,
    full_at_ms: u64,
}

impl Limited {
    /// Takes a token if there is one.
    pub fn take(&self, now_ms: u64) -> Rate {
        locked(&self.bucket.0).take(&self.rule, now_ms)
    }
}

impl Tokens {
    const FULL: Tokens = Tokens { left: None, at_ms: 0, full_at_ms: 0 };

    fn take(&mut self, rule: &Rule, now_ms: u64) -> Rate {
        let (speed, capacity) = (rule.per_millisecond(), rule.capacity());
        let elapsed = now_ms.saturating_sub(self.at_ms) as f64;
        let mut left = self.left.map_or(capacity, |left| (left + elapsed * speed).min(capacity));
        // A token that is missing by a rounding error is there.
        let allowed = left >= 1.0 - 1e-9;
        if allowed {
            left = (left - 1.0).max(0.0);
        }
        self.left = Some(left);
        self.at_ms = self.at_ms.max(now_ms);
        let until_full = (capacity - left) / speed;
        self.full_at_ms = now_ms.saturating_add(until_full.ceil() as u64);
        Rate {
            limit: capacity as u64,
            remaining: left as u64,
            reset: seconds(until_full),
            retry_after: (!allowed).then(|| seconds((1.0 - left) / speed).max(1)),
        }
    }
}

fn seconds(milliseconds: f64) -> u64 {
    // A rounding error is no second.
    (milliseconds / 1000.0 - 1e-6).ceil() as u64
}

/// The limit of callers whom nobody listed: an issuer may name any number of them.
#[derive(Debug)]
pub struct Subjects {
    rule: Rule,
    crowd: Arc<Mutex<Crowd>>,
}

/// Their buckets. Only callers with a good token get here, so that strangers neither fill it nor push anybody out.
#[derive(Debug)]
struct Crowd {
    own: BTreeMap<Box<str>, Tokens>,
    /// What callers without a bucket of their own share, once there are too many at the same time.
    rest: Tokens,
    /// When it is worth while to look for buckets that are full again.
    tidy_at_ms: u64,
}

/// How many callers of an endpoint have a bucket at the same time: about 2 MB, with names of the usual length.
const MOST_SUBJECTS: usize = 10_000;
const TIDY_EVERY_MS: u64 = 1_000;

impl Subjects {
    /// Takes a token from this caller's bucket if there is one.
    pub fn take(&self, caller: &str, now_ms: u64) -> Rate {
        let mut crowd = locked(&self.crowd);
        if let Some(own) = crowd.own.get_mut(caller) {
            return own.take(&self.rule, now_ms);
        }
        if crowd.own.len() >= MOST_SUBJECTS && now_ms >= crowd.tidy_at_ms {
            crowd.own.retain(|_, tokens| tokens.full_at_ms > now_ms);
            crowd.tidy_at_ms = now_ms + TIDY_EVERY_MS;
        }
        if crowd.own.len() >= MOST_SUBJECTS {
            return crowd.rest.take(&self.rule, now_ms);
        }
        crowd.own.entry(caller.into()).or_insert(Tokens::FULL).take(&self.rule, now_ms)
    }
}

impl Crowd {
    const EMPTY: Crowd = Crowd { own: BTreeMap::new(), rest: Tokens::FULL, tidy_at_ms: 0 };

    /// Whether every bucket is full.
    fn is_rested(&self, now_ms: u64) -> bool {
        self.own.values().chain([&self.rest]).all(|tokens| tokens.full_at_ms <= now_ms)
    }
}

/// All buckets by endpoint and client.
#[derive(Default)]
pub struct Registry(Mutex<Buckets>);

#[derive(Default)]
struct Buckets {
    by_endpoint: HashMap<Box<str>, HashMap<Box<str>, Arc<Bucket>>>,
    crowds: HashMap<Box<str>, Arc<Mutex<Crowd>>>,
    /// How many endpoints may be there before the next sweep.
    sweep_at: usize,
}

impl Registry {
    /// The limits of an endpoint's clients. Buckets that were there already keep their tokens.
    pub fn limits<'a>(
        &self,
        endpoint: &str,
        clients: impl Iterator<Item = (&'a str, Option<Rule>)>,
        now_ms: u64,
    ) -> Vec<Option<Limited>> {
        let mut buckets = locked(&self.0);
        buckets.sweep(now_ms);
        let mut own = buckets.by_endpoint.remove(endpoint).unwrap_or_default();
        let limits = clients.map(|(client, rule)| {
            let bucket = own.entry(client.into());
            rule.map(|rule| Limited { rule, bucket: bucket.or_insert_with(Bucket::full).clone() })
        });
        let limits = limits.collect();
        own.retain(|_, bucket| bucket.needed(now_ms));
        if !own.is_empty() {
            buckets.by_endpoint.insert(endpoint.into(), own);
        }
        limits
    }

    /// The limit of each caller of an endpoint that its policy does not list. They keep their tokens as well.
    pub fn subjects(&self, endpoint: &str, rule: Rule, now_ms: u64) -> Subjects {
        let mut buckets = locked(&self.0);
        buckets.crowds.retain(|_, crowd| Arc::strong_count(crowd) > 1 || !locked(crowd).is_rested(now_ms));
        let crowd = buckets.crowds.entry(endpoint.into()).or_insert_with(|| Arc::new(Mutex::new(Crowd::EMPTY)));
        Subjects { rule, crowd: crowd.clone() }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        locked(&self.0).by_endpoint.values().map(HashMap::len).sum()
    }
}

impl Buckets {
    /// Now and then: forget the endpoints that are gone.
    fn sweep(&mut self, now_ms: u64) {
        if self.by_endpoint.len() < self.sweep_at {
            return;
        }
        for own in self.by_endpoint.values_mut() {
            own.retain(|_, bucket| bucket.needed(now_ms));
        }
        self.by_endpoint.retain(|_, own| !own.is_empty());
        self.sweep_at = self.by_endpoint.len() * 2 + 16;
    }
}

impl Bucket {
    fn full() -> Arc<Bucket> {
        Arc::new(Bucket(Mutex::new(Tokens::FULL)))
    }

    fn needed(self: &Arc<Self>, now_ms: u64) -> bool {
        Arc::strong_count(self) > 1 || locked(&self.0).full_at_ms > now_ms
    }
}

/// A panic in another thread leaves numbers that are still numbers.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: u64 = 60_000;

    fn once_a_minute() -> Rule {
        Rule { requests: 1, per_ms: MINUTE, burst: 1, gateways: 1 }
    }

    fn push(registry: &Registry, rule: Option<Rule>, now: u64) -> Option<Limited> {
        registry.limits("ns/e", [("ns/c", rule)].into_iter(), now).remove(0)
    }

    fn allowed(limit: &Limited, now: u64) -> bool {
        limit.take(now).retry_after.is_none()
    }

    #[test]
    fn a_policy_push_refills_nothing() {
        let registry = Registry::default();
        let first = push(&registry, Some(once_a_minute()), 0).unwrap();
        assert!(allowed(&first, 1_000));
        let mut granted = 0;
        for second in 2..=60 {
            let now = second * 1_000;
            let next = push(&registry, Some(once_a_minute()), now).unwrap();
            granted += u32::from(allowed(&next, now));
        }
        assert_eq!(granted, 0);
        assert!(allowed(&push(&registry, Some(once_a_minute()), 61_000).unwrap(), 61_000));
    }

    #[test]
    fn a_client_that_was_away_for_a_while_finds_its_bucket_as_it_left_it() {
        let registry = Registry::default();
        let limit = push(&registry, Some(once_a_minute()), 0).unwrap();
        assert!(allowed(&limit, 0));
        drop(limit);
        assert!(registry.limits("ns/e", std::iter::empty(), 5_000).is_empty());
        assert!(!allowed(&push(&registry, Some(once_a_minute()), 10_000).unwrap(), 10_000));
    }

    #[test]
    fn full_buckets_that_nobody_uses_are_forgotten() {
        let registry = Registry::default();
        for index in 0..100 {
            let endpoint = format!("ns/e{index}");
            let limits = registry.limits(&endpoint, [("ns/c", Some(once_a_minute()))].into_iter(), 0);
            assert!(allowed(limits[0].as_ref().unwrap(), 0));
        }
        assert_eq!(registry.len(), 100);
        locked(&registry.0).sweep_at = 0;
        registry.limits("ns/e", std::iter::empty(), MINUTE + 1);
        assert_eq!(registry.len(), 0);
    }

    #[test]
    fn what_is_told_to_the_caller() {
        let registry = Registry::default();
        let rule = Rule { requests: 10, per_ms: 10_000, burst: 3, gateways: 1 };
        let limit = push(&registry, Some(rule), 0).unwrap();
        assert_eq!(limit.take(0), Rate { limit: 3, remaining: 2, reset: 1, retry_after: None });
        assert_eq!(limit.take(0), Rate { limit: 3, remaining: 1, reset: 2, retry_after: None });
        assert_eq!(limit.take(0), Rate { limit: 3, remaining: 0, reset: 3, retry_after: None });
        assert_eq!(limit.take(0), Rate { limit: 3, remaining: 0, reset: 3, retry_after: Some(1) });
        assert_eq!(limit.take(1_000), Rate { limit: 3, remaining: 0, reset: 3, retry_after: None });
    }

    #[test]
    fn a_limit_is_shared_out_by_the_number_of_gateways() {
        let registry = Registry::default();
        let rule = Rule { requests: 2, per_ms: MINUTE, burst: 4, gateways: 2 };
        let limit = push(&registry, Some(rule), 0).unwrap();
        assert!(allowed(&limit, 0) && allowed(&limit, 0) && !allowed(&limit, 0));
        assert_eq!(limit.take(0).retry_after, Some(60));
    }

    #[test]
    fn a_smaller_limit_takes_effect_at_once_and_a_larger_one_gives_nothing_back() {
        let registry = Registry::default();
        let wide = Rule { requests: 100, per_ms: MINUTE, burst: 100, gateways: 1 };
        assert!(allowed(&push(&registry, Some(wide), 0).unwrap(), 0));
        let narrow = push(&registry, Some(once_a_minute()), 0).unwrap();
        assert!(allowed(&narrow, 0) && !allowed(&narrow, 0));
        assert!(!allowed(&push(&registry, Some(wide), 0).unwrap(), 0));
    }

    #[test]
    fn subjects_that_are_new_push_nobody_out_and_share_what_is_left() {
        let registry = Registry::default();
        let rule = Rule { requests: 1, per_ms: MINUTE, burst: 1, gateways: 1 };
        let subjects = registry.subjects("ns/e", rule, 0);
        let allowed = |subjects: &Subjects, caller: &str, now| subjects.take(caller, now).retry_after.is_none();
        assert!(allowed(&subjects, "alice", 0));
        for number in 1..MOST_SUBJECTS {
            assert!(allowed(&subjects, &number.to_string(), 0));
        }
        assert!(allowed(&subjects, "new", 0) && !allowed(&subjects, "newer", 0) && !allowed(&subjects, "new", 0));
        assert!(!allowed(&subjects, "alice", 1_000));
        assert_eq!(locked(&subjects.crowd).own.len(), MOST_SUBJECTS);
        let next = registry.subjects("ns/e", rule, 2_000);
        drop(subjects);
        assert!(!allowed(&next, "alice", 2_000));
        assert!(allowed(&next, "late", MINUTE + 2_000) && locked(&next.crowd).own.len() == 1);
        drop(next);
        registry.subjects("ns/f", rule, MINUTE + 3_000);
        assert_eq!(locked(&registry.0).crowds.len(), 2);
        registry.subjects("ns/f", rule, 3 * MINUTE);
        assert_eq!(locked(&registry.0).crowds.len(), 1);
    }

    proptest! {
        #[test]
        fn no_more_is_granted_than_the_burst_and_the_rate(
            requests in 1u32..50, per_ms in 1u64..5_000, burst in 1u32..20,
            steps in proptest::collection::vec(0u64..400, 1..200),
        ) {
            let registry = Registry::default();
            let rule = Rule { requests, per_ms, burst, gateways: 1 };
            let (mut now, mut granted) = (0, 0u64);
            for step in steps {
                now += step;
                granted += u64::from(allowed(&push(&registry, Some(rule), now).unwrap(), now));
            }
            let most = u64::from(burst) + u64::from(requests) * now / per_ms + 1;
            prop_assert!(granted <= most, "{} > {}", granted, most);
        }
    }
}
