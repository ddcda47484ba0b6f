//! Amplitudes by frequency, with the names of the lines that matter or the frequencies of the highest peaks.

use crate::{
    axis::{
        Canvas, Detail, Label, Linear, Plot, XKind, extent, fitted, text_width, x_axis, y_axis,
        y_ticks_wanted,
    },
    line::dot,
    markup::{Markup, Outline, Px},
    number::Ticks,
};

/// How many peaks are named where the data names none.
const PEAKS: usize = 4;

/// A named line.
#[derive(Debug, Clone, PartialEq)]
pub struct Peak {
    /// Its frequency.
    pub frequency: f64,
    /// Its amplitude.
    pub amplitude: f64,
    /// Its name, such as "outer race".
    pub name: String,
}

/// A spectrum.
#[derive(Debug, Clone, PartialEq)]
pub struct SpectrumChart {
    /// What lies along the bottom.
    pub x_label: Label,
    /// What the amplitudes are.
    pub y_label: Label,
    /// Frequency and amplitude, by frequency.
    pub lines: Vec<(f64, f64)>,
    /// The lines that have names; empty: the highest peaks are named by their frequencies.
    pub named: Vec<Peak>,
}

impl SpectrumChart {
    fn finite(&self) -> impl Iterator<Item = (f64, f64)> {
        let finite = |(f, a): &(f64, f64)| f.is_finite() && a.is_finite();
        self.lines.iter().copied().filter(finite)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.finite().next().is_none()
    }

    /// The highest lines that stand above both neighbours, and not beside a higher one.
    fn peaks(&self) -> Vec<Peak> {
        if !self.named.is_empty() {
            return self.named.clone();
        }
        let lines: Vec<(f64, f64)> = self.finite().collect();
        let mut peaks: Vec<(f64, f64)> = lines
            .windows(3)
            .filter(|three| three[1].1 > three[0].1 && three[1].1 >= three[2].1)
            .map(|three| three[1])
            .collect();
        peaks.sort_by(|a, b| b.1.total_cmp(&a.1));
        let named = |(frequency, amplitude): &(f64, f64)| Peak {
            frequency: *frequency,
            amplitude: *amplitude,
            name: self.x_label.value(*frequency),
        };
        peaks.iter().take(PEAKS).map(named).collect()
    }

    pub(crate) fn draw(&self, out: &mut Markup, canvas: Canvas) {
        let (lo, hi) = extent(self.finite().map(|(_, a)| a)).unwrap_or((0.0, 1.0));
        let ticks = Ticks::around(
            lo.min(0.0),
            hi.max(0.0) * 1.06,
            y_ticks_wanted(canvas.height),
        );
        let (plot, y) = y_axis(out, canvas, &ticks, &self.y_label);
        let x = Linear {
            domain: extent(self.finite().map(|(f, _)| f)).unwrap_or((0.0, 1.0)),
            range: (plot.left, plot.right),
        };
        let (mut line, mut area) = (Outline::default(), Outline::default());
        area.move_to(plot.left, y.at(0.0));
        for (i, (frequency, amplitude)) in self.finite().enumerate() {
            let (px, py) = (x.at(frequency), y.at(amplitude));
            area.line_to(px, py);
            if i == 0 {
                line.move_to(px, py);
            } else {
                line.line_to(px, py);
            }
        }
        area.line_to(plot.right, y.at(0.0));
        area.close();
        out.empty("path", &[("class", &"band s1"), ("d", &area)]);
        out.empty("path", &[("class", &"line thin s1"), ("d", &line)]);
        x_axis(out, plot, x, &XKind::Number, &self.x_label);
        if canvas.detail == Detail::Tips {
            self.tips(out, plot, x);
        }
        self.names(out, plot, x, y);
    }

    /// Names of peaks, the highest first: a name that would cover another is left out.
    fn names(&self, out: &mut Markup, plot: Plot, x: Linear, y: Linear) {
        let mut peaks = self.peaks();
        peaks.sort_by(|a, b| b.amplitude.total_cmp(&a.amplitude));
        let mut taken: Vec<(f64, f64, f64)> = Vec::new();
        for peak in peaks {
            let (px, py) = (x.at(peak.frequency), y.at(peak.amplitude));
            dot(out, "dot bad", px, py, 2.6);
            let shown = fitted(&peak.name, 150.0);
            let wide = text_width(&shown);
            let left = (px + 6.0).min(plot.right - wide);
            let base = (py - 5.0).max(plot.top + 8.0);
            let is_free = |(from, to, other): &(f64, f64, f64)| {
                left > *to || left + wide < *from || (base - other).abs() > 12.0
            };
            if taken.iter().all(is_free) {
                out.leaf(
                    "text",
                    &[("class", &"mark"), ("x", &Px(left)), ("y", &Px(base))],
                    shown,
                );
                taken.push((left, left + wide, base));
            }
        }
    }

    /// One invisible column for each few pixels, which says the highest line in it.
    fn tips(&self, out: &mut Markup, plot: Plot, x: Linear) {
        const WIDE: f64 = 4.0;
        let mut columns: Vec<Option<(f64, f64)>> =
            vec![None; ((plot.right - plot.left) / WIDE).ceil().max(1.0) as usize];
        for (frequency, amplitude) in self.finite() {
            let column = ((x.at(frequency) - plot.left) / WIDE) as usize;
            if let Some(column) = columns.get_mut(column)
                && column.is_none_or(|(_, highest)| amplitude > highest)
            {
                *column = Some((frequency, amplitude));
            }
        }
        out.open("g", &[("class", &"tips")]);
        for (i, line) in columns.iter().enumerate() {
            let Some((frequency, amplitude)) = line else {
                continue;
            };
            let (left, top) = (Px(plot.left + i as f64 * WIDE), Px(plot.top));
            let height = Px(plot.bottom - plot.top);
            let attributes: [(_, &dyn std::fmt::Display); 4] = [
                ("x", &left),
                ("y", &top),
                ("width", &WIDE),
                ("height", &height),
            ];
            out.open("rect", &attributes);
            let (at, value) = (
                self.x_label.value(*frequency),
                self.y_label.value(*amplitude),
            );
            out.leaf("title", &[], format!("{at}\n{value}"));
            out.close("rect");
        }
        out.close("g");
    }

    pub(crate) fn description(&self) -> String {
        let (from, to) = extent(self.finite().map(|(f, _)| f)).unwrap_or((0.0, 0.0));
        let mut text = format!(
            "Spectrum of {} from {} to {}.",
            self.y_label.text(),
            self.x_label.value(from),
            self.x_label.value(to)
        );
        for peak in self.peaks() {
            let (at, height) = (
                self.x_label.value(peak.frequency),
                self.y_label.value(peak.amplitude),
            );
            let name = if self.named.is_empty() {
                String::new()
            } else {
                peak.name + ", "
            };
            text.push_str(&format!(" Peak: {name}{at}, {height}."));
        }
        text
    }
}
