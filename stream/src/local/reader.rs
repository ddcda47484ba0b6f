//! Reading the spool while it is written: readings by series for who takes them to the lake, as
//! they lie for who sends them on, by rows for everyone else.

use std::{collections::VecDeque, sync::Arc};

use async_trait::async_trait;
use forebay_runtime::trace::TraceContext;
use forebay_schemas::wire::{ReadingBatch, SeriesBatch};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinHandle, spawn_blocking},
};

use super::{
    scan::{Scan, Step},
    segment::{SealedFile, Segment, View},
    traced::TracedAppends,
    writer::{Control, ask},
};
use crate::{
    Damage, Entry, LogReader, Offset, Receipt, Record, StreamError,
    raw::{RawEntry, RawRecord},
};

/// Decoded records read ahead.
const AHEAD_MAX: usize = 32;
/// Records read ahead as they lie, which take no more memory than in their file.
const AHEAD_RAW_MAX: usize = 256;
const AHEAD_BYTES_MAX: u64 = 1 << 20;

/// Reads the spool in order.
pub struct SpoolReader {
    view: watch::Receiver<View>,
    control: mpsc::Sender<Control>,
    sealed: SealedFile,
    traced: Arc<TracedAppends>,
    /// Where to read on when `ready` is used up.
    at: Offset,
    ready: VecDeque<ReadAhead>,
    /// The segment being read, so that its records are not read twice; one that was dropped meanwhile is read to its end.
    open: Option<(u64, Scan)>,
    /// What is being read outside the reactor: whoever stops waiting for it finds it here, or its segment would be read from the
    /// start again.
    under_way: Option<UnderWay>,
}

/// A stretch of a segment that is being read.
struct UnderWay {
    generation: u64,
    ahead: JoinHandle<Result<Ahead, StreamError>>,
}

/// In which form records are read ahead.
#[derive(Clone, Copy)]
enum Form {
    Decoded,
    Raw,
}

/// A record that was read ahead.
enum ReadAhead {
    Decoded(Record<SeriesBatch>),
    Raw(RawRecord),
}

struct Ahead {
    scan: Option<Scan>,
    records: VecDeque<ReadAhead>,
    /// A record that cannot be read comes after those that can.
    failed: Option<StreamError>,
}

impl SpoolReader {
    pub(super) fn new(
        view: watch::Receiver<View>,
        control: mpsc::Sender<Control>,
        sealed: SealedFile,
        traced: Arc<TracedAppends>,
        from: Offset,
    ) -> Self {
        Self {
            view,
            control,
            sealed,
            traced,
            at: from,
            ready: VecDeque::new(),
            open: None,
            under_way: None,
        }
    }

    /// Reads ahead; leaves nothing ready at the end. What another call began is ended first.
    async fn fill(&mut self, form: Form) -> Result<(), StreamError> {
        if self.under_way.is_some() {
            self.finish().await?;
            if !self.ready.is_empty() {
                return Ok(());
            }
            // It had come to the end of what was synced when it was begun: more may be there by now.
        }
        let view = self.view.borrow_and_update().clone();
        self.at = self.at.max(view.forgotten);
        if let Some((generation, scan)) = self.open.take() {
            let unread =
                scan.offset() == self.at.0 && scan.extent.next.is_some_and(|next| next > self.at.0);
            if unread {
                return self.read(generation, ScanFrom::Open(scan), form).await;
            }
            let same = view
                .segment_at(self.at)
                .filter(|segment| segment.generation == generation);
            if let Some(segment) = same
                .filter(|segment| segment.first == scan.header.first && scan.offset() == self.at.0)
            {
                return self
                    .read(generation, ScanFrom::Grown(scan, segment.clone()), form)
                    .await;
            }
            let active = &view.active;
            if active.generation == generation
                && active.first == scan.header.first
                && scan.offset() == active.next
            {
                // All of it is read: what is appended next is read from here on, and nothing before it again.
                self.open = Some((generation, scan));
                return Ok(());
            }
        }
        if let Some(kept) = view.kept.iter().find(|kept| kept.next > self.at) {
            let record = kept.clone().map_batch(|batch| SeriesBatch::from(&batch));
            self.push(ReadAhead::Decoded(record).starting_at(self.at));
            return Ok(());
        }
        let Some(segment) = view.segment_at(self.at) else {
            return Ok(());
        };
        if self.at.0 < segment.first {
            let entry = Entry::Damaged {
                segment: self.at,
                bytes: 0..0,
                why: Damage::Missing,
            };
            self.push(ReadAhead::Decoded(Record {
                offset: self.at,
                next: Offset(segment.first),
                entry,
            }));
            return Ok(());
        }
        self.read(segment.generation, ScanFrom::Closed(segment.clone()), form)
            .await
    }

    fn push(&mut self, record: ReadAhead) {
        self.at = record.next();
        self.ready.push_back(record);
    }

    /// Lets go of what was read ahead from `to` on.
    fn go_back(&mut self, to: Offset) {
        self.at = to;
        self.ready.clear();
        self.open = None;
    }

    async fn read(
        &mut self,
        generation: u64,
        from: ScanFrom,
        form: Form,
    ) -> Result<(), StreamError> {
        let (sealed, at) = (self.sealed.clone(), self.at);
        let ahead = spawn_blocking(move || from.read(&sealed, at, form));
        self.under_way = Some(UnderWay { generation, ahead });
        self.finish().await
    }

    /// Waits for what is being read. Cancel-safe.
    async fn finish(&mut self) -> Result<(), StreamError> {
        let Some(UnderWay { generation, ahead }) = &mut self.under_way else {
            return Ok(());
        };
        let (generation, ahead) = (*generation, ahead.await);
        self.under_way = None;
        let ahead = ahead.map_err(|_| StreamError::Closed)??;
        self.open = ahead.scan.map(|scan| (generation, scan));
        ahead
            .records
            .into_iter()
            .for_each(|record| self.push(record));
        match ahead.failed {
            Some(error) if self.ready.is_empty() => Err(error),
            _ => Ok(()),
        }
    }

    /// The next record in the form in which it was read ahead; `None` at the end.
    async fn take(&mut self, form: Form) -> Result<Option<ReadAhead>, StreamError> {
        while self.ready.is_empty() {
            match self.fill(form).await {
                Ok(()) => break,
                // A segment was removed between the view and the file.
                Err(error) if error.is_not_found() && self.view.has_changed().unwrap_or(false) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.ready.pop_front())
    }

    /// The next record, its readings by series; waits for it. Cancel-safe.
    ///
    /// # Errors
    /// As [`LogReader::next`].
    pub(crate) async fn next_series(&mut self) -> Result<Record<SeriesBatch>, StreamError> {
        loop {
            if let Some(record) = self.try_next_series().await? {
                return Ok(record);
            }
            self.changed().await?;
        }
    }

    /// The next record, its readings by series, or `None` at the end of what is synced.
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`LogReader::try_next`].
    pub(crate) async fn try_next_series(
        &mut self,
    ) -> Result<Option<Record<SeriesBatch>>, StreamError> {
        loop {
            match self.take(Form::Decoded).await? {
                None => return Ok(None),
                Some(ReadAhead::Decoded(record)) => return Ok(Some(record)),
                Some(ReadAhead::Raw(record)) => match record.entry {
                    RawEntry::Decoded(entry) => {
                        let record = Record {
                            offset: record.offset,
                            next: record.next,
                            entry: entry.map_batch(|batch| SeriesBatch::from(&batch)),
                        };
                        return Ok(Some(record));
                    }
                    // Read ahead for `next_raw`: once more, since a body that cannot be decoded has
                    // its place in the file to name.
                    RawEntry::Readings(_) | RawEntry::Outages(_) => self.go_back(record.offset),
                },
            }
        }
    }

    /// Waits for something new at the end.
    async fn changed(&mut self) -> Result<(), StreamError> {
        if self.view.changed().await.is_err() && self.at >= self.view.borrow().end() {
            return Err(StreamError::Closed);
        }
        Ok(())
    }
}

impl Form {
    fn ahead_max(self) -> usize {
        match self {
            Self::Decoded => AHEAD_MAX,
            Self::Raw => AHEAD_RAW_MAX,
        }
    }

    /// The next record; `None` at the segment's end.
    fn step(self, scan: &mut Scan) -> Result<Option<ReadAhead>, StreamError> {
        match self {
            Self::Decoded => scan.step().map(|step| match step {
                Step::Record(record, _) => Some(ReadAhead::Decoded(*record)),
                Step::End | Step::Torn { .. } => None,
            }),
            Self::Raw => Ok(scan.step_raw()?.map(ReadAhead::Raw)),
        }
    }
}

impl ReadAhead {
    fn next(&self) -> Offset {
        match self {
            Self::Decoded(record) => record.next,
            Self::Raw(record) => record.next,
        }
    }

    /// The same, without the places below `at`.
    fn starting_at(mut self, at: Offset) -> Self {
        let offset = match &mut self {
            Self::Decoded(record) => &mut record.offset,
            Self::Raw(record) => &mut record.offset,
        };
        *offset = at.max(*offset);
        self
    }
}

enum ScanFrom {
    Open(Scan),
    Grown(Scan, Segment),
    Closed(Segment),
}

impl ScanFrom {
    fn read(self, sealed: &SealedFile, at: Offset, form: Form) -> Result<Ahead, StreamError> {
        let mut ahead = Ahead {
            scan: None,
            records: VecDeque::new(),
            failed: None,
        };
        let mut scan = match self {
            Self::Open(scan) => scan,
            Self::Grown(mut scan, segment) => {
                (scan.extent.bytes, scan.extent.next) = (segment.bytes, Some(segment.next));
                scan
            }
            Self::Closed(segment) => match segment.scan(sealed)? {
                Ok(scan) => scan,
                Err(unreadable) => {
                    let record = Record {
                        offset: at,
                        ..unreadable
                    };
                    ahead.records.push_back(ReadAhead::Decoded(record));
                    return Ok(ahead);
                }
            },
        };
        let (start, ahead_max) = (scan.position(), form.ahead_max());
        while ahead.records.len() < ahead_max && scan.position() - start < AHEAD_BYTES_MAX
            || ahead.records.is_empty()
        {
            match form.step(&mut scan) {
                Ok(Some(record)) if record.next() > at => {
                    ahead.records.push_back(record.starting_at(at));
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => {
                    ahead.failed = Some(error);
                    return Ok(ahead);
                }
            }
        }
        ahead.scan = Some(scan);
        Ok(ahead)
    }
}

#[async_trait]
impl LogReader for SpoolReader {
    async fn next(&mut self) -> Result<Record, StreamError> {
        self.next_series().await.map(by_rows)
    }

    async fn next_raw(&mut self) -> Result<RawRecord, StreamError> {
        loop {
            match self.take(Form::Raw).await? {
                Some(ReadAhead::Raw(record)) => return Ok(record),
                Some(ReadAhead::Decoded(record)) => return Ok(by_rows(record).into()),
                None => self.changed().await?,
            }
        }
    }

    async fn try_next(&mut self) -> Result<Option<Record>, StreamError> {
        Ok(self.try_next_series().await?.map(by_rows))
    }

    fn trace_of(&self, readings: &Receipt) -> Option<TraceContext> {
        self.traced.of(readings)
    }

    async fn forget(&self, up_to: Offset) -> Result<(), StreamError> {
        ask(&self.control, |reply| Control::Forget(up_to, reply)).await
    }
}

fn by_rows(record: Record<SeriesBatch>) -> Record {
    record.map_batch(|batch| ReadingBatch::from(&batch))
}
