//! The warnings of a back-fill's job, as its fires leave them: read from the lake once for each batch that is written.

use std::collections::BTreeMap;

use forebay_schemas::Timestamp;

use crate::AlertRow;

/// The latest row of each warning, by id.
#[derive(Debug, Clone, Default)]
pub(crate) struct LatestWarnings(BTreeMap<String, AlertRow>);

impl LatestWarnings {
    /// Takes a row, unless a later one of the same warning is known.
    pub(crate) fn add(&mut self, row: AlertRow) {
        let age = |row: &AlertRow| (row.changed_at, row.last_seen);
        match self.0.get(&row.alert_id) {
            Some(known) if age(known) > age(&row) => {}
            _ => drop(self.0.insert(row.alert_id.clone(), row)),
        }
    }

    /// Those that were last seen at or after an instant.
    pub(crate) fn since(&self, since: Timestamp) -> Vec<AlertRow> {
        let recent = self.0.values().filter(|row| row.last_seen >= since);
        recent.cloned().collect()
    }

    /// All of them.
    pub(crate) fn into_rows(self) -> Vec<AlertRow> {
        self.0.into_values().collect()
    }
}

/// The same, with how far back they were read.
#[derive(Debug)]
pub(crate) struct KnownWarnings {
    since: Timestamp,
    latest: LatestWarnings,
}

impl KnownWarnings {
    /// What was read of the warnings that were last seen at or after an instant.
    pub(crate) fn read(since: Timestamp, latest: LatestWarnings) -> Self {
        Self { since, latest }
    }

    /// Takes the rows of a fire.
    pub(crate) fn add(&mut self, rows: &[AlertRow]) {
        rows.iter().cloned().for_each(|row| self.latest.add(row));
    }

    /// The warnings that were last seen at or after `since`; `None` where that lies further back than was read.
    pub(crate) fn since(&self, since: Timestamp) -> Option<Vec<AlertRow>> {
        (since >= self.since).then(|| self.latest.since(since))
    }
}
