//! Another implementation reads our files: PyArrow with a key client of a few lines (`read_with_keyring.py`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test"
)]

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use arrow::{
    array::{
        ArrayRef, BinaryArray, Float64Array, Int16Array, Int32Array, Int64Array, RecordBatch,
        StringArray, TimestampMicrosecondArray,
    },
    datatypes::{Field, Schema},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use forebay_lake::{
    file::{DoubleEncoding, FileLayout, Profile, UniformKey, write_file},
    keys::{FileKeyring, KeyEncrypter, KeyProvider, Random, SecretKey, TABLE_KEY},
};
use forebay_schemas::table::READINGS;
use ring::rand::SystemRandom;
use serde_json::{Map, Value, json};

const ROWS: i64 = 1_000;
const SITE_KEY: &str = "forebay.site.Werk%201";

/// A column's values as Arrow has them and as JSON.
fn column(name: &str) -> (ArrayRef, Vec<Value>) {
    fn both<T, A: arrow::array::Array + From<Vec<T>> + 'static>(
        value: impl Fn(i64) -> T,
        shown: impl Fn(T) -> Value,
    ) -> (ArrayRef, Vec<Value>) {
        let array = A::from((0..ROWS).map(&value).collect::<Vec<T>>());
        (
            Arc::new(array),
            (0..ROWS).map(|i| shown(value(i))).collect(),
        )
    }
    let text = |i: i64| format!("{name} {}", i / 100);
    match name {
        "device" | "tag" | "gateway" => both::<_, StringArray>(text, Value::from),
        "value_text" | "value_type" | "unit" | "quality_reason" => {
            both::<_, StringArray>(|i| (i % 3 > 0).then(|| text(i)), |v| json!(v))
        }
        "event_time" | "observed_time" => {
            let (_, shown) =
                both::<i64, Int64Array>(|i| 1_700_000_000_000_000 + i * 1_000, Value::from);
            let times = TimestampMicrosecondArray::from_iter_values(
                (0..ROWS).map(|i| 1_700_000_000_000_000 + i * 1_000),
            );
            (Arc::new(times.with_timezone("UTC")), shown)
        }
        "value" => both::<_, Float64Array>(|i| (i % 3 > 0).then(|| i as f64 / 8.0), |v| json!(v)),
        "value_int" | "quality_code" => {
            both::<_, Int64Array>(|i| (i % 3 > 0).then(|| i64::MIN + i), |v| json!(v))
        }
        "value_bytes" => {
            let bytes = |i: i64| (i % 3 > 0).then(|| i.to_be_bytes());
            let shown = (0..ROWS)
                .map(|i| json!(bytes(i).map(|v| STANDARD.encode(v))))
                .collect();
            (
                Arc::new(BinaryArray::from_iter((0..ROWS).map(bytes))),
                shown,
            )
        }
        "quality" => both::<_, Int16Array>(|i| (i % 3) as i16, Value::from),
        "lane" => both::<_, Int32Array>(|_| 2, Value::from),
        "epoch" => both::<_, Int64Array>(|_| 7, Value::from),
        "seq" => both::<_, Int64Array>(|i| i + 1, Value::from),
        _ => panic!("a column this test does not know: {name}"),
    }
}

fn readings() -> (RecordBatch, Map<String, Value>) {
    let (mut fields, mut arrays, mut expected) = (Vec::new(), Vec::new(), Map::new());
    for c in READINGS.file_columns() {
        let (array, shown) = column(c.name);
        fields.push(Field::new(c.name, array.data_type().clone(), c.nullable));
        arrays.push(array);
        expected.insert(c.name.to_owned(), Value::Array(shown));
    }
    (
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap(),
        expected,
    )
}

struct Bench {
    home: tempfile::TempDir,
    keyring: Arc<FileKeyring>,
    random: Random,
}

impl Bench {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let random: Random = Arc::new(SystemRandom::new());
        let keyring = FileKeyring::create(&home.path().join("keys"), Arc::clone(&random)).unwrap();
        keyring.add_if_missing(SITE_KEY).unwrap();
        // A second version, so that the reader has to choose.
        keyring.rotate(SITE_KEY).unwrap();
        Self {
            home,
            keyring: Arc::new(keyring),
            random,
        }
    }

    fn keyring_path(&self) -> PathBuf {
        self.home.path().join("keys/keyring.json")
    }

    fn profiles(&self) -> [Profile; 3] {
        let table = self.keyring.current_id(TABLE_KEY).unwrap();
        let site = self.keyring.current_id(SITE_KEY).unwrap();
        let uniform = |data_key| Profile::Uniform {
            table: table.clone(),
            data_key,
        };
        let shared = UniformKey::Shared(SecretKey::generate(&self.random).unwrap());
        [
            uniform(UniformKey::PerFile),
            uniform(shared),
            Profile::Columns { table, site },
        ]
    }

    async fn write(&self, profile: &Profile, rows: &RecordBatch, layout: &FileLayout) -> PathBuf {
        let encrypter = KeyEncrypter::new(
            Arc::clone(&self.keyring) as Arc<dyn KeyProvider>,
            Arc::clone(&self.random),
        );
        let file = write_file(rows, profile.seal(&encrypter).await.unwrap(), layout).unwrap();
        let path = self.home.path().join("file.parquet");
        std::fs::write(&path, &file.bytes).unwrap();
        path
    }
}

/// The columns and values that PyArrow sees, or what it complains of.
fn pyarrow(first: &Path, second: &Path) -> Result<Map<String, Value>, String> {
    let python = std::env::var_os("FOREBAY_TEST_PYTHON").unwrap_or_else(|| {
        panic!("FOREBAY_TEST_PYTHON names no Python with pyarrow: run `cargo xtask test`")
    });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/read_with_keyring.py");
    let output = Command::new(&python)
        .arg(script)
        .args([first, second])
        .output()
        .expect("start Python");
    if output.status.success() {
        Ok(serde_json::from_slice(&output.stdout).unwrap())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

#[tokio::test]
async fn pyarrow_reads_every_column_of_every_profile() {
    let bench = Bench::new();
    let (rows, expected) = readings();
    for profile in bench.profiles() {
        for doubles in [DoubleEncoding::Measured, DoubleEncoding::Plain] {
            let layout = FileLayout {
                row_group_rows_max: 300,
                doubles,
                ..FileLayout::default()
            };
            let path = bench.write(&profile, &rows, &layout).await;
            let seen = pyarrow(&bench.keyring_path(), &path).unwrap();
            assert_eq!(seen.len(), READINGS.file_columns().len());
            for (name, values) in &expected {
                assert_eq!(seen.get(name), Some(values), "{name} with {profile:?}");
            }
        }
    }
}

#[tokio::test]
async fn pyarrow_reads_nothing_without_the_keys() {
    let bench = Bench::new();
    let (rows, _) = readings();
    let stranger = Bench::new();
    for profile in bench.profiles() {
        let path = bench.write(&profile, &rows, &FileLayout::default()).await;
        let refused = pyarrow(Path::new("--without-keys"), &path).unwrap_err();
        assert!(refused.contains("encrypt"), "{refused}");
        let refused = pyarrow(&stranger.keyring_path(), &path).unwrap_err();
        assert!(refused.contains("InvalidTag"), "{refused}");
    }
}
