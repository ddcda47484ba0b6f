//! What each profile gives back, and what it hides.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::compute::concat_batches;
use forebay_schemas::ErrorKind;
use parquet::{
    arrow::arrow_reader::ArrowReaderMetadata,
    basic::Encoding,
    encryption::decrypt::FileDecryptionProperties,
    file::{column_crypto_metadata::ColumnCryptoMetaData, metadata::PageIndexPolicy},
};

use super::{
    super::*,
    rows::{Bench, CANARIES, readings},
};
use crate::keys::{KeyMaterial, MasterKeyId, SecretKey};

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

/// Several row groups and both choices for doubles.
fn layouts() -> [FileLayout; 2] {
    let few = FileLayout {
        row_group_rows_max: 700,
        ..FileLayout::default()
    };
    [
        few,
        FileLayout {
            doubles: DoubleEncoding::Plain,
            ..FileLayout::default()
        },
    ]
}

#[tokio::test]
async fn every_profile_gives_back_its_rows_and_hides_them() {
    let bench = Bench::new();
    let shared = UniformKey::Shared(SecretKey::new(vec![7; 32]));
    let profiles = [
        bench.columns(),
        bench.uniform(UniformKey::PerFile),
        bench.uniform(shared),
        Profile::None,
    ];
    for (profile, rows) in profiles
        .iter()
        .flat_map(|profile| [(profile, readings(2_000)), (profile, readings(0))])
    {
        for layout in layouts() {
            let file = bench.write(profile, &rows, &layout).await;
            let sealed = !matches!(profile, Profile::None);
            let decrypter = bench.decrypter_for(&file).await;
            let read = read_file(file.bytes.clone(), sealed.then_some(&decrypter)).unwrap();
            assert_eq!(
                concat_batches(&rows.schema(), &read).unwrap(),
                rows,
                "{profile:?}"
            );
            assert_eq!(
                (file.rows, file.sha256),
                (rows.num_rows() as u64, sha256_hex(&file.bytes))
            );
            assert_eq!(file.keks.is_empty(), !sealed);
            for canary in CANARIES {
                let seen = contains(&file.bytes, canary);
                let shown = !sealed && (rows.num_rows() > 0 || canary == "quality_reason");
                assert_eq!(seen, shown, "{canary} with {profile:?}");
            }
        }
    }
}

#[tokio::test]
async fn numbers_stand_nowhere_in_a_sealed_file() {
    let bench = Bench::new();
    let rows = readings(1);
    let time = 1_700_000_000_000_000_i64.to_le_bytes();
    let seen = |bytes: &[u8]| bytes.windows(8).any(|window| window == time);
    assert!(
        seen(
            &bench
                .write(&Profile::None, &rows, &FileLayout::default())
                .await
                .bytes
        ),
        "as a statistic"
    );
    for profile in [bench.columns(), bench.uniform(UniformKey::PerFile)] {
        assert!(!seen(
            &bench
                .write(&profile, &rows, &FileLayout::default())
                .await
                .bytes
        ));
    }
}

#[tokio::test]
async fn each_column_lies_under_its_master_key() {
    let bench = Bench::new();
    let profile = bench.columns();
    let Profile::Columns { table, site } = &profile else {
        unreachable!()
    };
    let file = bench
        .write(&profile, &readings(10), &FileLayout::default())
        .await;
    let decrypter = bench.decrypter_for(&file).await;
    let metadata =
        ArrowReaderMetadata::load(&file.bytes, open_options(Some(&decrypter)).unwrap()).unwrap();
    let mut keys = Vec::new();
    for column in metadata.metadata().row_group(0).columns() {
        let Some(ColumnCryptoMetaData::ENCRYPTION_WITH_COLUMN_KEY(key)) = column.crypto_metadata()
        else {
            panic!("{} has no key of its own", column.column_path());
        };
        let metadata = key.key_metadata.as_deref().unwrap();
        let master = KeyMaterial::decode(metadata).unwrap().kek.master;
        let value = column.column_path().string().starts_with("value")
            && column.column_path().string() != "value_type";
        assert_eq!(
            &master,
            if value { site } else { table },
            "{}",
            column.column_path()
        );
        keys.push(decrypter.data_key(metadata).unwrap().expose().to_vec());
    }
    assert_eq!(keys.len(), 17);
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 17, "every column has a key of its own");
}

#[tokio::test]
async fn without_a_key_nothing_is_written_or_read() {
    let bench = Bench::new();
    let table = bench.keyring.current_id(crate::keys::TABLE_KEY).unwrap();
    let unknown = Profile::Columns {
        table,
        site: MasterKeyId::new("forebay.site.unknown.v1"),
    };
    assert_eq!(
        unknown.seal(&bench.encrypter).await.unwrap_err().kind(),
        ErrorKind::Fatal
    );

    let file = bench
        .write(&bench.columns(), &readings(100), &FileLayout::default())
        .await;
    assert_eq!(file.keks.len(), 2);
    for kek in &file.keks {
        let decrypter = bench.decrypter();
        decrypter.prepare(std::slice::from_ref(kek)).await.unwrap();
        let error = read_file(file.bytes.clone(), Some(&decrypter)).unwrap_err();
        assert!(
            matches!(&error, FileError::Key(KeyError::Unprepared { .. })),
            "{error:?}"
        );
    }
    let error = read_file(file.bytes.clone(), None).unwrap_err();
    assert!(matches!(error, FileError::Read(_)), "{error:?}");
}

#[tokio::test]
async fn a_clear_file_is_no_sealed_one() {
    let bench = Bench::new();
    let file = bench
        .write(&Profile::None, &readings(10), &FileLayout::default())
        .await;
    for bytes in [
        file.bytes.clone(),
        file.bytes.slice(4..),
        Bytes::new(),
        Bytes::from_static(b"PARE"),
    ] {
        let error = read_file(bytes, Some(&bench.decrypter())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    }
}

/// Flips one bit at every 7th byte, at every byte of both ends and around the start of the footer. Nothing but a
/// module's length and the framing of the crypto metadata lies outside an authentication tag, and parquet ignores most
/// of those: then the rows are the true ones. That the bytes were touched shows in their SHA-256.
#[tokio::test]
async fn no_tampered_byte_changes_what_is_read() {
    let (bench, rows) = (Bench::new(), readings(50));
    for profile in [bench.columns(), bench.uniform(UniformKey::PerFile)] {
        let file = bench.write(&profile, &rows, &FileLayout::default()).await;
        let decrypter = bench.decrypter_for(&file).await;
        let length = file.bytes.len();
        let footer =
            u32::from_le_bytes(file.bytes[length - 8..length - 4].try_into().unwrap()) as usize;
        let start = length - footer - 8;
        let near = |at: &usize| *at < 64 || *at + 64 > length || (start..start + 600).contains(at);
        let mut refused = 0;
        let places: Vec<_> = (0..length).filter(|at| at % 7 == 0 || near(at)).collect();
        for &at in &places {
            let mut bytes = file.bytes.to_vec();
            bytes[at] ^= 1;
            assert_ne!(sha256_hex(&bytes), file.sha256);
            let read = catch_unwind(AssertUnwindSafe(|| {
                read_file(bytes.into(), Some(&decrypter))
            }));
            match read.unwrap_or_else(|_| panic!("byte {at} makes parquet panic")) {
                Ok(read) => assert_eq!(
                    concat_batches(&rows.schema(), &read).unwrap(),
                    rows,
                    "byte {at}"
                ),
                Err(error) => {
                    assert!(
                        matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Fatal),
                        "{error:?}"
                    );
                    refused += 1;
                }
            }
        }
        // The framing is as long in a small file as in a large one.
        assert!(
            refused + 150 > places.len(),
            "{refused} of {} refused",
            places.len()
        );
    }
}

#[tokio::test]
async fn a_shared_data_key_opens_the_file_alone() {
    let bench = Bench::new();
    let profile = bench.uniform(UniformKey::Shared(SecretKey::new(vec![7; 32])));
    let file = bench
        .write(&profile, &readings(10), &FileLayout::default())
        .await;
    let keys = FileDecryptionProperties::builder(vec![7; 32])
        .build()
        .unwrap();
    let options = open_options(None)
        .unwrap()
        .with_file_decryption_properties(keys);
    assert_eq!(
        ArrowReaderMetadata::load(&file.bytes, options)
            .unwrap()
            .metadata()
            .file_metadata()
            .num_rows(),
        10
    );
}

#[tokio::test]
async fn the_sample_decides_how_doubles_are_encoded() {
    let bench = Bench::new();
    fn noisy(i: usize) -> f64 {
        20.0 + f64::from((i as u32).wrapping_mul(2_654_435_761) >> 8) / 1e7
    }
    // Few distinct values without an order: a dictionary's numbers are shorter than what PLAIN repeats.
    fn few(i: usize) -> f64 {
        noisy(
            (i as u32)
                .wrapping_mul(2_246_822_519)
                .rotate_left(13)
                .wrapping_mul(3_266_489_917) as usize
                % 50,
        )
        .sqrt()
    }
    for (values, expected) in [
        (noisy as fn(usize) -> f64, Encoding::PLAIN),
        (few, Encoding::RLE_DICTIONARY),
    ] {
        let array = arrow::array::Float64Array::from_iter_values((0..100_000).map(values));
        let rows = RecordBatch::try_from_iter([(
            "value",
            std::sync::Arc::new(array) as arrow::array::ArrayRef,
        )])
        .unwrap();
        for doubles in [DoubleEncoding::Measured, DoubleEncoding::Plain] {
            let layout = FileLayout {
                doubles,
                ..FileLayout::default()
            };
            let file = bench.write(&Profile::None, &rows, &layout).await;
            let options = open_options(None)
                .unwrap()
                .with_page_index_policy(PageIndexPolicy::Skip);
            let metadata = ArrowReaderMetadata::load(&file.bytes, options).unwrap();
            let encodings: Vec<_> = metadata
                .metadata()
                .row_group(0)
                .column(0)
                .encodings()
                .collect();
            let expected = if doubles == DoubleEncoding::Plain {
                Encoding::PLAIN
            } else {
                expected
            };
            assert!(
                encodings.contains(&expected),
                "{encodings:?}, not {expected}"
            );
            // Spark 4.1's vectorised reader refuses a file that has it.
            assert!(
                !encodings.contains(&Encoding::BYTE_STREAM_SPLIT),
                "{encodings:?}"
            );
        }
    }
}
