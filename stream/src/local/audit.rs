//! What a spool has received, read beside whoever has it open: nothing is locked or changed.

use std::{io, path::Path, sync::Arc};

use forebay_schemas::{
    LaneId,
    ledger::{Behind, Fate, LaneLedger, SeqRanges, Tally},
};
use tracing::warn;

use super::{
    dir::{Found, list_segments},
    header::BadHeader,
    key::SpoolKey,
    ledger::{LEDGER_NAME, LedgerFile},
    mark::{MARK_NAME, MARK_VERSION, Mark},
    medium::{Medium, OsMedium, read_whole},
    scan::{Extent, Scan},
    segment::belongs,
};
use crate::{Offset, StreamError};

/// How often a spool is read again because it forgot something meanwhile.
const READS_MAX: u32 = 8;

/// What the spool in the folder `path` says of what it received: its ledger, and every sound record that lies in it.
/// `None` where there is no spool, or its mark is damaged: the next opening mends it.
///
/// # Errors
/// `Fatal` for one that another key has sealed or a later release has written; `Retry` if the file system refused.
pub fn lane_ledger(
    path: &Path,
    lane: LaneId,
    key: &SpoolKey,
    behind: Behind,
) -> Result<Option<LaneLedger>, StreamError> {
    let mut reads = 0;
    loop {
        reads += 1;
        let Some(mark) = read_mark(path, key)? else {
            return Ok(None);
        };
        let audit = Audit {
            path,
            key,
            medium: Arc::new(OsMedium),
            mark,
        };
        let before = audit.ledger_file()?;
        let up_to = before.up_to;
        match audit.stock(before, lane.clone(), behind) {
            Err(error) if error.is_not_found() && reads < READS_MAX => {}
            Ok(_) if reads < READS_MAX && audit.ledger_file()?.up_to != up_to => {}
            found => return found.map(Some),
        }
    }
}

struct Audit<'a> {
    path: &'a Path,
    key: &'a SpoolKey,
    medium: Arc<dyn Medium>,
    /// Read first: what is forgotten by it is committed before the lake is looked at.
    mark: Mark,
}

fn read_mark(folder: &Path, key: &SpoolKey) -> Result<Option<Mark>, StreamError> {
    let path = folder.join(MARK_NAME);
    let bytes = match read_whole(&OsMedium, &path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StreamError::io("read", path)(error)),
    };
    match Mark::decode(&bytes, key) {
        Ok(mark) => Ok(Some(mark)),
        Err(BadHeader::Newer(found)) => Err(StreamError::NewerVersion {
            path,
            found,
            newest: MARK_VERSION,
        }),
        Err(BadHeader::WrongKey) => Err(StreamError::WrongKey { path }),
        Err(BadHeader::Damaged) => {
            warn!(path = %path.display(), "the spool's mark is damaged, skipped the spool");
            Ok(None)
        }
    }
}

impl Audit<'_> {
    fn ledger_file(&self) -> Result<LedgerFile, StreamError> {
        LedgerFile::read(
            &*self.medium,
            &self.path.join(LEDGER_NAME),
            self.key,
            self.mark.spool,
        )
    }

    /// The ledger with every record that lies in the spool and is not counted yet.
    fn stock(
        &self,
        file: LedgerFile,
        lane: LaneId,
        behind: Behind,
    ) -> Result<LaneLedger, StreamError> {
        let LedgerFile { up_to, ledger, .. } = file;
        let (waiting, waiting_seqs) = (Tally::default(), SeqRanges::default());
        let mut found = LaneLedger {
            lane,
            ledger,
            waiting,
            waiting_seqs,
            behind,
        };
        let segments = list_segments(self.path)?;
        for (at, segment) in segments.iter().enumerate() {
            let next = segments.get(at + 1).map(|next| next.first);
            self.segment(segment, next, up_to, &mut found)?;
        }
        Ok(found)
    }

    fn segment(
        &self,
        segment: &Found,
        next: Option<u64>,
        up_to: Offset,
        found: &mut LaneLedger,
    ) -> Result<(), StreamError> {
        let extent = Extent {
            bytes: segment.bytes,
            next,
        };
        let scan = Scan::open(&segment.path, self.key, self.medium.clone(), extent)?;
        // What a damaged header hides is not covered.
        let Ok(mut scan) = belongs(scan, &self.mark.spool, segment.first) else {
            return Ok(());
        };
        while let Some((offset, record)) = scan.next_census()? {
            if offset < up_to {
                continue;
            }
            found.ledger.count(&record, Fate::Taken);
            if offset >= self.mark.forgotten {
                let (first, last) = (record.first_seq.0, record.last_seq().0);
                found.waiting_seqs.add(record.epoch.0, first, last);
                record.add_to(&mut found.waiting, found.ledger.resolution);
            }
        }
        Ok(())
    }
}
