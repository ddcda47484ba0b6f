//! How many runs have ended, and how, and how many windows got none, for telemetry to read.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use forebay_schemas::Timestamp;

use crate::{JobName, Jobs, RunState};

/// Counts since the process began.
#[derive(Debug, Default)]
pub struct JobProgress {
    finished: Mutex<BTreeMap<(JobName, &'static str), u64>>,
    skipped: Mutex<BTreeMap<JobName, u64>>,
    waits: Mutex<BTreeMap<String, Duration>>,
}

impl JobProgress {
    /// The runs that ended, by job and final state; of every job from the start, so that its first failure is a rise.
    pub fn finished(&self) -> Vec<(JobName, &'static str, u64)> {
        let finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        finished
            .iter()
            .map(|((job, state), count)| (job.clone(), *state, *count))
            .collect()
    }

    /// How many closed windows each job was not run over because too many waited for it at once.
    pub fn windows_skipped(&self) -> Vec<(JobName, u64)> {
        let skipped = self.skipped.lock().unwrap_or_else(PoisonError::into_inner);
        skipped
            .iter()
            .map(|(job, count)| (job.clone(), *count))
            .collect()
    }

    /// How long the oldest run of each job has waited that has not begun; 0 where none waits.
    pub fn waiting(&self) -> Vec<(String, Duration)> {
        let waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        waits
            .iter()
            .map(|(job, wait)| (job.clone(), *wait))
            .collect()
    }

    pub(crate) fn waits(&self, since: BTreeMap<String, Timestamp>, now: Timestamp) {
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        waits.values_mut().for_each(|wait| *wait = Duration::ZERO);
        for (job, since) in since {
            let nanos = now.nanos().saturating_sub(since.nanos()).max(0);
            waits.insert(job, Duration::from_nanos(nanos.unsigned_abs()));
        }
    }

    pub(crate) fn skipped(&self, job: &JobName, windows: u64) {
        let mut skipped = self.skipped.lock().unwrap_or_else(PoisonError::into_inner);
        *skipped.entry(job.clone()).or_default() += windows;
    }

    pub(crate) fn begin(&self, jobs: &Jobs) {
        for job in jobs.iter() {
            self.skipped(&job.spec.name, 0);
            let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
            waits.insert(job.spec.name.to_string(), Duration::ZERO);
            drop(waits);
            for state in RunState::ALL.into_iter().filter(|state| state.is_final()) {
                self.add(&job.spec.name, state, 0);
            }
        }
    }

    pub(crate) fn ended(&self, job: &JobName, state: RunState) {
        self.add(job, state, 1);
    }

    fn add(&self, job: &JobName, state: RunState, count: u64) {
        let mut finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        *finished.entry((job.clone(), state.name())).or_default() += count;
    }
}
