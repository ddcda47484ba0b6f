//! The keys of the kind and of its sections.

use std::{path::PathBuf, time::Duration};

use forebay_config::{Choice, Defaulted, DefaultedChoice, Optional, Required, TableKeys};
use forebay_jobs::keys::{SCHEDULE, TIMEZONE};

use crate::{range::RangeEnd, section::Form, template::Template};

/// The kind's keys; whether there is a schedule decides which parameters a query has.
pub(crate) const REPORT: TableKeys = TableKeys::many(
    "job",
    "Writes a report: one HTML file with charts and tables, which needs no network and can be printed.",
    &[
        &TITLE, &TEMPLATE, &DEVICES, &TAGS, &RANGE, &RANGE_END, &TIMEZONE, &FOLDER, &URL, &KEEP,
        &SECTION, &SCHEDULE,
    ],
);

pub(crate) const TITLE: Optional<String> =
    Optional::new("title", "The report's heading.").absent("the template's, or the job's name");

pub(crate) const TEMPLATE: Choice<Template> = Choice::new(
    "template",
    &[
        ("plant_week", Template::PlantWeek),
        ("feeder_forecast", Template::FeederForecast),
        ("machine_health", Template::MachineHealth),
    ],
    "Sections that are ready: plant_week shows completeness, signals, warnings and job runs; feeder_forecast holds forecasts \
     against what came; machine_health shows scores, warnings and the signals behind them. A report has a template, \
     sections of its own, or both.",
);

pub(crate) const DEVICES: Defaulted<Vec<String>> = Defaulted::list(
    "devices",
    &["*"],
    "The devices of the template, as patterns in which * stands for any text and ? for one character. In the SQL of sections \
     {devices} stands for this condition.",
);

pub(crate) const TAGS: Defaulted<Vec<String>> = Defaulted::list(
    "tags",
    &["*"],
    "The tags of the template, as patterns like those of devices. In the SQL of sections {series} stands for the condition \
     of both.",
);

pub(crate) const RANGE: Defaulted<Duration> = Defaulted::new(
    "range",
    Duration::from_secs(7 * 86_400),
    "How much time the report is about; at least 1s. {from} and {to} in SQL are its ends, {range} is its length, {bin} an \
     interval that cuts it into at most 240 parts.",
);

pub(crate) const RANGE_END: DefaultedChoice<RangeEnd> = Choice::new(
    "range_end",
    &[
        ("due", RangeEnd::Due),
        ("latest_reading", RangeEnd::LatestReading),
    ],
    "Where the range ends: due is when the run was due, so that a silent plant shows as one; latest_reading is the newest \
     reading of devices and tags before that, for data that was imported.",
)
.or_first();

pub(crate) const FOLDER: Optional<PathBuf> = Optional::new(
    "folder",
    "Where the report's folder lies: files are written to folder/NAME of the job.",
)
.absent("the folder reports in data_dir");

pub(crate) const URL: Optional<String> = Optional::new(
    "url",
    "A bucket to write to instead of a folder, such as \"s3://bucket/reports\"; its credentials, region and endpoint come \
     from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL).",
);

pub(crate) const KEEP: Defaulted<u32> = Defaulted::new(
    "keep",
    30,
    "How many reports of this job are kept; the oldest are deleted. At least 1.",
);

/// `[[job.section]]`.
pub(crate) const SECTION: TableKeys = TableKeys::many(
    "section",
    "One query and the chart that its rows become.",
    &[
        &SECTION_TITLE,
        &TEXT,
        &SQL,
        &CHART,
        &X,
        &Y,
        &LO,
        &HI,
        &VALUE,
        &SERIES,
        &FACET,
        &LIMIT,
        &MARK,
        &UNIT,
        &BAND,
        &ALARMS,
    ],
);

pub(crate) const SECTION_TITLE: Required<String> = Required::new("title", "The section's heading.");

pub(crate) const TEXT: Optional<String> = Optional::new("text", "A sentence below the heading.");

pub(crate) const SQL: Required<String> = Required::new(
    "sql",
    "One SELECT over readings, windows, scores, predictions, alerts, events, models, backtests and job_runs. {from}, {to}, \
     {range}, {bin}, {devices} and {series} follow the keys of the job; {now} is when the run was due; {site}, {window_start} and \
     {window_end} stand for the window that closed.",
);

pub(crate) const CHART: Choice<Form> = Choice::new(
    "chart",
    &[
        ("line", Form::Line),
        ("bars", Form::Bars),
        ("heatmap", Form::HeatMap),
        ("map", Form::Map),
        ("spectrum", Form::Spectrum),
        ("table", Form::Table),
        ("numbers", Form::Numbers),
    ],
    "What the rows become: line (x, y; also lo, hi, limit, mark, series, facet), bars (x, y; also lo, hi, series, facet), heatmap (x, y, \
     value), map (x is longitude, y latitude, value; also series for names), spectrum (x, y; also mark, facet), table (the \
     columns as they are), numbers (the columns of one row as headlines; of a name that ends in _percent, as per cent).",
)
.required();

const COLUMN: &str = "the column of this name, if the query has one";

pub(crate) const X: Optional<String> = Optional::new(
    "x",
    "The column along the bottom: times or numbers, for bars and heatmap names too; for map the longitude in degrees.",
)
.absent(COLUMN);

pub(crate) const Y: Optional<String> = Optional::new(
    "y",
    "The column of values; for heatmap the name of the row, for map the latitude in degrees.",
)
.absent(COLUMN);

pub(crate) const LO: Optional<String> =
    Optional::new("lo", "The column of the lower end of an interval.").absent(COLUMN);

pub(crate) const HI: Optional<String> =
    Optional::new("hi", "The column of the upper end of an interval.").absent(COLUMN);

pub(crate) const VALUE: Optional<String> = Optional::new(
    "value",
    "The column of the number that colours a cell; numbers from 0 to 1 are shown as shares.",
)
.absent(COLUMN);

pub(crate) const SERIES: Optional<String> = Optional::new(
    "series",
    "The column that names the line or bar that a row belongs to; for map the cell's name.",
)
.absent(COLUMN);

pub(crate) const FACET: Optional<String> = Optional::new(
    "facet",
    "The column that splits the rows into small charts side by side, each with its own scale; at most 12.",
)
.absent(COLUMN);

pub(crate) const LIMIT: Optional<String> = Optional::new(
    "limit",
    "The column of a limit, drawn as a dashed line; values above it are marked.",
)
.absent(COLUMN);

pub(crate) const MARK: Optional<String> = Optional::new(
    "mark",
    "The column that shades a place (true, or a text that is written there); for spectrum the name of a line.",
)
.absent(COLUMN);

pub(crate) const UNIT: Optional<String> = Optional::new(
    "unit",
    "The unit of the values as a UCUM code, such as \"Cel\" or \"kW\".",
)
.absent("the column unit, if the query has one");

pub(crate) const BAND: Optional<String> = Optional::new(
    "band",
    "What the interval from lo to hi is, for the legend, such as \"90 % interval\".",
)
.absent("the names of the columns");

pub(crate) const ALARMS: Defaulted<Vec<String>> = Defaulted::list(
    "alarms",
    &[],
    "Columns of numbers that are red above 0 and green at 0.",
);
