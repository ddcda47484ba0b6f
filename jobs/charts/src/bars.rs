//! Bars from zero: lying, one row a name, so that long names can be read; standing where they belong to times.

use crate::{
    axis::{
        Canvas, Detail, Label, Linear, Plot, XKind, extent, fitted, text_width, x_axis, y_axis,
        y_ticks_wanted,
    },
    chart::{Swatch, key, series_class},
    markup::{Markup, Px},
    number::{Ticks, plain},
};

const BAR: f64 = 16.0;
const BETWEEN: f64 = 8.0;
/// A standing bar is at most this wide.
const BAR_MAX: f64 = 72.0;
/// What a single bar by time covers, in seconds.
const DAY: f64 = 86_400.0;
/// The largest share of the width that names may take.
const NAMES_SHARE: f64 = 0.38;
/// Names of a description.
const DESCRIBED_MAX: usize = 8;

/// One bar.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bar {
    /// Whose it is; empty for bars by time.
    pub name: String,
    /// Its time or number, for standing bars.
    pub x: f64,
    /// Its length.
    pub y: f64,
    /// The ends of its interval.
    pub interval: Option<(f64, f64)>,
    /// The number of its series.
    pub series: usize,
}

/// A chart of bars.
#[derive(Debug, Clone, PartialEq)]
pub struct BarChart {
    /// What lies along the bottom of standing bars; none for lying bars.
    pub x: Option<XKind>,
    /// Its name, for numbers.
    pub x_label: Label,
    /// What the lengths are.
    pub y_label: Label,
    /// The names of the series; one at least.
    pub series: Vec<String>,
    /// The bars, in their order.
    pub bars: Vec<Bar>,
}

impl BarChart {
    pub(crate) fn is_empty(&self) -> bool {
        self.bars.is_empty()
    }

    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for bar in &self.bars {
            if !names.contains(&bar.name.as_str()) {
                names.push(&bar.name);
            }
        }
        names
    }

    fn row(&self) -> f64 {
        BAR * self.series.len().max(1) as f64 + BETWEEN
    }

    pub(crate) fn height(&self, usual: f64) -> f64 {
        match self.x {
            Some(_) => usual,
            None => self.names().len() as f64 * self.row() + 24.0,
        }
    }

    /// The range of the lengths, zero among them.
    fn reach(&self) -> (f64, f64) {
        let ends = self.bars.iter().flat_map(|bar| {
            [
                bar.y,
                bar.interval.map_or(0.0, |i| i.0),
                bar.interval.map_or(0.0, |i| i.1),
            ]
        });
        let (lo, hi) = extent(ends).unwrap_or((0.0, 1.0));
        (lo.min(0.0), hi.max(0.0))
    }

    pub(crate) fn draw(&self, out: &mut Markup, canvas: Canvas) {
        match &self.x {
            Some(kind) => self.standing(out, canvas, kind),
            None => self.lying(out, canvas),
        }
    }

    fn lying(&self, out: &mut Markup, canvas: Canvas) {
        let names = self.names();
        let widest = names.iter().map(|n| text_width(n)).fold(0.0, f64::max);
        let left = (widest + 10.0).min(canvas.width * NAMES_SHARE);
        let (lo, hi) = self.reach();
        let values = self.bars.iter().map(|bar| text_width(&plain(bar.y)));
        let value_room = values.fold(0.0, f64::max) + 16.0;
        let scale = Linear {
            domain: if hi > lo { (lo, hi) } else { (0.0, 1.0) },
            range: (left, canvas.width - value_room),
        };
        let title = fitted(&self.y_label.text(), canvas.width - left);
        out.leaf(
            "text",
            &[("class", &"name"), ("x", &Px(left)), ("y", &11)],
            title,
        );
        let top = 20.0;
        for (row, name) in names.iter().enumerate() {
            let y = top + row as f64 * self.row();
            let middle = Px(y + (self.row() - BETWEEN) / 2.0 + 4.0);
            out.open("g", &[("class", &"row")]);
            let shown = fitted(name, left - 10.0);
            let x = Px(left - 8.0);
            out.open(
                "text",
                &[("class", &"label last"), ("x", &x), ("y", &middle)],
            );
            out.text(&shown);
            if shown != **name {
                out.leaf("title", &[], name);
            }
            out.close("text");
            for bar in self.bars.iter().filter(|bar| bar.name == **name) {
                self.lying_bar(out, bar, scale, y + bar.series as f64 * BAR);
            }
            out.close("g");
        }
        let (zero, bottom) = (
            Px(scale.at(0.0)),
            Px(top + names.len() as f64 * self.row() - BETWEEN + 4.0),
        );
        let base: [(_, &dyn std::fmt::Display); 5] = [
            ("class", &"zero"),
            ("x1", &zero),
            ("x2", &zero),
            ("y1", &Px(top - 4.0)),
            ("y2", &bottom),
        ];
        out.empty("line", &base);
    }

    fn lying_bar(&self, out: &mut Markup, bar: &Bar, scale: Linear, y: f64) {
        let (zero, end) = (scale.at(0.0), scale.at(bar.y));
        let class = format!("bar {}", series_class(bar.series));
        let (x, wide) = (Px(zero.min(end)), Px((end - zero).abs().max(0.5)));
        let (top, height) = (Px(y + 1.0), Px(BAR - 2.0));
        let attributes: [(_, &dyn std::fmt::Display); 5] = [
            ("class", &class),
            ("x", &x),
            ("y", &top),
            ("width", &wide),
            ("height", &height),
        ];
        out.open("rect", &attributes);
        out.leaf("title", &[], self.tip(bar));
        out.close("rect");
        if let Some((lo, hi)) = bar.interval {
            let (from, to, middle) = (Px(scale.at(lo)), Px(scale.at(hi)), Px(y + BAR / 2.0));
            let whisker: [(_, &dyn std::fmt::Display); 5] = [
                ("class", &"whisker"),
                ("x1", &from),
                ("x2", &to),
                ("y1", &middle),
                ("y2", &middle),
            ];
            out.empty("line", &whisker);
        }
        let past = bar
            .interval
            .map_or(end, |(_, hi)| scale.at(hi).max(end))
            .max(zero);
        let (x, base) = (Px(past + 5.0), Px(y + BAR / 2.0 + 4.0));
        out.leaf(
            "text",
            &[("class", &"value"), ("x", &x), ("y", &base)],
            plain(bar.y),
        );
    }

    fn standing(&self, out: &mut Markup, canvas: Canvas, kind: &XKind) {
        let (lo, hi) = self.reach();
        let ticks = Ticks::around(lo, hi, y_ticks_wanted(canvas.height));
        let (plot, y) = y_axis(out, canvas, &ticks, &self.y_label);
        let step = self.step();
        let (first, last) = extent(self.bars.iter().map(|bar| bar.x)).unwrap_or((0.0, 1.0));
        // A bar covers its step: a day's bar begins at the day's tick.
        let x = Linear {
            domain: (first, last + step),
            range: (plot.left, plot.right),
        };
        let room = x.at(first + step) - x.at(first);
        let count = self.series.len().max(1) as f64;
        let wide = (room * 0.84 / count).clamp(1.0, BAR_MAX);
        let margin = (room - wide * count) / 2.0;
        for bar in &self.bars {
            let left = x.at(bar.x) + margin + wide * bar.series as f64;
            self.standing_bar(out, bar, plot, (left, wide, y), canvas.detail);
        }
        x_axis(out, plot, x, kind, &self.x_label);
    }

    fn standing_bar(
        &self,
        out: &mut Markup,
        bar: &Bar,
        plot: Plot,
        (left, wide, scale): (f64, f64, Linear),
        detail: Detail,
    ) {
        let (zero, end) = (scale.at(0.0).min(plot.bottom), scale.at(bar.y));
        let class = format!("bar {}", series_class(bar.series));
        let (x, wide_px) = (Px(left), Px((wide - 1.0).max(1.0)));
        let (top, height) = (Px(zero.min(end)), Px((end - zero).abs().max(0.5)));
        let attributes: [(_, &dyn std::fmt::Display); 5] = [
            ("class", &class),
            ("x", &x),
            ("y", &top),
            ("width", &wide_px),
            ("height", &height),
        ];
        out.open("rect", &attributes);
        if detail == Detail::Tips {
            out.leaf("title", &[], self.tip(bar));
        }
        out.close("rect");
        if let Some((lo, hi)) = bar.interval {
            let (from, to, middle) = (Px(scale.at(lo)), Px(scale.at(hi)), Px(left + wide / 2.0));
            let whisker: [(_, &dyn std::fmt::Display); 5] = [
                ("class", &"whisker"),
                ("x1", &middle),
                ("x2", &middle),
                ("y1", &from),
                ("y2", &to),
            ];
            out.empty("line", &whisker);
        }
    }

    /// The least distance of two bars.
    fn step(&self) -> f64 {
        let mut places: Vec<f64> = self.bars.iter().map(|bar| bar.x).collect();
        places.sort_by(f64::total_cmp);
        let steps = places.windows(2).map(|pair| pair[1] - pair[0]);
        let least = steps
            .filter(|step| *step > 0.0)
            .fold(f64::INFINITY, f64::min);
        match self.x {
            _ if least.is_finite() => least,
            Some(XKind::Time(_)) => DAY,
            _ => 1.0,
        }
    }

    fn place(&self, bar: &Bar) -> String {
        match &self.x {
            Some(kind) => kind.value(bar.x, &self.x_label),
            None => bar.name.clone(),
        }
    }

    fn tip(&self, bar: &Bar) -> String {
        let place = self.place(bar);
        let value = self.y_label.value(bar.y);
        let value = match bar.interval {
            Some((lo, hi)) => {
                format!(
                    "{value} ({} to {})",
                    self.y_label.value(lo),
                    self.y_label.value(hi)
                )
            }
            None => value,
        };
        match self
            .series
            .get(bar.series)
            .filter(|_| self.series.len() > 1)
        {
            Some(series) => format!("{place}\n{series}: {value}"),
            None => format!("{place}\n{value}"),
        }
    }

    pub(crate) fn legend(&self, out: &mut Markup) {
        if self.series.len() > 1 {
            out.open("ul", &[("class", &"legend")]);
            for (i, name) in self.series.iter().enumerate() {
                key(out, Swatch::Fill(i), name);
            }
            out.close("ul");
        }
    }

    pub(crate) fn description(&self) -> String {
        let mut text = format!("Bar chart of {}.", self.y_label.text());
        for bar in self.bars.iter().take(DESCRIBED_MAX) {
            let series = self
                .series
                .get(bar.series)
                .filter(|_| self.series.len() > 1);
            let of = series.map_or_else(String::new, |series| format!(", {series}"));
            text.push_str(&format!(
                " {}{of}: {}.",
                self.place(bar),
                self.y_label.value(bar.y)
            ));
        }
        if self.bars.len() > DESCRIBED_MAX {
            text.push_str(&format!(" And {} more.", self.bars.len() - DESCRIBED_MAX));
        }
        text
    }
}
