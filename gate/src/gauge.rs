//! Calls in flight at an endpoint: admitted and not yet complete, also while they are held or wait for a connection.
//!
//! The numbers are shared by all of Envoy's threads and by all policies of an endpoint, so that a call may begin under
//! one policy and end under another. The filter `report` tells them. An Envoy gauge with a label was measurably dearer
//! (ADR 8); this costs two additions.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

/// The calls in flight of this gateway.
pub static GAUGES: LazyLock<Gauges> = LazyLock::new(Gauges::default);

/// The number of one endpoint.
pub type Gauge = Arc<AtomicU64>;

#[derive(Default)]
pub struct Gauges(Mutex<HashMap<Box<str>, Gauge>>);

impl Gauges {
    /// The gauge of an endpoint, the same for each of its policies.
    pub fn of(&self, endpoint: &str) -> Gauge {
        let mut gauges = self.locked();
        if let Some(gauge) = gauges.get(endpoint) {
            return gauge.clone();
        }
        // Those of endpoints that are gone: nobody else has them, and no call is in flight.
        gauges.retain(|_, gauge| Arc::strong_count(gauge) > 1);
        gauges.entry(endpoint.into()).or_default().clone()
    }

    /// What is not zero, by endpoint.
    pub fn read(&self) -> BTreeMap<Box<str>, u64> {
        let gauges = self.locked();
        let all = gauges.iter().map(|(endpoint, gauge)| (endpoint.clone(), gauge.load(Ordering::SeqCst)));
        all.filter(|(_, calls)| *calls > 0).collect()
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<Box<str>, Gauge>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream's part in a gauge: it counts from `enter` until `leave` or its end, once.
#[derive(Default)]
pub struct InFlight(Cell<Option<Gauge>>);

impl InFlight {
    pub fn enter(&self, gauge: &Gauge) {
        self.leave();
        gauge.fetch_add(1, Ordering::SeqCst);
        self.0.set(Some(gauge.clone()));
    }

    pub fn leave(&self) {
        if let Some(gauge) = self.0.take() {
            gauge.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_counts_once_from_its_admission_to_its_end() {
        let gauges = Gauges::default();
        let stream = InFlight::default();
        stream.leave();
        stream.enter(&gauges.of("ns/e"));
        stream.enter(&gauges.of("ns/e"));
        assert_eq!(gauges.read(), BTreeMap::from([("ns/e".into(), 1)]));
        stream.leave();
        stream.leave();
        assert!(gauges.read().is_empty());
        let second = InFlight::default();
        second.enter(&gauges.of("ns/e"));
        drop(second);
        assert!(gauges.read().is_empty());
    }

    #[test]
    fn a_gauge_stays_while_a_call_is_in_flight() {
        let gauges = Gauges::default();
        let stream = InFlight::default();
        stream.enter(&gauges.of("ns/gone"));
        gauges.of("ns/other");
        gauges.of("ns/third");
        assert_eq!(gauges.read().len(), 1);
        assert_eq!(gauges.locked().len(), 2);
    }
}
