//! Which fires lie in a range.

use forebay_lake::LakeWriter;
use forebay_schemas::Timestamp;

use crate::{
    Fire, JobName, JobSpec, Schedule, SchedulerError, Trigger, happened::happened, store::Store,
    windows::closed_since,
};

/// More fires than this are a schedule of seconds over years: they would be held in memory.
const FIRES_MAX: usize = 1_000_000;

/// The fires of a job with `from` ≤ due < `to`, in the order in which they were due.
pub(crate) async fn between(
    lake: &LakeWriter,
    job: &JobSpec,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<Fire>, SchedulerError> {
    let fires = match &job.trigger {
        Trigger::Cron(schedule) => times(schedule, from, to),
        Trigger::WindowClosed => {
            let mut closed = closed_since(lake, None).await?;
            closed.retain(|closed| closed.has(job.completeness_min));
            let mut windows: Vec<_> = closed.into_iter().map(|closed| closed.window).collect();
            windows.retain(|window| (from..to).contains(&window.end));
            windows.sort_by(|a, b| (a.end, a.start, &a.site).cmp(&(b.end, b.start, &b.site)));
            windows.into_iter().map(Fire::window).collect()
        }
        Trigger::Alert(_) | Trigger::Event(_) => {
            let happened = happened(lake, &job.trigger, i64::MIN).await?;
            let fires = happened.into_iter().map(|happening| happening.fire);
            fires
                .filter(|fire| (from..to).contains(&fire.due))
                .collect()
        }
        // A person asks for each of its runs.
        Trigger::Manual => Vec::new(),
    };
    if fires.len() > FIRES_MAX {
        return Err(SchedulerError::TooManyFires {
            job: job.name.to_string(),
            most: FIRES_MAX,
        });
    }
    Ok(fires)
}

fn times(schedule: &Schedule, from: Timestamp, to: Timestamp) -> Vec<Fire> {
    let first = schedule.latest_at(from).filter(|latest| *latest == from);
    let first = first.or_else(|| schedule.next_after(from));
    std::iter::successors(first, |at| schedule.next_after(*at))
        .take_while(|at| *at < to)
        .take(FIRES_MAX + 1)
        .map(Fire::cron)
        .collect()
}

/// When the first run of a job was due that its own trigger made; where there is none, when the job was registered.
pub(crate) async fn missing_since(
    store: &Store,
    job: &JobName,
) -> Result<Timestamp, SchedulerError> {
    match store.first_due(job).await? {
        Some(due) => Ok(due),
        None => Ok(store
            .registered(job)
            .await?
            .map_or(Timestamp::from_nanos(i64::MAX), |known| known.at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{instant, rfc3339};

    #[test]
    fn a_range_holds_its_first_instant_and_not_its_last_on_nights_of_46_48_and_50_half_hours() {
        let at = |text: &str| instant(text).unwrap();
        for (from, to, expected) in [
            // Melbourne's clocks go back on 2013-04-07 and forward on 2013-10-06.
            (
                "2013-04-05T13:00:00Z",
                "2013-04-08T14:00:00Z",
                &[
                    "2013-04-05T13:00:00Z",
                    "2013-04-06T13:00:00Z",
                    "2013-04-07T14:00:00Z",
                ][..],
            ),
            (
                "2013-10-05T00:00:00Z",
                "2013-10-07T13:00:00Z",
                &["2013-10-05T14:00:00Z", "2013-10-06T13:00:00Z"][..],
            ),
            ("2013-07-01T14:00:01Z", "2013-07-02T14:00:00Z", &[][..]),
        ] {
            let schedule = Schedule::parse("0 0 * * *", "Australia/Melbourne").unwrap();
            let fires = times(&schedule, at(from), at(to));
            let found: Vec<String> = fires.iter().map(|fire| rfc3339(fire.due)).collect();
            assert_eq!(found, expected, "{from} to {to}");
        }
    }
}
