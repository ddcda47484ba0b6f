//! Results as text that can be compared.

use std::collections::BTreeMap;

use arrow::{
    array::{Array as _, RecordBatch},
    util::display::{ArrayFormatter, FormatOptions},
};
use forebay_jobs::Results;
use serde_json::Value;

/// What differs from run to run and means nothing: when a row was made.
const OF_THE_CLOCK: &str = "changed_at";

/// Digits to which numbers are compared: sums of the same readings in another order differ in the last ones.
const DIGITS: usize = 9;

/// The rows of results by table, each as text, sorted.
pub fn rows_of(results: &Results) -> BTreeMap<&'static str, Vec<String>> {
    let mut rows = BTreeMap::new();
    for (table, batch) in results.batches("job", "run").expect("rows fit their table") {
        let mut texts: Vec<String> = (0..batch.num_rows()).map(|row| text(&batch, row)).collect();
        texts.sort();
        rows.insert(table.name, texts);
    }
    rows
}

fn text(batch: &RecordBatch, row: usize) -> String {
    let options = FormatOptions::default().with_null("null");
    let mut cells = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if field.name() == OF_THE_CLOCK {
            continue;
        }
        let shown = ArrayFormatter::try_new(column, &options).expect("a column of a table");
        let cell = if column.is_null(row) {
            "null".to_owned()
        } else {
            rounded(&shown.value(row).to_string())
        };
        cells.push(format!("{}={cell}", field.name()));
    }
    cells.join(" ")
}

/// Numbers, also those within JSON, to the digits that count.
fn rounded(cell: &str) -> String {
    match serde_json::from_str::<Value>(cell) {
        Ok(value) => in_json(value).to_string(),
        Err(_) => cell.to_owned(),
    }
}

fn in_json(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => {
            let value = number.as_f64().unwrap_or(f64::NAN);
            Value::String(format!("{value:.DIGITS$e}"))
        }
        Value::Array(values) => values.into_iter().map(in_json).collect(),
        Value::Object(values) => {
            let values = values.into_iter();
            Value::Object(values.map(|(key, value)| (key, in_json(value))).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_equal_to_nine_digits_wherever_they_stand() {
        for (a, b) in [
            ("0.30000000000000004", "0.3"),
            ("[{\"score\":2.0000000000001}]", "[{\"score\":2.0}]"),
        ] {
            assert_eq!(rounded(a), rounded(b));
        }
        assert_ne!(rounded("1.0001"), rounded("1.0002"));
        assert_eq!(rounded("outer race"), "outer race");
    }
}
