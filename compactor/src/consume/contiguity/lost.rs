//! Places of the stream that are lost: each leaves a row in `quarantine` that names it, also where whole epochs lie inside
//! (E5).

use std::ops::Range;

use forebay_schemas::LaneId;
use forebay_stream::{Damage, Offset};

use super::{ConsumedReadings, Contiguity, Quarantined, lane::LaneProgress};

/// So many lost places are remembered as told of; a reader meets older ones no more.
const LOST_KEPT: usize = 64;

impl Contiguity {
    /// A place cannot be read. What was read there before, by this or an earlier run, is not lost.
    pub(super) fn damaged(
        &mut self,
        lane: Option<LaneId>,
        place: Range<Offset>,
        why: Damage,
        consumed: &mut ConsumedReadings,
    ) {
        let read = self
            .overflow
            .map_or(self.high, |overflow| overflow.min(self.high));
        let (from, to) = (place.start.max(read), place.end);
        if let Some(lane) = &lane {
            self.lane(lane);
        }
        if from >= to {
            return;
        }
        let hit = self
            .lanes
            .iter_mut()
            .filter(|(found, _)| lane.as_ref().is_none_or(|lane| lane == *found));
        hit.for_each(|(_, lane)| lane.damaged = true);
        if !self.lost.insert((from.0, to.0)) {
            return;
        }
        if self.lost.len() > LOST_KEPT {
            self.lost.pop_first();
        }
        consumed.quarantine.push(Quarantined {
            key: format!("lost {from}-{to}"),
            why: format!("offsets {from}..{to} of the stream {}", told(why)),
            lane: None,
            at: from.0,
            raw: Vec::new(),
            detail: None,
        });
    }

    /// Places of a gateway's spool that it could not read, and so did not send.
    pub(super) fn spool_loss(
        &mut self,
        lane: &LaneId,
        places: Range<Offset>,
        why: Damage,
        offset: Offset,
        known: bool,
        consumed: &mut ConsumedReadings,
    ) {
        let (from, to) = (places.start, places.end);
        self.lane(lane).damaged = true;
        if known {
            return;
        }
        self.quarantined.insert(offset.0);
        let spool = format!("spool of {}/{}", lane.gateway, lane.lane);
        consumed.quarantine.push(Quarantined {
            key: format!("{spool} lost {from}-{to}"),
            why: format!("offsets {from}..{to} of its gateway's spool {}", told(why)),
            lane: Some(spool),
            at: from.0,
            raw: Vec::new(),
            detail: None,
        });
    }

    /// A lane; one that is new may have had readings in the places that were lost.
    pub(super) fn lane(&mut self, id: &LaneId) -> &mut LaneProgress {
        let damaged = !self.lost.is_empty();
        self.lanes
            .entry(id.clone())
            .or_insert_with(|| LaneProgress {
                damaged,
                ..LaneProgress::default()
            })
    }
}

fn told(why: Damage) -> &'static str {
    match why {
        Damage::Missing => "are gone: they were deleted before they were read",
        Damage::Record => {
            "are damaged: their records fail their checksum, their seal or their order"
        }
        Damage::Header => "are damaged: the header of their segment cannot be read",
        Damage::MarkLost => {
            "are gone: the spool's mark file is lost, and with it whether they were dropped or taken"
        }
    }
}
