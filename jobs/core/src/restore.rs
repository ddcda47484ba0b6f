//! The past of a job whose database is lost: what the lake's `job_runs` says was run (E9).
//!
//! Its runs are put back as they were, so that none is made twice, the windows that have closed since its first one get
//! theirs, and a job that comes after it finds them. A job that runs for warnings or events looks at all that were told of since
//! the first one that it ran for: those that it missed get their runs.

use std::collections::{BTreeMap, BTreeSet};

use arrow::{
    array::{Array as _, ArrayRef, AsArray as _, RecordBatch},
    datatypes::{DataType, Int64Type},
};
use datafusion::{
    logical_expr::cast,
    prelude::{col, lit},
};
use forebay_lake::LakeWriter;
use forebay_schemas::{SiteId, Timestamp, table::JOB_RUNS};

use crate::{
    Fire, FireKey, JobName, RunState, SchedulerError, Trigger, Window,
    clock::from_micros,
    fire::{Cause, Occasion},
    happened::{Happening, happened},
    outbox::{RunNumber, Track},
    store::{LeftOut, Run},
    windows::ClosedWindow,
};

/// Most runs of a job that are put back, the newest: more than a year of hours.
const RUNS_MAX: usize = 10_000;

/// What a job has done.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// Finished and recorded, the newest first.
    pub(crate) runs: Vec<Run>,
    /// What lies before its first run over a window of a site.
    pub(crate) left_out: BTreeMap<SiteId, LeftOut>,
    /// When the first warning or event was told of that it ran for, where it runs for such.
    pub(crate) listened_since: Option<Timestamp>,
}

/// What the fires of runs are looked up in.
struct Occasions<'a> {
    windows: BTreeMap<(String, i64), &'a Window>,
    /// By fire key.
    happenings: BTreeMap<&'a str, &'a Happening>,
}

impl History {
    /// A job's runs by its trigger, as `job_runs` has them; those that people asked for stay there.
    pub(crate) async fn read(
        lake: &LakeWriter,
        job: &JobName,
        trigger: &Trigger,
        closed: &[ClosedWindow],
        now: Timestamp,
    ) -> Result<Self, SchedulerError> {
        let table = lake.table(&JOB_RUNS)?.clone();
        let session = forebay_lake::session(&[table], &lake.decrypter()).await?;
        let text = |name: &str| cast(col(name), DataType::Utf8);
        let long = |name: &str| cast(col(name), DataType::Int64);
        let columns = vec![
            text("run_id"),
            text("fire_key"),
            text("kind"),
            text("state"),
            text("error"),
            long("attempt"),
            long("started_at"),
            long("finished_at"),
            long("rows_written"),
        ];
        let of_job = session
            .table("job_runs")
            .await?
            .filter(col("job").eq(lit(job.as_str())))?;
        let rows = of_job.select(columns)?.collect().await?;
        let happened = happened(lake, trigger, i64::MIN).await?;
        let windows = closed
            .iter()
            .map(|closed| (of_key(&closed.window), &closed.window));
        let happenings = happened
            .iter()
            .map(|happening| (happening.fire.key.as_str(), happening));
        let occasions = Occasions {
            windows: windows.collect(),
            happenings: happenings.collect(),
        };
        let mut runs: Vec<Run> = rows
            .iter()
            .flat_map(|rows| runs_of(job, rows, &occasions))
            .collect();
        runs.sort_by_key(|run| std::cmp::Reverse(run.number));
        let mut fires = BTreeSet::new();
        runs.retain(|run| fires.insert(run.fire.key.clone()));
        runs.truncate(RUNS_MAX);
        Ok(Self {
            left_out: before_the_first(&runs, now),
            listened_since: occasions.first_of(&runs),
            runs,
        })
    }
}

impl Occasions<'_> {
    /// When the first warning or event was told of that one of these runs was for.
    fn first_of(&self, runs: &[Run]) -> Option<Timestamp> {
        let told = |run: &Run| self.happenings.get(run.fire.key.as_str()).copied();
        let told = runs.iter().filter_map(told);
        told.map(|happening| from_micros(happening.changed_at))
            .min()
    }
}

/// How a fire key names a window.
fn of_key(window: &Window) -> (String, i64) {
    (window.site.path_segment(), window.start.micros())
}

fn runs_of(job: &JobName, rows: &RecordBatch, occasions: &Occasions<'_>) -> Vec<Run> {
    let text = |column: usize, row: usize| text(rows.column(column), row);
    let long = |column: usize, row: usize| long(rows.column(column), row);
    let run = |row: usize| {
        let (number, track) = RunNumber::of_run_id(job, text(0, row)?)?;
        let finished = from_micros(long(7, row)?);
        Some(Run {
            job: job.clone(),
            number,
            track,
            kind: text(2, row)?.to_owned(),
            fire: fire(text(1, row)?, occasions)?,
            state: RunState::from_name(text(3, row)?)?,
            attempt: u32::try_from(long(5, row)?).ok()?,
            not_before: finished,
            started: long(6, row).map(from_micros),
            finished: Some(finished),
            rows: long(8, row).map(i64::cast_unsigned),
            message: text(4, row).map(str::to_owned),
            is_cancelled: false,
        })
    };
    (0..rows.num_rows()).filter_map(run).collect()
}

/// The occasion of a run; `None` for what a person asked for, and for windows that are no more.
fn fire(key: &str, occasions: &Occasions<'_>) -> Option<Fire> {
    if let Some(happening) = occasions.happenings.get(key) {
        return Some(happening.fire.clone());
    }
    match Occasion::of(key)? {
        Occasion::Cron(due) => Some(Fire {
            key: FireKey::stored(key.to_owned()),
            due,
            window: None,
            cause: Cause::Cron,
        }),
        Occasion::Window(site, start, revision) => {
            let window = *occasions.windows.get(&(site, start.micros()))?;
            Some(Fire::window(Window {
                revision,
                ..window.clone()
            }))
        }
    }
}

/// A job begins with one window of each site and goes on from there: what lies before was left out.
fn before_the_first(runs: &[Run], now: Timestamp) -> BTreeMap<SiteId, LeftOut> {
    let mut left_out: BTreeMap<SiteId, LeftOut> = BTreeMap::new();
    // What was back-filled tells nothing of where the job began.
    let live = runs.iter().filter(|run| run.track == Track::Live);
    for window in live.filter_map(|run| run.fire.window.as_ref()) {
        let until = window.start.micros().saturating_sub(1);
        let of_site = left_out.entry(window.site.clone()).or_insert(LeftOut {
            until,
            closed: now.micros(),
        });
        of_site.until = of_site.until.min(until);
    }
    left_out
}

fn text(column: &ArrayRef, row: usize) -> Option<&str> {
    let texts = column.as_string_opt::<i32>()?;
    texts.is_valid(row).then(|| texts.value(row))
}

fn long(column: &ArrayRef, row: usize) -> Option<i64> {
    let numbers = column.as_primitive_opt::<Int64Type>()?;
    numbers.is_valid(row).then(|| numbers.value(row))
}
