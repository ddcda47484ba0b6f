//! Values as colours: a few steps that can be told apart, each with its bounds in the legend.

use crate::{
    axis::{Label, extent},
    chart::{Swatch, key},
    markup::Markup,
    number::{Ticks, plain},
};

/// The steps of a range, from light to dark.
const STEPS: [&str; 6] = ["q0", "q1", "q2", "q3", "q4", "q5"];

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
        Self::Range(Ticks::around(lo, hi, STEPS.len()))
    }

    pub(crate) fn class(&self, value: f64) -> &'static str {
        match self {
            Self::Share => SHARES
                .iter()
                .rev()
                .find(|(from, ..)| value >= *from)
                .map_or("h0", |(_, class, _)| *class),
            Self::Range(ticks) => {
                let share = (value - ticks.first) / (ticks.last() - ticks.first);
                let step = (share * STEPS.len() as f64)
                    .floor()
                    .clamp(0.0, STEPS.len() as f64 - 1.0);
                STEPS[step as usize]
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
                let width = (ticks.last() - ticks.first) / STEPS.len() as f64;
                for (i, class) in STEPS.into_iter().enumerate() {
                    let from = ticks.first + width * i as f64;
                    let name = format!("{} – {}", plain(from), plain(from + width));
                    let of = if i == 0 {
                        label.text() + " "
                    } else {
                        String::new()
                    };
                    key(out, Swatch::Heat(class), &(of + &name));
                }
            }
        }
        if missing {
            key(out, Swatch::Heat("missing"), "no row");
        }
        out.close("ul");
    }
}
