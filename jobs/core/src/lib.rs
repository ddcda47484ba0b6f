//! Jobs over the lake: when they fire, what a run is, and results that are written exactly once.
//!
//! Invariants kept here: a job fires once for each fire key; a run that a crash cut short is done again, and what it had
//! already written is not written twice (E9); a job reads nothing from after its cutoff. What a job computes is its own:
//! see the sibling folders. It deliberately knows nothing of connectors, and starts nothing on another machine.

mod alerts;
mod buckets;
mod clock;
mod context;
mod cron;
mod error;
mod fire;
mod job;
pub mod keys;
mod outbox;
mod progress;
mod restore;
mod results;
mod scheduler;
mod service;
mod spec;
mod state;
mod store;
pub mod testing;
mod windows;

pub use alerts::{Condition, Lifecycle, Verdict};
pub use buckets::{Bucket, SeriesKey, SeriesPattern};
pub use context::{RunContext, empty_session};
pub use cron::{Schedule, ScheduleError};
pub use error::SchedulerError;
pub use fire::{Fire, FireKey, Window};
pub use job::{Job, JobError, JobKind, Outcome};
pub use keys::OnLate;
pub use progress::JobProgress;
pub use results::{
    AlertRow, AlertState, BacktestRow, EventRow, ModelRow, ModelState, Prediction, Results, Score,
    Severity,
};
pub use scheduler::Scheduler;
pub use service::{JobStatus, list, run, run_now};
pub use spec::{JobName, JobSpec, Jobs, ScheduledJob, Trigger, configure};
pub use state::{IllegalMove, RunEvent, RunState};
pub use store::RunSummary;

#[cfg(test)]
mod tests;
