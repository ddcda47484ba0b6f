//! What the table's other streams took of a lane (E5), read when a stream meets the lane.
//!
//! A state never changes under its number, so each is read once by a process. One that cannot be read is left out and named:
//! another stream's loss stops no partition.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use forebay_lake::{LakeError, LakeWriter, StreamState, taken_elsewhere};
use forebay_schemas::{ErrorKind, LaneId, table::READINGS};
use tokio::{sync::Mutex, time::Instant};
use tracing::warn;

/// A fleet's lanes are met together: the table is asked once for all of them.
const FRESH: Duration = Duration::from_secs(5);

/// The other streams' states, shared by the partitions of the process.
#[derive(Clone, Default)]
pub(super) struct Elsewhere(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    /// By app id, the number of the state that counts, and it; none of an import, or one that cannot be read.
    states: BTreeMap<String, (i64, Option<StreamState>)>,
    asked: Option<Instant>,
}

impl Elsewhere {
    /// What streams other than `stream`, of which `app_id` is the partition that asks, took of a lane.
    pub(super) async fn of_lane(
        &self,
        lake: &LakeWriter,
        app_id: &str,
        stream: &str,
        lane: &LaneId,
    ) -> Result<StreamState, LakeError> {
        let mut known = self.0.lock().await;
        if known.asked.is_none_or(|asked| asked.elapsed() > FRESH) {
            known.read(lake).await?;
            known.asked = Some(Instant::now());
        }
        let (gateway, lane) = (lane.gateway.as_str(), lane.lane.0);
        let others = known
            .states
            .iter()
            .filter(|(other, _)| other.as_str() != app_id);
        let others = others.filter_map(|(other, (_, state))| Some((other, state.as_ref()?)));
        let others = others.filter(|(_, state)| state.knows_lane(gateway, lane));
        let others: Vec<_> = others
            .map(|(other, state)| (other.clone(), state.clone()))
            .collect();
        Ok(taken_elsewhere(&others, stream, gateway, lane))
    }
}

impl Known {
    async fn read(&mut self, lake: &LakeWriter) -> Result<(), LakeError> {
        let (readings, keeper) = (lake.table(&READINGS)?, lake.keeper());
        let mut numbers = keeper
            .numbers(readings, &readings.snapshot().await?)
            .await?;
        numbers.retain(|(app_id, number)| {
            self.states
                .get(app_id)
                .is_none_or(|(known, _)| known != number)
        });
        for (app_id, number, state) in keeper.load_each::<StreamState>(readings, numbers).await {
            let state = match state {
                Ok(state) => Some(state).filter(|state| !state.stream.is_empty()),
                Err(error) if is_lost(&error) => {
                    warn!(%error, "the state of another stream cannot be read, its lanes are not taken over");
                    None
                }
                Err(error) => return Err(error),
            };
            self.states.insert(app_id, (number, state));
        }
        Ok(())
    }
}

/// Whether a state will not be there later either.
fn is_lost(error: &LakeError) -> bool {
    error.is_not_found() || error.kind() == ErrorKind::Corrupt
}
