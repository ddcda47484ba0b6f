//! The last good reading of each series, kept from one question to the next.
//!
//! Only the files that have come since the last look are read; when files have gone (a merge, an erasure), and every
//! [`FULL_EVERY`], all of the recent ones. It is kept for all sites at once; a user sees it
//! through the same fence as a table ([`crate::fence`]). A series that has been silent for [`RECENT`] before the lake's
//! newest reading is not there.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
};
use datafusion::{
    common::Result,
    datasource::MemTable,
    error::DataFusionError,
    execution::{
        context::SessionContext,
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::GreedyMemoryPool,
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    prelude::SessionConfig,
};
use forebay_lake::{LakeView, ViewedTable};
use forebay_schemas::{Clock, Timestamp, table::READINGS};
use tokio::{runtime::Handle, sync::Mutex, time::Instant};
use tracing::warn;

use crate::{
    ages::{DeviceWays, age_fields, with_ages},
    error::QueryError,
};

/// How far back from the newest reading a series may have spoken last.
const RECENT: Duration = Duration::from_secs(7 * 86_400);
/// How long only new files are read.
const FULL_EVERY: Duration = Duration::from_secs(600);
/// Memory of the grouping.
const MEMORY_BYTES_MAX: usize = 256 << 20;

/// The columns beside the series' own.
const VALUES: [&str; 8] = [
    "event_time",
    "observed_time",
    "value",
    "value_int",
    "value_text",
    "value_type",
    "unit",
    "gateway",
];

/// The view's columns.
pub(crate) fn latest_schema() -> SchemaRef {
    let kept = kept_schema();
    let fields = kept.fields().iter().map(|field| field.as_ref().clone());
    Arc::new(Schema::new(
        fields.chain(age_fields()).collect::<Vec<Field>>(),
    ))
}

/// The columns that are kept.
fn kept_schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let of = |name: &str| match name {
        "event_time" | "observed_time" => time.clone(),
        "value" => DataType::Float64,
        "value_int" => DataType::Int64,
        _ => DataType::Utf8,
    };
    let names = ["site", "device", "tag"].into_iter().chain(VALUES);
    let fields: Vec<Field> = names.map(|name| Field::new(name, of(name), true)).collect();
    Arc::new(Schema::new(fields))
}

/// The rows, and of which files they are.
pub(crate) struct Latest {
    kept: Arc<Mutex<Option<Kept>>>,
    clock: Clock,
    queries: Handle,
}

struct Kept {
    version: u64,
    full_at: Instant,
    paths: HashSet<String>,
    batches: Vec<RecordBatch>,
}

impl Latest {
    /// Gathers on the threads for queries.
    pub(crate) fn new(clock: Clock, queries: Handle) -> Self {
        Self {
            kept: Arc::default(),
            clock,
            queries,
        }
    }

    /// The rows as of this view, for a user from whom these columns are hidden. Who asks while they are gathered waits; the
    /// gathering goes on if nobody waits any more.
    pub(crate) async fn rows(
        &self,
        view: &LakeView,
        ways: Option<&DeviceWays>,
        hidden: &BTreeSet<String>,
    ) -> Result<Arc<MemTable>, QueryError> {
        let tables = view.tables();
        let readings = tables.into_iter().find(|t| t.table().name == READINGS.name);
        let readings = readings.ok_or(QueryError::LakeUnavailable)?;
        let (kept, now) = (self.kept.clone(), (self.clock)());
        let gathering = async move { gathered(&kept, readings, now.micros()).await };
        let gathering = self.queries.spawn(gathering);
        let gathered = gathering.await.map_err(|_| QueryError::Internal)?;
        let rows = gathered.and_then(|rows| aged(&rows, ways, hidden, now));
        rows.map_err(|error| {
            warn!(%error, "gathering the latest readings failed");
            QueryError::of(&error, MEMORY_BYTES_MAX)
        })
    }
}

fn aged(
    rows: &[RecordBatch],
    ways: Option<&DeviceWays>,
    hidden: &BTreeSet<String>,
    now: Timestamp,
) -> Result<Arc<MemTable>> {
    let schema = latest_schema();
    let rows = with_ages(rows, &schema, ways, hidden, now)?;
    Ok(Arc::new(MemTable::try_new(schema, vec![rows])?))
}

async fn gathered(
    kept: &Mutex<Option<Kept>>,
    readings: ViewedTable,
    now_micros: i64,
) -> Result<Vec<RecordBatch>> {
    let mut kept = kept.lock().await;
    if let Some(kept) = kept.as_ref()
        && kept.version >= readings.version()
        && kept.full_at.elapsed() < FULL_EVERY
    {
        return Ok(kept.batches.clone());
    }
    let paths = readings.paths();
    let before = kept.take().filter(|kept| {
        kept.full_at.elapsed() < FULL_EVERY && kept.paths.iter().all(|path| paths.contains(path))
    });
    let known = before.as_ref().map(|kept| kept.paths.clone());
    let new = readings.without(&known.unwrap_or_default());
    let last = readings
        .last_event_time()
        .unwrap_or(now_micros)
        .min(now_micros);
    let recent = i64::try_from(RECENT.as_micros()).unwrap_or(i64::MAX);
    let from = last.saturating_sub(recent);
    let full_at = before
        .as_ref()
        .map_or_else(Instant::now, |kept| kept.full_at);
    let old = before.map(|kept| kept.batches).unwrap_or_default();
    let batches = newest_of(&new, old, from).await?;
    *kept = Some(Kept {
        version: readings.version(),
        full_at,
        paths,
        batches: batches.clone(),
    });
    Ok(batches)
}

async fn newest_of(
    new: &ViewedTable,
    old: Vec<RecordBatch>,
    from_micros: i64,
) -> Result<Vec<RecordBatch>> {
    let runtime = runtime()?;
    new.register_store(&runtime);
    let config = SessionConfig::new().with_target_partitions(1);
    let context = SessionContext::new_with_config_rt(config, runtime);
    context.register_table("new", new.provider())?;
    let old = MemTable::try_new(kept_schema(), vec![old])?;
    context.register_table("old", Arc::new(old))?;
    let columns = VALUES.join(", ");
    let last = VALUES
        .map(|name| format!("last_value({name} ORDER BY event_time, observed_time) AS {name}"));
    let sql = format!(
        "SELECT site, device, tag, {} FROM (SELECT site, device, tag, {columns} FROM new WHERE quality = 0 AND event_time >= \
         to_timestamp_micros({from_micros}) UNION ALL SELECT site, device, tag, {columns} FROM old) AS r \
         GROUP BY site, device, tag",
        last.join(", ")
    );
    let rows = context.sql(&sql).await?.collect().await?;
    let schema = kept_schema();
    let shaped = |batch: RecordBatch| {
        let batch = RecordBatch::try_new(schema.clone(), batch.columns().to_vec());
        batch.map_err(DataFusionError::from)
    };
    rows.into_iter().map(shaped).collect()
}

/// As of a query: nothing is spilled to the disk, which belongs to the data path.
fn runtime() -> Result<Arc<RuntimeEnv>> {
    RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(MEMORY_BYTES_MAX)))
        .with_disk_manager_builder(
            DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled),
        )
        .build_arc()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_spilled_to_the_disk() {
        assert!(!runtime().unwrap().disk_manager.tmp_files_enabled());
    }
}
