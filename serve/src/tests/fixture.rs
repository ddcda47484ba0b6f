//! A lake, the role on it, and psql.

use std::{
    collections::HashMap,
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, Float64Array, Int16Array, Int32Array, Int64Array,
        RecordBatch, StringArray, TimestampMicrosecondArray,
    },
    datatypes::{DataType, Field, TimeUnit},
};
use forebay_lake::{
    Attempt, Lake, LakeWriter, Sealed, Transaction, file_schema,
    keys::{FileKeyring, KeyDecrypter, Random},
    partition_rows, readings_partition,
};
use forebay_schemas::{
    Clock, DeviceId, Epoch, EpochNonce, GatewayId, Lane, LaneId, Quality, Reading, Seq, Series,
    SiteId, Status, TagName, Timestamp, Value,
    table::{READINGS, TABLES, Table},
    wire::ReadingBatch,
};
use ring::rand::SystemRandom;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::{
    Addresses, DeviceWays, LakeReader, Limits, RollupUse, ServeProgress, ServeSettings, SiteSet,
    UserSettings, WaitingWindow, WaitingWindows, Way, serve,
};

/// Midnight of 2026-05-01 UTC, in seconds since 1970.
pub(super) const MIDNIGHT: i64 = 1_777_593_600;
/// Readings of one series of quartz, and of basalt.
pub(super) const QUARTZ_ROWS: i64 = 60;
pub(super) const BASALT_ROWS: i64 = 47;
pub(super) const PASSWORD: &str = "correct horse";
pub(super) const TOKEN: &str = "token-of-the-user-";

/// A lake in a folder.
pub(crate) struct TestLake {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) writer: LakeWriter,
}

/// The role on a lake, until it is dropped.
pub(super) struct Site {
    pub(super) lake: TestLake,
    pub(super) addresses: Addresses,
    pub(super) progress: Arc<ServeProgress>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

pub(crate) fn limits() -> Limits {
    Limits {
        queries_at_once: 4,
        rows_max: 10_000,
        memory_bytes_max: 64 << 20,
        timeout: Duration::from_secs(20),
    }
}

/// Now, for the role: a day after the readings.
pub(super) fn clock() -> Clock {
    Arc::new(|| Timestamp::from_micros((MIDNIGHT + 86_400) * 1_000_000).unwrap())
}

impl TestLake {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let random: Random = Arc::new(SystemRandom::new());
        let keyring = FileKeyring::create(&folder.path().join("keys"), random.clone()).unwrap();
        let lake = Lake::local(&folder.path().join("lake")).unwrap();
        let writer = LakeWriter::open(&lake, Arc::new(keyring), Sealed::Columns, random);
        let writer = writer.await.unwrap();
        Self { folder, writer }
    }

    /// Both sites' rows, in every table.
    pub(super) async fn filled() -> Self {
        let lake = Self::new().await;
        for (site, rows, value) in [
            ("quartz", QUARTZ_ROWS, 1_234.5),
            ("basalt", BASALT_ROWS, 98_765.4),
        ] {
            for device in ["pump", "fan"] {
                let readings = (0..rows).map(|minute| reading(site, device, minute * 60, value));
                lake.put(readings.collect()).await;
            }
        }
        for table in TABLES
            .into_iter()
            .filter(|table| table.partition_columns == 0)
        {
            lake.fill(table).await;
        }
        lake
    }

    /// Commits readings.
    pub(super) async fn put(&self, readings: Vec<Reading>) {
        let table = self.writer.table(&READINGS).unwrap();
        let app_id = self.writer.keeper().app_id("test", 0);
        let from_state = table
            .snapshot()
            .await
            .unwrap()
            .state_of(&app_id)
            .await
            .unwrap();
        let lane = LaneId {
            gateway: GatewayId::new("gateway").unwrap(),
            lane: Lane(0),
        };
        let batch = ReadingBatch {
            lane,
            epoch: Epoch(from_state.unwrap_or(0).unsigned_abs() + 1),
            nonce: EpochNonce::UNKNOWN,
            first_seq: Seq::FIRST,
            readings,
        };
        let mut adds = Vec::new();
        for part in partition_rows(&[batch]).unwrap() {
            let partition = readings_partition(&part);
            let put = self
                .writer
                .put(table, part.rows, &partition, Some(&part.site), clock()());
            adds.push(put.await.unwrap());
        }
        let attempt = Attempt {
            id: self.writer.id().unwrap(),
            app_id,
            from_state,
            to_state: from_state.unwrap_or(0) + 1,
            adds,
        };
        table.commit(&attempt).await.unwrap();
    }

    /// One row of each site.
    async fn fill(&self, table: &'static Table) {
        let transaction = Transaction {
            app_id: self.writer.keeper().app_id("side", 0),
            from_state: None,
            to_state: 1,
        };
        self.fill_under(table, transaction).await;
    }

    /// One row of each site, under a transaction.
    pub(crate) async fn fill_under(&self, table: &'static Table, transaction: Transaction) {
        let schema = file_schema(table);
        let columns = schema.fields().iter().map(|field| cells(field));
        let rows = RecordBatch::try_new(schema.clone(), columns.collect()).unwrap();
        let appended = self.writer.append(table, rows, transaction, clock()());
        appended.await.unwrap();
    }

    pub(crate) fn reader(&self) -> LakeReader {
        let tables = TABLES.map(|table| self.writer.table(table).unwrap().clone());
        let decrypter: Arc<KeyDecrypter> = self.writer.decrypter();
        LakeReader {
            tables: tables.to_vec(),
            decrypter,
            waiting: Some(WaitingWindows::new(waiting_windows)),
            ways: Some(DeviceWays::new(ways)),
        }
    }
}

/// The ways of two devices' newest readings.
fn ways() -> HashMap<(String, String), Way> {
    let way = Way {
        spool: 1.5,
        stream: 0.25,
        commit: 10.0,
    };
    let of = |site: &str| ((site.to_owned(), format!("{site}-pump")), way);
    HashMap::from([of("quartz"), of("basalt")])
}

/// One window of each site waits.
fn waiting_windows() -> Vec<WaitingWindow> {
    let at = |second: i64| Timestamp::from_micros((MIDNIGHT + second) * 1_000_000).unwrap();
    let window = |site: &str| WaitingWindow {
        site: site.to_owned(),
        window_start: at(0),
        window_end: at(60),
        held_by: format!("device {site}-pump"),
        device: Some(format!("{site}-pump")),
        since: at(90),
    };
    vec![window("quartz"), window("basalt")]
}

/// A good reading of the tag `temp`, whose names tell its site.
pub(super) fn reading(site: &str, device: &str, second: i64, value: f64) -> Reading {
    let at = Timestamp::from_micros((MIDNIGHT + second) * 1_000_000).unwrap();
    Reading {
        series: Series {
            site: SiteId::new(site).unwrap(),
            device: DeviceId::new(&format!("{site}-{device}")).unwrap(),
            tag: TagName::new(&format!("{site}-temp")).unwrap(),
        },
        event_time: at,
        observed_time: at,
        value: Some(Value::F64(value)),
        unit: Some(format!("{site}-unit").into()),
        status: Status {
            quality: Quality::Good,
            code: None,
            reason: None,
        },
    }
}

/// Two cells of a column: quartz's and basalt's.
fn cells(field: &Field) -> ArrayRef {
    let texts = |end: &str| [format!("quartz{end}"), format!("basalt{end}")];
    let times = [MIDNIGHT * 1_000_000, (MIDNIGHT + 60) * 1_000_000];
    match (field.name().as_str(), field.data_type()) {
        ("site", _) => Arc::new(StringArray::from_iter_values(texts(""))),
        ("state", _) => Arc::new(StringArray::from_iter_values(["open", "open"])),
        ("severity", _) => Arc::new(StringArray::from_iter_values(["warning", "warning"])),
        ("device", _) => Arc::new(StringArray::from_iter_values(texts("-pump"))),
        ("tag", _) => Arc::new(StringArray::from_iter_values(texts("-temp"))),
        (name, DataType::Utf8) => {
            Arc::new(StringArray::from_iter_values(texts(&format!("-{name}"))))
        }
        (_, DataType::Binary) => Arc::new(BinaryArray::from_iter_values([b"quartz", b"basalt"])),
        (_, DataType::Int16) => Arc::new(Int16Array::from_iter_values([0, 0])),
        (_, DataType::Int32) => Arc::new(Int32Array::from_iter_values([111_222_333, 999_888_777])),
        (_, DataType::Int64) => Arc::new(Int64Array::from_iter_values([111_222_333, 999_888_777])),
        (_, DataType::Float64) => Arc::new(Float64Array::from_iter_values([1_234.5, 98_765.4])),
        (_, DataType::Boolean) => Arc::new(BooleanArray::from(vec![true, true])),
        (_, DataType::Timestamp(TimeUnit::Microsecond, _)) => {
            Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
        }
        other => panic!("{other:?}"),
    }
}

/// A user with password and token, whose files lie in the folder.
pub(super) fn user(lake: &TestLake, name: &str, sites: &[&str], hidden: &[&str]) -> UserSettings {
    let file = |end: &str, text: String| -> PathBuf {
        let path = lake.folder.path().join(format!("{name}.{end}"));
        fs::write(&path, text).unwrap();
        path
    };
    UserSettings {
        name: name.to_owned(),
        password_file: Some(file("password", format!("{PASSWORD}\n"))),
        token_file: Some(file("token", format!("{TOKEN}{name}\n"))),
        sites: SiteSet::new(sites.iter().map(|site| (*site).to_owned()).collect()),
        columns_hidden: hidden.iter().map(|column| (*column).to_owned()).collect(),
    }
}

pub(super) fn settings(lake: &TestLake, limits: Limits) -> ServeSettings {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    ServeSettings {
        postgres_listen: Some(any),
        http_listen: Some(any),
        limits,
        rollups: RollupUse::WhereTheyFit,
        tls: None,
        users: vec![
            user(lake, "quentin", &["quartz"], &[]),
            user(lake, "basil", &["bas*"], &[]),
            user(lake, "admin", &["*"], &[]),
            user(lake, "blind", &["quartz"], &["value", "gateway"]),
        ],
    }
}

impl Site {
    pub(super) async fn filled() -> Self {
        Self::with(limits()).await
    }

    pub(super) async fn with(limits: Limits) -> Self {
        let lake = TestLake::filled().await;
        let settings = settings(&lake, limits);
        Self::of(lake, settings).await
    }

    pub(super) async fn of(lake: TestLake, settings: ServeSettings) -> Self {
        let reader = lake.reader();
        Self::of_reader(lake, settings, reader).await
    }

    pub(super) async fn of_reader(
        lake: TestLake,
        settings: ServeSettings,
        reader: LakeReader,
    ) -> Self {
        let (stop, progress) = (CancellationToken::new(), Arc::new(ServeProgress::default()));
        let (listening, addresses) = oneshot::channel();
        let serving = serve(
            settings,
            reader,
            clock(),
            progress.clone(),
            stop.clone(),
            |at| {
                listening.send(at).unwrap();
            },
        );
        let thread = std::thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build().unwrap();
            runtime.block_on(serving).unwrap();
        });
        Self {
            lake,
            addresses: addresses.await.unwrap(),
            progress,
            stop,
            thread: Some(thread),
        }
    }

    pub(super) fn postgres(&self) -> SocketAddr {
        self.addresses.postgres.unwrap()
    }

    /// psql, signed in as a user.
    pub(super) fn psql(&self, user: &str) -> Command {
        let mut psql = Command::new("psql");
        psql.env("PGPASSWORD", PASSWORD)
            .env("PGCONNECT_TIMEOUT", "20");
        psql.args([
            "-X",
            "-A",
            "-P",
            "pager=off",
            "-h",
            "127.0.0.1",
            "-U",
            user,
            "-d",
            "forebay",
        ]);
        psql.arg("-p").arg(self.postgres().port().to_string());
        psql
    }

    /// What psql prints for one command, its errors too.
    pub(super) fn ask(&self, user: &str, sql: &str) -> String {
        let output = self.psql(user).args(["-t", "-c", sql]).output().unwrap();
        said(&output)
    }

    /// What psql prints for a script.
    pub(super) fn script(&self, user: &str, script: &str) -> String {
        let mut psql = self.psql(user);
        psql.args(["-q"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        // Errors among the rows, where they belong.
        let mut shell = Command::new("sh");
        let line = format!("exec {} 2>&1", quoted(&psql));
        let shell = shell.args(["-c", &line]).env("PGPASSWORD", PASSWORD);
        let script_file = self.lake.folder.path().join(format!("{user}.sql"));
        fs::write(&script_file, script).unwrap();
        let input = fs::File::open(&script_file).unwrap();
        said(&shell.stdin(input).output().unwrap())
    }
}

fn quoted(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<String> = words
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    words.join(" ")
}

fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(text).unwrap().trim_end().to_owned()
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            // A test that failed says more than this would.
            assert!(ended.is_ok() || std::thread::panicking());
        }
    }
}
