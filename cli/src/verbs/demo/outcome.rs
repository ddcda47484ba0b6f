//! What the lake holds after the demo, asked for as anyone would.

use std::{collections::HashSet, path::Path};

use arrow::{
    array::{AsArray as _, RecordBatch},
    datatypes::{Float64Type, Int64Type},
    util::pretty::pretty_format_batches,
};
use datafusion::prelude::SessionContext;
use forebay_schemas::Timestamp;

use crate::{out, store::Store};

/// Counts, and the means to ask for more.
pub(super) struct Outcome {
    session: SessionContext,
    pub(super) readings: i64,
    pub(super) predictions: i64,
}

const DEVICES: &str = "select device, tag, count(*) as readings, round(avg(value), 2) as mean, \
    round(max(value), 2) as highest from readings group by device, tag order by device, tag";
const FORECAST: &str = "select device, target_time, round(value, 2) as forecast, round(lo, 2) as lo, round(hi, 2) as hi \
    from predictions where issued_at = (select max(issued_at) from predictions) order by target_time limit 4";

async fn session(store: &Store) -> anyhow::Result<SessionContext> {
    let reader = store.reader().await?;
    Ok(forebay_lake::session(&reader.tables, &reader.decrypter).await?)
}

/// The numbers of a tag that are in the lake: µs since 1970, and the value's bits.
pub(super) async fn numbers(
    store: &Store,
    device: &str,
    tag: &str,
) -> anyhow::Result<HashSet<(i64, u64)>> {
    let sql = format!(
        "select cast(event_time as bigint), value from readings \
         where device = '{device}' and tag = '{tag}' and value is not null"
    );
    let mut numbers = HashSet::new();
    for batch in session(store).await?.sql(&sql).await?.collect().await? {
        let times = batch.column(0).as_primitive::<Int64Type>().values().iter();
        let values = batch
            .column(1)
            .as_primitive::<Float64Type>()
            .values()
            .iter();
        numbers.extend(times.zip(values).map(|(at, value)| (*at, value.to_bits())));
    }
    Ok(numbers)
}

impl Outcome {
    pub(super) async fn read(store: &Store) -> anyhow::Result<Self> {
        let session = session(store).await?;
        Ok(Self {
            readings: count(&session, "readings").await?,
            predictions: count(&session, "predictions").await?,
            session,
        })
    }

    /// The newest alerts of what has been seen since a run's start: the folder may hold those of earlier runs.
    pub(super) async fn warnings(&self, started: Timestamp) -> anyhow::Result<Vec<RecordBatch>> {
        let since = format!(
            "alerts where state = 'open' and cast(last_seen as bigint) >= {}",
            started.micros()
        );
        let newest = format!(
            "select device, tag, severity, first_seen, reason from {since} \
            and changed_at = (select max(changed_at) from {since}) order by device limit 4"
        );
        let mut rows = self.session.sql(&newest).await?.collect().await?;
        rows.retain(|batch| batch.num_rows() > 0);
        Ok(rows)
    }

    /// Prints what came of the demo, and what to try next. `new` readings and `warnings` are this run's.
    pub(super) async fn print(
        &self,
        new: i64,
        warnings: &[RecordBatch],
        folder: &Path,
    ) -> anyhow::Result<()> {
        let windows = count(&self.session, "windows").await?;
        let readings = self.readings;
        out::print(format!(
            "{readings} readings are in the lake, {new} of them new; {windows} windows are closed.\n"
        ))?;
        let (devices, forecast) = (
            self.session.sql(DEVICES).await?,
            self.session.sql(FORECAST).await?,
        );
        table(
            "Readings, exactly once, encrypted at rest:",
            &devices.collect().await?,
        )?;
        table(
            "The newest forecast of the feeder's load (90 % interval):",
            &forecast.collect().await?,
        )?;
        match warnings {
            [] => out::print("\nNo failure warning.\n")?,
            warnings => table("Failure warnings:", warnings)?,
        }
        let dir = folder.display();
        let next = format!(
            "
Try next:
  forebay query --data-dir {dir} \"select * from windows order by window_end desc limit 5\"
  forebay verify --data-dir {dir}        # each reading once, each file as it was committed
  forebay demo --scenario healthy        # nothing to warn of; or --scenario perturbed
  forebay init                           # a configuration for your own devices
"
        );
        Ok(out::print(next)?)
    }
}

fn table(title: &str, rows: &[RecordBatch]) -> anyhow::Result<()> {
    Ok(out::print(format!(
        "\n{title}\n{}\n",
        pretty_format_batches(rows)?
    ))?)
}

async fn count(session: &SessionContext, table: &str) -> anyhow::Result<i64> {
    let rows = session
        .sql(&format!("select count(*) from {table}"))
        .await?
        .collect()
        .await?;
    Ok(rows.first().map_or(0, |rows| {
        rows.column(0).as_primitive::<Int64Type>().value(0)
    }))
}
