//! What stands in the place of a segment that is given up for room.

use super::{
    mark::Mark,
    scan::Step,
    segment::{SealedFile, Segment},
};
use crate::{Entry, Record, StreamError};

/// The mark's kept records with those of `segment` after them: its readings as ranges, everything else as it is.
pub(super) fn stand_in(segment: &Segment, mark: &Mark, sealed: &SealedFile) -> Result<Vec<Record>, StreamError> {
    let mut kept = mark.kept.clone();
    let mut scan = match segment.scan(sealed)? {
        Ok(scan) => scan,
        Err(unreadable) => {
            kept.push(unreadable);
            return Ok(kept);
        }
    };
    while let Step::Record(record, _) = scan.step()? {
        if record.next > mark.forgotten {
            keep(&mut kept, record);
        }
    }
    Ok(kept)
}

/// Adds a record; readings join the range before them, so that the mark stays small.
fn keep(kept: &mut Vec<Record>, record: Record) {
    let Entry::Batch(batch) = &record.entry else { return kept.push(record) };
    let Some(last) = batch.last_seq() else { return };
    if let Some(Record { next, entry: Entry::Dropped { epoch, last_seq, .. }, .. }) = kept.last_mut()
        && *next == record.offset
        && *epoch == batch.epoch
        && last_seq.checked_add(1) == Some(batch.first_seq)
    {
        (*next, *last_seq) = (record.next, last);
        return;
    }
    let entry = Entry::Dropped { epoch: batch.epoch, first_seq: batch.first_seq, last_seq: last };
    kept.push(Record { entry, ..record });
}
