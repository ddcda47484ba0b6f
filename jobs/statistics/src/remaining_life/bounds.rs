//! Conformal bounds by unit, as wide as errors usually are at such a prediction.

use std::collections::BTreeMap;

/// In how many parts of equal size predictions are cut to learn how large errors are in each.
const PARTS: usize = 10;

/// The usual error is at least this, in rows, so that no prediction counts as exact.
const USUAL_MIN: f64 = 0.5;

/// One error of a unit that was left out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Error {
    pub(super) unit: usize,
    /// What was predicted.
    pub(super) value: f64,
    /// How far it was from the truth.
    pub(super) size: f64,
}

/// Errors of units that were left out, in units of the error that is usual at their prediction.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bounds {
    /// (the middle of a part, its usual error), ascending.
    usual: Vec<(f64, f64)>,
    /// (score, weight), the smallest score first; the weights of a unit sum to 1.
    scores: Vec<(f64, f64)>,
    units: usize,
}

crate::stored::stored_fields!(Bounds {
    usual,
    scores,
    units
});

impl Bounds {
    pub(super) fn new(errors: &[Error]) -> Self {
        let mut sorted = errors.to_vec();
        sorted.sort_by(|a, b| a.value.total_cmp(&b.value));
        let part = sorted.len().div_ceil(PARTS).max(1);
        let usual_of = |part: &[Error]| {
            let count = part.len() as f64;
            let middle = part.iter().map(|error| error.value).sum::<f64>() / count;
            let size = part.iter().map(|error| error.size).sum::<f64>() / count;
            (middle, size.max(USUAL_MIN))
        };
        let mut bounds = Self {
            usual: sorted.chunks(part).map(usual_of).collect(),
            scores: Vec::new(),
            units: 0,
        };
        let mut rows: BTreeMap<usize, f64> = BTreeMap::new();
        for error in errors {
            *rows.entry(error.unit).or_default() += 1.0;
        }
        bounds.units = rows.len();
        bounds.scores = errors
            .iter()
            .map(|error| {
                (
                    error.size / bounds.usual_at(error.value),
                    1.0 / rows[&error.unit],
                )
            })
            .collect();
        bounds.scores.sort_by(|a, b| a.0.total_cmp(&b.0));
        bounds
    }

    /// Half the width of the bounds around a prediction; `None` where units are too few for this level.
    pub(super) fn margin(&self, value: f64, level: f64) -> Option<f64> {
        // A further unit could lie beyond all of them: its weight counts as beyond.
        let wanted = level * (self.units + 1) as f64 - 1e-9;
        let mut reached = 0.0;
        for (score, weight) in &self.scores {
            reached += weight;
            if reached >= wanted {
                return Some(score * self.usual_at(value));
            }
        }
        None
    }

    /// The usual error at a prediction, on straight lines between the middles of the parts.
    fn usual_at(&self, value: f64) -> f64 {
        let after = self.usual.partition_point(|(middle, _)| *middle <= value);
        let below = after.checked_sub(1).and_then(|i| self.usual.get(i));
        match (below, self.usual.get(after)) {
            (Some((from, low)), Some((to, high))) => {
                low + (high - low) * (value - from) / (to - from)
            }
            (Some((_, only)), None) | (None, Some((_, only))) => *only,
            (None, None) => USUAL_MIN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boosting::SplitMix;

    /// Units whose errors grow with the prediction and differ between units.
    fn errors(seed: u64, units: usize) -> Vec<Error> {
        let mut draw = SplitMix(seed);
        let mut errors = Vec::new();
        for unit in 0..units {
            let off = draw.normal();
            for i in 0..30 + unit % 7 {
                let value = 4.0 * i as f64;
                let size = (0.1 * value + 1.0) * (off + 0.5 * draw.normal()).abs();
                errors.push(Error { unit, value, size });
            }
        }
        errors
    }

    #[test]
    fn the_level_is_held_for_units_that_were_not_seen() {
        let mut inside = 0.0;
        let mut all = 0.0;
        for seed in 0..40 {
            let bounds = Bounds::new(&errors(seed, 40));
            for error in errors(seed + 1000, 10) {
                let margin = bounds.margin(error.value, 0.9).unwrap();
                inside += f64::from(u8::from(error.size <= margin));
                all += 1.0;
            }
        }
        let coverage: f64 = inside / all;
        assert!((0.88..0.93).contains(&coverage), "{coverage}");
    }

    #[test]
    fn bounds_are_wider_where_errors_are_and_take_enough_units() {
        let bounds = Bounds::new(&errors(1, 40));
        let margin = |value: f64| bounds.margin(value, 0.9).unwrap();
        assert!(margin(100.0) > 3.0 * margin(4.0));
        assert!(margin(1e9).is_finite() && margin(-1e9).is_finite());
        assert_eq!(Bounds::new(&errors(1, 8)).margin(10.0, 0.9), None);
        assert!(Bounds::new(&errors(1, 9)).margin(10.0, 0.9).is_some());
        assert_eq!(Bounds::new(&[]).margin(10.0, 0.9), None);
    }
}
