//! The keys of a `[[connector]]` of kind "modbus" and of its `[[connector.tag]]`s, read into valid settings.
//!
//! Every wrong value is reported with the valid ones, all in one pass. The keys common to all connectors are the gateway's.

mod address;
mod checked;
mod given;
mod tag;

use std::{collections::BTreeMap, time::Duration};

use forebay_config::Table;
use forebay_connectors::NAME;
use forebay_schemas::DeviceId;

pub(crate) use self::{
    address::{Address, parse as parse_address},
    checked::{duration, within},
    given::Given,
    tag::{OFFSET, SCALE, Scaling, Tag, TagSource},
};
use self::{
    checked::{DAY, MILLIS_10, MINUTE},
    tag::{Defaults, Note},
};
use crate::{
    endpoint::Endpoint,
    keys,
    plan::{Forbidden, Group, Limits, groups},
    template::Template,
    unit::{Unit, UnitId, units},
    value::Order,
};

/// One connector.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    /// The connector's name, for log lines: several may share one endpoint.
    pub(crate) name: String,
    pub(crate) endpoint: Endpoint,
    /// The longest wait for a connection, and for a reply.
    pub(crate) timeout: Duration,
    /// The longest time in which a unit is asked for nothing.
    pub(crate) heartbeat: Duration,
    /// The rest before each request.
    pub(crate) pause: Duration,
    /// In the order of the configuration; those of the template behind them.
    pub(crate) tags: Vec<Tag>,
    /// What is polled together.
    pub(crate) groups: Vec<Group>,
    /// Never empty; by identifier.
    pub(crate) units: Vec<Unit>,
}

impl Settings {
    /// Reads the tables; notes what is wrong in them, and answers none then.
    pub(crate) fn read(connector: &mut Table<'_>, tags: &mut [Table<'_>]) -> Option<Self> {
        let name = connector.given(&NAME);
        let endpoint = address::read(connector);
        let timeout = connector.read(&keys::TIMEOUT);
        let timeout = duration(connector, &keys::TIMEOUT, timeout, MILLIS_10..=MINUTE);
        let heartbeat = connector.read(&keys::HEARTBEAT);
        let heartbeat = duration(connector, &keys::HEARTBEAT, heartbeat, 10 * MILLIS_10..=DAY);
        let pause = connector.read(&keys::PAUSE);
        let pause = duration(connector, &keys::PAUSE, pause, Duration::ZERO..=MINUTE);
        let template = Template::read(connector);
        let (defaults, is_sound) = defaults(connector, template.as_value());
        if tags.is_empty() && template.is_missing() {
            connector.problem(
                &keys::KEYS.tag,
                "there is nothing to read: add one [[connector.tag]] or more, or a template",
            );
        }
        let read = read_tags(connector, tags, template.as_value(), &defaults);
        let has_wrong_device = defaults.has_device && defaults.device.is_none();
        if has_wrong_device || template.is_wrong() || !is_sound {
            return None;
        }
        let tags = read?;
        if tags.is_empty() {
            return None;
        }
        Some(Self {
            name: name.unwrap_or_else(|| "modbus".to_owned()),
            endpoint: endpoint?,
            timeout: timeout?,
            heartbeat: heartbeat?,
            pause: pause?,
            groups: groups(&tags, &defaults.limits),
            units: units(&tags),
            tags,
        })
    }
}

/// What tags take over from their connector, and whether all of it is as it should be.
fn defaults(connector: &mut Table<'_>, template: Option<&Template>) -> (Defaults, bool) {
    let every = connector.read(&keys::EVERY);
    let every = duration(connector, &keys::EVERY, every, MILLIS_10..=DAY);
    let order = order(connector);
    let limits = limits(connector, template);
    let is_sound = every.is_some() && !order.is_wrong() && limits.is_some();
    let of_template = || template.and_then(|template| template.order.clone());
    let defaults = Defaults {
        // A tag needs its own device only where the connector names none, be it a wrong one.
        has_device: connector.has(&keys::DEVICE),
        device: connector.read(&keys::DEVICE),
        unit: UnitId(connector.read(&keys::UNIT_ID)),
        every: every.unwrap_or_else(|| keys::EVERY.default()),
        limits: limits.unwrap_or_default(),
        order: order.into_value().or_else(of_template),
    };
    (defaults, is_sound)
}

fn limits(connector: &mut Table<'_>, template: Option<&Template>) -> Option<Limits> {
    let of_template = template.map(|template| &template.limits);
    let gap_max = connector.read(&keys::MAX_GAP);
    let gap_max = within(connector, &keys::MAX_GAP, gap_max, 0..=125);
    let registers_max = match of_template {
        Some(limits) if !connector.has(&keys::MAX_REGISTERS) => Some(limits.registers_max),
        _ => {
            let max = connector.read(&keys::MAX_REGISTERS);
            within(connector, &keys::MAX_REGISTERS, max, 1..=125)
        }
    };
    let coils_max = connector.read(&keys::MAX_COILS);
    let coils_max = within(connector, &keys::MAX_COILS, coils_max, 1..=2000);
    let never = connector.read(&keys::NEVER);
    let never = Forbidden::parse(&never)
        .map_err(|message| connector.problem(&keys::NEVER, message))
        .ok();
    let mut never = never?;
    never.extend(of_template.map(|limits| &limits.never));
    Some(Limits {
        gap_max: match of_template {
            Some(limits) if !connector.has(&keys::MAX_GAP) => limits.gap_max,
            _ => gap_max?,
        },
        registers_max: registers_max?,
        coils_max: coils_max?,
        never,
    })
}

/// The order of tags that name none, as it is written and as it is meant.
fn order(connector: &mut Table<'_>) -> Given<(String, Order)> {
    match Given::read(connector, &keys::ORDER) {
        Given::Value(text) => match Order::parse_any(&text) {
            Ok(order) => Given::Value((text, order)),
            Err(message) => {
                connector.problem(&keys::ORDER, message);
                Given::Wrong
            }
        },
        Given::Missing => Given::Missing,
        Given::Wrong => Given::Wrong,
    }
}

/// The tags of the file, in their order, and then those of the template that the file does not name.
fn read_tags(
    connector: &Table<'_>,
    tables: &mut [Table<'_>],
    template: Option<&Template>,
    defaults: &Defaults,
) -> Option<Vec<Tag>> {
    let mut read = Vec::new();
    let mut named = Vec::new();
    for table in &mut *tables {
        let own = TagSource::read(table);
        let base = template.and_then(|template| template.tag_named_as(&own));
        if own.is_of_the_connector() {
            named.extend(base.and_then(TagSource::name));
        }
        let source = match base {
            Some(base) => own.over(base),
            None => own,
        };
        let note: &Note<'_> = &|key, message| table.problem(key, message);
        read.push(source.resolve(defaults, note));
    }
    let unique = are_unique(&read, tables);
    let rest = template.iter().flat_map(|template| &template.tags);
    let rest = rest.filter(|tag| tag.name().is_none_or(|name| !named.contains(&name)));
    let mut extra = Vec::new();
    for source in rest {
        let name = source.name().map(ToString::to_string).unwrap_or_default();
        let note: &Note<'_> = &|key, message| {
            let message = format!("tag {name}: {}: {message}", key.name());
            connector.problem(&keys::TEMPLATE, message);
        };
        extra.push(source.clone().resolve(defaults, note));
    }
    let all: Option<Vec<Tag>> = read.into_iter().chain(extra).collect();
    all.filter(|_| unique)
}

/// Whether no two tags of a device have one name.
fn are_unique(tags: &[Option<Tag>], tables: &[Table<'_>]) -> bool {
    let mut seen: BTreeMap<(&DeviceId, _), usize> = BTreeMap::new();
    let mut unique = true;
    for (place, (tag, table)) in tags.iter().zip(tables).enumerate() {
        let Some(tag) = tag else { continue };
        if let Some(first) = seen.insert((&tag.device, &tag.name), place) {
            let message = format!(
                "{} of device {} is the name of tag {} too",
                tag.name,
                tag.device,
                first + 1
            );
            table.problem(&keys::NAME, message);
            unique = false;
        }
    }
    unique
}

#[cfg(test)]
mod tests;
