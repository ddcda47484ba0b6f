//! When the value of a tag that is read along with faster ones is to be handed over.
//!
//! Pure: the time is an argument.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use forebay_connectors::Sample;
use tokio::time::Instant;

use crate::{config::Tag, plan::Group};

/// The tags that are read more often than they are due, by their places.
#[derive(Debug, Default)]
pub(super) struct Carried {
    due: BTreeMap<usize, Instant>,
}

impl Carried {
    /// All are due again.
    pub(super) fn restart(&mut self) {
        self.due.clear();
    }

    /// Tags of a group that are not due in this poll.
    pub(super) fn early(&self, group: &Group, now: Instant) -> BTreeSet<usize> {
        // The nearest poll of the group counts, whether it comes a little early or late.
        let latest = now + group.every / 2;
        let points = group.reads.iter().flat_map(|read| &read.points);
        let carried = points.filter(|point| point.each > 1).map(|point| point.tag);
        carried
            .filter(|tag| self.due.get(tag).is_some_and(|due| *due > latest))
            .collect()
    }

    /// These samples of a poll are handed over: their tags are due a period later.
    pub(super) fn hand_over(
        &mut self,
        samples: &[Sample],
        tags: &[Tag],
        every: Duration,
        now: Instant,
    ) {
        for sample in samples {
            let place = sample.rule.0;
            let Some(tag) = tags.get(place).filter(|tag| tag.every > every) else {
                continue;
            };
            let due = self.due.get(&place).copied().unwrap_or(now) + tag.every;
            self.due.insert(place, due.max(now + every));
        }
    }
}
