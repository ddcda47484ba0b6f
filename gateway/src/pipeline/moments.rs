//! The samples of one message by device and time: those are what `last` sees together.

use std::collections::HashMap;

use forebay_connectors::Sample;
use forebay_schemas::{DeviceId, Reading, TagName, Timestamp};

use super::Pipeline;

impl Pipeline {
    /// The readings that follow from the samples of one message where expressions ask for last values.
    pub(super) fn in_moments(
        &mut self,
        samples: Vec<Sample>,
        now: Timestamp,
        mut take: impl FnMut(&mut Self, usize, Sample, &mut Vec<Reading>),
    ) -> Vec<Reading> {
        let mut readings = Vec::with_capacity(samples.len());
        let moments = moments(&samples, now);
        let mut samples: Vec<Option<Sample>> = samples.into_iter().map(Some).collect();
        for moment in moments {
            if let Some(first) = moment.first().filter(|_| moment.len() > 1) {
                self.tables.begin_moment(*first);
            }
            // A tag's own steps may ask for the others, which come first.
            let (asking, plain): (Vec<usize>, Vec<usize>) = moment
                .into_iter()
                .partition(|place| self.asks(samples[*place].as_ref()));
            for place in plain.into_iter().chain(asking) {
                if let Some(sample) = samples[place].take() {
                    take(self, place, sample, &mut readings);
                }
            }
            self.tables.end_moment(&self.status, &mut readings);
        }
        readings
    }

    /// Whether the own steps of a sample's tag ask for last values.
    fn asks(&self, sample: Option<&Sample>) -> bool {
        let rule = sample.map(|sample| self.rules.of(sample.rule));
        rule.is_some_and(|rule| {
            let mut expressions = rule.expression.iter().chain(&rule.filter);
            expressions.any(|one| one.asks_for_last())
        })
    }
}

/// Places of samples by device and time, each series once, in the order of their first. The samples of a series stay in their order: one
/// that would come before an earlier one of its series begins a moment of its own.
fn moments(samples: &[Sample], now: Timestamp) -> Vec<Vec<usize>> {
    let mut moments: Vec<Vec<usize>> = Vec::new();
    let mut by_time: HashMap<(&DeviceId, Timestamp), Vec<usize>> = HashMap::new();
    let mut behind: HashMap<(&DeviceId, &TagName), usize> = HashMap::new();
    for (place, sample) in samples.iter().enumerate() {
        let time = sample.event_time.unwrap_or(now);
        let known = by_time.entry((&sample.device, time)).or_default();
        let earliest = behind.entry((&sample.device, &sample.tag)).or_default();
        let open = known.partition_point(|moment| *moment < *earliest);
        let moment = known.get(open).copied().unwrap_or_else(|| {
            known.push(moments.len());
            moments.push(Vec::new());
            moments.len() - 1
        });
        moments[moment].push(place);
        *earliest = moment + 1;
    }
    moments
}
