//! Readings with canaries, and a keyring for them.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BinaryArray, Float64Array, Int16Array, Int32Array, Int64Array, RecordBatch,
        StringArray, TimestampMicrosecondArray,
    },
    datatypes::{Field, Schema},
};
use forebay_schemas::{SiteId, table::READINGS};
use ring::rand::SystemRandom;

use super::super::*;
use crate::keys::{
    FileKeyring, KeyDecrypter, KeyEncrypter, KeyProvider, Random, TABLE_KEY, site_key_name,
};

/// Texts that must not be seen in a sealed file.
pub(super) const CANARIES: [&str; 8] = [
    "canary-device",
    "canary-tag",
    "canary-text",
    "canary-bytes",
    "canary-unit",
    "canary-reason",
    "canary-gateway",
    "quality_reason",
];

/// A batch of readings' file columns: sorted, some values null, every string a canary.
pub(super) fn readings(rows: usize) -> RecordBatch {
    let numbers = 0..i64::try_from(rows).unwrap();
    let times = || {
        TimestampMicrosecondArray::from_iter_values(
            numbers.clone().map(|i| 1_700_000_000_000_000 + i * 1_000),
        )
        .with_timezone("UTC")
    };
    let every =
        |n: i64, text: &'static str| numbers.clone().map(move |i| (i % n == 0).then_some(text));
    let column = |name: &str| -> ArrayRef {
        match name {
            "device" => Arc::new(StringArray::from_iter_values(
                numbers.clone().map(|_| "canary-device"),
            )),
            "tag" => Arc::new(StringArray::from_iter_values(
                numbers.clone().map(|_| "canary-tag"),
            )),
            "event_time" | "observed_time" => Arc::new(times()),
            "value" => Arc::new(Float64Array::from_iter(
                numbers
                    .clone()
                    .map(|i| (i % 3 != 0).then_some(i as f64 / 8.0)),
            )),
            "value_int" => Arc::new(Int64Array::from_iter(
                numbers
                    .clone()
                    .map(|i| (i % 3 != 0).then_some(i64::MAX - i)),
            )),
            "value_text" => Arc::new(StringArray::from_iter(every(3, "canary-text"))),
            "value_bytes" => Arc::new(BinaryArray::from_iter(
                every(5, "canary-bytes").map(|text| text.map(str::as_bytes)),
            )),
            "value_type" => Arc::new(StringArray::from_iter(every(1, "f64"))),
            "unit" => Arc::new(StringArray::from_iter(every(2, "canary-unit"))),
            "quality" => Arc::new(Int16Array::from_iter_values(
                numbers.clone().map(|i| (i % 3) as i16),
            )),
            "quality_code" => Arc::new(Int64Array::from_iter(
                numbers.clone().map(|i| (i % 7 == 0).then_some(i)),
            )),
            "quality_reason" => Arc::new(StringArray::from_iter(every(7, "canary-reason"))),
            "gateway" => Arc::new(StringArray::from_iter_values(
                numbers.clone().map(|_| "canary-gateway"),
            )),
            "lane" => Arc::new(Int32Array::from_iter_values(numbers.clone().map(|_| 3))),
            _ => Arc::new(Int64Array::from_iter_values(numbers.clone().map(|i| i + 1))),
        }
    };
    let columns: Vec<_> = READINGS
        .file_columns()
        .iter()
        .map(|c| (c, column(c.name)))
        .collect();
    let fields: Vec<_> = columns
        .iter()
        .map(|(c, array)| Field::new(c.name, array.data_type().clone(), c.nullable))
        .collect();
    RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns.into_iter().map(|(_, array)| array).collect(),
    )
    .unwrap()
}

pub(super) struct Bench {
    _dir: tempfile::TempDir,
    pub(super) keyring: Arc<FileKeyring>,
    pub(super) encrypter: KeyEncrypter,
}

impl Bench {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let random: Random = Arc::new(SystemRandom::new());
        let keyring =
            Arc::new(FileKeyring::create(&dir.path().join("keys"), Arc::clone(&random)).unwrap());
        keyring
            .add_if_missing(&site_key_name(&SiteId::new("plant").unwrap()))
            .unwrap();
        let encrypter = KeyEncrypter::new(Arc::clone(&keyring) as Arc<dyn KeyProvider>, random);
        Self {
            _dir: dir,
            keyring,
            encrypter,
        }
    }

    pub(super) fn columns(&self) -> Profile {
        let site = self.keyring.current_id("forebay.site.plant").unwrap();
        Profile::Columns {
            table: self.keyring.current_id(TABLE_KEY).unwrap(),
            site,
        }
    }

    pub(super) fn uniform(&self, data_key: UniformKey) -> Profile {
        Profile::Uniform {
            table: self.keyring.current_id(TABLE_KEY).unwrap(),
            data_key,
        }
    }

    pub(super) async fn write(
        &self,
        profile: &Profile,
        rows: &RecordBatch,
        layout: &FileLayout,
    ) -> EncodedFile {
        write_file(rows, profile.seal(&self.encrypter).await.unwrap(), layout).unwrap()
    }

    pub(super) fn decrypter(&self) -> Arc<KeyDecrypter> {
        Arc::new(KeyDecrypter::new(
            Arc::clone(&self.keyring) as Arc<dyn KeyProvider>
        ))
    }

    pub(super) async fn decrypter_for(&self, file: &EncodedFile) -> Arc<KeyDecrypter> {
        let decrypter = self.decrypter();
        decrypter.prepare(&file.keks).await.unwrap();
        decrypter
    }
}
