//! A lake in a folder, for the tests of jobs: readings and closed windows go in, a run's context comes out.
//!
//! The unit tests of `jobs/core` include this file too, since they cannot depend on a crate that depends on theirs.

use std::{path::Path, sync::Arc, time::Duration};

use arrow::{
    array::{
        ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
        TimestampMicrosecondArray,
    },
    util::pretty::pretty_format_batches,
};
use forebay_jobs::{Fire, JobName, Outcome, RunContext, Window};
use forebay_lake::{
    Attempt, Lake, LakeWriter, Sealed, Transaction, file_schema,
    keys::{FileKeyring, Random},
    partition_rows, readings_partition,
};
use forebay_schemas::{
    DeviceId, Epoch, EpochNonce, GatewayId, Lane, LaneId, Quality, Reading, Seq, Series, SiteId,
    Status, TagName, Timestamp, Value,
    table::{READINGS, TABLES, WINDOWS},
    wire::ReadingBatch,
};

/// A lake for a test. Its site is "plant" unless a call says otherwise.
pub struct TestLake {
    /// The lake.
    pub writer: Arc<LakeWriter>,
}

/// The only site of most tests.
pub const SITE: &str = "plant";

const NOW: Timestamp = Timestamp::from_nanos(1_900_000_000_000_000_000);

impl TestLake {
    /// Opens the lake in a folder, made where it is missing.
    pub async fn open(folder: &Path, random: Random) -> Self {
        let keys = folder.join("keys");
        let keyring = match keys.exists() {
            true => FileKeyring::open(&keys, random.clone()),
            false => FileKeyring::create(&keys, random.clone()),
        };
        let lake = Lake::local(&folder.join("lake")).expect("a lake in the folder");
        let keyring = Arc::new(keyring.expect("a keyring"));
        let writer = LakeWriter::open(&lake, keyring, Sealed::Columns, random)
            .await
            .expect("the lake opens");
        Self {
            writer: Arc::new(writer),
        }
    }

    /// Puts good readings of one series into the lake: (instant, value).
    pub async fn put_readings(&self, device: &str, tag: &str, readings: &[(Timestamp, f64)]) {
        let series = Series {
            site: SiteId::new(SITE).expect("a name"),
            device: DeviceId::new(device).expect("a name"),
            tag: TagName::new(tag).expect("a name"),
        };
        let reading = |(at, value): &(Timestamp, f64)| Reading {
            series: series.clone(),
            event_time: *at,
            observed_time: *at,
            value: Some(Value::F64(*value)),
            unit: None,
            status: Status {
                quality: Quality::Good,
                code: None,
                reason: None,
            },
        };
        self.put(readings.iter().map(reading).collect()).await;
    }

    /// Puts readings into the lake as they are.
    pub async fn put(&self, readings: Vec<Reading>) {
        let table = self.writer.table(&READINGS).expect("a table");
        let app_id = self.writer.keeper().app_id("test", 0);
        let from_state = table
            .snapshot()
            .await
            .expect("a snapshot")
            .state_of(&app_id)
            .await
            .expect("a state");
        let batch = ReadingBatch {
            lane: LaneId {
                gateway: GatewayId::new("test").expect("a name"),
                lane: Lane(0),
            },
            epoch: Epoch(from_state.unwrap_or(0).unsigned_abs() + 1),
            nonce: EpochNonce::UNKNOWN,
            first_seq: Seq::FIRST,
            readings,
        };
        let mut adds = Vec::new();
        for part in partition_rows(&[batch]).expect("rows") {
            let partition = readings_partition(&part);
            adds.push(
                self.writer
                    .put(table, part.rows, &partition, Some(&part.site), NOW)
                    .await
                    .expect("a file"),
            );
        }
        let to_state = from_state.unwrap_or(0) + 1;
        let id = self.writer.id().expect("an id");
        table
            .commit(&Attempt {
                id,
                app_id,
                from_state,
                to_state,
                adds,
            })
            .await
            .expect("a commit");
    }

    /// Closes a window.
    pub async fn close(&self, window: &Window, closed_at: Timestamp) {
        self.close_all(std::slice::from_ref(window), closed_at, None)
            .await;
    }

    /// Closes windows of this completeness in one commit.
    pub async fn close_all(
        &self,
        windows: &[Window],
        closed_at: Timestamp,
        completeness: Option<f64>,
    ) {
        let micros = |at: &dyn Fn(&Window) -> Timestamp| -> ArrayRef {
            let times = windows.iter().map(|window| at(window).micros());
            Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
        };
        let long =
            || -> ArrayRef { Arc::new(Int64Array::from_iter_values(windows.iter().map(|_| 1))) };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(
                windows.iter().map(|window| window.site.as_str()),
            )),
            micros(&|window| window.start),
            micros(&|window| window.end),
            Arc::new(Int32Array::from_iter_values(
                windows.iter().map(|window| window.revision),
            )),
            micros(&|window| window.end),
            micros(&|_| closed_at),
            long(),
            long(),
            Arc::new(Int32Array::from_iter_values(windows.iter().map(|_| 1))),
            Arc::new(Float64Array::from_iter(
                windows.iter().map(|_| completeness),
            )),
        ];
        let rows = RecordBatch::try_new(file_schema(&WINDOWS), columns).expect("a row of windows");
        let app_id = self.writer.keeper().app_id("test windows", 0);
        let table = self.writer.table(&WINDOWS).expect("a table");
        let from_state = table
            .snapshot()
            .await
            .expect("a snapshot")
            .state_of(&app_id)
            .await
            .expect("a state");
        let transaction = Transaction {
            app_id,
            from_state,
            to_state: from_state.unwrap_or(0) + 1,
        };
        self.writer
            .append(&WINDOWS, rows, transaction, closed_at)
            .await
            .expect("a closed window");
    }

    /// Writes what a run of a job has found, so that later runs see it.
    pub async fn store(&self, job: &str, outcome: &Outcome) {
        let batches = outcome.results.batches(job, "run-1").expect("rows");
        for (of, rows) in batches {
            let app_id = self.writer.keeper().app_id("test results", 0);
            let table = self.writer.table(of).expect("a table");
            let from_state = table
                .snapshot()
                .await
                .expect("a snapshot")
                .state_of(&app_id)
                .await
                .expect("a state");
            let transaction = Transaction {
                app_id,
                from_state,
                to_state: from_state.unwrap_or(0) + 1,
            };
            let stored = self.writer.append(of, rows, transaction, NOW).await;
            stored.expect("rows are stored");
        }
    }

    /// A run that is due at `due`, for all sites.
    pub fn context(&self, job: &str, due: Timestamp) -> RunContext {
        self.context_of(job, Fire::cron(due))
    }

    /// A run over the window of `length` that ends at `end`, of [`SITE`].
    pub fn window_context(&self, job: &str, end: Timestamp, length: Duration) -> RunContext {
        self.context_of(job, Fire::window(window(end, length)))
    }

    /// A run for this fire.
    pub fn context_of(&self, job: &str, fire: Fire) -> RunContext {
        let job = JobName::new(job).expect("a name");
        let now = fire.due;
        RunContext::new(self.writer.clone(), job, "run-1".into(), fire, now)
    }

    /// The answer to a query over all tables, as a person would see it.
    pub async fn query(&self, sql: &str) -> String {
        let tables: Vec<_> = TABLES
            .iter()
            .map(|table| self.writer.table(table).expect("a table").clone())
            .collect();
        let session = forebay_lake::session(&tables, &self.writer.decrypter())
            .await
            .expect("a session");
        let rows = session
            .sql(sql)
            .await
            .expect("a query")
            .collect()
            .await
            .expect("rows");
        pretty_format_batches(&rows).expect("a table").to_string()
    }
}

/// The first revision of the window of `length` that ends at `end`, of [`SITE`].
pub fn window(end: Timestamp, length: Duration) -> Window {
    let site = SiteId::new(SITE).expect("a name");
    Window {
        site,
        start: Timestamp::from_nanos(
            end.nanos() - i64::try_from(length.as_nanos()).expect("years"),
        ),
        end,
        revision: 0,
    }
}
