//! Jobs over the lake: when they fire, what a run is, and results that are written exactly once.
//!
//! Invariants kept here: a job fires once for each fire key; a run that a crash cut short is done again, and what it had
//! already written is not written twice (E9); a job reads nothing from after its cutoff. What a job computes is its own:
//! see the sibling folders. It deliberately knows nothing of connectors, and starts nothing on another machine.

mod alerts;
mod backfill;
mod buckets;
mod clock;
mod context;
mod cron;
mod error;
mod fire;
mod graph;
mod happened;
mod job;
pub mod keys;
mod limits;
mod lock;
mod look_back;
mod models;
mod needs;
mod outbox;
mod progress;
mod register;
mod restore;
mod results;
mod rows;
mod samples;
mod scheduler;
mod service;
mod sight;
mod spec;
mod state;
mod store;
mod trigger;
mod windows;

pub use alerts::{Condition, Lifecycle, Verdict};
pub use backfill::{BackfillReport, BackfillSpec, BackfillStart, BackfillWatch, Sink, backfill};
pub use buckets::{Bucket, SeriesKey, SeriesPattern};
pub use context::{PastScore, RunContext, empty_session};
pub use cron::{Schedule, ScheduleError};
pub use error::SchedulerError;
pub use fire::{Fire, FireKey, Window};
pub use graph::{FireState, JobNode, graph};
pub use job::{Job, JobError, JobKind, Outcome};
pub use keys::{CatchUp, OnLate};
pub use limits::JobLimits;
pub use look_back::{LookBack, LookBackKeys};
pub use models::{
    Better, Contest, Margin, Measured, Model, ModelShelf, Place, Rival, Trained, beats, model_card,
    models, set_model_state,
};
pub use needs::{Need, needs};
pub use progress::JobProgress;
pub use results::{
    AlertRow, AlertState, BacktestRow, EventRow, ModelRow, ModelState, Prediction, Results, Score,
    Severity,
};
pub use rows::{DeviceRows, DeviceSpan, Nth, Order, RowReader};
pub use samples::{Sample, UnitSpan};
pub use scheduler::Scheduler;
pub use service::{Cancelled, JobStatus, cancel, list, run, run_dry, run_now, runs};
pub use spec::{JobName, JobSpec, Jobs, ScheduledJob, configure};
pub use state::{IllegalMove, RunEvent, RunState};
pub use store::{BackfillStatus, RunSummary};
pub use trigger::Trigger;

// The lake of the tests names this crate as the other crates of tests do.
#[cfg(test)]
extern crate self as forebay_jobs;
#[cfg(test)]
#[path = "../../conformance/src/lake.rs"]
pub mod testing;
#[cfg(test)]
mod tests;
