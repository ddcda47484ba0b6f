//! What time does to a partition: jumps that waited long enough, gaps that become final, epochs that are forgotten.

use std::time::Duration;

use forebay_stream::Offset;

use super::{
    ConsumedReadings, Contiguity, EpochProgress,
    lane::{Done, LaneProgress},
};
use crate::consume::{epoch::EpochStep, moment::Moment};

/// Gaps that are older become final (E4).
const GAP_FINAL_AFTER: Duration = Duration::from_secs(90 * 24 * 3_600);

/// A clock that says so is believed once it has said so for this long: one that was ahead is put right sooner.
const CLOCK_BELIEVED_AFTER: Duration = Duration::from_secs(3_600);

/// Epochs of a lane that stay although they are done: a publisher that begins anew may send them again.
const EPOCHS_KEPT: usize = 4;

/// What a tick asks for, and what it gave.
#[derive(Debug, Default)]
pub(in crate::consume) struct Ticked {
    /// The reader is to go on from here, before anything else is taken.
    pub(in crate::consume) read_from: Option<Offset>,
    /// What came of jumps that were given up; none where none was.
    pub(in crate::consume) given_up: Option<ConsumedReadings>,
}

impl Contiguity {
    /// Whether time alone can change something soon.
    pub(in crate::consume) fn is_waiting(&self) -> bool {
        self.overflow.is_some()
            || self
                .lanes
                .values()
                .flat_map(|lane| lane.epochs.values())
                .any(|e| e.waiting.is_some())
    }

    /// Lets time pass.
    pub(in crate::consume) fn tick(&mut self, now: Moment) -> Ticked {
        let mut ticked = Ticked::default();
        self.end_gaps(now);
        self.forget();
        ticked.given_up = self.give_up(now);
        if self.reread_is_due(now) {
            ticked.read_from = Some(Offset(0));
        }
        if let Some(overflow) = self
            .overflow
            .filter(|_| self.freed && ticked.read_from.is_none())
        {
            // There is room again for what was left out.
            (self.overflow, self.freed) = (None, false);
            self.high = self.high.min(overflow);
            ticked.read_from = Some(overflow);
        }
        ticked
    }

    /// Whether the partition is being read again because of a jump.
    pub(in crate::consume) fn is_rereading(&self) -> bool {
        let waits = self
            .lanes
            .values()
            .flat_map(|lane| lane.epochs.values())
            .filter_map(|epoch| epoch.waiting);
        waits
            .filter_map(|waiting| waiting.reread)
            .any(|(_, up_to)| self.position < up_to)
    }

    /// The reader has come to the end of what there is: what was there before and is no more cannot be read again.
    pub(in crate::consume) fn at_end(&mut self) {
        self.position = self.position.max(self.seen);
    }

    /// Jumps that are due have the partition read once more.
    fn reread_is_due(&mut self, now: Moment) -> bool {
        let mut due = false;
        let epochs = self
            .lanes
            .values_mut()
            .flat_map(|lane| lane.epochs.values_mut());
        for waiting in epochs.filter_map(|epoch| epoch.waiting.as_mut()) {
            let waited = now.up.saturating_sub(waiting.since);
            if waiting.reread.is_none() && waited >= self.rules.gap_wait {
                waiting.reread = Some((now.up, self.seen));
                due = true;
            }
        }
        due
    }

    /// Jumps behind which the partition has been read once more are gaps.
    fn give_up(&mut self, now: Moment) -> Option<ConsumedReadings> {
        let mut given = Vec::new();
        for lane in self.lanes.values_mut() {
            let cause = lane.cause();
            for epoch in lane.epochs.values_mut() {
                let reread = epoch.waiting.and_then(|waiting| waiting.reread);
                let Some((since, _)) = reread.filter(|(_, up_to)| self.position >= *up_to) else {
                    continue;
                };
                let mut step = EpochStep::new(cause, now, 0);
                epoch.give_up(since, &mut step);
                given.push(step);
            }
        }
        let mut consumed = None;
        for step in given {
            self.absorb(step, consumed.get_or_insert_default());
        }
        consumed
    }

    fn end_gaps(&mut self, now: Moment) {
        let old = now
            .micros()
            .saturating_sub(GAP_FINAL_AFTER.as_micros() as i64);
        let epochs = self
            .lanes
            .values_mut()
            .flat_map(|lane| lane.epochs.values_mut());
        epochs.for_each(|epoch| epoch.gaps.finish(old, now.up, CLOCK_BELIEVED_AFTER));
    }

    fn forget(&mut self) {
        self.lanes.values_mut().for_each(LaneProgress::forget);
    }
}

impl LaneProgress {
    /// Forgets epochs that are done: closed and without open gaps. The latest stay, and those that wait for something, however
    /// many come after them (E5).
    fn forget(&mut self) {
        let latest = self.epochs.keys().rev().nth(EPOCHS_KEPT - 1).copied();
        let Some(latest) = latest else { return };
        let is_done = |epoch: &EpochProgress| epoch.closed && !epoch.gaps.any_open();
        let done: Vec<u64> = self
            .epochs
            .range(..latest)
            .filter(|(_, epoch)| is_done(epoch))
            .map(|(number, _)| *number)
            .collect();
        for number in done {
            let Some(epoch) = self.epochs.remove(&number) else {
                continue;
            };
            let before = self.forgotten.unwrap_or_default();
            self.forgotten = Some(Done {
                epoch: number.max(before.epoch),
                readings: before.readings + epoch.readings_brought(),
                gaps: before.gaps + epoch.gaps_brought(),
            });
        }
    }
}
