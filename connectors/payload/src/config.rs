//! Reading the keys of a tag that speak of payloads.

use forebay_config::{Describe, Optional, Table};
use jiff::tz::TimeZone;

use crate::{
    Layout, Selection, keys,
    path::PayloadPath,
    selection::TimePath,
    time::{self, TimeForm},
};

impl Selection {
    /// Reads the [`keys`] of a `[[connector.tag]]`. Notes what is wrong in the table, and answers `None` then.
    pub fn configure(tag: &mut Table<'_>, layout: impl Into<Layout>) -> Option<Self> {
        let value = path(tag, &keys::VALUE);
        let value_type = if tag.has(&keys::TYPE) {
            tag.read(&keys::TYPE).map(Some)
        } else {
            Some(None)
        };
        let quality = path(tag, &keys::QUALITY);
        let unit = path(tag, &keys::UNIT_PATH);
        let arrays = tag.read(&keys::ARRAYS);
        let time = time_path(tag);
        if layout.into() == Layout::Text {
            for key in [&keys::VALUE, &keys::TIME, &keys::QUALITY, &keys::UNIT_PATH] {
                if tag.has(key) {
                    tag.problem(key, "it has no meaning with format = \"raw\"");
                }
            }
        }
        let value = value?.unwrap_or_default();
        Some(Self {
            value_type: value_type?,
            time: time?,
            quality: quality?,
            unit: unit?,
            arrays,
            ..Self::of(value)
        })
    }
}

/// A JSONPath; the outer none where it is wrong, the inner where it is missing.
fn path(tag: &mut Table<'_>, key: &Optional<String>) -> Option<Option<PayloadPath>> {
    let Some(text) = tag.read(key) else {
        return if tag.has(key) { None } else { Some(None) };
    };
    match PayloadPath::parse(&text) {
        Ok(path) => Some(Some(path)),
        Err(fault) => {
            tag.problem(key, fault.to_string());
            None
        }
    }
}

fn time_path(tag: &mut Table<'_>) -> Option<Option<TimePath>> {
    let path = path(tag, &keys::TIME);
    let format = tag.read(&keys::TIME_FORMAT);
    let has_unit = tag.has(&keys::TIME_UNIT);
    let unit = if has_unit {
        Some(tag.read(&keys::TIME_UNIT)?)
    } else {
        None
    };
    let zone = zone(tag)?;
    let path = path?;
    let others: [(&dyn Describe, bool); 3] = [
        (&keys::TIME_FORMAT, format.is_some()),
        (&keys::TIME_UNIT, has_unit),
        (&keys::TIME_ZONE, zone.is_some()),
    ];
    for (key, is_there) in others {
        if is_there && path.is_none() {
            tag.problem(key, "time is missing, a JSONPath such as \"$.ts\"");
            return None;
        }
    }
    if let Some(format) = &format
        && let Err(error) = time::check_format(format)
    {
        tag.problem(
            &keys::TIME_FORMAT,
            format!("{format:?} is not a format such as \"%Y-%m-%d %H:%M:%S\": {error}"),
        );
        return None;
    }
    let form = match (format, unit) {
        (Some(_), Some(_)) => {
            tag.problem(
                &keys::TIME_FORMAT,
                "time_unit is there too: leave out one of the two",
            );
            return None;
        }
        (Some(format), None) => TimeForm::Format {
            format,
            zone: zone.unwrap_or(TimeZone::UTC),
        },
        (None, Some(unit)) => {
            if zone.is_some() {
                tag.problem(
                    &keys::TIME_ZONE,
                    "a number counts from 1970 in UTC: leave out time_zone or time_unit",
                );
                return None;
            }
            TimeForm::Unit(unit)
        }
        (None, None) => TimeForm::Text { zone },
    };
    Some(path.map(|path| TimePath { path, form }))
}

/// The zone of times that name none; the outer none where it is wrong.
fn zone(tag: &mut Table<'_>) -> Option<Option<TimeZone>> {
    let Some(name) = tag.read(&keys::TIME_ZONE) else {
        return if tag.has(&keys::TIME_ZONE) {
            None
        } else {
            Some(None)
        };
    };
    match TimeZone::get(&name) {
        Ok(zone) => Some(Some(zone)),
        Err(_) => {
            tag.problem(
                &keys::TIME_ZONE,
                format!("{name:?} is not a time zone such as \"Europe/Berlin\" or \"UTC\""),
            );
            None
        }
    }
}
