//! A row of the file, and the readings in it.

use csv::ByteRecord;
use forebay_schemas::{DeviceId, Reading, Series, Status, Timestamp};

use super::{
    DeviceSource, ImportSpec,
    cell::{normal, trimmed},
    clocks::Resolver,
    quarantine::Why,
    source::{Layout, Survey, TagColumn},
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

    /// The readings of a row: one for each cell that is not blank.
    pub(super) fn readings(&mut self, record: &ByteRecord) -> Result<Vec<Reading>, Why> {
        if !self.layout.fits(record) {
            let detail = format!(
                "it has {} fields instead of {}",
                record.len(),
                self.layout.fields()
            );
            return Err(Why::new("wrong number of fields", detail));
        }
        let text = |at: usize| {
            let cell = record.get(at).unwrap_or_default();
            std::str::from_utf8(cell)
                .map(trimmed)
                .map_err(|_| Why::new("not UTF-8", format!("field {}", at + 1)))
        };
        let (device, named) = match (&self.spec.device, self.layout.device) {
            (DeviceSource::Fixed(device), _) => (Ok(device.clone()), "".into()),
            (DeviceSource::Column(_), Some(at)) => (DeviceId::new(&text(at)?), text(at)?),
            (DeviceSource::Column(column), None) => {
                return Err(Why::new("no device", format!("no column {column}")));
            }
        };
        let event_time = match time::parse(&text(self.layout.time)?, &self.spec.time_format)? {
            Time::Instant(at) => at,
            Time::Local(local) => self.clocks.instant(&named, local)?,
        };
        if !event_time::is_plausible(event_time, self.now, MAX_SKEW) {
            let reason =
                "the time is before the year 2000 or more than a day ahead of the clock here";
            return Err(Why::new(reason, text(self.layout.time)?));
        }
        let device = device
            .map_err(|error| Why::new("the device's name cannot be used", error.to_string()))?;
        let mut readings = Vec::with_capacity(self.layout.tags.len());
        for TagColumn { at, name, kind } in &self.layout.tags {
            let cell = text(*at)?;
            if cell.is_empty() {
                continue;
            }
            let (value, status) = match normal(&cell, self.spec.decimal) {
                Ok(normal) => (Some(kind.value(&normal)), Status::GOOD),
                Err(_) => (
                    None,
                    Status::bad(
                        None,
                        format!("{cell:?} is not a number with a decimal comma"),
                    ),
                ),
            };
            readings.push(Reading {
                series: Series {
                    site: self.spec.site.clone(),
                    device: device.clone(),
                    tag: name.clone(),
                },
                event_time,
                observed_time: self.now,
                value,
                unit: None,
                status,
            });
        }
        Ok(readings)
    }
}
