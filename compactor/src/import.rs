//! Import of a file, CSV or Parquet: a stream of its own, each non-empty cell a reading, exactly once.
//!
//! The epoch is a keyed hash of the decompressed bytes and the arguments, and is never forgotten; seq counts the readings
//! that are committed. The file is taken in chunks, one commit each, so memory is bounded; an import that was killed goes on
//! behind its last commit, and one that has ended adds nothing. A row that cannot be read goes to `quarantine`. The file is
//! read twice: what its columns hold, whether its quotes close and in which order its rows stand is known before the first
//! of them is taken.

mod cell;
mod clocks;
mod error;
mod existing;
mod file;
mod outcome;
mod quality;
mod quarantine;
mod quotes;
mod rows;
mod source;
mod spec;
#[cfg(test)]
mod tests;
mod time;
mod undo;

use csv::ByteRecord;
use forebay_lake::{
    EpochMark, GatheredRows, ImportInfo, LakeWriter, ROW_UNKNOWN, StreamState, imported_app_id,
    note_import,
};
use forebay_schemas::{
    Epoch, EpochNonce, GatewayId, Lane, LaneId, Reading, Seq, SiteId, Timestamp,
    table::{READINGS, TABLE_FORMAT_VERSION},
    wire::{ReadingBatch, SeriesBatch},
};

use crate::{
    WindowSettings,
    ingest::{Step, commit},
    windows::close_imported,
};
use file::Records;
use quarantine::BadRow;
use rows::Rows;

pub use encoding_rs::Encoding;
pub use error::ImportError;
pub use outcome::{ImportOutcome, TextNote};
pub use spec::{
    Decimal, DeviceSource, ImportSpec, OnExisting, QualityCodes, QualityColumn, TagSource,
    TimeFormat,
};
pub use undo::{UndoError, Undone, undo_import};

/// The lane of imports: no spool has it.
const IMPORT_LANE: Lane = Lane::IMPORT;

/// A chunk ends with the row that brings it to this many readings.
const CHUNK_READINGS: usize = 500_000;

/// Rows between two notices of progress.
const ROWS_A_NOTICE: u64 = 4096;

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
    import_watched(spec, gateway, lake, windows, now, &|_| {}).await
}

/// How far an import has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportProgress {
    /// Rows that were read.
    pub rows: u64,
    /// Rows of the file.
    pub of: u64,
}

/// As [`import`]; `watch` hears of each chunk of rows.
///
/// # Errors
/// As [`import`].
pub async fn import_watched(
    spec: &ImportSpec,
    gateway: &GatewayId,
    lake: &LakeWriter,
    windows: &WindowSettings,
    now: Timestamp,
    watch: &(dyn Fn(ImportProgress) + Sync),
) -> Result<ImportOutcome, ImportError> {
    let survey = source::survey(spec)?;
    let epoch = Epoch(
        lake.keeper()
            .number_of(&[&survey.digest, spec.identity().as_bytes()].concat()),
    );
    let app_id = imported_app_id(lake.keeper(), epoch);
    let readings = lake.table(&READINGS)?;
    let state = readings.snapshot().await?.state_of(&app_id).await?;
    let found: StreamState = match state {
        Some(number) => lake.keeper().load(readings, &app_id, number).await?,
        None => StreamState::new(0, Vec::new()),
    };
    let mark = found
        .epochs
        .iter()
        .find(|at| at.epoch == epoch.0)
        .map_or(0, |at| at.mark);
    let (mut committed_row, mut unplaced) = (found.next_offset, 0);
    if found.next_offset == ROW_UNKNOWN {
        let absent: u64 = found.gaps.iter().map(|gap| gap.last - gap.first + 1).sum();
        (committed_row, unplaced) = (0, mark.saturating_sub(absent));
    }
    if state.is_none() || found.next_offset == ROW_UNKNOWN {
        note_import(lake, &info(spec, gateway, epoch, now)).await?;
    }
    let (broken_over, of) = (survey.broken_over, survey.rows);
    let watch = |rows| watch(ImportProgress { rows, of });
    watch(0);
    let mut rows = Rows::of(spec, survey, now);
    let lane = LaneId {
        gateway: gateway.clone(),
        lane: IMPORT_LANE,
    };
    let (chunk, bad) = Default::default();
    let mut run = Run {
        lake,
        app_id,
        lane,
        epoch,
        state,
        committed_row,
        mark,
        unplaced,
        chunk,
        bad,
    };
    let mut outcome = ImportOutcome {
        id: epoch.0,
        readings: mark,
        broken_over,
        ..ImportOutcome::default()
    };
    run.take(&mut rows, &mut outcome, &watch).await?;
    outcome.windows = close_imported(lake, windows, &spec.site, now)
        .await
        .map_err(ImportError::Windows)?;
    Ok(outcome)
}

/// What is noted of an import for those who look for it later.
fn info(spec: &ImportSpec, gateway: &GatewayId, epoch: Epoch, now: Timestamp) -> ImportInfo {
    ImportInfo {
        format: TABLE_FORMAT_VERSION,
        id: epoch.0,
        file: spec.file.display().to_string(),
        site: spec.site.as_str().to_owned(),
        gateway: gateway.as_str().to_owned(),
        at: now.micros(),
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
    /// So many readings of the file are in the table of which its state, which was rebuilt, does not say in which rows they stand.
    unplaced: u64,
    chunk: Vec<Reading>,
    bad: Vec<BadRow>,
}

impl Run<'_> {
    async fn take(
        &mut self,
        rows: &mut Rows<'_>,
        outcome: &mut ImportOutcome,
        watch: &(dyn Fn(u64) + Sync),
    ) -> Result<(), ImportError> {
        let spec = rows.spec;
        let mut records = Records::open(spec)?;
        let mut record = ByteRecord::new();
        let mut next_row = 0;
        while records.read(&mut record)? {
            let row = next_row;
            next_row += 1;
            if next_row % ROWS_A_NOTICE == 0 {
                watch(next_row);
            }
            if row < spec.skip_rows {
                continue;
            }
            outcome.rows += 1;
            match rows.readings(&record) {
                Ok(readings) => {
                    outcome.note(&readings);
                    if row >= self.committed_row {
                        self.chunk.extend(readings);
                    }
                }
                Err(why) => {
                    outcome.note_bad(row, &why);
                    if row >= self.committed_row {
                        let raw = record.iter().collect::<Vec<_>>().join(&spec.separator);
                        self.bad.push(BadRow { row, why, raw });
                    }
                }
            }
            if self.chunk.len() + self.bad.len() >= CHUNK_READINGS {
                self.commit(next_row, rows, outcome).await?;
            }
        }
        self.commit(next_row, rows, outcome).await?;
        if self.unplaced > 0 {
            let (file, unplaced) = (spec.file.display(), self.unplaced);
            tracing::warn!(%file, unplaced, "readings of this import are missing from its file, nothing was added");
        }
        outcome.readings += outcome.committed;
        (outcome.repeated_by_order, outcome.repeated_undecided) =
            (rows.clocks.by_order, rows.clocks.undecided);
        match &outcome.first_bad {
            Some((_, why)) if outcome.quarantined == outcome.rows => {
                let why = why.clone();
                Err(ImportError::AllBad {
                    file: spec.file.clone(),
                    rows: outcome.rows,
                    why,
                })
            }
            _ => Ok(()),
        }
    }

    /// Commits what was gathered up to `next_row`: bad rows first, as E9 has it.
    async fn commit(
        &mut self,
        next_row: u64,
        rows: &Rows<'_>,
        outcome: &mut ImportOutcome,
    ) -> Result<(), ImportError> {
        let (mut readings, bad) = (
            std::mem::take(&mut self.chunk),
            std::mem::take(&mut self.bad),
        );
        if next_row <= self.committed_row {
            return Ok(());
        }
        quarantine::commit(
            self.lake,
            &self.app_id,
            self.epoch,
            &bad,
            next_row,
            rows.now,
        )
        .await?;
        if !self.leave_out_own(&mut readings, &rows.spec.site).await? {
            return Ok(());
        }
        self.heed_existing(&mut readings, rows.spec, outcome)
            .await?;
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
        let mut gathered = GatheredRows::default();
        gathered.push(SeriesBatch::from(&batch));
        drop(batch);
        let files = gathered.finish().map_err(forebay_lake::LakeError::from)?;
        let step = Step {
            app_id: &self.app_id,
            from_state: self.state,
            state: &state,
            rows: &files,
        };
        self.state = Some(commit(self.lake, step, rows.now).await?);
        (self.mark, self.committed_row) = (mark, next_row);
        outcome.committed += count;
        Ok(())
    }

    /// Leaves out what this import has brought before, where its state does not say in which rows that stood: everything up to the
    /// last such reading. Answers whether that is all of it.
    async fn leave_out_own(
        &mut self,
        readings: &mut Vec<Reading>,
        site: &SiteId,
    ) -> Result<bool, ImportError> {
        if self.unplaced == 0 {
            return Ok(true);
        }
        let own = existing::find_own(self.lake, site, self.epoch, readings)
            .await
            .map_err(ImportError::Existing)?;
        self.unplaced = self.unplaced.saturating_sub(own.len() as u64);
        readings.drain(..own.last().map_or(0, |last| last + 1));
        Ok(self.unplaced == 0)
    }

    /// Counts the readings that another import has already brought, and leaves them out if they are to be skipped.
    async fn heed_existing(
        &self,
        readings: &mut Vec<Reading>,
        spec: &ImportSpec,
        outcome: &mut ImportOutcome,
    ) -> Result<(), ImportError> {
        let site: &SiteId = &spec.site;
        let there = existing::find(self.lake, site, self.epoch, readings)
            .await
            .map_err(ImportError::Existing)?;
        outcome.existing += there.len() as u64;
        if spec.on_existing == OnExisting::Skip {
            let mut place = 0;
            readings.retain(|_| {
                place += 1;
                !there.contains(&(place - 1))
            });
        }
        Ok(())
    }
}
