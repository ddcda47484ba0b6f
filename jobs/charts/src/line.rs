//! Lines over time or over a number: intervals as bands, limits as dashes, marked stretches as shades, gaps as gaps.

use std::collections::BTreeMap;

use crate::{
    axis::{
        Canvas, Detail, Label, Linear, Plot, XKind, extent, fitted, text_width, x_axis, y_axis,
        y_ticks_wanted,
    },
    chart::{Swatch, key, series_class},
    markup::{Markup, Outline, Px},
    number::Ticks,
};

/// A step longer than this many usual ones is a gap, which no line crosses.
const GAP_STEPS: f64 = 2.5;

/// More lines than this are not listed for one place.
const TIP_LINES_MAX: usize = 12;

/// One value of a series.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Point {
    /// Its place: seconds since 1970 UTC, or a number.
    pub x: f64,
    /// Its value; none breaks the line.
    pub y: Option<f64>,
    /// The lower end of its interval.
    pub lo: Option<f64>,
    /// The upper end of its interval.
    pub hi: Option<f64>,
    /// The limit that holds for it.
    pub limit: Option<f64>,
    /// Why its place is shaded; empty for a shade without words.
    pub mark: Option<String>,
}

/// A named line.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Its values, in the order of their places.
    pub points: Vec<Point>,
}

/// A chart of lines.
#[derive(Debug, Clone, PartialEq)]
pub struct LineChart {
    /// What lies along the bottom.
    pub x: XKind,
    /// Its name, for numbers.
    pub x_label: Label,
    /// What the values are.
    pub y_label: Label,
    /// The lines.
    pub series: Vec<Series>,
    /// What the bands are, such as `90 % interval`.
    pub band: String,
    /// What the shades are, such as `warned`.
    pub mark: String,
    /// From where to where its places reach; none for those of its own values. Charts side by side share one.
    pub domain: Option<(f64, f64)>,
    /// The end of what was known when the chart was made: values after it are forecasts.
    pub now: Option<f64>,
}

impl LineChart {
    fn points(&self) -> impl Iterator<Item = &Point> {
        self.series.iter().flat_map(|series| &series.points)
    }

    /// Whether there is nothing to draw.
    pub(crate) fn is_empty(&self) -> bool {
        !self
            .points()
            .any(|point| point.y.is_some_and(f64::is_finite))
    }

    /// A line's name, else what the values are.
    fn name_of<'a>(&'a self, series: &'a Series) -> &'a str {
        [series.name.as_str(), self.y_label.name.as_str()]
            .into_iter()
            .find(|name| !name.is_empty())
            .unwrap_or("value")
    }

    fn x_extent(&self) -> (f64, f64) {
        extent(self.points().map(|point| point.x)).unwrap_or((0.0, 1.0))
    }

    pub(crate) fn draw(&self, out: &mut Markup, canvas: Canvas) {
        let values = self
            .points()
            .flat_map(|p| [p.y, p.lo, p.hi, p.limit].into_iter().flatten());
        let (lo, hi) = extent(values).unwrap_or((0.0, 1.0));
        let ticks = Ticks::around(lo, hi, y_ticks_wanted(canvas.height));
        let (plot, y) = y_axis(out, canvas, &ticks, &self.y_label);
        let x = Linear {
            domain: self.domain.unwrap_or_else(|| self.x_extent()),
            range: (plot.left, plot.right),
        };
        self.shades(out, plot, x);
        for (i, series) in self.series.iter().enumerate() {
            band(out, series, i, x, y);
        }
        self.limits(out, x, y);
        for (i, series) in self.series.iter().enumerate() {
            line(out, series, i, x, y);
        }
        x_axis(out, plot, x, &self.x, &self.x_label);
        self.now_rule(out, plot, x);
        if canvas.detail == Detail::Tips {
            self.tips(out, plot, x);
        }
    }

    /// Marked stretches, each from its first marked place to its last.
    fn shades(&self, out: &mut Markup, plot: Plot, x: Linear) {
        let mut labels_to = f64::NEG_INFINITY;
        for series in &self.series {
            let marked = |a: &Point, b: &Point| a.mark.is_some() == b.mark.is_some();
            for stretch in series.points.chunk_by(marked) {
                let (Some(first), Some(last)) = (stretch.first(), stretch.last()) else {
                    continue;
                };
                let Some(text) = &first.mark else { continue };
                let from = x.at(first.x) - 1.0;
                let wide = (x.at(last.x) + 1.0 - from).max(3.0);
                let height = Px(plot.bottom - plot.top);
                let (left, top) = (Px(from), Px(plot.top));
                let attributes: [(_, &dyn std::fmt::Display); 5] = [
                    ("class", &"shade"),
                    ("x", &left),
                    ("y", &top),
                    ("width", &Px(wide)),
                    ("height", &height),
                ];
                out.empty("rect", &attributes);
                let room = plot.right - from - 6.0;
                if !text.is_empty() && from > labels_to && room > 40.0 {
                    let shown = fitted(text, room);
                    labels_to = from + text_width(&shown) + 12.0;
                    let (left, base) = (Px(from + 4.0), Px(plot.top + 12.0));
                    out.leaf(
                        "text",
                        &[("class", &"mark"), ("x", &left), ("y", &base)],
                        shown,
                    );
                }
            }
        }
    }

    /// One dashed line where all series have the same limit at a place, else one for each.
    fn limits(&self, out: &mut Markup, x: Linear, y: Linear) {
        let mut drawn: Vec<String> = Vec::new();
        for series in &self.series {
            let mut outline = Outline::default();
            for run in runs(&series.points, |point| point.limit) {
                for (i, (place, limit)) in run.iter().enumerate() {
                    to(&mut outline, i, x.at(*place), y.at(*limit));
                }
            }
            let outline = outline.to_string();
            if !outline.is_empty() && !drawn.contains(&outline) {
                out.empty("path", &[("class", &"limit"), ("d", &outline)]);
                drawn.push(outline);
            }
        }
    }

    /// Where the known ends and the forecast begins.
    fn now_rule(&self, out: &mut Markup, plot: Plot, x: Linear) {
        let (lo, hi) = x.domain;
        let Some(now) = self
            .now
            .filter(|now| *now > lo && *now < hi - (hi - lo) * 0.01)
        else {
            return;
        };
        let at = Px(x.at(now));
        let (top, bottom) = (Px(plot.top), Px(plot.bottom));
        let attributes: [(_, &dyn std::fmt::Display); 5] = [
            ("class", &"now"),
            ("x1", &at),
            ("x2", &at),
            ("y1", &top),
            ("y2", &bottom),
        ];
        out.empty("line", &attributes);
        let (word, side) = ("as of this report", x.at(now) - plot.left);
        let fits = side > text_width(word) + 8.0;
        let (class, left) = if fits {
            ("mark last", x.at(now) - 5.0)
        } else {
            ("mark", x.at(now) + 5.0)
        };
        let base = Px(plot.top - 3.0);
        out.leaf(
            "text",
            &[("class", &class), ("x", &Px(left)), ("y", &base)],
            word,
        );
    }

    /// Invisible columns that say the values of all series where one points.
    fn tips(&self, out: &mut Markup, plot: Plot, x: Linear) {
        let mut columns: BTreeMap<i64, (f64, Vec<String>)> = BTreeMap::new();
        for series in &self.series {
            for point in &series.points {
                let Some(value) = point.y else { continue };
                let column = (x.at(point.x) / 2.0).round() as i64;
                let (_, lines) = columns
                    .entry(column)
                    .or_insert_with(|| (point.x, Vec::new()));
                if lines.len() < TIP_LINES_MAX {
                    lines.push(self.tip(series, point, value));
                }
            }
        }
        let places: Vec<f64> = columns.keys().map(|column| *column as f64 * 2.0).collect();
        out.open("g", &[("class", &"tips")]);
        for (i, (at, lines)) in columns.values().enumerate() {
            let middle = |a: usize, b: usize| (places[a] + places[b]) / 2.0;
            let from = if i == 0 { plot.left } else { middle(i - 1, i) };
            let to = if i + 1 == places.len() {
                plot.right
            } else {
                middle(i, i + 1)
            };
            let height = Px(plot.bottom - plot.top);
            let wide = Px((to - from).max(1.0));
            let (left, top) = (Px(from), Px(plot.top));
            let attributes: [(_, &dyn std::fmt::Display); 4] = [
                ("x", &left),
                ("y", &top),
                ("width", &wide),
                ("height", &height),
            ];
            out.open("rect", &attributes);
            let place = self.x.value(*at, &self.x_label);
            out.leaf("title", &[], format!("{place}\n{}", lines.join("\n")));
            out.close("rect");
        }
        out.close("g");
    }

    fn tip(&self, series: &Series, point: &Point, value: f64) -> String {
        let mut text = self.y_label.value(value);
        if let (Some(lo), Some(hi)) = (point.lo, point.hi) {
            text = format!(
                "{text} ({} to {})",
                self.y_label.value(lo),
                self.y_label.value(hi)
            );
        }
        if let Some(mark) = point.mark.as_ref().filter(|mark| !mark.is_empty()) {
            text = format!("{text}, {mark}");
        }
        match series.name.as_str() {
            "" => text,
            name => format!("{name}: {text}"),
        }
    }

    pub(crate) fn legend(&self, out: &mut Markup) {
        let has = |part: fn(&Point) -> bool| self.points().any(part);
        let has_band = has(|p| p.lo.is_some() && p.hi.is_some());
        let has_limit = has(|p| p.limit.is_some());
        let has_mark = has(|p| p.mark.is_some());
        if self.series.len() < 2 && !has_band && !has_limit && !has_mark {
            return;
        }
        out.open("ul", &[("class", &"legend")]);
        for (i, series) in self.series.iter().enumerate() {
            let name = self.name_of(series);
            key(out, Swatch::Line(i), name);
        }
        if has_band {
            key(out, Swatch::Band, &self.band);
        }
        if has_limit {
            key(out, Swatch::Limit, "limit");
        }
        if has_mark {
            key(out, Swatch::Shade, &self.mark);
        }
        out.close("ul");
    }

    /// What the lines show, for who cannot see them.
    pub(crate) fn description(&self) -> String {
        let (from, to) = self.x_extent();
        let mut text = format!(
            "Line chart from {} to {}.",
            self.x.value(from, &self.x_label),
            self.x.value(to, &self.x_label)
        );
        for series in self.series.iter().take(TIP_LINES_MAX) {
            let values = || series.points.iter().filter_map(|point| point.y);
            let Some((lo, hi)) = extent(values()) else {
                continue;
            };
            let last = values().next_back().unwrap_or(hi);
            let name = self.name_of(series);
            text.push_str(&format!(
                " {name}: {} values, lowest {}, highest {}, last {}.",
                values().count(),
                self.y_label.value(lo),
                self.y_label.value(hi),
                self.y_label.value(last)
            ));
        }
        let marked = self.points().filter(|point| point.mark.is_some()).count();
        if marked > 0 {
            text.push_str(&format!(" {marked} values are marked as {}.", self.mark));
        }
        text
    }
}

/// Stretches of neighbouring points that have a value and no gap between them, as (place, value).
fn runs(points: &[Point], value: impl Fn(&Point) -> Option<f64>) -> Vec<Vec<(f64, f64)>> {
    let gap = gap_of(points);
    let mut runs: Vec<Vec<(f64, f64)>> = vec![Vec::new()];
    let mut before = f64::NEG_INFINITY;
    for point in points {
        let found = value(point).filter(|value| value.is_finite());
        if point.x - before > gap || found.is_none() {
            runs.push(Vec::new());
        }
        if let (Some(value), Some(run)) = (found, runs.last_mut()) {
            run.push((point.x, value));
            before = point.x;
        }
    }
    runs.retain(|run| !run.is_empty());
    runs
}

/// The step beyond which there is a gap: some times the usual one.
fn gap_of(points: &[Point]) -> f64 {
    let mut steps: Vec<f64> = points
        .windows(2)
        .map(|pair| pair[1].x - pair[0].x)
        .filter(|step| *step > 0.0)
        .collect();
    if steps.len() < 2 {
        return f64::INFINITY;
    }
    steps.sort_by(f64::total_cmp);
    steps[steps.len() / 2] * GAP_STEPS
}

fn to(outline: &mut Outline, index: usize, x: f64, y: f64) {
    if index == 0 {
        outline.move_to(x, y);
    } else {
        outline.line_to(x, y);
    }
}

fn band(out: &mut Markup, series: &Series, index: usize, x: Linear, y: Linear) {
    let both = |point: &Point| point.lo.and(point.hi);
    let mut outline = Outline::default();
    for run in runs(&series.points, both) {
        for (i, (place, hi)) in run.iter().enumerate() {
            to(&mut outline, i, x.at(*place), y.at(*hi));
        }
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            continue;
        };
        let back = series
            .points
            .iter()
            .filter(|p| p.x >= first.0 && p.x <= last.0 && both(p).is_some())
            .rev();
        for point in back {
            if let Some(lo) = point.lo {
                outline.line_to(x.at(point.x), y.at(lo));
            }
        }
        outline.close();
    }
    if !outline.is_empty() {
        let class = format!("band {}", series_class(index));
        out.empty("path", &[("class", &class), ("d", &outline)]);
    }
}

fn line(out: &mut Markup, series: &Series, index: usize, x: Linear, y: Linear) {
    let class = series_class(index);
    let mut outline = Outline::default();
    let mut alone = Vec::new();
    for run in runs(&series.points, |point| point.y) {
        if let [(place, value)] = run[..] {
            alone.push((x.at(place), y.at(value)));
            continue;
        }
        for (i, (place, value)) in run.iter().enumerate() {
            to(&mut outline, i, x.at(*place), y.at(*value));
        }
    }
    if !outline.is_empty() {
        out.empty(
            "path",
            &[("class", &format!("line {class}")), ("d", &outline)],
        );
    }
    for (cx, cy) in alone {
        dot(out, &format!("dot {class}"), cx, cy, 2.2);
    }
    let beyond = series.points.iter().filter_map(|point| {
        let value = point.y?;
        (value > point.limit?).then(|| (x.at(point.x), y.at(value)))
    });
    for (cx, cy) in beyond {
        dot(out, "dot bad", cx, cy, 2.6);
    }
}

pub(crate) fn dot(out: &mut Markup, class: &str, cx: f64, cy: f64, r: f64) {
    let (cx, cy, r) = (Px(cx), Px(cy), Px(r));
    out.empty(
        "circle",
        &[("class", &class), ("cx", &cx), ("cy", &cy), ("r", &r)],
    );
}
