//! The keys of the kind.

use std::time::Duration;

use forebay_config::{Defaulted, Optional, Required, TableKeys};

pub(crate) const REMAINING_LIFE: TableKeys = TableKeys::many(
    "job",
    "Predicts how many steps each unit has left, from runs of like units to failure, and warns below a limit. Results are rows of \
     predictions with the tag rul; how wrong they were for units that were left out stands in backtests.",
    &[
        &DEVICES,
        &TAGS,
        &FAILED,
        &STEP,
        &CAP,
        &LEVEL,
        &AGE,
        &ALERT_BELOW,
        &RETRAIN_EVERY,
        &REFRACTORY,
    ],
);

pub(crate) const DEVICES: Defaulted<Vec<String>> = Defaulted::list(
    "devices",
    &["*"],
    "The units whose life is predicted, one device each, as patterns in which * stands for any text and ? for one character; \
     those that fit failed are only learned from.",
);

pub(crate) const TAGS: Defaulted<Vec<String>> = Defaulted::list(
    "tags",
    &["*"],
    "The tags that are looked at, as patterns in which * stands for any text and ? for one character.",
);

pub(crate) const FAILED: Required<Vec<String>> = Required::new(
    "failed",
    "The devices whose last reading is their failure, as patterns. A run counts once five steps have passed since then; a device \
     that was mended and runs again is a device of another name.",
);

pub(crate) const STEP: Required<Duration> = Required::new(
    "step",
    "One unit of life, such as \"1h\" or the time of a cycle; rul counts these. Readings of one step count as their mean; at least 1ms.",
);

pub(crate) const CAP: Defaulted<u32> = Defaulted::new(
    "cap",
    125,
    "A longer remaining life counts as this, for a sound unit shows no wear from which it could be read: a rul near the cap means \
     this or more. At least 1.",
)
.unit("steps");

pub(crate) const LEVEL: Defaulted<f64> = Defaulted::new(
    "level",
    0.9,
    "The share of true lives that lo and hi hold, between 0 and 1. 0.9 needs nine failed units, 0.95 nineteen.",
);

pub(crate) const AGE: Defaulted<bool> = Defaulted::new(
    "age",
    true,
    "Whether the model may use the time since a unit's first reading. false where units were in use before their first reading.",
);

pub(crate) const ALERT_BELOW: Optional<f64> = Optional::new(
    "alert_below",
    "A unit with a smaller rul is a warning, critical where hi is smaller too; it ends above 1.1 times this. Without it there are \
     no warnings.",
)
.unit("steps");

pub(crate) const REFRACTORY: Defaulted<Duration> = Defaulted::new(
    "refractory",
    Duration::from_secs(7 * 86_400),
    "A unit that falls below the limit once more within this time is the same warning.",
);

pub(crate) const RETRAIN_EVERY: Defaulted<Duration> = Defaulted::new(
    "retrain_every",
    Duration::from_secs(86_400),
    "How long after a training runs that have failed since are learned from. The new model is used where it is better on those runs \
     than the one in use, which has not seen them. Other settings are learned with at once.",
);
