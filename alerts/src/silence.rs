//! Silences: which alerts nobody is to hear of, until when.

use std::collections::BTreeMap;

use forebay_schemas::Timestamp;
use globset::Glob;
use serde::{Deserialize, Serialize};

use crate::{Instance, instant::micros};

/// Labels with the globs that must fit them. `alert` stands for the rule's name, `severity` for the severity.
pub type Matchers = BTreeMap<String, String>;

/// Every label by which an alert can be matched: `alert` and `severity`, and those of facts.
const LABELS: [&str; 11] = [
    "alert",
    "severity",
    "connector",
    "device",
    "folder",
    "instances",
    "job",
    "key",
    "lane",
    "site",
    "tag",
];

/// What there is to say against matchers that can fit no alert, because no alert has such a label; none where all can fit.
pub fn misfits(matchers: &Matchers) -> Option<String> {
    let is_unknown = |label: &&String| !LABELS.contains(&label.as_str());
    let unknown: Vec<String> = matchers
        .keys()
        .filter(is_unknown)
        .map(|label| format!("{label:?}"))
        .collect();
    let listed = LABELS.join(", ");
    (!unknown.is_empty()).then(|| {
        let unknown = unknown.join(", ");
        format!("no alert has the label {unknown}, so the silence fits none; labels are {listed}")
    })
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn of(labels: &[&str]) -> Matchers {
        let matcher = |label: &&str| ((*label).to_owned(), "*".to_owned());
        labels.iter().map(matcher).collect()
    }

    #[test]
    fn a_label_that_no_alert_has_is_named() {
        assert_eq!(misfits(&of(&LABELS)), None);
        let said = misfits(&of(&["dev", "site"])).unwrap();
        assert!(
            said.starts_with("no alert has the label \"dev\", so"),
            "{said}"
        );
    }
}
