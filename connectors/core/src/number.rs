//! What is a number.

use forebay_schemas::{Status, Value};

/// A float as a value. NaN and infinity are none, whatever the device calls them: one of them would make every sum, mean
/// and extreme over it the same. `raw` is the float's bits as they came, and becomes the code of the status.
///
/// # Errors
/// The bad status, with the reason "not a number" or "infinite".
pub fn finite(value: f64, raw: u64) -> Result<Value, Status> {
    if value.is_finite() {
        return Ok(Value::F64(value));
    }
    let reason = if value.is_nan() {
        "not a number"
    } else {
        "infinite"
    };
    Err(Status::bad(Some(raw.cast_signed()), reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finite_is_bad_and_keeps_its_bits() {
        assert_eq!(finite(-0.5, 0), Ok(Value::F64(-0.5)));
        assert_eq!(finite(f64::MAX, 0), Ok(Value::F64(f64::MAX)));
        let cases = [
            (
                f64::from(f32::from_bits(0x7FC0_0000)),
                0x7FC0_0000,
                "not a number",
                0x7FC0_0000,
            ),
            (f64::NEG_INFINITY, 0xFF80_0000, "infinite", 0xFF80_0000),
            (f64::NAN, u64::MAX, "not a number", -1),
        ];
        for (value, raw, reason, code) in cases {
            assert_eq!(finite(value, raw), Err(Status::bad(Some(code), reason)));
        }
    }
}
