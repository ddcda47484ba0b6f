//! What happens to the samples of one `[[connector.tag]]`, as configured.

use std::{sync::Arc, time::Duration};

use forebay_config::{Optional, Table};
use forebay_schemas::TagName;

use crate::{deadband::Deadband, keys};

/// The steps for the samples of one rule, in the order in which they are taken: scale, range, clamp, dead-band.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// UCUM code; the source's own unit if none.
    pub unit: Option<Arc<str>>,
    /// value = raw × scale + offset.
    pub scale: f64,
    /// See `scale`.
    pub offset: f64,
    /// Readings with a value outside are left out, and counted.
    pub keep: Option<(f64, f64)>,
    /// Values outside are set to the bound, with uncertain quality.
    pub clamp: Option<(f64, f64)>,
    /// Report by exception; none sends every reading.
    pub deadband: Option<Deadband>,
    /// A tag behind a dead-band is sent at least this often when readings come.
    pub max_silence: Duration,
    /// The tag's new name; `{tag}` in it stands for the old one.
    pub rename: Option<String>,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            unit: None,
            scale: keys::SCALE.default(),
            offset: keys::OFFSET.default(),
            keep: None,
            clamp: None,
            deadband: None,
            max_silence: keys::MAX_SILENCE.default(),
            rename: None,
        }
    }
}

impl Rule {
    /// Reads the keys that the tags of every protocol have; wrong ones are noted in the table.
    pub fn read(table: &mut Table<'_>) -> Self {
        let rule = Self {
            unit: table.read(&keys::UNIT).map(Arc::from),
            scale: table.read(&keys::SCALE),
            offset: table.read(&keys::OFFSET),
            keep: range(table, &keys::KEEP),
            clamp: range(table, &keys::CLAMP),
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
        rule
    }

    /// What a tag is called in readings.
    pub(crate) fn named(&self, tag: TagName) -> TagName {
        let renamed = self
            .rename
            .as_ref()
            .map(|to| to.replace("{tag}", tag.as_str()));
        renamed
            .and_then(|name| TagName::new(&name).ok())
            .unwrap_or(tag)
    }

    /// Whether values pass as they are, with their own type.
    pub(crate) fn is_scaled(&self) -> bool {
        self.scale != 1.0 || self.offset != 0.0
    }
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
