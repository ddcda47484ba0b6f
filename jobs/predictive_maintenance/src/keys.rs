//! The keys of the kind.

use std::time::Duration;

use forebay_config::{Choice, Defaulted, DefaultedChoice, TableKeys};

use crate::{change::Spread, train::Train};

/// The keys of the kind.
pub(crate) const PREDICTIVE_MAINTENANCE: TableKeys = TableKeys::many(
    "job",
    "Scores devices by how far their signals have left what they were before or in training, and warns beyond a limit.",
    &[
        &DEVICES,
        &TAGS,
        &SHORT,
        &BASELINE,
        &LIMIT,
        &REFRACTORY,
        &POINTS_MIN,
        &SCALE_FLOOR,
        &SPREAD,
        &RESOLVE_AFTER,
        &METHOD,
        &TRAIN,
        &SMOOTHING,
        &CARRY,
    ],
);

pub(crate) const DEVICES: Defaulted<Vec<String>> = Defaulted::list(
    "devices",
    &["*"],
    "The devices that are judged, as patterns in which * stands for any text and ? for one character.",
);

pub(crate) const TAGS: Defaulted<Vec<String>> = Defaulted::list(
    "tags",
    &["*"],
    "The tags that are judged, as patterns in which * stands for any text and ? for one character.",
);

pub(crate) const SHORT: Defaulted<Duration> = Defaulted::new(
    "short",
    Duration::from_secs(12 * 3600),
    "The recent time whose level is compared with what was before; at least 48ms. Readings count as means of its 48th part.",
);

pub(crate) const BASELINE: Defaulted<Duration> = Defaulted::new(
    "baseline",
    Duration::from_secs(14 * 86_400),
    "The time, up to now, whose part before the recent time gives the usual level and spread; at least four times short.",
);

pub(crate) const LIMIT: Defaulted<f64> = Defaulted::new(
    "limit",
    3.5,
    "The score beyond which a signal is anomalous; beyond twice as much the warning is critical. More than 0.",
)
.unit("times the usual spread");

pub(crate) const REFRACTORY: Defaulted<Duration> = Defaulted::new(
    "refractory",
    Duration::from_secs(86_400),
    "A change that comes back within this time is the same warning.",
);

pub(crate) const POINTS_MIN: Defaulted<u32> = Defaulted::new(
    "points_min",
    192,
    "Fewest steps with readings in the baseline that a series needs to be judged; at least 2.",
)
.unit("steps of a 48th of short");

pub(crate) const SCALE_FLOOR: Defaulted<f64> = Defaulted::new(
    "scale_floor",
    0.005,
    "The least spread that is assumed, from 0 to below 1, so that a signal that hardly varies does not warn of nothing.",
)
.unit("share of the usual level");

pub(crate) const SPREAD: DefaultedChoice<Spread> = Choice::new(
    "spread",
    &[("steps", Spread::Steps), ("levels", Spread::Levels)],
    "What limit is measured in: steps is the usual spread of the signal's steps about their median, which half of the baseline may leave \
     without moving it; levels is the spread of the levels that the signal had within the baseline, which finds smaller \
     changes of signals that vary fast, and which a tenth of the baseline may leave.",
)
.or_first();

pub(crate) const RESOLVE_AFTER: Defaulted<u32> = Defaulted::new(
    "resolve_after",
    3,
    "How long a change must be gone before its warning is resolved; at least 1.",
)
.unit("windows, or times short for a job with a schedule");

/// How a device is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Each tag against its own level of the days before.
    Change,
    /// All tags of a device together against what they were in training.
    Multivariate,
    /// Multivariate where a device can be trained for it, else change.
    Auto,
}

pub(crate) const METHOD: DefaultedChoice<Method> = Choice::new(
    "method",
    &[
        ("change", Method::Change),
        ("multivariate", Method::Multivariate),
        ("auto", Method::Auto),
    ],
    "How a device is judged: change holds each tag against its own level of the days before; multivariate holds all tags of a \
     device together, row by row, against what they were in training; auto is multivariate for each device with three tags or \
     more that vary in a complete training, else change. The keys short, baseline, limit, points_min, scale_floor and spread are of \
     change; train, smoothing and carry are of multivariate.",
)
.or_first();

pub(crate) const TRAIN: Defaulted<Train> = Defaulted::new(
    "train",
    1000,
    "What a device is trained on: \"400 rows\" are the first 400 distinct event times of each device, \"7d\" the first seven days \
     of each, { from = \"2026-01-01T00:00:00Z\", to = \"2026-01-08T00:00:00Z\" } the time from one instant to before another. It \
     should be sound and hold the states in which the machine runs. At least 100 rows with the default smoothing.",
);

pub(crate) const SMOOTHING: Defaulted<u32> = Defaulted::new(
    "smoothing",
    15,
    "Over how many rows what is new is smoothed: more finds smaller changes, later. From 1 to 1000.",
)
.unit("rows");

pub(crate) const CARRY: Defaulted<Duration> = Defaulted::new(
    "carry",
    Duration::from_secs(600),
    "How long the last value of a tag stands for it at rows at which it was not read; after that it counts as missing, and \
     takes no part until it comes back.",
);
