//! The keys of a `[[connector]]` of kind "modbus" and of its `[[connector.tag]]`s, read into valid settings.
//!
//! Every wrong value is reported with the valid ones, all in one pass. The keys common to all connectors are the gateway's.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use forebay_config::{Describe, FromValue, Optional, Table};
use forebay_schemas::{DeviceId, TagName};
use url::{Host, Url};

use crate::{
    client::Server,
    keys,
    plan::{Group, Limits, Register, groups},
    unit::{Unit, UnitId, units},
    value::{Layout, Order, ValueKind},
};

const URL_EXAMPLE: &str = "\"tcp://10.0.0.5:502\"";
const PORT_DEFAULT: u16 = 502;
const MILLIS_10: Duration = Duration::from_millis(10);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// One tag.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tag {
    pub(crate) device: DeviceId,
    pub(crate) name: TagName,
    pub(crate) unit: UnitId,
    pub(crate) register: Register,
    pub(crate) address: u16,
    pub(crate) layout: Layout,
    pub(crate) every: Duration,
}

/// One connector.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    pub(crate) server: Server,
    /// The longest wait for a connection, and for a reply.
    pub(crate) timeout: Duration,
    /// The longest time in which a unit is asked for nothing.
    pub(crate) heartbeat: Duration,
    /// The rest before each request.
    pub(crate) pause: Duration,
    /// In the order of the configuration.
    pub(crate) tags: Vec<Tag>,
    /// What is polled together.
    pub(crate) groups: Vec<Group>,
    /// Never empty; by identifier.
    pub(crate) units: Vec<Unit>,
}

/// What tags take over from their connector.
struct Defaults {
    device: Option<DeviceId>,
    unit: UnitId,
    every: Duration,
    limits: Limits,
    /// As it is written, and as it is meant.
    order: Option<(String, Order)>,
}

impl Settings {
    /// Reads the tables; notes what is wrong in them, and answers none then.
    pub(crate) fn read(connector: &mut Table<'_>, tags: &mut [Table<'_>]) -> Option<Self> {
        let server = connector.read(&keys::URL).and_then(|url| {
            parse_url(&url)
                .map_err(|message| connector.problem(&keys::URL, message))
                .ok()
        });
        let timeout = connector.read(&keys::TIMEOUT);
        let timeout = duration(connector, &keys::TIMEOUT, timeout, MILLIS_10..=MINUTE);
        let heartbeat = connector.read(&keys::HEARTBEAT);
        let heartbeat = duration(connector, &keys::HEARTBEAT, heartbeat, 10 * MILLIS_10..=DAY);
        let pause = connector.read(&keys::PAUSE);
        let pause = duration(connector, &keys::PAUSE, pause, Duration::ZERO..=MINUTE);
        let unit = UnitId(connector.read(&keys::UNIT_ID));
        let every = connector.read(&keys::EVERY);
        let every = duration(connector, &keys::EVERY, every, MILLIS_10..=DAY);
        let order = order(connector);
        let gap_max = connector.read(&keys::MAX_GAP);
        let gap_max = within(connector, &keys::MAX_GAP, gap_max, 0..=125);
        let registers_max = connector.read(&keys::MAX_REGISTERS);
        let registers_max = within(connector, &keys::MAX_REGISTERS, registers_max, 1..=125);
        let coils_max = connector.read(&keys::MAX_COILS);
        let coils_max = within(connector, &keys::MAX_COILS, coils_max, 1..=2000);
        let has_device = connector.has(&keys::DEVICE);
        let device = connector.read(&keys::DEVICE);
        // A tag needs its own device only where the connector names none, be it a wrong one.
        let limits = Limits {
            gap_max: gap_max.unwrap_or_else(|| keys::MAX_GAP.default()),
            registers_max: registers_max.unwrap_or_else(|| keys::MAX_REGISTERS.default()),
            coils_max: coils_max.unwrap_or_else(|| keys::MAX_COILS.default()),
        };
        let defaults = Defaults {
            device: device.clone(),
            unit,
            every: every.unwrap_or_else(|| keys::EVERY.default()),
            limits,
            order: order.clone().flatten(),
        };
        if tags.is_empty() {
            connector.problem(
                &keys::KEYS.tag,
                "there is nothing to read: add one [[connector.tag]] or more",
            );
        }
        let read: Vec<Option<Tag>> = tags
            .iter_mut()
            .map(|tag| read_tag(tag, &defaults, has_device))
            .collect();
        let unique = are_unique(&read, tags);
        if (has_device && device.is_none()) || tags.is_empty() || !unique {
            return None;
        }
        let _valid = (gap_max?, registers_max?, coils_max?, every?, order?);
        let tags = read.into_iter().collect::<Option<Vec<Tag>>>()?;
        let (groups, units) = (groups(&tags, &limits), units(&tags));
        Some(Self {
            server: server?,
            timeout: timeout?,
            heartbeat: heartbeat?,
            pause: pause?,
            tags,
            groups,
            units,
        })
    }
}

/// The order of tags that name none. The outer none is a noted problem.
fn order(connector: &mut Table<'_>) -> Option<Option<(String, Order)>> {
    if !connector.has(&keys::ORDER) {
        return Some(None);
    }
    let text = connector.read(&keys::ORDER)?;
    match Order::parse_any(&text) {
        Ok(order) => Some(Some((text, order))),
        Err(message) => {
            connector.problem(&keys::ORDER, message);
            None
        }
    }
}

fn read_tag(table: &mut Table<'_>, defaults: &Defaults, has_device: bool) -> Option<Tag> {
    let name = table.read(&keys::NAME);
    let unit = own(table, &keys::TAG_UNIT_ID, Some(defaults.unit.0)).map(UnitId);
    let every = own(table, &keys::TAG_EVERY, Some(defaults.every));
    let every = every.and_then(|every| duration(table, &keys::TAG_EVERY, every, MILLIS_10..=DAY));
    let device = if table.has(&keys::TAG_DEVICE) || has_device {
        own(table, &keys::TAG_DEVICE, defaults.device.clone())
    } else {
        table.problem(
            &keys::TAG_DEVICE,
            "neither this tag nor its connector names a device: add device = \"…\" to one of them",
        );
        None
    };
    let register = if table.has(&keys::REGISTER) {
        table.read(&keys::REGISTER)
    } else {
        table.problem(
            &keys::REGISTER,
            "is missing: \"holding\", \"input\", \"coil\" or \"discrete\" is expected",
        );
        None
    };
    let address = table.read(&keys::ADDRESS);
    let kind = table.read(&keys::TYPE);
    let order = table.read(&keys::TAG_ORDER);
    if (table.has(&keys::TYPE) && kind.is_none())
        || (table.has(&keys::TAG_ORDER) && order.is_none())
    {
        return None;
    }
    let layout = read_layout(table, register, kind, order, defaults)?;
    let address = address?;
    fits(table, address, &layout, &defaults.limits)?;
    Some(Tag {
        device: device?,
        name: name?,
        unit: unit?,
        register: register?,
        address,
        layout,
        every: every?,
    })
}

/// Without a register, as it is wrong itself, only what holds for all of them is looked at.
fn read_layout(
    table: &Table<'_>,
    register: Option<Register>,
    kind: Option<String>,
    order: Option<String>,
    defaults: &Defaults,
) -> Option<Layout> {
    let wrong = |key: &dyn Describe, message: String| {
        table.problem(key, message);
        None
    };
    let kind = match kind.as_deref().map(ValueKind::parse) {
        Some(Ok(kind)) => kind,
        Some(Err(message)) => return wrong(&keys::TYPE, message),
        None if register?.is_bits() => ValueKind::Bool,
        None => {
            return wrong(
                &keys::TYPE,
                "is missing: a type such as \"u16\", \"f32\" or \"bit:0\" is expected".into(),
            );
        }
    };
    if let Some(message) = register.and_then(|register| unfit(register, kind)) {
        return wrong(&keys::TYPE, message);
    }
    let bytes = kind.ordered_bytes();
    match order {
        Some(_) if bytes == 0 => wrong(
            &keys::TAG_ORDER,
            "a single bit has no order: leave it out".into(),
        ),
        Some(order) => match Order::parse(&order, bytes) {
            Ok(order) => Some(Layout { kind, order }),
            Err(message) => wrong(&keys::TAG_ORDER, message),
        },
        None if bytes == 0 => Some(Layout {
            kind,
            order: Order::big_endian(0),
        }),
        None => match &defaults.order {
            None => Some(Layout {
                kind,
                order: Order::big_endian(bytes),
            }),
            Some((text, inherited)) => match inherited.for_bytes(bytes) {
                Some(order) => Some(Layout { kind, order }),
                None => wrong(&keys::TYPE, unsaid(text, kind)),
            },
        },
    }
}

fn unsaid(order: &str, kind: ValueKind) -> String {
    let (name, bytes) = (kind.name(), kind.ordered_bytes());
    format!(
        "the connector's order {order:?} says nothing of the {bytes} bytes of {name}: give this tag an order of its own"
    )
}

/// Why a type is none of this register's.
fn unfit(register: Register, kind: ValueKind) -> Option<String> {
    match (register.is_bits(), kind) {
        (true, ValueKind::Bool) => None,
        (true, other) => {
            let (found, name) = (other.name(), register.name());
            Some(format!("{found:?} does not fit one bit: a {name} is always \"bool\""))
        }
        (false, ValueKind::Bool) => Some(
            "a register has 16 bits: \"bit:0\" (lowest) to \"bit:15\" is expected, or register = \"coil\"".to_owned(),
        ),
        (false, _) => None,
    }
}

/// A value must fit the table of 65536 addresses, and one request.
fn fits(table: &Table<'_>, address: u16, layout: &Layout, limits: &Limits) -> Option<()> {
    let (name, addresses) = (layout.kind.name(), layout.addresses());
    let last = u16::MAX - (addresses - 1);
    if address > last {
        let message = format!(
            "{name} takes {addresses} registers: its last address is {last}, found {address}"
        );
        table.problem(&keys::ADDRESS, message);
        return None;
    }
    if layout.kind.registers() > limits.registers_max {
        let max = limits.registers_max;
        table.problem(
            &keys::TYPE,
            format!("{name} takes {addresses} registers, more than max_registers = {max}"),
        );
        return None;
    }
    Some(())
}

/// Whether no two tags of a device have one name.
fn are_unique(tags: &[Option<Tag>], tables: &[Table<'_>]) -> bool {
    let mut seen = BTreeMap::new();
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

fn parse_url(text: &str) -> Result<Server, String> {
    let wrong = |why: String| format!("{text:?} {why}; {URL_EXAMPLE} is expected");
    let url = Url::parse(text).map_err(|error| wrong(format!("is not a URL ({error})")))?;
    if url.scheme() != "tcp" {
        return Err(wrong(format!(
            "has the scheme {:?}, and only tcp is spoken",
            url.scheme()
        )));
    }
    let host = match url.host() {
        Some(Host::Domain(name)) if !name.is_empty() => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        _ => return Err(wrong("names no host".into())),
    };
    let bare =
        url.username().is_empty() && url.password().is_none() && matches!(url.path(), "" | "/");
    if !bare || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("has more than a host and a port".into()));
    }
    match url.port().unwrap_or(PORT_DEFAULT) {
        0 => Err(wrong("names port 0".into())),
        port => Ok(Server { host, port }),
    }
}

/// A tag's own value, else what it takes over from its connector; none where its own is wrong, or there is none of either.
fn own<T: FromValue>(table: &mut Table<'_>, key: &Optional<T>, inherited: Option<T>) -> Option<T> {
    if table.has(key) {
        table.read(key)
    } else {
        inherited
    }
}

fn within(
    table: &Table<'_>,
    key: &dyn Describe,
    value: u16,
    range: RangeInclusive<u16>,
) -> Option<u16> {
    if range.contains(&value) {
        return Some(value);
    }
    table.problem(
        key,
        format!(
            "{} to {} is expected, found {value}",
            range.start(),
            range.end()
        ),
    );
    None
}

fn duration(
    table: &Table<'_>,
    key: &dyn Describe,
    value: Duration,
    range: RangeInclusive<Duration>,
) -> Option<Duration> {
    if range.contains(&value) {
        return Some(value);
    }
    table.problem(
        key,
        format!(
            "{:?} to {:?} is expected, found {value:?}",
            range.start(),
            range.end()
        ),
    );
    None
}

#[cfg(test)]
mod tests;
