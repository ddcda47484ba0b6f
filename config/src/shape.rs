//! Which values a key takes, for documents and schemas. What is checked is what [`crate::FromValue`] checks.

use crate::KeyInfo;

/// Which values a key takes.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// A text.
    Text,
    /// A text that no error shows.
    Secret,
    /// A path; a relative one starts from the file's own folder.
    Path,
    /// `true` or `false`.
    Boolean,
    /// A whole number within these bounds.
    Integer {
        /// The least; none: any.
        min: Option<i64>,
        /// The greatest; none: any.
        max: Option<u64>,
    },
    /// A finite number.
    Number,
    /// A duration such as `"1h30m"`.
    Duration,
    /// A size in bytes such as `"2GiB"`.
    Size,
    /// A text that fits a regular expression.
    Pattern {
        /// What it is, in words.
        what: &'static str,
        /// The expression, which must fit the whole text.
        pattern: &'static str,
    },
    /// One of these words.
    Words(Vec<&'static str>),
    /// A value of any of these shapes.
    AnyOf(Vec<Shape>),
    /// An array.
    Array(Box<Shape>),
    /// A table whose keys are names of the user's, each with a value of this shape.
    Mapping(Box<Shape>),
    /// A table, or several of one name.
    Table {
        /// How it is written.
        form: TableForm,
        /// Its keys.
        keys: Vec<KeyInfo>,
    },
}

/// How a table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableForm {
    /// `[name]`, at most once.
    One,
    /// `[[name]]`, any number of times.
    Many,
}
