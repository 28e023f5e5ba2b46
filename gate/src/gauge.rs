//! Calls in flight at an endpoint: admitted and not yet complete, also while they are held or wait for a connection.
//!
//! The number lives in an Envoy gauge, `dynamicmodulescustom.calls_in_flight.endpoint.NAME`. Every filter configuration
//! defines the same name and Envoy keeps one gauge for it, so a call may begin under one and end under another.

use std::cell::Cell;
use std::rc::Rc;

/// The name of the gauge and of its label.
pub const NAME: &str = "calls_in_flight";
pub const LABEL: &str = "endpoint";

/// A stream's part in the gauge: it counts from `enter` until `leave`, once.
#[derive(Default)]
pub struct InFlight(Cell<Option<Rc<str>>>);

impl InFlight {
    /// Returns the endpoint to count up, or None if the stream is counted already.
    pub fn enter(&self, endpoint: &str) -> Option<Rc<str>> {
        let before = self.0.take();
        let entered = before.is_none().then(|| Rc::from(endpoint));
        self.0.set(before.or_else(|| entered.clone()));
        entered
    }

    /// Returns the endpoint to count down, if the stream was counted.
    pub fn leave(&self) -> Option<Rc<str>> {
        self.0.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_counts_once_from_its_admission_to_its_end() {
        let stream = InFlight::default();
        assert_eq!(stream.leave(), None);
        assert_eq!(stream.enter("ns/e").as_deref(), Some("ns/e"));
        assert_eq!(stream.enter("ns/other"), None);
        assert_eq!(stream.leave().as_deref(), Some("ns/e"));
        assert_eq!(stream.leave(), None);
    }
}
