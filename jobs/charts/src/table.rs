//! Tables of a page.

use crate::{markup::Markup, page::Tone};

/// On which side a column's cells stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Texts.
    Start,
    /// Numbers.
    End,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableColumn {
    /// Its heading.
    pub name: String,
    /// Where its cells stand.
    pub align: Align,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableView {
    /// Its columns.
    pub columns: Vec<TableColumn>,
    /// Its cells by row, as they are shown; none for a value that is missing.
    pub rows: Vec<Vec<Option<String>>>,
}

/// A text of at most this many characters, such as a time or a name, is not broken.
const SHORT: usize = 24;

/// Words of the lake's tables that ask for a person, and those that say that all is well.
const WORDS: [(&str, Tone); 9] = [
    ("critical", Tone::Bad),
    ("failed", Tone::Bad),
    ("timed_out", Tone::Bad),
    ("open", Tone::Warn),
    ("warning", Tone::Warn),
    ("acknowledged", Tone::Plain),
    ("resolved", Tone::Good),
    ("succeeded", Tone::Good),
    ("good", Tone::Good),
];

impl TableView {
    /// Writes the table in a frame that scrolls where the page is narrower; `title` names the frame.
    pub(crate) fn write(&self, out: &mut Markup, title: &str) {
        let frame: [(_, &dyn std::fmt::Display); 4] = [
            ("class", &"table"),
            ("role", &"region"),
            ("aria-label", &title),
            ("tabindex", &0),
        ];
        out.open("div", &frame);
        out.raw("<table><thead><tr>");
        for column in &self.columns {
            let class = class_of(column.align);
            out.leaf("th", &[("scope", &"col"), ("class", &class)], &column.name);
        }
        out.raw("</tr></thead><tbody>");
        for row in &self.rows {
            out.raw("<tr>");
            for (column, cell) in self.columns.iter().zip(row) {
                write_cell(out, column.align, cell.as_deref());
            }
            out.raw("</tr>");
        }
        out.raw("</tbody></table>");
        out.close("div");
    }
}

fn write_cell(out: &mut Markup, align: Align, cell: Option<&str>) {
    let Some(text) = cell else {
        out.leaf("td", &[("class", &class_of(align))], "–");
        return;
    };
    let class = match align {
        Align::Start if text.chars().count() <= SHORT => "start short",
        align => class_of(align),
    };
    out.open("td", &[("class", &class)]);
    match WORDS.iter().find(|(word, _)| *word == text) {
        Some((_, tone)) => out.leaf(
            "span",
            &[("class", &format!("word {}", tone.class()))],
            text,
        ),
        None => out.text(text),
    }
    out.close("td");
}

fn class_of(align: Align) -> &'static str {
    match align {
        Align::Start => "start",
        Align::End => "end",
    }
}
