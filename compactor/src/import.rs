//! Import of a file: a stream of its own, each non-empty cell a reading, exactly once.
//!
//! The epoch is a keyed hash of the bytes and the arguments, and is never forgotten; seq counts non-empty cells. The
//! file is taken in chunks, one commit each, so memory is bounded; an import that was killed goes on behind its last
//! commit, and one that has ended adds nothing. A row that cannot be read goes to `quarantine`.

mod cell;
mod quarantine;
mod source;
mod spec;
mod time;

use std::{collections::BTreeMap, io, path::PathBuf};

use csv::ByteRecord;
use forebay_lake::{EpochMark, GatheredRows, LakeError, LakeWriter, StreamState};
use forebay_schemas::{
    DeviceId, Epoch, EpochNonce, ErrorKind, GatewayId, InvalidName, Lane, LaneId, Reading, Seq, Series, SiteId, Status,
    TagName, Timestamp, Value, table::READINGS, wire::ReadingBatch,
};
use thiserror::Error;

use crate::{
    CompactorError, WindowSettings,
    event_time::{self, MAX_SKEW},
    ingest::{Step, commit},
    windows::close_imported,
};
use quarantine::BadRow;
use source::{Layout, Survey};

pub use spec::{DeviceSource, ImportSpec, TimeFormat};

/// The lane of imports: no spool has it.
const IMPORT_LANE: Lane = Lane(i32::MAX as u32);

/// A chunk ends with the row that brings it to this many readings.
const CHUNK_READINGS: usize = 500_000;

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportOutcome {
    /// Rows of the file.
    pub rows: u64,
    /// Readings that the file holds.
    pub readings: u64,
    /// Readings that this run committed.
    pub committed: u64,
    /// Windows that this run closed.
    pub windows: u64,
    /// Rows that could not be read.
    pub quarantined: u64,
    /// The first of those, counted from 1 without the header, and what is wrong with it.
    pub first_bad: Option<(u64, String)>,
    /// By tag, how many values are text, and the first one.
    pub texts: BTreeMap<String, (u64, String)>,
}

impl ImportOutcome {
    fn note_texts(&mut self, readings: &[Reading]) {
        for reading in readings {
            if let Some(Value::Text(text)) = &reading.value {
                let tag = reading.series.tag.as_str();
                match self.texts.get_mut(tag) {
                    Some((count, _)) => *count += 1,
                    None => drop(self.texts.insert(tag.to_owned(), (1, text.clone()))),
                }
            }
        }
    }
}

/// Why an import failed.
#[derive(Debug, Error)]
pub enum ImportError {
    /// The file cannot be opened or read.
    #[error("cannot read {}", file.display())]
    Open {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is no CSV.
    #[error("cannot read {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: csv::Error,
    },
    /// No such column.
    #[error("{} has no column {column:?}; it has: {columns}", file.display())]
    Column {
        /// As asked for.
        column: String,
        /// The file.
        file: PathBuf,
        /// The columns that it has.
        columns: String,
    },
    /// A header in another encoding.
    #[error(
        "the name of column {column} in the header of {} is not UTF-8: convert the file, such as by \
         `iconv -f LATIN1 -t UTF-8`",
        file.display()
    )]
    Encoding {
        /// The file.
        file: PathBuf,
        /// Which of its columns, the first is 1.
        column: usize,
    },
    /// Nothing but the time and the device.
    #[error("{} has no column beside the time's and the device's", file.display())]
    NoTags {
        /// The file.
        file: PathBuf,
    },
    /// A column whose name is no tag name.
    #[error("{}: {source}", file.display())]
    Tag {
        /// The file.
        file: PathBuf,
        /// Why.
        source: InvalidName,
    },
    /// Every row is bad.
    #[error("none of the {rows} rows of {} could be read; the first: {why}", file.display())]
    AllBad {
        /// The file.
        file: PathBuf,
        /// How many.
        rows: u64,
        /// What is wrong with the first.
        why: String,
    },
    /// The tables.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The readings are committed, but their windows are not closed.
    #[error("the readings are in the table, but their windows could not be closed: {0}; import the file again")]
    Windows(#[source] CompactorError),
}

impl ImportError {
    /// What a caller may do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Lake(error) => error.kind(),
            Self::Windows(error) => error.kind(),
            Self::Open { .. } => ErrorKind::Retry,
            _ => ErrorKind::Reject,
        }
    }
}

/// Imports a file, closes its windows, and answers what is in the table after it.
///
/// `now` is the gateway's clock: the readings' observed time. Windows that a live stream's watermark has not passed yet
/// are left to [`crate::run_windows`].
///
/// # Errors
/// What was committed before an error stays, and the same call goes on behind it.
pub async fn import(
    spec: &ImportSpec,
    gateway: &GatewayId,
    lake: &LakeWriter,
    windows: &WindowSettings,
    now: Timestamp,
) -> Result<ImportOutcome, ImportError> {
    let Survey { layout, digest } = source::survey(spec)?;
    let tags = layout.tags.iter().map(|(_, name, _)| TagName::new(name)).collect::<Result<Vec<_>, _>>();
    let tags = tags.map_err(|source| ImportError::Tag { file: spec.file.clone(), source })?;
    let epoch = Epoch(lake.keeper().number_of(&[&digest, spec.identity().as_bytes()].concat()));
    let app_id = lake.keeper().app_id(&format!("import/{epoch}"), 0);
    let state = lake.table(&READINGS)?.snapshot().await?.state_of(&app_id).await?;
    let (next_row, mark) = match state {
        Some(number) => {
            let found: StreamState = lake.keeper().load(lake.table(&READINGS)?, &app_id, number).await?;
            (found.next_offset, found.epochs.first().map_or(0, |epoch| epoch.mark))
        }
        None => (0, 0),
    };
    let rows = Rows { spec, layout: &layout, tags, now };
    let lane = LaneId { gateway: gateway.clone(), lane: IMPORT_LANE };
    let mut run =
        Run { lake, app_id, lane, epoch, state, committed_row: next_row, mark, chunk: Vec::new(), bad: Vec::new() };
    let mut outcome = run.take(&rows).await?;
    outcome.windows = close_imported(lake, windows, &spec.site, now).await.map_err(ImportError::Windows)?;
    Ok(outcome)
}

/// How a row becomes readings.
struct Rows<'a> {
    spec: &'a ImportSpec,
    layout: &'a Layout,
    tags: Vec<TagName>,
    now: Timestamp,
}

impl Rows<'_> {
    fn readings(&self, record: &ByteRecord) -> Result<Vec<Reading>, String> {
        if record.len() != self.layout.width {
            return Err(format!("it has {} fields instead of {}", record.len(), self.layout.width));
        }
        let text = |at: usize| {
            let cell = record.get(at).unwrap_or_default();
            std::str::from_utf8(cell).map_err(|_| format!("field {} is not UTF-8", at + 1))
        };
        let event_time = time::parse(text(self.layout.time)?.trim(), &self.spec.time_format, &self.spec.time_zone)?;
        if !event_time::is_plausible(event_time, self.now, MAX_SKEW) {
            return Err("its time is before the year 2000 or more than a day ahead of the clock here".into());
        }
        let device = match (&self.spec.device, self.layout.device) {
            (DeviceSource::Fixed(device), _) => device.clone(),
            (DeviceSource::Column(_), Some(at)) => DeviceId::new(text(at)?.trim()).map_err(|e| e.to_string())?,
            (DeviceSource::Column(column), None) => return Err(format!("no column {column}")),
        };
        let mut readings = Vec::with_capacity(self.tags.len());
        for ((at, _, kind), tag) in self.layout.tags.iter().zip(&self.tags) {
            let cell = text(*at)?;
            if cell.is_empty() {
                continue;
            }
            let site: SiteId = self.spec.site.clone();
            readings.push(Reading {
                series: Series { site, device: device.clone(), tag: tag.clone() },
                event_time,
                observed_time: self.now,
                value: Some(kind.value(cell)),
                unit: None,
                status: Status::GOOD,
            });
        }
        Ok(readings)
    }
}

/// An import under way.
struct Run<'a> {
    lake: &'a LakeWriter,
    app_id: String,
    lane: LaneId,
    epoch: Epoch,
    /// The state that counts.
    state: Option<i64>,
    /// Rows before this one are in the table.
    committed_row: u64,
    /// So are seqs up to this one.
    mark: u64,
    chunk: Vec<Reading>,
    bad: Vec<BadRow>,
}

impl Run<'_> {
    async fn take(&mut self, rows: &Rows<'_>) -> Result<ImportOutcome, ImportError> {
        let read = |source| ImportError::Read { file: rows.spec.file.clone(), source };
        let mut outcome = ImportOutcome { readings: self.mark, ..ImportOutcome::default() };
        let mut records = source::records(rows.spec)?;
        let mut record = ByteRecord::new();
        while records.read_byte_record(&mut record).map_err(read)? {
            let row = outcome.rows;
            outcome.rows += 1;
            match rows.readings(&record) {
                Ok(readings) => {
                    outcome.note_texts(&readings);
                    if row >= self.committed_row {
                        self.chunk.extend(readings);
                    }
                }
                Err(why) => {
                    outcome.quarantined += 1;
                    outcome.first_bad.get_or_insert_with(|| (row + 1, why.clone()));
                    if row >= self.committed_row {
                        self.bad.push(BadRow {
                            row,
                            why,
                            raw: record.iter().collect::<Vec<_>>().join(&rows.spec.separator),
                        });
                    }
                }
            }
            if self.chunk.len() + self.bad.len() >= CHUNK_READINGS {
                outcome.committed += self.commit(outcome.rows, rows.now).await?;
            }
        }
        outcome.committed += self.commit(outcome.rows, rows.now).await?;
        outcome.readings += outcome.committed;
        match &outcome.first_bad {
            Some((_, why)) if outcome.quarantined == outcome.rows => {
                let why = why.clone();
                Err(ImportError::AllBad { file: rows.spec.file.clone(), rows: outcome.rows, why })
            }
            _ => Ok(outcome),
        }
    }

    /// Commits what was gathered up to `next_row`: bad rows first, as E9 has it.
    async fn commit(&mut self, next_row: u64, now: Timestamp) -> Result<u64, LakeError> {
        let (readings, bad) = (std::mem::take(&mut self.chunk), std::mem::take(&mut self.bad));
        if next_row <= self.committed_row {
            return Ok(0);
        }
        quarantine::commit(self.lake, &self.app_id, self.epoch, &bad, next_row, now).await?;
        let count = readings.len() as u64;
        let batch = ReadingBatch {
            lane: self.lane.clone(),
            epoch: self.epoch,
            nonce: EpochNonce::UNKNOWN,
            first_seq: Seq(self.mark + 1),
            readings,
        };
        let mark = self.mark + count;
        let state = StreamState::new(
            next_row,
            vec![EpochMark {
                gateway: self.lane.gateway.as_str().to_owned(),
                lane: self.lane.lane.0,
                epoch: self.epoch.0,
                mark,
                ..EpochMark::default()
            }],
        );
        let mut rows = GatheredRows::default();
        rows.push(batch);
        let step = Step { app_id: &self.app_id, from_state: self.state, state: &state, rows: &rows.finish()? };
        self.state = Some(commit(self.lake, step, now).await?);
        (self.mark, self.committed_row) = (mark, next_row);
        Ok(count)
    }
}
