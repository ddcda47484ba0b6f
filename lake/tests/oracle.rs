//! The oracle (`oracle.py`) sees what is committed and nothing else: it is the judge in tests that kill.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test"
)]

use std::{path::Path, process::Command, sync::Arc};

use forebay_lake::{
    Attempt, Lake, LakeWriter, MaintainPolicy, MergeOutcome, MergePolicy, MergeSpec, Sealed,
    keys::FileKeyring, keys::Random, maintain, merge, partition_rows, plan, readings_partition,
};
use forebay_schemas::{
    DeviceId, Epoch, EpochNonce, GatewayId, Lane, LaneId, Quality, Reading, Seq, Series, SiteId,
    Status, TagName, Timestamp, Value, table::READINGS, wire::ReadingBatch,
};
use ring::rand::SystemRandom;
use serde_json::{Value as Json, json};

/// 2024-05-01T00:00:00Z, in µs.
const DAY_START: i64 = 1_714_521_600_000_000;

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).unwrap()
}

fn batch(epoch: u64, first_seq: u64, count: u64) -> ReadingBatch {
    let reading = |i: u64| Reading {
        series: Series {
            site: SiteId::new("Werk 1/Süd%").unwrap(),
            device: DeviceId::new("pump").unwrap(),
            tag: TagName::new("temp").unwrap(),
        },
        event_time: at(DAY_START + i as i64),
        observed_time: at(DAY_START + i as i64),
        value: Some(Value::F64((i % 2) as f64)),
        unit: None,
        status: Status {
            quality: Quality::Good,
            code: None,
            reason: None,
        },
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

async fn ingest(lake: &LakeWriter, batch: &ReadingBatch, from_state: Option<i64>) {
    let table = lake.table(&READINGS).unwrap();
    let rows = partition_rows(std::slice::from_ref(batch))
        .unwrap()
        .remove(0);
    let add = lake
        .put(
            table,
            rows.rows.clone(),
            &readings_partition(&rows),
            Some(&rows.site),
            at(DAY_START),
        )
        .await;
    let (id, to_state) = (lake.id().unwrap(), from_state.map_or(1, |n| n + 1));
    let attempt = Attempt {
        id,
        app_id: "s".into(),
        from_state,
        to_state,
        adds: vec![add.unwrap()],
    };
    table.commit(&attempt).await.unwrap();
}

fn oracle(home: &Path, more: &[&str]) -> Result<Json, String> {
    let python = std::env::var_os("FOREBAY_TEST_PYTHON").unwrap_or_else(|| {
        panic!("FOREBAY_TEST_PYTHON names no Python with pyarrow: run `cargo xtask test`")
    });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle.py");
    let (table, keyring) = (home.join("lake/readings"), home.join("keys/keyring.json"));
    let output = Command::new(python)
        .arg(script)
        .arg(table)
        .arg(keyring)
        .args(["--values", "value"])
        .args(more)
        .output();
    let output = output.expect("start Python");
    match output.status.success() {
        true => Ok(serde_json::from_slice(&output.stdout).unwrap()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_oracle_sees_what_is_committed() {
    let home = tempfile::tempdir().unwrap();
    let random: Random = Arc::new(SystemRandom::new());
    let keyring = FileKeyring::create(&home.path().join("keys"), random.clone()).unwrap();
    let lake = Lake::local(&home.path().join("lake")).unwrap();
    let lake = LakeWriter::open(&lake, Arc::new(keyring), Sealed::Columns, random)
        .await
        .unwrap();
    for (n, batch) in [batch(1, 1, 10), batch(1, 11, 10), batch(2, 1, 4)]
        .iter()
        .enumerate()
    {
        ingest(&lake, batch, (n > 0).then_some(n as i64)).await;
    }
    let expected = |version: u64, files: u64| {
        json!({
            "version": version, "files": files, "opened": files, "count": 24, "distinct": 24,
            "epochs": [["gw", 0, 1, 20, 1, 20], ["gw", 0, 2, 4, 1, 4]],
            "values": {"0.0": 12, "1.0": 12},
        })
    };
    assert_eq!(oracle(home.path(), &[]).unwrap(), expected(3, 3));

    // A file that no commit names is not seen; neither are those that a merge has replaced.
    let table = lake.table(&READINGS).unwrap();
    let rows = partition_rows(&[batch(3, 1, 7)]).unwrap().remove(0);
    lake.put(
        table,
        rows.rows.clone(),
        &readings_partition(&rows),
        Some(&rows.site),
        at(DAY_START),
    )
    .await
    .unwrap();
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
    assert!(matches!(
        merge(&lake, &spec, at(DAY_START)).await.unwrap(),
        MergeOutcome::Merged { .. }
    ));
    let merged = expected(4, 4 - spec.files.len() as u64);
    assert_eq!(oracle(home.path(), &[]).unwrap(), merged);

    // Through a checkpoint, and with an entry after it.
    let policy = MaintainPolicy {
        checkpoint_every: 2,
        ..MaintainPolicy::default()
    };
    assert_eq!(maintain(&lake, &policy, at(DAY_START)).await.checkpoints, 1);
    let seen = oracle(home.path(), &[]).unwrap();
    assert_eq!(
        (&seen["count"], &seen["values"], &seen["epochs"]),
        (&merged["count"], &merged["values"], &merged["epochs"])
    );

    // Rows that are there twice are seen as such: the same batch under another stream's name.
    ingest(&lake, &batch(2, 1, 4), Some(3)).await;
    let seen = oracle(home.path(), &[]).unwrap();
    assert_eq!(
        (&seen["count"], &seen["distinct"]),
        (&json!(28), &json!(24))
    );

    let path = home
        .path()
        .join("lake/readings")
        .join(&table.snapshot().await.unwrap().files()[0].path);
    std::fs::remove_file(path).unwrap();
    let error = oracle(home.path(), &[]).unwrap_err();
    assert!(error.contains("part-"), "{error}");
}

/// As Spark, PyArrow and others skip files: by the bounds of event time that the log has for everyone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_reads_the_log_alone_skips_the_files_of_other_days() {
    const DAY: i64 = 86_400_000_000;
    let home = tempfile::tempdir().unwrap();
    let random: Random = Arc::new(SystemRandom::new());
    let keyring = FileKeyring::create(&home.path().join("keys"), random.clone()).unwrap();
    let lake = Lake::local(&home.path().join("lake")).unwrap();
    let lake = LakeWriter::open(&lake, Arc::new(keyring), Sealed::Columns, random)
        .await
        .unwrap();
    // A file a day; then the first two days' in one file.
    for day in 0..4_i64 {
        let mut of_day = batch(1, day as u64 * 10 + 1, 10);
        of_day
            .readings
            .iter_mut()
            .for_each(|reading| reading.event_time = at(DAY_START + day * DAY));
        ingest(&lake, &of_day, (day > 0).then_some(day)).await;
    }
    let seen = oracle(home.path(), &["--day", "2024-05-03"]).unwrap();
    assert_eq!(
        (&seen["files"], &seen["opened"], &seen["count"]),
        (&json!(4), &json!(1), &json!(10))
    );

    let table = lake.table(&READINGS).unwrap();
    let files = table.snapshot().await.unwrap().files();
    let of_days =
        |add: &forebay_lake::Add| lake.event_times(&READINGS, add).unwrap().0 < DAY_START + 2 * DAY;
    let files = files.into_iter().filter(of_days).collect();
    let partition = vec![("site", "Werk 1/Süd%".to_owned())];
    let spec = MergeSpec {
        table: &READINGS,
        partition,
        files,
        cuts: Vec::new(),
    };
    assert!(matches!(
        merge(&lake, &spec, at(DAY_START)).await.unwrap(),
        MergeOutcome::Merged { rows: 20, .. }
    ));
    for (day, opened, count) in [
        ("2024-05-01", 1, 10),
        ("2024-05-02", 1, 10),
        ("2024-05-05", 0, 0),
    ] {
        let seen = oracle(home.path(), &["--day", day]).unwrap();
        assert_eq!(
            (&seen["files"], &seen["opened"], &seen["count"]),
            (&json!(3), &json!(opened), &json!(count)),
            "{day}"
        );
    }
    // What it answers without skipping is the same.
    assert_eq!(oracle(home.path(), &[]).unwrap()["count"], json!(40));
}
