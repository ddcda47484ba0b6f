//! What may grow, and by how much.
//!
//! The first quarter of a run is for warming up. Then a series is flat when its figure in the last quarter is at most a
//! share and a little above its figure in the second. A level's figure is its median. What grows with the data by
//! nature is judged by what it comes to for each reading, or for each run of a job, and work by its rate. A series that
//! takes longer to come round than the first quarter lasts is not judged: see [`Settles`].

#[cfg(test)]
mod tests;

use std::{fmt, time::Duration};

use super::{load::Load, sample::Sample, site::Rhythm};

const MIB: f64 = 1024.0 * 1024.0;
const HOUR_SECONDS: f64 = 3600.0;
/// How often the gateway looks after its files.
const HOUSEKEEPING: Duration = Duration::from_secs(60);
/// Windows until jobs and merges have had all that they take.
const WINDOWS: u32 = 8;

/// Above any burst of the pool for work that blocks, whose idle threads end at once (`cli/src/main.rs`); below that pool when
/// it is full (64).
const THREADS_MAX: f64 = 32.0;

/// What is judged.
enum Measure {
    /// The number itself.
    Level(fn(&Sample) -> f64),
    /// How much a count rises in a minute.
    Rate(fn(&Sample) -> f64),
    /// How much a count rises for each reading that is committed.
    Cost(fn(&Sample) -> f64),
}

/// When a series has seen everything that comes round.
#[derive(Clone, Copy)]
enum Settles {
    /// Windows have closed, jobs have run.
    WithWindows,
    /// What was needless at the beginning is deleted.
    WithRetention,
}

impl Settles {
    fn after(self, rhythm: &Rhythm) -> Duration {
        match self {
            Self::WithWindows => rhythm.window * WINDOWS,
            // A log holds up to two retentions.
            Self::WithRetention => rhythm.retention * 2 + HOUSEKEEPING * 2,
        }
    }
}

struct Series {
    name: &'static str,
    measure: Measure,
    settles: Settles,
    /// The figure may rise by this share of itself,
    share: f64,
    /// and by this;
    more: f64,
    /// but to no more than this in any case.
    most: f64,
    /// One of its units for display: MiB for bytes.
    unit: (&'static str, f64),
}

const fn level(
    name: &'static str,
    read: fn(&Sample) -> f64,
    settles: Settles,
    share: f64,
    more: f64,
) -> Series {
    Series {
        name,
        measure: Measure::Level(read),
        settles,
        share,
        more,
        most: f64::INFINITY,
        unit: ("", 1.0),
    }
}

const fn bytes(
    name: &'static str,
    read: fn(&Sample) -> f64,
    settles: Settles,
    share: f64,
    mebibytes: f64,
) -> Series {
    Series {
        unit: ("MiB", MIB),
        ..level(name, read, settles, share, mebibytes * MIB)
    }
}

const fn rate(name: &'static str, read: fn(&Sample) -> f64, share: f64, more: f64) -> Series {
    Series {
        measure: Measure::Rate(read),
        unit: ("/min", 1.0),
        ..level(name, read, Settles::WithWindows, share, more)
    }
}

/// Little is allowed to memory: what a commit leaves behind is small, and a gateway makes thousands a day. A checkpoint's
/// hundred entries, and the small files of a minute or two, come and go in every table.
const ALL: &[Series] = &[
    bytes(
        "resident memory",
        |s| s.resident_bytes,
        Settles::WithWindows,
        0.08,
        8.0,
    ),
    bytes(
        "peak of memory",
        |s| s.peak_bytes,
        Settles::WithWindows,
        0.15,
        16.0,
    ),
    Series {
        most: THREADS_MAX,
        ..level("threads", |s| s.threads, Settles::WithWindows, 0.0, 12.0)
    },
    level(
        "open files",
        |s| s.open_files,
        Settles::WithWindows,
        0.1,
        8.0,
    ),
    level(
        "spool: files",
        |s| s.spool.count,
        Settles::WithWindows,
        0.2,
        4.0,
    ),
    bytes(
        "spool: bytes",
        |s| s.spool.bytes,
        Settles::WithWindows,
        0.2,
        0.5,
    ),
    level(
        "Delta logs: files",
        |s| s.log.count,
        Settles::WithRetention,
        0.2,
        200.0,
    ),
    bytes(
        "Delta logs: bytes",
        |s| s.log.bytes,
        Settles::WithRetention,
        0.2,
        1.0,
    ),
    level(
        "data: files on disk",
        |s| s.data.count,
        Settles::WithRetention,
        0.2,
        100.0,
    ),
    level(
        "data: active files",
        |s| s.active.count,
        Settles::WithRetention,
        0.2,
        60.0,
    ),
    bytes(
        "data: needless bytes",
        |s| s.data.bytes - s.active.bytes,
        Settles::WithRetention,
        1.0,
        8.0,
    ),
    level(
        "states: files",
        |s| s.states.count,
        Settles::WithRetention,
        0.2,
        100.0,
    ),
    level(
        "other files",
        |s| s.other.count,
        Settles::WithWindows,
        0.1,
        10.0,
    ),
    level(
        "bytes a reading",
        |s| s.active_readings.bytes / s.committed.max(1.0),
        Settles::WithRetention,
        0.2,
        2.0,
    ),
    level(
        "bytes a job run",
        |s| s.runs.bytes / s.job_runs.max(1.0),
        Settles::WithRetention,
        0.2,
        500.0,
    ),
    level(
        "lines on the metrics page",
        |s| s.page_lines,
        Settles::WithWindows,
        0.0,
        8.0,
    ),
    rate("lines of its own log", |s| s.log_lines, 0.5, 5.0),
];

/// Told, and not judged: what a machine with other work on it makes of them is no fault of ours.
const TOLD: &[Series] = &[
    rate("readings committed", |s| s.committed, 0.0, 0.0),
    rate("commits to all tables", |s| s.entries_ever, 0.0, 0.0),
    rate("job runs", |s| s.job_runs, 0.0, 0.0),
    rate("seconds of processor", |s| s.cpu_seconds, 0.0, 0.0),
];

/// What a reading costs: judged where the load is steady enough, and told elsewhere.
const COST: Series = Series {
    measure: Measure::Cost(|s| s.cpu_seconds),
    unit: ("µs", 1e-6),
    ..level(
        "processor a reading",
        |_| 0.0,
        Settles::WithWindows,
        0.1,
        0.0,
    )
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Flat,
    Grows,
    TooShort(Duration),
    Told,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flat => f.write_str("flat"),
            Self::Grows => f.write_str("GROWS"),
            Self::TooShort(needed) => write!(f, "needs --for {}m", needed.as_secs().div_ceil(60)),
            Self::Told => f.write_str("-"),
        }
    }
}

struct Row {
    name: &'static str,
    unit: (&'static str, f64),
    second: f64,
    last: f64,
    an_hour: f64,
    bound: f64,
    verdict: Verdict,
}

/// Every series and its verdict.
pub(super) struct Table(Vec<Row>);

impl Table {
    pub(super) fn is_flat(&self) -> bool {
        self.0.iter().all(|row| row.verdict != Verdict::Grows)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<26} {:>5} {:>12} {:>12} {:>12} {:>12}  verdict",
            "series", "unit", "2nd quarter", "last quarter", "an hour", "at most"
        )?;
        for Row {
            name,
            unit: (unit, one),
            second,
            last,
            an_hour,
            bound,
            verdict,
        } in &self.0
        {
            let [second, last, an_hour] =
                [second, last, an_hour].map(|figure| format!("{:.1}", figure / one));
            let bound = if *verdict == Verdict::Told {
                String::new()
            } else {
                format!("{:.1}", bound / one)
            };
            writeln!(
                f,
                "{name:<26} {unit:>5} {second:>12} {last:>12} {an_hour:>12} {bound:>12}  {verdict}"
            )?;
        }
        Ok(())
    }
}

/// Judges a run by what was seen in it.
pub(super) fn judge(samples: &[Sample], rhythm: &Rhythm, load: Load) -> Table {
    let length = samples.last().map_or(Duration::ZERO, |sample| sample.at);
    let row = |series: &Series| {
        let quarter = |n: u32| {
            let (from, to) = (length * n / 4, length * (n + 1) / 4);
            let within: Vec<&Sample> = samples
                .iter()
                .filter(|s| s.at > from && s.at <= to)
                .collect();
            figure(&series.measure, &within)
        };
        let (second, last) = (quarter(1), quarter(3));
        let bound = (second * (1.0 + series.share) + series.more).min(series.most);
        let settled = series.settles.after(rhythm);
        let verdict = match () {
            () if settled > length / 4 => Verdict::TooShort(settled * 4),
            () if last <= bound => Verdict::Flat,
            () => Verdict::Grows,
        };
        let warm: Vec<&Sample> = samples
            .iter()
            .filter(|sample| sample.at > length / 4)
            .collect();
        let an_hour = match series.measure {
            Measure::Level(read) => slope(&warm, read) * HOUR_SECONDS,
            Measure::Rate(_) | Measure::Cost(_) => {
                (last - second) / (length.as_secs_f64() / 2.0).max(1.0) * HOUR_SECONDS
            }
        };
        Row {
            name: series.name,
            unit: series.unit,
            second,
            last,
            an_hour,
            bound,
            verdict,
        }
    };
    let told = |series: &Series| Row {
        verdict: Verdict::Told,
        ..row(series)
    };
    let cost = match load {
        Load::Plant => told(&COST),
        Load::Day => row(&COST),
    };
    Table(
        ALL.iter()
            .map(row)
            .chain(TOLD.iter().map(told))
            .chain([cost])
            .collect(),
    )
}

fn figure(measure: &Measure, samples: &[&Sample]) -> f64 {
    match measure {
        Measure::Level(read) => median(samples.iter().map(|sample| read(sample)).collect()),
        Measure::Rate(read) => match (samples.first(), samples.last()) {
            (Some(first), Some(last)) if last.at > first.at => {
                (read(last) - read(first)) / (last.at - first.at).as_secs_f64() * 60.0
            }
            _ => 0.0,
        },
        Measure::Cost(read) => match (samples.first(), samples.last()) {
            (Some(first), Some(last)) if last.committed > first.committed => {
                (read(last) - read(first)) / (last.committed - first.committed)
            }
            _ => 0.0,
        },
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match (
        values.get(values.len().saturating_sub(1) / 2),
        values.get(values.len() / 2),
    ) {
        (Some(low), Some(high)) => f64::midpoint(*low, *high),
        _ => 0.0,
    }
}

/// By least squares, a second.
fn slope(samples: &[&Sample], read: fn(&Sample) -> f64) -> f64 {
    let count = samples.len().max(1) as f64;
    let mean =
        |of: &dyn Fn(&Sample) -> f64| samples.iter().map(|sample| of(sample)).sum::<f64>() / count;
    let time = |sample: &Sample| sample.at.as_secs_f64();
    let (mean_time, mean_value) = (mean(&time), mean(&read));
    let across = mean(&|sample| (time(sample) - mean_time) * (read(sample) - mean_value));
    let along = mean(&|sample| (time(sample) - mean_time).powi(2));
    if along == 0.0 { 0.0 } else { across / along }
}
