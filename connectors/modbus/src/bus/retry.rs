//! When a link that does not come up is tried again: one back-off for all who share it.
//!
//! While no connection can be made, whoever fails waits for the moment that the first one drew, and only one of them tries: a dead
//! server is dialled as often for ten connectors as for one. Where connections come up and nobody answers, whoever has failed less
//! often waits shorter.
//!
//! Pure: the time is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// The back-off of one link.
#[derive(Debug, Default)]
pub(super) struct Retry {
    /// Moments in a row at which it did not come up.
    failures: u32,
    /// When it is tried next; none until someone who failed has drawn a moment.
    at: Option<Instant>,
    /// Why no connection can be made.
    unreachable: Option<String>,
}

impl Retry {
    /// No connection could be made.
    pub(super) fn note_unreachable(&mut self, reason: &str, now: Instant) {
        self.unreachable = Some(reason.to_owned());
        self.at = self.at.filter(|at| now < *at);
    }

    /// A connection was made, though nobody has answered yet.
    pub(super) fn note_connected(&mut self) {
        self.unreachable = None;
    }

    /// A connector comes, whose settings may be what was wrong: it does not wait for what others drew after many failures. Of those
    /// that start together with one, each comes before the second failure.
    pub(super) fn note_joined(&mut self) {
        if self.failures > 1 {
            *self = Self::default();
        }
    }

    /// Why no connection is to be tried yet.
    pub(super) fn rests(&self, now: Instant) -> Option<&str> {
        let is_due = self.at.is_some_and(|at| at <= now);
        self.unreachable.as_deref().filter(|_| !is_due)
    }

    /// Someone failed, `failures` times in a row or more: how often the link did, or this one alone, and when it is tried next. `wait`
    /// says how long it rests after so many failures.
    pub(super) fn fail(
        &mut self,
        failures: u32,
        now: Instant,
        wait: impl FnOnce(u32) -> Duration,
    ) -> (u32, Instant) {
        if let Some(at) = self.at.filter(|at| now < *at) {
            return match self.unreachable {
                Some(_) => (self.failures, at),
                None => (failures, at.min(now + wait(failures))),
            };
        }
        self.failures = self.failures.saturating_add(1).max(failures);
        let at = now + wait(self.failures);
        self.at = Some(at);
        (self.failures, at)
    }

    /// Someone has answered; answers whether the link was down.
    pub(super) fn succeed(&mut self) -> bool {
        let was_down = self.failures > 0 || self.unreachable.is_some();
        if was_down {
            *self = Self::default();
        }
        was_down
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_fails_waits_for_the_moment_of_the_first() {
        let seconds = |failures: u32| Duration::from_secs(u64::from(failures));
        let start = Instant::now();
        let mut retry = Retry::default();
        assert_eq!(retry.rests(start), None);
        retry.note_unreachable("refused", start);
        assert_eq!(retry.rests(start), Some("refused"), "nobody has drawn yet");
        let first = start + seconds(1);
        assert_eq!(retry.fail(1, start, seconds), (1, first));
        let later = start + seconds(1) / 2;
        assert_eq!(retry.fail(1, later, seconds), (1, first));
        assert_eq!(retry.rests(later), Some("refused"));
        assert_eq!(retry.rests(first), None, "it is time to try");
        retry.note_unreachable("refused", first);
        assert_eq!(retry.rests(first), Some("refused"), "one try is enough");
        assert_eq!(retry.fail(2, first, seconds), (2, first + seconds(2)));
        // Who has failed more often waits longer.
        let next = first + seconds(2);
        assert_eq!(retry.fail(7, next, seconds), (7, next + seconds(7)));
        assert!(retry.succeed());
        assert_eq!(retry.rests(next), None);
        assert!(!retry.succeed(), "it was up");
        assert_eq!(retry.fail(1, next, seconds), (1, next + seconds(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn where_connections_come_up_nobody_waits_for_who_has_failed_more_often() {
        let seconds = |failures: u32| Duration::from_secs(u64::from(failures));
        let start = Instant::now();
        let mut retry = Retry::default();
        retry.note_unreachable("refused", start);
        assert_eq!(retry.fail(30, start, seconds), (30, start + seconds(30)));
        assert_eq!(retry.fail(1, start, seconds), (30, start + seconds(30)));
        retry.note_connected();
        assert_eq!(retry.rests(start), None);
        assert_eq!(retry.fail(1, start, seconds), (1, start + seconds(1)));
        assert_eq!(retry.fail(40, start, seconds), (40, start + seconds(30)));
        // The failures count on.
        let next = start + seconds(30);
        assert_eq!(retry.fail(1, next, seconds), (31, next + seconds(31)));
        assert!(retry.succeed());
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_behind_many_failures_tries_at_once() {
        let second = |_: u32| Duration::from_secs(1);
        let start = Instant::now();
        let mut retry = Retry::default();
        retry.note_unreachable("refused", start);
        retry.fail(1, start, second);
        retry.note_joined();
        assert_eq!(retry.rests(start), Some("refused"), "all start together");
        retry.fail(2, start + second(1), second);
        retry.note_joined();
        assert_eq!(retry.rests(start + second(1)), None);
    }
}
