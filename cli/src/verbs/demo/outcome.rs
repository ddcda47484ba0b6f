//! What the lake holds after the demo, asked for as anyone would.

use std::path::Path;

use arrow::{array::AsArray as _, datatypes::Int64Type, util::pretty::pretty_format_batches};
use datafusion::prelude::SessionContext;

use crate::store::Store;

/// Counts, and the means to ask for more.
pub(super) struct Outcome {
    session: SessionContext,
    pub(super) readings: i64,
    pub(super) predictions: i64,
    pub(super) alerts: i64,
}

const DEVICES: &str = "select device, tag, count(*) as readings, round(avg(value), 2) as mean, \
    round(max(value), 2) as highest from readings group by device, tag order by device, tag";
const FORECAST: &str = "select device, target_time, round(value, 2) as forecast, round(lo, 2) as lo, round(hi, 2) as hi \
    from predictions where issued_at = (select max(issued_at) from predictions) order by target_time limit 4";
const WARNINGS: &str = "select device, tag, severity, first_seen, reason from alerts \
    where changed_at = (select max(changed_at) from alerts) order by device limit 4";

impl Outcome {
    pub(super) async fn read(store: &Store) -> anyhow::Result<Self> {
        let reader = store.reader().await?;
        let session = forebay_lake::session(&reader.tables, &reader.decrypter).await?;
        Ok(Self {
            readings: count(&session, "readings").await?,
            predictions: count(&session, "predictions").await?,
            alerts: count(&session, "alerts").await?,
            session,
        })
    }

    /// Prints what came of the demo, and what to try next.
    pub(super) async fn print(&self, before: &Self, folder: &Path) -> anyhow::Result<()> {
        let windows = count(&self.session, "windows").await?;
        println!(
            "{} readings are in the lake, {} of them new; {windows} windows are closed.",
            self.readings,
            self.readings - before.readings
        );
        self.table("Readings, exactly once, encrypted at rest:", DEVICES).await?;
        self.table("The newest forecast of the feeder's load (90 % interval):", FORECAST).await?;
        if self.alerts > 0 {
            self.table("Failure warnings:", WARNINGS).await?;
        } else {
            println!("\nNo failure warning.");
        }
        let dir = folder.display();
        println!("\nTry next:");
        println!("  forebay query --data-dir {dir} \"select * from windows order by window_end desc limit 5\"");
        println!("  forebay verify --data-dir {dir}        # each reading once, each file as it was committed");
        println!("  forebay demo --scenario healthy        # nothing to warn of; or --scenario perturbed");
        println!("  forebay init                           # a configuration for your own devices");
        Ok(())
    }

    async fn table(&self, title: &str, sql: &str) -> anyhow::Result<()> {
        let rows = self.session.sql(sql).await?.collect().await?;
        println!("\n{title}\n{}", pretty_format_batches(&rows)?);
        Ok(())
    }
}

async fn count(session: &SessionContext, table: &str) -> anyhow::Result<i64> {
    let rows = session.sql(&format!("select count(*) from {table}")).await?.collect().await?;
    Ok(rows.first().map_or(0, |rows| rows.column(0).as_primitive::<Int64Type>().value(0)))
}
