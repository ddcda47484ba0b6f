//! The long form, qualities, units, marks for no value, encodings, Parquet.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BinaryArray, Float64Array, Int64Array, RecordBatch, StringArray,
        TimestampMillisecondArray,
    },
    datatypes::{DataType, TimeUnit},
};
use parquet::arrow::ArrowWriter;

use super::*;

/// A historian's export, as case L12 has it.
const LONG: &str = "TagName,Timestamp,Value,Quality,Unit\n\
    FIC101.PV,2025-04-01T00:00:00Z,12.5,Good,m3/h\n\
    FIC101.PV,2025-04-01T00:01:00Z,0,Bad,m3/h\n\
    PUMP.RUN,2025-04-01T00:01:00Z,true,Good,\n\
    FIC101.PV,2025-04-01T00:02:00Z,-9999,Good,m3/h\n\
    FIC101.PV,2025-04-01T00:03:00Z,,Bad - no communication,m3/h\n\
    FIC101.PV,2025-04-01T00:04:00Z,,Good,m3/h\n\
    FIC101.PV,2025-04-01T00:05:00Z,13,fine,m3/h\n\
    ,2025-04-01T00:06:00Z,14,Good,m3/h\n";

fn rows(tag: &str, value: &str) -> TagSource {
    let (tag, value) = (tag.to_owned(), value.to_owned());
    TagSource::Rows { tag, value }
}

fn long(spec: &mut ImportSpec) {
    spec.time_column = "Timestamp".to_owned();
    spec.tags = rows("TagName", "Value");
    spec.unit_column = Some("Unit".to_owned());
    spec.quality = Some(QualityColumn {
        column: "Quality".to_owned(),
        codes: None,
    });
    spec.nulls = ["NaN", "Bad", "-9999"].map(str::to_owned).to_vec();
}

#[test]
fn a_row_of_the_long_form_is_one_reading_with_its_own_quality_and_unit() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.csv");
    fs::write(&file, LONG).unwrap();
    let mut spec = spec(file);
    long(&mut spec);
    let mut found = Rows::of(&spec, source::survey(&spec).unwrap(), now());
    let mut records = Records::open(&spec).unwrap();
    let (mut record, mut told) = (ByteRecord::new(), Vec::new());
    while records.read(&mut record).unwrap() {
        match found.readings(&record) {
            Err(why) => told.push(why.to_string()),
            Ok(readings) => told.extend(readings.iter().map(|reading| {
                let (status, unit) = (&reading.status, reading.unit.as_deref());
                let unit = unit.unwrap_or("-");
                format!("{} {:?} {unit}", shown(reading), status.quality)
            })),
        }
    }
    assert_eq!(
        told,
        [
            "FIC101.PV 2025-04-01T00:00:00Z 12.5 Good m3/h",
            "FIC101.PV 2025-04-01T00:01:00Z 0 Bad m3/h",
            "PUMP.RUN 2025-04-01T00:01:00Z Some(Bool(true))  Good -",
            "FIC101.PV 2025-04-01T00:02:00Z None \"-9999\" stands for no value Bad m3/h",
            "FIC101.PV 2025-04-01T00:03:00Z None the file says \"Bad - no communication\" Bad m3/h",
            "the quality is unknown: \"fine\"",
            "the tag's name cannot be used: a tag name must not be empty",
        ]
    );
}

#[test]
fn columns_that_are_asked_for_must_be_there() {
    refused("TagName,Timestamp,Value\n", long, &["no column \"Unit\""]);
}

#[test]
fn a_number_as_quality_wants_its_meaning() {
    let text = "time,temp,q\n2025-04-01T00:00:00Z,1.5,192\n";
    let quality = |codes| {
        move |spec: &mut ImportSpec| {
            let column = "q".to_owned();
            spec.quality = Some(QualityColumn { column, codes });
        }
    };
    let (readings, bad) = read(text, quality(None)).unwrap();
    assert_eq!(readings, Vec::<String>::new());
    assert!(bad[0].contains("--quality-codes"), "{bad:?}");
    gives(
        text,
        quality(Some(QualityCodes::OpcDa)),
        &["temp 2025-04-01T00:00:00Z 1.5"],
    );
}

#[test]
fn other_encodings_are_read_and_an_encoding_is_part_of_the_identity() {
    let folder = tempfile::tempdir().unwrap();
    let text = "time,Kühlwasser\n2025-04-01T00:00:00Z,größer\n";
    let expected = vec!["Kühlwasser 2025-04-01T00:00:00Z \"größer\"".to_owned()];
    let utf16: Vec<u8> = ("\u{feff}".to_owned() + text)
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let latin: Vec<u8> = text.chars().map(|c| c as u8).collect();
    for (name, bytes, encoding) in [
        ("utf16", utf16, None),
        ("latin", latin, Encoding::for_label(b"windows-1252")),
    ] {
        let file = folder.path().join(name);
        fs::write(&file, bytes).unwrap();
        let (readings, bad) = read_file(file, |spec| spec.encoding = encoding).unwrap();
        assert_eq!((&readings, bad.len()), (&expected, 0), "{name}");
    }
    let mut plain = spec("a.csv".into());
    let before = plain.identity();
    plain.encoding = Encoding::for_label(b"latin1");
    assert_ne!(plain.identity(), before);
}

#[test]
fn identities_of_imports_by_older_releases_are_as_they_were() {
    assert_eq!(
        spec("a.csv".into()).identity().replace('\0', "|"),
        "SiteId(\"plant\")|Fixed(DeviceId(\"pump\"))|\"time\"|Iso|TimeZone(UTC)|44|None|Point|0"
    );
}

fn parquet_file(folder: &std::path::Path, columns: Vec<(&str, ArrayRef)>) -> PathBuf {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap();
    let file = folder.join("a.parquet");
    let target = fs::File::create(&file).unwrap();
    let mut writer = ArrowWriter::try_new(target, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    file
}

#[test]
fn parquet_keeps_its_types() {
    let folder = tempfile::tempdir().unwrap();
    let at = 1_743_465_600_000;
    let time = TimestampMillisecondArray::from(vec![at, at + 500]).with_timezone("UTC");
    let bytes: ArrayRef = Arc::new(BinaryArray::from_vec(vec![b"x", b"y"]));
    let columns = || -> Vec<(&str, ArrayRef)> {
        vec![
            ("time", Arc::new(time.clone())),
            ("temp", Arc::new(Float64Array::from(vec![21.0, f64::NAN]))),
            ("count", Arc::new(Int64Array::from(vec![Some(7), None]))),
            ("code", Arc::new(StringArray::from(vec!["007", "1.50"]))),
        ]
    };
    let file = parquet_file(folder.path(), columns());
    let (readings, bad) = read_file(file, |_| {}).unwrap();
    assert_eq!(bad, Vec::<String>::new());
    assert_eq!(
        readings,
        [
            "temp 2025-04-01T00:00:00Z 21",
            "count 2025-04-01T00:00:00Z 7i",
            "code 2025-04-01T00:00:00Z \"007\"",
            "temp 2025-04-01T00:00:00.5Z None NaN is not a finite number",
            "code 2025-04-01T00:00:00.5Z \"1.50\"",
        ]
    );
    let mut with_bytes = columns();
    with_bytes.push(("raw", bytes));
    let file = parquet_file(folder.path(), with_bytes);
    let said = read_file(file.clone(), |_| {}).unwrap_err().to_string();
    assert!(
        said.contains("\"raw\"") && said.contains("Binary"),
        "{said}"
    );
    let only = |spec: &mut ImportSpec| spec.tags = TagSource::Columns(Some(vec!["temp".into()]));
    assert_eq!(read_file(file, only).unwrap().0.len(), 2);
}

#[test]
fn what_is_no_parquet_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.parquet");
    fs::write(&file, "time,temp\n").unwrap();
    let said = read_file(file, |_| {}).unwrap_err();
    assert!(
        matches!(said, ImportError::Parquet { .. }) && said.to_string().contains("a.parquet"),
        "{said}"
    );
}

#[test]
fn a_time_of_nanoseconds_without_a_zone_is_read_in_the_zone_that_was_named() {
    let folder = tempfile::tempdir().unwrap();
    let naive = TimestampMillisecondArray::from(vec![1_743_465_600_000]);
    let naive = arrow::compute::cast(&naive, &DataType::Timestamp(TimeUnit::Nanosecond, None));
    let temp: ArrayRef = Arc::new(Float64Array::from(vec![1.5]));
    let file = parquet_file(
        folder.path(),
        vec![("time", naive.unwrap()), ("temp", temp)],
    );
    let zone = |spec: &mut ImportSpec| spec.time_zone = TimeZone::get("Europe/Amsterdam").unwrap();
    let (readings, _) = read_file(file, zone).unwrap();
    assert_eq!(readings, ["temp 2025-03-31T22:00:00Z 1.5"]);
}
