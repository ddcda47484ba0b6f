//! Rows of the `windows` table.

use std::{collections::BTreeSet, sync::Arc};

use arrow::array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use forebay_lake::{LakeError, file_schema};
use forebay_schemas::{Timestamp, table::WINDOWS};

use super::{WINDOWS_SEEN, count::Counts};

/// One window as it is closed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct WindowRow {
    /// µs since 1970 UTC.
    pub(super) start: i64,
    pub(super) revision: i32,
    pub(super) rows: i64,
    pub(super) devices: i32,
    /// Share of the devices seen lately that sent at least one good reading.
    pub(super) completeness: Option<f64>,
}

impl WindowRow {
    /// The first revision of a window, from what it and the ones before it hold.
    pub(super) fn of(counts: &Counts, start: i64, window: i64) -> Self {
        let lately =
            counts.range(start.saturating_sub((WINDOWS_SEEN - 1).saturating_mul(window))..=start);
        let seen: BTreeSet<&str> = lately
            .flat_map(|(_, devices)| devices.keys())
            .map(String::as_str)
            .collect();
        let here: Vec<_> = counts
            .get(&start)
            .into_iter()
            .flat_map(|devices| devices.values())
            .collect();
        let good = here.iter().filter(|device| device.good > 0).count();
        Self {
            start,
            revision: 1,
            rows: here.iter().map(|device| device.rows).sum(),
            devices: i32::try_from(here.len()).unwrap_or(i32::MAX),
            completeness: (!seen.is_empty()).then(|| good as f64 / seen.len() as f64),
        }
    }
}

pub(super) fn batch(
    site: &str,
    rows: &[WindowRow],
    window: i64,
    watermark: i64,
    version: u64,
    now: Timestamp,
) -> Result<RecordBatch, LakeError> {
    let times = |time: &dyn Fn(&WindowRow) -> i64| -> ArrayRef {
        Arc::new(
            TimestampMicrosecondArray::from_iter_values(rows.iter().map(time)).with_timezone("UTC"),
        )
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|_| site))),
        times(&|row| row.start),
        times(&|row| row.start.saturating_add(window)),
        Arc::new(Int32Array::from_iter_values(
            rows.iter().map(|row| row.revision),
        )),
        times(&|_| watermark),
        times(&|_| now.micros()),
        Arc::new(Int64Array::from_iter_values(
            rows.iter().map(|_| version.cast_signed()),
        )),
        Arc::new(Int64Array::from_iter_values(
            rows.iter().map(|row| row.rows),
        )),
        Arc::new(Int32Array::from_iter_values(
            rows.iter().map(|row| row.devices),
        )),
        Arc::new(Float64Array::from_iter(
            rows.iter().map(|row| row.completeness),
        )),
    ];
    Ok(RecordBatch::try_new(file_schema(&WINDOWS), columns)?)
}
