//! A series as days of slots.

use crate::{Step, clock::Clock};

/// Holes up to this many hours are bridged by a line between what stands on both sides.
const BRIDGED_HOURS_MAX: usize = 3;

/// What a longer hole is filled from, in days before, the first that is there.
const FILL_DAYS: [usize; 6] = [7, 1, 14, 21, 28, 2];

/// The values of days × slots; NaN is a hole. Where two steps share a slot, their mean.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Grid {
    slots: usize,
    values: Vec<f64>,
}

impl Grid {
    /// `days` days from `first` on.
    pub(crate) fn new(clock: &Clock, steps: &[Step], first: i64, days: usize) -> Self {
        let slots = clock.slots();
        let mut sums = vec![0.0; days * slots];
        let mut counts = vec![0_u32; days * slots];
        for step in steps {
            let place = clock.place(step.index);
            let Ok(day) = usize::try_from(place.day - first) else {
                continue;
            };
            if day < days && step.mean.is_finite() {
                sums[day * slots + place.slot] += step.mean;
                counts[day * slots + place.slot] += 1;
            }
        }
        let mean = |(sum, count): (f64, u32)| match count {
            0 => f64::NAN,
            count => sum / f64::from(count),
        };
        Self {
            slots,
            values: sums.into_iter().zip(counts).map(mean).collect(),
        }
    }

    pub(crate) fn get(&self, day: usize, slot: usize) -> f64 {
        self.values[day * self.slots + slot]
    }

    pub(crate) fn day(&self, day: usize) -> &[f64] {
        &self.values[day * self.slots..(day + 1) * self.slots]
    }

    /// All values, day after day.
    pub(crate) fn values(&self) -> &[f64] {
        &self.values
    }

    /// The mean of slots `from` up to `to` of a day.
    pub(crate) fn mean(&self, day: usize, from: usize, to: usize) -> f64 {
        let part = &self.day(day)[from..to];
        part.iter().sum::<f64>() / part.len() as f64
    }

    /// Without the holes that can be filled, of the first `days` days: short ones by a line, long ones from days before.
    pub(crate) fn filled(&self, days: usize) -> Self {
        let mut filled = self.clone();
        let known = days * self.slots;
        let bridged = (self.slots * BRIDGED_HOURS_MAX).div_ceil(24);
        let mut at = 0;
        while at < known {
            if !filled.values[at].is_nan() {
                at += 1;
                continue;
            }
            let hole = filled.values[at..known].iter().take_while(|v| v.is_nan());
            let end = at + hole.count();
            if at > 0 && end < known && end - at <= bridged {
                filled.bridge(at, end);
            } else {
                (at..end).for_each(|i| filled.values[i] = filled.before(i));
            }
            at = end;
        }
        filled
    }

    fn bridge(&mut self, from: usize, end: usize) {
        let low = self.values[from - 1];
        let rise = (self.values[end] - low) / (end - from + 1) as f64;
        for i in from..end {
            self.values[i] = low + rise * (i - from + 1) as f64;
        }
    }

    fn before(&self, at: usize) -> f64 {
        let values = FILL_DAYS
            .iter()
            .filter_map(|days| Some(self.values[at.checked_sub(days * self.slots)?]));
        values
            .into_iter()
            .find(|value| !value.is_nan())
            .unwrap_or(f64::NAN)
    }
}

/// Running sums, for means over any stretch of a grid.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Running(Vec<f64>);

impl Running {
    /// Holes at the start, or from the end of what is known on, count as zero: ask for no mean over them.
    pub(crate) fn new(values: &[f64]) -> Self {
        let mut sums = Vec::with_capacity(values.len() + 1);
        let mut sum = 0.0;
        sums.push(sum);
        for value in values {
            sum += if value.is_nan() { 0.0 } else { *value };
            sums.push(sum);
        }
        Self(sums)
    }

    /// The mean of the values from `from` up to `to`, cut to what there is.
    pub(crate) fn mean(&self, from: usize, to: usize) -> f64 {
        let to = to.min(self.0.len() - 1);
        let from = from.min(to.saturating_sub(1));
        (self.0[to] - self.0[from]) / (to - from) as f64
    }
}
