//! Rows of `deletions`: what was deleted, and by which rule.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use forebay_schemas::{
    SiteId, Timestamp,
    table::{DELETIONS, Table},
};

use super::state::{self, Deletion, ExpiredState};
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
    let app_id = lake
        .keeper()
        .app_id(&format!("deletions\0{}\0{site}", of_table.name), 0);
    let written = lake.table(&DELETIONS)?.snapshot().await?;
    let from_state = written.state_of(&app_id).await?;
    if from_state >= Some(number) {
        return Ok(());
    }
    let at = Timestamp::from_nanos(state.at.saturating_mul(1_000));
    let transaction = Transaction {
        app_id,
        from_state,
        to_state: number,
    };
    match lake
        .append(&DELETIONS, batch(of_table, &state)?, transaction, at)
        .await
    {
        // Another process has written them.
        Ok(_) | Err(LakeError::Fenced { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

fn batch(table: &Table, state: &ExpiredState) -> Result<RecordBatch, LakeError> {
    let rows = &state.last;
    let texts = |text: &dyn Fn(&Deletion) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(text)))
    };
    let times = |time: &dyn Fn(&Deletion) -> i64| -> ArrayRef {
        let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(time));
        Arc::new(times.with_timezone("UTC"))
    };
    let counts = rows.iter().map(|row| row.rows.cast_signed());
    let columns: Vec<ArrayRef> = vec![
        times(&|_| state.at),
        texts(&|_| table.name.to_owned()),
        texts(&|_| state.site.clone()),
        texts(&|row| row.rule.clone()),
        times(&|row| row.before),
        Arc::new(Int64Array::from_iter_values(counts)),
        times(&|row| row.first),
        times(&|row| row.last),
    ];
    Ok(RecordBatch::try_new(file_schema(&DELETIONS), columns)?)
}
