//! What the streams' states say of their sites, each state read once (E5).
//!
//! A state object never changes, and a new one has a new number: what was read of a stream holds as long as its number
//! counts. So a look reads the states of streams that have committed since the last one, and none of the imports that ended
//! long ago.

use std::collections::BTreeMap;

use forebay_lake::{LakeWriter, SiteTimes, StreamState};
use forebay_schemas::{ErrorKind, table::READINGS};
use tracing::error;

use super::wrong;
use crate::CompactorError;

/// The sites of every stream, as its newest state names them.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// By the stream's name in the table, with the state's number.
    known: BTreeMap<String, (i64, Vec<SiteTimes>)>,
    /// How many states could not be read at the last look.
    unreadable: u64,
}

impl Streams {
    /// Reads the states that are new. One that is lost or damaged takes no other with it: its stream counts as one that is
    /// silent, and it is tried again at each look.
    pub(super) async fn look(&mut self, lake: &LakeWriter) -> Result<(), CompactorError> {
        let readings = lake.table(&READINGS).map_err(wrong)?;
        let snapshot = readings.snapshot().await.map_err(wrong)?;
        let numbers: BTreeMap<String, i64> = lake
            .keeper()
            .numbers(readings, &snapshot)
            .await
            .map_err(wrong)?
            .into_iter()
            .collect();
        self.known
            .retain(|app_id, (number, _)| numbers.get(app_id) == Some(&*number));
        self.unreadable = 0;
        let new = numbers
            .into_iter()
            .filter(|(app_id, _)| !self.known.contains_key(app_id))
            .collect();
        for (app_id, number, state) in lake.keeper().load_each::<StreamState>(readings, new).await {
            match state {
                Ok(state) => drop(self.known.insert(app_id, (number, state.sites))),
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    self.unreadable += 1;
                    error!(stream = app_id, %error, "a stream's state cannot be read, windows close without it");
                }
                Err(error) => return Err(wrong(error)),
            }
        }
        Ok(())
    }

    pub(super) fn sites(&self) -> impl Iterator<Item = &SiteTimes> {
        self.known.values().flat_map(|(_, sites)| sites)
    }

    pub(super) fn unreadable(&self) -> u64 {
        self.unreadable
    }
}
