//! The keys of a `[[connector]]` of kind "simulated" and of its `[[connector.tag]]`s.

use std::{path::PathBuf, time::Duration};

use forebay_config::{Choice, Defaulted, DefaultedChoice, Optional, Required, TableKeys};
use forebay_connectors::{ConnectorKeys, NAME};
use forebay_schemas::{DeviceId, TagName};

use super::{pass::Times, signal::Course};

/// All of them.
pub(super) const KEYS: ConnectorKeys = ConnectorKeys {
    connector: CONNECTOR,
    tag: TAG,
};

const CONNECTOR: TableKeys = TableKeys::many(
    "connector",
    "Makes signals up, with faults if they are asked for, or replays a CSV or Parquet file: to try steps, jobs and alerts without a \
     device. The same seed gives the same values.",
    &[
        &NAME,
        &DEVICE,
        &EVERY,
        &SEED,
        &FILE,
        &TIME_COLUMN,
        &TIMES,
        &SPEED,
        &REPEAT,
        &TAG,
    ],
);

pub(super) const DEVICE: Required<DeviceId> =
    Required::new("device", "The device of all tags that name none.");

pub(super) const EVERY: Defaulted<Duration> = Defaulted::new(
    "every",
    Duration::from_secs(1),
    "Time from one value of a signal to the next, from 1ms on.",
);

pub(super) const SEED: Defaulted<u64> = Defaulted::new(
    "seed",
    1,
    "Decides all that is random: walks, noise and faults.",
);

pub(super) const FILE: Optional<PathBuf> = Optional::new(
    "file",
    "The file that is replayed: Parquet where its name ends in .parquet (not in the build for the edge), else CSV with a header.",
)
.absent("every tag is a signal");

pub(super) const TIME_COLUMN: Defaulted<String> = Defaulted::new(
    "time_column",
    "time",
    "The file's column of times: RFC 3339, \"2026-01-31 12:00:00\" in UTC, seconds since 1970, or a Parquet timestamp.",
);

pub(super) const TIMES: DefaultedChoice<Times> = Choice::new(
    "times",
    &[("shifted", Times::Shifted), ("recorded", Times::Recorded)],
    "Which times the readings have: shifted, so that the first row is now and the others follow it, or recorded, as in the file.",
)
.or_first();

pub(super) const SPEED: Defaulted<f64> = Defaulted::new(
    "speed",
    1.0,
    "How many times as fast as it was recorded the file is replayed, above 0.",
);

pub(super) const REPEAT: Optional<bool> = Optional::new(
    "repeat",
    "Whether the file is replayed again from its start, once its last row has come.",
)
.absent("true where times are shifted, else false");

const TAG: TableKeys = TableKeys::many(
    "tag",
    "A signal, or a column of the file.",
    &[
        &TAG_NAME,
        &TAG_DEVICE,
        &SIGNAL,
        &LOW,
        &HIGH,
        &PERIOD,
        &NOISE,
        &STATES,
        &COLUMN,
        &FAULTS,
        &FAULT_EVERY,
        &FAULT_LENGTH,
    ],
);

pub(super) const TAG_NAME: Required<TagName> = Required::new("name", "The tag's name.");

pub(super) const TAG_DEVICE: Optional<DeviceId> =
    Optional::new("device", "The tag's device.").absent("the connector's device");

pub(super) const SIGNAL: Choice<Course> = Choice::new(
    "signal",
    &[
        ("sine", Course::Sine),
        ("triangle", Course::Triangle),
        ("ramp", Course::Ramp),
        ("square", Course::Square),
        ("random_walk", Course::RandomWalk),
        ("counter", Course::Counter),
        ("states", Course::States),
        ("constant", Course::Constant),
    ],
    "The course of a signal: a wave between low and high in each period, a walk between them, a counter from low to high, the texts of \
     states in turn, or low alone.",
)
.absent("a column of the file is replayed");

pub(super) const LOW: Defaulted<f64> =
    Defaulted::new("low", 0.0, "Least value of the signal, before noise.");

pub(super) const HIGH: Defaulted<f64> =
    Defaulted::new("high", 100.0, "Greatest value of the signal, before noise.");

pub(super) const PERIOD: Defaulted<Duration> = Defaulted::new(
    "period",
    Duration::from_secs(60),
    "Time of one wave, and of all states together.",
);

pub(super) const NOISE: Defaulted<f64> = Defaulted::new(
    "noise",
    0.0,
    "Standard deviation of the normal noise that is added to each value; counters and states have none.",
);

pub(super) const STATES: Defaulted<Vec<String>> =
    Defaulted::list("states", &[], "The texts of signal = \"states\".");

pub(super) const COLUMN: Optional<String> =
    Optional::new("column", "The file's column that is replayed.").absent("the tag's name");

pub(super) const FAULTS: Defaulted<Vec<String>> = Defaulted::list(
    "faults",
    &[],
    "What goes wrong at random, one at a time: dropout (bad, without a value), silence (no readings), stuck (the last value again), spike \
     (one value ten ranges away), drift (away by one range, and back at once), late (readings that come together at its end).",
);

pub(super) const FAULT_EVERY: Defaulted<Duration> = Defaulted::new(
    "fault_every",
    Duration::from_secs(3_600),
    "Time from the end of one fault to the next one, on average.",
);

pub(super) const FAULT_LENGTH: Defaulted<Duration> = Defaulted::new(
    "fault_length",
    Duration::from_secs(60),
    "How long a fault lasts; a spike is one value.",
);
