//! Charts as SVG, and pages of charts and tables as one self-contained HTML file.
//!
//! Invariants: every text of the data is escaped, since [`Markup`] takes raw text from the program's own constants alone; a
//! page loads nothing and runs nothing, which its content security policy states too; colours are CSS variables, so that
//! one drawing serves light, dark and paper.
//!
//! Pure: no clock, no files, no queries. What goes in is sorted and named by the caller, what comes out is text.

mod axis;
mod bars;
mod chart;
mod heat;
mod heatmap;
mod line;
mod map;
mod markup;
mod number;
mod page;
mod spectrum;
mod table;
mod time;

pub use axis::{Label, XKind};
pub use bars::{Bar, BarChart};
pub use chart::{Chart, Figure};
pub use heatmap::{Cell, Column, HeatMap};
pub use line::{LineChart, Point, Series};
pub use map::{MapCell, MapChart};
pub use markup::Markup;
pub use number::{plain, unit_text};
pub use page::{Block, Body, Number, Page, Tone};
pub use spectrum::{Peak, SpectrumChart};
pub use table::{Align, TableColumn, TableView};
pub use time::{date_time, short_time, span};

#[cfg(test)]
mod tests;
