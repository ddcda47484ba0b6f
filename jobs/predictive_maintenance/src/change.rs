//! The change score: a recent, exponentially weighted level against the median of the time before it, in robust deviations.
//!
//! Median and median absolute deviation (Hampel, "The influence curve and its role in robust estimation", JASA 69, 1974)
//! are not moved by the failure that they should show. The factor 1.4826 makes the deviation that of a normal
//! distribution. Or the level against the levels before it, as a control chart of exponentially weighted means does
//! (Roberts, "Control Chart Tests Based on Geometric Moving Averages", Technometrics 1, 1959), with a spread that does not
//! take the signal's steps for independent: that of the middle four fifths of those levels. Pure numbers: no engine, no clock.

/// A median absolute deviation times this is the standard deviation of a normal distribution.
const NORMAL: f64 = 1.4826;

/// A mean absolute deviation times this is, too.
const NORMAL_MEAN: f64 = 1.2533;

/// The distance between the first and the ninth decile of a normal distribution, in standard deviations.
const DECILES: f64 = 2.5631;

/// Every fourth step has its level looked at: its neighbours' are nearly the same.
const LEVEL_EVERY: i64 = 4;

/// Fewer levels have no deciles to speak of.
const LEVELS_MIN: usize = 24;

/// What a level's distance from the baseline is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Spread {
    /// The spread of the steps of the baseline.
    Steps,
    /// The spread of the levels that the signal had within the baseline.
    Levels,
}

/// The mean of a signal over one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Which step, counted on; holes are absent.
    pub index: i64,
    /// The mean.
    pub mean: f64,
}

/// The score's parameters, in steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChangeModel {
    /// The recent time that is judged.
    pub short_steps: i64,
    /// The time before it and with it: the baseline is what of this the recent time leaves.
    pub baseline_steps: i64,
    /// A baseline of fewer steps with readings is not judged against.
    pub steps_min: usize,
    /// The deviation is at least this share of the baseline's level, so that a constant signal's last digit is no alarm.
    pub scale_floor: f64,
    /// What the score is measured in.
    pub spread: Spread,
}

/// How far a signal has moved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// (level − baseline) / scale.
    pub score: f64,
    /// The recent level, in the signal's unit.
    pub level: f64,
    /// The median before.
    pub baseline: f64,
    /// The robust deviation before.
    pub scale: f64,
}

impl ChangeModel {
    /// The change at the end of step `end` − 1. `None` when it cannot be judged: nothing recent, too little before, or a
    /// baseline that was constantly 0, of which no scale can be had.
    ///
    /// `steps` ascend; those at `end` and after are not looked at.
    pub fn judge(&self, steps: &[Step], end: i64) -> Option<Change> {
        let recent_from = end.saturating_sub(self.short_steps);
        let baseline_from = end.saturating_sub(self.baseline_steps);
        let at = |index: i64| steps.partition_point(|step| step.index < index);
        let (first, middle, last) = (at(baseline_from), at(recent_from), at(end));
        let (before, recent) = (&steps[first..middle], &steps[middle..last]);
        if recent.is_empty() || before.len() < self.steps_min.max(2) {
            return None;
        }
        let level = self.level(recent, end);
        let mut values: Vec<f64> = match self.spread {
            Spread::Steps => before.iter().map(|step| step.mean).collect(),
            Spread::Levels => self.levels(before, baseline_from, recent_from),
        };
        if self.spread == Spread::Levels && values.len() < LEVELS_MIN {
            return None;
        }
        let baseline = median(&mut values);
        let scale = self.scale(&mut values, baseline);
        let change = Change {
            score: (level - baseline) / scale,
            level,
            baseline,
            scale,
        };
        (scale > 0.0 && change.score.is_finite()).then_some(change)
    }

    /// Weights fall by e over half of the recent time. They hang on a step's age and not on how many readings it held.
    fn level(&self, recent: &[Step], end: i64) -> f64 {
        let time_constant = self.short_steps as f64 / 2.0;
        let (mut sum, mut weights) = (0.0, 0.0);
        for step in recent {
            let weight = (-((end - step.index) as f64) / time_constant).exp();
            sum += weight * step.mean;
            weights += weight;
        }
        sum / weights
    }

    /// The levels of the baseline whose recent time lies within it, at instants that are the same for every `end`.
    fn levels(&self, before: &[Step], from: i64, to: i64) -> Vec<f64> {
        let first = from.saturating_add(self.short_steps);
        let first = first.saturating_add((-first).rem_euclid(LEVEL_EVERY));
        let every = usize::try_from(LEVEL_EVERY).unwrap_or(1);
        let mut levels = Vec::new();
        for end in (first..=to).step_by(every) {
            let at = |index: i64| before.partition_point(|step| step.index < index);
            let recent = &before[at(end.saturating_sub(self.short_steps))..at(end)];
            if !recent.is_empty() {
                levels.push(self.level(recent, end));
            }
        }
        levels
    }

    fn scale(&self, values: &mut [f64], baseline: f64) -> f64 {
        let floor = self.scale_floor * baseline.abs();
        let deviation = |value: &f64| (value - baseline).abs();
        let mut deviations: Vec<f64> = values.iter().map(deviation).collect();
        let spread = match self.spread {
            Spread::Steps => NORMAL * median(&mut deviations),
            Spread::Levels => deciles(values) / DECILES,
        };
        if spread > floor {
            return spread;
        }
        // Most of the baseline lies at one value: a valve that seldom opens, a counter that rests.
        let mean = NORMAL_MEAN * deviations.iter().sum::<f64>() / deviations.len() as f64;
        mean.max(floor)
    }
}

/// The distance between the first and the ninth decile; reorders the values.
fn deciles(values: &mut [f64]) -> f64 {
    let Some(last) = values.len().checked_sub(1) else {
        return f64::NAN;
    };
    let tenth = (last as f64 / 10.0).round() as usize;
    let (_, lower, _) = values.select_nth_unstable_by(tenth, f64::total_cmp);
    let lower = *lower;
    let (_, upper, _) = values.select_nth_unstable_by(last - tenth, f64::total_cmp);
    *upper - lower
}

/// The median; reorders the values. NaN of none.
fn median(values: &mut [f64]) -> f64 {
    let (middle, odd) = (values.len() / 2, values.len() % 2 == 1);
    if values.is_empty() {
        return f64::NAN;
    }
    let (below, at, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let at = *at;
    if odd {
        return at;
    }
    let below = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    // Halved first, so that two large values do not overflow.
    below / 2.0 + at / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: ChangeModel = ChangeModel {
        short_steps: 48,
        baseline_steps: 1344,
        steps_min: 192,
        scale_floor: 0.005,
        spread: Spread::Steps,
    };
    const BY_LEVELS: ChangeModel = ChangeModel {
        spread: Spread::Levels,
        ..MODEL
    };

    fn steps(count: i64, value: impl Fn(i64) -> f64) -> Vec<Step> {
        (0..count)
            .map(|index| Step {
                index,
                mean: value(index),
            })
            .collect()
    }

    /// Even noise between −0.5 and 0.5 that needs no generator.
    fn noise(index: i64) -> f64 {
        let hashed = (index as u64)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .rotate_left(31)
            .wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (hashed >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    }

    #[test]
    fn medians() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(median(&mut [f64::MAX, f64::MAX]), f64::MAX);
        assert!(median(&mut []).is_nan());
    }

    #[test]
    fn a_healthy_signal_with_a_daily_cycle_warns_of_nothing() {
        let day = |index: i64| {
            70.0 + 5.0 * (index as f64 / 96.0 * std::f64::consts::TAU).sin() + noise(index)
        };
        let steps = steps(96 * 30, day);
        for model in [MODEL, BY_LEVELS] {
            let worst = (200..96 * 30)
                .filter_map(|end| model.judge(&steps, end))
                .map(|c| c.score.abs())
                .fold(0.0, f64::max);
            assert!(
                worst < 3.5 && worst > 0.1,
                "the highest score of thirty healthy days is {worst}, {:?}",
                model.spread
            );
        }
    }

    #[test]
    fn a_drop_shows_with_its_sign_and_its_size() {
        let steps = steps(1344, |index| {
            if index < 1296 {
                70.0 + noise(index)
            } else {
                60.0
            }
        });
        for model in [MODEL, BY_LEVELS] {
            let change = model.judge(&steps, 1344).unwrap();
            assert!(
                change.score < -20.0
                    && (change.level - 60.0).abs() < 1e-9
                    && (change.baseline - 70.0).abs() < 0.1,
                "{change:?}"
            );
        }
    }

    /// A level that wanders slowly is as far from its median as it often was.
    #[test]
    fn a_signal_that_wanders_is_judged_by_how_far_it_used_to_wander() {
        let wanders = |index: i64| 70.0 + 5.0 * (index as f64 / 400.0).sin() + noise(index);
        let wandering = steps(1344, |index| match index {
            ..1296 => wanders(index),
            _ => 74.0,
        });
        let bursting = steps(1344, |index| match index {
            1296.. => 73.0,
            _ if index % 8 == 0 => 74.0,
            _ => 70.0 + 4.0 * noise(index),
        });
        let score = |model: ChangeModel, steps: &[Step]| model.judge(steps, 1344).unwrap().score;
        for (steps, model, is_beyond, why) in [
            (&wandering, MODEL, false, "as far as it used to wander"),
            (&wandering, BY_LEVELS, false, "as far as it used to wander"),
            (&bursting, MODEL, false, "many steps were higher"),
            (&bursting, BY_LEVELS, true, "no level was so high"),
        ] {
            let score = score(model, steps);
            assert_eq!(
                score > 3.5,
                is_beyond,
                "{score} by {:?}: {why}",
                model.spread
            );
        }
    }

    #[test]
    fn by_levels_a_tenth_of_the_baseline_may_have_failed() {
        for (failed_steps, is_found) in [(100, true), (400, false)] {
            let failed = |index: i64| (600..600 + failed_steps).contains(&index) || index >= 1296;
            let steps = steps(1344, |index| {
                if failed(index) {
                    40.0
                } else {
                    70.0 + noise(index)
                }
            });
            let score = BY_LEVELS.judge(&steps, 1344).unwrap().score;
            assert_eq!(
                score < -3.5,
                is_found,
                "{failed_steps} failed steps: {score}"
            );
        }
    }

    #[test]
    fn a_failure_in_the_baseline_does_not_hide_the_next() {
        let failed = |index: i64| (500..900).contains(&index) || index >= 1296;
        let steps = steps(1344, |index| {
            if failed(index) {
                40.0
            } else {
                70.0 + noise(index)
            }
        });
        assert!(MODEL.judge(&steps, 1344).unwrap().score < -20.0);
    }

    #[test]
    fn constant_signals_are_no_alarm() {
        let constant = steps(1344, |_| 20.0);
        assert!(MODEL.judge(&constant, 1344).unwrap().score.abs() < 1e-9);
        let last_digit = steps(1344, |index| if index < 1296 { 20.0 } else { 20.1 });
        assert!(MODEL.judge(&last_digit, 1344).unwrap().score.abs() < 1.1);
        let seldom = steps(1344, |index| f64::from(u8::from(index % 20 == 0)));
        assert!(MODEL.judge(&seldom, 1344).unwrap().score.abs() < 3.5);
        assert_eq!(
            MODEL.judge(
                &steps(1344, |index| f64::from(u8::from(index >= 1296))),
                1344
            ),
            None,
            "0 has no scale"
        );
    }

    #[test]
    fn what_cannot_be_judged_is_not() {
        let steps = steps(1344, noise);
        assert_eq!(MODEL.judge(&[], 10), None);
        assert_eq!(MODEL.judge(&steps[..191], 200), None, "too little before");
        assert_eq!(MODEL.judge(&steps, 1344 + 48), None, "nothing recent");
        let sparse: Vec<Step> = steps
            .iter()
            .copied()
            .filter(|step| step.index % 7 == 0)
            .collect();
        assert_eq!(
            MODEL.judge(&sparse, 1344),
            None,
            "holes are not counted as steps"
        );
    }

    #[test]
    fn nothing_after_the_end_is_looked_at() {
        let mut steps = steps(1400, noise);
        let judge = |steps: &[Step]| [MODEL, BY_LEVELS].map(|model| model.judge(steps, 1344));
        let before = judge(&steps);
        assert!(before.iter().all(Option::is_some), "{before:?}");
        steps
            .iter_mut()
            .filter(|step| step.index >= 1344)
            .for_each(|step| step.mean = 1e9);
        assert_eq!(judge(&steps), before);
    }
}
