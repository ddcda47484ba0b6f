//! Memory that all partitions of the process share.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// One permit of the semaphore stands for so many bytes, so that its counter reaches far enough.
const UNIT_BYTES: usize = 1024;

/// Bytes of readings that may wait for a commit.
#[derive(Debug, Clone)]
pub(super) struct MemoryBudget {
    units: Arc<Semaphore>,
    total: u32,
}

/// A share of the budget, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share(OwnedSemaphorePermit);

impl MemoryBudget {
    pub(super) fn new(bytes_max: usize) -> Self {
        let units =
            (bytes_max / UNIT_BYTES).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        Self {
            units: Arc::new(Semaphore::new(units)),
            total: units as u32,
        }
    }

    /// A share, if there is room now. What is larger than the whole budget gets the whole.
    pub(super) fn try_share(&self, bytes: usize) -> Option<Share> {
        self.units
            .clone()
            .try_acquire_many_owned(self.units_of(bytes))
            .ok()
            .map(Share)
    }

    fn units_of(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT_BYTES))
            .unwrap_or(u32::MAX)
            .clamp(1, self.total)
    }
}

impl Share {
    pub(super) fn join(&mut self, other: Share) {
        self.0.merge(other.0);
    }
}
