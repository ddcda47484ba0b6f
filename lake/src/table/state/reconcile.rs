//! Of several streams that took one lane, one after the other, which state knows most of each of its epochs.
//!
//! A stream that meets a lane for the first time goes on from the marks of the table's other streams, which keep their own
//! (E5). Partitions of one stream never take over from each other. Pure.
//!
//! Since ADR 0018 each state counts what its own stream brought, so that what states say adds up. States of before it count what
//! they took over, too: of those an epoch counts in the one that knows most of it, and in no other.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use super::{EpochMark, StreamState};

/// Gateway and lane.
type LaneKey = (String, u32);

/// How much a state knows of an epoch: marks only rise, and gaps only shrink.
type Knowledge = (u64, bool, Reverse<u64>);

impl StreamState {
    /// How much this state knows of one of its epochs.
    fn knowledge(&self, epoch: &EpochMark) -> Knowledge {
        let of_epoch = self.gaps.iter().filter(|gap| {
            (gap.gateway.as_str(), gap.lane, gap.epoch)
                == (epoch.gateway.as_str(), epoch.lane, epoch.epoch)
        });
        let within = of_epoch.filter(|gap| gap.first <= epoch.mark);
        let missing = within
            .map(|gap| gap.last.min(epoch.mark) - gap.first + 1)
            .sum();
        (epoch.mark, epoch.closed, Reverse(missing))
    }

    /// How many readings of one of its epochs the table holds, whoever brought them.
    pub(crate) fn readings_of(&self, epoch: &EpochMark) -> u64 {
        let (mark, _, Reverse(missing)) = self.knowledge(epoch);
        mark.saturating_sub(missing)
            .saturating_sub(epoch.quarantined)
    }

    /// Whether something of a lane was taken.
    pub fn knows_lane(&self, gateway: &str, lane: u32) -> bool {
        self.epochs
            .iter()
            .any(|epoch| epoch.gateway == gateway && epoch.lane == lane)
            || self
                .forgotten
                .iter()
                .any(|done| done.gateway == gateway && done.lane == lane)
    }

    /// Leaves out these epochs of a lane, with their gaps.
    fn leave_out(&mut self, (gateway, lane): &LaneKey, epochs: &BTreeSet<u64>) {
        let is_out =
            |g: &str, l: u32, epoch: u64| g == gateway && l == *lane && epochs.contains(&epoch);
        self.epochs
            .retain(|epoch| !is_out(&epoch.gateway, epoch.lane, epoch.epoch));
        self.gaps
            .retain(|gap| !is_out(&gap.gateway, gap.lane, gap.epoch));
    }
}

/// Leaves each epoch of a lane that was taken over before ADR 0018 in the one state, named by its app id, that knows most of it.
pub(crate) fn reconcile(states: &mut [(String, StreamState)]) {
    let mut lanes: BTreeMap<LaneKey, Vec<BTreeSet<String>>> = BTreeMap::new();
    for (app_id, state) in &*states {
        for taken in state.taken_over.iter().filter(|taken| !taken.counted_there) {
            let groups = lanes
                .entry((taken.gateway.clone(), taken.lane))
                .or_default();
            join(groups, app_id, &taken.from);
        }
    }
    for (lane, groups) in lanes {
        for group in groups {
            let members: Vec<usize> = (0..states.len())
                .filter(|at| group.contains(&states[*at].0))
                .collect();
            reconcile_lane(states, &lane, &members);
        }
    }
}

/// Joins the groups of two streams.
fn join(groups: &mut Vec<BTreeSet<String>>, one: &str, other: &str) {
    let mut joined = BTreeSet::from([one.to_owned(), other.to_owned()]);
    groups.retain(|group| {
        let apart = group.is_disjoint(&joined);
        if !apart {
            joined.extend(group.iter().cloned());
        }
        apart
    });
    groups.push(joined);
}

fn reconcile_lane(states: &mut [(String, StreamState)], lane: &LaneKey, members: &[usize]) {
    let of_lane = |gateway: &str, number: u32| gateway == lane.0 && number == lane.1;
    // Who has forgotten most has forgotten what the others know of those epochs, too.
    let done = members.iter().filter_map(|at| {
        let done = states[*at]
            .1
            .forgotten
            .iter()
            .find(|done| of_lane(&done.gateway, done.lane))?;
        Some((done.epoch, done.readings, *at))
    });
    let done = done.max();
    let kept_by_done: BTreeSet<u64> = done.map_or_else(BTreeSet::new, |(_, _, at)| {
        states[at]
            .1
            .epochs
            .iter()
            .filter(|e| of_lane(&e.gateway, e.lane))
            .map(|e| e.epoch)
            .collect()
    });
    let mut best: BTreeMap<u64, (Knowledge, Reverse<usize>)> = BTreeMap::new();
    for at in members {
        let state = &states[*at].1;
        for epoch in state
            .epochs
            .iter()
            .filter(|epoch| of_lane(&epoch.gateway, epoch.lane))
        {
            let found = (state.knowledge(epoch), Reverse(*at));
            best.entry(epoch.epoch)
                .and_modify(|best| *best = (*best).max(found))
                .or_insert(found);
        }
    }
    for at in members {
        let state = &mut states[*at].1;
        let is_forgotten = |epoch: u64| {
            done.is_some_and(|(last, ..)| epoch <= last) && !kept_by_done.contains(&epoch)
        };
        let mine = state
            .epochs
            .iter()
            .filter(|epoch| of_lane(&epoch.gateway, epoch.lane))
            .map(|epoch| epoch.epoch);
        let is_anothers =
            |epoch: &u64| best.get(epoch).is_some_and(|(_, Reverse(best))| best != at);
        let out: BTreeSet<u64> = mine
            .filter(|epoch| is_forgotten(*epoch) || is_anothers(epoch))
            .collect();
        state.leave_out(lane, &out);
        if done.is_some_and(|(.., best)| best != *at) {
            state
                .forgotten
                .retain(|done| !of_lane(&done.gateway, done.lane));
        }
    }
}

/// What the table's other streams took of a lane that `stream` meets: nothing where another partition of it knows the lane.
///
/// The answer holds the lane's epochs, gaps and the last forgotten epoch alone, and in `taken_over` from whom they are.
pub fn taken_elsewhere(
    states: &[(String, StreamState)],
    stream: &str,
    gateway: &str,
    lane: u32,
) -> StreamState {
    let key = (gateway.to_owned(), lane);
    let knows = |state: &StreamState| state.knows_lane(gateway, lane);
    let mut found = StreamState::new(0, Vec::new());
    if states
        .iter()
        .any(|(_, state)| state.stream == stream && knows(state))
    {
        return found;
    }
    // An import has no stream: its epochs are its own.
    let others = states
        .iter()
        .filter(|(_, state)| !state.stream.is_empty() && state.stream != stream && knows(state));
    let mut others: Vec<(String, StreamState)> = others.cloned().collect();
    let members: Vec<usize> = (0..others.len()).collect();
    reconcile_lane(&mut others, &key, &members);
    let of_lane = |g: &str, l: u32| g == gateway && l == lane;
    for (app_id, state) in others {
        found.epochs.extend(
            state
                .epochs
                .into_iter()
                .filter(|epoch| of_lane(&epoch.gateway, epoch.lane)),
        );
        found.gaps.extend(
            state
                .gaps
                .into_iter()
                .filter(|gap| of_lane(&gap.gateway, gap.lane)),
        );
        found.forgotten.extend(
            state
                .forgotten
                .into_iter()
                .filter(|done| of_lane(&done.gateway, done.lane)),
        );
        let gateway = gateway.to_owned();
        found.taken_over.push(super::TakenOver {
            gateway,
            lane,
            from: app_id,
            counted_there: true,
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::state::{Forgotten, Gap, GapState, TakenOver};

    fn mark(epoch: u64, mark: u64, closed: bool) -> EpochMark {
        EpochMark {
            gateway: "gw".into(),
            epoch,
            mark,
            closed,
            ..EpochMark::default()
        }
    }

    fn state(stream: &str, epochs: Vec<EpochMark>) -> (String, StreamState) {
        let state = StreamState {
            stream: stream.into(),
            ..StreamState::new(0, epochs)
        };
        (format!("id of {stream}"), state)
    }

    fn gap(epoch: u64, first: u64, last: u64) -> Gap {
        let (gateway, why) = ("gw".into(), "missing".into());
        Gap {
            gateway,
            lane: 0,
            epoch,
            first,
            last,
            why,
            opened_at: 0,
            state: GapState::Open,
            extent: None,
        }
    }

    fn forgotten(epoch: u64, readings: u64) -> Vec<Forgotten> {
        vec![Forgotten {
            gateway: "gw".into(),
            lane: 0,
            epoch,
            readings,
            gaps: 0,
        }]
    }

    fn epochs(states: &[(String, StreamState)]) -> Vec<Vec<u64>> {
        states
            .iter()
            .map(|(_, state)| state.epochs.iter().map(|epoch| epoch.epoch).collect())
            .collect()
    }

    #[test]
    fn an_epoch_that_was_counted_twice_counts_where_most_of_it_is_known() {
        let mut old = state(
            "spool",
            vec![mark(5, 9, true), mark(6, 4, false), mark(7, 3, true)],
        );
        (old.1.gaps, old.1.forgotten) = (vec![gap(7, 2, 2)], forgotten(4, 40));
        let mut new = state(
            "kafka",
            vec![mark(6, 8, true), mark(7, 3, true), mark(8, 1, false)],
        );
        new.1.forgotten = forgotten(5, 49);
        let apart = [old.clone(), new.clone()];
        let taken = |counted_there| {
            vec![TakenOver {
                gateway: "gw".into(),
                lane: 0,
                from: "id of spool".into(),
                counted_there,
            }]
        };
        new.1.taken_over = taken(false);
        let mut states = [old, new];
        reconcile(&mut states);
        assert_eq!(epochs(&states), [vec![], vec![6, 7, 8]]);
        assert_eq!(
            (
                states[0].1.gaps.len(),
                states[0].1.forgotten.len(),
                states[1].1.forgotten.len()
            ),
            (0, 0, 1)
        );

        // Nobody took over from anybody, or each counts its own: both count.
        for taken_over in [Vec::new(), taken(true)] {
            let mut before = apart.clone();
            before[1].1.taken_over = taken_over;
            let mut states = before.clone();
            reconcile(&mut states);
            assert_eq!(states, before);
        }
    }

    #[test]
    fn a_lane_is_taken_over_from_other_streams_only() {
        let states = [
            state("spool", vec![mark(6, 4, false)]),
            state("", vec![mark(99, 4, false)]),
        ];
        let found = taken_elsewhere(&states, "kafka", "gw", 0);
        assert_eq!(
            (found.epochs.len(), found.taken_over[0].from.as_str()),
            (1, "id of spool")
        );
        assert!(found.taken_over[0].counted_there);
        assert_eq!(
            taken_elsewhere(&states, "kafka", "gw", 1),
            StreamState::new(0, Vec::new())
        );
        assert_eq!(
            taken_elsewhere(&states, "spool", "gw", 0),
            StreamState::new(0, Vec::new())
        );
    }
}
