//! Counting what a segment holds, without decoding its values.

use forebay_schemas::ledger::Census;

use super::{Place, Scan};
use crate::{
    Offset, StreamError,
    local::{
        receipts::batch_behind,
        record::{Kind, Opened},
    },
};

impl Scan {
    /// Offset and readings of the next record that has some; `None` at the end. What is damaged, or of a later release, is passed
    /// over.
    pub(in crate::local) fn next_census(
        &mut self,
    ) -> Result<Option<(Offset, Census)>, StreamError> {
        loop {
            match self.place()? {
                Place::Sound { offset, opened, .. } => {
                    if let Some(census) = census(&opened) {
                        return Ok(Some((Offset(offset), census)));
                    }
                }
                Place::Damaged { .. } => {}
                Place::End | Place::Torn { .. } => return Ok(None),
            }
        }
    }
}

/// Of a record's content; `None` where it has no readings.
fn census(opened: &Opened) -> Option<Census> {
    match opened.kind {
        Kind::Batch => Census::of_record(&opened.content).ok(),
        Kind::Receipted => Census::of_record(&batch_behind(&opened.content)?).ok(),
        Kind::Outages | Kind::EpochEnd => None,
    }
}
