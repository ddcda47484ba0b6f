//! Readings behind each step, for who looks at them (`forebay tap --stage steps`). Nothing is done while nobody does.

use std::sync::Arc;

use forebay_schemas::Reading;

use crate::tap::{Fate, Stage, StepPlace, Tap};

/// Where readings are shown.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    tap: Tap,
    connector: Arc<str>,
    /// The table whose steps are taken, as in [`StepPlace`].
    table: usize,
}

impl Trace {
    pub(crate) fn new(tap: Tap, connector: Arc<str>) -> Self {
        Self {
            tap,
            connector,
            table: 0,
        }
    }

    /// The steps of this table follow: 0 for the tag's own.
    pub(super) fn set_table(&mut self, table: usize) {
        self.table = table;
    }

    pub(super) fn show(&self, step: &'static str, fate: Fate, reading: &Reading) {
        let place = StepPlace {
            table: self.table,
            step,
        };
        self.tap
            .reading(&self.connector, Stage::Step(place), fate, reading);
    }
}
