//! Units: the devices that one server answers for, told apart by the unit identifier.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use forebay_schemas::DeviceId;

use crate::{
    config::Tag,
    plan::{Point, Read},
};

/// A unit identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct UnitId(pub(crate) u8);

impl fmt::Display for UnitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One unit as configured.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Unit {
    pub(crate) id: UnitId,
    /// The smallest reads that tell whether it answers, one for each place of a tag, in the order of the configuration.
    pub(crate) signs: Vec<Read>,
    /// Devices all of whose tags are on this unit: their link is the unit's.
    pub(crate) devices: Vec<DeviceId>,
    /// Tags of devices that have tags on other units too: they are reported one by one.
    pub(crate) shared: Vec<usize>,
}

/// The units of all tags, by identifier.
pub(crate) fn units(tags: &[Tag]) -> Vec<Unit> {
    let mut homes: BTreeMap<&DeviceId, Vec<UnitId>> = BTreeMap::new();
    let mut units: BTreeMap<UnitId, Unit> = BTreeMap::new();
    let mut places = BTreeSet::new();
    for (place, tag) in tags.iter().enumerate() {
        let home = homes.entry(&tag.device).or_default();
        if !home.contains(&tag.unit) {
            home.push(tag.unit);
        }
        let unit = units.entry(tag.unit).or_insert_with(|| Unit {
            id: tag.unit,
            signs: Vec::new(),
            devices: Vec::new(),
            shared: Vec::new(),
        });
        let sign = Read::of(tag.register, vec![Point::of(place, tag)]);
        if places.insert((tag.unit, tag.register, sign.first, sign.count)) {
            unit.signs.push(sign);
        }
    }
    for (device, homes) in &homes {
        if let [only] = homes.as_slice()
            && let Some(unit) = units.get_mut(only)
        {
            unit.devices.push((*device).clone());
        }
    }
    for (place, tag) in tags.iter().enumerate() {
        if homes.get(&tag.device).is_some_and(|homes| homes.len() > 1)
            && let Some(unit) = units.get_mut(&tag.unit)
        {
            unit.shared.push(place);
        }
    }
    units.into_values().collect()
}
