//! What windows and doors did with the readings of one message, so that they do not do it again when the message comes again.
//!
//! A reading is told by the place of its sample in the message, its table and its series: its time may be that of its arrival.

use forebay_schemas::Series;
use ring::digest::{Context, SHA256};

use crate::held::Passed;

/// A message on its way through the tables.
#[derive(Debug, Default)]
pub(super) struct MessageTrace {
    /// Of the sample that is looked at.
    pub(super) place: usize,
    /// Whether some of it is held back.
    pub(super) is_held: bool,
    passed: Passed,
    /// Of a message that comes again: what of it passed the first time.
    before: Option<Passed>,
}

/// What a window or door is to do with a reading of a message that comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// It passed the first time.
    Passes,
    /// It is held back already, or was sent.
    Skipped,
}

impl MessageTrace {
    /// Of a message that comes for the first time, or again.
    pub(super) fn new(before: Option<Passed>) -> Self {
        Self {
            before,
            ..Self::default()
        }
    }

    /// What is to become of a reading; none where the message is new.
    pub(super) fn again(&self, table: usize, series: &Series) -> Option<Again> {
        let before = self.before.as_ref()?;
        if before.contains(&self.digest(table, series)) {
            Some(Again::Passes)
        } else {
            Some(Again::Skipped)
        }
    }

    /// A reading passed a table that holds back.
    pub(super) fn note_passed(&mut self, table: usize, series: &Series) {
        let digest = self.digest(table, series);
        self.passed.insert(digest);
    }

    /// What passed, where some of the message is held back.
    pub(super) fn into_passed(self) -> Option<Passed> {
        match self.before {
            Some(before) => Some(before),
            None => self.is_held.then_some(self.passed),
        }
    }

    /// Stable between releases: it is kept.
    fn digest(&self, table: usize, series: &Series) -> u64 {
        let mut digest = Context::new(&SHA256);
        digest.update(&(self.place as u64).to_le_bytes());
        digest.update(&(table as u64).to_le_bytes());
        for name in [series.device.as_str(), series.tag.as_str()] {
            digest.update(&(name.len() as u64).to_le_bytes());
            digest.update(name.as_bytes());
        }
        let mut first = [0; 8];
        first.copy_from_slice(&digest.finish().as_ref()[..8]);
        u64::from_le_bytes(first)
    }
}
