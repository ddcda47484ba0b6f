//! `[jobs]`: what all runs together may take, so that no query ends the gateway.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use datafusion::execution::{
    memory_pool::FairSpillPool,
    runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
};
use forebay_config::Table;

use crate::keys;

/// Least memory with which a query gets anywhere.
const MEMORY_MIN: u64 = 16 << 20;

/// What runs may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobLimits {
    /// Runs at once.
    pub runs_at_once: usize,
    /// Memory of the queries of one run, bytes.
    pub memory_bytes_max: usize,
    /// Where queries put what does not fit into memory; the system's folder for temporary files unless it is set.
    pub spill_folder: Option<PathBuf>,
}

impl Default for JobLimits {
    fn default() -> Self {
        Self {
            runs_at_once: keys::RUNS_AT_ONCE.default() as usize,
            memory_bytes_max: usize::try_from(keys::MEMORY_MAX.default().0).unwrap_or(usize::MAX),
            spill_folder: None,
        }
    }
}

impl JobLimits {
    /// Reads `[jobs]`; notes what is wrong, and answers `None` then.
    pub(crate) fn read(root: &mut Table<'_>) -> Option<Self> {
        let Some(mut table) = root.table(&keys::JOBS) else {
            return Some(Self::default());
        };
        let runs_at_once = table.read(&keys::RUNS_AT_ONCE);
        let memory = table.read(&keys::MEMORY_MAX).0;
        let mut fit = true;
        if runs_at_once == 0 {
            table.problem(&keys::RUNS_AT_ONCE, "one run at least");
            fit = false;
        }
        if memory < MEMORY_MIN {
            table.problem(&keys::MEMORY_MAX, "\"16MiB\" is the least that is of use");
            fit = false;
        }
        table.finish();
        fit.then(|| Self {
            runs_at_once: runs_at_once as usize,
            memory_bytes_max: usize::try_from(memory).unwrap_or(usize::MAX),
            spill_folder: None,
        })
    }

    /// The memory and the spill folder of one run's queries.
    pub(crate) fn runtime(&self) -> Arc<RuntimeEnv> {
        let pool = Arc::new(FairSpillPool::new(self.memory_bytes_max));
        let builder = RuntimeEnvBuilder::new().with_memory_pool(pool.clone());
        let builder = match &self.spill_folder {
            Some(folder) => builder.with_temp_file_path(folder.clone()),
            None => builder,
        };
        builder.build_arc().unwrap_or_else(|error| {
            tracing::warn!(%error, "the folder for spilled rows is unavailable, queries run without it");
            RuntimeEnvBuilder::new()
                .with_memory_pool(pool)
                .build_arc()
                .unwrap_or_default()
        })
    }

    /// Lets queries spill into this folder.
    pub(crate) fn spill_to(&mut self, folder: &Path) {
        self.spill_folder = Some(folder.to_owned());
    }
}
