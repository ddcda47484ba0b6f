//! Rows that could not be read, on their way to the `quarantine` table.
//!
//! They are written before the readings of their chunk, with a transaction of their own whose version is the next row:
//! a restart does not write them again (E9).

use std::{fmt, sync::Arc};

use arrow::array::{
    ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use forebay_lake::{LakeError, LakeWriter, Transaction, file_schema};
use forebay_schemas::{Epoch, Timestamp, table::QUARANTINE};

/// Why a row could not be read: the kind of fault, the same words for all of its rows, and what is wrong with this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Why {
    pub(super) reason: &'static str,
    pub(super) detail: String,
}

impl Why {
    pub(super) fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.detail)
    }
}

/// A row that could not be read.
pub(super) struct BadRow {
    /// Its number in the file, from 0, the header not counted.
    pub(super) row: u64,
    pub(super) why: Why,
    pub(super) raw: Vec<u8>,
}

pub(super) async fn commit(
    lake: &LakeWriter,
    app_id: &str,
    epoch: Epoch,
    bad: &[BadRow],
    next_row: u64,
    now: Timestamp,
) -> Result<(), LakeError> {
    let to_state = next_row.cast_signed();
    let from_state = lake
        .table(&QUARANTINE)?
        .snapshot()
        .await?
        .state_of(app_id)
        .await?;
    let bad: Vec<_> = bad
        .iter()
        .filter(|row| from_state.is_none_or(|done| row.row.cast_signed() >= done))
        .collect();
    if bad.is_empty() {
        return Ok(());
    }
    let transaction = Transaction {
        app_id: app_id.to_owned(),
        from_state,
        to_state,
    };
    lake.append(&QUARANTINE, rows(&bad, epoch, now)?, transaction, now)
        .await
        .map(|_| ())
}

fn rows(bad: &[&BadRow], epoch: Epoch, now: Timestamp) -> Result<RecordBatch, LakeError> {
    let source = format!("import/{epoch}");
    let count = bad.len();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(
            bad.iter().map(|row| row.why.reason),
        )),
        Arc::new(StringArray::from_iter_values(std::iter::repeat_n(
            source.as_str(),
            count,
        ))),
        Arc::new(Int64Array::from_iter_values(
            bad.iter().map(|row| row.row.cast_signed()),
        )),
        Arc::new(BinaryArray::from_iter_values(
            bad.iter().map(|row| row.raw.as_slice()),
        )),
        Arc::new(
            TimestampMicrosecondArray::from_iter_values(std::iter::repeat_n(now.micros(), count))
                .with_timezone("UTC"),
        ),
        Arc::new(StringArray::from_iter_values(
            bad.iter().map(|row| row.why.detail.as_str()),
        )),
    ];
    Ok(RecordBatch::try_new(file_schema(&QUARANTINE), columns)?)
}
