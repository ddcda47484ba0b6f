//! The keys of the kind, and what they must satisfy together.

use std::time::Duration;

use forebay_config::{
    Choice, Defaulted, Describe, Expanded, FromValue, Optional, Required, Shape, Table, TableKeys,
};
use forebay_jobs::{Job, JobKind, LookBack, LookBackKeys, SeriesPattern};
use forebay_schemas::TagName;
use forebay_signals::{bearing::Bearing, envelope::Band};

use crate::measure::SignalUnit;

/// The keys of the kind.
const VIBRATION: TableKeys = TableKeys::many(
    "job",
    "Judges machines by the waveform of their vibration: the lines of their bearings in the envelope spectrum, the velocity by zones, and the trend of both against their own past.",
    &[
        &DEVICES,
        &TAGS,
        &SAMPLE_RATE,
        &UNIT,
        &SHAFT_HZ,
        &BEARING,
        &BAND,
        &TOLERANCE,
        &ZONES,
        &PROMINENCE,
        &LIMIT,
        &HISTORY,
        &WINDOWS_MIN,
        &SPAN,
        &SAMPLES_MAX,
        &REFRACTORY,
        &RESOLVE_AFTER,
    ],
);

const DEVICES: Defaulted<Vec<String>> = Defaulted::list(
    "devices",
    &["*"],
    "The machines that are judged, as patterns in which * stands for any text and ? for one character.",
);

const TAGS: Required<Vec<String>> = Required::new(
    "tags",
    "The tags whose readings are samples of an acceleration, one for each sensor or axis, as patterns in which * stands for any text and ? for one character.",
);

const SAMPLE_RATE: Optional<f64> = Optional::new(
    "sample_rate",
    "Samples per second. It is needed where samples share times that are coarser than a 500th of the record.",
)
.unit("Hz")
.absent("the times of the samples say it");

const UNIT: Choice<SignalUnit> = Choice::new(
    "unit",
    &[
        ("g", SignalUnit::StandardGravity),
        ("m/s2", SignalUnit::MetrePerSecondSquared),
    ],
    "The unit of the acceleration. Velocity can only be had where it is known.",
)
.absent("the unit of the readings, if it is one of these");

const SHAFT_HZ: Optional<ShaftSpeed> = Optional::new(
    "shaft_hz",
    "Revolutions of the shaft per second, or the tag of the same device that says it (in Hz, or in rpm or /min by its unit), whose mean over the window counts.",
);

const BEARING: TableKeys = TableKeys::one(
    "bearing",
    "The bearing's geometry, from which the frequencies of faults follow; it needs shaft_hz. Without it only levels and velocity are judged.",
    &[&BALLS, &BALL_DIAMETER, &PITCH_DIAMETER, &CONTACT_ANGLE],
);

const BALLS: Required<u32> = Required::new("balls", "Number of rolling elements; at least 3.");

const BALL_DIAMETER: Required<f64> = Required::new(
    "ball_diameter",
    "Diameter of a rolling element, in the unit of pitch_diameter.",
);

const PITCH_DIAMETER: Required<f64> = Required::new(
    "pitch_diameter",
    "Diameter of the circle on which the centres of the rolling elements run; more than ball_diameter.",
);

const CONTACT_ANGLE: Defaulted<f64> = Defaulted::new(
    "contact_angle",
    0.0,
    "Angle of contact, from 0 to below 90.",
)
.unit("degrees");

const BAND: Optional<Vec<f64>> = Optional::new(
    "band",
    "Lower and upper end of the band around a resonance whose envelope is taken.",
)
.unit("Hz")
.absent("the band with the most shocks, by the kurtosis of its envelope, in each window");

const TOLERANCE: Defaulted<f64> = Defaulted::new(
    "tolerance",
    0.02,
    "How far slip and an inexact speed may move a line of the bearing, from 0 to 0.1.",
)
.unit("share of its frequency");

const ZONES: Defaulted<Vec<f64>> = Defaulted::list(
    "zones",
    &[],
    "The boundaries A/B, B/C and C/D of ISO 20816 for the machine's class, such as [2.8, 4.5, 7.1]: beyond B/C is a warning, beyond C/D a critical one. Empty: velocity is measured and only its trend judged.",
)
.unit("mm/s");

const PROMINENCE: Defaulted<f64> = Defaulted::new(
    "prominence",
    10.0,
    "A line of the bearing this many times above the noise around it is a warning, also in a machine's first window; more than 1.",
);

const LIMIT: Defaulted<f64> = Defaulted::new(
    "limit",
    6.0,
    "A level, the velocity or a line of the bearing that has risen this far above the machine's own past is a warning; more than 0.",
)
.unit("robust deviations of its logarithm");

const HISTORY: Defaulted<Duration> = Defaulted::new(
    "history",
    Duration::from_secs(30 * 86_400),
    "How far back the machine's own past windows count; of them the newest 1000.",
);

const WINDOWS_MIN: Defaulted<u32> = Defaulted::new(
    "windows_min",
    12,
    "Fewest past windows that a trend needs; at least 3.",
);

const SPAN: Defaulted<Duration> = Defaulted::new(
    "span",
    Duration::from_secs(3600),
    "How far back a run by the clock looks for a waveform; a run over a window looks at the window.",
);

const SAMPLES_MAX: Defaulted<u32> = Defaulted::new(
    "samples_max",
    1 << 20,
    "Most samples of a tag that are read of a window, the first ones: about 100 bytes of memory each. From 256 to 16777216.",
);

const REFRACTORY: Defaulted<Duration> = Defaulted::new(
    "refractory",
    Duration::from_secs(86_400),
    "A condition that comes back within this time is the same warning.",
);

const RESOLVE_AFTER: Defaulted<u32> = Defaulted::new(
    "resolve_after",
    3,
    "How long a condition must be gone before its warning is resolved; at least 1.",
)
.unit("windows, or times span for a job with a schedule");

const LOOK_BACK: LookBackKeys = LookBackKeys {
    history: &HISTORY,
    span: &SPAN,
    samples_max: &SAMPLES_MAX,
    refractory: &REFRACTORY,
    samples_least: 256,
    samples_name: "samples",
};

/// Where the speed of the shaft comes from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ShaftSpeed {
    /// Revolutions per second.
    Hertz(f64),
    /// A tag of the same device.
    Tag(TagName),
}

impl FromValue for ShaftSpeed {
    const EXPECTED: &'static str =
        "revolutions per second such as 25.0, or the name of a tag in quotes";

    fn from_value(value: &Expanded) -> Result<Self, String> {
        match value {
            Expanded::Text(_) => TagName::from_value(value).map(Self::Tag),
            _ => f64::from_value(value)
                .map(Self::Hertz)
                .map_err(|_| format!("{} is expected", Self::EXPECTED)),
        }
    }

    fn shape() -> Shape {
        Shape::AnyOf(vec![Shape::Number, Shape::Text])
    }
}

/// The job's settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Vibration {
    pub(crate) series: SeriesPattern,
    pub(crate) sample_rate: Option<f64>,
    pub(crate) unit: Option<SignalUnit>,
    pub(crate) shaft: Option<ShaftSpeed>,
    pub(crate) bearing: Option<Bearing>,
    pub(crate) band: Option<Band>,
    pub(crate) tolerance: f64,
    pub(crate) zones: Option<[f64; 3]>,
    pub(crate) prominence: f64,
    pub(crate) limit: f64,
    pub(crate) look_back: LookBack,
    pub(crate) windows_min: usize,
    pub(crate) resolve_after: u32,
}

/// `kind = "vibration"`.
#[derive(Debug, Clone, Copy, Default)]
pub struct VibrationKind;

impl JobKind for VibrationKind {
    fn name(&self) -> &'static str {
        "vibration"
    }

    fn keys(&self) -> &'static TableKeys {
        &VIBRATION
    }

    fn configure(&self, table: &mut Table<'_>) -> Option<Box<dyn Job>> {
        let tags = table.read(&TAGS);
        let has_bearing = table.has(&BEARING);
        let bearing = bearing(table);
        let band = table.read(&BAND);
        let zones = table.read(&ZONES);
        let job = Vibration {
            series: SeriesPattern {
                devices: table.read(&DEVICES),
                tags: tags.clone().unwrap_or_default(),
            },
            sample_rate: table.read(&SAMPLE_RATE),
            unit: table.read(&UNIT),
            shaft: table.read(&SHAFT_HZ),
            bearing,
            band: band.as_deref().and_then(as_band),
            tolerance: table.read(&TOLERANCE),
            zones: as_zones(&zones),
            prominence: table.read(&PROMINENCE),
            limit: table.read(&LIMIT),
            look_back: LookBack::read(table, &LOOK_BACK),
            windows_min: table.read(&WINDOWS_MIN) as usize,
            resolve_after: table.read(&RESOLVE_AFTER),
        };
        let mut problems = job.problems();
        if tags.as_ref().is_some_and(Vec::is_empty) {
            problems.push((&TAGS, "no tag fits an empty list".into()));
        }
        if band.is_some() && job.band.is_none() {
            problems.push((
                &BAND,
                "two frequencies, the lower first, are expected".into(),
            ));
        }
        if !zones.is_empty() && job.zones.is_none() {
            problems.push((
                &ZONES,
                "three ascending boundaries above 0 are expected".into(),
            ));
        }
        for (key, message) in &problems {
            table.problem(*key, message);
        }
        let is_whole = tags.is_some() && has_bearing == job.bearing.is_some();
        (problems.is_empty() && is_whole).then(|| Box::new(job) as Box<dyn Job>)
    }
}

/// The bearing, if its table is there and whole.
fn bearing(table: &mut Table<'_>) -> Option<Bearing> {
    let mut table = table.table(&BEARING)?;
    let balls = table.read(&BALLS);
    let ball = table.read(&BALL_DIAMETER);
    let pitch = table.read(&PITCH_DIAMETER);
    let contact_angle_degrees = table.read(&CONTACT_ANGLE);
    let bearing = Bearing {
        balls: balls?,
        ball_diameter: ball?,
        pitch_diameter: pitch?,
        contact_angle_degrees,
    };
    let mut wrong: Option<(&dyn Describe, &str)> = None;
    if bearing.balls < 3 {
        wrong = Some((&BALLS, "a bearing has at least 3 rolling elements"));
    }
    if bearing.ball_diameter <= 0.0 {
        wrong = Some((&BALL_DIAMETER, "more than 0 is expected"));
    }
    if bearing.pitch_diameter <= bearing.ball_diameter {
        wrong = Some((&PITCH_DIAMETER, "more than ball_diameter is expected"));
    }
    if !(0.0..90.0).contains(&bearing.contact_angle_degrees) {
        wrong = Some((&CONTACT_ANGLE, "0 to below 90 degrees are expected"));
    }
    if let Some((key, message)) = wrong {
        table.problem(key, message);
    }
    table.finish();
    wrong.is_none().then_some(bearing)
}

fn as_band(ends: &[f64]) -> Option<Band> {
    let [low_hz, high_hz] = *ends else {
        return None;
    };
    (0.0 < low_hz && low_hz < high_hz).then_some(Band { low_hz, high_hz })
}

fn as_zones(boundaries: &[f64]) -> Option<[f64; 3]> {
    let [a, b, c] = *boundaries else {
        return None;
    };
    (0.0 < a && a < b && b < c).then_some([a, b, c])
}

impl Vibration {
    /// What is wrong with the settings together.
    fn problems(&self) -> Vec<(&'static dyn Describe, String)> {
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
            self.sample_rate.is_none_or(|rate| rate > 0.0),
            &SAMPLE_RATE,
            "more than 0 is expected",
        );
        check(
            !matches!(self.shaft, Some(ShaftSpeed::Hertz(hz)) if hz <= 0.0),
            &SHAFT_HZ,
            "more than 0 is expected",
        );
        check(
            self.bearing.is_none() || self.shaft.is_some(),
            &BEARING,
            "the frequencies of its faults follow from shaft_hz, which is missing",
        );
        check(
            (0.0..=0.1).contains(&self.tolerance),
            &TOLERANCE,
            "a share from 0 to 0.1 is expected",
        );
        check(
            self.prominence > 1.0,
            &PROMINENCE,
            "more than 1 is expected: 1 is the noise",
        );
        check(self.limit > 0.0, &LIMIT, "more than 0 is expected");
        check(self.windows_min >= 3, &WINDOWS_MIN, "3 windows at least");
        check(
            self.resolve_after > 0,
            &RESOLVE_AFTER,
            "one window at least",
        );
        problems
    }
}

#[cfg(test)]
impl Vibration {
    /// The defaults, with zones, for tests of what is made of a measurement.
    pub(crate) fn for_tests() -> Self {
        Self {
            series: SeriesPattern {
                devices: DEVICES.default(),
                tags: vec!["x".to_owned()],
            },
            sample_rate: None,
            unit: None,
            shaft: None,
            bearing: None,
            band: None,
            tolerance: TOLERANCE.default(),
            zones: Some([2.8, 4.5, 7.1]),
            prominence: PROMINENCE.default(),
            limit: LIMIT.default(),
            look_back: LookBack::of_defaults(&LOOK_BACK),
            windows_min: WINDOWS_MIN.default() as usize,
            resolve_after: RESOLVE_AFTER.default(),
        }
    }
}
