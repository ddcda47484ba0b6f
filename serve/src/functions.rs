//! Functions that clients of PostgreSQL call and that the engine has not, or answers for itself.

pub(crate) mod bounded;
pub(crate) mod patterns;

use std::{convert::Infallible, ops::ControlFlow, sync::Arc};

use arrow::{
    array::{Array as _, AsArray as _, StringArray},
    compute::cast,
    datatypes::DataType,
};
use datafusion::{
    common::{Result, ScalarValue},
    logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf},
    sql::sqlparser::{
        ast::{Expr, Ident, Select, SelectItem, Statement, VisitMut as _, VisitorMut},
        tokenizer::Token,
    },
};

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

/// How PostgreSQL names the user's columns; the parser makes calls of `session_user` of all of them.
const USER_NAMES: [&str; 3] = ["current_user", "session_user", "user"];
/// What they become.
const USER_FUNCTION: &str = "session_user";

/// Gives the unnamed columns that show the user's name the names that they have in PostgreSQL, as `tokens` have them in
/// their order: in the engine all would have one name, and two of one name are refused.
pub(crate) fn name_user_columns(statement: &mut Statement, tokens: &[Token]) {
    let mut names: Vec<&'static str> = Vec::new();
    let written = tokens.iter().filter_map(user_name);
    for name in written.chain(USER_NAMES) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    // Nothing breaks off the visit.
    let _all = statement.visit(&mut UserColumns { names });
}

fn user_name(token: &Token) -> Option<&'static str> {
    match token {
        Token::Word(word) if word.quote_style.is_none() => USER_NAMES
            .into_iter()
            .find(|name| word.value.eq_ignore_ascii_case(name)),
        _ => None,
    }
}

struct UserColumns {
    names: Vec<&'static str>,
}

impl VisitorMut for UserColumns {
    type Break = Infallible;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Infallible> {
        let mut names = self.names.iter();
        for item in &mut select.projection {
            let SelectItem::UnnamedExpr(Expr::Function(function)) = &*item else {
                continue;
            };
            if !function
                .name
                .to_string()
                .eq_ignore_ascii_case(USER_FUNCTION)
            {
                continue;
            }
            let expr = Expr::Function(function.clone());
            if let Some(name) = names.next() {
                let alias = Ident::with_quote('"', *name);
                *item = SelectItem::ExprWithAlias { expr, alias };
            }
        }
        ControlFlow::Continue(())
    }
}

/// The functions for one user.
pub(crate) fn functions(user: &str) -> Vec<ScalarUDF> {
    let version = format!(
        "PostgreSQL {SERVER_VERSION} (Forebay {})",
        env!("CARGO_PKG_VERSION")
    );
    vec![
        constant("version", version),
        constant(USER_FUNCTION, user.to_owned()),
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
