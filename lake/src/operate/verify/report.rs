//! What is found: faults, one by one, and the report that counts them.

use std::{collections::BTreeSet, fmt};

use super::LedgerLine;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A file that the table names is not in the store.
    FileMissing {
        /// Its path.
        path: String,
    },
    /// A file is not the one that was committed, or does not open.
    FileDamaged {
        /// Its path.
        path: String,
        /// What gives it away.
        why: String,
    },
    /// Readings that are there more than once.
    Doubled {
        /// Gateway, lane and epoch.
        epoch: (String, u32, u64),
        /// The first such seq.
        first: u64,
        /// How many readings too many.
        count: u64,
    },
    /// Readings that were taken and are not there.
    Missing {
        /// Gateway, lane and epoch.
        epoch: (String, u32, u64),
        /// The first such seq.
        first: u64,
        /// How many.
        count: u64,
    },
    /// A stream's state object is missing or damaged: nothing proves what was taken of it, or written beside it.
    State {
        /// What is wrong, with its path.
        why: String,
    },
    /// A state says that seqs stand in `gaps` or `quarantine`, and no row there names them.
    RowsMissing {
        /// The table.
        table: &'static str,
        /// Gateway, lane and epoch.
        epoch: (String, u32, u64),
        /// How many rows.
        count: u64,
    },
    /// Windows that have a revision more than once.
    WindowsDoubled {
        /// The site.
        site: String,
        /// When the first of them begins, µs since 1970 UTC.
        first: i64,
        /// How many windows.
        count: u64,
    },
    /// Windows of which a revision is not there although a later one is.
    WindowsMissing {
        /// The site.
        site: String,
        /// When the first of them begins, µs since 1970 UTC.
        first: i64,
        /// How many windows.
        count: u64,
    },
    /// Readings of epochs that are done and forgotten are not there.
    MissingBefore {
        /// Gateway, lane and the last of these epochs.
        epoch: (String, u32, u64),
        /// How many.
        count: u64,
    },
    /// Readings that a gateway received and that are nowhere: its ledger covers them.
    ReceivedMissing {
        /// Gateway, lane and epoch.
        epoch: (String, u32, u64),
        /// The first such seq.
        first: u64,
        /// How many.
        count: u64,
    },
    /// A device's readings are fewer than its gateway received.
    FewerThanReceived {
        /// Gateway and lane.
        lane: (String, u32),
        /// The device.
        device: String,
        /// When the first stretch of event time begins of which some are missing.
        since: String,
        /// How many are missing in all.
        count: u64,
    },
    /// A device's readings are more than its gateway received.
    MoreThanReceived {
        /// Gateway and lane.
        lane: (String, u32),
        /// The device.
        device: String,
        /// When the first stretch of event time begins that has too many.
        since: String,
        /// How many too many in all.
        count: u64,
    },
    /// Further devices whose readings are not those that were received.
    MoreDevices {
        /// Gateway and lane.
        lane: (String, u32),
        /// How many.
        devices: u64,
    },
    /// Roll-ups of a site are of more or fewer readings than `readings` has.
    RollupDiffers {
        /// The roll-up's table.
        table: &'static str,
        /// The site.
        site: String,
        /// The first such UTC day, as a date.
        day: String,
        /// How many readings it has for that day.
        found: u64,
        /// How many it should have.
        expected: u64,
        /// How many such days.
        days: u64,
    },
    /// Readings that no state says were taken.
    Unaccounted {
        /// Gateway, lane and epoch.
        epoch: (String, u32, u64),
        /// How many.
        count: u64,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FileMissing { path } => write!(f, "file {path} is missing"),
            Self::FileDamaged { path, why } => write!(f, "file {path}: {why}"),
            Self::State { why } => f.write_str(why),
            Self::RowsMissing {
                table,
                epoch: (gateway, lane, epoch),
                count,
            } => {
                write!(
                    f,
                    "{gateway}/{lane}/{epoch}: {count} rows are missing in table {table}"
                )
            }
            Self::WindowsDoubled { site, first, count } => {
                write!(
                    f,
                    "site {site}: {count} windows have a row more than once, the first begins at {first} µs"
                )
            }
            Self::WindowsMissing { site, first, count } => {
                write!(
                    f,
                    "site {site}: {count} windows lack an earlier row, the first begins at {first} µs"
                )
            }
            Self::Doubled {
                epoch: (gateway, lane, epoch),
                first,
                count,
            } => {
                write!(
                    f,
                    "{gateway}/{lane}/{epoch}: {count} readings are there more than once, the first is seq {first}"
                )
            }
            Self::Missing {
                epoch: (gateway, lane, epoch),
                first,
                count,
            } => {
                write!(
                    f,
                    "{gateway}/{lane}/{epoch}: {count} readings are missing, the first is seq {first}"
                )
            }
            Self::MissingBefore {
                epoch: (gateway, lane, epoch),
                count,
            } => {
                write!(
                    f,
                    "{gateway}/{lane}, epochs up to {epoch}: {count} readings are missing"
                )
            }
            Self::ReceivedMissing {
                epoch: (gateway, lane, epoch),
                first,
                count,
            } => {
                write!(
                    f,
                    "{gateway}/{lane}/{epoch}: {count} readings were received and are nowhere to be found, the first is seq {first}"
                )
            }
            Self::FewerThanReceived {
                lane: (gateway, lane),
                device,
                since,
                count,
            } => {
                write!(
                    f,
                    "{gateway}/{lane}, device {device}: {count} readings fewer than were received, from {since} on"
                )
            }
            Self::MoreThanReceived {
                lane: (gateway, lane),
                device,
                since,
                count,
            } => {
                write!(
                    f,
                    "{gateway}/{lane}, device {device}: {count} readings more than were received, from {since} on"
                )
            }
            Self::MoreDevices {
                lane: (gateway, lane),
                devices,
            } => {
                write!(
                    f,
                    "{gateway}/{lane}: {devices} further devices differ from what was received"
                )
            }
            Self::RollupDiffers {
                table,
                site,
                day,
                found,
                expected,
                days,
            } => {
                write!(
                    f,
                    "site {site}: table {table} is wrong for {days} days, the first is {day}: it is of {found} readings \
                     instead of {expected}"
                )
            }
            Self::Unaccounted {
                epoch: (gateway, lane, epoch),
                count,
            } => {
                write!(
                    f,
                    "{gateway}/{lane}/{epoch}: {count} readings are accounted for by no state"
                )
            }
        }
    }
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Readings in files that opened.
    pub readings: u64,
    /// Files that the table names.
    pub files: u64,
    /// Gaps that are known, open and final.
    pub gaps: u64,
    /// Readings too many.
    pub doubled: u64,
    /// Readings that were taken and are not there.
    pub missing: u64,
    /// Readings that retention has deleted.
    pub expired: u64,
    /// What became of what gateways received, by lane.
    pub ledgers: Vec<LedgerLine>,
    /// Everything that is wrong, in order.
    pub faults: BTreeSet<Fault>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.faults.is_empty() {
            "ok"
        } else {
            "FAULT"
        };
        let Self {
            readings,
            files,
            gaps,
            doubled,
            missing,
            expired: _,
            ledgers: _,
            faults: _,
        } = self;
        write!(
            f,
            "{verdict} readings={readings} files={files} gaps={gaps} doubled={doubled} missing={missing}"
        )
    }
}
