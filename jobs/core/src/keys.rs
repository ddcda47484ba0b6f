//! The keys of `[[job]]` that all kinds share.

use std::time::Duration;

use forebay_config::{
    Bytes, Choice, Defaulted, DefaultedChoice, Describe, KeyInfo, Optional, Required, Shape,
    TableKeys,
};

/// What a job does when a window that it has seen is amended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnLate {
    /// Runs again over the amended window.
    Rerun,
    /// Leaves its results as they are.
    Ignore,
}

/// The table.
pub const JOB: TableKeys = TableKeys::many(
    "job",
    "A computation over the lake that runs by the clock or when a window has closed, and whose results are rows in the lake.",
    &[
        &NAME,
        &KIND,
        &ON,
        &SCHEDULE,
        &TIMEZONE,
        &AFTER,
        &ON_LATE,
        &COMPLETENESS_MIN,
        &CATCH_UP,
        &PRIORITY,
        &RETRIES,
        &TIMEOUT,
        &HOLDS,
        &ENGINE,
    ],
);

/// What all jobs share.
pub const JOBS: TableKeys = TableKeys::one(
    "jobs",
    "What the runs of all jobs together may take.",
    &[&RUNS_AT_ONCE, &MEMORY_MAX],
);

pub(crate) const RUNS_AT_ONCE: Defaulted<u32> = Defaulted::new(
    "runs_at_once",
    2,
    "How many runs go on at once, of different jobs; at least 1. Those of one job go one after the other.",
);

pub(crate) const MEMORY_MAX: Defaulted<Bytes> = Defaulted::new(
    "memory_max",
    Bytes(512 << 20),
    "Most memory that the queries of one run take; at least 16MiB. What does not fit is spilled to disk, into jobs-spill of the \
     data folder, or the run fails.",
);

pub(crate) const NAME: Required<String> = Required::new(
    "name",
    "The job's name, unique in the file: 1 to 128 bytes of letters, digits, '-', '_' and '.'. It stands in every result; \
     another name is another job.",
);

/// What is computed.
pub(crate) const KIND: Required<String> = Required::new(
    "kind",
    "What is computed, which decides which other keys there are.",
);

/// What makes a job run beside the clock: a word, or a table.
pub(crate) struct On;

/// The key.
pub(crate) const ON: On = On;

/// The words of [`ON`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnWord {
    WindowClosed,
    Manual,
}

const ON_MEANING: &str = "What makes the job run: \"window_closed\" runs it once for each window of a site that closes, \
    { alert = \"job\" } for each new warning of another job, { event = \"kind\" } for each new row of events of a kind, \
    \"manual\" only when a person asks for it. A job has on, schedule, or neither and then after.";

pub(crate) const ON_WORD: Choice<OnWord> = Choice::new(
    "on",
    &[
        ("window_closed", OnWord::WindowClosed),
        ("manual", OnWord::Manual),
    ],
    ON_MEANING,
);

pub(crate) const ON_TABLE: TableKeys = TableKeys::one("on", ON_MEANING, &[&ON_ALERT, &ON_EVENT]);

pub(crate) const ON_ALERT: Optional<String> = Optional::new(
    "alert",
    "The name of the job whose new warnings make this one run.",
);

pub(crate) const ON_EVENT: Optional<String> = Optional::new(
    "event",
    "The kind of the events that make the job run, as in the column kind of events.",
);

impl Describe for On {
    fn name(&self) -> &'static str {
        "on"
    }

    fn describe(&self) -> KeyInfo {
        let word = ON_WORD.describe();
        let table = ON_TABLE.describe();
        KeyInfo {
            shape: Shape::AnyOf(vec![word.shape, table.shape]),
            ..word
        }
    }
}

/// Which of the fires are run that came while nobody ran jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CatchUp {
    /// The latest time of a schedule; of windows the newest of each site, 168 at most.
    Latest,
    /// All.
    All,
    /// No time of a schedule that is a minute late; of windows the newest of each site.
    None,
}

pub(crate) const CATCH_UP: DefaultedChoice<CatchUp> = Choice::new(
    "catch_up",
    &[
        ("latest", CatchUp::Latest),
        ("all", CatchUp::All),
        ("none", CatchUp::None),
    ],
    "What is run of the times and windows that came while nobody ran jobs: latest runs the latest time of a schedule, and the \
     newest 168 windows of each site; all runs all; none runs no time that is more than a minute late, and the newest window of \
     each site. jobs backfill runs the others.",
)
.or_first();

pub(crate) const COMPLETENESS_MIN: Optional<f64> = Optional::new(
    "completeness_min",
    "Least completeness of a window that the job is run over, from 0 to 1; a window of unknown completeness has too little. It is \
     run over a window that has too little once late readings have made it complete enough. For on = \"window_closed\" only.",
)
.absent("every window");

pub(crate) const PRIORITY: Defaulted<i64> = Defaulted::new(
    "priority",
    0,
    "Which job goes first where more are ready than run at once: the one with the higher number.",
);

impl OnLate {
    /// As the configuration has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rerun => "rerun",
            Self::Ignore => "ignore",
        }
    }
}

impl CatchUp {
    /// As the configuration has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Latest => "latest",
            Self::All => "all",
            Self::None => "none",
        }
    }
}

/// When a job runs by the clock.
pub const SCHEDULE: Optional<String> = Optional::new(
    "schedule",
    "When the job runs by the clock, as the five fields of cron: minute, hour, day of the month, month, day of the week; a \
     second may stand before them. \"0 6 * * *\" is every day at 06:00.",
);

/// Where the clock of [`SCHEDULE`] hangs; kinds whose work follows the local day read it too.
pub const TIMEZONE: Defaulted<String> = Defaulted::new(
    "timezone",
    "UTC",
    "Time zone of schedule, such as \"Europe/Amsterdam\". It is for a job with a schedule only, or for a report, whose times it \
     also is.",
);

pub(crate) const AFTER: Defaulted<Vec<String>> = Defaulted::list(
    "after",
    &[],
    "Names of jobs that must have succeeded for the same occasion first. A job with neither on nor schedule runs when the first \
     of them does.",
);

pub(crate) const ON_LATE: DefaultedChoice<OnLate> = Choice::new(
    "on_late",
    &[("rerun", OnLate::Rerun), ("ignore", OnLate::Ignore)],
    "What happens when a window gets a new revision because readings came late: rerun runs the job again over the window, \
     ignore leaves its results as they are.",
)
.or_first();

pub(crate) const RETRIES: Defaulted<u32> = Defaulted::new(
    "retries",
    3,
    "How often a run that failed is tried again before it counts as failed.",
);

pub(crate) const TIMEOUT: Defaulted<Duration> = Defaulted::new(
    "timeout",
    Duration::from_secs(600),
    "How long one attempt may take before it is stopped and counts as failed; more than 0s.",
);

pub(crate) const HOLDS: Defaulted<Duration> = Defaulted::new(
    "holds",
    Duration::from_secs(30 * 86_400),
    "How far back before its window, or before it was due, a run may read: while one waits or is under way, retention deletes \
     no readings that are younger than that.",
);

pub(crate) const ENGINE: DefaultedChoice<()> = Choice::new(
    "engine",
    &[("embedded", ())],
    "Where the job runs: embedded is this process.",
)
.or_first();
