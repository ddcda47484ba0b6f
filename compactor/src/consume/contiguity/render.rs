//! A partition's progress as the state object of its next commit.

use std::collections::BTreeMap;

use forebay_lake::{EpochMark, Forgotten, Gap, GapState, StreamState};
use forebay_schemas::{LaneId, Timestamp};

use super::Contiguity;
use crate::consume::{epoch::HeldWhat, times::HeldTimes};

/// What tells a gap from others.
type GapKey<'a> = (&'a str, u32, u64, u64, u64);

impl Contiguity {
    /// The state after everything that was taken so far, given the one that the last commit left.
    pub(in crate::consume) fn state(&self, before: &StreamState) -> StreamState {
        let next_offset = self.next_offset().0;
        let mut state = StreamState::new(next_offset, Vec::new());
        state.stream.clone_from(&before.stream);
        state.times_apart = before.times_apart;
        for (LaneId { gateway, lane }, progress) in &self.lanes {
            let (gateway, lane) = (gateway.as_str().to_owned(), lane.0);
            for (number, epoch) in &progress.epochs {
                state.epochs.push(EpochMark {
                    gateway: gateway.clone(),
                    lane,
                    epoch: *number,
                    mark: epoch.mark,
                    closed: epoch.closed,
                    quarantined: epoch.quarantined,
                    nonce: epoch.nonce,
                    other_openings: epoch.other_openings.clone(),
                    readings_elsewhere: epoch.readings_elsewhere,
                    gaps_elsewhere: epoch.gaps_elsewhere,
                });
                state
                    .gaps
                    .extend(epoch.gaps.iter().map(|(first, seq_gap)| Gap {
                        gateway: gateway.clone(),
                        lane,
                        epoch: *number,
                        first,
                        last: seq_gap.last,
                        why: seq_gap.why.clone(),
                        opened_at: seq_gap.opened_at,
                        state: seq_gap.state,
                        extent: seq_gap.extent.clone(),
                    }));
            }
            state
                .forgotten
                .extend(progress.forgotten.map(|done| Forgotten {
                    gateway,
                    lane,
                    epoch: done.epoch,
                    readings: done.readings,
                    gaps: done.gaps,
                }));
        }
        state.ended_gaps = ended(before, &state);
        state.quarantined = self.quarantined.range(next_offset..).copied().collect();
        state.lost = self.lost.iter().copied().collect();
        state.taken_over = self.taken_over.iter().cloned().collect();
        state.sites = self.times.render(self.held());
        state
    }

    /// Per site what is behind a jump.
    fn held(&self) -> BTreeMap<String, HeldTimes> {
        let mut sites: BTreeMap<String, HeldTimes> = BTreeMap::new();
        let counts = i64::try_from(self.rules.gap_wait.as_micros())
            .unwrap_or(i64::MAX)
            .saturating_mul(2);
        let held = self
            .lanes
            .values()
            .flat_map(|lane| lane.epochs.values())
            .flat_map(|epoch| epoch.held.values());
        for held in held {
            let HeldWhat::Batch(batch) = &held.what else {
                continue;
            };
            let since = held.read_at.micros();
            for block in batch.blocks() {
                let Some(event) = block.event_times.iter().min() else {
                    continue;
                };
                let event = Timestamp::from_nanos(*event).micros();
                let new = HeldTimes {
                    event,
                    since,
                    until: since.saturating_add(counts),
                };
                let site = sites
                    .entry(block.series.site.as_str().to_owned())
                    .or_insert(new);
                site.event = site.event.min(event);
                site.since = site.since.min(since);
                site.until = site.until.max(new.until);
            }
        }
        sites
    }
}

fn key(gap: &Gap) -> GapKey<'_> {
    (&gap.gateway, gap.lane, gap.epoch, gap.first, gap.last)
}

/// Gaps of the state before that are gone, or final now.
fn ended(before: &StreamState, after: &StreamState) -> Vec<Gap> {
    let now: BTreeMap<GapKey<'_>, &Gap> = after.gaps.iter().map(|gap| (key(gap), gap)).collect();
    let open = before.gaps.iter().filter(|gap| gap.state == GapState::Open);
    let become_of = |gap: &Gap| match now.get(&key(gap)) {
        Some(found) if found.state == GapState::Open => None,
        None if !is_forgotten(after, gap) => Some(Gap {
            state: GapState::Closed,
            ..gap.clone()
        }),
        Some(found) => Some(Gap {
            state: GapState::Final,
            ..(*found).clone()
        }),
        // An epoch is forgotten with its final gaps only.
        None => Some(Gap {
            state: GapState::Final,
            ..gap.clone()
        }),
    };
    open.filter_map(become_of).collect()
}

fn is_forgotten(state: &StreamState, gap: &Gap) -> bool {
    let of_gap = |gateway: &str, lane: u32| gap.gateway == gateway && gap.lane == lane;
    state
        .forgotten
        .iter()
        .any(|done| of_gap(&done.gateway, done.lane) && gap.epoch <= done.epoch)
        && !state
            .epochs
            .iter()
            .any(|epoch| of_gap(&epoch.gateway, epoch.lane) && gap.epoch == epoch.epoch)
}

/// Gaps that the state before did not have, and outages in the place of a gap that it had: their rows are written before the
/// readings (E9).
pub(in crate::consume) fn opened_gaps<'a>(
    before: &StreamState,
    after: &'a StreamState,
) -> Vec<&'a Gap> {
    let known: BTreeMap<GapKey<'_>, GapState> = before
        .gaps
        .iter()
        .map(|gap| (key(gap), gap.state))
        .collect();
    let is_news = |gap: &Gap| match known.get(&key(gap)) {
        None => true,
        Some(before) => {
            gap.extent.is_some() && *before == GapState::Open && gap.state != GapState::Open
        }
    };
    after.gaps.iter().filter(|gap| is_news(gap)).collect()
}
