//! The keys of the kind, and what they must satisfy together.

use std::time::Duration;

use forebay_config::{Defaulted, Describe, Optional, Table, TableKeys};
use forebay_jobs::{Job, JobKind, LookBack, LookBackKeys, SeriesPattern};

use crate::check::Check;

/// The keys of the kind.
const QUALITY: TableKeys = TableKeys::many(
    "job",
    "Looks at the readings of each series: gaps, stuck values, spikes, values out of range, drift, clocks, units; and warns of devices and tags that have fallen silent.",
    &[
        &DEVICES,
        &TAGS,
        &CHECKS,
        &HISTORY,
        &SPAN,
        &GAP_AFTER,
        &STUCK_AFTER,
        &SPIKE_LIMIT,
        &RANGE,
        &DRIFT_LIMIT,
        &CLOCK_TOLERANCE,
        &SILENT_AFTER,
        &LIMIT,
        &SAMPLES_MAX,
        &REFRACTORY,
    ],
);

const DEVICES: Defaulted<Vec<String>> = Defaulted::list(
    "devices",
    &["*"],
    "The devices that are looked at, as patterns in which * stands for any text and ? for one character.",
);

const TAGS: Defaulted<Vec<String>> = Defaulted::list(
    "tags",
    &["*"],
    "The tags that are looked at, as patterns in which * stands for any text and ? for one character.",
);

const CHECKS: Defaulted<Vec<String>> = Defaulted::list(
    "checks",
    &[
        "gap",
        "stuck_value",
        "spike",
        "out_of_range",
        "drift",
        "clock_error",
        "unit_change",
        "silence",
    ],
    "What is looked for: gap, stuck_value, spike, out_of_range, drift, clock_error, unit_change, silence. out_of_range needs range.",
);

const HISTORY: Defaulted<Duration> = Defaulted::new(
    "history",
    Duration::from_secs(14 * 86_400),
    "How far back readings say what is usual for a series, and which series there are; at least 7d where drift is looked for.",
);

const SPAN: Defaulted<Duration> = Defaulted::new(
    "span",
    Duration::from_secs(3600),
    "How far back a run by the clock looks for faults; a run over a window looks at the window.",
);

const GAP_AFTER: Defaulted<Duration> = Defaulted::new(
    "gap_after",
    Duration::from_secs(15 * 60),
    "The shortest time without readings that is a gap. It must also be five times as long as is usual for the series.",
);

const STUCK_AFTER: Defaulted<Duration> = Defaulted::new(
    "stuck_after",
    Duration::from_secs(6 * 3600),
    "The shortest time for which a value stands still that is a fault. It must also be unlikely for a series that changes as often as this one.",
);

const SPIKE_LIMIT: Defaulted<f64> = Defaulted::new(
    "spike_limit",
    10.0,
    "How far one or two readings must stand out of their neighbours to be a spike; more than 1.",
)
.unit("times the usual step of the series");

const RANGE: Optional<Vec<f64>> = Optional::new(
    "range",
    "The lowest and the highest value that can be true, in the unit of the tags.",
)
.absent("values are not held against a range");

const DRIFT_LIMIT: Defaulted<f64> = Defaulted::new(
    "drift_limit",
    10.0,
    "How far a level must have crept in one direction over history to be a drift; more than 0.",
)
.unit("robust deviations of its daily levels");

const CLOCK_TOLERANCE: Defaulted<Duration> = Defaulted::new(
    "clock_tolerance",
    Duration::from_secs(5 * 60),
    "How far event times may be ahead of the gateway's clock, or constantly behind it.",
);

const SILENT_AFTER: Optional<Duration> = Optional::new(
    "silent_after",
    "After this long without a good reading a tag is silent; a device is when all its tags are.",
)
.absent("gap_after, or five times as long as is usual for the series if that is longer");

const LIMIT: Defaulted<f64> = Defaulted::new(
    "limit",
    0.1,
    "A device is anomalous when more than this share of a tag's window is missing or faulty; from 0 to 1.",
);

const SAMPLES_MAX: Defaulted<u32> = Defaulted::new(
    "samples_max",
    200_000,
    "About how many readings of a series are read, the newest: about 60 bytes of memory each. From 1000 to 16777216.",
);

const REFRACTORY: Defaulted<Duration> = Defaulted::new(
    "refractory",
    Duration::from_secs(86_400),
    "A silence that comes back within this time is the same alert.",
);

const LOOK_BACK: LookBackKeys = LookBackKeys {
    history: &HISTORY,
    span: &SPAN,
    samples_max: &SAMPLES_MAX,
    refractory: &REFRACTORY,
    samples_least: 1_000,
    samples_name: "readings",
};

/// The job's settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Quality {
    pub(crate) series: SeriesPattern,
    pub(crate) checks: Vec<Check>,
    pub(crate) look_back: LookBack,
    pub(crate) gap_after: Duration,
    pub(crate) stuck_after: Duration,
    pub(crate) spike_limit: f64,
    pub(crate) range: Option<[f64; 2]>,
    pub(crate) drift_limit: f64,
    pub(crate) clock_tolerance: Duration,
    pub(crate) silent_after: Option<Duration>,
    pub(crate) limit: f64,
}

/// `kind = "quality"`.
#[derive(Debug, Clone, Copy, Default)]
pub struct QualityKind;

impl JobKind for QualityKind {
    fn name(&self) -> &'static str {
        "quality"
    }

    fn keys(&self) -> &'static TableKeys {
        &QUALITY
    }

    fn configure(&self, table: &mut Table<'_>) -> Option<Box<dyn Job>> {
        let checks = table.read(&CHECKS);
        let unknown: Vec<&String> = checks
            .iter()
            .filter(|name| Check::from_name(name).is_none())
            .collect();
        let range = table.read(&RANGE);
        let job = Quality {
            series: SeriesPattern {
                devices: table.read(&DEVICES),
                tags: table.read(&TAGS),
            },
            checks: checks
                .iter()
                .filter_map(|name| Check::from_name(name))
                .collect(),
            look_back: LookBack::read(table, &LOOK_BACK),
            gap_after: table.read(&GAP_AFTER),
            stuck_after: table.read(&STUCK_AFTER),
            spike_limit: table.read(&SPIKE_LIMIT),
            range: range.as_deref().and_then(as_range),
            drift_limit: table.read(&DRIFT_LIMIT),
            clock_tolerance: table.read(&CLOCK_TOLERANCE),
            silent_after: table.read(&SILENT_AFTER),
            limit: table.read(&LIMIT),
        };
        let mut problems = job.problems();
        if let Some(unknown) = unknown.first() {
            let known: Vec<&str> = Check::ALL.map(Check::name).to_vec();
            problems.push((
                &CHECKS,
                format!("{unknown:?} is no check: {}", known.join(", ")),
            ));
        }
        if range.is_some() && job.range.is_none() {
            problems.push((&RANGE, "two numbers, the lower first, are expected".into()));
        }
        for (key, message) in &problems {
            table.problem(*key, message);
        }
        problems.is_empty().then(|| Box::new(job) as Box<dyn Job>)
    }
}

fn as_range(ends: &[f64]) -> Option<[f64; 2]> {
    let [low, high] = *ends else {
        return None;
    };
    (low < high).then_some([low, high])
}

impl Quality {
    /// What is wrong with the settings together.
    fn problems(&self) -> Vec<(&'static dyn Describe, String)> {
        let LookBack { history, span, .. } = self.look_back;
        let mut problems = self.look_back.problems(&LOOK_BACK);
        let mut check = |is_fit: bool, key: &'static dyn Describe, message: &str| {
            if !is_fit {
                problems.push((key, message.to_owned()));
            }
        };
        check(
            !self.series.devices.is_empty(),
            &DEVICES,
            "no device fits an empty list: leave the key out for all",
        );
        check(
            !self.series.tags.is_empty(),
            &TAGS,
            "no tag fits an empty list: leave the key out for all",
        );
        check(
            !self.checks.is_empty(),
            &CHECKS,
            "an empty list checks nothing",
        );
        let week = Duration::from_secs(7 * 86_400);
        check(
            history >= week || !self.checks.contains(&Check::Drift),
            &HISTORY,
            "at least \"7d\" where drift is looked for",
        );
        check(history >= span, &SPAN, "at most history is expected");
        check(
            !self.gap_after.is_zero(),
            &GAP_AFTER,
            "more than 0 is expected",
        );
        check(
            self.spike_limit > 1.0,
            &SPIKE_LIMIT,
            "more than 1 is expected",
        );
        check(
            self.drift_limit > 0.0,
            &DRIFT_LIMIT,
            "more than 0 is expected",
        );
        check(
            (0.0..=1.0).contains(&self.limit),
            &LIMIT,
            "a share from 0 to 1 is expected",
        );
        problems
    }
}
