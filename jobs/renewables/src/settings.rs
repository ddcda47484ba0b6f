//! The keys of the kind, and what they must satisfy together.

use std::time::Duration;

use forebay_config::{Choice, Defaulted, Describe, Optional, Required, Table, TableKeys};
use forebay_jobs::{Job, JobKind, SeriesPattern};
use forebay_signals::{
    renewable::{PowerModel, Source},
    sun::Place,
};

const DAY: Duration = Duration::from_secs(86_400);

/// The keys of the kind.
const RENEWABLES: TableKeys = TableKeys::many(
    "job",
    "Forecasts the power of solar and wind plants from their own past, the sun's position and weather that is known ahead, with bounds that hold a chosen share of the values.",
    &[
        &DEVICES,
        &TAGS,
        &SOURCE,
        &LATITUDE,
        &LONGITUDE,
        &WEATHER,
        &KNOWN_AHEAD,
        &STEP,
        &HORIZON,
        &TRAILING,
        &LEVEL,
    ],
);

const DEVICES: Defaulted<Vec<String>> = Defaulted::list(
    "devices",
    &["*"],
    "The plants that are forecast, as patterns in which * stands for any text and ? for one character.",
);

const TAGS: Required<Vec<String>> = Required::new(
    "tags",
    "The tags whose power is forecast, as patterns in which * stands for any text and ? for one character. Feed-in may be counted negative.",
);

const SOURCE: Choice<SourceName> = Choice::new(
    "source",
    &[("solar", SourceName::Solar), ("wind", SourceName::Wind)],
    "What drives the plants.",
)
.required();

const LATITUDE: Optional<f64> = Optional::new(
    "latitude",
    "Where the plants stand, from -90 to 90. A solar plant needs it.",
)
.unit("degrees north");

const LONGITUDE: Optional<f64> = Optional::new(
    "longitude",
    "Where the plants stand, from -180 to 180. A solar plant needs it.",
)
.unit("degrees east");

const WEATHER: Optional<String> = Optional::new(
    "weather",
    "The tag of the same device, or \"device/tag\", with the radiation on a solar plant or the wind speed at a wind plant, in any one unit; known_ahead must name it.",
)
.absent("the power's own past alone");

const KNOWN_AHEAD: Defaulted<Vec<String>> = Defaulted::list(
    "known_ahead",
    &[],
    "Which of weather is a forecast whose readings after the fire may be seen. Nothing else after the fire is.",
);

const STEP: Defaulted<Duration> = Defaulted::new(
    "step",
    Duration::from_secs(15 * 60),
    "Length of the steps whose means are forecast: from 1m to 1h, so that an hour is a whole number of them.",
);

const HORIZON: Defaulted<Duration> = Defaulted::new(
    "horizon",
    DAY,
    "How far ahead is forecast: a multiple of step, at most 7d.",
);

const TRAILING: Defaulted<Duration> = Defaulted::new(
    "trailing",
    Duration::from_secs(28 * 86_400),
    "The time over which methods are held against each other and past errors bound a forecast: whole days from 7d to 366d.",
);

const LEVEL: Defaulted<f64> = Defaulted::new(
    "level",
    0.9,
    "The share of values that shall lie within the bounds: above 0, up to 0.99.",
);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SourceName {
    Solar,
    Wind,
}

/// The job's settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Renewables {
    pub(crate) series: SeriesPattern,
    pub(crate) source: Source,
    /// Device (none: the plant's own) and tag.
    pub(crate) weather: Option<(Option<String>, String)>,
    pub(crate) step: Duration,
    pub(crate) horizon: Duration,
    pub(crate) trailing: Duration,
    pub(crate) level: f64,
}

/// `kind = "renewables"`.
#[derive(Debug, Clone, Copy, Default)]
pub struct RenewablesKind;

impl JobKind for RenewablesKind {
    fn name(&self) -> &'static str {
        "renewables"
    }

    fn keys(&self) -> &'static TableKeys {
        &RENEWABLES
    }

    fn configure(&self, table: &mut Table<'_>) -> Option<Box<dyn Job>> {
        let tags = table.read(&TAGS);
        let latitude = table.read(&LATITUDE);
        let longitude = table.read(&LONGITUDE);
        let weather = table.read(&WEATHER);
        let known_ahead = table.read(&KNOWN_AHEAD);
        if !table.has(&SOURCE) {
            table.problem(&SOURCE, "\"solar\" or \"wind\" is expected");
        }
        let source = table.read(&SOURCE);
        let place = latitude.zip(longitude).map(|(latitude, longitude)| Place {
            latitude,
            longitude,
        });
        let job = Renewables {
            series: SeriesPattern {
                devices: table.read(&DEVICES),
                tags: tags.clone().unwrap_or_default(),
            },
            source: match (source, place) {
                (Some(SourceName::Solar), Some(place)) => Source::Solar(place),
                _ => Source::Wind,
            },
            weather: weather.as_deref().map(series_of),
            step: table.read(&STEP),
            horizon: table.read(&HORIZON),
            trailing: table.read(&TRAILING),
            level: table.read(&LEVEL),
        };
        let mut problems = job.problems();
        if source == Some(SourceName::Solar) && place.is_none() {
            problems.push((&SOURCE, "a solar plant needs latitude and longitude"));
        }
        if latitude.is_some_and(|degrees| !(-90.0..=90.0).contains(&degrees)) {
            problems.push((&LATITUDE, "-90 to 90 degrees are expected"));
        }
        if longitude.is_some_and(|degrees| !(-180.0..=180.0).contains(&degrees)) {
            problems.push((&LONGITUDE, "-180 to 180 degrees are expected"));
        }
        if weather
            .as_ref()
            .is_some_and(|name| !known_ahead.contains(name))
        {
            problems.push((
                &WEATHER,
                "a forecast needs the weather to come: known_ahead must name it too",
            ));
        }
        if known_ahead
            .iter()
            .any(|name| weather.as_ref() != Some(name))
        {
            problems.push((&KNOWN_AHEAD, "only what weather names can be known ahead"));
        }
        for (key, message) in &problems {
            table.problem(*key, message);
        }
        let is_whole = tags.is_some() && source.is_some();
        (problems.is_empty() && is_whole).then(|| Box::new(job) as Box<dyn Job>)
    }
}

/// "tag" or "device/tag".
fn series_of(name: &str) -> (Option<String>, String) {
    match name.split_once('/') {
        Some((device, tag)) => (Some(device.to_owned()), tag.to_owned()),
        None => (None, name.to_owned()),
    }
}

impl Renewables {
    /// What is wrong with the settings together.
    fn problems(&self) -> Vec<(&'static dyn Describe, &'static str)> {
        let mut problems: Vec<(&'static dyn Describe, &'static str)> = Vec::new();
        let mut check = |is_fit: bool, key: &'static dyn Describe, message: &'static str| {
            if !is_fit {
                problems.push((key, message));
            }
        };
        let whole = |duration: Duration, part: Duration| {
            !part.is_zero()
                && duration.as_nanos().is_multiple_of(part.as_nanos())
                && duration >= part
        };
        let hour = Duration::from_secs(3600);
        check(
            !self.series.devices.is_empty(),
            &DEVICES,
            "no device fits an empty list: leave the key out for all",
        );
        check(
            self.step >= Duration::from_secs(60) && whole(hour, self.step),
            &STEP,
            "a part of an hour, at least \"1m\", is expected",
        );
        check(
            whole(self.horizon, self.step) && self.horizon <= 7 * DAY,
            &HORIZON,
            "a multiple of step, at most \"7d\", is expected",
        );
        check(
            whole(self.trailing, DAY) && (7 * DAY..=366 * DAY).contains(&self.trailing),
            &TRAILING,
            "whole days from \"7d\" to \"366d\" are expected",
        );
        check(
            self.level > 0.0 && self.level <= 0.99,
            &LEVEL,
            "a share above 0, up to 0.99, is expected",
        );
        problems
    }

    /// The model of these settings.
    pub fn model(&self) -> PowerModel {
        let step = self.step.as_micros().max(1);
        PowerModel {
            source: self.source,
            step_micros: i64::try_from(step).unwrap_or(i64::MAX),
            horizon: i64::try_from(self.horizon.as_micros() / step).unwrap_or(i64::MAX),
            trailing_days: i64::try_from(self.trailing.as_secs() / DAY.as_secs()).unwrap_or(28),
            level: self.level,
        }
    }
}
