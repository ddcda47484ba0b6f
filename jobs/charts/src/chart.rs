//! A chart of any form: drawn for a wide page and for a phone, with a title and a description for who cannot see it.

use crate::{
    BarChart, HeatMap, LineChart, MapChart, SpectrumChart,
    axis::{Canvas, Detail},
    markup::{Markup, Px},
};

/// How many colours there are before they begin again.
const COLOURS: usize = 8;

/// A chart.
#[derive(Debug, Clone, PartialEq)]
pub enum Chart {
    /// Lines with bands, limits and shades.
    Line(LineChart),
    /// Bars by a name or by time.
    Bars(BarChart),
    /// Cells by a name and by time or another name.
    HeatMap(HeatMap),
    /// Cells by longitude and latitude.
    Map(MapChart),
    /// Amplitudes by frequency.
    Spectrum(SpectrumChart),
}

/// A chart, and its name where a section has several.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// What it shows beside the others, such as a device.
    pub name: Option<String>,
    /// The chart.
    pub chart: Chart,
}

/// Where a figure stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Alone in its section.
    Alone,
    /// One of several, side by side.
    Among,
    /// One of several under one legend.
    AmongAlike,
}

/// The sample beside a name in a legend.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Swatch {
    Line(usize),
    Fill(usize),
    Band,
    Limit,
    Shade,
    Heat(&'static str),
}

impl Chart {
    /// Whether there is nothing to draw.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Line(chart) => chart.is_empty(),
            Self::Bars(chart) => chart.is_empty(),
            Self::HeatMap(chart) => chart.is_empty(),
            Self::Map(chart) => chart.is_empty(),
            Self::Spectrum(chart) => chart.is_empty(),
        }
    }

    fn draw(&self, out: &mut Markup, canvas: Canvas) {
        match self {
            Self::Line(chart) => chart.draw(out, canvas),
            Self::Bars(chart) => chart.draw(out, canvas),
            Self::HeatMap(chart) => chart.draw(out, canvas),
            Self::Map(chart) => chart.draw(out, canvas),
            Self::Spectrum(chart) => chart.draw(out, canvas),
        }
    }

    fn height(&self, width: f64, usual: f64) -> f64 {
        match self {
            Self::Line(_) | Self::Spectrum(_) => usual,
            Self::Bars(chart) => chart.height(usual),
            Self::HeatMap(chart) => chart.height(),
            Self::Map(chart) => chart.height(width),
        }
    }

    /// What the chart shows, in words.
    pub fn description(&self) -> String {
        match self {
            Self::Line(chart) => chart.description(),
            Self::Bars(chart) => chart.description(),
            Self::HeatMap(chart) => chart.description(),
            Self::Map(chart) => chart.description(),
            Self::Spectrum(chart) => chart.description(),
        }
    }

    fn legend(&self, out: &mut Markup) {
        match self {
            Self::Line(chart) => chart.legend(out),
            Self::Bars(chart) => chart.legend(out),
            Self::HeatMap(chart) => chart.legend(out),
            Self::Map(chart) => chart.legend(out),
            Self::Spectrum(_) => {}
        }
    }

    /// One drawing; `id` is unique in its page.
    pub(crate) fn svg(&self, out: &mut Markup, id: &str, title: &str, canvas: Canvas, class: &str) {
        let height = self.height(canvas.width, canvas.height);
        let canvas = Canvas { height, ..canvas };
        let view = format!("0 0 {} {}", Px(canvas.width), Px(height));
        let (title_id, text_id) = (format!("{id}-title"), format!("{id}-text"));
        let labelled = format!("{title_id} {text_id}");
        let attributes: [(_, &dyn std::fmt::Display); 4] = [
            ("class", &class),
            ("viewBox", &view),
            ("role", &"img"),
            ("aria-labelledby", &labelled),
        ];
        out.open("svg", &attributes);
        out.leaf("title", &[("id", &title_id)], title);
        out.leaf("desc", &[("id", &text_id)], self.description());
        self.draw(out, canvas);
        out.close("svg");
    }
}

impl Figure {
    /// What its colours mean.
    pub(crate) fn legend(&self) -> Markup {
        let mut out = Markup::default();
        self.chart.legend(&mut out);
        out
    }

    /// Writes the figure; `title` names it where it has no name of its own.
    pub(crate) fn write(&self, out: &mut Markup, id: &str, title: &str, place: Place) {
        out.open("figure", &[]);
        if let Some(name) = &self.name {
            out.leaf("figcaption", &[], name);
        }
        let named = match &self.name {
            Some(name) => format!("{title}: {name}"),
            None => title.to_owned(),
        };
        if place != Place::AmongAlike {
            self.chart.legend(out);
        }
        match place {
            Place::Alone => {
                let wide = Canvas {
                    width: 860.0,
                    height: 280.0,
                    detail: Detail::Tips,
                };
                let narrow = Canvas {
                    width: 360.0,
                    height: 220.0,
                    detail: Detail::Plain,
                };
                self.chart.svg(out, id, &named, wide, "wide");
                self.chart
                    .svg(out, &format!("{id}-narrow"), &named, narrow, "narrow");
            }
            // Two in a row on a wide page, each as wide as a phone: one drawing serves both.
            Place::Among | Place::AmongAlike => {
                let canvas = Canvas {
                    width: 420.0,
                    height: 190.0,
                    detail: Detail::Tips,
                };
                self.chart.svg(out, id, &named, canvas, "both");
            }
        }
        out.close("figure");
    }
}

/// The class that colours the series of this number.
pub(crate) fn series_class(index: usize) -> String {
    format!("s{}", index % COLOURS + 1)
}

/// A line of a legend.
pub(crate) fn key(out: &mut Markup, swatch: Swatch, name: &str) {
    let class = match swatch {
        Swatch::Line(index) => format!("key {}", series_class(index)),
        Swatch::Fill(index) => format!("key fill {}", series_class(index)),
        Swatch::Band => "key fill band".to_owned(),
        Swatch::Limit => "key dashes".to_owned(),
        Swatch::Shade => "key fill shade".to_owned(),
        Swatch::Heat(class) => format!("key fill {class}"),
    };
    out.open("li", &[]);
    out.leaf("i", &[("class", &class)], "");
    out.text(name);
    out.close("li");
}
