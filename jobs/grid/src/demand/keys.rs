//! The keys of `kind = "grid_demand"`, and what of them can be checked alone.

use std::time::Duration;

use forebay_config::{Defaulted, Optional, Required, TableKeys};

pub(super) const DAY: Duration = Duration::from_secs(86_400);

pub(super) const GRID_DEMAND: TableKeys = TableKeys::many(
    "job",
    "Forecasts load series from their own past, the calendar and the weather, with bounds that hold a chosen share of the values.",
    &[
        &DEVICES,
        &TAGS,
        &STEP,
        &HORIZON,
        &SEASON,
        &TRAILING,
        &LEVEL,
        &HOLIDAY,
        &TEMPERATURE,
        &REGRESSORS,
        &KNOWN_AHEAD,
    ],
);

pub(super) const DEVICES: Defaulted<Vec<String>> = Defaulted::list(
    "devices",
    &["*"],
    "The devices whose series are forecast, as patterns in which * stands for any text and ? for one character.",
);

pub(super) const TAGS: Required<Vec<String>> = Required::new(
    "tags",
    "The tags that are forecast, as patterns in which * stands for any text and ? for one character.",
);

pub(super) const STEP: Defaulted<Duration> = Defaulted::new(
    "step",
    Duration::from_secs(15 * 60),
    "Length of the steps whose means are forecast; at least 1ms. The history that counts must have at most 50000 of them. \
     Models need a step that divides a day into 4 to 288 parts; other steps are forecast as a season ago.",
);

pub(super) const HORIZON: Defaulted<Duration> = Defaulted::new(
    "horizon",
    DAY,
    "How far ahead is forecast: a multiple of step. Whole days are days of the time zone: \"1d\" from a local midnight ends \
     at the next, be it 23, 24 or 25 hours later. Models reach up to a week.",
);

pub(super) const SEASON: Optional<Duration> = Optional::new(
    "season",
    "The time after which the series repeats itself, for the forecast that is the baseline and the fallback: a multiple of step.",
)
.absent("a day or a week, whichever was less wrong over trailing");

pub(super) const TRAILING: Defaulted<Duration> = Defaulted::new(
    "trailing",
    Duration::from_secs(28 * 86_400),
    "The time over which past forecasts are judged, for the choice of the method and the width of the bounds: a multiple of step.",
);

pub(super) const LEVEL: Defaulted<f64> = Defaulted::new(
    "level",
    0.9,
    "The share of values that shall lie within the bounds: above 0, up to 0.999. A higher one needs a longer history.",
);

pub(super) const HOLIDAY: Optional<String> = Optional::new(
    "holiday",
    "The tag that is not zero on holidays: a tag of the same device, or \"device/tag\".",
)
.absent("no day is a holiday");

pub(super) const TEMPERATURE: Optional<String> = Optional::new(
    "temperature",
    "The tag of the outdoor temperature: a tag of the same device, or \"device/tag\".",
)
.absent("temperature is not used");

pub(super) const REGRESSORS: Defaulted<Vec<String>> = Defaulted::list(
    "regressors",
    &[],
    "Further tags that the load may depend on, such as radiation and wind: tags of the same device, or \"device/tag\".",
);

pub(super) const KNOWN_AHEAD: Defaulted<Vec<String>> = Defaulted::list(
    "known_ahead",
    &[],
    "Those of holiday, temperature and regressors whose readings after the run's time may be used, because they are forecasts \
     or a calendar. Without it a run sees nothing from after its time.",
);
