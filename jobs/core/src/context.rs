//! What a run may see: the lake as it is now, cut off at the instant that the run was due.

mod alert_history;
mod past_scores;

pub(crate) use alert_history::latest_alerts;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use datafusion::{
    common::ScalarValue,
    dataframe::DataFrame,
    execution::runtime_env::RuntimeEnv,
    logical_expr::Expr,
    prelude::{SessionContext, col, lit},
};
use forebay_lake::LakeWriter;
use forebay_schemas::{
    DeviceId, SiteId, TagName, Timestamp,
    table::{
        ALERTS, BACKTESTS, EVENTS, JOB_RUNS, MODELS, PREDICTIONS, READINGS, SCORES, Table, WINDOWS,
    },
};

use crate::{Fire, JobError, JobName, SeriesPattern, sight::Sight};
pub use past_scores::PastScore;

/// One run under way.
#[derive(Clone)]
pub struct RunContext {
    pub(crate) lake: Arc<LakeWriter>,
    pub(crate) sight: Sight,
    /// The memory that the run's queries have.
    pub(crate) runtime: Arc<RuntimeEnv>,
    pub(crate) job: JobName,
    pub(crate) run_id: String,
    pub(crate) fire: Fire,
    pub(crate) attempt: u32,
    pub(crate) now: Timestamp,
    pub(crate) data_dir: Option<PathBuf>,
}

/// How a table's rows are held against the cutoff.
#[derive(Clone, Copy)]
enum Visible {
    /// Those of instants before it.
    Before(&'static str),
    /// Those of instants up to it.
    UpTo(&'static str),
    /// Those that end up to it, or begin up to it and have no end yet: what was known of an event then.
    Spans {
        from: &'static str,
        to: &'static str,
    },
}

impl Visible {
    fn filter(self, cutoff: Timestamp) -> Expr {
        let cutoff = || time_literal(cutoff);
        match self {
            Self::Before(at) => col(at).lt(cutoff()),
            Self::UpTo(at) => col(at).lt_eq(cutoff()),
            Self::Spans { from, to } => {
                let open = col(to).is_null().and(col(from).lt_eq(cutoff()));
                col(to).lt_eq(cutoff()).or(open)
            }
        }
    }
}

/// The tables that jobs see. Later revisions of a window and results of jobs that ran before this one are seen: they are
/// about the time before the cutoff.
const VISIBLE: [(&Table, Visible); 9] = [
    (&READINGS, Visible::Before("event_time")),
    (&WINDOWS, Visible::UpTo("window_end")),
    (&SCORES, Visible::UpTo("event_time")),
    (&PREDICTIONS, Visible::UpTo("issued_at")),
    (&ALERTS, Visible::UpTo("last_seen")),
    (
        &EVENTS,
        Visible::Spans {
            from: "from_time",
            to: "to_time",
        },
    ),
    (&MODELS, Visible::UpTo("data_cutoff")),
    (&BACKTESTS, Visible::UpTo("to_time")),
    (&JOB_RUNS, Visible::UpTo("finished_at")),
];

/// A session over the tables that jobs see, without rows: for planning a query before it runs.
///
/// # Errors
/// None that a configuration could cause.
pub fn empty_session() -> Result<SessionContext, JobError> {
    Ok(forebay_lake::empty_session(
        &VISIBLE.map(|(table, ..)| table),
    )?)
}

impl RunContext {
    /// The first attempt of a run that began at `now`.
    pub fn new(
        lake: Arc<LakeWriter>,
        job: JobName,
        run_id: String,
        fire: Fire,
        now: Timestamp,
    ) -> Self {
        Self {
            lake,
            sight: Sight::Newest,
            runtime: Arc::default(),
            job,
            run_id,
            fire,
            attempt: 1,
            now,
            data_dir: None,
        }
    }

    /// The same run in a process that has this data folder.
    #[must_use]
    pub fn in_folder(self, data_dir: &Path) -> Self {
        let data_dir = Some(data_dir.to_owned());
        Self { data_dir, ..self }
    }

    /// The data folder, for results that are files; none where results are not kept: in a dry run, and in some tests.
    pub fn data_dir(&self) -> Option<&Path> {
        self.data_dir.as_deref()
    }

    /// The job's name.
    pub fn job(&self) -> &JobName {
        &self.job
    }

    /// The run's id, as results carry it.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// Why it runs.
    pub fn fire(&self) -> &Fire {
        &self.fire
    }

    /// The site it runs for; `None` when it runs for all.
    pub fn site(&self) -> Option<&SiteId> {
        self.fire.window.as_ref().map(|window| &window.site)
    }

    /// Which attempt it is, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The first instant whose readings it must not see.
    pub fn cutoff(&self) -> Timestamp {
        self.fire.cutoff()
    }

    /// When this attempt began. For `changed_at` alone: results depend on the cutoff.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// A session over the newest readings, windows and results of jobs, without what lies after the cutoff.
    ///
    /// # Errors
    /// When the lake cannot be read.
    pub async fn session(&self) -> Result<SessionContext, JobError> {
        let session = self.uncut().await?;
        for (table, visible) in VISIBLE {
            let seen = visible.filter(self.cutoff());
            let view = session.table(table.name).await?.filter(seen)?.into_view();
            session.deregister_table(table.name)?;
            session.register_table(table.name, view)?;
        }
        Ok(session)
    }

    /// A session over the same tables with all their rows.
    pub(crate) async fn uncut(&self) -> Result<SessionContext, JobError> {
        self.sight.session(&self.lake, &self.runtime).await
    }

    /// The readings at or after the cutoff of these series alone, with the columns of `readings`: forecasts and calendars
    /// that were known when the run was due, which `known_ahead` of a job names. Of a run over a window, its site's.
    ///
    /// # Errors
    /// When the lake cannot be read.
    pub async fn known_ahead(&self, series: &[SeriesPattern]) -> Result<DataFrame, JobError> {
        let session = self.uncut().await?;
        let named = series
            .iter()
            .map(SeriesPattern::filter)
            .reduce(Expr::or)
            .unwrap_or_else(|| lit(false));
        let ahead = col("event_time").gt_eq(time_literal(self.cutoff()));
        let readings = session
            .table(READINGS.name)
            .await?
            .filter(ahead.and(named))?;
        self.of_site(readings)
    }

    /// The rows of the site that the run is for.
    pub(crate) fn of_site(&self, rows: DataFrame) -> Result<DataFrame, JobError> {
        Ok(match self.site() {
            Some(site) => rows.filter(col("site").eq(lit(site.as_str())))?,
            None => rows,
        })
    }

    /// The id of an event of this job: the same for the same kind, series and first instant, in every run.
    pub fn event_id(
        &self,
        kind: &str,
        site: &SiteId,
        device: &DeviceId,
        tag: Option<&TagName>,
        from_time: Timestamp,
    ) -> String {
        // Path segments hold no '/', so that no two names meet.
        let tag = tag.map_or_else(String::new, TagName::path_segment);
        let (site, device) = (site.path_segment(), device.path_segment());
        let from = from_time.micros();
        let name = format!("event/{}/{kind}/{site}/{device}/{tag}/{from}", self.job);
        self.lake.keeper().app_id(&name, 0)
    }
}

/// An instant as a literal of the tables' type, so that filters reach the files.
pub(crate) fn time_literal(at: Timestamp) -> Expr {
    lit(ScalarValue::TimestampMicrosecond(
        Some(at.micros()),
        Some(Arc::from("UTC")),
    ))
}
