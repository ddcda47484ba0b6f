//! The keys of `[[job]]` that all kinds share.

use std::time::Duration;

use forebay_config::{Choice, Defaulted, DefaultedChoice, Optional, Required, TableKeys};

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
        &NAME, &KIND, &ON, &SCHEDULE, &TIMEZONE, &AFTER, &ON_LATE, &RETRIES, &TIMEOUT, &ENGINE,
    ],
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

pub(crate) const ON: Choice<()> = Choice::new(
    "on",
    &[("window_closed", ())],
    "The event that makes the job run: window_closed runs it once for each window of a site that closes. A job has on, \
     schedule, or neither and then after.",
);

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
    "Time zone of schedule, such as \"Europe/Amsterdam\". It is for a job with a schedule only.",
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

pub(crate) const ENGINE: DefaultedChoice<()> = Choice::new(
    "engine",
    &[("embedded", ())],
    "Where the job runs: embedded is this process.",
)
.or_first();
