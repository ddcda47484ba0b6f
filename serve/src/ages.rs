//! How old the latest readings are, and where that time went, as columns of the view `latest`.
//!
//! The age, and its part before the gateway, follow from a row's own times. The way from the gateway into the table is known
//! where the compactor runs in this process: of the newest reading of the device that it has committed.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::Arc,
};

use arrow::{
    array::{Array as _, ArrayRef, AsArray as _, Float64Array, RecordBatch},
    datatypes::{DataType, Field, SchemaRef, TimestampMicrosecondType},
    error::ArrowError,
};
use forebay_schemas::Timestamp;

/// The columns, and the columns of the view from which a reader could tell each.
const COLUMNS: [(&str, &[&str]); 5] = [
    ("age_seconds", &["event_time"]),
    ("source_seconds", &["event_time", "observed_time"]),
    ("spool_seconds", &["device"]),
    ("stream_seconds", &["device"]),
    ("commit_seconds", &["device"]),
];

/// The way of a device's newest reading, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Way {
    /// From its acceptance by the gateway to its publishing.
    pub spool: f64,
    /// From its publishing to its consumption.
    pub stream: f64,
    /// From its consumption to the commit.
    pub commit: f64,
}

/// By site and device.
type Ways = HashMap<(String, String), Way>;

/// Asks a compactor for the ways of the devices' newest readings.
#[derive(Clone)]
pub struct DeviceWays(Arc<dyn Fn() -> Ways + Send + Sync>);

impl DeviceWays {
    /// From what answers with them; it is asked by each statement that names the view, and may not block.
    pub fn new(asked: impl Fn() -> Ways + Send + Sync + 'static) -> Self {
        Self(Arc::new(asked))
    }
}

impl fmt::Debug for DeviceWays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DeviceWays").finish_non_exhaustive()
    }
}

/// The fields of the columns.
pub(crate) fn age_fields() -> impl Iterator<Item = Field> {
    COLUMNS
        .into_iter()
        .map(|(name, _)| Field::new(name, DataType::Float64, true))
}

/// Adds the columns to rows of the latest readings, in the shape of `schema`. Those that would tell a user what is hidden say
/// nothing.
///
/// # Errors
/// None that can happen: the rows have that shape.
pub(crate) fn with_ages(
    rows: &[RecordBatch],
    schema: &SchemaRef,
    ways: Option<&DeviceWays>,
    hidden: &BTreeSet<String>,
    now: Timestamp,
) -> Result<Vec<RecordBatch>, ArrowError> {
    let ways = ways.map(|ways| (ways.0)()).unwrap_or_default();
    let with = |batch: &RecordBatch| {
        let columns = batch.columns().iter().cloned();
        let added = added(batch, &ways, hidden, now);
        RecordBatch::try_new(schema.clone(), columns.chain(added).collect())
    };
    rows.iter().map(with).collect()
}

fn added(
    batch: &RecordBatch,
    ways: &Ways,
    hidden: &BTreeSet<String>,
    now: Timestamp,
) -> Vec<ArrayRef> {
    let times = |name: &str| {
        let column = batch.column_by_name(name);
        column.and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>())
    };
    let texts = |name: &str| {
        let column = batch.column_by_name(name);
        column.and_then(|column| column.as_string_opt::<i32>())
    };
    let (event, observed) = (times("event_time"), times("observed_time"));
    let (site, device) = (texts("site"), texts("device"));
    let mut columns: [Vec<Option<f64>>; COLUMNS.len()] = Default::default();
    // The rows of a device mostly stand together.
    let mut last: Option<(&str, &str, Option<Way>)> = None;
    for row in 0..batch.num_rows() {
        let at = event.filter(|event| event.is_valid(row));
        let at = at.map(|event| event.value(row));
        let heard = observed.filter(|observed| observed.is_valid(row));
        let heard = heard.map(|observed| observed.value(row));
        columns[0].push(at.map(|at| seconds(at, now.micros())));
        columns[1].push(at.zip(heard).map(|(at, heard)| seconds(at, heard)));
        let of = site.zip(device);
        let of = of.map(|(site, device)| (site.value(row), device.value(row)));
        let way = match (of, last) {
            (Some(of), Some((site, device, way))) if of == (site, device) => way,
            (Some((site, device)), _) => {
                let way = ways.get(&(site.to_owned(), device.to_owned())).copied();
                last = Some((site, device, way));
                way
            }
            (None, _) => None,
        };
        columns[2].push(way.map(|way| way.spool));
        columns[3].push(way.map(|way| way.stream));
        columns[4].push(way.map(|way| way.commit));
    }
    let shown = COLUMNS.into_iter().zip(columns);
    let array = |((_, tells), values): ((&str, &[&str]), Vec<Option<f64>>)| -> ArrayRef {
        if tells.iter().any(|column| hidden.contains(*column)) {
            return Arc::new(Float64Array::new_null(values.len()));
        }
        Arc::new(Float64Array::from(values))
    };
    shown.map(array).collect()
}

/// From one time to another, both in µs; 0 where it is not later.
fn seconds(from: i64, to: i64) -> f64 {
    to.saturating_sub(from).max(0) as f64 / 1e6
}
