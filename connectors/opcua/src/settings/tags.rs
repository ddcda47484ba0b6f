//! `[[connector.tag]]`: what is read, and how the server is asked for it.

use std::{collections::HashSet, time::Duration};

use forebay_config::{Expanded, FromValue, Shape, Table};
use forebay_connectors::RuleId;
use forebay_schemas::{DeviceId, TagName};

use crate::{keys, node::NodeAddress, value::Target};

/// One configured tag.
#[derive(Debug, Clone)]
pub(crate) struct Tag {
    pub(crate) target: Target,
    pub(crate) node: NodeAddress,
    pub(crate) sampling: Duration,
    /// Values that the server keeps between two notifications; at least 1.
    pub(crate) queue_size: u32,
    pub(crate) server_deadband: Option<ServerDeadband>,
    /// Whether gaps are filled from the server's history.
    pub(crate) has_history: bool,
}

/// How an array or a structure is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compound {
    /// A series for each element and field.
    Split,
    /// One text.
    Json,
}

/// How an enumeration is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EnumerationForm {
    /// Its number.
    Number,
    /// Its number, and the server's name for it in a series of its own.
    NumberAndText,
}

/// How far a value must move before the server sends it (Part 4, 7.22.2).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum ServerDeadband {
    /// In the variable's own unit.
    Absolute(f64),
    /// In per cent of the variable's EURange.
    Percent(f64),
}

impl FromValue for ServerDeadband {
    const EXPECTED: &'static str =
        "a number such as 0.5, or per cent of the variable's range such as \"2%\"";

    fn from_value(value: &Expanded) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{} is expected, above 0 and at most 100%",
                <Self as FromValue>::EXPECTED
            )
        };
        let (width, deadband): (f64, fn(f64) -> Self) = match value {
            Expanded::Text(text) => {
                let number = text.strip_suffix('%').ok_or_else(wrong)?;
                (number.trim().parse().map_err(|_| wrong())?, Self::Percent)
            }
            other => (f64::from_value(other).map_err(|_| wrong())?, Self::Absolute),
        };
        let deadband = deadband(width);
        let is_sound = match deadband {
            Self::Absolute(width) => width.is_finite() && width > 0.0,
            Self::Percent(share) => share > 0.0 && share <= 100.0,
        };
        is_sound.then_some(deadband).ok_or_else(wrong)
    }

    fn shape() -> Shape {
        let share = Shape::Pattern {
            what: "per cent of the variable's range such as \"2%\"",
            pattern: r"\s*[0-9.eE+-]+\s*%",
        };
        Shape::AnyOf(vec![Shape::Number, share])
    }
}

/// What holds for tags that say nothing else.
struct Common {
    device: Option<DeviceId>,
    sampling: Duration,
    queue_size: u32,
    server_deadband: Option<ServerDeadband>,
    compound: Compound,
    enumeration: EnumerationForm,
    has_history: bool,
}

/// Reads the connector's keys for all tags, and its tags; none where anything is wrong.
pub(super) fn read(connector: &mut Table<'_>, tables: &mut [Table<'_>]) -> Option<Vec<Tag>> {
    let common = common(connector);
    let mut tags: Vec<Tag> = Vec::with_capacity(tables.len());
    let mut series: HashSet<(DeviceId, TagName)> = HashSet::with_capacity(tables.len());
    let mut is_whole = common.queue_size > 0;
    for (rule, table) in tables.iter_mut().enumerate() {
        let Some(tag) = tag(table, RuleId(rule), &common) else {
            is_whole = false;
            continue;
        };
        if !series.insert((tag.target.device.clone(), tag.target.tag.clone())) {
            table.problem(
                &keys::TAG_NAME,
                format!(
                    "{} of {} is read by another tag already",
                    tag.target.tag, tag.target.device
                ),
            );
            is_whole = false;
        }
        tags.push(tag);
    }
    is_whole.then_some(tags)
}

fn common(connector: &mut Table<'_>) -> Common {
    let queue_size = connector.read(&keys::QUEUE_SIZE);
    if queue_size == 0 {
        connector.problem(&keys::QUEUE_SIZE, NO_QUEUE);
    }
    Common {
        device: connector.read(&keys::DEVICE),
        sampling: connector.read(&keys::SAMPLING),
        queue_size,
        server_deadband: connector.read(&keys::SERVER_DEADBAND),
        compound: connector.read(&keys::COMPOUND),
        enumeration: connector.read(&keys::ENUMERATION),
        has_history: connector.read(&keys::HISTORY),
    }
}

const NO_QUEUE: &str = "0 lets the server keep nothing between two publications: at least 1";

fn tag(table: &mut Table<'_>, rule: RuleId, common: &Common) -> Option<Tag> {
    let tag = table.read(&keys::TAG_NAME);
    let node_text = table.read(&keys::NODE);
    let sampling = table.read(&keys::TAG_SAMPLING);
    let device = table.read(&keys::TAG_DEVICE);
    let is_broken = table.has(&keys::TAG_DEVICE) && device.is_none();
    let queue_size = table.read(&keys::TAG_QUEUE_SIZE);
    if queue_size == Some(0) {
        table.problem(&keys::TAG_QUEUE_SIZE, NO_QUEUE);
        return None;
    }
    let server_deadband = table.read(&keys::TAG_SERVER_DEADBAND);
    let compound = table.read(&keys::TAG_COMPOUND);
    let enumeration = table.read(&keys::TAG_ENUMERATION);
    let has_history = table.read(&keys::TAG_HISTORY);
    let node_text = node_text?;
    let node = NodeAddress::parse(&node_text)
        .map_err(|message| table.problem(&keys::NODE, message))
        .ok();
    let device = device
        .or_else(|| common.device.clone())
        .filter(|_| !is_broken);
    let target = Target {
        rule,
        device: device?,
        tag: tag?,
        compound: compound.unwrap_or(common.compound),
        enumeration: enumeration.unwrap_or(common.enumeration),
    };
    Some(Tag {
        target,
        node: node?,
        sampling: sampling.unwrap_or(common.sampling),
        queue_size: queue_size.unwrap_or(common.queue_size),
        server_deadband: server_deadband.or(common.server_deadband),
        has_history: has_history.unwrap_or(common.has_history),
    })
}
