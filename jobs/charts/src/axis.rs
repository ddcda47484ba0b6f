//! Scales, and the frame that a chart is drawn in: grid, ticks and labels that keep clear of each other.

use jiff::tz::TimeZone;

use crate::{
    markup::{Markup, Px},
    number::{Ticks, plain, unit_text},
    time::{date_time, time_ticks},
};

/// Height of a line of text.
pub(crate) const LINE: f64 = 14.0;

/// Room right of a plot, for half of its last label.
pub(crate) const RIGHT: f64 = 20.0;

/// About the width of a character of an axis' labels.
const CHARACTER: f64 = 6.3;

/// What an axis shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Label {
    /// Its name; empty for none.
    pub name: String,
    /// The unit as a UCUM code or as people write it.
    pub unit: Option<String>,
}

/// What the values along the bottom are.
#[derive(Debug, Clone, PartialEq)]
pub enum XKind {
    /// Seconds since 1970 UTC, shown on this zone's clock.
    Time(TimeZone),
    /// Numbers.
    Number,
}

/// How a chart is drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Canvas {
    /// In px; the drawing scales to its place on the page.
    pub(crate) width: f64,
    /// In px, where the chart has no height of its own.
    pub(crate) height: f64,
    pub(crate) detail: Detail,
}

/// Whether values can be pointed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    Tips,
    Plain,
}

/// From values to pixels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Linear {
    pub(crate) domain: (f64, f64),
    pub(crate) range: (f64, f64),
}

/// Where the values are drawn within a canvas.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plot {
    pub(crate) left: f64,
    pub(crate) right: f64,
    pub(crate) top: f64,
    pub(crate) bottom: f64,
}

impl Label {
    /// A name with a unit.
    pub fn new(name: impl Into<String>, unit: Option<&str>) -> Self {
        Self {
            name: name.into(),
            unit: unit.map(str::to_owned),
        }
    }

    /// `Load (MW)`.
    pub(crate) fn text(&self) -> String {
        match self.unit() {
            "" => self.name.clone(),
            unit if self.name.is_empty() => unit.to_owned(),
            unit => format!("{} ({unit})", self.name),
        }
    }

    fn unit(&self) -> &str {
        self.unit.as_deref().map_or("", unit_text)
    }

    /// A value with its unit: `12.5 MW`.
    pub(crate) fn value(&self, value: f64) -> String {
        match self.unit() {
            "" => plain(value),
            unit @ ("°" | "%") => format!("{}{unit}", plain(value)),
            unit => format!("{} {unit}", plain(value)),
        }
    }
}

impl XKind {
    /// A place on the axis in words.
    pub(crate) fn value(&self, x: f64, label: &Label) -> String {
        match self {
            Self::Time(zone) => date_time(x, zone),
            Self::Number => label.value(x),
        }
    }
}

impl Linear {
    pub(crate) fn at(&self, value: f64) -> f64 {
        let ((d0, d1), (r0, r1)) = (self.domain, self.range);
        let span = d1 - d0;
        if span == 0.0 {
            return (r0 + r1) / 2.0;
        }
        r0 + (value - d0) / span * (r1 - r0)
    }
}

/// The least and the greatest of some numbers, those that are not finite left out.
pub(crate) fn extent(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values
        .filter(|value| value.is_finite())
        .fold(None, |found, value| match found {
            None => Some((value, value)),
            Some((lo, hi)) => Some((f64::min(lo, value), f64::max(hi, value))),
        })
}

/// About how wide a text is on a chart.
pub(crate) fn text_width(text: &str) -> f64 {
    text.chars().count() as f64 * CHARACTER
}

/// A text that is at most `width` wide, cut in its middle where it is not: names differ at their ends.
pub(crate) fn fitted(text: &str, width: f64) -> String {
    let most = (width / CHARACTER).floor().max(3.0) as usize;
    let count = text.chars().count();
    if count <= most {
        return text.to_owned();
    }
    let head: String = text.chars().take(most / 2).collect();
    let tail: String = text.chars().skip(count - (most - most / 2 - 1)).collect();
    format!("{head}…{tail}")
}

/// Grid lines, numbers and the name of the values' axis; answers the plot and the values' scale.
pub(crate) fn y_axis(
    out: &mut Markup,
    canvas: Canvas,
    ticks: &Ticks,
    label: &Label,
) -> (Plot, Linear) {
    let labels: Vec<String> = ticks.values().map(|v| ticks.label(v)).collect();
    let widest = labels.iter().map(|l| text_width(l)).fold(0.0, f64::max);
    let title = label.text();
    let plot = Plot {
        left: (widest + 8.0).round(),
        right: canvas.width - RIGHT,
        top: if title.is_empty() { 8.0 } else { 26.0 },
        bottom: canvas.height - 2.0 * LINE - 8.0,
    };
    let scale = Linear {
        domain: (ticks.first, ticks.last()),
        range: (plot.bottom, plot.top),
    };
    if !title.is_empty() {
        let shown = fitted(&title, canvas.width);
        out.leaf("text", &[("class", &"name"), ("x", &0), ("y", &11)], shown);
    }
    out.open("g", &[("class", &"grid")]);
    for value in ticks.values() {
        let y = Px(scale.at(value));
        let (left, right) = (Px(plot.left), Px(plot.right));
        out.empty(
            "line",
            &[("x1", &left), ("x2", &right), ("y1", &y), ("y2", &y)],
        );
    }
    out.close("g");
    out.open("g", &[("class", &"ticks end")]);
    for (value, label) in ticks.values().zip(&labels) {
        let x = Px(plot.left - 6.0);
        let y = Px(scale.at(value) + 4.0);
        out.leaf("text", &[("x", &x), ("y", &y)], label);
    }
    out.close("g");
    (plot, scale)
}

/// Marks and labels along the bottom.
pub(crate) fn x_axis(out: &mut Markup, plot: Plot, scale: Linear, kind: &XKind, label: &Label) {
    match kind {
        XKind::Time(zone) => time_axis(out, plot, scale, zone),
        XKind::Number => number_axis(out, plot, scale, label),
    }
}

fn time_axis(out: &mut Markup, plot: Plot, scale: Linear, zone: &TimeZone) {
    let wanted = ((plot.right - plot.left) / 54.0).floor().max(2.0) as usize;
    let ticks = time_ticks(scale.domain.0, scale.domain.1, wanted, zone);
    let labels = ticks.iter().map(|t| (scale.at(t.at), t.label.as_str()));
    let labels: Vec<(f64, &str)> = labels.collect();
    tick_marks(out, plot, labels.iter().map(|(x, _)| *x));
    out.open("g", &[("class", &"ticks middle")]);
    let mut free_from = f64::NEG_INFINITY;
    for (x, label) in &labels {
        let half = text_width(label) / 2.0;
        if x - half >= free_from && x + half <= plot.right + RIGHT {
            let y = Px(plot.bottom + LINE + 4.0);
            out.leaf("text", &[("x", &Px(*x)), ("y", &y)], label);
            free_from = x + half + 6.0;
        }
    }
    out.close("g");
    larger_parts(out, plot, &ticks, scale);
}

/// Days under hours, months under days. From the right, so that where two have no room the later one stands: it marks
/// where the day begins, while the first only names the day that is under way.
fn larger_parts(out: &mut Markup, plot: Plot, ticks: &[crate::time::TimeTick], scale: Linear) {
    out.open("g", &[("class", &"ticks strong")]);
    let mut free_to = f64::INFINITY;
    for tick in ticks.iter().rev() {
        let Some(above) = &tick.above else { continue };
        // Labels begin below the middle of their tick's own label, and stay within the drawing.
        let wide = text_width(above);
        let x = (scale.at(tick.at) - text_width(&tick.label) / 2.0)
            .min(plot.right + RIGHT - wide)
            .max(0.0);
        if x + wide <= free_to {
            let y = Px(plot.bottom + 2.0 * LINE + 4.0);
            out.leaf("text", &[("x", &Px(x)), ("y", &y)], above);
            free_to = x - 8.0;
        }
    }
    out.close("g");
}

fn number_axis(out: &mut Markup, plot: Plot, scale: Linear, label: &Label) {
    let wanted = ((plot.right - plot.left) / 72.0).floor().max(2.0) as usize;
    let ticks = Ticks::within(scale.domain.0, scale.domain.1, wanted);
    tick_marks(out, plot, ticks.values().map(|value| scale.at(value)));
    out.open("g", &[("class", &"ticks middle")]);
    for value in ticks.values() {
        let y = Px(plot.bottom + LINE + 4.0);
        out.leaf(
            "text",
            &[("x", &Px(scale.at(value))), ("y", &y)],
            ticks.label(value),
        );
    }
    out.close("g");
    let y = Px(plot.bottom + 2.0 * LINE + 5.0);
    let title = fitted(&label.text(), plot.right);
    out.leaf(
        "text",
        &[("class", &"name last"), ("x", &Px(plot.right)), ("y", &y)],
        title,
    );
}

fn tick_marks(out: &mut Markup, plot: Plot, places: impl Iterator<Item = f64>) {
    let base = Px(plot.bottom);
    out.open("g", &[("class", &"axis")]);
    let (left, right) = (Px(plot.left), Px(plot.right));
    out.empty(
        "line",
        &[("x1", &left), ("x2", &right), ("y1", &base), ("y2", &base)],
    );
    for x in places {
        let (x, end) = (Px(x), Px(plot.bottom + 4.0));
        out.empty(
            "line",
            &[("x1", &x), ("x2", &x), ("y1", &base), ("y2", &end)],
        );
    }
    out.close("g");
}

/// About how many values a plot of this height has ticks for.
pub(crate) fn y_ticks_wanted(height: f64) -> usize {
    ((height - 60.0) / 40.0).round().clamp(2.0, 8.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_keep_their_ends() {
        assert_eq!(fitted("short", 100.0), "short");
        let cut = fitted("compressor-hall-3-motor-17", 100.0);
        assert!(text_width(&cut) <= 100.0, "{cut}");
        assert!(
            cut.starts_with("compres") && cut.ends_with("otor-17"),
            "{cut}"
        );
    }

    #[test]
    fn values_have_units_as_people_write_them() {
        let label = Label::new("temperature", Some("Cel"));
        assert_eq!(
            (label.text(), label.value(21.5)),
            ("temperature (°C)".into(), "21.5 °C".into())
        );
        assert_eq!(Label::new("share", Some("%")).value(99.0), "99%");
        assert_eq!(Label::default().text(), "");
    }
}
