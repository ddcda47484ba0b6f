//! The states of streams that are lost, made again from what the tables hold (E5).
//!
//! Invariants: a state that can be read is never made again; what the tables hold of a stream lies up to its marks, so that nothing
//! is taken twice; what they do not hold lies behind the marks or in an open gap, so that it is taken if it still comes. Nothing is
//! written here. In memory lie one file and at most a bit for each reading of the table.
//!
//! What no table says is taken from an older state of the stream where there is one: its name, where it was read up to, which
//! epochs have ended. One that says more than the tables hold, which a commit that never landed has left, is believed less.

mod assemble;
mod epoch;
mod found;
mod older;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use forebay_schemas::{Epoch, Timestamp, table::READINGS};

use crate::{
    Gap, LakeError, LakeWriter, StreamState, imported_app_id,
    operate::imports::import_ids,
    table::state::{FoundState, reconcile},
};
use found::Found;
use older::Older;

/// Of a state that was rebuilt for an import, where it goes on: its offset is a row of the file, and no table says how many rows its
/// readings took. It is behind every row; the import finds the row by counting its readings again.
pub const ROW_UNKNOWN: u64 = crate::SEQ_UNKNOWN;

/// What a stream gives again of epochs that have ended, where no older state tells how far it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retells {
    /// All that it keeps, ends of epochs included: Kafka.
    Everything,
    /// What it has not forgotten: a spool.
    WhatIsLeft,
}

/// A state as the tables tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RebuiltState {
    /// The stream and partition, as the table knows it.
    pub app_id: String,
    /// The number of the state that is lost.
    pub lost: i64,
    /// The import's number, if it is one's.
    pub import: Option<Epoch>,
    /// The state.
    pub state: StreamState,
    /// Those of its gaps that have no row in `gaps` yet.
    pub untold: Vec<Gap>,
}

/// A stream whose state is lost.
struct Lost {
    app_id: String,
    number: i64,
    import: Option<Epoch>,
    older: Option<Older>,
}

/// Rebuilds every state of `readings` that is lost; none if all of them can be read.
///
/// # Errors
/// A state of a later release, and a file that is missing or damaged: what stood in it would look as if it had never been taken.
/// Otherwise as for reading tables.
pub async fn rebuild_states(
    lake: &LakeWriter,
    retells: Retells,
    now: Timestamp,
) -> Result<Vec<RebuiltState>, LakeError> {
    let table = lake.table(&READINGS)?;
    let snapshot = table.snapshot().await?;
    let (sound, lost) = sorted_out(lake.keeper().states_each(table, &snapshot).await?)?;
    if lost.is_empty() {
        return Ok(Vec::new());
    }
    let found = found::read(lake, &snapshot, &sound).await?;
    let imports = imports(lake, &found).await?;
    let mut streams = Vec::new();
    for (app_id, number) in lost {
        let import = imports.get(&app_id).copied();
        let older = match import {
            Some(_) => None,
            None => older::find(lake, &app_id, number, &found).await?,
        };
        streams.push(Lost {
            app_id,
            number,
            import,
            older,
        });
    }
    Ok(assemble::states(&streams, &sound, &found, retells, now))
}

/// By app id.
type ByStream<T> = Vec<(String, T)>;

/// The states that can be read, and the numbers of those that are lost.
fn sorted_out(
    states: Vec<FoundState<StreamState>>,
) -> Result<(ByStream<StreamState>, ByStream<i64>), LakeError> {
    let (mut sound, mut lost) = (Vec::new(), Vec::new());
    for FoundState {
        app_id,
        number,
        state,
    } in states
    {
        match state {
            Ok(state) => sound.push((app_id, state)),
            Err(LakeError::StateLost { .. }) => lost.push((app_id, number)),
            Err(error) => return Err(error),
        }
    }
    reconcile(&mut sound);
    lost.sort();
    Ok((sound, lost))
}

/// Every import that was noted or has readings, by its app id.
async fn imports(lake: &LakeWriter, found: &Found) -> Result<BTreeMap<String, Epoch>, LakeError> {
    let noted = import_ids(lake.table(&READINGS)?, lake.keeper()).await?;
    let epochs = found.epochs().map(|(_, _, epoch)| Epoch(*epoch));
    Ok(noted
        .into_iter()
        .chain(epochs)
        .map(|epoch| (imported_app_id(lake.keeper(), epoch), epoch))
        .collect())
}
