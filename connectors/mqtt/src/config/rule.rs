//! The keys of a `[[connector.tag]]`.

use forebay_config::{Describe, Optional, Table};
use forebay_connectors::RuleId;
use forebay_schemas::DeviceId;
use jiff::tz::TimeZone;
use serde_json_path::JsonPath;

use crate::{
    decode::{Format, Rule, Segments, TimePath},
    keys,
    time::{self, TimeForm},
    topic::{self, Template},
};

/// All rules, or none where one is wrong.
pub(super) fn rules(
    connector: &mut Table<'_>,
    tags: &mut [Table<'_>],
    format: Format,
    device: Option<&DeviceId>,
) -> Option<Vec<Rule>> {
    if tags.is_empty() {
        connector.problem(
            &keys::KEYS.tag,
            "at least one [[connector.tag]] with a topic is expected",
        );
        return None;
    }
    let topics = connector.read(&keys::TOPICS);
    let mut rules = Vec::new();
    for (i, tag) in tags.iter_mut().enumerate() {
        rules.push(rule(RuleId(i), tag, format, device, topics.as_deref()));
    }
    rules.into_iter().collect()
}

fn rule(
    id: RuleId,
    tag: &mut Table<'_>,
    format: Format,
    connector_device: Option<&DeviceId>,
    topics: Option<&[String]>,
) -> Option<Rule> {
    let text = tag.read(&keys::TOPIC);
    let name = tag.read(&keys::TAG_NAME);
    let device = tag.read(&keys::TAG_DEVICE);
    let value = path(tag, &keys::VALUE);
    let value_type = if tag.has(&keys::TYPE) {
        Some(tag.read(&keys::TYPE))
    } else {
        None
    };
    let quality = path(tag, &keys::QUALITY);
    let time = time_path(tag);
    if format == Format::Raw {
        for key in [&keys::VALUE, &keys::TIME, &keys::QUALITY] {
            if tag.has(key) {
                tag.problem(key, "it has no meaning with format = \"raw\"");
            }
        }
    }
    let text = text?;
    let template = match Template::parse(&text) {
        Ok(template) => template,
        Err(error) => {
            tag.problem(&keys::TOPIC, format!("{text:?}: {error}"));
            return None;
        }
    };
    let filter = template.filter();
    let mut good = true;
    let mut wrong = |key: &dyn Describe, message: &str| {
        tag.problem(key, message);
        good = false;
    };
    if topics.is_some_and(|topics| !topics.iter().any(|topic| topic::overlap(topic, &filter))) {
        wrong(
            &keys::TOPIC,
            &format!("{text:?} matches nothing that topics subscribes to"),
        );
    }
    if template.has_tag() && name.is_some() {
        wrong(
            &keys::TAG_NAME,
            "the topic tells the tag by {tag}: leave out one of the two",
        );
    }
    if template.has_device() && device.is_some() {
        wrong(
            &keys::TAG_DEVICE,
            "the topic tells the device by {device}: leave out one of the two",
        );
    }
    if !template.has_device() && device.is_none() && connector_device.is_none() {
        wrong(
            &keys::TOPIC,
            "the device is not known: write {device} in the topic, or the key device here or in the connector",
        );
    }
    if format == Format::Raw && !template.has_tag() && name.is_none() {
        wrong(
            &keys::TOPIC,
            "the tag is not known: write {tag} in the topic, or the key name",
        );
    }
    let device = device.or_else(|| connector_device.cloned());
    let (value, quality, time) = (value?, quality?, time?);
    let value_type = match value_type {
        Some(chosen) => Some(chosen?),
        None => None,
    };
    let value = value.unwrap_or_default();
    let names = Segments::of(&value.to_string());
    good.then_some(Rule {
        id,
        template,
        device,
        tag: name,
        value,
        names,
        value_type,
        time,
        quality,
    })
}

/// A JSONPath; the outer none where it is wrong, the inner where it is missing.
fn path(tag: &mut Table<'_>, key: &Optional<String>) -> Option<Option<JsonPath>> {
    let Some(text) = tag.read(key) else {
        return if tag.has(key) { None } else { Some(None) };
    };
    match JsonPath::parse(&text) {
        Ok(path) => Some(Some(path)),
        Err(error) => {
            tag.problem(
                key,
                format!("{text:?} is no JSONPath such as \"$.v\": {error}"),
            );
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
            format!("{format:?} is no format such as \"%Y-%m-%d %H:%M:%S\": {error}"),
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
                format!("{name:?} is no time zone such as \"Europe/Berlin\" or \"UTC\""),
            );
            None
        }
    }
}
