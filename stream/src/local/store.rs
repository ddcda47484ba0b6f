//! The writing side of the spool, without tasks or waiting.
//!
//! Invariants: a receipt goes out after the sync of its records (E1); nothing is written to or synced in a segment after a
//! failed write or sync there (its later syncs would lie): it is cut back and a new one begun, at the offset and seq
//! that the failed one would have had; segments never hold more than `bytes_max`, but for the header and end records of an opening;
//! no segment goes before a mark that holds its receipts, and before the ledger has counted it (E12).

mod room;
mod stage;

use std::{collections::VecDeque, fs::File, sync::Arc};

use forebay_runtime::trace::TraceContext;
use forebay_schemas::{
    Epoch, EpochNonce, LaneId, Reading, Seq, Timestamp,
    wire::{Outage, ReadingEncoder},
};
use ring::rand::SecureRandom;
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};
use tracing::warn;

use super::{
    dir::{Dir, Reserve, segment_name},
    header::Header,
    key::{SpoolKey, random},
    ledger::Counter,
    limits::Limits,
    mark::Mark,
    receipts::apply,
    record::{Cipher, END_CONTENT_BYTES, FRAME_OVERHEAD, Kind, encode_end},
    recover::Recovered,
    segment::{SealedFile, Segment, View},
    traced::TracedAppends,
};
use crate::{LastSeq, Offset, OpenReceipt, Receipt, ReceiptChanges, StreamError};
use stage::Stop;

/// Kept free for the end record.
const END_BYTES: u64 = (FRAME_OVERHEAD + END_CONTENT_BYTES) as u64;

/// Readings, or outages in their place, that wait to be written, and who waits for them.
pub(super) struct Append {
    pub(super) readings: Arc<Vec<Reading>>,
    pub(super) outages: Vec<Outage>,
    pub(super) receipts: ReceiptChanges,
    /// The trace that they belong to, if any.
    pub(super) trace: Option<TraceContext>,
    pub(super) reply: oneshot::Sender<Result<Receipt, StreamError>>,
}

/// How far a commit came.
#[derive(Debug)]
pub(super) enum Outcome {
    /// All appends are answered.
    Done,
    /// The rest waits for something to be forgotten.
    Full,
    /// The rest waits for room on the device.
    NoSpace,
}

/// What the store is made with.
pub(super) struct Parts {
    pub(super) dir: Arc<Dir>,
    pub(super) key: SpoolKey,
    pub(super) random: Arc<dyn SecureRandom + Send + Sync>,
    pub(super) limits: Limits,
    pub(super) lane: LaneId,
}

/// The open log.
pub(super) struct Store {
    parts: Parts,
    mark: Mark,
    next_seq: Seq,
    closed: Vec<Segment>,
    active: Active,
    generation: u64,
    counter: Arc<Counter>,
    view: watch::Sender<View>,
    encoder: ReadingEncoder,
    traced: Arc<TracedAppends>,
    /// The gateway's clock at the newest append, and when that was.
    heard: Option<(Timestamp, Instant)>,
}

struct Active {
    segment: Segment,
    file: File,
    cipher: Cipher,
    /// A write or sync failed here.
    failed: bool,
}

impl Store {
    /// Begins `epoch` after what was recovered: a segment, the end records that are due, the mark.
    pub(super) fn begin(
        parts: Parts,
        recovered: Recovered,
        epoch: Epoch,
    ) -> Result<Self, StreamError> {
        let Recovered {
            mut mark,
            segments,
            next,
            ends,
            ..
        } = recovered;
        (mark.epoch, mark.nonce) = (
            epoch,
            EpochNonce(u64::from_le_bytes(random(&*parts.random)?)),
        );
        let active = Active::begin(&parts, &mark, next.0, Seq::FIRST, 0, Reserve::Use)?;
        let view = View {
            forgotten: mark.forgotten,
            kept: Arc::default(),
            closed: Arc::default(),
            active: active.segment.clone(),
        };
        let (view, _) = watch::channel(view);
        let sealed = sealed(&parts, &mark);
        let counter = Arc::new(Counter::new(
            parts.dir.clone(),
            sealed,
            parts.random.clone(),
        ));
        let mut store = Self {
            parts,
            mark,
            next_seq: Seq::FIRST,
            closed: segments,
            active,
            generation: 0,
            counter,
            view,
            encoder: ReadingEncoder::default(),
            traced: Arc::default(),
            heard: None,
        };
        if !ends.is_empty() {
            let mut frames = Vec::new();
            for (index, (epoch, nonce, last)) in (0..).zip(&ends) {
                store.active.cipher.seal(
                    index,
                    Kind::EpochEnd,
                    &encode_end(*epoch, *nonce, *last),
                    &mut frames,
                )?;
            }
            store.write(&frames, ends.len() as u64)?;
        }
        store.write_mark(Reserve::Use)?;
        store.parts.dir.restore_reserve();
        store.publish();
        Ok(store)
    }

    /// What readers follow.
    pub(super) fn view(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    /// Which of the newest appends belong to a trace.
    pub(super) fn traced(&self) -> Arc<TracedAppends> {
        self.traced.clone()
    }

    /// Writes and answers what it can; what is left has to wait, for the reason returned.
    pub(super) fn commit(&mut self, pending: &mut VecDeque<Append>) -> Outcome {
        loop {
            pending.retain(|append| !append.reply.is_closed());
            if pending.is_empty() {
                return Outcome::Done;
            }
            match self.commit_group(pending) {
                Ok(None) => {}
                Ok(Some(outcome)) => return outcome,
                Err(error) if error.is_no_space() => match self.make_room() {
                    Ok(true) => {}
                    Ok(false) | Err(_) => return Outcome::NoSpace,
                },
                Err(error) => {
                    warn!(%error, "could not write to the spool, the appends that waited are refused");
                    pending
                        .drain(..)
                        .for_each(|append| answer(append, Err(error.clone())));
                }
            }
        }
    }

    /// One write and one sync; or a step that makes them possible.
    fn commit_group(
        &mut self,
        pending: &mut VecDeque<Append>,
    ) -> Result<Option<Outcome>, StreamError> {
        if self.active.failed {
            self.roll()?;
        }
        let mut stage = self.stage(pending)?;
        if !stage.taken.is_empty() {
            let written = self.write(&stage.frames, stage.taken.len() as u64);
            if let Err(error) = written {
                stage
                    .taken
                    .into_iter()
                    .rev()
                    .for_each(|(append, _)| pending.push_front(append));
                return Err(error);
            }
            if let Some((_, receipt)) = stage.taken.last() {
                self.next_seq = receipt
                    .last_seq
                    .checked_add(1)
                    .ok_or(StreamError::Exhausted("the epoch"))?;
            }
            for (append, receipt) in &mut stage.taken {
                if let Some(trace) = append.trace {
                    self.traced.note(*receipt, trace);
                }
                apply(
                    &mut self.mark.receipts,
                    std::mem::take(&mut append.receipts),
                );
                if let Some(at) = append.taken_at() {
                    self.mark.stored_at = Some(at);
                    self.heard = Some((at, Instant::now()));
                }
            }
            self.publish();
            stage
                .taken
                .into_iter()
                .for_each(|(append, receipt)| answer(append, Ok(receipt)));
            return Ok(None);
        }
        match stage.stop {
            Stop::Drained => Ok(None),
            Stop::Roll => self.roll().map(|()| None),
            Stop::Full => Ok((!self.make_room()?).then_some(Outcome::Full)),
        }
    }

    /// Writes and syncs; after a failure the segment is cut back and done with.
    fn write(&mut self, frames: &[u8], count: u64) -> Result<(), StreamError> {
        let Active {
            segment,
            file,
            failed,
            ..
        } = &mut self.active;
        let medium = &self.parts.dir.medium;
        let written = medium
            .write(file, frames, segment.bytes)
            .and_then(|()| medium.sync(file));
        if let Err(source) = written {
            *failed = true;
            if let Err(error) = file.set_len(segment.bytes) {
                warn!(path = %segment.path.display(), %error, "could not cut back a segment after a failed write");
            }
            return Err(StreamError::io("write", &*segment.path)(source));
        }
        segment.bytes += frames.len() as u64;
        segment.next += count;
        Ok(())
    }

    fn roll(&mut self) -> Result<(), StreamError> {
        let next = self.active.segment.next;
        let generation = self.generation + 1;
        let active = Active::begin(
            &self.parts,
            &self.mark,
            next,
            self.next_seq,
            generation,
            Reserve::Keep,
        )?;
        let old = std::mem::replace(&mut self.active, active);
        // An empty one was replaced under its own name.
        if old.segment.next > old.segment.first {
            self.closed.push(old.segment);
        }
        self.generation = generation;
        self.publish();
        // So that the next opening finds the open receipts without reading older segments; it reads them if this fails.
        if let Err(error) = self.write_mark(Reserve::Keep) {
            warn!(%error, "could not write the spool's mark with a new segment, the next opening takes longer");
        }
        Ok(())
    }

    /// Ends receipts in the mark alone.
    pub(super) fn end_receipts(&mut self, ended: &[OpenReceipt]) -> Result<(), StreamError> {
        let mut left = self.mark.receipts.clone();
        for ended in ended {
            left.remove(ended);
        }
        if left.len() == self.mark.receipts.len() {
            return Ok(());
        }
        let old = std::mem::replace(&mut self.mark.receipts, left);
        let written = self.write_mark(Reserve::Use);
        if written.is_err() {
            self.mark.receipts = old;
        }
        self.parts.dir.restore_reserve();
        written
    }

    /// Writes the epoch's end record, and into the mark that it was at work until now.
    pub(super) fn end(&mut self) -> Result<(), StreamError> {
        if self.active.failed {
            self.roll()?;
        }
        let last = Some(Seq(self.next_seq.0 - 1)).filter(|seq| seq.0 > 0);
        let mut frame = Vec::new();
        let content = encode_end(self.mark.epoch, self.mark.nonce, LastSeq::Known(last));
        self.active
            .cipher
            .seal(self.active.index(), Kind::EpochEnd, &content, &mut frame)?;
        self.write(&frame, 1)?;
        self.publish();
        if let Some((at, since)) = self.heard {
            let passed = i64::try_from(since.elapsed().as_nanos()).unwrap_or(i64::MAX);
            self.mark.stored_at = Some(Timestamp::from_nanos(at.nanos().saturating_add(passed)));
            if let Err(error) = self.write_mark(Reserve::Use) {
                warn!(%error, "could not note when the spool was closed, the next start takes its newest reading for it");
            }
        }
        Ok(())
    }

    /// Writes the mark with the receipts as they are now: of everything synced.
    fn write_mark(&mut self, reserve: Reserve) -> Result<(), StreamError> {
        self.mark.receipts_at = Offset(self.active.segment.next);
        self.mark.write(
            &self.parts.dir,
            &self.parts.key,
            &*self.parts.random,
            reserve,
        )
    }

    fn bytes(&self) -> u64 {
        self.closed.iter().map(|segment| segment.bytes).sum::<u64>() + self.active.segment.bytes
    }

    /// Shows readers what is synced; files about to be removed are hidden first.
    fn publish(&self) {
        let floor = self.mark.floor();
        self.view.send_replace(View {
            forgotten: self.mark.forgotten,
            kept: Arc::new(self.mark.kept.clone()),
            closed: Arc::new(
                self.closed
                    .iter()
                    .filter(|segment| segment.next > floor.0)
                    .cloned()
                    .collect(),
            ),
            active: self.active.segment.clone(),
        });
    }
}

impl Append {
    /// The gateway's time of the last reading, or the end of the last outage.
    fn taken_at(&self) -> Option<Timestamp> {
        let reading = self.readings.last().map(|reading| reading.observed_time);
        reading.or(self.outages.last().map(|outage| outage.to))
    }
}

impl Active {
    fn begin(
        parts: &Parts,
        mark: &Mark,
        first: u64,
        first_seq: Seq,
        generation: u64,
        reserve: Reserve,
    ) -> Result<Self, StreamError> {
        let header = Header {
            spool: mark.spool,
            first,
            epoch: mark.epoch,
            first_seq,
            salt: random(&*parts.random)?,
        };
        let (bytes, key) = header.encode(&parts.key)?;
        let name = segment_name(first);
        let file = parts.dir.put(&name, &bytes, reserve)?;
        let path = parts.dir.file(&name).into();
        let segment = Segment {
            first,
            next: first,
            bytes: bytes.len() as u64,
            path,
            generation,
        };
        Ok(Self {
            segment,
            file,
            cipher: Cipher::new(key, &header),
            failed: false,
        })
    }

    fn index(&self) -> u64 {
        self.segment.next - self.segment.first
    }
}

/// How the segments of this spool are read.
fn sealed(parts: &Parts, mark: &Mark) -> SealedFile {
    SealedFile {
        spool: mark.spool,
        key: parts.key.clone(),
        medium: parts.dir.medium.clone(),
    }
}

/// Answers who still waits; one that does not has no use for it.
fn answer(append: Append, result: Result<Receipt, StreamError>) {
    drop(append.reply.send(result));
}
