//! What grows with devices is not written at each commit (E5): how far each has come, for watermarks.
//!
//! Few devices lie in the state itself. Many lie in an object of their own, which is written before a commit whose readings
//! have moved them, the more devices the less often, but at least once a minute; and at the last commit before the end.

use std::time::Duration;

use forebay_lake::{LakeError, StreamState};
use forebay_schemas::table::READINGS;
use tokio::time::Instant;

use super::Run;

/// So many devices still lie in the state: about 3 kB.
const INLINE_MAX: usize = 64;

/// Each device makes the object be written so much less often: about 8 kB a second, at 50 bytes a device.
const REST_PER_DEVICE: Duration = Duration::from_millis(6);
const REST_MAX: Duration = Duration::from_secs(60);

/// When the times were written, and whether they have moved since.
#[derive(Debug, Default)]
pub(super) struct WrittenTimes {
    at: Option<Instant>,
    moved: bool,
}

impl WrittenTimes {
    pub(super) fn moved(&mut self) {
        self.moved = true;
    }

    fn is_due(&self, devices: usize) -> bool {
        let rest = REST_PER_DEVICE
            .saturating_mul(u32::try_from(devices).unwrap_or(u32::MAX))
            .min(REST_MAX);
        self.moved && self.at.is_none_or(|at| at.elapsed() >= rest)
    }
}

impl Run<'_> {
    /// The state as it is stored. Writes the times of its devices, if they lie apart and it is time.
    pub(super) async fn stored(&mut self, state: &StreamState) -> Result<StreamState, LakeError> {
        let devices: usize = state.sites.iter().map(|site| site.devices.len()).sum();
        if devices <= INLINE_MAX {
            return Ok(StreamState {
                times_apart: false,
                ..state.clone()
            });
        }
        if self.times.is_due(devices) || (self.times.moved && self.at.stop.is_cancelled()) {
            let lake = &self.at.lake;
            let readings = lake.table(&READINGS)?;
            lake.keeper()
                .store_times(readings, self.app_id, state.sites.clone(), lake.random())
                .await?;
            self.times = WrittenTimes {
                at: Some(Instant::now()),
                moved: false,
            };
        }
        let mut stored = StreamState {
            times_apart: true,
            ..state.clone()
        };
        stored
            .sites
            .iter_mut()
            .for_each(|site| site.devices.clear());
        Ok(stored)
    }
}
