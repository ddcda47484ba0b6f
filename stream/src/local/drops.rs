//! What stands in the place of a segment that is given up for room.

use forebay_schemas::wire::{ReadingBatch, SeriesBatch};

use super::{
    mark::Mark,
    scan::Step,
    segment::{SealedFile, Segment},
};
use crate::{Entry, Record, StreamError};

/// The mark's kept records with those of `segment` after them: its readings and outages as ranges, everything else as it is.
pub(super) fn stand_in(
    segment: &Segment,
    mark: &Mark,
    sealed: &SealedFile,
) -> Result<Vec<Record>, StreamError> {
    let mut kept = mark.kept.clone();
    let mut scan = match segment.scan(sealed)? {
        Ok(scan) => scan,
        Err(unreadable) => {
            keep(&mut kept, unreadable);
            return Ok(kept);
        }
    };
    while let Step::Record(record, _) = scan.step()? {
        if record.next > mark.forgotten {
            keep(&mut kept, *record);
        }
    }
    Ok(kept)
}

/// Adds a record; readings join the range before them, so that the mark stays small.
fn keep(kept: &mut Vec<Record>, record: Record<SeriesBatch>) {
    let (opening, first_seq, last) = match &record.entry {
        Entry::Batch(batch) => (
            (batch.epoch, batch.nonce),
            batch.first_seq,
            batch.last_seq(),
        ),
        Entry::Outages(outages) => (
            (outages.epoch, outages.nonce),
            outages.first_seq,
            outages.last_seq(),
        ),
        _ => return kept.push(record.map_batch(|batch| ReadingBatch::from(&batch))),
    };
    let Some(last) = last else { return };
    if let Some(Record {
        next,
        entry:
            Entry::Dropped {
                epoch,
                nonce,
                last_seq,
                ..
            },
        ..
    }) = kept.last_mut()
        && *next == record.offset
        && (*epoch, *nonce) == opening
        && last_seq.checked_add(1) == Some(first_seq)
    {
        (*next, *last_seq) = (record.next, last);
        return;
    }
    let (epoch, nonce) = opening;
    let entry = Entry::Dropped {
        epoch,
        nonce,
        first_seq,
        last_seq: last,
    };
    kept.push(Record {
        offset: record.offset,
        next: record.next,
        entry,
    });
}
