//! Silences: which alerts nobody is to hear of, until when.

use std::collections::BTreeMap;

use forebay_schemas::Timestamp;
use globset::Glob;
use serde::{Deserialize, Serialize};

use crate::{Instance, instant::micros};

/// Labels with the globs that must fit them. `alert` stands for the rule's name, `severity` for the severity.
pub type Matchers = BTreeMap<String, String>;

/// One silence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Its name.
    pub id: String,
    /// All must fit.
    pub matchers: Matchers,
    /// When it ends.
    #[serde(with = "micros")]
    pub until: Timestamp,
    /// Who made it.
    pub by: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Silence {
    /// Whether an alert falls under it now.
    pub fn covers(&self, instance: &Instance, now: Timestamp) -> bool {
        now < self.until
            && self
                .matchers
                .iter()
                .all(|(label, glob)| matches(instance, label, glob))
    }
}

fn matches(instance: &Instance, label: &str, glob: &str) -> bool {
    let value = match label {
        "alert" => Some(instance.rule.as_str()),
        "severity" => Some(instance.severity.name()),
        label => instance.labels.get(label).map(String::as_str),
    };
    // A glob that cannot be read was refused when the silence was asked for.
    let Ok(glob) = Glob::new(glob) else {
        return false;
    };
    value.is_some_and(|value| glob.compile_matcher().is_match(value))
}
