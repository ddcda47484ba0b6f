use std::path::Path;

use parquet::{
    data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type},
    file::{
        properties::WriterProperties,
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::parser::parse_message_type,
};

use super::{super::FileForm, *};

const AT: i64 = 1_769_860_800;

/// Two rows; the second has no heat. `time` is the type of the time column, and its values.
fn write(path: &Path, time: &str, times: [i64; 2]) {
    let schema = format!(
        "message plant {{ REQUIRED BOOLEAN on; OPTIONAL DOUBLE heat; {time}; REQUIRED INT32 count; REQUIRED BYTE_ARRAY mode (UTF8); }}"
    );
    let schema = Arc::new(parse_message_type(&schema).unwrap());
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer =
        SerializedFileWriter::new(File::create(path).unwrap(), schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    column::<BoolType>(&mut group, &[true, false], None);
    column::<DoubleType>(&mut group, &[21.5], Some(&[1, 0]));
    column::<Int64Type>(&mut group, &times, None);
    column::<Int32Type>(&mut group, &[7, 8], None);
    let modes = [ByteArray::from("idle"), ByteArray::from("run")];
    column::<ByteArrayType>(&mut group, &modes, None);
    group.close().unwrap();
    writer.close().unwrap();
}

fn column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, File>,
    values: &[T::T],
    levels: Option<&[i16]>,
) {
    let mut column = group.next_column().unwrap().unwrap();
    column
        .typed::<T>()
        .write_batch(values, levels, None)
        .unwrap();
    column.close().unwrap();
}

fn read(path: &Path, columns: &[&str]) -> Result<Vec<Row>, String> {
    let recording = Recording {
        path: path.to_owned(),
        form: FileForm::of(path).unwrap(),
        time_column: "time".into(),
        columns: columns.iter().map(|column| (*column).into()).collect(),
    };
    recording.open()?.collect()
}

#[test]
fn columns_keep_their_types_and_times_their_units() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    for (time, unit) in [
        ("REQUIRED INT64 time (TIMESTAMP(MILLIS,true))", 1_000),
        ("REQUIRED INT64 time (TIMESTAMP(MICROS,false))", 1_000_000),
        ("REQUIRED INT64 time (TIMESTAMP(NANOS,true))", 1_000_000_000),
        ("REQUIRED INT64 time", 1),
    ] {
        write(&path, time, [AT * unit, (AT + 1) * unit]);
        let rows = read(&path, &["mode", "heat", "on", "count"]).unwrap();
        let at: Vec<_> = rows.iter().map(|row| row.at.clone()).collect();
        let expected = [AT, AT + 1].map(|at| Ok(Timestamp::from_nanos(at * 1_000_000_000)));
        assert_eq!(at, expected, "{time}");
        let first = [
            Ok(Value::Text("idle".into())),
            Ok(Value::F64(21.5)),
            Ok(Value::Bool(true)),
            Ok(Value::I64(7)),
        ];
        assert_eq!(rows[0].cells, first);
        assert_eq!(rows[1].cells[1], Err(nothing()));
        assert_eq!(rows[1].cells[3], Ok(Value::I64(8)));
    }
}

#[test]
fn what_is_no_such_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let error = read(&path, &["heat"]).unwrap_err();
    assert!(error.contains("failed: "), "{error}");
    std::fs::write(&path, "time,heat\n1,2\n").unwrap();
    let error = read(&path, &["heat"]).unwrap_err();
    assert!(error.contains("a.parquet failed: "), "{error}");
    write(&path, "REQUIRED INT64 time", [1, 2]);
    let error = read(&path, &["cold"]).unwrap_err();
    assert!(
        error.contains("has no column \"cold\", but on, heat, time, count, mode"),
        "{error}"
    );
}

#[test]
fn a_time_that_is_none_is_told_by_its_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    write(&path, "REQUIRED INT64 time", [AT, i64::MAX]);
    let rows = read(&path, &["count"]).unwrap();
    assert_eq!(
        rows[1].at,
        Err(format!("row 2: {} is not a time", i64::MAX))
    );
}
