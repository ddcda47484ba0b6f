//! A row of the file, and the readings in it.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use csv::ByteRecord;
use forebay_schemas::{DeviceId, Quality, Reading, Series, Status, TagName, Timestamp, Value};

use super::{
    DeviceSource, ImportSpec,
    cell::{ColumnKind, NoNumber, normal, trimmed},
    clocks::Resolver,
    quality,
    quarantine::Why,
    source::{Layout, Survey, TagColumn, Tags},
    time::{self, Time},
};
use crate::event_time::{self, MAX_SKEW};

/// How rows become readings; they come in the order of the file, each once.
pub(super) struct Rows<'a> {
    pub(super) spec: &'a ImportSpec,
    layout: Layout,
    pub(super) clocks: Resolver,
    /// The gateway's clock: the readings' observed time.
    pub(super) now: Timestamp,
}

impl<'a> Rows<'a> {
    pub(super) fn of(spec: &'a ImportSpec, survey: Survey, now: Timestamp) -> Self {
        Self {
            spec,
            layout: survey.layout,
            clocks: survey.clocks.told(),
            now,
        }
    }

    /// The readings of a row.
    pub(super) fn readings(&mut self, record: &ByteRecord) -> Result<Vec<Reading>, Why> {
        if !self.layout.fits(record) {
            let detail = format!(
                "it has {} fields instead of {}",
                record.len(),
                self.layout.fields()
            );
            return Err(Why::new("wrong number of fields", detail));
        }
        let text = |at: usize| text(record, at);
        let device = match (&self.spec.device, self.layout.device) {
            (DeviceSource::Fixed(device), _) => Ok(device.clone()),
            (DeviceSource::Column(_), Some(at)) => DeviceId::new(&text(at)?),
            (DeviceSource::Column(column), None) => {
                return Err(Why::new("no device", format!("no column {column}")));
            }
        };
        let event_time = self.event_time(record)?;
        let device = device
            .map_err(|error| Why::new("the device's name cannot be used", error.to_string()))?;
        let unit = match self.layout.unit {
            Some(at) => Some(text(at)?)
                .filter(|unit| !unit.is_empty())
                .map(Arc::from),
            None => None,
        };
        let status = match (&self.spec.quality, self.layout.quality) {
            (Some(quality), Some(at)) => quality::status(&text(at)?, quality.codes)?,
            _ => Status::GOOD,
        };
        let row = Row {
            spec: self.spec,
            device,
            event_time,
            observed_time: self.now,
            unit,
            status,
        };
        match &self.layout.tags {
            Tags::Columns(columns) => row.wide(columns, record),
            Tags::Rows {
                tag, value, kinds, ..
            } => row.long(&text(*tag)?, &text(*value)?, kinds),
        }
    }

    fn event_time(&mut self, record: &ByteRecord) -> Result<Timestamp, Why> {
        let cell = text(record, self.layout.time)?;
        let event_time = match time::parse(&cell, &self.spec.time_format)? {
            Time::Instant(at) => at,
            Time::Local(local) => {
                let order = self.layout.order_of(record).unwrap_or_default();
                self.clocks.instant(&order, local)?
            }
        };
        if !event_time::is_plausible(event_time, self.now, MAX_SKEW) {
            let reason =
                "the time is before the year 2000 or more than a day ahead of the clock here";
            return Err(Why::new(reason, cell));
        }
        Ok(event_time)
    }
}

/// A cell without the blanks around it.
fn text(record: &ByteRecord, at: usize) -> Result<Cow<'_, str>, Why> {
    let cell = record.get(at).unwrap_or_default();
    std::str::from_utf8(cell).map(trimmed).map_err(|_| {
        let detail = format!("field {}: --encoding names another encoding", at + 1);
        Why::new("not UTF-8", detail)
    })
}

/// What the readings of a row have in common.
struct Row<'a> {
    spec: &'a ImportSpec,
    device: DeviceId,
    event_time: Timestamp,
    observed_time: Timestamp,
    unit: Option<Arc<str>>,
    status: Status,
}

impl Row<'_> {
    /// A reading for each cell that is not blank.
    fn wide(&self, columns: &[TagColumn], record: &ByteRecord) -> Result<Vec<Reading>, Why> {
        let mut readings = Vec::with_capacity(columns.len());
        for TagColumn { at, name, kind } in columns {
            let cell = text(record, *at)?;
            if !cell.is_empty() {
                readings.push(self.reading(name.clone(), *kind, &cell));
            }
        }
        Ok(readings)
    }

    /// One reading; none where the value is blank and nothing is said to be wrong with it.
    fn long(
        &self,
        tag: &str,
        cell: &str,
        kinds: &HashMap<String, ColumnKind>,
    ) -> Result<Vec<Reading>, Why> {
        if cell.is_empty() && self.status.quality == Quality::Good {
            return Ok(Vec::new());
        }
        let name = TagName::new(tag)
            .map_err(|error| Why::new("the tag's name cannot be used", error.to_string()))?;
        let kind = kinds.get(tag).copied().unwrap_or_default();
        Ok(vec![self.reading(name, kind, cell)])
    }

    fn reading(&self, tag: TagName, kind: ColumnKind, cell: &str) -> Reading {
        let (value, status) = match self.value(kind, cell) {
            Ok(value) => (value, self.status.clone()),
            Err(why) => (None, self.bad(why)),
        };
        Reading {
            series: Series {
                site: self.spec.site.clone(),
                device: self.device.clone(),
                tag,
            },
            event_time: self.event_time,
            observed_time: self.observed_time,
            value,
            unit: self.unit.clone(),
            status,
        }
    }

    /// The value of a cell, none of a blank one; or why it has none.
    fn value(&self, kind: ColumnKind, cell: &str) -> Result<Option<Value>, String> {
        if cell.is_empty() {
            return Ok(None);
        }
        if self.spec.nulls.iter().any(|null| null == cell) {
            return Err(format!("{cell:?} stands for no value"));
        }
        let no_number = |_| format!("{cell:?} is not a number with a decimal comma");
        let normal = normal(cell, self.spec.decimal).map_err(no_number)?;
        let value = kind.value(&normal);
        value
            .map(Some)
            .map_err(|NoNumber| format!("{cell} is not a finite number"))
    }

    /// The row's own quality if that is bad; else why there is no value.
    fn bad(&self, why: String) -> Status {
        match self.status.quality {
            Quality::Bad => self.status.clone(),
            _ => Status::bad(None, why),
        }
    }
}
