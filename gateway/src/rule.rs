//! What happens to readings, as configured: by one `[[connector.tag]]`, or by one `[[step]]`.

mod convert;
mod invalid;

use std::{sync::Arc, time::Duration};

use forebay_config::{Optional, Table};
use forebay_schemas::{EVENTS_TAG, TagName};

pub use self::{
    convert::{KnownConversion, ToUnit},
    invalid::Invalid,
};
use crate::{
    deadband::Deadband,
    expression::{Expression, Kind},
    gate::Band,
    keys,
    ucum::Unit,
};

/// The steps of one table, in the order in which they are taken: invalid, scale and offset, rate, expression, unit conversion,
/// keep, clamp, filter, dead-band, rename (ADR 0033).
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Raw values that stand for none.
    pub invalid: Vec<Invalid>,
    /// value = raw × scale + offset.
    pub scale: f64,
    /// See `scale`.
    pub offset: f64,
    /// The value is a counter: its increase per this time follows.
    pub rate: Option<RatePer>,
    /// The value behind a counter's last, from which it goes on with 0.
    pub rolls_over_at: Option<f64>,
    /// Computes the value.
    pub expression: Option<Expression>,
    /// UCUM code; the source's own unit if none.
    pub unit: Option<Arc<str>>,
    /// The unit that values are converted to.
    pub to_unit: Option<ToUnit>,
    /// Readings with a value outside are left out, and counted.
    pub keep: Option<(f64, f64)>,
    /// Values outside are set to the bound, with uncertain quality.
    pub clamp: Option<(f64, f64)>,
    /// Readings for which it is false are left out, and counted.
    pub filter: Option<Expression>,
    /// Report by exception; none sends every reading.
    pub deadband: Option<Deadband>,
    /// A tag behind a dead-band is sent at least this often when readings come.
    pub max_silence: Duration,
    /// The tag's new name; `{tag}` in it stands for the old one.
    pub rename: Option<String>,
}

/// The time that a rate is per.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RatePer {
    /// s
    Second,
    /// min
    Minute,
    /// h
    Hour,
    /// d
    Day,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            invalid: Vec::new(),
            scale: keys::SCALE.default(),
            offset: keys::OFFSET.default(),
            rate: None,
            rolls_over_at: None,
            expression: None,
            unit: None,
            to_unit: None,
            keep: None,
            clamp: None,
            filter: None,
            deadband: None,
            max_silence: keys::MAX_SILENCE.default(),
            rename: None,
        }
    }
}

impl Rule {
    /// Reads the keys that the tags of every protocol have; wrong ones are noted in the table.
    pub fn read(table: &mut Table<'_>) -> Self {
        let unit = unit(table);
        let rate = table.read(&keys::RATE);
        let rule = Self {
            invalid: table.read(&keys::INVALID).unwrap_or_default(),
            scale: table.read(&keys::SCALE),
            offset: table.read(&keys::OFFSET),
            rate,
            rolls_over_at: table.read(&keys::ROLLS_OVER_AT),
            expression: expression(table, &keys::EXPRESSION),
            to_unit: to_unit(table, unit.as_deref(), rate),
            unit,
            keep: range(table, &keys::KEEP),
            clamp: range(table, &keys::CLAMP),
            filter: filter(table),
            deadband: table.read(&keys::DEADBAND),
            max_silence: table.read(&keys::MAX_SILENCE),
            rename: table.read(&keys::RENAME),
        };
        if rule.scale == 0.0 {
            table.problem(
                &keys::SCALE,
                "a scale of 0 would make every value the offset",
            );
        }
        if rule
            .rolls_over_at
            .is_some_and(|end| rate.is_none() || end <= 0.0)
        {
            table.problem(
                &keys::ROLLS_OVER_AT,
                "a number above 0 is expected, beside rate = \"s\", \"min\", \"h\" or \"d\"",
            );
        }
        if rule.rename.as_deref() == Some(EVENTS_TAG) {
            table.problem(&keys::RENAME, of_events());
        }
        rule
    }

    /// What a tag is called in readings.
    pub(crate) fn named(&self, tag: TagName) -> TagName {
        let renamed = self
            .rename
            .as_ref()
            .map(|to| to.replace("{tag}", tag.as_str()));
        let is_free = |name: &TagName| !name.is_of_events();
        renamed
            .and_then(|name| TagName::new(&name).ok())
            .filter(is_free)
            .unwrap_or(tag)
    }

    /// Whether values pass as they are, with their own type.
    pub(crate) fn is_scaled(&self) -> bool {
        self.scale != 1.0 || self.offset != 0.0
    }

    /// Whether the value follows from more than the raw value, so that unit and bounds come later.
    pub(crate) fn computes(&self) -> bool {
        let converts_each = matches!(self.to_unit, Some(ToUnit::Each(_)));
        self.rate.is_some() || self.expression.is_some() || converts_each
    }

    /// Whether it has steps behind those that look at one reading alone.
    pub(crate) fn has_later(&self) -> bool {
        self.computes() || self.filter.is_some() || self.deadband.is_some()
    }

    /// The number behind a counter's last, scaled as its counts are.
    pub(crate) fn counter_end(&self) -> Option<f64> {
        self.rolls_over_at.map(|end| end * self.scale)
    }

    /// How far a value must move before it is sent.
    pub(crate) fn band(&self) -> Option<Band> {
        self.deadband.map(|deadband| Band {
            deadband,
            max_silence: self.max_silence,
        })
    }
}

impl RatePer {
    pub(crate) fn seconds(self) -> f64 {
        match self {
            Self::Second => 1.0,
            Self::Minute => 60.0,
            Self::Hour => 3_600.0,
            Self::Day => 86_400.0,
        }
    }

    /// The UCUM code of a unit per this time.
    pub(crate) fn unit(self, of: &str) -> String {
        let per = match self {
            Self::Second => "s",
            Self::Minute => "min",
            Self::Hour => "h",
            Self::Day => "d",
        };
        format!("{of}/{per}")
    }
}

/// What is said of a tag that would pass for events.
pub(crate) fn of_events() -> String {
    format!("{EVENTS_TAG:?} is the tag of events, which no values may have: choose another name")
}

fn range(table: &mut Table<'_>, key: &Optional<Vec<f64>>) -> Option<(f64, f64)> {
    let bounds = table.read(key)?;
    match bounds[..] {
        [low, high] if low <= high => Some((low, high)),
        _ => {
            table.problem(
                key,
                "two numbers [low, high] are expected, low not above high",
            );
            None
        }
    }
}

fn expression(table: &mut Table<'_>, key: &Optional<String>) -> Option<Expression> {
    let source = table.read(key)?;
    match Expression::parse(&source) {
        Ok(expression) => Some(expression),
        Err(error) => {
            table.problem(key, format!("{error}, in {source:?}"));
            None
        }
    }
}

fn filter(table: &mut Table<'_>) -> Option<Expression> {
    let filter = expression(table, &keys::FILTER)?;
    if matches!(filter.kind(), Kind::Truth | Kind::Any) {
        return Some(filter);
    }
    let kind = filter.kind();
    table.problem(
        &keys::FILTER,
        format!("true or false is expected, such as \"value > 0\"; this gives {kind}"),
    );
    None
}

/// A code that is known to be another's is refused; any other text is the device's own word and stays.
fn unit(table: &mut Table<'_>) -> Option<Arc<str>> {
    let unit = table.read(&keys::UNIT)?;
    if let Some(error) = Unit::misspelt(&unit) {
        table.problem(&keys::UNIT, error.to_string());
        return None;
    }
    Some(Arc::from(unit))
}

/// `unit` is that of the scaled value; a rate is per time.
fn to_unit(table: &mut Table<'_>, unit: Option<&str>, rate: Option<RatePer>) -> Option<ToUnit> {
    let code = table.read(&keys::TO_UNIT)?;
    if let Err(error) = Unit::parse(&code) {
        table.problem(&keys::TO_UNIT, error.to_string());
        return None;
    }
    let per = |unit: &str| rate.map_or_else(|| unit.to_owned(), |per| per.unit(unit));
    match unit.map(|unit| ToUnit::known(&per(unit), &code)) {
        None => Some(ToUnit::Each(code.as_str().into())),
        Some(Ok(known)) => Some(known),
        Some(Err(error)) => {
            let key = match Unit::parse(unit.unwrap_or_default()) {
                Ok(_) => &keys::TO_UNIT,
                Err(_) => &keys::UNIT,
            };
            table.problem(key, error.to_string());
            None
        }
    }
}
