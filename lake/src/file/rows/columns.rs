//! The Arrow columns of a file of `readings`, filled a stretch of equal rows at a time.

use std::{iter::repeat_n, sync::Arc};

use arrow::{
    array::{
        ArrayRef, BinaryBuilder, Float64Array, Int16Array, Int32Array, Int64Array, StringBuilder,
        TimestampMicrosecondArray,
    },
    error::ArrowError,
};
use forebay_schemas::{Timestamp, ValueType};

use super::{
    GatheredRows, Kind, Run,
    texts::{Numbers, Texts},
};

/// Columns that hold few different texts: those of a series, a status or a lane.
pub(crate) const DICTIONARIES: [&str; 6] = [
    "device",
    "tag",
    "value_type",
    "unit",
    "quality_reason",
    "gateway",
];

pub(super) struct Columns<'a> {
    gathered: &'a GatheredRows,
    device: Texts<'a>,
    tag: Texts<'a>,
    event_time: Vec<i64>,
    observed_time: Vec<i64>,
    value: Numbers<f64>,
    value_int: Numbers<i64>,
    value_text: StringBuilder,
    value_bytes: BinaryBuilder,
    value_type: Texts<'a>,
    unit: Texts<'a>,
    quality: Vec<i16>,
    quality_code: Numbers<i64>,
    quality_reason: Texts<'a>,
    gateway: Texts<'a>,
    lane: Vec<i32>,
    epoch: Vec<i64>,
    seq: Vec<i64>,
}

impl<'a> Columns<'a> {
    /// Texts and bytes that are values grow as they come: only the lengths of columns are known.
    pub(super) fn with_capacity(gathered: &'a GatheredRows, rows: usize) -> Self {
        Self {
            gathered,
            device: Texts::with_capacity(rows),
            tag: Texts::with_capacity(rows),
            event_time: Vec::with_capacity(rows),
            observed_time: Vec::with_capacity(rows),
            value: Numbers::with_capacity(rows),
            value_int: Numbers::with_capacity(rows),
            value_text: StringBuilder::with_capacity(rows, 0),
            value_bytes: BinaryBuilder::with_capacity(rows, 0),
            value_type: Texts::with_capacity(rows),
            unit: Texts::with_capacity(rows),
            quality: Vec::with_capacity(rows),
            quality_code: Numbers::with_capacity(rows),
            quality_reason: Texts::with_capacity(rows),
            gateway: Texts::with_capacity(rows),
            lane: Vec::with_capacity(rows),
            epoch: Vec::with_capacity(rows),
            seq: Vec::with_capacity(rows),
        }
    }

    /// Puts the rows of a run behind those that are there.
    pub(super) fn push(&mut self, run: &Run<'a>) {
        let Run { series, rows } = run;
        self.device
            .push(Some(series.series.device.as_str()), rows.len());
        self.tag.push(Some(series.series.tag.as_str()), rows.len());
        let micros = series.event_times[rows.clone()]
            .iter()
            .map(|nanos| Timestamp::from_nanos(*nanos).micros());
        self.event_time.extend(micros);
        self.observed_time
            .extend_from_slice(&series.observed_times[rows.clone()]);
        // Identity is compared, never computed with: the bits are kept where a number exceeds the
        // column's range.
        self.seq.extend(
            series.seqs[rows.clone()]
                .iter()
                .map(|seq| seq.cast_signed()),
        );
        let mut values = &series.values[rows.clone()];
        for same in series.kinds[rows.clone()].chunk_by(|one, next| one == next) {
            let (of_kind, rest) = values.split_at(same.len());
            values = rest;
            let kind = self.gathered.kinds.get(same[0]);
            self.push_kind(kind, same.len());
            self.push_values(kind.value_type, of_kind);
        }
    }

    fn push_kind(&mut self, kind: &'a Kind, rows: usize) {
        let lane = self.gathered.lanes.get(kind.lane);
        let status = &kind.status;
        self.value_type
            .push(kind.value_type.map(ValueType::name), rows);
        self.unit.push(kind.unit.as_deref(), rows);
        self.quality
            .extend(repeat_n(i16::from(status.quality.code()), rows));
        self.quality_code.push_same(status.code, rows);
        self.quality_reason.push(status.reason.as_deref(), rows);
        self.gateway.push(Some(lane.gateway.as_str()), rows);
        self.lane.extend(repeat_n(lane.lane.0.cast_signed(), rows));
        self.epoch.extend(repeat_n(kind.epoch.cast_signed(), rows));
    }

    fn push_values(&mut self, value_type: Option<ValueType>, bits: &[u64]) {
        // Numbers beyond what the column of integers holds stand in the one of texts.
        let fit = bits.iter().all(|bits| i64::try_from(*bits).is_ok());
        match value_type {
            Some(ValueType::F64) => self
                .value
                .extend(bits.iter().map(|bits| f64::from_bits(*bits))),
            Some(ValueType::I64) => self
                .value
                .extend(bits.iter().map(|bits| bits.cast_signed() as f64)),
            Some(ValueType::U64) => self.value.extend(bits.iter().map(|bits| *bits as f64)),
            Some(ValueType::Bool) => self
                .value
                .extend(bits.iter().map(|bits| f64::from(u8::from(*bits != 0)))),
            Some(ValueType::Text | ValueType::Bytes) | None => {
                self.value.push_same(None, bits.len())
            }
        }
        match value_type {
            Some(ValueType::I64) => self
                .value_int
                .extend(bits.iter().map(|bits| bits.cast_signed())),
            Some(ValueType::U64) if fit => self
                .value_int
                .extend(bits.iter().map(|bits| bits.cast_signed())),
            Some(ValueType::U64) => bits
                .iter()
                .for_each(|bits| self.value_int.push_same(i64::try_from(*bits).ok(), 1)),
            _ => self.value_int.push_same(None, bits.len()),
        }
        match value_type {
            Some(ValueType::Text) => {
                bits.iter().for_each(|place| {
                    self.value_text
                        .append_value(&self.gathered.texts[*place as usize])
                });
            }
            Some(ValueType::U64) if !fit => {
                let text = |bits: u64| i64::try_from(bits).is_err().then(|| bits.to_string());
                bits.iter()
                    .for_each(|bits| self.value_text.append_option(text(*bits)));
            }
            _ => self.value_text.append_nulls(bits.len()),
        }
        match value_type {
            Some(ValueType::Bytes) => {
                let bytes = &self.gathered.byte_strings;
                bits.iter()
                    .for_each(|place| self.value_bytes.append_value(&bytes[*place as usize]));
            }
            _ => self.value_bytes.append_nulls(bits.len()),
        }
    }

    /// The columns in the order of the table.
    pub(super) fn finish(mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        let times = |micros: Vec<i64>| TimestampMicrosecondArray::from(micros).with_timezone("UTC");
        Ok(vec![
            self.device.finish()?,
            self.tag.finish()?,
            Arc::new(times(self.event_time)),
            Arc::new(times(self.observed_time)),
            Arc::new(Float64Array::try_new(
                self.value.values.into(),
                self.value.nulls.build(),
            )?),
            Arc::new(Int64Array::try_new(
                self.value_int.values.into(),
                self.value_int.nulls.build(),
            )?),
            Arc::new(self.value_text.finish()),
            Arc::new(self.value_bytes.finish()),
            self.value_type.finish()?,
            self.unit.finish()?,
            Arc::new(Int16Array::from(self.quality)),
            Arc::new(Int64Array::try_new(
                self.quality_code.values.into(),
                self.quality_code.nulls.build(),
            )?),
            self.quality_reason.finish()?,
            self.gateway.finish()?,
            Arc::new(Int32Array::from(self.lane)),
            Arc::new(Int64Array::from(self.epoch)),
            Arc::new(Int64Array::from(self.seq)),
        ])
    }
}
