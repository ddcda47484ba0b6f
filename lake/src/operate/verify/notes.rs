//! Whether what streams note beside `gaps` and `quarantine` can be read (E9): a stream that cannot read its note does not know
//! which rows it has written, and stops at the next.

use std::collections::BTreeSet;

use forebay_schemas::{
    ErrorKind,
    table::{GAPS, QUARANTINE},
};

use super::Fault;
use crate::{
    LakeError, StateKeeper,
    table::LakeTable,
    table::state::{SideState, StreamState},
};

/// The streams that keep notes: imports keep none.
pub(super) fn keepers(states: &[(String, StreamState)]) -> impl Iterator<Item = String> {
    states
        .iter()
        .filter(|(_, state)| !state.stream.is_empty())
        .map(|(app_id, _)| app_id.clone())
}

/// The notes of these streams beside a table that are missing or damaged; none for tables beside which nothing is noted.
///
/// # Errors
/// When the log or the store cannot be read.
pub(super) async fn lost(
    table: &LakeTable,
    keeper: &StateKeeper,
    streams: &BTreeSet<String>,
) -> Result<Vec<Fault>, LakeError> {
    let mut faults = Vec::new();
    let name = table.schema().name;
    if name != GAPS.name && name != QUARANTINE.name {
        return Ok(faults);
    }
    let mut numbers = keeper.numbers(table, &table.snapshot().await?).await?;
    numbers.retain(|(app_id, _)| streams.contains(app_id));
    for (_, _, note) in keeper.load_each::<SideState>(table, numbers).await {
        match note {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                faults.push(Fault::State {
                    why: format!("table {name}: {error}"),
                });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(faults)
}
