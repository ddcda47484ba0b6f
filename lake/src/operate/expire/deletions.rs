//! Rows of `deletions`: what was deleted, and by which rule.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use forebay_schemas::{
    SiteId, Timestamp,
    table::{DELETIONS, Table},
};

use super::state::{self, Deletion};
use crate::{LakeError, LakeWriter, file::schema::file_schema, table::change::Transaction};

/// Writes the rows of a site's last commit that deleted something, unless they are there: the number of the commit's state is
/// the number of their transaction.
pub(super) async fn write_outstanding(
    lake: &LakeWriter,
    of_table: &'static Table,
    site: &SiteId,
) -> Result<(), LakeError> {
    let table = lake.table(of_table)?;
    let Some((number, state)) = state::load(lake, table, &table.snapshot().await?, site).await?
    else {
        return Ok(());
    };
    let writer = format!("deletions\0{}\0{site}", of_table.name);
    let rows = state.last.iter().map(|row| (state.site.as_str(), row));
    let rows: Vec<_> = rows.collect();
    append(lake, of_table, &writer, (number, state.at), &rows).await
}

/// Writes what the commit of a state has deleted, by site, unless it is there: the number of the state is that of the writer's
/// transaction.
pub(super) async fn append(
    lake: &LakeWriter,
    of_table: &Table,
    writer: &str,
    (number, at): (i64, i64),
    rows: &[(&str, &Deletion)],
) -> Result<(), LakeError> {
    let app_id = lake.keeper().app_id(writer, 0);
    let written = lake.table(&DELETIONS)?.snapshot().await?;
    let from_state = written.state_of(&app_id).await?;
    if from_state >= Some(number) {
        return Ok(());
    }
    let transaction = Transaction {
        app_id,
        from_state,
        to_state: number,
    };
    let batch = batch(of_table, at, rows)?;
    let at = Timestamp::from_nanos(at.saturating_mul(1_000));
    match lake.append(&DELETIONS, batch, transaction, at).await {
        // Another process has written them.
        Ok(_) | Err(LakeError::Fenced { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

fn batch(table: &Table, at: i64, rows: &[(&str, &Deletion)]) -> Result<RecordBatch, LakeError> {
    let texts = |text: &dyn Fn(&(&str, &Deletion)) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(text)))
    };
    let times = |time: &dyn Fn(&Deletion) -> i64| -> ArrayRef {
        let times = rows.iter().map(|(_, row)| time(row));
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
    };
    let counts = rows.iter().map(|(_, row)| row.rows.cast_signed());
    let columns: Vec<ArrayRef> = vec![
        times(&|_| at),
        texts(&|_| table.name.to_owned()),
        texts(&|(site, _)| (*site).to_owned()),
        texts(&|(_, row)| row.rule.clone()),
        times(&|row| row.before),
        Arc::new(Int64Array::from_iter_values(counts)),
        times(&|row| row.first),
        times(&|row| row.last),
    ];
    Ok(RecordBatch::try_new(file_schema(&DELETIONS), columns)?)
}
