//! Readings as rows of the `readings` table: a batch for each site and UTC day, sorted by device, tag, event time.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{
        ArrayRef, BinaryBuilder, Float64Builder, Int16Builder, Int32Builder, Int64Builder, RecordBatch, StringBuilder,
        TimestampMicrosecondBuilder,
    },
    error::ArrowError,
};
use forebay_schemas::{Reading, SiteId, Value, table::READINGS, wire::ReadingBatch};

use crate::schema::file_schema;

/// The rows of one partition of `readings`.
#[derive(Debug, Clone)]
pub struct PartitionRows {
    /// The site.
    pub site: SiteId,
    /// UTC day of the event times, counted from 1970-01-01.
    pub day: i32,
    /// The rows: the columns that stand in files.
    pub rows: RecordBatch,
}

type Numbered<'a> = (&'a ReadingBatch, u64, &'a Reading);

/// Sorts readings into partitions and rows.
///
/// # Errors
/// Only when a column grows beyond what Arrow can address (2 GiB of text in one partition).
pub fn partition_rows(batches: &[ReadingBatch]) -> Result<Vec<PartitionRows>, ArrowError> {
    let mut partitions: BTreeMap<(&SiteId, i32), Vec<Numbered<'_>>> = BTreeMap::new();
    for batch in batches {
        for (seq, reading) in (batch.first_seq.0..).zip(&batch.readings) {
            let key = (&reading.series.site, reading.event_time.day());
            partitions.entry(key).or_default().push((batch, seq, reading));
        }
    }
    partitions
        .into_iter()
        .map(|((site, day), mut readings)| {
            readings.sort_by(|(a_batch, a_seq, a), (b_batch, b_seq, b)| {
                (&a.series, a.event_time, a_batch.epoch, a_seq).cmp(&(&b.series, b.event_time, b_batch.epoch, b_seq))
            });
            Ok(PartitionRows { site: site.clone(), day, rows: rows(&readings)? })
        })
        .collect()
}

fn rows(readings: &[Numbered<'_>]) -> Result<RecordBatch, ArrowError> {
    let mut columns = Columns::default();
    for (batch, seq, reading) in readings {
        columns.push(batch, *seq, reading);
    }
    RecordBatch::try_new(file_schema(&READINGS), columns.finish())
}

#[derive(Default)]
struct Columns {
    device: StringBuilder,
    tag: StringBuilder,
    event_time: TimestampMicrosecondBuilder,
    observed_time: TimestampMicrosecondBuilder,
    value: Float64Builder,
    value_int: Int64Builder,
    value_text: StringBuilder,
    value_bytes: BinaryBuilder,
    value_type: StringBuilder,
    unit: StringBuilder,
    quality: Int16Builder,
    quality_code: Int64Builder,
    quality_reason: StringBuilder,
    gateway: StringBuilder,
    lane: Int32Builder,
    epoch: Int64Builder,
    seq: Int64Builder,
}

impl Columns {
    fn push(&mut self, batch: &ReadingBatch, seq: u64, reading: &Reading) {
        self.device.append_value(reading.series.device.as_str());
        self.tag.append_value(reading.series.tag.as_str());
        self.event_time.append_value(reading.event_time.micros());
        self.observed_time.append_value(reading.observed_time.micros());
        self.push_value(reading.value.as_ref());
        self.unit.append_option(reading.unit.as_deref());
        self.quality.append_value(reading.status.quality.code().into());
        self.quality_code.append_option(reading.status.code);
        self.quality_reason.append_option(reading.status.reason.as_deref());
        self.gateway.append_value(batch.lane.gateway.as_str());
        // Identity is compared, never computed with: the bits are kept where a number exceeds the column's range.
        self.lane.append_value(batch.lane.lane.0.cast_signed());
        self.epoch.append_value(batch.epoch.0.cast_signed());
        self.seq.append_value(seq.cast_signed());
    }

    fn push_value(&mut self, value: Option<&Value>) {
        self.value.append_option(value.and_then(Value::as_f64));
        self.value_type.append_option(value.map(|v| v.value_type().name()));
        let (mut int, mut text, mut bytes) = (None, None, None);
        match value {
            Some(Value::I64(v)) => int = Some(*v),
            Some(Value::U64(v)) => match i64::try_from(*v) {
                Ok(v) => int = Some(v),
                Err(_) => text = Some(v.to_string()),
            },
            Some(Value::Text(v)) => text = Some(v.clone()),
            Some(Value::Bytes(v)) => bytes = Some(v),
            Some(Value::F64(_) | Value::Bool(_)) | None => {}
        }
        self.value_int.append_option(int);
        self.value_text.append_option(text);
        self.value_bytes.append_option(bytes);
    }

    fn finish(mut self) -> Vec<ArrayRef> {
        vec![
            Arc::new(self.device.finish()),
            Arc::new(self.tag.finish()),
            Arc::new(self.event_time.finish().with_timezone("UTC")),
            Arc::new(self.observed_time.finish().with_timezone("UTC")),
            Arc::new(self.value.finish()),
            Arc::new(self.value_int.finish()),
            Arc::new(self.value_text.finish()),
            Arc::new(self.value_bytes.finish()),
            Arc::new(self.value_type.finish()),
            Arc::new(self.unit.finish()),
            Arc::new(self.quality.finish()),
            Arc::new(self.quality_code.finish()),
            Arc::new(self.quality_reason.finish()),
            Arc::new(self.gateway.finish()),
            Arc::new(self.lane.finish()),
            Arc::new(self.epoch.finish()),
            Arc::new(self.seq.finish()),
        ]
    }
}
