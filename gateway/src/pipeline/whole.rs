//! Configured series whose values come under the names of their parts alone.
//!
//! What an array or a structure is only its first value tells: until then the tag itself is known, from configuration. Once there are
//! parts, and no value under the tag's own name, it is no series: behind each lost link it would be bad, and stay so for good.

use std::collections::BTreeMap;

use forebay_connectors::{Declared, RuleId};
use forebay_schemas::TagName;

use super::{Key, Known, Pipeline};

/// What follows the name of the whole in that of a part: `tag[0]`, `tag.field`.
const PART_BEGINS: [char; 2] = ['[', '.'];

impl Pipeline {
    /// Forgets the configured series of which an earlier process knew parts alone.
    pub(super) fn forget_wholes(&mut self) {
        for Declared { rule, device, tag } in self.brought() {
            forget_whole_of(&(device, tag), rule, &mut self.series);
        }
    }
}

/// Forgets the configured series that this one of the same rule is a part of, unless it has had a value.
pub(super) fn forget_whole_of(part: &Key, rule: RuleId, series: &mut BTreeMap<Key, Known>) {
    let (device, tag) = part;
    let is_empty =
        |known: &Known| known.is_declared && known.rule == rule && known.state.has_no_value();
    for (end, _) in tag.as_str().match_indices(PART_BEGINS) {
        let Ok(name) = TagName::new(&tag.as_str()[..end]) else {
            continue;
        };
        let whole = (device.clone(), name);
        if series.get(&whole).is_some_and(is_empty) {
            series.remove(&whole);
        }
    }
}
