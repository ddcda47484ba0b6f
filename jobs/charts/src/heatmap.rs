//! Cells by row and column, such as the completeness of each device by the hour.

use std::collections::BTreeMap;

use crate::{
    axis::{Canvas, LINE, Label, Linear, Plot, RIGHT, XKind, fitted, text_width, x_axis},
    heat::{Heat, NO_VALUE},
    markup::{Markup, Px},
};

const ROW: f64 = 22.0;
const BETWEEN: f64 = 4.0;
const TOP: f64 = 6.0;
const NAMES_SHARE: f64 = 0.34;
/// Rows of a description.
const DESCRIBED_MAX: usize = 12;

/// Where a cell stands along the bottom.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// From this time or number on, up to the next.
    At(f64),
    /// Under this name.
    Named(String),
}

/// One cell.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Its column.
    pub column: Column,
    /// The name of its row.
    pub row: String,
    /// Its value; none is drawn as missing.
    pub value: Option<f64>,
}

/// A heat map.
#[derive(Debug, Clone, PartialEq)]
pub struct HeatMap {
    /// What lies along the bottom, for cells by time or number.
    pub x: XKind,
    /// Its name, for numbers.
    pub x_label: Label,
    /// What the colours are.
    pub value_label: Label,
    /// The cells; those of one row in the order of their columns.
    pub cells: Vec<Cell>,
}

/// A row's cells by the number of their column.
type Row<'a> = (&'a str, BTreeMap<usize, f64>);

/// Cells side by side that look the same and say the same.
struct Stretch {
    from: usize,
    to: usize,
    value: Option<f64>,
}

/// All columns, those of which no row has a cell among them.
enum Columns<'a> {
    Even { first: f64, step: f64, count: usize },
    Names(Vec<&'a str>),
}

/// More columns than this would be narrower than a pixel.
const COLUMNS_MAX: usize = 800;

impl HeatMap {
    pub(crate) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    fn heat(&self) -> Heat {
        Heat::of(self.cells.iter().filter_map(|cell| cell.value))
    }

    fn columns(&self) -> Columns<'_> {
        let mut names: Vec<&str> = Vec::new();
        let mut places = Vec::new();
        for cell in &self.cells {
            match &cell.column {
                Column::At(at) => places.push(*at),
                Column::Named(name) if !names.contains(&name.as_str()) => names.push(name),
                Column::Named(_) => {}
            }
        }
        if !names.is_empty() {
            return Columns::Names(names);
        }
        places.sort_by(f64::total_cmp);
        places.dedup();
        let steps = places.windows(2).map(|pair| pair[1] - pair[0]);
        let step = steps.fold(f64::INFINITY, f64::min);
        let step = if step.is_finite() { step } else { 1.0 };
        let first = places.first().copied().unwrap_or(0.0);
        let last = places.last().copied().unwrap_or(0.0);
        let count = ((last - first) / step).round().max(0.0) as usize + 1;
        Columns::Even {
            first,
            step: step * (count as f64 / count.min(COLUMNS_MAX) as f64),
            count: count.min(COLUMNS_MAX),
        }
    }

    fn rows<'a>(&'a self, columns: &Columns<'_>) -> Vec<Row<'a>> {
        let mut rows: Vec<Row<'a>> = Vec::new();
        for cell in &self.cells {
            let row = match rows.iter().position(|(name, _)| *name == cell.row) {
                Some(row) => row,
                None => {
                    rows.push((&cell.row, BTreeMap::new()));
                    rows.len() - 1
                }
            };
            let value = cell.value.filter(|value| value.is_finite());
            if let (Some(value), Some(column)) = (value, columns.number(&cell.column)) {
                rows[row].1.insert(column, value);
            }
        }
        rows
    }

    pub(crate) fn height(&self) -> f64 {
        let rows = self.rows(&self.columns()).len() as f64;
        TOP + rows * ROW + 2.0 * LINE + 10.0
    }

    pub(crate) fn draw(&self, out: &mut Markup, canvas: Canvas) {
        let columns = self.columns();
        let rows = self.rows(&columns);
        let heat = self.heat();
        let widest = rows
            .iter()
            .map(|(name, _)| text_width(name))
            .fold(0.0, f64::max);
        let plot = Plot {
            left: (widest + 10.0).min(canvas.width * NAMES_SHARE),
            right: canvas.width - RIGHT,
            top: TOP,
            bottom: TOP + rows.len() as f64 * ROW,
        };
        let x = Linear {
            domain: columns.domain(),
            range: (plot.left, plot.right),
        };
        for (i, (name, cells)) in rows.iter().enumerate() {
            let y = TOP + i as f64 * ROW;
            let shown = fitted(name, plot.left - 10.0);
            let (left, base) = (Px(plot.left - 8.0), Px(y + ROW / 2.0 + 2.0));
            out.open(
                "text",
                &[("class", &"label last"), ("x", &left), ("y", &base)],
            );
            out.text(&shown);
            if shown != **name {
                out.leaf("title", &[], name);
            }
            out.close("text");
            for stretch in stretches(cells, columns.count(), &heat, &self.value_label) {
                self.stretch(out, name, &stretch, (&columns, x, y), &heat);
            }
        }
        match &columns {
            Columns::Even { .. } => x_axis(out, plot, x, &self.x, &self.x_label),
            Columns::Names(names) => column_names(out, plot, names, x),
        }
    }

    fn stretch(
        &self,
        out: &mut Markup,
        row: &str,
        stretch: &Stretch,
        (columns, x, y): (&Columns<'_>, Linear, f64),
        heat: &Heat,
    ) {
        let class = stretch.value.map_or("missing", |value| heat.class(value));
        let left = x.at(columns.place(stretch.from));
        // A hair between cells where they are wide enough to be seen one by one.
        let cell = x.at(columns.place(1)) - x.at(columns.place(0));
        let hair = if cell > 8.0 { 1.0 } else { 0.0 };
        let wide = x.at(columns.place(stretch.to)) - left - hair;
        let (left, top, wide, height) = (Px(left), Px(y), Px(wide.max(0.8)), Px(ROW - BETWEEN));
        let class = format!("cell {class}");
        let attributes: [(_, &dyn std::fmt::Display); 5] = [
            ("class", &class),
            ("x", &left),
            ("y", &top),
            ("width", &wide),
            ("height", &height),
        ];
        out.open("rect", &attributes);
        let value = match stretch.value {
            Some(value) => heat.value(value, &self.value_label),
            None => NO_VALUE.to_owned(),
        };
        let place = self.place(columns, stretch);
        out.leaf("title", &[], format!("{row}\n{place}\n{value}"));
        out.close("rect");
    }

    fn place(&self, columns: &Columns<'_>, stretch: &Stretch) -> String {
        match columns {
            Columns::Even { .. } => {
                let text = |column| self.x.value(columns.place(column), &self.x_label);
                format!("{} – {}", text(stretch.from), text(stretch.to))
            }
            Columns::Names(names) => names[stretch.from..stretch.to].join(", "),
        }
    }

    pub(crate) fn legend(&self, out: &mut Markup) {
        let columns = self.columns();
        let missing = self
            .rows(&columns)
            .iter()
            .any(|(_, cells)| cells.len() < columns.count());
        self.heat().legend(out, &self.value_label, missing);
    }

    pub(crate) fn description(&self) -> String {
        let columns = self.columns();
        let heat = self.heat();
        let rows = self.rows(&columns);
        let mut text = format!(
            "Heat map of {}: {} rows, {} columns.",
            self.value_label.text(),
            rows.len(),
            columns.count()
        );
        for (name, cells) in rows.iter().take(DESCRIBED_MAX) {
            let mean = cells.values().sum::<f64>() / cells.len().max(1) as f64;
            let missing = columns.count() - cells.len();
            text.push_str(&format!(
                " {name}: mean {}",
                heat.value(mean, &self.value_label)
            ));
            text.push_str(&match missing {
                0 => ".".to_owned(),
                missing => format!(", {missing} columns without a row."),
            });
        }
        text
    }
}

impl Columns<'_> {
    fn count(&self) -> usize {
        match self {
            Self::Even { count, .. } => *count,
            Self::Names(names) => names.len(),
        }
    }

    fn number(&self, column: &Column) -> Option<usize> {
        match (self, column) {
            (Self::Even { first, step, count }, Column::At(at)) => {
                let number = ((at - first) / step).round().max(0.0) as usize;
                Some(number.min(count - 1))
            }
            (Self::Names(names), Column::Named(name)) => names.iter().position(|n| n == name),
            _ => None,
        }
    }

    /// Where a column begins, in the scale's own numbers.
    fn place(&self, column: usize) -> f64 {
        match self {
            Self::Even { first, step, .. } => first + step * column as f64,
            Self::Names(_) => column as f64,
        }
    }

    fn domain(&self) -> (f64, f64) {
        (self.place(0), self.place(self.count()))
    }
}

fn stretches(
    cells: &BTreeMap<usize, f64>,
    count: usize,
    heat: &Heat,
    label: &Label,
) -> Vec<Stretch> {
    let text = |value: Option<f64>| value.map(|value| heat.value(value, label));
    let mut stretches: Vec<Stretch> = Vec::new();
    for column in 0..count {
        let value = cells.get(&column).copied();
        match stretches.last_mut() {
            Some(last) if text(last.value) == text(value) => last.to = column + 1,
            _ => stretches.push(Stretch {
                from: column,
                to: column + 1,
                value,
            }),
        }
    }
    stretches
}

fn column_names(out: &mut Markup, plot: Plot, names: &[&str], x: Linear) {
    let room = (plot.right - plot.left) / names.len().max(1) as f64;
    // Where names have no room, every second or third stands.
    let widest = names
        .iter()
        .map(|n| text_width(n).min(84.0))
        .fold(0.0, f64::max)
        + 6.0;
    let every = (widest / room).ceil().max(1.0) as usize;
    out.open("g", &[("class", &"ticks middle")]);
    for (i, name) in names.iter().enumerate().step_by(every) {
        let (at, y) = (Px(x.at(i as f64 + 0.5)), Px(plot.bottom + LINE));
        let shown = fitted(name, room * every as f64 - 6.0);
        out.leaf("text", &[("x", &at), ("y", &y)], shown);
    }
    out.close("g");
}
