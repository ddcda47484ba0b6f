//! Values with `${VAR}`, `${VAR:-default}` and `${file:PATH}` replaced, after parsing, so that no content of a variable
//! or file can become TOML.

use toml::{Spanned, de::DeValue};

use crate::Document;

/// A value whose texts have been expanded.
#[derive(Debug, Clone, PartialEq)]
pub enum Expanded {
    /// A text.
    Text(String),
    /// An integer as written, without underscores, in base 10.
    Integer(i128),
    /// A number with a point or an exponent.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// An array.
    Array(Vec<Expanded>),
    /// A date or time, as written.
    Time(String),
    /// A table.
    Table,
}

impl Expanded {
    pub(crate) fn of(
        document: &Document<'_>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Self, String> {
        Ok(match value.get_ref() {
            DeValue::String(text) => Self::Text(expand(document, text)?),
            DeValue::Integer(integer) => {
                let digits = integer.as_str();
                let parsed = i128::from_str_radix(digits, integer.radix());
                Self::Integer(parsed.map_err(|_| format!("{digits} is too large a number"))?)
            }
            DeValue::Float(float) => Self::Float(
                float
                    .as_str()
                    .parse()
                    .map_err(|_| format!("{} is not a number", float.as_str()))?,
            ),
            DeValue::Boolean(truth) => Self::Bool(*truth),
            DeValue::Datetime(time) => Self::Time(time.to_string()),
            DeValue::Array(items) => Self::Array(
                items
                    .iter()
                    .map(|item| Self::of(document, item))
                    .collect::<Result<_, _>>()?,
            ),
            DeValue::Table(_) => Self::Table,
        })
    }

    /// It as a file says it; a table, which no default is, as the empty one.
    pub fn toml(&self) -> String {
        match self {
            Self::Text(text) => format!(
                "\"{}\"",
                text.replace('\\', "\\\\")
                    .replace('"', "\\\"")
                    .replace('\n', "\\n")
            ),
            Self::Integer(integer) => integer.to_string(),
            Self::Float(float) => format!("{float:?}"),
            Self::Bool(truth) => truth.to_string(),
            Self::Array(items) => format!(
                "[{}]",
                items.iter().map(Self::toml).collect::<Vec<_>>().join(", ")
            ),
            Self::Time(time) => time.clone(),
            Self::Table => "{}".to_owned(),
        }
    }

    /// What it is, for an error.
    pub(crate) fn what(&self) -> String {
        match self {
            Self::Text(text) => format!("{text:?}"),
            Self::Integer(integer) => integer.to_string(),
            Self::Float(float) => float.to_string(),
            Self::Bool(truth) => truth.to_string(),
            Self::Array(_) => "an array".to_owned(),
            Self::Time(time) => format!("the time {time}"),
            Self::Table => "a table".to_owned(),
        }
    }
}

fn expand(document: &Document<'_>, text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let (inside, behind) = after
            .split_once('}')
            .ok_or_else(|| format!("{text:?} has ${{ without its closing brace"))?;
        out.push_str(&replacement(document, inside)?);
        rest = behind;
    }
    out.push_str(rest);
    Ok(out)
}

fn replacement(document: &Document<'_>, inside: &str) -> Result<String, String> {
    if let Some(path) = inside.strip_prefix("file:") {
        let content = document.file_text(path)?;
        let content = content.strip_suffix('\n').unwrap_or(&content);
        document.replaced(content, inside);
        return Ok(content.to_owned());
    }
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    match (
        document
            .variable(name)
            .filter(|value| !value.is_empty() || default.is_none()),
        default,
    ) {
        (Some(value), _) => {
            document.replaced(&value, inside);
            Ok(value)
        }
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(format!(
            "the environment variable {name} is not set: set it, or write ${{{name}:-default}}"
        )),
    }
}
