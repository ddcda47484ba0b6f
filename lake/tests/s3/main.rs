//! A lake in an S3 store that we did not write (moto's server), over a link that fails at every upload in turn.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test"
)]

mod moto;
#[allow(dead_code, reason = "end-to-end tests have it do more")]
mod proxy;

use std::{collections::BTreeMap, path::Path, process::Command, sync::Arc, time::Duration};

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
use object_store::{ObjectStoreExt as _, PutMode};
use proxy::{Creation, Fault, Proxy};
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
async fn what_must_be_created_once_is() {
    let store = Moto::start(&[]);
    let (bench, settings) = (Bench::new(), settings(store.url()));
    let lake = bench.writer(&settings).await;
    let objects = lake.table(&READINGS).unwrap().store();
    let path = object_store::path::Path::from("_forebay/once");
    objects
        .put_opts(&path, "first".into(), PutMode::Create.into())
        .await
        .unwrap();
    let error = objects
        .put_opts(&path, "second".into(), PutMode::Create.into())
        .await
        .unwrap_err();
    assert!(
        matches!(error, object_store::Error::AlreadyExists { .. }),
        "{error}"
    );
    assert_eq!(
        objects
            .get(&path)
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap()
            .as_ref(),
        b"first"
    );
    objects.delete(&path).await.unwrap();
}

/// On such a store one of two writers would overwrite the other's commits, and nobody would hear of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_does_not_create_once_is_refused_by_name() {
    let store = Moto::start(&[]);
    let bench = Bench::new();
    for (creation, why) in [
        (Creation::Ignored, "both succeeded"),
        (
            Creation::Refused("501 Not Implemented"),
            "501 Not Implemented",
        ),
        (Creation::Refused("400 Bad Request"), "400 Bad Request"),
        (
            Creation::ToldAs("405 Method Not Allowed"),
            "405 Method Not Allowed",
        ),
    ] {
        let proxy = Proxy::with_creation(store.address, creation);
        let settings = settings(proxy.url());
        let lake = Lake::s3(&settings)
            .await
            .expect("who only reads does not ask");
        let keyring = FileKeyring::open(bench.keys.path(), bench.random.clone()).unwrap();
        let opened = LakeWriter::open(
            &lake,
            Arc::new(keyring),
            Sealed::Columns,
            bench.random.clone(),
        )
        .await;
        let error = opened.err().expect("a writer is refused");
        assert_eq!(error.kind(), ErrorKind::Fatal, "{creation:?}: {error}");
        let text = error.to_string();
        for part in [
            why,
            settings
                .endpoint
                .as_ref()
                .unwrap()
                .as_str()
                .trim_end_matches('/'),
            "conditional creation",
        ] {
            assert!(
                text.contains(part),
                "{creation:?}: {part} is not in: {text}"
            );
        }
    }
    // The same store without the proxy is taken.
    let lake = bench.writer(&settings(store.url())).await;
    let app_id = lake.keeper().app_id("spool", 0);
    ingest(&lake, &app_id, &batch(1, 1, 5)).await;
    assert_eq!(count(&lake, "true").await, "|5|5|15.0|");
}

/// An answer that got lost makes the winner hear that it lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_link_does_not_get_a_good_store_refused() {
    let store = Moto::start(&[]);
    let proxy = Proxy::to(store.address);
    let (bench, settings) = (Bench::new(), settings(proxy.url()));
    for fault in [Fault::Refused, Fault::DoneAnd500, Fault::DoneAndCut] {
        for nth in 0..3 {
            proxy.fail_put(nth, 1, fault);
            bench.writer(&settings).await;
            assert_eq!(proxy.heal().len(), 1, "{fault:?}");
        }
    }
}

/// The first entry of a table's log, over a bad link: it is made once, and the table can be used.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_is_created_once() {
    let store = Moto::start(&[]);
    let proxy = Proxy::to(store.address);
    let cases = [
        (Fault::Refused, 1),
        (Fault::DoneAnd500, 1),
        (Fault::DoneAnd500, 3),
        (Fault::DoneAndCut, 1),
    ];
    for (n, (fault, times)) in cases
        .into_iter()
        .chain([(Fault::DoneAndSilent, 1)])
        .enumerate()
    {
        let lake = Lake::s3(&S3Settings {
            prefix: format!("lake{n}"),
            ..settings(proxy.url())
        })
        .await
        .unwrap();
        proxy.fail_put(0, times, fault);
        let table = lake.table(&READINGS).await.unwrap();
        assert_eq!(proxy.heal().len(), times.min(3), "{fault:?}");
        assert_eq!(table.snapshot().await.unwrap().version(), 0, "{fault:?}");
        let again = lake.table(&READINGS).await.unwrap();
        assert_eq!(again.snapshot().await.unwrap().version(), 0, "{fault:?}");
    }
}

/// Each upload of two steps (file, state object, log entry, twice) fails in each way, once and until no retry is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_fails_loses_and_doubles_nothing() {
    /// A commit's: the file, the state, the log entry.
    const PUTS: usize = 3;
    let store = Moto::start(&[]);
    let proxy = Proxy::to(store.address);
    let bench = Bench::new();
    for fault in [
        Fault::Refused,
        Fault::DoneAnd500,
        Fault::DoneAndCut,
        Fault::DoneAndSilent,
    ] {
        // A lake each: every commit reads the log before it.
        let lake = bench
            .writer(&settings_of(&format!("{fault:?}"), proxy.url()))
            .await;
        let cells = [1, 3]
            .into_iter()
            .flat_map(|times| (0..PUTS).map(move |nth| (times, nth)));
        let mut hit: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for ((times, nth), epoch) in cells.zip(1..) {
            let app_id = lake.keeper().app_id("spool", epoch as u32);
            proxy.fail_put(nth, times, fault);
            for n in 0..2 {
                ingest(&lake, &app_id, &batch(epoch, n * 5 + 1, 5)).await;
            }
            hit.entry(times).or_default().extend(proxy.heal());
            let found = count(&lake, &format!("epoch = {epoch}")).await;
            assert_eq!(
                found, "|10|10|55.0|",
                "{fault:?} {times} times from put {nth} on"
            );
        }
        for (times, hit) in hit {
            // A request that got no answer is not tried again by itself.
            let tries = if fault == Fault::DoneAndSilent {
                1
            } else {
                times.min(2)
            };
            for part in ["part-", "_forebay/state", "_delta_log"] {
                let hits = hit.iter().filter(|path| path.contains(part)).count();
                assert!(
                    hits >= tries,
                    "{fault:?}: {part} was hit {hits} times: {hit:?}"
                );
            }
        }
    }
}

/// The same at a merge: the new file and its log entry.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_over_a_bad_link_loses_and_doubles_nothing() {
    let store = Moto::start(&[]);
    let proxy = Proxy::to(store.address);
    let (bench, settings) = (Bench::new(), settings(proxy.url()));
    let lake = bench.writer(&settings).await;
    let table = lake.table(&READINGS).unwrap();
    let mut epoch = 0;
    for fault in [
        Fault::Refused,
        Fault::DoneAnd500,
        Fault::DoneAndCut,
        Fault::DoneAndSilent,
    ] {
        for nth in 0..2 {
            epoch += 1;
            let app_id = lake.keeper().app_id("spool", epoch as u32);
            for n in 0..3 {
                ingest(&lake, &app_id, &batch(epoch, n * 5 + 1, 5)).await;
            }
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
            proxy.fail_put(nth, 1, fault);
            let outcome = merge(&lake, &spec, at(DAY_START)).await.unwrap();
            assert!(
                matches!(outcome, MergeOutcome::Merged { .. }),
                "{fault:?} {nth}: {outcome:?}"
            );
            assert_eq!(proxy.heal().len(), 1);
            let expected = format!("|{}|{}|{}.0|", epoch * 15, epoch * 15, epoch * 120);
            assert_eq!(
                count(&lake, "true").await,
                expected,
                "{fault:?} at put {nth}"
            );
        }
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
