//! An empirical power curve: what a plant yields at a wind speed, as it has yielded before.

use crate::order::median;

/// The means of wind and power over one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Yielded {
    /// Wind speed, in any one unit.
    pub speed: f64,
    /// Power, in the plant's unit.
    pub power: f64,
}

/// Power by wind speed, rising in the direction in which the plant yields.
#[derive(Debug, Clone, PartialEq)]
pub struct PowerCurve {
    /// (speed, power), ascending by speed.
    points: Vec<(f64, f64)>,
}

/// Fewer pairs than this make no curve.
const PAIRS_MIN: usize = 100;

/// Points of the curve: each stands for as many pairs.
const POINTS: usize = 20;

impl PowerCurve {
    /// The curve of these pairs; `None` of fewer than a hundred.
    ///
    /// Medians of twenty equally filled bins of speed (the method of bins of IEC 61400-12-1, with medians, so that
    /// curtailed and stopped turbines weigh little), made monotone by pooling neighbours that are out of order (R. E. Barlow et al.,
    /// "Statistical inference under order restrictions", 1972).
    pub fn fit(pairs: &[Yielded]) -> Option<Self> {
        if pairs.len() < PAIRS_MIN {
            return None;
        }
        let mut sorted = pairs.to_vec();
        sorted.sort_by(|a, b| {
            a.speed
                .total_cmp(&b.speed)
                .then(a.power.total_cmp(&b.power))
        });
        let bins: Vec<(f64, f64)> = (0..POINTS)
            .map(|bin| {
                let part = &sorted[bin * sorted.len() / POINTS..(bin + 1) * sorted.len() / POINTS];
                let of = |value: fn(&Yielded) -> f64| {
                    median(&mut part.iter().map(value).collect::<Vec<_>>())
                };
                (of(|pair| pair.speed), of(|pair| pair.power))
            })
            .collect();
        // Feed-in may be counted negative: then the curve falls.
        let rises = bins[POINTS - 1].1 >= bins[0].1;
        let sign = if rises { 1.0 } else { -1.0 };
        let powers = pooled(bins.iter().map(|(_, power)| sign * power));
        let points = bins
            .iter()
            .zip(powers)
            .map(|((speed, _), power)| (*speed, sign * power))
            .collect();
        Some(Self { points })
    }

    /// The power at a speed, between the points by a straight line, beyond them that of the outermost.
    pub fn power(&self, speed: f64) -> f64 {
        let above = self.points.partition_point(|(at, _)| *at <= speed);
        let (first, last) = (self.points[0], self.points[self.points.len() - 1]);
        if above == 0 {
            return first.1;
        }
        let Some((high, power_high)) = self.points.get(above).copied() else {
            return last.1;
        };
        let (low, power_low) = self.points[above - 1];
        power_low + (power_high - power_low) * (speed - low) / (high - low)
    }
}

/// The values made ascending: neighbours that are out of order become their mean.
fn pooled(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut pools: Vec<(f64, usize)> = Vec::new();
    for value in values {
        pools.push((value, 1));
        while let [.., before, last] = pools.as_slice()
            && before.0 > last.0
        {
            let count = before.1 + last.1;
            let mean = (before.0 * before.1 as f64 + last.0 * last.1 as f64) / count as f64;
            pools.pop();
            pools.pop();
            pools.push((mean, count));
        }
    }
    pools
        .into_iter()
        .flat_map(|(value, count)| std::iter::repeat_n(value, count))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_learnt_and_stays_monotone() {
        let cubic = |speed: f64| (speed / 12.0).powi(3).min(1.0);
        let of = |sign: f64| -> Vec<Yielded> {
            (0..2_000)
                .map(|i| {
                    let speed = f64::from(i % 200) / 10.0;
                    let stopped = i % 23 == 0;
                    Yielded {
                        speed,
                        power: if stopped { 0.0 } else { sign * cubic(speed) },
                    }
                })
                .collect()
        };
        for sign in [1.0, -1.0] {
            let curve = PowerCurve::fit(&of(sign)).unwrap();
            for speed in [2.0, 6.0, 9.0, 15.0, 40.0] {
                let power = sign * curve.power(speed);
                assert!((power - cubic(speed)).abs() < 0.05, "{speed}: {power}");
            }
        }
        assert_eq!(
            pooled([1.0, 3.0, 2.0, 4.0].into_iter()),
            [1.0, 2.5, 2.5, 4.0]
        );
        assert_eq!(PowerCurve::fit(&of(1.0)[..50]), None);
    }
}
