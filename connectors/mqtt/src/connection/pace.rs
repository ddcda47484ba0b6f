//! When the socket is read next. What a delivery costs beside its messages (a sync, and a dozen hand-overs between threads) is shared by
//! those that come in one read: so it is worth a moment's wait where messages come in a flood.
//!
//! A broker that sends a few messages ahead of their acknowledgements would wait for us as long as we for it: where a pause brings no
//! more than that, there is none for a while. Pure: the time is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// While a delivery is under way nothing is read after the first time, for at most so long.
const UNDER_WAY: Duration = Duration::from_millis(20);
/// The pause after a delivery in a flood.
const PAUSE: Duration = Duration::from_millis(2);
/// Over so long it is found out whether there is a flood:
const SPAN: Duration = Duration::from_millis(20);
/// as many messages as this in it, 10,000 a second.
const FLOOD_MESSAGES: usize = 200;
/// What a pause has to bring: more than the 20 or 32 messages that brokers send ahead by default.
const WORTH_MESSAGES: usize = 48;
/// How long there is no pause after one that brought too little.
const VAIN: Duration = Duration::from_secs(1);

/// One connection's.
#[derive(Debug)]
pub(super) struct Pace {
    read_at: Option<Instant>,
    /// Messages that became durable since.
    since: Instant,
    messages: usize,
    is_flood: bool,
    /// The messages of the next delivery come behind a pause.
    has_paused: bool,
    no_pause_until: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            read_at: None,
            since: now,
            messages: 0,
            is_flood: false,
            has_paused: false,
            no_pause_until: now,
        }
    }

    /// Before this nothing is read; none where it may be read now.
    pub(super) fn read_at(&self) -> Option<Instant> {
        self.read_at
    }

    /// The time to read has come.
    pub(super) fn is_due(&mut self) {
        self.read_at = None;
    }

    /// Something was read while a delivery was under way.
    pub(super) fn has_read_ahead(&mut self, now: Instant) {
        self.read_at = Some(now + UNDER_WAY);
    }

    /// A delivery of so many messages is durable.
    pub(super) fn delivered(&mut self, messages: usize, now: Instant) {
        if std::mem::take(&mut self.has_paused) && messages < WORTH_MESSAGES {
            self.no_pause_until = now + VAIN;
        }
        self.messages += messages;
        let passed = now.duration_since(self.since);
        if passed >= SPAN {
            let flood = FLOOD_MESSAGES as f64 * passed.div_duration_f64(SPAN);
            self.is_flood = self.messages as f64 >= flood;
            self.messages = 0;
            self.since = now;
        }
        self.has_paused = self.is_flood && now >= self.no_pause_until;
        self.read_at = self.has_paused.then(|| now + PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of a second's deliveries were waited for; each takes a millisecond beside the pause.
    fn pauses(brought: impl Fn(Duration) -> usize) -> usize {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let (mut now, mut pauses) = (start, 0);
        while now < start + Duration::from_secs(1) {
            let before = now;
            now = pace.read_at().unwrap_or(now) + Duration::from_millis(1);
            pauses += usize::from(pace.read_at().is_some());
            pace.is_due();
            pace.delivered(brought(now - before), now);
        }
        pauses
    }

    #[test]
    fn only_a_flood_is_waited_for_and_no_broker_that_waits_for_us() {
        let per_second = |rate: f64| move |passed: Duration| (rate * passed.as_secs_f64()) as usize;
        assert_eq!(pauses(per_second(5_000.0)), 0);
        assert!(pauses(per_second(50_000.0)) > 300);
        // Faster than that, but never more than its window.
        assert!((1..=3).contains(&pauses(|_| 20)));
    }

    #[test]
    fn after_a_rest_a_burst_is_no_flood() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.delivered(512, start + Duration::from_secs(60));
        assert_eq!(pace.read_at(), None);
    }

    #[test]
    fn nothing_is_read_for_a_while_behind_a_delivery() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.has_read_ahead(start);
        assert!(pace.read_at() > Some(start));
        pace.delivered(1, start);
        assert_eq!(pace.read_at(), None);
    }
}
