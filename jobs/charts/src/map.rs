//! A map without tiles: cells at their longitude and latitude over a net of degrees, with a scale in km.
//!
//! Plate carrée with the middle latitude's own stretch: right in shape for a region, not for a continent.

use crate::{
    axis::{Canvas, Label, Linear, Plot, RIGHT, extent, fitted, text_width},
    heat::{Heat, NO_VALUE},
    markup::{Markup, Px},
    number::{Ticks, plain},
};

/// Kilometres of a degree of latitude on a sphere of 6,371 km.
const KM_A_DEGREE: f64 = 111.195;
const RADIUS: f64 = 8.0;
const DESCRIBED_MAX: usize = 12;

/// One cell.
#[derive(Debug, Clone, PartialEq)]
pub struct MapCell {
    /// Degrees east.
    pub longitude: f64,
    /// Degrees north.
    pub latitude: f64,
    /// Its name.
    pub name: String,
    /// Its value; none is drawn as missing.
    pub value: Option<f64>,
}

/// A map of cells.
#[derive(Debug, Clone, PartialEq)]
pub struct MapChart {
    /// What the colours are.
    pub value_label: Label,
    /// The cells.
    pub cells: Vec<MapCell>,
}

/// A place that is taken: left, top, right, bottom.
type Taken = (f64, f64, f64, f64);

impl MapChart {
    fn placed(&self) -> impl Iterator<Item = &MapCell> {
        self.cells
            .iter()
            .filter(|cell| cell.longitude.abs() <= 360.0 && cell.latitude.abs() <= 90.0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.placed().next().is_none()
    }

    /// Longitudes and latitudes, with a margin.
    fn bounds(&self) -> ((f64, f64), (f64, f64)) {
        let around = |range: Option<(f64, f64)>| {
            let (lo, hi) = range.unwrap_or((0.0, 0.0));
            let margin = ((hi - lo) * 0.08).max(0.005);
            (lo - margin, hi + margin)
        };
        let longitudes = extent(self.placed().map(|cell| cell.longitude));
        let latitudes = extent(self.placed().map(|cell| cell.latitude));
        (around(longitudes), around(latitudes))
    }

    /// How many degrees of longitude are as long as one of latitude.
    fn stretch(&self) -> f64 {
        let (_, (south, north)) = self.bounds();
        ((south + north) / 2.0).to_radians().cos().max(0.05)
    }

    pub(crate) fn height(&self, width: f64) -> f64 {
        let ((west, east), (south, north)) = self.bounds();
        let share = (north - south) / ((east - west) * self.stretch());
        (width * share).clamp(width * 0.3, width * 0.5) + 30.0
    }

    pub(crate) fn draw(&self, out: &mut Markup, canvas: Canvas) {
        let plot = Plot {
            left: 64.0,
            right: canvas.width - RIGHT,
            top: 8.0,
            bottom: canvas.height - 26.0,
        };
        let ((west, east), (south, north)) = self.bounds();
        let stretch = self.stretch();
        // One scale for both directions: the one that leaves room in the other.
        let by_width = (plot.right - plot.left) / ((east - west) * stretch);
        let px_a_degree = by_width.min((plot.bottom - plot.top) / (north - south));
        let half = |px: f64, factor: f64| px / 2.0 / (px_a_degree * factor);
        let (mid_lon, mid_lat) = ((west + east) / 2.0, (south + north) / 2.0);
        let lon_half = half(plot.right - plot.left, stretch);
        let lat_half = half(plot.bottom - plot.top, 1.0);
        let x = Linear {
            domain: (mid_lon - lon_half, mid_lon + lon_half),
            range: (plot.left, plot.right),
        };
        let y = Linear {
            domain: (mid_lat - lat_half, mid_lat + lat_half),
            range: (plot.bottom, plot.top),
        };
        net(out, plot, x, y);
        scale_bar(out, plot, px_a_degree);
        self.draw_cells(out, plot, x, y);
    }

    fn draw_cells(&self, out: &mut Markup, plot: Plot, x: Linear, y: Linear) {
        let heat = Heat::of(self.placed().filter_map(|cell| cell.value));
        let place = |cell: &MapCell| (x.at(cell.longitude), y.at(cell.latitude));
        let mut taken: Vec<Taken> = Vec::new();
        for cell in self.placed() {
            let (cx, cy) = place(cell);
            taken.push((cx - RADIUS, cy - RADIUS, cx + RADIUS, cy + RADIUS));
            let class = cell.value.map_or("missing", |value| heat.class(value));
            let class = format!("cell place {class}");
            let (cx, cy, r) = (Px(cx), Px(cy), Px(RADIUS));
            out.open(
                "circle",
                &[("class", &class), ("cx", &cx), ("cy", &cy), ("r", &r)],
            );
            let value = match cell.value {
                Some(value) => heat.value(value, &self.value_label),
                None => NO_VALUE.to_owned(),
            };
            out.leaf("title", &[], format!("{}\n{value}", cell.name));
            out.close("circle");
        }
        // A name stands where it covers neither a cell nor another name; the others can be pointed at.
        for cell in self.placed() {
            let (cx, cy) = place(cell);
            let shown = fitted(&cell.name, 120.0);
            let left = cx + RADIUS + 4.0;
            let area = (left, cy - 7.0, left + text_width(&shown), cy + 7.0);
            if area.2 <= plot.right && !taken.iter().any(|other| meet(*other, area)) {
                let (left, base) = (Px(left), Px(cy + 4.0));
                out.leaf(
                    "text",
                    &[("class", &"label"), ("x", &left), ("y", &base)],
                    shown,
                );
                taken.push(area);
            }
        }
    }

    pub(crate) fn legend(&self, out: &mut Markup) {
        let heat = Heat::of(self.placed().filter_map(|cell| cell.value));
        let missing = self.placed().any(|cell| cell.value.is_none());
        heat.legend(out, &self.value_label, missing);
    }

    pub(crate) fn description(&self) -> String {
        let heat = Heat::of(self.placed().filter_map(|cell| cell.value));
        let count = self.placed().count();
        let mut text = format!("Map of {count} cells by {}.", self.value_label.text());
        for cell in self.placed().take(DESCRIBED_MAX) {
            if let Some(value) = cell.value {
                let value = heat.value(value, &self.value_label);
                text.push_str(&format!(" {}: {value}.", cell.name));
            }
        }
        text
    }
}

fn meet(a: Taken, b: Taken) -> bool {
    a.0 < b.2 && b.0 < a.2 && a.1 < b.3 && b.1 < a.3
}

/// Lines of longitude and latitude at round degrees.
fn net(out: &mut Markup, plot: Plot, x: Linear, y: Linear) {
    let across = ((plot.right - plot.left) / 110.0).max(2.0) as usize;
    let down = ((plot.bottom - plot.top) / 70.0).max(2.0) as usize;
    let longitudes = Ticks::within(x.domain.0, x.domain.1, across);
    let latitudes = Ticks::within(y.domain.0, y.domain.1, down);
    out.open("g", &[("class", &"grid")]);
    let (left, right, top, bottom) = (Px(plot.left), Px(plot.right), Px(plot.top), Px(plot.bottom));
    for longitude in longitudes.values() {
        let x = Px(x.at(longitude));
        out.empty(
            "line",
            &[("x1", &x), ("x2", &x), ("y1", &top), ("y2", &bottom)],
        );
    }
    for latitude in latitudes.values() {
        let y = Px(y.at(latitude));
        out.empty(
            "line",
            &[("x1", &left), ("x2", &right), ("y1", &y), ("y2", &y)],
        );
    }
    out.close("g");
    out.open("g", &[("class", &"ticks middle")]);
    for longitude in longitudes.values() {
        let label = degrees(&longitudes, longitude, ["° E", "° W"]);
        let (x, y) = (Px(x.at(longitude)), Px(plot.bottom + 17.0));
        out.leaf("text", &[("x", &x), ("y", &y)], label);
    }
    out.close("g");
    out.open("g", &[("class", &"ticks end")]);
    for latitude in latitudes.values() {
        let label = degrees(&latitudes, latitude, ["° N", "° S"]);
        let (x, y) = (Px(plot.left - 6.0), Px(y.at(latitude) + 4.0));
        out.leaf("text", &[("x", &x), ("y", &y)], label);
    }
    out.close("g");
}

fn degrees(ticks: &Ticks, value: f64, [positive, negative]: [&str; 2]) -> String {
    let side = if value < 0.0 { negative } else { positive };
    ticks.label(value).trim_start_matches('−').to_owned() + side
}

fn scale_bar(out: &mut Markup, plot: Plot, px_a_degree: f64) {
    let px_a_km = px_a_degree / KM_A_DEGREE;
    let widest = (plot.right - plot.left) / 4.0 / px_a_km;
    let power = 10f64.powf(widest.log10().floor());
    let share = [5.0, 2.0, 1.0]
        .into_iter()
        .find(|share| share * power <= widest);
    let km = share.unwrap_or(1.0) * power;
    let (from, to) = (plot.right - 10.0 - km * px_a_km, plot.right - 10.0);
    let y = Px(plot.bottom - 10.0);
    let (x1, x2) = (Px(from), Px(to));
    let bar: [(_, &dyn std::fmt::Display); 5] = [
        ("class", &"scale"),
        ("x1", &x1),
        ("x2", &x2),
        ("y1", &y),
        ("y2", &y),
    ];
    out.empty("line", &bar);
    let label = if km < 1.0 {
        format!("{} m", plain(km * 1000.0))
    } else {
        format!("{} km", plain(km))
    };
    let (x, base) = (Px(to), Px(plot.bottom - 16.0));
    out.leaf(
        "text",
        &[("class", &"label last"), ("x", &x), ("y", &base)],
        label,
    );
}
