//! The steps of series that a back-fill has read: its fires ask for nearly the same ones again and again.
//!
//! Invariants: a step is kept only whole, from all its readings, so that it is the same in every fire that sees it; a fire is
//! given steps before its cutoff alone. What is kept is what one fire asks for, and as much again ahead of it; where that
//! is more than [`STEPS_MAX`], nothing is read ahead and nothing of other patterns is kept.
//!
//! It deliberately reads nothing: the caller is told which steps are missing.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
};

use forebay_schemas::SiteId;

use crate::{Bucket, SeriesKey, SeriesPattern};

/// Steps that are kept at most beside those of one fire: 64 MiB.
const STEPS_MAX: usize = if cfg!(test) { 400 } else { 4 << 20 };

/// What is asked for: which series, of which site, in steps of which length.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct StepsOf {
    pub(crate) pattern: SeriesPattern,
    pub(crate) site: Option<SiteId>,
    pub(crate) step_micros: i64,
}

/// Steps by series, oldest first.
pub(crate) type Steps = BTreeMap<SeriesKey, Vec<Bucket>>;

/// All steps that are kept.
#[derive(Debug, Default)]
pub(crate) struct KeptSteps(HashMap<StepsOf, Kept>);

/// What is kept for one question.
#[derive(Debug, Default)]
struct Kept {
    /// The steps that have been read, by index.
    read: Range<i64>,
    /// Where the fire that asked last ends.
    end: i64,
    /// The first step that it asked for.
    wanted: i64,
    series: Steps,
}

impl KeptSteps {
    /// The steps that must be read, and then [added](Self::add), before those of `wanted` can be [had](Self::get): none
    /// where all are kept.
    pub(crate) fn missing(&mut self, of: &StepsOf, wanted: &Range<i64>) -> Option<Range<i64>> {
        let total = self.count();
        let kept = self.0.entry(of.clone()).or_default();
        if wanted.start < kept.read.start || kept.read.end < wanted.start {
            *kept = Kept {
                read: wanted.start..wanted.start,
                ..Kept::default()
            };
        }
        kept.begin(wanted);
        if kept.read.end >= wanted.end {
            return None;
        }
        let ahead = match total > STEPS_MAX {
            true => 0,
            false => wanted.end.saturating_sub(wanted.start),
        };
        Some(kept.read.end..wanted.end.saturating_add(ahead))
    }

    /// Keeps the steps of a range that was missing.
    pub(crate) fn add(&mut self, of: &StepsOf, range: &Range<i64>, steps: Steps) {
        let kept = self.0.entry(of.clone()).or_default();
        kept.read.end = range.end;
        for (key, steps) in steps {
            kept.series.entry(key).or_default().extend(steps);
        }
        if self.count() > STEPS_MAX {
            self.0.retain(|other, _| other == of);
        }
    }

    /// The steps of a range of which none is missing; series without any are left out.
    pub(crate) fn get(&self, of: &StepsOf, wanted: &Range<i64>) -> Steps {
        let Some(kept) = self.0.get(of) else {
            return Steps::new();
        };
        let within = |(key, steps): (&SeriesKey, &Vec<Bucket>)| {
            let steps = &steps[position(steps, wanted.start)..position(steps, wanted.end)];
            (!steps.is_empty()).then(|| (key.clone(), steps.to_vec()))
        };
        kept.series.iter().filter_map(within).collect()
    }

    fn count(&self) -> usize {
        let of_one = |kept: &Kept| kept.series.values().map(Vec::len).sum::<usize>();
        self.0.values().map(of_one).sum()
    }
}

impl Kept {
    /// Drops what neither this fire nor the one before it has asked for. One fire may ask more than once.
    fn begin(&mut self, wanted: &Range<i64>) {
        if wanted.end == self.end {
            self.wanted = self.wanted.min(wanted.start);
            return;
        }
        let oldest = self.wanted.min(wanted.start).max(self.read.start);
        if oldest > self.read.start {
            self.read.start = oldest;
            for steps in self.series.values_mut() {
                steps.drain(..position(steps, oldest));
            }
            self.series.retain(|_, steps| !steps.is_empty());
        }
        self.end = wanted.end;
        self.wanted = wanted.start;
    }
}

/// The place of the first step at or after this one.
fn position(steps: &[Bucket], index: i64) -> usize {
    steps.partition_point(|step| step.index < index)
}

#[cfg(test)]
mod tests {
    use forebay_schemas::{DeviceId, TagName};

    use super::*;

    fn of(tag: &str) -> StepsOf {
        StepsOf {
            pattern: SeriesPattern {
                devices: vec!["*".into()],
                tags: vec![tag.into()],
            },
            site: None,
            step_micros: 60_000_000,
        }
    }

    /// A series with a step at each even index.
    fn read(range: &Range<i64>) -> Steps {
        let key = SeriesKey {
            site: SiteId::new("plant").unwrap(),
            device: DeviceId::new("pump").unwrap(),
            tag: TagName::new("gs").unwrap(),
        };
        let even = range.clone().filter(|index| index % 2 == 0);
        let steps = even.map(|index| Bucket {
            index,
            mean: index as f64,
        });
        [(key, steps.collect())].into()
    }

    /// Asks as a run does; answers the steps and how many had to be read.
    fn ask(kept: &mut KeptSteps, of: &StepsOf, wanted: Range<i64>) -> (Steps, i64) {
        let missing = kept.missing(of, &wanted);
        if let Some(missing) = &missing {
            kept.add(of, missing, read(missing));
        }
        let length = missing.map_or(0, |missing| missing.end - missing.start);
        (kept.get(of, &wanted), length)
    }

    #[test]
    fn fires_get_what_reading_would_give_and_each_step_is_read_once() {
        let mut kept = KeptSteps::default();
        let mut steps_read = 0;
        for end in 100..400 {
            let (steps, length) = ask(&mut kept, &of("a"), end - 100..end);
            assert_eq!(
                steps,
                read(&(end - 100..end)),
                "the fire that ends at {end}"
            );
            steps_read += length;
            assert!(kept.count() <= 151, "{} steps are kept", kept.count());
        }
        assert_eq!(steps_read, 402, "300 fires of 100 steps");
    }

    #[test]
    fn questions_of_one_fire_do_not_drop_each_others_steps_and_going_back_reads_again() {
        let mut kept = KeptSteps::default();
        let mut lengths = Vec::new();
        for wanted in [0..100, 90..100, 1..101, 91..101, 50..60, 0..60, 500..510] {
            let (steps, length) = ask(&mut kept, &of("a"), wanted.clone());
            let expected = read(&wanted);
            assert_eq!(steps, expected, "{wanted:?}");
            lengths.push(length);
        }
        assert_eq!(lengths, [200, 0, 0, 0, 0, 120, 20]);
    }

    #[test]
    fn beyond_the_bound_nothing_is_read_ahead_and_other_patterns_are_forgotten() {
        let mut kept = KeptSteps::default();
        ask(&mut kept, &of("small"), 0..100);
        assert_eq!(ask(&mut kept, &of("large"), 0..1000).1, 2000);
        assert_eq!(kept.0.len(), 1, "the small one is forgotten");
        let (_, length) = ask(&mut kept, &of("large"), 1500..2500);
        assert_eq!(length, 500, "up to its end, and not beyond");
        assert_eq!(ask(&mut kept, &of("small"), 1..101).1, 100);
    }
}
