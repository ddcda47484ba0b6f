//! What was taken of a partition and waits for its next commit.

use std::time::Duration;

use forebay_lake::GatheredRows;
use tokio::time::Instant;

use crate::consume::{
    budget::Share,
    contiguity::{ConsumedReadings, Quarantined},
    events::FoundEvents,
    links::TraceLinks,
};

/// What waits for the next commit.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) rows: GatheredRows,
    /// What is among them for the table `events`.
    pub(super) events: FoundEvents,
    pub(super) quarantine: Vec<Quarantined>,
    pub(super) readings: u64,
    pub(super) bytes: usize,
    pub(super) share: Option<Share>,
    /// Those of the bytes for which there was no share.
    pub(super) bytes_unshared: usize,
    pub(super) links: TraceLinks,
    /// When it must be committed; none while nothing was read.
    pub(super) due: Option<Instant>,
}

impl Gathered {
    pub(super) fn push(
        &mut self,
        consumed: ConsumedReadings,
        events: FoundEvents,
        bytes: usize,
        commit_interval: Duration,
    ) {
        for batch in consumed.batches {
            self.readings += batch.len() as u64;
            self.rows.push(batch);
        }
        self.events.join(events);
        self.quarantine.extend(consumed.quarantine);
        self.bytes += bytes;
        self.due
            .get_or_insert_with(|| Instant::now() + commit_interval);
    }
}
