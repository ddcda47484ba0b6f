//! From what the tables hold to the states of the lost streams. Pure.
//!
//! Whose an epoch is: an import's by its number, otherwise that of the lost stream that knew its lane. Where nobody can tell which
//! of several it was, each gets it and they say that they share it: its readings count in the first. So do those of a lane that
//! streams whose state is there say others brought.

use std::collections::{BTreeMap, BTreeSet};

use forebay_schemas::Timestamp;

use super::{
    Lost, ROW_UNKNOWN, RebuiltState, Retells,
    epoch::{Epoch, NO_GAPS, NO_SEQS, Told},
    found::Found,
    older::Older,
};
use crate::{
    GapState, StreamState,
    operate::verify::{Accounts, EpochKey},
    table::state::{EpochMark, Forgotten, TakenOver},
};

/// Epochs of a lane that stay with their marks, as a compactor keeps them.
const EPOCHS_KEPT: usize = 4;

/// Gateway and lane.
type LaneKey = (String, u32);

pub(super) fn states(
    streams: &[Lost],
    sound: &[(String, StreamState)],
    found: &Found,
    retells: Retells,
    now: Timestamp,
) -> Vec<RebuiltState> {
    let mut rebuilt: Vec<RebuiltState> = streams.iter().map(begin).collect();
    let mut lanes: BTreeMap<LaneKey, BTreeSet<EpochKey>> = BTreeMap::new();
    let of_older = streams
        .iter()
        .filter_map(|lost| lost.older.as_ref())
        .filter(|older| older.is_held);
    let older = of_older
        .flat_map(|older| &older.state.epochs)
        .map(|at| (at.gateway.clone(), at.lane, at.epoch));
    for key in found
        .epochs()
        .cloned()
        .chain(older)
        .filter(|key| !found.known.has(key))
    {
        match streams
            .iter()
            .position(|lost| lost.import.is_some_and(|import| import.0 == key.2))
        {
            Some(at) => of_import(&mut rebuilt[at], &key, found, now),
            None => drop(lanes.entry((key.0.clone(), key.1)).or_default().insert(key)),
        }
    }
    for (lane, epochs) in lanes {
        let owners = owners(streams, &lane);
        for at in &owners {
            let lane = LaneOf {
                older: streams[*at].older.as_ref(),
                found,
                retells,
                now,
                lane: &lane,
            };
            let untold = lane.put(&epochs, &mut rebuilt[*at].state);
            if owners.first() == Some(at) {
                rebuilt[*at].untold.extend(untold);
            } else {
                counts_elsewhere(&mut rebuilt[*at].state, lane.lane);
            }
            let others = owners
                .iter()
                .filter(|other| *other != at)
                .map(|other| TakenOver {
                    gateway: lane.lane.0.clone(),
                    lane: lane.lane.1,
                    from: streams[*other].app_id.clone(),
                    counted_there: true,
                });
            rebuilt[*at].state.taken_over.extend(others);
        }
    }
    claim(&mut rebuilt, streams, sound, found);
    rebuilt
}

/// What a state has of a lane counts in another one.
fn counts_elsewhere(state: &mut StreamState, (gateway, lane): &LaneKey) {
    let of_lane = |g: &str, l: u32| g == gateway && l == *lane;
    let epochs = state
        .epochs
        .iter()
        .filter(|at| of_lane(&at.gateway, at.lane));
    let readings: BTreeMap<u64, u64> = epochs.map(|at| (at.epoch, state.readings_of(at))).collect();
    for at in state
        .epochs
        .iter_mut()
        .filter(|at| of_lane(&at.gateway, at.lane))
    {
        let gaps = state
            .gaps
            .iter()
            .filter(|gap| of_lane(&gap.gateway, gap.lane) && gap.epoch == at.epoch);
        at.gaps_elsewhere = gaps.count() as u64;
        at.readings_elsewhere = readings.get(&at.epoch).copied().unwrap_or_default();
    }
    for done in state
        .forgotten
        .iter_mut()
        .filter(|done| of_lane(&done.gateway, done.lane))
    {
        done.readings = 0;
        done.gaps = 0;
    }
}

/// Readings of epochs that are known elsewhere, which nobody says that it brought: a lost stream did.
fn claim(
    rebuilt: &mut [RebuiltState],
    streams: &[Lost],
    sound: &[(String, StreamState)],
    found: &Found,
) {
    let sound = sound.iter().map(|(_, state)| state.clone());
    let rebuilt_states = rebuilt.iter().map(|rebuilt| rebuilt.state.clone());
    let mut accounts = Accounts::of(sound.chain(rebuilt_states));
    accounts.expire(&found.expired);
    for (key, readings) in accounts.unclaimed(&found.readings) {
        let Some(at) = owners(streams, &key).first().copied() else {
            continue;
        };
        let forgotten = &mut rebuilt[at].state.forgotten;
        let (gateway, lane) = key;
        match forgotten
            .iter_mut()
            .find(|done| done.gateway == gateway && done.lane == lane)
        {
            Some(done) => done.readings += readings,
            // No epoch has this number: the stream meets the lane as a new one, and goes on from what others took of it.
            None => forgotten.push(Forgotten {
                gateway,
                lane,
                epoch: 0,
                readings,
                gaps: 0,
            }),
        }
    }
}

/// A state without epochs.
fn begin(lost: &Lost) -> RebuiltState {
    let mut state = StreamState::new(0, Vec::new());
    match (&lost.older, lost.import) {
        (_, Some(_)) => {}
        (None, None) => state.stream = format!("unknown/{}", lost.app_id),
        (Some(older), None) => {
            state.stream.clone_from(&older.state.stream);
            state.taken_over.clone_from(&older.state.taken_over);
            // What is rebuilt is what no other state counts.
            state
                .taken_over
                .iter_mut()
                .for_each(|taken| taken.counted_there = true);
            state.times_apart = older.state.times_apart;
            state.sites.clone_from(&older.state.sites);
            for site in &mut state.sites {
                (site.held, site.held_from_until) = (None, None);
            }
            if older.is_held {
                state.next_offset = older.state.next_offset;
                state.lost.clone_from(&older.state.lost);
                state.quarantined.clone_from(&older.quarantined);
            }
        }
    }
    RebuiltState {
        app_id: lost.app_id.clone(),
        lost: lost.number,
        import: lost.import,
        state,
        untold: Vec::new(),
    }
}

/// The lost streams that a lane may be of, by place.
fn owners(streams: &[Lost], (gateway, lane): &LaneKey) -> Vec<usize> {
    let live = || {
        streams
            .iter()
            .enumerate()
            .filter(|(_, lost)| lost.import.is_none())
    };
    let knows = |lost: &Lost| {
        lost.older
            .as_ref()
            .is_some_and(|older| older.state.knows_lane(gateway, *lane))
    };
    let knowing: Vec<usize> = live()
        .filter(|(_, lost)| knows(lost))
        .map(|(at, _)| at)
        .collect();
    if knowing.is_empty() {
        live().map(|(at, _)| at).collect()
    } else {
        knowing
    }
}

fn of_import(rebuilt: &mut RebuiltState, key: &EpochKey, found: &Found, now: Timestamp) {
    let told = of_tables(key, found).told(0, now);
    rebuilt.state.epochs.push(mark(key, &told));
    rebuilt.state.gaps.extend(told.gaps);
    rebuilt.untold.extend(told.untold);
    rebuilt.state.next_offset = ROW_UNKNOWN;
}

fn mark((gateway, lane, epoch): &EpochKey, told: &Told) -> EpochMark {
    let (gateway, lane, epoch) = (gateway.clone(), *lane, *epoch);
    let Told {
        mark,
        quarantined,
        has_tail: closed,
        ..
    } = *told;
    EpochMark {
        gateway,
        lane,
        epoch,
        mark,
        closed,
        quarantined,
        ..EpochMark::default()
    }
}

fn of_tables<'a>(key: &'a EpochKey, found: &'a Found) -> Epoch<'a> {
    Epoch {
        key,
        readings: found.readings.get(key).unwrap_or(&NO_SEQS),
        gaps: found.gaps.get(key).unwrap_or(&NO_GAPS),
        quarantined: found
            .quarantined
            .get(&format!("{}/{}/{}", key.0, key.1, key.2))
            .unwrap_or(&NO_SEQS),
        expired: found.expired.get(key).copied().unwrap_or_default(),
    }
}

/// A lane of one of the lost streams.
struct LaneOf<'a> {
    older: Option<&'a Older>,
    found: &'a Found,
    retells: Retells,
    now: Timestamp,
    lane: &'a LaneKey,
}

impl LaneOf<'_> {
    /// Puts the lane's epochs into a state; answers the gaps without a row.
    fn put(&self, epochs: &BTreeSet<EpochKey>, state: &mut StreamState) -> Vec<crate::Gap> {
        let mut untold = Vec::new();
        let latest = epochs
            .iter()
            .rev()
            .nth(EPOCHS_KEPT - 1)
            .map_or(0, |key| key.2);
        let mut done = self.forgotten().cloned().map(|done| Forgotten {
            readings: 0,
            gaps: 0,
            ..done
        });
        for key in epochs {
            let older = self.older.and_then(|older| older.epoch(key));
            let reached = older.filter(|_| self.is_held()).map_or(0, |at| at.mark);
            let told = of_tables(key, self.found).told(reached, self.now);
            let elsewhere = self.found.known.brought(key);
            if key.2 < latest && older.is_none() && self.is_done(key, &told) {
                let (gateway, lane) = self.lane.clone();
                let done = done.get_or_insert(Forgotten {
                    gateway,
                    lane,
                    epoch: 0,
                    readings: 0,
                    gaps: 0,
                });
                done.epoch = done.epoch.max(key.2);
                let brought = self.found.brought(key);
                done.readings += brought.saturating_sub(elsewhere.readings);
                done.gaps += (told.gaps.len() as u64).saturating_sub(elsewhere.gaps);
                continue;
            }
            let mut at = mark(key, &told);
            at.readings_elsewhere = elsewhere.readings;
            at.gaps_elsewhere = elsewhere.gaps;
            if let Some(older) = older {
                // Where an epoch ends stands in the stream, whatever became of the commit.
                at.closed |= older.closed && older.mark == at.mark;
                at.nonce = older.nonce;
                at.other_openings.clone_from(&older.other_openings);
            }
            state.epochs.push(at);
            state.gaps.extend(told.gaps);
            untold.extend(told.untold);
        }
        state.forgotten.extend(done);
        untold
    }

    fn is_held(&self) -> bool {
        self.older.is_some_and(|older| older.is_held)
    }

    /// What the older state had forgotten of the lane.
    fn forgotten(&self) -> Option<&Forgotten> {
        let older = self.older.filter(|older| older.is_held)?;
        older
            .state
            .forgotten
            .iter()
            .find(|done| (&done.gateway, done.lane) == (&self.lane.0, self.lane.1))
    }

    /// Whether nothing of an epoch is waited for, and the stream does not tell of it again.
    fn is_done(&self, key: &EpochKey, told: &Told) -> bool {
        let was_forgotten = self.forgotten().is_some_and(|done| key.2 <= done.epoch);
        let is_told_again = self.retells == Retells::Everything && !was_forgotten;
        !is_told_again && told.gaps.iter().all(|gap| gap.state != GapState::Open)
    }
}
