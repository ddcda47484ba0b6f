//! What happens to the samples of one `[[connector.tag]]`, as configured.

use std::{sync::Arc, time::Duration};

use forebay_config::{Expanded, FromValue, Table};
use forebay_schemas::TagName;

/// The longest that an unchanged tag stays silent behind a dead-band.
const MAX_SILENCE: Duration = Duration::from_secs(600);

/// How far a value must move before it is sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Deadband {
    /// In the unit of the scaled value.
    Absolute(f64),
    /// In per cent of the value that was sent last.
    Percent(f64),
}

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
            scale: 1.0,
            offset: 0.0,
            keep: None,
            clamp: None,
            deadband: None,
            max_silence: MAX_SILENCE,
            rename: None,
        }
    }
}

impl Rule {
    /// Reads the keys that the tags of every protocol have; wrong ones are noted in the table.
    pub fn read(table: &mut Table<'_>) -> Self {
        let rule = Self {
            unit: table.optional::<String>("unit").map(Arc::from),
            scale: table.or("scale", 1.0),
            offset: table.or("offset", 0.0),
            keep: range(table, "keep"),
            clamp: range(table, "clamp"),
            deadband: table.optional("deadband"),
            max_silence: table.or("max_silence", MAX_SILENCE),
            rename: table.optional("rename"),
        };
        if rule.scale == 0.0 {
            table.problem("scale", "a scale of 0 would make every value the offset");
        }
        rule
    }

    /// What a tag is called in readings.
    pub(crate) fn named(&self, tag: TagName) -> TagName {
        let renamed = self.rename.as_ref().map(|to| to.replace("{tag}", tag.as_str()));
        renamed.and_then(|name| TagName::new(&name).ok()).unwrap_or(tag)
    }

    /// Whether values pass as they are, with their own type.
    pub(crate) fn is_scaled(&self) -> bool {
        self.scale != 1.0 || self.offset != 0.0
    }
}

fn range(table: &mut Table<'_>, key: &'static str) -> Option<(f64, f64)> {
    let bounds: Vec<f64> = table.optional(key)?;
    match bounds[..] {
        [low, high] if low <= high => Some((low, high)),
        _ => {
            table.problem(key, "two numbers [low, high] are expected, low not above high");
            None
        }
    }
}

impl FromValue for Deadband {
    const EXPECTED: &'static str = "a number such as 0.5, or a share such as \"1%\"";

    fn from_value(value: &Expanded) -> Result<Self, String> {
        let wrong = || format!("{} from 0 on is expected", Self::EXPECTED);
        let (width, deadband): (f64, fn(f64) -> Self) = match value {
            Expanded::Text(text) => {
                let number = text.strip_suffix('%').ok_or_else(wrong)?;
                (number.trim().parse().map_err(|_| wrong())?, Self::Percent)
            }
            other => (f64::from_value(other).map_err(|_| wrong())?, Self::Absolute),
        };
        if width.is_finite() && width >= 0.0 { Ok(deadband(width)) } else { Err(wrong()) }
    }
}
