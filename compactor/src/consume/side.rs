//! Rows for `quarantine` and `gaps`, each once, although Delta has no commit over two tables (E9).
//!
//! A row follows from a state of `readings` and has a key. What was written since that state stands in a state object of
//! the other table, named by its own transaction; so a restart, which comes to the same rows again, writes only the rest.

use std::{collections::BTreeSet, sync::Arc};

use arrow::array::{
    ArrayRef, BinaryArray, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use forebay_lake::{
    Gap, GapExtent, GapState, LakeError, LakeWriter, SEQ_UNKNOWN, SideState, Transaction,
    file_schema,
};
use forebay_schemas::{
    Timestamp,
    table::{GAPS, QUARANTINE, TABLE_FORMAT_VERSION, Table},
};

use super::contiguity::Quarantined;

/// How often another's write may come between before the caller hears of it.
const TRIES_MAX: u32 = 4;

/// Where rows come from: the partition, and the state of `readings` from which they follow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin<'a> {
    pub(super) app_id: &'a str,
    /// Stream and partition, for people.
    pub(super) source: &'a str,
    pub(super) base: Option<i64>,
}

/// Writes what is quarantined, but for what was written before.
pub(super) async fn quarantine(
    lake: &LakeWriter,
    origin: Origin<'_>,
    found: &[Quarantined],
    now: Timestamp,
) -> Result<(), LakeError> {
    let rows = |wanted: &BTreeSet<String>| {
        let mut left = wanted.clone();
        let rows: Vec<_> = found.iter().filter(|row| left.remove(&row.key)).collect();
        quarantine_rows(&rows, origin.source, now)
    };
    append(
        lake,
        &QUARANTINE,
        origin,
        found.iter().map(|row| row.key.clone()).collect(),
        rows,
        now,
    )
    .await
}

/// Writes the states of gaps, but for what was written before.
pub(super) async fn gaps(
    lake: &LakeWriter,
    origin: Origin<'_>,
    gaps: &[&Gap],
    now: Timestamp,
) -> Result<(), LakeError> {
    let rows = |wanted: &BTreeSet<String>| {
        let rows: Vec<_> = gaps
            .iter()
            .filter(|gap| wanted.contains(&gap_key(gap)))
            .copied()
            .collect();
        gap_rows(&rows, now)
    };
    append(
        lake,
        &GAPS,
        origin,
        gaps.iter().map(|gap| gap_key(gap)).collect(),
        rows,
        now,
    )
    .await
}

fn gap_key(gap: &Gap) -> String {
    let Gap {
        gateway,
        lane,
        epoch,
        first,
        last,
        state,
        ..
    } = gap;
    format!("{} {gateway}/{lane}/{epoch}/{first}-{last}", state.name())
}

/// Appends the rows whose keys have not been written since the origin's state.
///
/// # Errors
/// [`LakeError::Fenced`] if another has come further than the origin's state.
async fn append(
    lake: &LakeWriter,
    table: &'static Table,
    origin: Origin<'_>,
    keys: BTreeSet<String>,
    rows: impl Fn(&BTreeSet<String>) -> Result<RecordBatch, LakeError>,
    now: Timestamp,
) -> Result<(), LakeError> {
    if keys.is_empty() {
        return Ok(());
    }
    let fenced = |found| LakeError::Fenced {
        app_id: origin.app_id.to_owned(),
        expected: origin.base,
        found,
    };
    for _ in 0..TRIES_MAX {
        let (from_state, mut written) = written(lake, table, origin).await?;
        if written.base > origin.base {
            return Err(fenced(written.base));
        }
        let is_new = |key: &&String| !written.keys.contains(*key) && !written.before.contains(*key);
        let wanted: BTreeSet<String> = keys.iter().filter(is_new).cloned().collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let rows = rows(&wanted)?;
        written.keys.extend(wanted);
        let keeper = lake.keeper();
        let to_state = keeper
            .store(
                lake.table(table)?,
                origin.app_id,
                from_state,
                &written,
                lake.random(),
            )
            .await?;
        let transaction = Transaction {
            app_id: origin.app_id.to_owned(),
            from_state,
            to_state,
        };
        match lake.append(table, rows, transaction, now).await {
            Ok(_) => return Ok(()),
            // Another came between, or an earlier try of ours had landed: see what is there now.
            Err(LakeError::Fenced { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Err(LakeError::Contended {
        table: table.name,
        attempts: TRIES_MAX,
    })
}

/// What has been written since the origin's state.
async fn written(
    lake: &LakeWriter,
    table: &'static Table,
    origin: Origin<'_>,
) -> Result<(Option<i64>, SideState), LakeError> {
    let nothing = SideState {
        format: TABLE_FORMAT_VERSION,
        base: origin.base,
        keys: BTreeSet::new(),
        before: BTreeSet::new(),
    };
    let at = lake.table(table)?;
    let Some(number) = at.snapshot().await?.state_of(origin.app_id).await? else {
        return Ok((None, nothing));
    };
    let found: SideState = lake.keeper().load(at, origin.app_id, number).await?;
    if found.base >= origin.base {
        return Ok((Some(number), found));
    }
    // A gap is told once, whatever is committed in between. An offset may come to mean another record.
    let before = if table.name == GAPS.name {
        found.keys
    } else {
        BTreeSet::new()
    };
    Ok((Some(number), SideState { before, ..nothing }))
}

fn times(times: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
}

fn quarantine_rows(
    rows: &[&Quarantined],
    source: &str,
    now: Timestamp,
) -> Result<RecordBatch, LakeError> {
    let sources = rows.iter().map(|row| row.lane.as_deref().unwrap_or(source));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(
            rows.iter().map(|row| &row.why),
        )),
        Arc::new(StringArray::from_iter_values(sources)),
        Arc::new(Int64Array::from_iter_values(
            rows.iter().map(|row| row.at.cast_signed()),
        )),
        Arc::new(BinaryArray::from_iter_values(
            rows.iter().map(|row| &row.raw),
        )),
        times(rows.iter().map(|_| now.micros())),
        Arc::new(StringArray::from_iter(
            rows.iter().map(|row| row.detail.as_deref()),
        )),
    ];
    Ok(RecordBatch::try_new(file_schema(&QUARANTINE), columns)?)
}

fn gap_rows(gaps: &[&Gap], now: Timestamp) -> Result<RecordBatch, LakeError> {
    let schema = file_schema(&GAPS);
    // Whose readings are missing and of when is known where the gateway told of an outage: nobody has seen others.
    let extents = || gaps.iter().map(|gap| gap.extent.as_ref());
    let moments = |of: fn(&GapExtent) -> i64| -> ArrayRef {
        let moments: TimestampMicrosecondArray = extents().map(|extent| extent.map(of)).collect();
        Arc::new(moments.with_timezone("UTC"))
    };
    let long = |value: fn(&Gap) -> u64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(
            gaps.iter().map(|gap| value(gap).cast_signed()),
        ))
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(
            gaps.iter().map(|gap| &gap.gateway),
        )),
        Arc::new(Int32Array::from_iter_values(
            gaps.iter().map(|gap| gap.lane.cast_signed()),
        )),
        long(|gap| gap.epoch),
        long(|gap| gap.first),
        // The end that is known: a place that nobody knows is none.
        Arc::new(Int64Array::from_iter(gaps.iter().map(|gap| {
            (gap.last != SEQ_UNKNOWN).then_some(gap.last.cast_signed())
        }))),
        Arc::new(StringArray::from_iter(
            extents().map(|extent| extent.map(|extent| &extent.site)),
        )),
        Arc::new(StringArray::from_iter(
            extents().map(|extent| extent.and_then(|extent| extent.device.as_ref())),
        )),
        moments(|extent| extent.from),
        moments(|extent| extent.to),
        Arc::new(StringArray::from_iter_values(
            gaps.iter().map(|gap| &gap.why),
        )),
        Arc::new(StringArray::from_iter_values(
            gaps.iter().map(|gap| gap.state.name()),
        )),
        // The latest row of a gap counts: its end comes after its beginning even where the clock stands.
        times(gaps.iter().map(|gap| match gap.state {
            GapState::Open => now.micros(),
            GapState::Closed | GapState::Final => now.micros().max(gap.opened_at + 1),
        })),
    ];
    Ok(RecordBatch::try_new(schema, columns)?)
}
