//! Functions that clients of PostgreSQL call and that the engine has not, or answers for itself.

use arrow::{
    array::{Array as _, AsArray as _, StringArray},
    compute::cast,
    datatypes::DataType,
};
use datafusion::{
    common::{Result, ScalarValue},
    logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf},
};
use std::sync::Arc;

/// The version of PostgreSQL whose dialect clients may expect.
pub(crate) const SERVER_VERSION: &str = "16.6";
/// The same as a number.
const SERVER_VERSION_NUM: &str = "160006";

/// What `SHOW` and `current_setting` answer where a session has set nothing.
pub(crate) const SETTINGS: [(&str, &str); 17] = [
    ("application_name", ""),
    ("bytea_output", "hex"),
    ("client_encoding", "UTF8"),
    ("datestyle", "ISO, MDY"),
    ("default_transaction_read_only", "on"),
    ("extra_float_digits", "1"),
    ("integer_datetimes", "on"),
    ("intervalstyle", "postgres"),
    ("max_identifier_length", "63"),
    ("search_path", "public"),
    ("server_encoding", "UTF8"),
    ("server_version", SERVER_VERSION),
    ("server_version_num", SERVER_VERSION_NUM),
    ("standard_conforming_strings", "on"),
    ("statement_timeout", "0"),
    ("timezone", "UTC"),
    ("transaction_isolation", "repeatable read"),
];

/// A setting's value.
pub(crate) fn setting(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    let found = SETTINGS.iter().find(|(known, _)| *known == name);
    found.map(|(_, value)| *value)
}

/// The functions for one user.
pub(crate) fn functions(user: &str) -> Vec<ScalarUDF> {
    let version = format!(
        "PostgreSQL {SERVER_VERSION} (Forebay {})",
        env!("CARGO_PKG_VERSION")
    );
    vec![
        constant("version", version),
        constant("session_user", user.to_owned()),
        current_setting(),
    ]
}

fn constant(name: &'static str, value: String) -> ScalarUDF {
    let answer = move |_: &[ColumnarValue]| {
        Ok(ColumnarValue::Scalar(ScalarValue::Utf8(Some(
            value.clone(),
        ))))
    };
    create_udf(
        name,
        vec![],
        DataType::Utf8,
        Volatility::Stable,
        Arc::new(answer),
    )
}

fn current_setting() -> ScalarUDF {
    create_udf(
        "current_setting",
        vec![DataType::Utf8],
        DataType::Utf8,
        Volatility::Stable,
        Arc::new(setting_of),
    )
}

fn setting_of(arguments: &[ColumnarValue]) -> Result<ColumnarValue> {
    let Some(name) = arguments.first() else {
        return Ok(ColumnarValue::Scalar(ScalarValue::Utf8(None)));
    };
    match name {
        ColumnarValue::Scalar(name) => {
            let name = name.try_as_str().flatten();
            let value = name.and_then(setting).map(str::to_owned);
            Ok(ColumnarValue::Scalar(ScalarValue::Utf8(value)))
        }
        ColumnarValue::Array(names) => {
            let names = cast(names, &DataType::Utf8)?;
            let names = names.as_string::<i32>();
            let value = |row| {
                names
                    .is_valid(row)
                    .then(|| setting(names.value(row)))
                    .flatten()
            };
            let values: StringArray = (0..names.len()).map(value).collect();
            Ok(ColumnarValue::Array(Arc::new(values)))
        }
    }
}
