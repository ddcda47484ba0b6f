//! The key `train`: which readings show a sound device.

use std::time::Duration;

use forebay_config::{
    Describe, Expanded, FromConstant, FromValue, Required, Shape, Table, TableForm, TableKeys,
};
use forebay_schemas::Timestamp;

use crate::keys::TRAIN;

/// Which readings of a device it is trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Train {
    /// Its first distinct event times.
    Rows(usize),
    /// So long from its first reading on.
    First(Duration),
    /// From one instant to before another.
    Span {
        /// The first instant.
        from: Timestamp,
        /// The first instant after.
        to: Timestamp,
    },
}

/// A table whose keys are read after it.
const SPAN_TO_READ: Train = Train::Span {
    from: Timestamp::from_nanos(0),
    to: Timestamp::from_nanos(0),
};

const SPAN: TableKeys = TableKeys::one(
    "train",
    "The time that devices are trained on.",
    &[&FROM, &TO],
);

const FROM: Required<Instant> = Required::new("from", "The first instant.");

const TO: Required<Instant> = Required::new("to", "The first instant after.");

/// An instant, as a text or as TOML writes one.
struct Instant(Timestamp);

impl FromValue for Instant {
    const EXPECTED: &'static str = "an instant such as \"2026-01-01T00:00:00Z\"";

    fn from_value(value: &Expanded) -> Result<Self, String> {
        let (Expanded::Text(text) | Expanded::Time(text)) = value else {
            return Err(format!("{} is expected", Self::EXPECTED));
        };
        let at = text.parse::<jiff::Timestamp>().ok();
        let nanos = at.and_then(|at| i64::try_from(at.as_nanosecond()).ok());
        nanos
            .map(|nanos| Self(Timestamp::from_nanos(nanos)))
            .ok_or_else(|| format!("{} is expected, found {text:?}", Self::EXPECTED))
    }

    fn shape() -> Shape {
        Shape::Pattern {
            what: "instant",
            pattern: "[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.]+([Zz]|[+-][0-9:]+)",
        }
    }
}

impl FromValue for Train {
    const EXPECTED: &'static str =
        "\"400 rows\", a duration such as \"7d\", or { from = …, to = … }";

    fn from_value(value: &Expanded) -> Result<Self, String> {
        let rows = |text: &String| text.strip_suffix(" rows")?.trim().parse().ok();
        match value {
            Expanded::Table => Ok(SPAN_TO_READ),
            Expanded::Text(text) => match rows(text) {
                Some(rows) => Ok(Self::Rows(rows)),
                None => Duration::from_value(value)
                    .map(Self::First)
                    .map_err(|_| format!("{} is expected, found {text:?}", Self::EXPECTED)),
            },
            _ => Err(format!("{} is expected", Self::EXPECTED)),
        }
    }

    fn shape() -> Shape {
        let rows = Shape::Pattern {
            what: "rows such as \"400 rows\"",
            pattern: "[0-9]+ rows",
        };
        let span = Shape::Table {
            form: TableForm::One,
            keys: vec![FROM.describe(), TO.describe()],
        };
        Shape::AnyOf(vec![rows, Shape::Duration, span])
    }
}

impl FromConstant for Train {
    type Constant = u32;

    fn from_constant(rows: u32) -> Self {
        Self::Rows(rows as usize)
    }

    fn written(rows: u32) -> Expanded {
        Expanded::Text(format!("{rows} rows"))
    }
}

impl Train {
    /// The key; what is wrong is noted in the table.
    pub(crate) fn read(table: &mut Table<'_>) -> Self {
        let train = table.read(&TRAIN);
        if train != SPAN_TO_READ {
            return train;
        }
        let Some(mut span) = table.table(&SPAN) else {
            return train;
        };
        let from = span.read(&FROM);
        let to = span.read(&TO);
        span.finish();
        match (from, to) {
            (Some(Instant(from)), Some(Instant(to))) => Self::Span { from, to },
            // Something was noted, and the file is refused.
            _ => TRAIN.default(),
        }
    }

    /// What is wrong with it for a chart of at least so many rows.
    pub(crate) fn problem(&self, rows_min: usize) -> Option<String> {
        match self {
            Self::Rows(rows) if *rows < rows_min => {
                Some(format!("{rows} rows are too few: {rows_min} at least"))
            }
            Self::First(time) if time.is_zero() => Some("no time holds no rows".into()),
            Self::Span { from, to } if from >= to => Some("from must be before to".into()),
            _ => None,
        }
    }
}
