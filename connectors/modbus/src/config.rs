//! The keys of a `[[connector]]` of kind "modbus" and of its `[[connector.tag]]`s, read into valid settings.
//!
//! Every wrong value is told with the valid ones, all in one pass. The keys common to all connectors are the gateway's.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use forebay_config::{FromValue, Table};
use forebay_schemas::{DeviceId, TagName};
use url::{Host, Url};

use crate::{
    client::Server,
    plan::{Group, Limits, Register, groups},
    unit::{Unit, UnitId, units},
    value::{Layout, Order, ValueKind},
};

const URL_EXAMPLE: &str = "\"tcp://10.0.0.5:502\"";
const PORT_DEFAULT: u16 = 502;
const EVERY_DEFAULT: Duration = Duration::from_secs(1);
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(1);
pub(crate) const HEARTBEAT_DEFAULT: Duration = Duration::from_secs(2);
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
        let server = connector
            .required("url")
            .and_then(|url: String| parse_url(&url).map_err(|message| connector.problem("url", message)).ok());
        let timeout = duration(connector, "timeout", TIMEOUT_DEFAULT, MILLIS_10..=MINUTE);
        let heartbeat = duration(connector, "heartbeat", HEARTBEAT_DEFAULT, 10 * MILLIS_10..=DAY);
        let pause = duration(connector, "pause", Duration::ZERO, Duration::ZERO..=MINUTE);
        let unit = within(connector, "unit_id", 1, 0..=u8::MAX);
        let every = duration(connector, "every", EVERY_DEFAULT, MILLIS_10..=DAY);
        let order = order(connector);
        let gap_max = within(connector, "max_gap", 8, 0..=125);
        let registers_max = within(connector, "max_registers", 125, 1..=125);
        let coils_max = within(connector, "max_coils", 2000, 1..=2000);
        let has_device = connector.has("device");
        let device = connector.optional("device");
        // A tag needs its own device only where the connector names none, be it a wrong one.
        let limits = Limits {
            gap_max: gap_max.unwrap_or(0),
            registers_max: registers_max.unwrap_or(125),
            coils_max: coils_max.unwrap_or(2000),
        };
        let defaults = Defaults {
            device: device.clone(),
            unit: UnitId(unit.unwrap_or(1)),
            every: every.unwrap_or(EVERY_DEFAULT),
            limits,
            order: order.clone().flatten(),
        };
        if tags.is_empty() {
            connector.problem("tag", "there is nothing to read: add one [[connector.tag]] or more");
        }
        let read: Vec<Option<Tag>> = tags.iter_mut().map(|tag| read_tag(tag, &defaults, has_device)).collect();
        let unique = are_unique(&read, tags);
        if (has_device && device.is_none()) || tags.is_empty() || !unique {
            return None;
        }
        let _valid = (gap_max?, registers_max?, coils_max?, unit?, every?, order?);
        let tags = read.into_iter().collect::<Option<Vec<Tag>>>()?;
        let (groups, units) = (groups(&tags, &limits), units(&tags));
        Some(Self { server: server?, timeout: timeout?, heartbeat: heartbeat?, pause: pause?, tags, groups, units })
    }
}

/// The order of tags that name none. The outer none is a noted problem.
fn order(connector: &mut Table<'_>) -> Option<Option<(String, Order)>> {
    if !connector.has("order") {
        return Some(None);
    }
    let text: String = connector.optional("order")?;
    match Order::parse_any(&text) {
        Ok(order) => Some(Some((text, order))),
        Err(message) => {
            connector.problem("order", message);
            None
        }
    }
}

fn read_tag(table: &mut Table<'_>, defaults: &Defaults, has_device: bool) -> Option<Tag> {
    let name = table.required("name");
    let unit = within(table, "unit_id", defaults.unit.0, 0..=u8::MAX).map(UnitId);
    let every = duration(table, "every", defaults.every, MILLIS_10..=DAY);
    let device = if table.has("device") || has_device {
        optional(table, "device", defaults.device.clone())
    } else {
        table.problem("device", "neither this tag nor its connector names a device: add device = \"…\" to one of them");
        None
    };
    let words = [Register::Holding, Register::Input, Register::Coil, Register::Discrete];
    let words = words.map(|register| (register.name(), register));
    let register = if table.has("register") {
        table.choice("register", &words)
    } else {
        table.problem("register", "is missing: \"holding\", \"input\", \"coil\" or \"discrete\" is expected");
        None
    };
    let address = table.required("address");
    // They are looked at even where the register is wrong, so that they are known keys.
    let (has_kind, has_order) = (table.has("type"), table.has("order"));
    let (kind, order) = (table.optional("type"), table.optional("order"));
    if (has_kind && kind.is_none()) || (has_order && order.is_none()) {
        return None;
    }
    let layout = read_layout(table, register, kind, order, defaults)?;
    let address = address?;
    fits(table, address, &layout, &defaults.limits)?;
    Some(Tag { device: device?, name: name?, unit: unit?, register: register?, address, layout, every: every? })
}

/// Without a register, as it is wrong itself, only what holds for all of them is looked at.
fn read_layout(
    table: &Table<'_>,
    register: Option<Register>,
    kind: Option<String>,
    order: Option<String>,
    defaults: &Defaults,
) -> Option<Layout> {
    let wrong = |key: &str, message: String| {
        table.problem(key, message);
        None
    };
    let kind = match kind.as_deref().map(ValueKind::parse) {
        Some(Ok(kind)) => kind,
        Some(Err(message)) => return wrong("type", message),
        None if register?.is_bits() => ValueKind::Bool,
        None => return wrong("type", "is missing: a type such as \"u16\", \"f32\" or \"bit:0\" is expected".into()),
    };
    if let Some(message) = register.and_then(|register| unfit(register, kind)) {
        return wrong("type", message);
    }
    let bytes = kind.ordered_bytes();
    match order {
        Some(_) if bytes == 0 => wrong("order", "a single bit has no order: leave it out".into()),
        Some(order) => match Order::parse(&order, bytes) {
            Ok(order) => Some(Layout { kind, order }),
            Err(message) => wrong("order", message),
        },
        None if bytes == 0 => Some(Layout { kind, order: Order::big_endian(0) }),
        None => match &defaults.order {
            None => Some(Layout { kind, order: Order::big_endian(bytes) }),
            Some((text, inherited)) => match inherited.for_bytes(bytes) {
                Some(order) => Some(Layout { kind, order }),
                None => wrong("type", unsaid(text, kind)),
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
        let message = format!("{name} takes {addresses} registers: its last address is {last}, found {address}");
        table.problem("address", message);
        return None;
    }
    if layout.kind.registers() > limits.registers_max {
        let max = limits.registers_max;
        table.problem("type", format!("{name} takes {addresses} registers, more than max_registers = {max}"));
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
            let message = format!("{} of device {} is the name of tag {} too", tag.name, tag.device, first + 1);
            table.problem("name", message);
            unique = false;
        }
    }
    unique
}

fn parse_url(text: &str) -> Result<Server, String> {
    let wrong = |why: String| format!("{text:?} {why}; {URL_EXAMPLE} is expected");
    let url = Url::parse(text).map_err(|error| wrong(format!("is no URL ({error})")))?;
    if url.scheme() != "tcp" {
        return Err(wrong(format!("has the scheme {:?}, and only tcp is spoken", url.scheme())));
    }
    let host = match url.host() {
        Some(Host::Domain(name)) if !name.is_empty() => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        _ => return Err(wrong("names no host".into())),
    };
    let bare = url.username().is_empty() && url.password().is_none() && matches!(url.path(), "" | "/");
    if !bare || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("has more than a host and a port".into()));
    }
    match url.port().unwrap_or(PORT_DEFAULT) {
        0 => Err(wrong("names port 0".into())),
        port => Ok(Server { host, port }),
    }
}

/// None only where the value is there and wrong, or where there is no default.
fn optional<T: FromValue>(table: &mut Table<'_>, key: &'static str, default: Option<T>) -> Option<T> {
    if table.has(key) { table.optional(key) } else { default }
}

fn within<T>(table: &mut Table<'_>, key: &'static str, default: T, range: RangeInclusive<T>) -> Option<T>
where
    T: FromValue + PartialOrd + std::fmt::Display,
{
    let value = optional(table, key, Some(default))?;
    if range.contains(&value) {
        return Some(value);
    }
    table.problem(key, format!("{} to {} is expected, found {value}", range.start(), range.end()));
    None
}

fn duration(
    table: &mut Table<'_>,
    key: &'static str,
    default: Duration,
    range: RangeInclusive<Duration>,
) -> Option<Duration> {
    let value = optional(table, key, Some(default))?;
    if range.contains(&value) {
        return Some(value);
    }
    table.problem(key, format!("{:?} to {:?} is expected, found {value:?}", range.start(), range.end()));
    None
}

#[cfg(test)]
mod tests;
