//! When each key was last used to make a call that was let through, in Unix seconds.
//!
//! The times are shared by all of Envoy's threads and by all policies that have the key, so a new policy forgets none.
//! The filter `report` tells them.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

/// The last uses on this gateway.
pub static LAST_USES: LazyLock<LastUses> = LazyLock::new(LastUses::default);

/// A time is written again only when it has moved on by this much: threads that share it would slow each other down.
const STEP_S: u64 = 10;

/// The last use of one key; 0 for none.
#[derive(Clone, Debug, Default)]
pub struct LastUse(Arc<AtomicU64>);

impl LastUse {
    pub fn note(&self, unix_ms: i64) {
        let now = u64::try_from(unix_ms / 1000).unwrap_or(0);
        if now >= self.0.load(Ordering::Relaxed).saturating_add(STEP_S) {
            self.0.store(now, Ordering::Relaxed);
        }
    }
}

#[derive(Default)]
pub struct LastUses(Mutex<HashMap<Box<str>, LastUse>>);

impl LastUses {
    /// The last uses of these keys, the same for each policy.
    pub fn of<'a>(&self, keys: impl Iterator<Item = &'a str>) -> Vec<LastUse> {
        let mut uses = self.locked();
        keys.map(|key| uses.entry(key.into()).or_default().clone()).collect()
    }

    /// The times by key, without keys that were never used. Keys that no policy has any more are told once more.
    pub fn read(&self) -> BTreeMap<Box<str>, u64> {
        let mut uses = self.locked();
        let all = uses.iter().map(|(key, last)| (key.clone(), last.0.load(Ordering::Relaxed)));
        let told = all.filter(|(_, time)| *time > 0).collect();
        uses.retain(|_, last| Arc::strong_count(&last.0) > 1);
        told
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<Box<str>, LastUse>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_outlives_its_policy_by_one_report() {
        let uses = LastUses::default();
        let old = uses.of(["a", "b"].into_iter());
        old[0].note(100_000);
        let new = uses.of(["a"].into_iter());
        drop(old);
        assert_eq!(uses.read(), BTreeMap::from([("a".into(), 100)]));
        assert_eq!(uses.locked().len(), 1);
        new[0].note(200_000);
        drop(new);
        assert_eq!(uses.read(), BTreeMap::from([("a".into(), 200)]));
        assert!(uses.read().is_empty());
    }

    #[test]
    fn a_time_moves_on_in_steps_and_never_back() {
        let uses = LastUses::default();
        let last = uses.of(["a"].into_iter());
        for (now, told) in [(100_000, 100), (105_000, 100), (110_000, 110), (50_000, 110), (-1, 110)] {
            last[0].note(now);
            assert_eq!(uses.read()["a"], told);
        }
    }
}
