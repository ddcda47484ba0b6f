//! What samples weigh in memory, before they are made and after.

use axum::http::StatusCode;
use forebay_connectors::Sample;
use forebay_schemas::Value;

use crate::refusal::Refusal;

/// Values that one body may have.
pub(crate) const VALUES_MAX: usize = 50_000;
/// A sample with its share of names.
const SAMPLE_BYTES: usize = size_of::<Sample>() + 64;
/// The shortest value in any format, with what keeps it from the next.
const VALUE_BYTES_MIN: usize = 2;

/// The most that the samples of a body of this length may weigh, in bytes.
pub(crate) fn most(body_bytes: usize) -> usize {
    let values = (body_bytes / VALUE_BYTES_MIN + 1).min(VALUES_MAX);
    values * SAMPLE_BYTES + body_bytes
}

/// What samples weigh, in bytes.
pub(crate) fn of(samples: &[Sample]) -> usize {
    let texts = samples.iter().map(|sample| match &sample.value {
        Some(Value::Text(text)) => text.len(),
        Some(Value::Bytes(bytes)) => bytes.len(),
        _ => 0,
    });
    samples.len() * SAMPLE_BYTES + texts.sum::<usize>()
}

/// Refuses a body with more values than one may have.
pub(crate) fn check(samples: &[Sample]) -> Result<(), Refusal> {
    if samples.len() <= VALUES_MAX {
        return Ok(());
    }
    let reason = format!("the body has more than {VALUES_MAX} values: send less at once");
    Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, reason))
}
