//! A CSV file with a header.

use std::{fs::File, io::Read};

use csv::{ByteRecord, Position, ReaderBuilder, Trim};

use super::{Recording, Row, Rows, cell};

/// The rows of a file.
pub(super) fn rows(recording: &Recording) -> Result<Rows, String> {
    let file = File::open(&recording.path).map_err(|error| recording.failed(&error))?;
    read(recording, file)
}

fn read(recording: &Recording, file: impl Read + Send + 'static) -> Result<Rows, String> {
    let mut reader = ReaderBuilder::new()
        .trim(Trim::All)
        .flexible(true)
        .from_reader(file);
    let header = reader
        .byte_headers()
        .map_err(|error| recording.failed(&error))?;
    let own: Vec<String> = header.iter().map(text).collect();
    let (time, columns) = recording.places(&own)?;
    let recording = recording.clone();
    let rows = reader.into_byte_records().map(move |record| {
        let record = record.map_err(|error| recording.failed(&error))?;
        Ok(row(&record, time, &columns))
    });
    Ok(Box::new(rows))
}

fn row(record: &ByteRecord, time: usize, columns: &[usize]) -> Row {
    let cell = |place: usize| text(record.get(place).unwrap_or_default());
    let line = record.position().map_or(0, Position::line);
    Row {
        at: cell::time(&cell(time)).map_err(|what| format!("line {line}: {what}")),
        cells: columns
            .iter()
            .map(|place| cell::value(&cell(*place)))
            .collect(),
    }
}

/// Text of other encodings shows where it is broken.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use forebay_fuzz::{corpus, fuzz};
    use forebay_schemas::{Quality, Timestamp, Value};

    use super::{super::FileForm, *};

    fn recording(columns: &[&str]) -> Recording {
        Recording {
            path: "nowhere/a.csv".into(),
            form: FileForm::Csv,
            time_column: "time".into(),
            columns: columns.iter().map(|column| (*column).into()).collect(),
        }
    }

    fn read(text: &[u8], columns: &[&str]) -> Result<Vec<Row>, String> {
        super::read(&recording(columns), Cursor::new(text.to_vec()))?.collect()
    }

    #[test]
    fn columns_are_read_by_name_and_broken_rows_say_so() {
        let text = b"mode,time,heat\non, 1769860800 ,21.5\noff,1769860801,\n\"a, b\",noon,7\nk\xe4se,1769860802\n";
        let rows = read(text, &["heat", "mode"]).unwrap();
        let at = |nanos: i64| Ok(Timestamp::from_nanos(1_769_860_800_000_000_000 + nanos));
        assert_eq!(rows[0].at, at(0));
        let mode = |text: &str| Ok(Value::Text(text.into()));
        assert_eq!(rows[0].cells, [Ok(Value::F64(21.5)), mode("on")]);
        assert_eq!(rows[1].at, at(1_000_000_000));
        let empty = rows[1].cells[0].as_ref().unwrap_err();
        assert_eq!(empty.quality, Quality::Bad);
        assert_eq!(rows[2].at, Err("line 4: \"noon\" is not a time".into()));
        assert_eq!(rows[2].cells[1], mode("a, b"));
        assert_eq!(rows[3].cells[1], mode("k\u{fffd}se"));
        assert_eq!(rows.len(), 4);
    }

    #[test]
    fn a_file_without_the_columns_is_an_error() {
        for (text, expected) in [
            ("time,b\n1,2\n", "has no column \"a\", but time, b"),
            ("at,a\n1,2\n", "has no column \"time\", but at, a"),
            ("", "has no column \"a\", but "),
        ] {
            let error = read(text.as_bytes(), &["a"]).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let Err(error) = recording(&["a"]).open() else {
            panic!("there is no such file");
        };
        assert!(error.contains("reading nowhere/a.csv failed"), "{error}");
    }

    #[test]
    fn fuzz_csv() {
        fuzz(corpus!("csv"), |text| {
            let rows = read(text, &["heat", "mode"]);
            let kind = |row: &Row| (row.at.is_ok(), row.cells[0].is_ok(), row.cells[1].is_ok());
            let rows = rows.unwrap_or_default();
            rows.iter().take(20).map(kind).collect::<Vec<_>>()
        });
    }
}
