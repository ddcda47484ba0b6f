//! The rules of a connector's tags: most tags of a large connector have the same steps, or none, and equal neighbours are kept once.

use std::sync::Arc;

use forebay_connectors::RuleId;

use crate::rule::Rule;

/// They, by place.
pub(super) struct Rules {
    rules: Vec<Arc<Rule>>,
    /// That of what no tag brings.
    default: Rule,
}

impl Rules {
    pub(super) fn new(rules: Vec<Rule>) -> Self {
        let mut shared: Vec<Arc<Rule>> = Vec::with_capacity(rules.len());
        for rule in rules {
            let same = shared.last().filter(|last| ***last == rule).cloned();
            shared.push(same.unwrap_or_else(|| Arc::new(rule)));
        }
        Self {
            rules: shared,
            default: Rule::default(),
        }
    }

    pub(super) fn of(&self, id: RuleId) -> &Rule {
        self.rules.get(id.0).map_or(&self.default, Arc::as_ref)
    }

    /// In their order, neighbours that are the same once.
    pub(super) fn different(&self) -> impl Iterator<Item = &Rule> {
        let runs = self.rules.chunk_by(Arc::ptr_eq);
        runs.filter_map(<[_]>::first).map(Arc::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Key, Known},
        *,
    };
    use crate::steps::SeriesSteps;

    #[test]
    fn neighbours_that_are_the_same_are_kept_once() {
        let plain = Rule::default;
        let scaled = || Rule {
            scale: 2.0,
            ..Rule::default()
        };
        let all = [plain(), plain(), scaled(), scaled(), plain()];
        let rules = Rules::new(all.to_vec());
        for (place, rule) in all.iter().enumerate() {
            assert_eq!(rules.of(RuleId(place)), rule, "{place}");
        }
        assert_eq!(rules.of(RuleId(5)), &plain());
        let different: Vec<Rule> = rules.different().cloned().collect();
        assert_eq!(different, [plain(), scaled(), plain()]);
    }

    /// A gateway may have 100,000 series, and most of them have no step.
    #[test]
    fn a_series_without_steps_is_small() {
        let of_series = size_of::<(Key, Known)>();
        assert!(of_series <= 176, "{of_series} bytes");
        let of_steps = size_of::<SeriesSteps>();
        assert!(of_steps <= 136, "{of_steps} bytes");
    }
}
