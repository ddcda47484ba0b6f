//! Steps that are no load: a register read wrongly, a meter that was reset, a number that overflowed.
//!
//! A step is an outlier when it lies further outside of nearly all others than three times what those span. What more than one
//! step in 200 does is no outlier, be it a rare peak or a feeder that was switched over: a quarter of a day of a new level
//! within a month is believed. So is everything where there are too few steps to tell. Quantiles are used, not the
//! median's deviation: a load that is mostly zero has none.

use std::borrow::Cow;

use super::Step;

/// The share of steps at either end that the span of nearly all leaves out, and the fewest.
const OUTERMOST_SHARE: f64 = 0.005;
const OUTERMOST_MIN: usize = 1;

/// How many spans further out a step must lie.
const SPANS: f64 = 3.0;

/// Fewer steps than this tell nothing.
const STEPS_MIN: usize = 8;

/// The steps that are no outliers.
pub(crate) fn without(steps: &[Step]) -> Cow<'_, [Step]> {
    let mut values: Vec<f64> = steps
        .iter()
        .map(|step| step.mean)
        .filter(|mean| mean.is_finite())
        .collect();
    values.sort_unstable_by(f64::total_cmp);
    let (lowest, highest) = bounds(&values).unwrap_or((f64::MIN, f64::MAX));
    let is_sound = |step: &&Step| step.mean.is_finite() && (lowest..=highest).contains(&step.mean);
    match steps.iter().all(|step| is_sound(&step)) {
        true => Cow::Borrowed(steps),
        false => Cow::Owned(steps.iter().filter(is_sound).copied().collect()),
    }
}

/// The lowest and the highest value that is no outlier, of sorted ones; `None` for too few.
fn bounds(values: &[f64]) -> Option<(f64, f64)> {
    if values.len() < STEPS_MIN {
        return None;
    }
    let outermost = ((values.len() as f64 * OUTERMOST_SHARE) as usize).max(OUTERMOST_MIN);
    let (low, high) = (values[outermost], values[values.len() - 1 - outermost]);
    // Halves, so that no span overflows.
    let room = 2.0 * SPANS * (high / 2.0 - low / 2.0);
    // Rounding in the mean of a step is no outlier where all others are equal.
    let room = room.max(low.abs().max(high.abs()) * f64::EPSILON * 16.0);
    Some((low - room, high + room))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(means: impl Iterator<Item = f64>, outliers: &[i64]) {
        let steps: Vec<Step> = (0..)
            .zip(means)
            .map(|(index, mean)| Step { index, mean })
            .collect();
        let left = without(&steps);
        let gone: Vec<i64> = steps
            .iter()
            .map(|s| s.index)
            .filter(|i| !left.iter().any(|s| s.index == *i))
            .collect();
        assert_eq!(gone, outliers);
    }

    fn day(index: i64) -> f64 {
        100.0 + 50.0 * (index as f64 * std::f64::consts::TAU / 96.0).sin()
    }

    #[test]
    fn what_no_load_can_be_is_an_outlier_and_what_one_may_be_is_not() {
        check((0..960).map(day), &[]);
        check(
            (0..960).map(|i| if i == 500 { 1e300 } else { day(i) }),
            &[500],
        );
        check(
            (0..960).map(|i| if i == 500 { -65_535.0 } else { day(i) }),
            &[500],
        );
        check(
            (0..960).map(|i| if i % 400 == 7 { f64::NAN } else { day(i) }),
            &[7, 407, 807],
        );
        // A peak of three times the usual, a feed-in, a level that has changed for some hours.
        check((0..960).map(|i| if i == 500 { 350.0 } else { day(i) }), &[]);
        check(
            (0..960).map(|i| if i == 500 { -200.0 } else { day(i) }),
            &[],
        );
        check(
            (0..960).map(|i| day(i) * if i < 948 { 1.0 } else { 10.0 }),
            &[],
        );
        // A charger that stands still for most of the time.
        check((0..960).map(|i| if i % 96 < 4 { 11.0 } else { 0.0 }), &[]);
        check((0..960).map(|_| 5.0), &[]);
        check(
            (0..960).map(|i| if i == 3 { 5.000_000_000_000_001 } else { 5.0 }),
            &[],
        );
        check((0..960).map(|i| if i == 3 { 50.0 } else { 5.0 }), &[3]);
        check([1.0, 1.0, 1.0, 1e300].into_iter(), &[]);
        check(
            (0..20).map(|i| {
                if i == 3 {
                    f64::MAX
                } else {
                    f64::MIN / 2.0 + i as f64
                }
            }),
            &[3],
        );
    }
}
