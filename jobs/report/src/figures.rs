//! Rows as charts.

use forebay_charts::{
    Bar, BarChart, Cell, Chart, Column, Figure, HeatMap, Label, LineChart, MapCell, MapChart, Peak,
    Point, Series, SpectrumChart, XKind,
};
use jiff::tz::TimeZone;

use crate::{
    columns::{Cast, ColumnKind, Field, Part},
    rows::Value,
    section::{Form, Section},
    words::spaced,
};

/// Most charts of one section.
pub(crate) const FACETS_MAX: usize = 12;

/// Rows of one section, and what they mean.
pub(crate) struct Drawing<'a> {
    pub(crate) section: &'a Section,
    pub(crate) fields: &'a [Field],
    pub(crate) cast: Cast,
    pub(crate) zone: &'a TimeZone,
    /// The end of what was known, in seconds since 1970 UTC.
    pub(crate) now: f64,
}

type Row = Vec<Value>;

impl Drawing<'_> {
    /// The charts, and how many were left out.
    pub(crate) fn figures(&self, rows: &[Row]) -> (Vec<Figure>, usize) {
        let facets = self.grouped(rows.iter(), Part::Facet);
        let left_out = facets.len().saturating_sub(FACETS_MAX);
        let places = rows.iter().filter_map(|row| self.number(row, Part::X));
        let ends = places.fold(None, |ends: Option<(f64, f64)>, x| match ends {
            Some((lo, hi)) => Some((lo.min(x), hi.max(x))),
            None => Some((x, x)),
        });
        let split = self.cast.of(Part::Facet).is_some() && !facets.is_empty();
        let figures = facets
            .into_iter()
            .take(FACETS_MAX)
            .map(|(name, rows)| Figure {
                name: split.then_some(name),
                chart: self.chart(&rows, ends),
            });
        let drawn = figures.filter(|figure| !figure.chart.is_empty()).collect();
        (drawn, left_out)
    }

    fn chart(&self, rows: &[&Row], ends: Option<(f64, f64)>) -> Chart {
        match self.section.form {
            Form::Bars => Chart::Bars(self.bars(rows)),
            Form::HeatMap => Chart::HeatMap(self.heat_map(rows)),
            Form::Map => Chart::Map(self.map(rows)),
            Form::Spectrum => Chart::Spectrum(self.spectrum(rows)),
            Form::Line | Form::Table | Form::Numbers => Chart::Line(LineChart {
                domain: ends,
                ..self.line(rows)
            }),
        }
    }

    fn cell<'r>(&self, row: &'r Row, part: Part) -> &'r Value {
        let column = self.cast.of(part).and_then(|column| row.get(column));
        column.unwrap_or(&Value::Missing)
    }

    fn number(&self, row: &Row, part: Part) -> Option<f64> {
        self.cell(row, part).number()
    }

    /// Rows by the name in a part, in the order in which the names come; all under one where the part has no column.
    fn grouped<'r>(
        &self,
        rows: impl Iterator<Item = &'r Row>,
        part: Part,
    ) -> Vec<(String, Vec<&'r Row>)> {
        let mut groups: Vec<(String, Vec<&'r Row>)> = Vec::new();
        for row in rows {
            let name = self.cell(row, part).name();
            match groups.iter_mut().find(|(other, _)| *other == name) {
                Some((_, group)) => group.push(row),
                None => groups.push((name, vec![row])),
            }
        }
        groups
    }

    fn x_kind(&self) -> XKind {
        match self.cast.of(Part::X).map(|column| self.fields[column].kind) {
            Some(ColumnKind::Time) => XKind::Time(self.zone.clone()),
            _ => XKind::Number,
        }
    }

    /// A part's column as a label; a part with no name but its own says nothing, and small charts have theirs above.
    fn label(&self, part: Part, unit: Option<&str>) -> Label {
        let name = self
            .cast
            .of(part)
            .map(|column| self.fields[column].name.as_str());
        let own = part.key();
        let shown = name.filter(|name| *name != forebay_config::Describe::name(own));
        Label::new(shown.map(spaced).unwrap_or_default(), unit)
    }

    /// The section's unit, or that of the first row.
    fn unit(&self, rows: &[&Row]) -> Option<String> {
        if self.section.unit.is_some() {
            return self.section.unit.clone();
        }
        let column = self.fields.iter().position(|field| field.name == "unit")?;
        let names = rows
            .iter()
            .filter_map(|row| row.get(column))
            .map(Value::name);
        names.into_iter().find(|name| !name.is_empty())
    }

    fn line(&self, rows: &[&Row]) -> LineChart {
        let point = |row: &&Row| {
            Some(Point {
                x: self.number(row, Part::X)?,
                y: self.number(row, Part::Y),
                lo: self.number(row, Part::Lo),
                hi: self.number(row, Part::Hi),
                limit: self.number(row, Part::Limit),
                mark: self.mark(row),
            })
        };
        let series = self
            .grouped(rows.iter().copied(), Part::Series)
            .into_iter()
            .map(|(name, rows)| {
                let mut points: Vec<Point> = rows.iter().filter_map(point).collect();
                points.sort_by(|a, b| a.x.total_cmp(&b.x));
                Series { name, points }
            });
        LineChart {
            x: self.x_kind(),
            x_label: self.label(Part::X, None),
            y_label: self.label(Part::Y, self.unit(rows).as_deref()),
            series: series.collect(),
            band: self.band(),
            mark: self.mark_name(),
            domain: None,
            now: matches!(self.x_kind(), XKind::Time(_)).then_some(self.now),
        }
    }

    fn mark(&self, row: &Row) -> Option<String> {
        match self.cell(row, Part::Mark) {
            Value::Bool(true) => Some(String::new()),
            Value::Text(text) if !text.is_empty() => Some(text.clone()),
            _ => None,
        }
    }

    fn mark_name(&self) -> String {
        let name = self
            .cast
            .of(Part::Mark)
            .map(|column| self.fields[column].name.as_str());
        match name {
            Some("mark") | None => "marked".to_owned(),
            Some(name) => spaced(name),
        }
    }

    fn band(&self) -> String {
        if let Some(band) = &self.section.band {
            return band.clone();
        }
        let name = |part| {
            self.cast
                .of(part)
                .map_or("", |column| self.fields[column].name.as_str())
        };
        match (name(Part::Lo), name(Part::Hi)) {
            ("lo", "hi") => "interval".to_owned(),
            (lo, hi) => format!("{} to {}", spaced(lo), spaced(hi)),
        }
    }

    fn bars(&self, rows: &[&Row]) -> BarChart {
        let by_place = self.cast.of(Part::X).is_some_and(|column| {
            matches!(
                self.fields[column].kind,
                ColumnKind::Time | ColumnKind::Number
            )
        });
        let mut series: Vec<String> = Vec::new();
        let mut bars = Vec::new();
        for row in rows {
            let name = self.cell(row, Part::Series).name();
            let number = match series.iter().position(|other| *other == name) {
                Some(number) => number,
                None => {
                    series.push(name);
                    series.len() - 1
                }
            };
            let Some(y) = self.number(row, Part::Y).filter(|y| y.is_finite()) else {
                continue;
            };
            bars.push(Bar {
                name: self.cell(row, Part::X).name(),
                x: self.number(row, Part::X).unwrap_or_default(),
                y,
                interval: self.number(row, Part::Lo).zip(self.number(row, Part::Hi)),
                series: number,
            });
        }
        BarChart {
            x: by_place.then(|| self.x_kind()),
            x_label: self.label(Part::X, None),
            y_label: self.label(Part::Y, self.unit(rows).as_deref()),
            series,
            bars,
        }
    }

    fn heat_map(&self, rows: &[&Row]) -> HeatMap {
        let cell = |row: &&Row| Cell {
            column: match self.cell(row, Part::X) {
                Value::Time(at) | Value::Number(at) => Column::At(*at),
                name => Column::Named(name.name()),
            },
            row: self.cell(row, Part::Y).name(),
            value: self.number(row, Part::Value),
        };
        HeatMap {
            x: self.x_kind(),
            x_label: self.label(Part::X, None),
            value_label: self.label(Part::Value, self.unit(rows).as_deref()),
            cells: rows.iter().map(cell).collect(),
        }
    }

    fn map(&self, rows: &[&Row]) -> MapChart {
        let cell = |row: &&Row| {
            Some(MapCell {
                longitude: self.number(row, Part::X)?,
                latitude: self.number(row, Part::Y)?,
                name: self.cell(row, Part::Series).name(),
                value: self.number(row, Part::Value),
            })
        };
        MapChart {
            value_label: self.label(Part::Value, self.unit(rows).as_deref()),
            cells: rows.iter().filter_map(cell).collect(),
        }
    }

    fn spectrum(&self, rows: &[&Row]) -> SpectrumChart {
        let line = |row: &&Row| self.number(row, Part::X).zip(self.number(row, Part::Y));
        let mut lines: Vec<(f64, f64)> = rows.iter().filter_map(line).collect();
        lines.sort_by(|a, b| a.0.total_cmp(&b.0));
        let named = |row: &&Row| {
            let (frequency, amplitude) = line(row)?;
            Some(Peak {
                frequency,
                amplitude,
                name: self.mark(row)?,
            })
        };
        SpectrumChart {
            x_label: Label::new("frequency", Some("Hz")),
            y_label: self.label(Part::Y, self.unit(rows).as_deref()),
            lines,
            named: rows.iter().filter_map(named).collect(),
        }
    }
}
