//! Appends as sealed records: as many as one write takes.

use std::collections::VecDeque;

use forebay_schemas::{
    Seq,
    wire::{BATCH_READINGS_MAX, OUTAGES_MAX, Outages, RecordHead},
};

use super::{Append, END_BYTES, Store, answer};
use crate::{
    Receipt, StreamError,
    local::{
        header::HEADER_BYTES,
        receipts::encode_changes,
        record::{FRAME_OVERHEAD, Kind},
    },
};

/// Most bytes written before a sync.
const GROUP_BYTES_MAX: usize = 4 << 20;

/// An append as a record.
struct Encoded {
    kind: Kind,
    content: Vec<u8>,
    receipt: Receipt,
}

pub(super) enum Stop {
    Drained,
    Roll,
    Full,
}

pub(super) struct Stage {
    pub(super) frames: Vec<u8>,
    pub(super) taken: Vec<(Append, Receipt)>,
    pub(super) stop: Stop,
}

impl Store {
    /// Seals appends for as long as they fit.
    pub(super) fn stage(&mut self, pending: &mut VecDeque<Append>) -> Result<Stage, StreamError> {
        let mut stage = Stage {
            frames: Vec::new(),
            taken: Vec::new(),
            stop: Stop::Drained,
        };
        let mut seq = self.next_seq;
        let (held, limits) = (self.bytes(), self.parts.limits);
        while let Some(mut append) = pending.pop_front() {
            let Encoded {
                kind,
                content,
                receipt,
            } = match self.encode(&mut append, seq) {
                Ok(encoded) => encoded,
                Err(error) => {
                    answer(append, Err(error));
                    continue;
                }
            };
            let frame = (content.len() + FRAME_OVERHEAD) as u64;
            let staged = stage.frames.len() as u64;
            let full_segment =
                self.active.segment.bytes + staged + frame + END_BYTES > limits.segment_bytes;
            let header = if full_segment { HEADER_BYTES as u64 } else { 0 };
            stage.stop = match (
                held + staged + header + frame + END_BYTES > limits.bytes_max,
                full_segment,
            ) {
                (true, _) => Stop::Full,
                (false, true) => Stop::Roll,
                (false, false) if stage.frames.len() >= GROUP_BYTES_MAX => Stop::Roll,
                (false, false) => {
                    let index = self.active.index() + stage.taken.len() as u64;
                    self.active
                        .cipher
                        .seal(index, kind, &content, &mut stage.frames)?;
                    seq = receipt
                        .last_seq
                        .checked_add(1)
                        .ok_or(StreamError::Exhausted("the epoch"))?;
                    stage.taken.push((append, receipt));
                    continue;
                }
            };
            pending.push_front(append);
            break;
        }
        Ok(stage)
    }

    fn encode(&mut self, append: &mut Append, first_seq: Seq) -> Result<Encoded, StreamError> {
        let encoded = if append.outages.is_empty() {
            self.encode_readings(append, first_seq)?
        } else {
            self.encode_outages(append, first_seq)?
        };
        let found = encoded.content.len() as u64;
        let max =
            self.parts.limits.segment_bytes - (HEADER_BYTES + FRAME_OVERHEAD) as u64 - END_BYTES;
        if found > max {
            Err(StreamError::TooLarge {
                found,
                max,
                unit: "bytes",
            })
        } else {
            Ok(encoded)
        }
    }

    fn encode_outages(&self, append: &mut Append, first_seq: Seq) -> Result<Encoded, StreamError> {
        let (count, max) = (append.outages.len() as u64, OUTAGES_MAX as u64);
        if count > max {
            return Err(StreamError::TooLarge {
                found: count,
                max,
                unit: "outages",
            });
        }
        let outages = std::mem::take(&mut append.outages);
        let (lane, epoch, nonce) = (self.parts.lane.clone(), self.mark.epoch, self.mark.nonce);
        let record = Outages {
            lane,
            epoch,
            nonce,
            first_seq,
            outages,
        };
        let (content, last_seq) = (
            record.encode(),
            record.last_seq().ok_or(StreamError::Empty)?,
        );
        append.outages = record.outages;
        Ok(Encoded {
            kind: Kind::Outages,
            content,
            receipt: Receipt {
                epoch,
                first_seq,
                last_seq,
            },
        })
    }

    fn encode_readings(
        &mut self,
        append: &mut Append,
        first_seq: Seq,
    ) -> Result<Encoded, StreamError> {
        let count = append.readings.len() as u64;
        if count > BATCH_READINGS_MAX as u64 {
            return Err(StreamError::TooLarge {
                found: count,
                max: BATCH_READINGS_MAX as u64,
                unit: "readings",
            });
        }
        let (epoch, nonce) = (self.mark.epoch, self.mark.nonce);
        let head = RecordHead {
            lane: self.parts.lane.clone(),
            epoch,
            nonce,
            first_seq,
            count: count as u32,
        };
        append
            .receipts
            .ended
            .retain(|ended| self.mark.receipts.contains(ended));
        let (mut content, mut kind) = (Vec::new(), Kind::Batch);
        if !append.receipts.is_empty() {
            encode_changes(&append.receipts, &mut content)?;
            kind = Kind::Receipted;
        }
        content.append(&mut self.encoder.encode(&head, &append.readings));
        let last_seq = head.last_seq().ok_or(StreamError::Empty)?;
        Ok(Encoded {
            kind,
            content,
            receipt: Receipt {
                epoch,
                first_seq,
                last_seq,
            },
        })
    }
}
