//! What is noted of deleted rows: a sealed state object, one for each table and site, its number in the log (E5).
//!
//! Rows are noted by their epochs, in numbers: which seqs they had would take a bit each for ever. It grows by an entry for
//! each epoch, that is each start of a gateway and each import.

use std::collections::BTreeMap;

use forebay_schemas::{
    SiteId,
    table::{TABLE_FORMAT_VERSION, Table},
};
use serde::{Deserialize, Serialize};

use crate::{
    LakeError, LakeTable, LakeWriter, Snapshot, StateKeeper, table::change::OWN_PREFIX,
    table::state::FoundState,
};

/// How the transactions begin under which it is noted; a stream's name begins otherwise.
fn prefix() -> String {
    format!("{OWN_PREFIX}expired.")
}

/// What has been deleted of a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpiredState {
    /// Version of this object's layout.
    format: u32,
    /// The site.
    pub(crate) site: String,
    /// Only rows before this time were deleted, µs since 1970 UTC.
    pub(crate) before: i64,
    /// Deleted readings, by epoch.
    pub(crate) epochs: Vec<ExpiredEpoch>,
    /// When the last commit was made, µs since 1970 UTC.
    pub(super) at: i64,
    /// What it has deleted.
    pub(super) last: Vec<Deletion>,
}

/// Deleted readings of one epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpiredEpoch {
    pub(crate) gateway: String,
    pub(crate) lane: u32,
    pub(crate) epoch: u64,
    pub(crate) readings: u64,
}

/// Rows that one rule has deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deletion {
    /// As the configuration has it.
    pub rule: String,
    /// Rows before this time were deleted, µs since 1970 UTC.
    pub before: i64,
    /// How many.
    pub rows: u64,
    /// The first time among them, µs since 1970 UTC.
    pub first: i64,
    /// The last one.
    pub last: i64,
}

impl Deletion {
    pub(super) fn join(&mut self, other: &Self) {
        self.before = self.before.max(other.before);
        self.rows += other.rows;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}

impl ExpiredState {
    /// Nothing yet.
    pub(super) fn of(site: &SiteId) -> Self {
        Self {
            format: TABLE_FORMAT_VERSION,
            site: site.as_str().to_owned(),
            before: i64::MIN,
            epochs: Vec::new(),
            at: 0,
            last: Vec::new(),
        }
    }

    /// Adds deleted readings, by gateway, lane and epoch.
    pub(super) fn add(&mut self, deleted: &BTreeMap<(String, u32, u64), u64>) {
        for ((gateway, lane, epoch), readings) in deleted {
            let same = |known: &&mut ExpiredEpoch| {
                known.gateway == *gateway && known.lane == *lane && known.epoch == *epoch
            };
            match self.epochs.iter_mut().find(same) {
                Some(known) => known.readings += readings,
                None => self.epochs.push(ExpiredEpoch {
                    gateway: gateway.clone(),
                    lane: *lane,
                    epoch: *epoch,
                    readings: *readings,
                }),
            }
        }
    }
}

/// The transaction under which a site's deletions are noted.
pub(super) fn app_id(keeper: &StateKeeper, table: &Table, site: &SiteId) -> String {
    let name = keeper.app_id(&format!("expired\0{}\0{site}", table.name), 0);
    format!("{}{name}", prefix())
}

/// What a snapshot has noted of a site, with its number.
pub(super) async fn load(
    lake: &LakeWriter,
    table: &LakeTable,
    snapshot: &Snapshot,
    site: &SiteId,
) -> Result<Option<(i64, ExpiredState)>, LakeError> {
    let app_id = app_id(lake.keeper(), table.schema(), site);
    let Some(number) = snapshot.state_of(&app_id).await? else {
        return Ok(None);
    };
    let state = lake.keeper().load(table, &app_id, number).await?;
    Ok(Some((number, state)))
}

/// What a snapshot has noted of every site; each note may be unreadable on its own.
///
/// # Errors
/// When the log or the store cannot be read.
pub(crate) async fn expired_states(
    keeper: &StateKeeper,
    table: &LakeTable,
    snapshot: &Snapshot,
) -> Result<Vec<FoundState<ExpiredState>>, LakeError> {
    keeper.own_each(table, snapshot, &prefix()).await
}
