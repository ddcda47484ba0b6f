//! What is known of one lane: its epochs, and what is left of those that were forgotten.

use std::collections::BTreeMap;

use forebay_lake::StreamState;
use forebay_schemas::{GatewayId, InvalidName, Lane, LaneId};

use crate::consume::{
    epoch::EpochProgress,
    seq_gaps::{GapCause, SeqGap},
};

#[derive(Debug, Default)]
pub(super) struct LaneProgress {
    pub(super) epochs: BTreeMap<u64, EpochProgress>,
    pub(super) forgotten: Option<Done>,
    /// The log is damaged somewhere before the next record.
    pub(super) damaged: bool,
}

impl LaneProgress {
    pub(super) fn cause(&self) -> GapCause {
        if self.damaged {
            GapCause::Damaged
        } else {
            GapCause::Missing
        }
    }

    /// Whether readings of an epoch without a mark are taken no more.
    pub(super) fn has_forgotten(&self, epoch: u64) -> bool {
        self.forgotten.is_some_and(|done| epoch <= done.epoch)
    }

    /// Whether this stream knows no epoch of it.
    pub(super) fn is_new(&self) -> bool {
        self.epochs.is_empty() && self.forgotten.is_none_or(|done| done.epoch == 0)
    }
}

/// What is left of a lane's epochs that were forgotten.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Done {
    /// The last of them.
    pub(super) epoch: u64,
    /// How many of their readings this stream brought, and how many of their gaps count in its
    /// state.
    pub(super) readings: u64,
    pub(super) gaps: u64,
}

/// What a state says of each lane.
pub(super) fn lanes_of(state: &StreamState) -> Result<BTreeMap<LaneId, LaneProgress>, InvalidName> {
    let mut lanes: BTreeMap<LaneId, LaneProgress> = BTreeMap::new();
    for mark in &state.epochs {
        let epoch = EpochProgress::of(mark);
        lanes
            .entry(lane_id(&mark.gateway, mark.lane)?)
            .or_default()
            .epochs
            .insert(mark.epoch, epoch);
    }
    for gap in &state.gaps {
        let seq_gap = SeqGap::new(gap.last, gap.why.clone(), gap.opened_at, gap.state);
        let lane = lanes.entry(lane_id(&gap.gateway, gap.lane)?).or_default();
        lane.epochs
            .entry(gap.epoch)
            .or_default()
            .gaps
            .restore(gap.first, seq_gap);
    }
    for lane in &state.forgotten {
        lanes
            .entry(lane_id(&lane.gateway, lane.lane)?)
            .or_default()
            .forgotten = Some(Done {
            epoch: lane.epoch,
            readings: lane.readings,
            gaps: lane.gaps,
        });
    }
    Ok(lanes)
}

pub(super) fn lane_id(gateway: &str, lane: u32) -> Result<LaneId, InvalidName> {
    Ok(LaneId {
        gateway: GatewayId::new(gateway)?,
        lane: Lane(lane),
    })
}
