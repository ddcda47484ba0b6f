//! Rows as what a section of the page shows.

use forebay_charts::{Align, Block, Body, Number, TableColumn, TableView, Tone, plain, short_time};
use jiff::tz::TimeZone;

use crate::{
    columns::{ColumnKind, Field},
    figures::{Drawing, FACETS_MAX},
    rows::{Rows, Value},
    section::{Form, Section},
    words::{heading, is_percent},
};

/// The section's place on the page.
pub(crate) fn block(drawing: &Drawing<'_>, rows: &Rows) -> Block {
    let section = drawing.section;
    let mut notes = Vec::new();
    let body = match section.form {
        _ if rows.rows.is_empty() => Body::Words(section.empty.clone()),
        Form::Table => Body::Table(table(drawing.fields, &rows.rows, drawing.zone)),
        Form::Numbers => Body::Numbers(numbers(section, drawing.fields, &rows.rows, drawing.zone)),
        _ => {
            let (figures, left_out) = drawing.figures(&rows.rows);
            if left_out > 0 {
                notes.push(format!("The first {FACETS_MAX} are shown."));
            }
            match figures.is_empty() {
                true => Body::Words(section.empty.clone()),
                false => Body::Figures(figures),
            }
        }
    };
    if rows.more && section.form != Form::Numbers {
        notes.push(format!(
            "The first {} rows are shown.",
            section.form.rows_max()
        ));
    }
    Block {
        title: section.title.clone(),
        text: section.text.clone(),
        body,
        note: (!notes.is_empty()).then(|| notes.join(" ")),
    }
}

fn table(fields: &[Field], rows: &[Vec<Value>], zone: &TimeZone) -> TableView {
    let column = |field: &Field| TableColumn {
        name: heading(&field.name),
        align: match field.kind {
            ColumnKind::Number => Align::End,
            ColumnKind::Time | ColumnKind::Bool | ColumnKind::Text => Align::Start,
        },
    };
    let row = |row: &Vec<Value>| {
        let cells = fields.iter().zip(row);
        cells
            .map(|(field, value)| shown(&field.name, value, zone))
            .collect()
    };
    TableView {
        columns: fields.iter().map(column).collect(),
        rows: rows.iter().map(row).collect(),
    }
}

fn numbers(
    section: &Section,
    fields: &[Field],
    rows: &[Vec<Value>],
    zone: &TimeZone,
) -> Vec<Number> {
    let Some(row) = rows.first() else {
        return Vec::new();
    };
    let number = |(field, value): (&Field, &Value)| Number {
        label: heading(&field.name),
        value: shown(&field.name, value, zone).unwrap_or_else(|| "–".to_owned()),
        tone: match value.number() {
            Some(count) if section.alarms.contains(&field.name) => {
                if count > 0.0 {
                    Tone::Bad
                } else {
                    Tone::Good
                }
            }
            _ => Tone::Plain,
        },
    };
    fields.iter().zip(row).map(number).collect()
}

/// A value as people read it; none for a missing one.
fn shown(name: &str, value: &Value, zone: &TimeZone) -> Option<String> {
    match value {
        Value::Missing => None,
        Value::Time(at) => Some(short_time(*at, zone)),
        Value::Number(number) if is_percent(name) => Some(format!("{}%", plain(*number))),
        value => Some(value.name()),
    }
}
