//! Values as colours: a few steps that can be told apart, each with its bounds in the legend.

use crate::{
    axis::{Label, extent},
    chart::{Swatch, key},
    markup::Markup,
    number::{Ticks, plain},
};

/// The steps of a range, from light to dark.
const STEPS: [&str; 6] = ["q0", "q1", "q2", "q3", "q4", "q5"];

/// What a place without a value is called.
pub(crate) const NO_VALUE: &str = "no value";

/// How values become colours.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Heat {
    /// Shares from 0 to 1, such as completeness: what is missing stands out.
    Share,
    /// Even steps between two round numbers.
    Range(Ticks),
}

/// Share from which on this class holds, from the worst to the best, and its name.
const SHARES: [(f64, &str, &str); 5] = [
    (f64::NEG_INFINITY, "h0", "0%"),
    (1e-9, "h1", "below 50%"),
    (0.5, "h2", "50 – 90%"),
    (0.9, "h3", "90 – 99.9%"),
    (0.999, "h4", "complete"),
];

impl Heat {
    /// The colours for these values: shares where all lie between 0 and 1.
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Self {
        let (lo, hi) = extent(values).unwrap_or((0.0, 1.0));
        if lo >= -1e-9 && hi <= 1.0 + 1e-9 {
            return Self::Share;
        }
        Self::Range(Ticks::around(lo, hi, STEPS.len() - 1))
    }

    pub(crate) fn class(&self, value: f64) -> &'static str {
        match self {
            Self::Share => SHARES
                .iter()
                .rev()
                .find(|(from, ..)| value >= *from)
                .map_or("h0", |(_, class, _)| *class),
            Self::Range(ticks) => {
                let step = ((value - ticks.first) / ticks.step).floor().max(0.0);
                step_class(step as usize, ticks)
            }
        }
    }

    /// A value in words: a share as per cent.
    pub(crate) fn value(&self, value: f64, label: &Label) -> String {
        match self {
            Self::Share => format!("{}%", plain((value * 1000.0).floor() / 10.0)),
            Self::Range(_) => label.value(value),
        }
    }

    pub(crate) fn legend(&self, out: &mut Markup, label: &Label, missing: bool) {
        out.open("ul", &[("class", &"legend")]);
        match self {
            Self::Share => {
                for (_, class, name) in SHARES {
                    key(out, Swatch::Heat(class), name);
                }
            }
            Self::Range(ticks) => {
                if !label.text().is_empty() {
                    out.leaf("li", &[("class", &"of")], label.text());
                }
                for step in 0..steps(ticks) {
                    let bounds = [step, step + 1].map(|tick| ticks.label(ticks.at(tick)));
                    key(
                        out,
                        Swatch::Heat(step_class(step, ticks)),
                        &bounds.join(" – "),
                    );
                }
            }
        }
        if missing {
            key(out, Swatch::Heat("missing"), NO_VALUE);
        }
        out.close("ul");
    }
}

fn steps(ticks: &Ticks) -> usize {
    ticks.count.saturating_sub(1).max(1)
}

/// The colours of a range spread from the lightest to the darkest, however many steps there are.
fn step_class(step: usize, ticks: &Ticks) -> &'static str {
    let last = steps(ticks) - 1;
    let share = step.min(last) as f64 / last.max(1) as f64;
    STEPS[(share * (STEPS.len() - 1) as f64).round() as usize]
}
