//! What is looked for in one series, and what was found.

use forebay_jobs::Severity;
use forebay_signals::quality::{
    ClockError, Observation, Stretch, clock_error, drift, gaps, out_of_range, spikes, stuck_values,
    usual_interval_micros,
};

use crate::settings::Quality;

/// A gap is this many times as long as is usual.
const USUAL_INTERVALS: f64 = 5.0;

const DAY_MICROS: i64 = 86_400_000_000;

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    Gap,
    StuckValue,
    Spike,
    OutOfRange,
    Drift,
    ClockError,
    UnitChange,
    Silence,
}

impl Check {
    pub(crate) const ALL: [Self; 8] = [
        Self::Gap,
        Self::StuckValue,
        Self::Spike,
        Self::OutOfRange,
        Self::Drift,
        Self::ClockError,
        Self::UnitChange,
        Self::Silence,
    ];

    /// As the configuration and `events.kind` have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::StuckValue => "stuck_value",
            Self::Spike => "spike",
            Self::OutOfRange => "out_of_range",
            Self::Drift => "drift",
            Self::ClockError => "clock_error",
            Self::UnitChange => "unit_change",
            Self::Silence => "silence",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|check| check.name() == name)
    }
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Finding {
    pub(crate) check: Check,
    pub(crate) from_micros: i64,
    /// `None` while it goes on.
    pub(crate) to_micros: Option<i64>,
    pub(crate) value: Option<f64>,
    pub(crate) severity: Severity,
    /// In plain words, without the series' name.
    pub(crate) text: String,
}

/// A series as a run sees it: readings before the end of the window, in the order of their event times.
pub(crate) struct Seen<'a> {
    /// The good ones that are numbers.
    pub(crate) good: &'a [Observation],
    /// The event times of all good ones, of whatever type, in microseconds since 1970.
    pub(crate) heard: &'a [i64],
    /// How many readings of the window were bad.
    pub(crate) bad: usize,
    /// The window, in microseconds since 1970.
    pub(crate) window: [i64; 2],
    /// Medians of each day, oldest first.
    pub(crate) daily_levels: &'a [f64],
    /// Units in the order of their first readings, each with that instant.
    pub(crate) units: &'a [(Option<String>, i64)],
    /// Where history begins, in microseconds since 1970, rounded down to its own length: a drift's name.
    pub(crate) drift_from: i64,
}

/// What is to be said of a series.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Report {
    pub(crate) findings: Vec<Finding>,
    /// The share of the window that is not within a gap.
    pub(crate) completeness: f64,
    /// The share of the window's good readings that are stuck, spikes or out of range.
    pub(crate) faulty: f64,
    pub(crate) readings: usize,
    pub(crate) bad: usize,
    /// For how long there has been no good reading, in seconds, if that makes the series silent; from the window's start where none
    /// is known.
    pub(crate) silent_seconds: Option<f64>,
    /// The newest good reading that is known, in microseconds since 1970.
    pub(crate) last_good_micros: Option<i64>,
}

impl Report {
    /// The share of the window that cannot be used.
    pub(crate) fn score(&self) -> f64 {
        1.0 - self.completeness * (1.0 - self.faulty)
    }
}

pub(crate) fn report(settings: &Quality, seen: &Seen<'_>) -> Report {
    let [from, to] = seen.window;
    let usual = USUAL_INTERVALS * usual_interval_micros(seen.heard).unwrap_or(0.0);
    let longest = usual.max(micros(settings.gap_after));
    let gaps = gaps(seen.heard, from, to, longest);
    // What ended in the window before is said again, so that its event gets its end.
    let is_recent = |of: &Stretch| of.to_micros >= from - (to - from);
    let inside = seen
        .good
        .partition_point(|reading| reading.event_micros < from);
    let readings = seen.heard.len() - seen.heard.partition_point(|at| *at < from);
    let mut findings = Vec::new();
    let mut faulty = 0.0;
    for (check, found) in values(settings, seen.good) {
        for stretch in found.iter().filter(|of| is_recent(of)) {
            faulty += share_inside(seen.good, stretch, from) / readings.max(1) as f64;
            findings.push(finding(check, stretch, seen.good));
        }
    }
    let is_wanted = |check: Check| settings.checks.contains(&check);
    if is_wanted(Check::Gap) {
        let count = gaps.stretches.len();
        let closed = gaps.stretches.iter().enumerate().map(|(i, gap)| {
            let goes_on = gaps.goes_on && i + 1 == count;
            gap_finding(gap, goes_on)
        });
        findings.extend(closed);
    }
    findings.extend(whole(settings, seen, inside));
    let silence = settings.silent_after.map_or(longest, micros);
    let last_good_micros = seen.heard.last().copied();
    let quiet = (to - last_good_micros.unwrap_or(from)) as f64;
    Report {
        findings,
        completeness: gaps.completeness,
        faulty: faulty.min(1.0),
        readings,
        bad: seen.bad,
        silent_seconds: (is_wanted(Check::Silence) && quiet > silence).then_some(quiet / 1e6),
        last_good_micros,
    }
}

/// The checks of values, each with what it found.
fn values(settings: &Quality, good: &[Observation]) -> Vec<(Check, Vec<Stretch>)> {
    let is_wanted = |check: &Check| settings.checks.contains(check);
    let of = |check: Check| {
        let found = match check {
            Check::StuckValue => stuck_values(good, micros(settings.stuck_after) as i64),
            Check::Spike => spikes(good, settings.spike_limit),
            Check::OutOfRange => settings
                .range
                .map(|[low, high]| out_of_range(good, low, high))
                .unwrap_or_default(),
            _ => Vec::new(),
        };
        (check, found)
    };
    [Check::StuckValue, Check::Spike, Check::OutOfRange]
        .into_iter()
        .filter(is_wanted)
        .map(of)
        .collect()
}

/// The checks of a series as a whole; `inside` is the first reading of the window.
fn whole(settings: &Quality, seen: &Seen<'_>, inside: usize) -> Vec<Finding> {
    let mut findings = Vec::new();
    for check in &settings.checks {
        match check {
            Check::Drift => findings.extend(drift_finding(settings, seen)),
            Check::ClockError => findings.extend(clock_finding(settings, &seen.good[inside..])),
            Check::UnitChange => findings.extend(unit_findings(seen)),
            _ => {}
        }
    }
    findings
}

fn micros(duration: std::time::Duration) -> f64 {
    duration.as_micros() as f64
}

/// How many readings of a stretch lie in the window.
fn share_inside(good: &[Observation], stretch: &Stretch, from: i64) -> f64 {
    let at = |micros: i64| good.partition_point(|reading| reading.event_micros < micros);
    let first = at(stretch.from_micros.max(from));
    // A stretch that ended before the window has none.
    at(stretch.to_micros + 1).saturating_sub(first) as f64
}

fn finding(check: Check, of: &Stretch, good: &[Observation]) -> Finding {
    // What still holds at the last reading goes on.
    let last = good.last().map(|reading| reading.event_micros);
    let goes_on = check != Check::Spike && last == Some(of.to_micros);
    let text = match check {
        Check::StuckValue => format!("has stood at {} for {} readings", of.value, of.readings),
        Check::Spike => format!(
            "{} readings stand {:.3} away from their neighbours",
            of.readings, of.value
        ),
        _ => format!(
            "{} readings out of range, the furthest {}",
            of.readings, of.value
        ),
    };
    Finding {
        check,
        from_micros: of.from_micros,
        to_micros: (!goes_on).then_some(of.to_micros),
        value: Some(of.value),
        severity: match check {
            Check::Spike => Severity::Info,
            _ => Severity::Warning,
        },
        text,
    }
}

/// Of a gap that goes on at the end of the window the silence is warned of; it is an event all the same.
fn gap_finding(gap: &Stretch, goes_on: bool) -> Finding {
    Finding {
        check: Check::Gap,
        from_micros: gap.from_micros,
        to_micros: (!goes_on).then_some(gap.to_micros),
        value: Some(gap.value),
        severity: Severity::Info,
        text: format!("no good reading for {:.0} s", gap.value),
    }
}

fn drift_finding(settings: &Quality, seen: &Seen<'_>) -> Option<Finding> {
    let found = drift(seen.daily_levels, settings.drift_limit)?;
    Some(Finding {
        check: Check::Drift,
        from_micros: seen.drift_from,
        to_micros: Some(seen.window[1]),
        value: Some(found.change),
        severity: Severity::Info,
        text: format!(
            "the level has crept by {:.3} in {} days",
            found.change,
            seen.daily_levels.len()
        ),
    })
}

fn clock_finding(settings: &Quality, inside: &[Observation]) -> Option<Finding> {
    let tolerance = micros(settings.clock_tolerance) as i64;
    let (seconds, text) = match clock_error(inside, tolerance)? {
        ClockError::Ahead(seconds) => (
            seconds,
            format!("event times are up to {seconds:.0} s ahead of the gateway's clock"),
        ),
        ClockError::Behind(seconds) => (
            -seconds,
            format!("event times are always {seconds:.0} s behind the gateway's clock"),
        ),
    };
    Some(Finding {
        check: Check::ClockError,
        // One event for each day.
        from_micros: inside.first()?.event_micros.div_euclid(DAY_MICROS) * DAY_MICROS,
        to_micros: Some(inside.last()?.event_micros),
        value: Some(seconds),
        severity: Severity::Warning,
        text,
    })
}

/// Units that began in the window, after others.
fn unit_findings(seen: &Seen<'_>) -> Vec<Finding> {
    let name = |unit: &Option<String>| unit.clone().unwrap_or_else(|| "no unit".to_owned());
    let changes = seen.units.windows(2).filter(|pair| {
        let began = pair[1].1;
        (seen.window[0]..seen.window[1]).contains(&began)
    });
    changes
        .map(|pair| Finding {
            check: Check::UnitChange,
            from_micros: pair[1].1,
            to_micros: Some(pair[1].1),
            value: None,
            severity: Severity::Warning,
            text: format!(
                "the unit has changed from {} to {}",
                name(&pair[0].0),
                name(&pair[1].0)
            ),
        })
        .collect()
}
