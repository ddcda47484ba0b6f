//! Reading a segment's records as they lie.
//!
//! Seal and checksum are tried as ever, and the head must be sound. What the writer put into the body is not looked at: its bytes
//! are those that were written, and whoever decodes them says what is wrong with them.

use bytes::Bytes;
use forebay_schemas::wire::RecordHead;

use super::{Place, Scan, epoch_end, sound};
use crate::{
    Damage, Offset, StreamError,
    local::{
        receipts::batch_behind,
        record::{Kind, Opened},
    },
    raw::{RawBatch, RawEntry, RawRecord},
};

impl Scan {
    /// The next record or damage; `None` at the end.
    pub(in crate::local) fn step_raw(&mut self) -> Result<Option<RawRecord>, StreamError> {
        match self.place()? {
            Place::Sound {
                offset,
                from,
                opened,
            } => self.raw(offset, from, opened).map(Some),
            Place::Damaged { offset, from, why } => {
                Ok(Some(self.damaged(offset, from, why).into()))
            }
            Place::End | Place::Torn { .. } => Ok(None),
        }
    }

    /// The record that was just passed.
    fn raw(&self, offset: u64, from: u64, opened: Opened) -> Result<RawRecord, StreamError> {
        let entry = match opened.kind {
            Kind::Batch | Kind::Receipted => match batch_bytes(opened) {
                Some(bytes) => sound(offset, RecordHead::of_readings(&bytes))?
                    .map(|head| RawEntry::Readings(RawBatch { head, bytes })),
                None => None,
            },
            Kind::Outages => sound(offset, RecordHead::of_outages(&opened.content))?.map(|head| {
                RawEntry::Outages(RawBatch {
                    head,
                    bytes: opened.content,
                })
            }),
            Kind::EpochEnd => epoch_end(&opened.content).map(RawEntry::Decoded),
        };
        Ok(match entry {
            Some(entry) => RawRecord {
                offset: Offset(offset),
                next: Offset(self.offset()),
                entry,
            },
            None => self.damaged(offset, from, Damage::Record).into(),
        })
    }
}

/// The batch in a record of readings; `None` if receipts before it cannot be told from it.
fn batch_bytes(opened: Opened) -> Option<Bytes> {
    match opened.kind {
        Kind::Receipted => batch_behind(&opened.content),
        _ => Some(opened.content),
    }
}
