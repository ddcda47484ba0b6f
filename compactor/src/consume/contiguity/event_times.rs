//! Readings whose event time no device can mean.

use std::collections::BTreeSet;

use forebay_schemas::{Timestamp, wire::SeriesBatch};

use super::{ConsumedReadings, Contiguity, quarantined::alone};
use crate::{
    consume::{arrivals::Way, moment::Moment},
    event_time,
};

impl Contiguity {
    /// Readings whose event time no device can mean go to quarantine one by one; the stretches
    /// between them stay together.
    pub(super) fn keep_plausible(
        &mut self,
        batch: SeriesBatch,
        now: Moment,
        consumed: &mut ConsumedReadings,
    ) {
        let implausible = self.implausible(&batch);
        if implausible.is_empty() {
            self.times.heard(&batch, now);
            consumed.batches.push(batch);
            return;
        }
        let mut kept = Vec::new();
        let mut from = 0;
        for position in implausible.iter().copied().chain([batch.len()]) {
            if from < position {
                kept.push(from..position);
            }
            from = position + 1;
        }
        for batch in batch.split(&kept) {
            self.times.heard(&batch, now);
            consumed.batches.push(batch);
        }
        let refused: BTreeSet<usize> = implausible.into_iter().collect();
        if let Some(at) = self
            .lanes
            .get_mut(&batch.lane)
            .and_then(|lane| lane.epochs.get_mut(&batch.epoch.0))
        {
            at.quarantined += refused.len() as u64;
        }
        let why = "its event time is before the year 2000 or too far ahead of its gateway's clock";
        let rows = batch
            .readings()
            .enumerate()
            .filter(|(position, _)| refused.contains(position));
        for (position, reading) in rows {
            consumed.quarantine.push(alone(
                &batch,
                batch.first_seq.0 + position as u64,
                reading,
                why,
            ));
        }
    }

    /// How the newest reading of each device came that has been given out since this was asked last.
    pub(in crate::consume) fn take_ways(&mut self) -> Vec<Way> {
        self.times.take_ways()
    }

    /// The positions of readings whose event time no device can mean, ascending.
    fn implausible(&self, batch: &SeriesBatch) -> Vec<usize> {
        let mut positions = Vec::new();
        for block in batch.blocks() {
            let times = block.event_times.iter().zip(block.observed_times);
            for ((event, observed), position) in times.zip(block.positions) {
                let (event, observed) = (
                    Timestamp::from_nanos(*event),
                    Timestamp::from_nanos(*observed),
                );
                if !event_time::is_plausible(event, observed, self.rules.max_skew) {
                    positions.push(*position as usize);
                }
            }
        }
        positions.sort_unstable();
        positions
    }
}
