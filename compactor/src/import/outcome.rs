//! What an import did, and what of its file deserves a look.

use std::collections::BTreeMap;

use forebay_schemas::{Quality, Reading, Value};

use super::{cell::has_decimal_comma, quarantine::Why};

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportOutcome {
    /// Its number for ever: the epoch of its readings, by which it can be undone.
    pub id: u64,
    /// Rows of the file, without those that were to be skipped.
    pub rows: u64,
    /// Readings of the file that are in the table.
    pub readings: u64,
    /// Readings that this run committed.
    pub committed: u64,
    /// Windows that this run closed.
    pub windows: u64,
    /// Rows that could not be read.
    pub quarantined: u64,
    /// How many of those for each reason.
    pub bad: BTreeMap<&'static str, u64>,
    /// The first of those, counted from 1 below the header, and what is wrong with it.
    pub first_bad: Option<(u64, String)>,
    /// By tag, values that are text.
    pub texts: BTreeMap<String, TextNote>,
    /// By tag, how many cells are no number in the notation that was given, and the first one's fault.
    pub no_numbers: BTreeMap<String, (u64, String)>,
    /// Readings of this run whose series and time were there already from another import: kept or skipped, as was asked.
    pub existing: u64,
    /// Rows in an hour that clocks repeat, whose pass the order of rows told.
    pub repeated_by_order: u64,
    /// Such rows for which the first pass was taken, as the order did not tell.
    pub repeated_undecided: u64,
    /// Cells that hold line breaks: how many, and the line of the first.
    pub broken_over: Option<(u64, u64)>,
}

/// Values of a tag that are text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextNote {
    /// How many.
    pub count: u64,
    /// The first one.
    pub example: String,
    /// The first one that a decimal comma would make a number of.
    pub comma: Option<String>,
}

impl ImportOutcome {
    pub(super) fn note(&mut self, readings: &[Reading]) {
        for reading in readings {
            let tag = reading.series.tag.as_str();
            match &reading.value {
                Some(Value::Text(text)) => self.note_text(tag, text),
                None if reading.status.quality == Quality::Bad => {
                    match self.no_numbers.get_mut(tag) {
                        Some((count, _)) => *count += 1,
                        None => {
                            let why = reading.status.reason.clone().unwrap_or_default();
                            self.no_numbers.insert(tag.to_owned(), (1, why));
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn note_text(&mut self, tag: &str, text: &str) {
        let comma = || has_decimal_comma(text).then(|| text.to_owned());
        match self.texts.get_mut(tag) {
            Some(note) => {
                note.count += 1;
                note.comma = note.comma.take().or_else(comma);
            }
            None => {
                let note = TextNote {
                    count: 1,
                    example: text.to_owned(),
                    comma: comma(),
                };
                self.texts.insert(tag.to_owned(), note);
            }
        }
    }

    pub(super) fn note_bad(&mut self, row: u64, why: &Why) {
        self.quarantined += 1;
        *self.bad.entry(why.reason).or_default() += 1;
        self.first_bad
            .get_or_insert_with(|| (row + 1, why.to_string()));
    }
}
