//! When each slot is due: a fixed schedule, on which a tick that passed while something else went on is skipped and
//! counted, never made up for.
//!
//! Pure: the time is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// Ticks of several slots.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    slots: Vec<Ticks>,
}

#[derive(Debug, Clone, Copy)]
struct Ticks {
    every: Duration,
    due: Instant,
}

impl Schedule {
    /// Slots with these periods (more than zero), all due at once.
    pub(crate) fn new(periods: impl IntoIterator<Item = Duration>, now: Instant) -> Self {
        Self {
            slots: periods
                .into_iter()
                .map(|every| Ticks { every, due: now })
                .collect(),
        }
    }

    /// The slot that is due first, and when; none where there are no slots.
    pub(crate) fn next(&self) -> Option<(usize, Instant)> {
        self.slots
            .iter()
            .map(|ticks| ticks.due)
            .enumerate()
            .min_by_key(|(_, due)| *due)
    }

    /// Moves a slot on to its first tick after `now`; answers how many ticks were skipped.
    pub(crate) fn take(&mut self, slot: usize, now: Instant) -> u64 {
        let Some(ticks) = self.slots.get_mut(slot) else {
            return 0;
        };
        let late = now.saturating_duration_since(ticks.due).as_nanos();
        let skipped = late / ticks.every.as_nanos().max(1);
        // Beyond u32's range (years of a period of 10 ms) the phase is given up.
        let steps = u32::try_from(skipped).unwrap_or(u32::MAX - 1) + 1;
        ticks.due = ticks
            .every
            .checked_mul(steps)
            .and_then(|on| ticks.due.checked_add(on))
            .unwrap_or(now);
        u64::try_from(skipped).unwrap_or(u64::MAX)
    }

    /// Starts again: every slot is due now.
    pub(crate) fn restart(&mut self, now: Instant) {
        for ticks in &mut self.slots {
            ticks.due = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn ticks_keep_their_phase_and_count_what_they_skip() {
        let start = Instant::now();
        let mut schedule = Schedule::new([SECOND, 3 * SECOND], start);
        assert_eq!(schedule.next(), Some((0, start)));
        assert_eq!(schedule.take(0, start), 0);
        assert_eq!(schedule.next(), Some((1, start)));
        assert_eq!(schedule.take(1, start + SECOND / 2), 0);
        assert_eq!(schedule.next(), Some((0, start + SECOND)));
        assert_eq!(schedule.take(0, start + 4 * SECOND + SECOND / 10), 3);
        assert_eq!(schedule.next(), Some((1, start + 3 * SECOND)));
        assert_eq!(schedule.take(1, start + 3 * SECOND), 0);
        assert_eq!(schedule.next(), Some((0, start + 5 * SECOND)));
        schedule.restart(start + 9 * SECOND);
        assert_eq!(schedule.next(), Some((0, start + 9 * SECOND)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_slot_waiting_longest_goes_first() {
        let start = Instant::now();
        let mut schedule = Schedule::new([SECOND / 100, SECOND], start);
        let mut taken = [0, 0];
        // Each poll takes longer than the first slot's period: the second must still get its turn.
        for step in 0..100 {
            let (slot, _) = schedule.next().unwrap();
            taken[slot] += 1;
            schedule.take(slot, start + SECOND / 20 * step);
        }
        assert!(taken[1] >= 5, "{taken:?}");
    }
}
