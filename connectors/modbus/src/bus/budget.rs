//! How much of its time a bus may lose to units that do not answer.
//!
//! Pure: the time is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// One part in so many.
const SHARE: u32 = 5;

/// A longer debt is forgotten, so that many losses at once do not put off the probes for minutes.
const DEBT_MAX: Duration = Duration::from_secs(5);

/// Time lost to silence, paid back by a share of the time that passes.
#[derive(Debug, Default)]
pub(super) struct Budget {
    debt: Duration,
    at: Option<Instant>,
}

impl Budget {
    /// A wait was in vain.
    pub(super) fn spend(&mut self, lost: Duration, now: Instant) {
        self.pay(now);
        self.debt = (self.debt + lost).min(DEBT_MAX);
    }

    /// What was spent in advance was not lost.
    pub(super) fn refund(&mut self, spent: Duration, now: Instant) {
        self.pay(now);
        self.debt = self.debt.saturating_sub(spent);
    }

    /// How long it takes until a further wait may be risked.
    pub(super) fn rest(&self, now: Instant) -> Duration {
        self.owed(now) * SHARE
    }

    fn pay(&mut self, now: Instant) {
        (self.debt, self.at) = (self.owed(now), Some(now));
    }

    fn owed(&self, now: Instant) -> Duration {
        let passed = self.at.map(|at| now.saturating_duration_since(at));
        self.debt.saturating_sub(passed.unwrap_or_default() / SHARE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_takes_a_fifth_of_the_time_in_the_long_run() {
        let second = Duration::from_secs(1);
        let start = Instant::now();
        let mut budget = Budget::default();
        let mut lost = Duration::ZERO;
        let mut now = start;
        while now < start + 1000 * second {
            if budget.rest(now).is_zero() {
                now += second;
                lost += second;
                budget.spend(second, now);
            }
            now += second / 10;
        }
        let share = lost.as_secs_f64() / now.duration_since(start).as_secs_f64();
        assert!((0.15..=0.2).contains(&share), "{share}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_debt_is_forgotten() {
        let now = Instant::now();
        let mut budget = Budget::default();
        for _ in 0..100 {
            budget.spend(Duration::from_secs(1), now);
        }
        assert_eq!(budget.rest(now), DEBT_MAX * SHARE);
        assert_eq!(budget.rest(now + DEBT_MAX * SHARE), Duration::ZERO);
    }
}
