//! What the tables hold: readings, gaps, what is in quarantine; and which of their epochs no state accounts for.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arrow::{
    array::{Array as _, AsArray as _, RecordBatch},
    datatypes::{Int32Type, Int64Type, TimestampMicrosecondType},
};
use forebay_schemas::{
    ErrorKind,
    table::{GAPS, QUARANTINE, READINGS},
};
use tokio::task::spawn_blocking;
use tracing::warn;

use crate::{
    Gap, GapState, LakeError, LakeTable, LakeWriter, SEQ_UNKNOWN, StreamState,
    keys::KeyDecrypter,
    operate::expire::expired_states,
    operate::verify::{Accounts, EpochKey, SeqSet, collect, collect_quarantined},
    table::Snapshot,
};

/// Rows that are decoded at once.
const BATCH_ROWS: usize = 8_192;

/// What tells readings apart.
const IDENTITY: &[&str] = &["gateway", "lane", "epoch", "seq"];
const GAP_COLUMNS: &[&str] = &[
    "gateway",
    "lane",
    "epoch",
    "first_seq",
    "last_seq",
    "why",
    "state",
    "changed_at",
];
const QUARANTINE_COLUMNS: &[&str] = &["source", "offset"];

/// First and last seq.
pub(super) type Range = (u64, u64);

/// Epochs that a state accounts for.
#[derive(Debug, Default)]
pub(super) struct Known {
    epochs: BTreeSet<EpochKey>,
    /// By gateway and lane, the last epoch that is forgotten.
    done: BTreeMap<(String, u32), u64>,
    /// Epochs of which the table holds more: a lost stream went on with them.
    shared: BTreeMap<EpochKey, Brought>,
}

/// What streams whose states are there brought of an epoch.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Brought {
    pub(super) readings: u64,
    pub(super) gaps: u64,
}

impl Known {
    /// What these states account for.
    fn of(states: &[(String, StreamState)]) -> Self {
        let mut known = Self::default();
        for (_, state) in states {
            known.epochs.extend(
                state
                    .epochs
                    .iter()
                    .map(|at| (at.gateway.clone(), at.lane, at.epoch)),
            );
            for done in &state.forgotten {
                let last = known
                    .done
                    .entry((done.gateway.clone(), done.lane))
                    .or_default();
                *last = done.epoch.max(*last);
            }
        }
        known
    }

    pub(super) fn has(&self, key: &EpochKey) -> bool {
        let is_known = self.epochs.contains(key)
            || self
                .done
                .get(&(key.0.clone(), key.1))
                .is_some_and(|last| key.2 <= *last);
        is_known && !self.shared.contains_key(key)
    }

    /// What of an epoch that no state accounts for, or not for all of it, counts in states that are there.
    pub(super) fn brought(&self, key: &EpochKey) -> Brought {
        self.shared.get(key).copied().unwrap_or_default()
    }

    /// Of these epochs the table holds more than `states` account for.
    fn share(&mut self, epochs: &BTreeSet<EpochKey>, states: &[(String, StreamState)]) {
        for (_, state) in states {
            for at in &state.epochs {
                let key = (at.gateway.clone(), at.lane, at.epoch);
                if !epochs.contains(&key) {
                    continue;
                }
                let of_epoch =
                    |gap: &&Gap| (&gap.gateway, gap.lane, gap.epoch) == (&key.0, key.1, key.2);
                let gaps = state.gaps.iter().filter(of_epoch).count() as u64;
                let brought = self.shared.entry(key).or_default();
                brought.readings += state.readings_of(at).saturating_sub(at.readings_elsewhere);
                brought.gaps += gaps.saturating_sub(at.gaps_elsewhere);
            }
        }
    }
}

/// The last that `gaps` tells of a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GapRow {
    pub(super) why: String,
    /// µs since 1970 UTC, as the other.
    pub(super) opened_at: i64,
    pub(super) state: GapState,
    changed_at: i64,
}

impl GapRow {
    pub(super) fn new(why: String, at: i64, state: GapState) -> Self {
        Self {
            why,
            opened_at: at,
            state,
            changed_at: at,
        }
    }
}

/// What the tables hold.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) known: Known,
    pub(super) readings: BTreeMap<EpochKey, SeqSet>,
    /// Gaps that are open or final.
    pub(super) gaps: BTreeMap<EpochKey, BTreeMap<Range, GapRow>>,
    /// By source: gateway, lane and epoch of a reading; the place of a record.
    pub(super) quarantined: BTreeMap<String, SeqSet>,
    /// How many readings of each epoch retention has deleted.
    pub(super) expired: BTreeMap<EpochKey, u64>,
}

impl Found {
    /// The epochs that no state accounts for.
    pub(super) fn epochs(&self) -> impl Iterator<Item = &EpochKey> {
        let all = self.readings.keys().chain(self.gaps.keys());
        let all: BTreeSet<&EpochKey> = all.chain(self.expired.keys()).collect();
        all.into_iter().filter(|key| !self.known.has(key))
    }

    /// How many readings of an epoch there were: those that are there, and those that were deleted for their age.
    pub(super) fn brought(&self, key: &EpochKey) -> u64 {
        let there = self.readings.get(key).map_or(0, SeqSet::len);
        there + self.expired.get(key).copied().unwrap_or_default()
    }

    fn readings(&mut self, rows: &RecordBatch) {
        collect(rows, &mut self.readings);
    }

    fn gaps(&mut self, rows: &RecordBatch) {
        let long = |name: &str| rows.column_by_name(name)?.as_primitive_opt::<Int64Type>();
        let text = |name: &str| rows.column_by_name(name)?.as_string_opt::<i32>();
        let lane = rows
            .column_by_name("lane")
            .and_then(|column| column.as_primitive_opt::<Int32Type>());
        let at = rows.column_by_name("changed_at");
        let at = at.and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
        let (Some(gateway), Some(why), Some(state)) = (text("gateway"), text("why"), text("state"))
        else {
            return;
        };
        let (Some(lane), Some(epoch), Some(at)) = (lane, long("epoch"), at) else {
            return;
        };
        let (Some(first), Some(last)) = (long("first_seq"), long("last_seq")) else {
            return;
        };
        for row in 0..rows.num_rows() {
            let lane = lane.value(row).cast_unsigned();
            let key = (
                gateway.value(row).to_owned(),
                lane,
                epoch.value(row).cast_unsigned(),
            );
            let Some(state) = GapState::named(state.value(row)) else {
                continue;
            };
            let last = if last.is_null(row) {
                SEQ_UNKNOWN
            } else {
                last.value(row).cast_unsigned()
            };
            let new = GapRow::new(why.value(row).to_owned(), at.value(row), state);
            let of_epoch = self.gaps.entry(key).or_default();
            let told = of_epoch
                .entry((first.value(row).cast_unsigned(), last))
                .or_insert_with(|| new.clone());
            let opened_at = told.opened_at.min(new.opened_at);
            if new.changed_at > told.changed_at {
                *told = new;
            }
            told.opened_at = opened_at;
        }
    }

    fn quarantined(&mut self, rows: &RecordBatch) {
        collect_quarantined(rows, &mut self.quarantined);
    }
}

/// Reads the tables; `readings` as of this version, the others, which are written before it, as of now. `states` are those that
/// can be read.
pub(super) async fn read(
    lake: &LakeWriter,
    snapshot: &Snapshot,
    states: &[(String, StreamState)],
) -> Result<Found, LakeError> {
    let decrypter = lake.decrypter();
    let found = Found {
        known: Known::of(states),
        expired: expired(lake, snapshot).await?,
        ..Found::default()
    };
    let mut found = scan(
        lake.table(&READINGS)?,
        snapshot,
        &decrypter,
        IDENTITY,
        found,
        Found::readings,
    )
    .await?;
    let mut accounts = Accounts::of(states.iter().map(|(_, state)| state.clone()));
    accounts.expire(&found.expired);
    found
        .known
        .share(&accounts.exceeded(&found.readings), states);
    let gaps = lake.table(&GAPS)?;
    let mut found = scan(
        gaps,
        &gaps.snapshot().await?,
        &decrypter,
        GAP_COLUMNS,
        found,
        Found::gaps,
    )
    .await?;
    for of_epoch in found.gaps.values_mut() {
        of_epoch.retain(|_, row| row.state != GapState::Closed);
    }
    found.gaps.retain(|_, of_epoch| !of_epoch.is_empty());
    let quarantine = lake.table(&QUARANTINE)?;
    let now = quarantine.snapshot().await?;
    scan(
        quarantine,
        &now,
        &decrypter,
        QUARANTINE_COLUMNS,
        found,
        Found::quarantined,
    )
    .await
}

/// How many readings of each epoch were deleted for their age. A site whose note is lost has readings that look as if they had
/// never come.
async fn expired(
    lake: &LakeWriter,
    snapshot: &Snapshot,
) -> Result<BTreeMap<EpochKey, u64>, LakeError> {
    let mut expired = BTreeMap::new();
    let table = lake.table(&READINGS)?;
    for found in expired_states(lake.keeper(), table, snapshot).await? {
        let state = match found.state {
            Ok(state) => state,
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                warn!(%error, "what retention deleted of a site cannot be read, it is told as missing");
                continue;
            }
            Err(error) => return Err(error),
        };
        for of_epoch in state.epochs {
            let key = (of_epoch.gateway, of_epoch.lane, of_epoch.epoch);
            *expired.entry(key).or_default() += of_epoch.readings;
        }
    }
    Ok(expired)
}

/// Reads these columns of a table's files, one file at a time.
async fn scan(
    table: &LakeTable,
    snapshot: &Snapshot,
    decrypter: &Arc<KeyDecrypter>,
    columns: &'static [&'static str],
    mut found: Found,
    collect: fn(&mut Found, &RecordBatch),
) -> Result<Found, LakeError> {
    for add in snapshot.files() {
        let file = table.fetch(&add, decrypter).await?;
        let reading = spawn_blocking(move || {
            for rows in file.open_columns(BATCH_ROWS, columns)? {
                collect(&mut found, &rows?);
            }
            Ok::<_, LakeError>(found)
        });
        // A panic while decoding is a broken invariant: it goes on in the caller's thread.
        found = reading
            .await
            .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
    }
    Ok(found)
}
