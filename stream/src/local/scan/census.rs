//! Counting what a segment holds, without decoding its values.

use forebay_schemas::ledger::Census;

use super::{Scan, Step};
use crate::{
    Entry, Offset, Record, StreamError,
    local::{receipts::decode_changes, record::Kind},
};

impl Scan {
    /// Offset and readings of the next record that has some; `None` at the end. What is damaged, or of a later release, is passed
    /// over.
    pub(in crate::local) fn next_census(&mut self) -> Result<Option<(Offset, Census)>, StreamError> {
        while self.extent.next.is_none_or(|next| self.offset() < next) {
            let offset = self.offset();
            let found = match self.record_here()? {
                Some(opened) if opened.index == self.index => {
                    self.pos += opened.length as u64;
                    self.index += 1;
                    census(opened.kind, &opened.content).map(|census| (Offset(offset), census))
                }
                _ => match self.resync()? {
                    Step::Record(Record { offset, entry: Entry::Batch(batch), .. }, _) => {
                        Census::of_batch(&batch).map(|census| (offset, census))
                    }
                    Step::Record(..) => None,
                    Step::End | Step::Torn { .. } => return Ok(None),
                },
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}

/// Of a record's content; `None` where it has no readings.
fn census(kind: Kind, content: &[u8]) -> Option<Census> {
    let batch = match kind {
        Kind::Batch => content,
        Kind::Receipted => decode_changes(content)?.1,
        _ => return None,
    };
    Census::of_record(batch).ok()
}
