//! What is in memory of the log: its segments, and what readers may see of them.

use std::{path::Path, sync::Arc};

use forebay_schemas::wire::SeriesBatch;

use super::{
    header::{BadHeader, SpoolId},
    key::SpoolKey,
    medium::Medium,
    scan::{Extent, Scan},
};
use crate::{Damage, Entry, Offset, Record, StreamError};

/// How the segments of a spool are read.
#[derive(Clone)]
pub(super) struct SealedFile {
    pub(super) spool: SpoolId,
    pub(super) key: SpoolKey,
    pub(super) medium: Arc<dyn Medium>,
}

/// A segment's synced part.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) first: u64,
    /// Offset after its last record.
    pub(super) next: u64,
    pub(super) bytes: u64,
    pub(super) path: Arc<Path>,
    /// Tells a file from one that took its name.
    pub(super) generation: u64,
}

impl Segment {
    /// Its records, or the one record that says that it cannot be read.
    pub(super) fn scan(
        &self,
        sealed: &SealedFile,
    ) -> Result<Result<Scan, Record<SeriesBatch>>, StreamError> {
        let extent = Extent {
            bytes: self.bytes,
            next: Some(self.next),
        };
        let found = Scan::open(&self.path, &sealed.key, sealed.medium.clone(), extent)?;
        Ok(belongs(found, &sealed.spool, self.first).map_err(|_| self.unreadable()))
    }

    /// The record that stands for all of it.
    fn unreadable(&self) -> Record<SeriesBatch> {
        let entry = Entry::Damaged {
            segment: Offset(self.first),
            bytes: 0..self.bytes,
            why: Damage::Header,
        };
        Record {
            offset: Offset(self.first),
            next: Offset(self.next),
            entry,
        }
    }
}

/// Refuses a header that is sound but lies in the wrong place.
pub(super) fn belongs(
    found: Result<Scan, BadHeader>,
    spool: &SpoolId,
    first: u64,
) -> Result<Scan, BadHeader> {
    found.and_then(|scan| {
        let at_home = scan.header.spool == *spool && scan.header.first == first;
        if at_home {
            Ok(scan)
        } else {
            Err(BadHeader::Damaged)
        }
    })
}

/// What readers see: synced records only.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) forgotten: Offset,
    /// What stands below the first segment.
    pub(super) kept: Arc<Vec<Record>>,
    pub(super) closed: Arc<Vec<Segment>>,
    pub(super) active: Segment,
}

impl View {
    /// The end of what is synced.
    pub(super) fn end(&self) -> Offset {
        Offset(self.active.next)
    }

    /// The first segment that has a place at or after `at`.
    pub(super) fn segment_at(&self, at: Offset) -> Option<&Segment> {
        let passed = self.closed.partition_point(|segment| segment.next <= at.0);
        self.closed
            .get(passed)
            .or(Some(&self.active))
            .filter(|segment| segment.next > at.0)
    }
}
