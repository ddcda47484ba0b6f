//! Numbers for people: ticks at round numbers, and digits that say neither too little nor too much.

/// From this on a number is written with a prefix: 1.2M.
const MEGA: f64 = 1e6;
const GIGA: f64 = 1e9;
/// From this on a prefix no longer helps.
const HUGE: f64 = 1e12;
/// Below this a number is written with an exponent.
const TINY: f64 = 1e-4;

/// Round numbers at even distances that hold a range of values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ticks {
    pub(crate) first: f64,
    pub(crate) step: f64,
    pub(crate) count: usize,
}

impl Ticks {
    /// About `wanted` ticks at 1, 2 or 5 times a power of ten, the first at or below `lo`, the last at or above `hi`.
    pub(crate) fn around(lo: f64, hi: f64, wanted: usize) -> Self {
        let (lo, hi) = widened(lo, hi);
        let step = round_step((hi - lo) / wanted.max(1) as f64);
        let first = (lo / step + 1e-9).floor();
        let last = (hi / step - 1e-9).ceil();
        Self {
            first: first * step,
            step,
            count: (last - first) as usize + 1,
        }
    }

    /// Such ticks that lie within `lo` and `hi`.
    pub(crate) fn within(lo: f64, hi: f64, wanted: usize) -> Self {
        let (lo, hi) = widened(lo, hi);
        let step = round_step((hi - lo) / wanted.max(1) as f64);
        let first = (lo / step - 1e-9).ceil();
        let last = (hi / step + 1e-9).floor();
        Self {
            first: first * step,
            step,
            count: (last - first).max(0.0) as usize + 1,
        }
    }

    pub(crate) fn at(&self, index: usize) -> f64 {
        // Rounded to a part of the step, so that a sum of steps is 0 where it should be.
        let value = self.first + self.step * index as f64;
        (value / self.step * 1e6).round() / 1e6 * self.step
    }

    pub(crate) fn last(&self) -> f64 {
        self.at(self.count.saturating_sub(1))
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = f64> + '_ {
        (0..self.count).map(|index| self.at(index))
    }

    /// A tick's number, with the decimals of the step.
    pub(crate) fn label(&self, value: f64) -> String {
        let largest = self.first.abs().max(self.last().abs());
        let (divisor, suffix) = match largest {
            l if l >= HUGE || (l < TINY && l > 0.0) => return exponent(value),
            l if l >= GIGA => (GIGA, "G"),
            l if l >= MEGA => (MEGA, "M"),
            _ => (1.0, ""),
        };
        let decimals = (-(self.step / divisor).log10() - 1e-9).ceil().max(0.0) as usize;
        format!("{}{suffix}", grouped(value / divisor, decimals.min(9)))
    }
}

/// A range that is not empty: around a single value, so that a constant signal lies in the middle.
fn widened(lo: f64, hi: f64) -> (f64, f64) {
    let (lo, hi) = (finite(lo), finite(hi));
    if hi - lo > (hi.abs().max(lo.abs())) * 1e-12 {
        return (lo, hi);
    }
    let margin = if lo == 0.0 { 1.0 } else { lo.abs() * 0.05 };
    (lo - margin, hi + margin)
}

fn finite(value: f64) -> f64 {
    if value.is_finite() {
        value.clamp(-1e300, 1e300)
    } else {
        0.0
    }
}

/// The least of 1, 2 or 5 times a power of ten that is not below a step.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let share = step / power;
    let round = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|round| share <= round * (1.0 + 1e-9))
        .unwrap_or(10.0);
    round * power
}

/// A number with four significant digits, or all digits of a whole number, in groups of three.
pub fn plain(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return "–".to_owned();
    }
    if size >= HUGE || (size < TINY && size > 0.0) {
        return exponent(value);
    }
    if value.fract() == 0.0 || size >= 1e5 {
        return grouped(value, 0);
    }
    let decimals = (3.0 - size.log10().floor()).clamp(0.0, 8.0) as usize;
    let text = grouped(value, decimals);
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

fn exponent(value: f64) -> String {
    let text = format!("{value:.2e}");
    text.replace('-', "−")
}

/// Fixed decimals, a comma between groups of three digits, and a minus sign as long as a plus.
fn grouped(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = text
        .split_once('.')
        .map_or((text.as_str(), None), |(w, f)| (w, Some(f)));
    let mut out = String::new();
    // Not "−0".
    if value < 0.0 && text.chars().any(|c| ('1'..='9').contains(&c)) {
        out.push('−');
    }
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

/// A unit's UCUM code as people write it; other codes stay as they are.
pub fn unit_text(code: &str) -> &str {
    match code {
        "Cel" => "°C",
        "[degF]" => "°F",
        "1" | "{}" => "",
        "deg" => "°",
        "Ohm" => "Ω",
        "m/s2" => "m/s²",
        "m3/h" => "m³/h",
        "m2" => "m²",
        "m3" => "m³",
        "um" => "µm",
        "us" => "µs",
        "[psi]" => "psi",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_hold_the_values() {
        for (lo, hi, labels) in [
            (0.0, 97.0, "0 20 40 60 80 100"),
            (-3.2, 4.1, "−4 −2 0 2 4 6"),
            (0.012, 0.019, "0.012 0.014 0.016 0.018 0.020"),
            (1_200_000.0, 3_900_000.0, "1M 2M 3M 4M"),
            (70.0, 70.0, "66 68 70 72 74"),
            (0.0, 0.0, "−1.0 −0.5 0.0 0.5 1.0"),
            (12_000.0, 15_500.0, "12,000 13,000 14,000 15,000 16,000"),
        ] {
            let ticks = Ticks::around(lo, hi, 5);
            let found: Vec<String> = ticks.values().map(|v| ticks.label(v)).collect();
            assert_eq!(found.join(" "), labels, "{lo} to {hi}");
        }
        let odd = Ticks::around(f64::NAN, f64::INFINITY, 5);
        assert!(odd.count < 20 && odd.first.is_finite(), "{odd:?}");
        let inner = Ticks::within(0.3, 9.7, 5);
        assert_eq!((inner.first, inner.last()), (2.0, 8.0));
    }

    #[test]
    fn numbers_have_four_digits_or_all_of_a_whole() {
        for (value, text) in [
            (0.0, "0"),
            (-0.000_000_1, "−1.00e−7"),
            (1_234_567.0, "1,234,567"),
            (123_456.7, "123,457"),
            (71.239_9, "71.24"),
            (0.5, "0.5"),
            (-2.0, "−2"),
            (0.001_234_7, "0.001235"),
            (999.96, "1,000"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(plain(value), text);
        }
    }
}
