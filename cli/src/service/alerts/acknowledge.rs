//! Who has taken up warnings of jobs, written into the table `alerts`.
//!
//! The rows are the lake's own memory of what is to be written: of a warning that somebody has taken up and whose newest row is
//! open, a row follows that says so. So a row that a kill or a fence kept from the table is written at a later look, and one
//! that is there is not written again. A job that goes on with the warning keeps what the row says.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use anyhow::Context as _;
use arrow::{
    array::{ArrayRef, AsArray as _, RecordBatch, StringArray, TimestampMicrosecondArray},
    compute::{cast, concat_batches, filter_record_batch},
    datatypes::TimestampMicrosecondType,
};
use forebay_alerts::TakenUp;
use forebay_lake::{LakeWriter, Transaction, file_schema};
use forebay_schemas::{GatewayId, Timestamp, table::ALERTS};
use tracing::info;

/// The newest row of each warning that is open.
const OPEN: &str = "SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY job, dedupe_key \
                    ORDER BY first_seen DESC, changed_at DESC, last_seen DESC) AS newest FROM alerts) AS a \
                    WHERE newest = 1 AND state = 'open'";

/// Writes who has taken up these warnings, where the table does not say so; answers how many rows that took.
pub(super) async fn acknowledge(
    lake: &LakeWriter,
    gateway: &GatewayId,
    taken_up: &BTreeSet<TakenUp>,
    now: Timestamp,
) -> anyhow::Result<usize> {
    let by: BTreeMap<(&str, &str), &str> = taken_up.iter().filter_map(key).collect();
    if by.is_empty() {
        return Ok(0);
    }
    let table = lake.table(&ALERTS)?;
    // Before the rows are read: what another process writes in between is seen by the number.
    let app_id = lake
        .keeper()
        .app_id(&format!("alerts/acknowledged/{gateway}"), 0);
    let from_state = table.snapshot().await?.state_of(&app_id).await?;
    let session = forebay_lake::session(std::slice::from_ref(table), &lake.decrypter()).await?;
    let mut rows = Vec::new();
    for batch in session.sql(OPEN).await?.collect().await? {
        rows.push(acknowledged(&batch, &by, now)?);
    }
    let rows = concat_batches(&file_schema(&ALERTS), &rows)?;
    let count = rows.num_rows();
    if count == 0 {
        return Ok(0);
    }
    let transaction = Transaction {
        app_id,
        from_state,
        to_state: from_state.map_or(1, |number| number + 1),
    };
    lake.append(&ALERTS, rows, transaction, now).await?;
    info!(warnings = count, "who has taken up warnings is in the lake");
    Ok(count)
}

/// Job and dedupe key of a warning, and who has taken it up.
fn key(taken: &TakenUp) -> Option<((&str, &str), &str)> {
    let label = |name: &str| taken.labels.get(name).map(String::as_str);
    Some(((label("job")?, label("key")?), &taken.by))
}

/// The rows that follow these, of those that somebody has taken up.
fn acknowledged(
    batch: &RecordBatch,
    by: &BTreeMap<(&str, &str), &str>,
    now: Timestamp,
) -> anyhow::Result<RecordBatch> {
    let schema = file_schema(&ALERTS);
    let columns = schema.fields().iter().map(|field| {
        let column = batch.column_by_name(field.name());
        let column = column.with_context(|| format!("alerts has no {}", field.name()))?;
        Ok(cast(column, field.data_type())?)
    });
    let columns: Vec<ArrayRef> = columns.collect::<anyhow::Result<_>>()?;
    let rows = RecordBatch::try_new(schema.clone(), columns)?;
    let texts = |name: &str| {
        let column = rows.column_by_name(name);
        let column = column.and_then(|column| column.as_string_opt::<i32>());
        column.with_context(|| format!("{name} is no text"))
    };
    let (jobs, keys) = (texts("job")?, texts("dedupe_key")?);
    let whom: Vec<Option<&str>> = (0..rows.num_rows())
        .map(|row| by.get(&(jobs.value(row), keys.value(row))).copied())
        .collect();
    let changed = rows.column_by_name("changed_at");
    let changed = changed.and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
    let changed = changed.context("changed_at is no time")?;
    // Behind the row that it follows, whatever the clock says.
    let changed = changed.iter().map(|at| {
        let after = at.unwrap_or_default().saturating_add(1);
        now.micros().max(after)
    });
    let changed: ArrayRef =
        Arc::new(TimestampMicrosecondArray::from_iter_values(changed).with_timezone("UTC"));
    let state: ArrayRef = Arc::new(StringArray::from_iter_values(
        whom.iter().map(|_| "acknowledged"),
    ));
    let is_taken = whom.iter().map(|by| Some(by.is_some())).collect();
    let acknowledged_by: ArrayRef = Arc::new(StringArray::from_iter(whom));
    let columns = schema.fields().iter().zip(rows.columns());
    let columns = columns.map(|(field, column)| match field.name().as_str() {
        "changed_at" => changed.clone(),
        "state" => state.clone(),
        "acknowledged_by" => acknowledged_by.clone(),
        _ => column.clone(),
    });
    let rows = RecordBatch::try_new(schema.clone(), columns.collect())?;
    Ok(filter_record_batch(&rows, &is_taken)?)
}

#[cfg(test)]
mod tests {
    use arrow::{array::Float64Array, datatypes::DataType, util::pretty::pretty_format_batches};
    use forebay_lake::{Lake, Sealed, keys::FileKeyring};
    use ring::rand::SystemRandom;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_nanos(second * 1_000_000_000)
    }

    /// One row of a job's warning.
    fn row(id: &str, key: &str, state: &str, second: i64) -> RecordBatch {
        let schema = file_schema(&ALERTS);
        let cells = schema.fields().iter().map(|field| -> ArrayRef {
            match (field.name().as_str(), field.data_type()) {
                ("alert_id", _) => Arc::new(StringArray::from(vec![id])),
                ("dedupe_key", _) => Arc::new(StringArray::from(vec![key])),
                ("state", _) => Arc::new(StringArray::from(vec![state])),
                ("acknowledged_by", _) => Arc::new(StringArray::from(vec![None::<&str>])),
                (name, DataType::Utf8) => Arc::new(StringArray::from(vec![name])),
                (_, DataType::Float64) => Arc::new(Float64Array::from(vec![4.0])),
                _ => {
                    let micros = vec![second * 1_000_000];
                    Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC"))
                }
            }
        });
        RecordBatch::try_new(schema.clone(), cells.collect()).unwrap()
    }

    struct Bench {
        _folder: tempfile::TempDir,
        lake: LakeWriter,
    }

    impl Bench {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let random = Arc::new(SystemRandom::new());
            let keyring = FileKeyring::create(&folder.path().join("keys"), random.clone()).unwrap();
            let lake = Lake::local(&folder.path().join("lake")).unwrap();
            let lake = LakeWriter::open(&lake, Arc::new(keyring), Sealed::Columns, random);
            Self {
                lake: lake.await.unwrap(),
                _folder: folder,
            }
        }

        async fn put(&self, rows: RecordBatch, number: i64) {
            let transaction = Transaction {
                app_id: "job".into(),
                from_state: (number > 1).then_some(number - 1),
                to_state: number,
            };
            let put = self.lake.append(&ALERTS, rows, transaction, at(0));
            put.await.unwrap();
        }

        async fn shown(&self) -> Vec<String> {
            let table = self.lake.table(&ALERTS).unwrap().clone();
            let (tables, decrypter) = ([table], self.lake.decrypter());
            let session = forebay_lake::session(&tables, &decrypter).await.unwrap();
            let sql = "SELECT alert_id, state, acknowledged_by, arrow_cast(changed_at, 'Int64') / 1000000 FROM alerts \
                       ORDER BY alert_id, changed_at";
            let rows = session.sql(sql).await.unwrap();
            let rows = rows.collect().await.unwrap();
            let text = pretty_format_batches(&rows).unwrap().to_string();
            let rows = text.lines().filter(|line| line.starts_with("| a"));
            rows.filter(|row| !row.contains("alert_id"))
                .map(|row| {
                    row.replace('|', " ")
                        .split_whitespace()
                        .collect::<Vec<_>>()
                        .join(" ")
                })
                .collect()
        }
    }

    #[tokio::test]
    async fn who_has_taken_up_a_warning_is_written_once_and_again_after_it_was_opened_again() {
        let bench = Bench::new().await;
        bench.put(row("a1", "pump", "open", 1), 1).await;
        bench.put(row("a2", "fan", "open", 1), 2).await;
        bench.put(row("a3", "belt", "resolved", 1), 3).await;
        let gateway = GatewayId::new("g1").unwrap();
        let taken = |keys: &[&str]| -> BTreeSet<TakenUp> {
            let one = |key: &&str| TakenUp {
                labels: [("job", "job"), ("key", key)]
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .into(),
                by: "ann".into(),
            };
            keys.iter().map(one).collect()
        };
        let write = async |keys: &[&str], second: i64| {
            let taken = taken(keys);
            let done = acknowledge(&bench.lake, &gateway, &taken, at(second));
            done.await.unwrap()
        };
        assert_eq!(write(&[], 5).await, 0);
        assert_eq!(write(&["pump", "belt", "unknown"], 5).await, 1);
        assert_eq!(write(&["pump", "belt"], 6).await, 0, "it is there");
        let told = ["a1 open 1", "a1 acknowledged ann 5"];
        let others = ["a2 open 1", "a3 resolved 1"];
        assert_eq!(bench.shown().await, [&told[..], &others[..]].concat());

        // A run that had read the table before the acknowledgement was there, by a clock that is ahead.
        bench.put(row("a1", "pump", "open", 9), 4).await;
        assert_eq!(write(&["pump"], 7).await, 1);
        assert_eq!(write(&["pump"], 8).await, 0);
        let told = bench.shown().await;
        assert_eq!(told[2..4], ["a1 open 9", "a1 acknowledged ann 9"]);
    }
}
