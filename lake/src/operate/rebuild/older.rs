//! An older state of a stream: what it says beside what the tables hold.

use std::cmp::Reverse;

use forebay_schemas::{ErrorKind, table::READINGS};
use futures::TryStreamExt as _;
use object_store::path::Path;

use super::{
    epoch::{Epoch, NO_GAPS, NO_SEQS},
    found::Found,
};
use crate::{LakeError, LakeWriter, StreamState, table::state::EpochMark};

/// So many states are opened, the newest first: few commits in a row leave one behind and do not land.
const TRIED_MAX: usize = 32;
/// Partitions of a stream that are tried for its name.
const PARTITIONS_MAX: u32 = 4_096;

/// A state of the stream that counted once, or was to count.
pub(super) struct Older {
    pub(super) state: StreamState,
    /// The tables hold all that it says was taken: the stream was read up to its offset.
    pub(super) is_held: bool,
    /// Offsets behind that whose records are in quarantine.
    pub(super) quarantined: Vec<u64>,
}

impl Older {
    pub(super) fn epoch(
        &self,
        (gateway, lane, epoch): &crate::operate::verify::EpochKey,
    ) -> Option<&EpochMark> {
        let is_it =
            |at: &&EpochMark| at.gateway == *gateway && at.lane == *lane && at.epoch == *epoch;
        self.state.epochs.iter().find(is_it)
    }
}

/// The newest state of a stream that the tables bear out; else the newest that can be read.
pub(super) async fn find(
    lake: &LakeWriter,
    app_id: &str,
    lost: i64,
    found: &Found,
) -> Result<Option<Older>, LakeError> {
    let (table, keeper) = (lake.table(&READINGS)?, lake.keeper());
    let folder = Path::from_iter(["_forebay", "state", app_id]);
    let objects: Vec<_> = table.store().list(Some(&folder)).try_collect().await?;
    let numbers = objects
        .iter()
        .filter_map(|object| object.location.filename()?.parse::<i64>().ok());
    let mut numbers: Vec<i64> = numbers.filter(|number| *number != lost).collect();
    numbers.sort_unstable_by_key(|number| Reverse(*number));
    let mut newest = None;
    for number in numbers.into_iter().take(TRIED_MAX) {
        let state = match keeper.load::<StreamState>(table, app_id, number).await {
            Ok(state) => state,
            Err(error) if error.kind() == ErrorKind::Corrupt => continue,
            Err(error) => return Err(error),
        };
        if is_held(&state, found) {
            let quarantined = quarantined(&state, app_id, lake, found);
            return Ok(Some(Older {
                state,
                is_held: true,
                quarantined,
            }));
        }
        newest.get_or_insert(state);
    }
    Ok(newest.map(|state| Older {
        state,
        is_held: false,
        quarantined: Vec::new(),
    }))
}

/// Whether the tables hold everything that a state says was taken.
fn is_held(state: &StreamState, found: &Found) -> bool {
    state.epochs.iter().all(|at| {
        let key = (at.gateway.clone(), at.lane, at.epoch);
        if found.known.has(&key) {
            return true;
        }
        let readings = found.readings.get(&key).unwrap_or(&NO_SEQS);
        let of_epoch = state
            .gaps
            .iter()
            .filter(|gap| (&gap.gateway, gap.lane, gap.epoch) == (&key.0, key.1, key.2));
        let within = of_epoch
            .map(|gap| (gap.first, gap.last.min(at.mark)))
            .filter(|(first, last)| first <= last);
        let absent: u64 = within
            .map(|(first, last)| last - first + 1 - readings.len_within(first, last))
            .sum();
        Epoch {
            key: &key,
            readings,
            gaps: &NO_GAPS,
            quarantined: &NO_SEQS,
            expired: found.expired.get(&key).copied().unwrap_or_default(),
        }
        .holds(at.mark, absent + at.quarantined)
    })
}

/// The offsets from a state's own on whose records are in quarantine.
fn quarantined(state: &StreamState, app_id: &str, lake: &LakeWriter, found: &Found) -> Vec<u64> {
    let stream = &state.stream;
    let partition =
        (0..PARTITIONS_MAX).find(|partition| lake.keeper().app_id(stream, *partition) == app_id);
    let place = partition.map(|partition| format!("{stream}, partition {partition}"));
    let offsets = place.and_then(|place| found.quarantined.get(&place));
    let ranges = offsets.map(|offsets| offsets.ranges().flat_map(|(first, last)| first..=last));
    ranges
        .into_iter()
        .flatten()
        .filter(|offset| *offset >= state.next_offset)
        .collect()
}
