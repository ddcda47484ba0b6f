//! How long to wait before the next attempt: exponential with full jitter, so that a hundred gateways do not return at once
//! (Brooker, "Exponential Backoff And Jitter", AWS 2015).

use std::time::Duration;

/// A back-off's bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The longest wait after the first failure.
    pub first: Duration,
    /// The longest wait of all.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            max: Duration::from_secs(30),
        }
    }
}

impl Backoff {
    /// The wait after `failures` failures in a row; `uniform` is drawn from 0 to 1.
    /// At least half of the bound, so that a dead server is not hammered.
    pub fn wait(&self, failures: u32, uniform: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(30);
        let bound = self.first.saturating_mul(1 << doublings).min(self.max);
        bound.mul_f64(0.5 + uniform.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let backoff = Backoff::default();
        let millis = |failures, uniform| backoff.wait(failures, uniform).as_millis();
        assert_eq!(
            (millis(1, 1.0), millis(2, 1.0), millis(3, 0.0)),
            (500, 1000, 1000)
        );
        assert_eq!((millis(99, 1.0), millis(99, 0.0)), (30_000, 15_000));
    }
}
