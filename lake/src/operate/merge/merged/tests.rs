//! Runs that follow one another, overlap and interleave, longer than what is decoded at once; and rows out of order.

use arrow::{
    array::{ArrayRef, AsArray as _, Int64Array, StringArray},
    compute::cast,
    datatypes::{Field, Int64Type},
};

use super::*;
use crate::file::schema::dictionary_field;

type Rows<'a> = Vec<(&'a str, i64, i64)>;

/// Rows of device, time and seq.
fn batch(rows: &[(&str, i64, i64)]) -> RecordBatch {
    let field = |name: &str, of: &DataType| Field::new(name, of.clone(), false);
    let schema = Schema::new(vec![
        field("device", &DataType::Utf8),
        field("event_time", &DataType::Int64),
        field("seq", &DataType::Int64),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.2))),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

/// The same rows with their texts as dictionaries.
fn coded(rows: &RecordBatch) -> RecordBatch {
    let coded = |field: &Arc<Field>| match field.data_type() {
        DataType::Utf8 => Arc::new(dictionary_field(field)),
        _ => field.clone(),
    };
    let fields: Vec<_> = rows.schema().fields().iter().map(coded).collect();
    as_in(&Arc::new(Schema::new(fields)), rows)
}

/// The same rows, their columns as a schema has them.
fn as_in(schema: &SchemaRef, rows: &RecordBatch) -> RecordBatch {
    let columns = schema.fields().iter().zip(rows.columns());
    let columns = columns.map(|(field, column)| cast(column, field.data_type()).unwrap());
    RecordBatch::try_new(schema.clone(), columns.collect()).unwrap()
}

/// The files' rows in a form, so many at a time; each batch that comes out.
fn merged(
    files: &[Rows<'_>],
    rows: usize,
    form: fn(&RecordBatch) -> RecordBatch,
) -> Result<Vec<RecordBatch>, Stopped> {
    let schema = form(&batch(&[])).schema();
    let mut merged = Merged::of(schema, Vec::new(), Order::AsWritten);
    for (number, file) in files.iter().enumerate() {
        let batches = file.chunks(rows).map(|rows| Ok(form(&batch(rows))));
        merged.runs.push(Run {
            batches: Box::new(batches.collect::<Vec<_>>().into_iter()),
            last: None,
            current: None,
        });
        merged.advance(number)?;
    }
    merged.collect()
}

const FORMS: [fn(&RecordBatch) -> RecordBatch; 2] = [RecordBatch::clone, coded];

#[track_caller]
fn check(files: &[Rows<'_>]) {
    let mut expected: Rows<'_> = files.iter().flatten().copied().collect();
    expected.sort();
    let schema = batch(&[]).schema();
    for (rows, form) in [1, 7, 100, 8_192]
        .into_iter()
        .flat_map(|rows| FORMS.map(|form| (rows, form)))
    {
        let found = merged(files, rows, form).unwrap();
        let of_form = form(&batch(&[])).schema();
        assert!(found.iter().all(|batch| batch.schema() == of_form));
        let plain: Vec<_> = found.iter().map(|batch| as_in(&schema, batch)).collect();
        let whole = concat_batches(&schema, &plain).unwrap();
        assert_eq!(whole, batch(&expected), "{rows} rows at a time");
        assert!(
            found.iter().all(|batch| batch.num_rows() < ROWS + 8_192),
            "no more than what was asked for and a stretch"
        );
    }
}

/// Rows of a file with and without a text, among those of one that has none, and of one that has
/// others.
#[test]
fn dictionaries_are_put_together_by_their_texts() {
    let file = |times: &[i64], texts: &[Option<&str>]| {
        let schema = Schema::new(vec![
            Field::new("device", DataType::Utf8, false),
            Field::new("event_time", DataType::Int64, false),
            Field::new("unit", DataType::Utf8, true),
        ]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec!["a"; times.len()])),
            Arc::new(Int64Array::from(times.to_vec())),
            Arc::new(StringArray::from(texts.to_vec())),
        ];
        coded(&RecordBatch::try_new(Arc::new(schema), columns).unwrap())
    };
    let files = [
        file(&[0, 3, 4, 9], &[Some("bar"), None, None, Some("Cel")]),
        file(&[1, 2, 5, 8], &[None; 4]),
        file(&[6, 7], &[Some("Cel"), Some("bar")]),
    ];
    let mut merged = Merged::of(files[0].schema(), Vec::new(), Order::AsWritten);
    for (number, file) in files.into_iter().enumerate() {
        merged.runs.push(Run {
            batches: Box::new(std::iter::once(Ok(file))),
            last: None,
            current: None,
        });
        merged.advance(number).unwrap();
    }
    let found = merged.next().unwrap().unwrap();
    let texts = cast(&found["unit"], &DataType::Utf8).unwrap();
    let (bar, cel) = (Some("bar"), Some("Cel"));
    let expected = [bar, None, None, None, None, None, cel, bar, None, cel];
    assert_eq!(
        texts.as_string::<i32>(),
        &StringArray::from(expected.to_vec())
    );
}

fn series(device: &str, times: Range<i64>) -> Rows<'_> {
    times.map(|time| (device, time, time * 10)).collect()
}

#[test]
fn rows_are_in_order_whatever_files_they_come_from() {
    let all = |parts: &[Rows<'static>]| parts.concat();
    check(&[
        all(&[series("a", 0..50), series("b", 0..50)]),
        all(&[series("a", 50..90), series("b", 50..99)]),
    ]);
    // The later file first, and files that overlap.
    check(&[series("a", 60..90), series("a", 0..60)]);
    check(&[series("a", 0..60), series("a", 30..90), series("b", 0..3)]);
    let every_other = |from: i64| (0..40).map(|n| ("a", n * 2 + from, n)).collect();
    check(&[every_other(0), every_other(1)]);
    check(&[Vec::new(), series("a", 0..1)]);
    check(&[
        series("a", 0..20_000),
        series("a", 9_000..30_000),
        series("b", 0..9),
    ]);
    assert!(merged(&[], 7, coded).unwrap().is_empty());
}

#[test]
fn equal_rows_come_in_the_order_of_their_files() {
    let schema = Arc::new(Schema::new(vec![
        Field::new("device", DataType::Utf8, false),
        Field::new("file", DataType::Int64, false),
    ]));
    let run = |file: i64| -> Batches {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec!["a", "a"])),
            Arc::new(Int64Array::from(vec![file, file])),
        ];
        Box::new(std::iter::once(Ok(RecordBatch::try_new(
            schema.clone(),
            columns,
        )
        .unwrap())))
    };
    let mut merged = Merged::of(schema.clone(), Vec::new(), Order::AsWritten);
    for number in 0..3 {
        merged.runs.push(Run {
            batches: run(number as i64),
            last: None,
            current: None,
        });
        merged.advance(number).unwrap();
    }
    let found = merged.next().unwrap().unwrap();
    assert_eq!(
        found.column(1).as_primitive::<Int64Type>().values(),
        &[0, 0, 1, 1, 2, 2]
    );
}

#[test]
fn rows_out_of_order_are_found_and_can_be_sorted() {
    let unsorted = vec![
        ("b", 3, 1),
        ("a", 2, 1),
        ("b", 1, 1),
        ("a", 1, 2),
        ("a", 1, 1),
    ];
    for (rows, form) in [1, 2, 100]
        .into_iter()
        .flat_map(|rows| FORMS.map(|form| (rows, form)))
    {
        let outcome = merged(&[series("a", 0..9), unsorted.clone()], rows, form);
        assert!(
            matches!(outcome, Err(Stopped::OutOfOrder)),
            "{rows} rows at a time: {outcome:?}"
        );
    }
    let mut expected = unsorted.clone();
    expected.sort();
    let halves = [batch(&unsorted[..2]), batch(&unsorted[2..])];
    let schema = halves[0].schema();
    assert_eq!(sorted(&schema, &halves).unwrap(), batch(&expected));
    let halves = halves.map(|half| coded(&half));
    let found = sorted(&halves[0].schema(), &halves).unwrap();
    assert_eq!(as_in(&schema, &found), batch(&expected));
}
