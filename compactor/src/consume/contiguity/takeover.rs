//! A stream that meets a lane goes on from what the table's other streams took of it (E5): the spool before Kafka, another
//! topic, another cluster.

use forebay_lake::{Gap, StreamState};
use forebay_schemas::{Epoch, InvalidName, LaneId, Seq};
use forebay_stream::{Delivered, Entry, LastSeq};

use super::{
    ConsumedReadings, Contiguity, SEQ_UNKNOWN,
    lane::{Done, lane_id, lanes_of},
    last_seq,
};
use crate::consume::{epoch::EpochStep, moment::Moment};

impl Contiguity {
    /// The lane of a record of which other streams may know more: one that is new here, or whose epoch begins here in its midst.
    pub(in crate::consume) fn asks_elsewhere(&self, delivered: &Delivered) -> Option<LaneId> {
        let entry = &delivered.record.entry;
        if last_seq(entry).is_some_and(|last| last.0 >= SEQ_UNKNOWN) {
            return None;
        }
        let lane = match entry {
            Entry::Batch(batch) => Some(&batch.lane),
            Entry::Outages(outages) => Some(&outages.lane),
            _ => delivered.lane.as_ref(),
        }?;
        let (epoch, begins) = match entry {
            Entry::Batch(batch) => (batch.epoch, batch.first_seq == Seq::FIRST),
            Entry::Outages(outages) => (outages.epoch, outages.first_seq == Seq::FIRST),
            Entry::EpochEnd {
                epoch,
                last: LastSeq::Known(last) | LastSeq::Unknown { at_least: last },
                ..
            } => (*epoch, last.is_none()),
            Entry::Dropped {
                epoch, first_seq, ..
            }
            | Entry::Gap {
                epoch, first_seq, ..
            } => (*epoch, *first_seq == Seq::FIRST),
            Entry::Damaged { .. } | Entry::SpoolLoss { .. } => (Epoch(0), true),
            Entry::Undecodable { .. } => return None,
        };
        let Some(known) = self.lanes.get(lane).filter(|known| !known.is_new()) else {
            return Some(lane.clone());
        };
        let is_known = known.epochs.contains_key(&epoch.0) || known.has_forgotten(epoch.0);
        (!is_known && !begins).then(|| lane.clone())
    }

    /// Goes on from what other streams took of one lane. Answers the gaps that stand in `gaps` already, and what was held and is
    /// to be taken now.
    ///
    /// # Errors
    /// A gateway's name in a state that is none.
    pub(in crate::consume) fn take_over(
        &mut self,
        elsewhere: &StreamState,
        now: Moment,
    ) -> Result<(Vec<Gap>, ConsumedReadings), InvalidName> {
        let (mut known, mut consumed) = (Vec::new(), ConsumedReadings::default());
        for (id, found) in lanes_of(elsewhere)? {
            let room = self.rules.held_bytes_max.saturating_sub(self.held_bytes);
            let lane = self.lane(&id);
            let mut step = EpochStep::new(lane.cause(), now, room);
            for (number, epoch) in found.epochs {
                // Less may be known of it elsewhere than was forgotten here: it is not begun a second time.
                if lane.has_forgotten(number) && !lane.epochs.contains_key(&number) {
                    continue;
                }
                if lane
                    .epochs
                    .entry(number)
                    .or_default()
                    .take_over(epoch, &mut step)
                {
                    let of_epoch = |gap: &&Gap| {
                        gap.epoch == number
                            && lane_id(&gap.gateway, gap.lane).is_ok_and(|found| found == id)
                    };
                    known.extend(elsewhere.gaps.iter().filter(of_epoch).cloned());
                }
            }
            if let Some(theirs) = found.forgotten.filter(|theirs| theirs.epoch > 0) {
                // What they brought counts in their states.
                let before = lane.forgotten.unwrap_or_default();
                lane.forgotten = Some(Done {
                    epoch: before.epoch.max(theirs.epoch),
                    ..before
                });
            }
            self.absorb(step, &mut consumed);
        }
        self.taken_over.extend(elsewhere.taken_over.iter().cloned());
        self.resume_waits(now);
        Ok((known, consumed))
    }
}
