//! Jobs that the database does not know are registered, with the past that the lake knows of them.

use forebay_lake::LakeWriter;
use forebay_schemas::Timestamp;

use crate::{
    Jobs, SchedulerError,
    outbox::{Outbox, Track},
    restore::History,
    store::Store,
    windows::closed_since,
};

/// Registers each job that the database does not know. Two processes may do so at once.
pub(crate) async fn register(
    jobs: &Jobs,
    lake: &LakeWriter,
    store: &Store,
    now: Timestamp,
) -> Result<(), SchedulerError> {
    let mut closed = None;
    for job in jobs.iter() {
        let name = &job.spec.name;
        if store.registered(name).await?.is_some() {
            continue;
        }
        let outbox = Outbox::new(lake, name, Track::Live);
        let floor = outbox.highest_number().await?;
        let mut past = History::default();
        if floor > 0 {
            let closed = match &mut closed {
                Some(closed) => closed,
                closed => closed.insert(closed_since(lake, None).await?),
            };
            past = History::read(lake, name, &job.spec.trigger, closed, now).await?;
            let runs = past.runs.len();
            tracing::warn!(job = %name, runs, "the lake has runs of a job that the database does not know, recovered");
        }
        store.register(name, now, floor, &past).await?;
    }
    Ok(())
}
