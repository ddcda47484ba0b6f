//! A lake in an S3 store that we did not write (moto's server), over a link that fails at every upload in turn.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test"
)]

mod creation;
mod faults;
mod moto;
#[allow(dead_code, reason = "end-to-end tests have it do more")]
mod proxy;

use std::{path::Path, process::Command, sync::Arc, time::Duration};

use forebay_lake::{
    Attempt, EpochMark, Lake, LakeError, LakeWriter, Location, MaintainPolicy, MergeOutcome,
    MergePolicy, S3Credentials, S3Link, S3Settings, Sealed, StreamState,
    keys::{FileKeyring, Random},
    maintain, merge, partition_rows, plan, readings_partition, session,
};
use forebay_schemas::{
    DeviceId, Epoch, EpochNonce, ErrorKind, GatewayId, Lane, LaneId, Quality, Reading, Seq, Series,
    SiteId, Status, TagName, Timestamp, Value, table::READINGS, wire::ReadingBatch,
};
use moto::{BUCKET, Moto};
use object_store::ObjectStoreExt as _;
use ring::rand::SystemRandom;
use serde_json::json;

/// 2024-05-01T00:00:00Z, in µs.
const DAY_START: i64 = 1_714_521_600_000_000;

fn settings(endpoint: url::Url) -> S3Settings {
    settings_of("north/lake 1", endpoint)
}

fn settings_of(lake: &str, endpoint: url::Url) -> S3Settings {
    let url = format!("s3://{BUCKET}/{lake}").parse().unwrap();
    S3Settings {
        endpoint: Some(endpoint),
        credentials: Some(S3Credentials::new("forebay", "geheim")),
        allow_http: true,
        link: S3Link {
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(2),
            retries_max: 2,
            retry_for: Duration::from_secs(20),
        },
        ..S3Settings::from_url(&url).unwrap()
    }
}

struct Bench {
    keys: tempfile::TempDir,
    random: Random,
}

impl Bench {
    fn new() -> Self {
        let (keys, random): (_, Random) =
            (tempfile::tempdir().unwrap(), Arc::new(SystemRandom::new()));
        FileKeyring::create(keys.path(), random.clone()).unwrap();
        Self { keys, random }
    }

    async fn writer(&self, settings: &S3Settings) -> LakeWriter {
        let lake = Lake::open(&Location::S3(Box::new(settings.clone())))
            .await
            .unwrap();
        let keyring = FileKeyring::open(self.keys.path(), self.random.clone()).unwrap();
        LakeWriter::open(
            &lake,
            Arc::new(keyring),
            Sealed::Columns,
            self.random.clone(),
        )
        .await
        .unwrap()
    }
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).unwrap()
}

fn batch(epoch: u64, first_seq: u64, count: u64) -> ReadingBatch {
    let reading = |i: u64| {
        let time = at(DAY_START + (first_seq + i) as i64 * 1_000_000);
        Reading {
            series: Series {
                site: SiteId::new("Werk 1/Süd%").unwrap(),
                device: DeviceId::new("pump").unwrap(),
                tag: TagName::new("temp").unwrap(),
            },
            event_time: time,
            observed_time: time,
            value: Some(Value::F64((first_seq + i) as f64)),
            unit: None,
            status: Status {
                quality: Quality::Good,
                code: None,
                reason: None,
            },
        }
    };
    ReadingBatch {
        lane: LaneId {
            gateway: GatewayId::new("gw").unwrap(),
            lane: Lane(0),
        },
        epoch: Epoch(epoch),
        nonce: EpochNonce::UNKNOWN,
        first_seq: Seq(first_seq),
        readings: (0..count).map(reading).collect(),
    }
}

/// One try of a step, as a compactor makes it: files, state, commit.
async fn step(lake: &LakeWriter, app_id: &str, batch: &ReadingBatch) -> Result<(), LakeError> {
    let table = lake.table(&READINGS)?;
    let from_state = table.snapshot().await?.state_of(app_id).await?;
    let taken = match from_state {
        Some(number) => {
            lake.keeper()
                .load::<StreamState>(table, app_id, number)
                .await?
                .next_offset
        }
        None => 0,
    };
    if batch.first_seq.0 <= taken {
        // An earlier try has landed after all.
        return Ok(());
    }
    let mut adds = Vec::new();
    for rows in partition_rows(std::slice::from_ref(batch)).unwrap() {
        let folder = readings_partition(&rows);
        adds.push(
            lake.put(table, rows.rows, &folder, Some(&rows.site), at(DAY_START))
                .await?,
        );
    }
    let mark = batch.last_seq().unwrap().0;
    let epochs = vec![EpochMark {
        gateway: "gw".into(),
        epoch: batch.epoch.0,
        mark,
        ..EpochMark::default()
    }];
    let state = StreamState::new(mark, epochs);
    let to_state = lake
        .keeper()
        .store(table, app_id, from_state, &state, lake.random())
        .await?;
    table
        .commit(&Attempt {
            id: lake.id()?,
            app_id: app_id.to_owned(),
            from_state,
            to_state,
            adds,
        })
        .await?;
    Ok(())
}

async fn ingest(lake: &LakeWriter, app_id: &str, batch: &ReadingBatch) {
    for _ in 0..10 {
        match step(lake, app_id, batch).await {
            Ok(()) => return,
            Err(LakeError::Fenced { .. }) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::Retry, "{error}"),
        }
    }
    panic!("ten tries failed");
}

async fn count(lake: &LakeWriter, what: &str) -> String {
    let context = session(
        std::slice::from_ref(lake.table(&READINGS).unwrap()),
        &lake.decrypter(),
    )
    .await
    .unwrap();
    let sql = format!(
        "SELECT count(*), count(DISTINCT (epoch * 100000 + seq)), sum(value) FROM readings WHERE {what}"
    );
    let rows = context.sql(&sql).await.unwrap().collect().await.unwrap();
    let shown = arrow::util::pretty::pretty_format_batches(&rows)
        .unwrap()
        .to_string();
    shown
        .lines()
        .nth(3)
        .unwrap_or_default()
        .split_whitespace()
        .collect()
}

/// What PyArrow sees of the table, without any code of ours.
fn oracle(store: &Moto, bench: &Bench) -> serde_json::Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle.py");
    let output = Command::new(std::env::var_os("FOREBAY_TEST_PYTHON").unwrap())
        .arg(script)
        .arg(format!("s3://{BUCKET}/north/lake%201/readings"))
        .arg(bench.keys.path().join("keyring.json"))
        .args(["--s3-endpoint", store.url().as_str()])
        .envs([
            ("AWS_ACCESS_KEY_ID", "forebay"),
            ("AWS_SECRET_ACCESS_KEY", "geheim"),
        ])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lake_lives_in_a_bucket() {
    let store = Moto::start(&[]);
    let (bench, settings) = (Bench::new(), settings(store.url()));
    let lake = bench.writer(&settings).await;
    let app_id = lake.keeper().app_id("import", 0);
    for n in 0..6 {
        ingest(&lake, &app_id, &batch(1, n * 10 + 1, 10)).await;
    }
    assert_eq!(count(&lake, "true").await, "|60|60|1830.0|");

    // Merge, checkpoint and vacuum; then another program opens what is there.
    let table = lake.table(&READINGS).unwrap();
    let policy = MergePolicy {
        min_files: 2,
        ..MergePolicy::settled_before(at(DAY_START + 1_000_000))
    };
    let spec = plan(
        &lake,
        &READINGS,
        &table.snapshot().await.unwrap().files(),
        &policy,
    )
    .remove(0);
    let outcome = merge(&lake, &spec, at(DAY_START)).await.unwrap();
    assert!(
        matches!(outcome, MergeOutcome::Merged { rows: 60, .. }),
        "{outcome:?}"
    );
    let policy = MaintainPolicy {
        checkpoint_every: 3,
        ..MaintainPolicy::default()
    };
    let done = maintain(&lake, &policy, at(DAY_START)).await;
    assert_eq!((done.failed, done.checkpoints), (0, 1), "{done:?}");

    let other = bench.writer(&settings).await;
    assert_eq!(count(&other, "true").await, "|60|60|1830.0|");
    assert_eq!(
        count(&other, "event_time > TIMESTAMP '2024-05-01T00:00:50Z'").await,
        "|10|10|555.0|"
    );
    let report = forebay_lake::verify(
        other.table(&READINGS).unwrap(),
        other.keeper(),
        &other.decrypter(),
    )
    .await;
    let report = report.unwrap();
    let seen = oracle(&store, &bench);
    assert_eq!(
        (&seen["count"], &seen["distinct"], &seen["files"]),
        (&json!(60), &json!(60), &json!(1)),
        "{seen}"
    );
    assert_eq!(seen["epochs"], json!([["gw", 0, 1, 60, 1, 60]]));
    assert!(report.faults.is_empty(), "{report:?}");
    assert_eq!((report.readings, report.files), (60, 1));

    // A file less one row, sealed and recorded as it should be: only the marks know.
    let snapshot = table.snapshot().await.unwrap();
    let rows = partition_rows(&[batch(1, 1, 60)]).unwrap().remove(0);
    let fewer = rows.rows.slice(0, 59);
    let folder = readings_partition(&rows);
    let add = json!({"add": lake.put(table, fewer, &folder, Some(&rows.site), at(DAY_START)).await.unwrap()});
    let replaced = json!({"add": snapshot.files()[0]});
    let remove = json!({"remove": {"path": replaced["add"]["path"], "deletionTimestamp": 0, "dataChange": true}});
    let name = format!("_delta_log/{:020}.json", snapshot.version() + 1);
    table
        .store()
        .put(&name.into(), format!("{remove}\n{add}\n").into())
        .await
        .unwrap();
    let report = forebay_lake::verify(table, lake.keeper(), &lake.decrypter())
        .await
        .unwrap();
    assert_eq!(
        report.to_string(),
        "FAULT readings=59 files=1 gaps=0 doubled=0 missing=1"
    );
    let faults: Vec<String> = report.faults.iter().map(ToString::to_string).collect();
    assert_eq!(
        faults,
        ["gw/0/1: 1 readings are missing, the first is seq 60"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_race_and_each_row_lands_once() {
    const STEPS: u64 = 4;
    let store = Moto::start(&[]);
    let (bench, settings) = (Bench::new(), settings(store.url()));
    // Both create the tables at once.
    let (first, second) = tokio::join!(bench.writer(&settings), bench.writer(&settings));
    let same = first.keeper().app_id("shared", 0);
    let own = [
        first.keeper().app_id("own", 1),
        first.keeper().app_id("own", 2),
    ];
    let run = async |lake: &LakeWriter, own: &str, epoch: u64| {
        for n in 0..STEPS {
            ingest(lake, own, &batch(epoch, n * 5 + 1, 5)).await;
            // Both try to take each of these; one does.
            ingest(lake, &same, &batch(9, n * 5 + 1, 5)).await;
        }
    };
    tokio::join!(run(&first, &own[0], 1), run(&second, &own[1], 2));
    for epoch in [1, 2, 9] {
        assert_eq!(
            count(&first, &format!("epoch = {epoch}")).await,
            "|20|20|210.0|",
            "epoch {epoch}"
        );
    }
}

#[tokio::test]
async fn a_wrong_setting_is_told() {
    let store = Moto::start(&["--check-credentials"]);
    let good = settings(store.url());
    let check = async |settings: S3Settings, kind: ErrorKind, parts: &[&str]| {
        let error = Lake::s3(&settings).await.unwrap_err();
        let text = error.to_string();
        assert_eq!(error.kind(), kind, "{text}");
        for part in parts {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
        assert!(!text.contains("geheim"), "{text}");
    };
    let endpoint = format!("http://{}", store.address);
    check(
        good.clone(),
        ErrorKind::Reject,
        &["access key forebay", "InvalidAccessKeyId", &endpoint],
    )
    .await;

    let store = Moto::start(&[]);
    let endpoint = format!("http://{}", store.address);
    let missing = S3Settings {
        bucket: "elsewhere".into(),
        ..settings(store.url())
    };
    check(
        missing,
        ErrorKind::Reject,
        &["no bucket elsewhere", &endpoint],
    )
    .await;
    drop(store);
    let gone = settings(endpoint.parse().unwrap());
    check(
        gone,
        ErrorKind::Retry,
        &["cannot reach", &endpoint, "refused"],
    )
    .await;
}
