//! What makes a job run.

use std::fmt;

use forebay_config::Table;

use crate::{
    JobKind, JobName, Schedule, ScheduleError,
    keys::{self, OnWord},
};

/// What makes a job run.
#[derive(Debug, Clone)]
pub enum Trigger {
    /// The clock.
    Cron(Box<Schedule>),
    /// A window of readings is complete.
    WindowClosed,
    /// Another job warns of something new.
    Alert(JobName),
    /// Something of this kind happened.
    Event(String),
    /// A person.
    Manual,
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cron(schedule) => schedule.fmt(f),
            Self::WindowClosed => f.write_str("window_closed"),
            Self::Alert(job) => write!(f, "alert of {job}"),
            Self::Event(kind) => write!(f, "event {kind}"),
            Self::Manual => f.write_str("manual"),
        }
    }
}

/// What a `[[job]]` says of its trigger.
pub(crate) enum Configured {
    Own(Trigger),
    /// It fires with the first of those that it waits for.
    Inherited,
}

impl Trigger {
    /// Reads `schedule`, `timezone` and `on`; notes what is wrong, and answers `None` then.
    pub(crate) fn read(table: &mut Table<'_>, kind: Option<&dyn JobKind>) -> Option<Configured> {
        let by_clock = table.has(&keys::SCHEDULE);
        let on_event = table.has(&keys::ON);
        let is_zoned = table.has(&keys::TIMEZONE);
        let zone = table.read(&keys::TIMEZONE);
        match (by_clock, on_event) {
            (true, true) => {
                table.problem(&keys::ON, "a job has a schedule or an event, not both");
                None
            }
            (true, false) => {
                let text = table.read(&keys::SCHEDULE)?;
                let parsed = Schedule::parse(&text, &zone).map_err(|error| match error {
                    ScheduleError::Zone { .. } => table.problem(&keys::TIMEZONE, error.to_string()),
                    _ => table.problem(&keys::SCHEDULE, error.to_string()),
                });
                let schedule = parsed.ok()?;
                Some(Configured::Own(Self::Cron(Box::new(schedule))))
            }
            // A kind may show or cut its results by a zone's clock, whatever makes it run.
            (false, _) if is_zoned && !kind.is_some_and(|k| k.keys().lists(&keys::TIMEZONE)) => {
                table.problem(&keys::TIMEZONE, "only a schedule has a time zone");
                None
            }
            (false, true) => Self::on(table).map(Configured::Own),
            (false, false) if table.has(&keys::AFTER) => Some(Configured::Inherited),
            (false, false) => {
                table.problem(
                    &keys::SCHEDULE,
                    "a job needs schedule = \"0 6 * * *\", on = \"window_closed\" or after = [\"…\"]",
                );
                None
            }
        }
    }

    fn on(table: &mut Table<'_>) -> Option<Self> {
        if !table.is_table(&keys::ON) {
            return table.read(&keys::ON_WORD).map(|word| match word {
                OnWord::WindowClosed => Self::WindowClosed,
                OnWord::Manual => Self::Manual,
            });
        }
        let mut on = table.table(&keys::ON_TABLE)?;
        let alert = on.read(&keys::ON_ALERT);
        let event = on.read(&keys::ON_EVENT);
        let trigger = match (alert, event) {
            (Some(job), None) => match JobName::new(&job) {
                Ok(job) => Some(Self::Alert(job)),
                Err(message) => {
                    on.problem(&keys::ON_ALERT, message);
                    None
                }
            },
            (None, Some(kind)) => Some(Self::Event(kind)),
            _ if on.has(&keys::ON_ALERT) != on.has(&keys::ON_EVENT) => None,
            _ => {
                table.problem(
                    &keys::ON,
                    "on = { alert = \"a job\" } or on = { event = \"a kind\" } is expected",
                );
                None
            }
        };
        on.finish();
        trigger
    }
}
