//! How much memory readings take, roughly: for budgets, not for bills.

use forebay_schemas::{Reading, Value, wire::ReadingBatch};

/// A batch in memory, in bytes.
pub(super) fn batch_bytes(batch: &ReadingBatch) -> usize {
    size_of::<ReadingBatch>() + batch.readings.iter().map(reading_bytes).sum::<usize>()
}

/// A reading with what it owns; names and units are shared between readings.
fn reading_bytes(reading: &Reading) -> usize {
    let value = match &reading.value {
        Some(Value::Text(text)) => text.len(),
        Some(Value::Bytes(bytes)) => bytes.len(),
        _ => 0,
    };
    size_of::<Reading>() + value + reading.status.reason.as_ref().map_or(0, String::len)
}
