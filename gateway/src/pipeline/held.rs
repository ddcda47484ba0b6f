//! What the steps of a pipeline hold back, and what they release of it.

use std::collections::BTreeSet;

use forebay_connectors::{Sample, Token};
use forebay_schemas::{Reading, Timestamp};

use super::Pipeline;
use crate::held::{HeldItem, Passed, Released};

impl Pipeline {
    /// The readings that follow from a message that may come again, and what passed where steps hold some of it back; `before` is
    /// that of a message that comes again.
    pub(crate) fn message(
        &mut self,
        samples: Vec<Sample>,
        now: Timestamp,
        before: Option<Passed>,
    ) -> (Vec<Reading>, Option<Passed>) {
        self.tables.begin_message(before);
        let readings = self.samples(samples, now);
        (readings, self.tables.end_message())
    }

    /// The readings that follow from what steps hold back: the gateway stops.
    pub(crate) fn flush(&mut self, now: Timestamp) -> Vec<Reading> {
        let mut readings = Vec::new();
        self.tables.flush(now, &self.status, &mut readings);
        self.pseudonyms.name(&mut readings);
        readings
    }

    /// Releases what an earlier process held back, unless it is stored under one of these receipts.
    pub(crate) fn recover(&mut self, items: Vec<HeldItem>, stored: &BTreeSet<Token>) {
        self.tables.recover(items, stored, &self.status);
    }

    /// What steps have released since it was asked last, by the names that leave the gateway.
    pub(crate) fn take_released(&mut self) -> Vec<Released> {
        let mut released = self.tables.take_released();
        for one in &mut released {
            self.pseudonyms.name(&mut one.readings);
        }
        released
    }

    /// Whether what steps hold back has changed since it was asked last.
    pub(crate) fn take_held_has_changed(&mut self) -> bool {
        self.tables.take_has_changed()
    }

    /// What steps hold back, and what they released and was not taken yet; by the devices' own names.
    pub(crate) fn held(&self) -> Vec<HeldItem> {
        self.tables.held()
    }
}
