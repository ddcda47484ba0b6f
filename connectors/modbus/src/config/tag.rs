//! One tag: what the file says of it, what its template says, and what they make together.

use std::{sync::Arc, time::Duration};

use forebay_config::{Describe, Optional, Table};
use forebay_schemas::{DeviceId, TagName, Value};

use super::{
    Given,
    checked::{DAY, MILLIS_10, duration},
};
use crate::{
    keys,
    plan::{Limits, Register},
    unit::UnitId,
    value::{Layout, Order, Sentinel, ValueKind},
};

/// The gateway's keys. Where the file has one of them, the template's scaling is not taken.
pub(crate) const SCALE: Optional<f64> = Optional::new(
    "scale",
    "Factor of the raw value: value = raw × scale + offset.",
);
pub(crate) const OFFSET: Optional<f64> =
    Optional::new("offset", "What is added to the scaled value.");

/// Notes what is wrong with a key.
pub(crate) type Note<'n> = dyn Fn(&dyn Describe, String) + 'n;

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
    /// That of the template; what the file says is done by the gateway.
    pub(crate) scaling: Option<Scaling>,
    /// UCUM, from the template.
    pub(crate) ucum: Option<Arc<str>>,
}

/// value = raw × scale + offset.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scaling {
    pub(crate) scale: f64,
    pub(crate) offset: f64,
}

/// What tags take over from their connector.
pub(crate) struct Defaults {
    pub(crate) has_device: bool,
    pub(crate) device: Option<DeviceId>,
    pub(crate) unit: UnitId,
    pub(crate) every: Duration,
    pub(crate) limits: Limits,
    /// As it is written, and as it is meant.
    pub(crate) order: Option<(String, Order)>,
}

/// The keys of a tag as they stand in a file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TagSource {
    device: Given<DeviceId>,
    name: Given<TagName>,
    unit: Given<u8>,
    register: Given<Register>,
    address: Given<u16>,
    kind: Given<String>,
    order: Given<String>,
    every: Given<Duration>,
    invalid: Given<Vec<Sentinel>>,
    scaling: Option<Scaling>,
    ucum: Option<Arc<str>>,
    has_own_scaling: bool,
}

impl Scaling {
    /// A number scaled; anything else as it is.
    pub(crate) fn apply(self, value: Value) -> Value {
        let raw = match value {
            Value::F64(float) => float,
            Value::I64(integer) => integer as f64,
            Value::U64(integer) => integer as f64,
            other => return other,
        };
        Value::F64(raw * self.scale + self.offset)
    }
}

impl TagSource {
    /// Reads a table. A name must be there.
    pub(crate) fn read(table: &mut Table<'_>) -> Self {
        let every = match Given::read(table, &keys::TAG_EVERY) {
            Given::Value(every) => duration(table, &keys::TAG_EVERY, every, MILLIS_10..=DAY)
                .map_or(Given::Wrong, Given::Value),
            other => other,
        };
        Self {
            name: table.read(&keys::NAME).map_or(Given::Wrong, Given::Value),
            device: Given::read(table, &keys::TAG_DEVICE),
            unit: Given::read(table, &keys::TAG_UNIT_ID),
            register: Given::read(table, &keys::REGISTER),
            address: Given::read(table, &keys::ADDRESS),
            kind: Given::read(table, &keys::TYPE),
            order: Given::read(table, &keys::TAG_ORDER),
            every,
            invalid: Given::read(table, &keys::INVALID),
            scaling: None,
            ucum: None,
            has_own_scaling: table.has(&SCALE) || table.has(&OFFSET),
        }
    }

    /// The same with the scaling and the unit of a template.
    pub(crate) fn scaled(self, scaling: Option<Scaling>, ucum: Option<Arc<str>>) -> Self {
        Self {
            scaling,
            ucum,
            ..self
        }
    }

    /// Its name, unless that is wrong.
    pub(crate) fn name(&self) -> Option<&TagName> {
        self.name.as_value()
    }

    /// Whether it is of the connector's own device and unit, as the tags of a template are.
    pub(crate) fn is_of_the_connector(&self) -> bool {
        self.device.is_missing() && self.unit.is_missing()
    }

    /// Whether a tag of the file changes this one of the template.
    pub(crate) fn is_of_same_name(&self, own: &Self) -> bool {
        own.is_of_the_connector() && self.name.as_value() == own.name.as_value()
    }

    /// What it says, and where it says nothing what the template says. A table, an address or a type of its own is another
    /// place or another number: the template's scaling and invalid values hold for it only where it names none of the three.
    pub(crate) fn over(self, base: &Self) -> Self {
        let is_same_place =
            self.register.is_missing() && self.address.is_missing() && self.kind.is_missing();
        let takes_scaling = is_same_place && !self.has_own_scaling;
        let invalid = if is_same_place {
            self.invalid.or(|| base.invalid.clone())
        } else {
            self.invalid
        };
        Self {
            register: self.register.or(|| base.register),
            address: self.address.or(|| base.address),
            kind: self.kind.or(|| base.kind.clone()),
            order: self.order.or(|| base.order.clone()),
            every: self.every.or(|| base.every),
            invalid,
            scaling: base.scaling.filter(|_| takes_scaling),
            ucum: base.ucum.clone(),
            ..self
        }
    }

    /// The tag, with what it takes over from its connector; what is wrong is noted.
    pub(crate) fn resolve(self, defaults: &Defaults, note: &Note<'_>) -> Option<Tag> {
        let device = match self.device {
            Given::Missing if !defaults.has_device => {
                let message = "neither this tag nor its connector names a device: add device = \"…\" to one of them";
                note(&keys::TAG_DEVICE, message.into());
                None
            }
            Given::Missing => defaults.device.clone(),
            given => given.into_value(),
        };
        if self.register.is_missing() {
            let message =
                "is missing: \"holding\", \"input\", \"coil\" or \"discrete\" is expected";
            note(&keys::REGISTER, message.into());
        }
        if self.address.is_missing() {
            let message = "is missing, a whole number from 0 to 65535 is expected";
            note(&keys::ADDRESS, message.into());
        }
        let unit = self.unit.or(|| Given::Value(defaults.unit.0));
        let every = self.every.or(|| Given::Value(defaults.every));
        let invalid = self.invalid.or(|| Given::Value(Vec::new()));
        if self.kind.is_wrong() || self.order.is_wrong() {
            return None;
        }
        let register = self.register.into_value();
        let layout = LayoutSource {
            register,
            kind: self.kind.into_value(),
            order: self.order.into_value(),
        };
        let layout = layout.resolve(defaults, note)?;
        let invalid = fit(invalid.into_value()?, layout.kind, note)?;
        let address = self.address.into_value()?;
        fits(register, address, &layout, &defaults.limits, note)?;
        Some(Tag {
            device: device?,
            name: self.name.into_value()?,
            unit: UnitId(unit.into_value()?),
            register: register?,
            address,
            layout: Layout { invalid, ..layout },
            every: every.into_value()?,
            scaling: self.scaling,
            ucum: self.ucum,
        })
    }
}

/// What says how a value lies in its registers.
struct LayoutSource {
    /// None where it is wrong itself: then only what holds for all of them is looked at.
    register: Option<Register>,
    kind: Option<String>,
    order: Option<String>,
}

impl LayoutSource {
    fn resolve(self, defaults: &Defaults, note: &Note<'_>) -> Option<Layout> {
        let wrong = |key: &dyn Describe, message: String| {
            note(key, message);
            None
        };
        let kind = match self.kind.as_deref().map(ValueKind::parse) {
            Some(Ok(kind)) => kind,
            Some(Err(message)) => return wrong(&keys::TYPE, message),
            None if self.register?.is_bits() => ValueKind::Bool,
            None => {
                let message =
                    "is missing: a type such as \"u16\", \"f32\" or \"bit:0\" is expected";
                return wrong(&keys::TYPE, message.into());
            }
        };
        if let Some(message) = self.register.and_then(|register| unfit(register, kind)) {
            return wrong(&keys::TYPE, message);
        }
        let bytes = kind.ordered_bytes();
        let order = match self.order {
            Some(_) if bytes == 0 => {
                return wrong(
                    &keys::TAG_ORDER,
                    "a single bit has no order: leave it out".into(),
                );
            }
            Some(order) => match Order::parse(&order, bytes) {
                Ok(order) => order,
                Err(message) => return wrong(&keys::TAG_ORDER, message),
            },
            None => match defaults.order.as_ref().filter(|_| bytes > 0) {
                None => Order::big_endian(bytes),
                Some((text, inherited)) => match inherited.for_bytes(bytes) {
                    Some(order) => order,
                    None => return wrong(&keys::TYPE, unsaid(text, kind)),
                },
            },
        };
        Some(Layout {
            kind,
            order,
            invalid: Vec::new(),
        })
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

fn fit(invalid: Vec<Sentinel>, kind: ValueKind, note: &Note<'_>) -> Option<Vec<Sentinel>> {
    match invalid.iter().find_map(|sentinel| sentinel.unfit(kind)) {
        Some(message) => {
            note(&keys::INVALID, message);
            None
        }
        None => Some(invalid),
    }
}

/// A value must fit the table of 65536 addresses, and one request, and must not be forbidden to read.
fn fits(
    register: Option<Register>,
    address: u16,
    layout: &Layout,
    limits: &Limits,
    note: &Note<'_>,
) -> Option<()> {
    let (name, addresses) = (layout.kind.name(), layout.addresses());
    let last = u16::MAX - (addresses - 1);
    if address > last {
        let message = format!(
            "{name} takes {addresses} registers: its last address is {last}, found {address}"
        );
        note(&keys::ADDRESS, message);
        return None;
    }
    if layout.kind.registers() > limits.registers_max {
        let max = limits.registers_max;
        let message =
            format!("{name} takes {addresses} registers, more than max_registers = {max}");
        note(&keys::TYPE, message);
        return None;
    }
    let is_forbidden = |register: Register| {
        limits
            .never
            .touches(register, address, address + (addresses - 1))
    };
    if register.is_some_and(is_forbidden) {
        let message =
            format!("{address} is among the addresses that never says are not to be read");
        note(&keys::ADDRESS, message);
        return None;
    }
    Some(())
}
