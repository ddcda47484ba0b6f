//! Conformal prediction: bounds from how wrong forecasts have been, without a distribution assumed.
//!
//! Split-conformal: the ⌈(n+1)·level⌉-th smallest score of n forecasts that the model was not fitted on bounds a further
//! one with probability `level`, if errors are exchangeable (Lei et al., "Distribution-Free Predictive Inference for
//! Regression", JASA 113, 2018). Where errors change with time, the newest scores count alone ([`trailing`]); where they
//! differ between groups (hours, units), each group has its own (Mondrian: Vovk, Gammerman and Shafer, "Algorithmic
//! Learning in a Random World", 2005, 4.5), and a group with too few borrows those of all.

use std::collections::BTreeMap;

/// 0.9 / (1 − 0.9) is a little more than 9 in binary; this much is not counted.
const ROUNDING: f64 = 1e-9;

/// The fewest scores of which one is the quantile for this level.
pub fn needed(level: f64) -> usize {
    (level / (1.0 - level) - ROUNDING).ceil().max(1.0) as usize
}

/// The ⌈(n+1)·level⌉-th smallest score; `None` where that is beyond the largest, or a score is NaN.
pub fn quantile(mut scores: Vec<f64>, level: f64) -> Option<f64> {
    let rank = ((scores.len() + 1) as f64 * level - ROUNDING).ceil() as usize;
    if rank == 0 || rank > scores.len() || scores.iter().any(|score| score.is_nan()) {
        return None;
    }
    let (_, at, _) = scores.select_nth_unstable_by(rank - 1, f64::total_cmp);
    Some(*at)
}

/// How far below and above a forecast the truth is taken to lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Margins {
    /// From the forecast down; negative where the lower bound lies above it.
    pub below: f64,
    /// From the forecast up.
    pub above: f64,
}

/// Margins of one size to both sides, from residuals (truth − forecast).
pub fn symmetric(residuals: &[f64], level: f64) -> Option<Margins> {
    let sizes = residuals.iter().map(|residual| residual.abs()).collect();
    let size = quantile(sizes, level)?;
    Some(Margins {
        below: size,
        above: size,
    })
}

/// Margins for each side alone, each with half of what is left out (Romano, Patterson and Candès, "Conformalized Quantile
/// Regression", NeurIPS 2019, theorem 2). It takes twice the scores of [`symmetric`].
pub fn two_sided(residuals: &[f64], level: f64) -> Option<Margins> {
    let side = 1.0 - (1.0 - level) / 2.0;
    let downward = residuals.iter().map(|residual| -residual).collect();
    Some(Margins {
        below: quantile(downward, side)?,
        above: quantile(residuals.to_vec(), side)?,
    })
}

/// The last `window` of scores that stand in the order of time.
pub fn trailing(scores: &[f64], window: usize) -> &[f64] {
    &scores[scores.len().saturating_sub(window)..]
}

/// Residuals by group, and margins for each.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ByGroup {
    groups: BTreeMap<i64, Vec<f64>>,
}

impl ByGroup {
    /// Of (group, residual), in the order of time.
    pub fn new(residuals: impl IntoIterator<Item = (i64, f64)>) -> Self {
        let mut groups: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
        for (group, residual) in residuals {
            groups.entry(group).or_default().push(residual);
        }
        Self { groups }
    }

    /// The margins of a group, of its own residuals where they are enough, else of all; `None` where all are too few.
    /// `margins` is [`symmetric`] or [`two_sided`].
    pub fn margins(
        &self,
        group: i64,
        level: f64,
        margins: impl Fn(&[f64], f64) -> Option<Margins>,
    ) -> Option<Margins> {
        let own = self.groups.get(&group);
        if let Some(own) = own.and_then(|own| margins(own, level)) {
            return Some(own);
        }
        let all: Vec<f64> = self.groups.values().flatten().copied().collect();
        margins(&all, level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boosting::SplitMix;

    #[test]
    fn the_quantile_is_the_conformal_one() {
        let sizes: Vec<f64> = (1..=9).map(f64::from).collect();
        for (count, level, expected) in [
            (9, 0.9, Some(9.0)),
            (9, 0.5, Some(5.0)),
            (8, 0.9, None),
            (0, 0.5, None),
        ] {
            assert_eq!(
                quantile(sizes[..count].to_vec(), level),
                expected,
                "{count} at {level}"
            );
        }
        assert_eq!(quantile(vec![f64::NAN; 9], 0.9), None);
        for (level, count) in [(0.9, 9), (0.95, 19), (0.99, 99), (0.5, 1)] {
            assert_eq!(needed(level), count);
        }
    }

    #[test]
    fn the_level_is_held_on_skewed_errors() {
        let mut draw = SplitMix(11);
        let mut skewed = || draw.normal().exp() - 1.0;
        for (name, method) in [
            ("symmetric", symmetric as fn(&[f64], f64) -> Option<Margins>),
            ("two-sided", two_sided),
        ] {
            let mut inside = 0;
            for _ in 0..2000 {
                let seen: Vec<f64> = (0..99).map(|_| skewed()).collect();
                let margins = method(&seen, 0.9).unwrap();
                inside += usize::from((-margins.below..=margins.above).contains(&skewed()));
            }
            assert!((1760..=1840).contains(&inside), "{name}: {inside} of 2000");
        }
    }

    #[test]
    fn a_group_has_its_own_margins_or_those_of_all() {
        let quiet = (0..20).map(|i| (3, f64::from(i) / 20.0));
        let loud = (0..20).map(|i| (4, f64::from(i)));
        let groups = ByGroup::new(quiet.chain(loud).chain([(5, 1.0)]));
        let above = |group| {
            groups
                .margins(group, 0.9, symmetric)
                .map(|margins| margins.above)
        };
        assert_eq!(above(3), Some(0.9));
        assert_eq!(above(4), Some(18.0));
        assert_eq!((above(5), above(6)), (Some(16.0), Some(16.0)), "of all 41");
        assert_eq!(ByGroup::new([(1, 1.0)]).margins(1, 0.9, symmetric), None);
        assert_eq!(trailing(&[1.0, 2.0, 3.0], 2), [2.0, 3.0]);
        assert_eq!(trailing(&[1.0], 2), [1.0]);
    }
}
