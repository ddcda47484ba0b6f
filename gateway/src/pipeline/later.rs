//! The way of one reading through the steps that remember something.

use forebay_schemas::Reading;

use crate::{
    rule::Rule,
    series::KeptStatus,
    status::SourceStatus,
    steps::{Outcome, Passage, SeriesSteps, StepTables},
};

/// The steps behind those that look at one reading alone.
pub(super) struct Later<'p> {
    pub(super) steps: &'p mut Option<Box<SeriesSteps>>,
    pub(super) sent: &'p mut KeptStatus,
    pub(super) rule: &'p Rule,
    pub(super) tables: &'p mut StepTables,
    pub(super) status: &'p SourceStatus,
}

impl Later<'_> {
    pub(super) fn take(&mut self, mut reading: Reading, passage: Passage, out: &mut Vec<Reading>) {
        if self.rule.has_later() {
            let steps = self.steps.get_or_insert_default();
            match steps.later(reading, self.rule, self.tables.around(), passage) {
                Outcome::Reading(next) => reading = next,
                Outcome::Filtered => return self.status.note_filtered(),
                Outcome::Unchanged => return self.status.note_unchanged(),
            }
        }
        // What a table leaves out changes nothing of what was sent.
        if let Some(sent) = self.tables.take(reading, passage, self.status, out) {
            *self.sent = sent;
        }
    }
}
