//! Why an import failed.

use std::{io, path::PathBuf};

use arrow::error::ArrowError;
use forebay_lake::LakeError;
use forebay_schemas::{ErrorKind, InvalidName};
use thiserror::Error;

use crate::CompactorError;

/// Why an import failed.
#[derive(Debug, Error)]
pub enum ImportError {
    /// The file cannot be opened or read.
    #[error("cannot read {}", file.display())]
    Open {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is no CSV.
    #[error("cannot read {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: csv::Error,
    },
    /// The file is no Parquet, or one that is encrypted.
    #[error("cannot read {}", file.display())]
    Parquet {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: ArrowError,
    },
    /// A column of a Parquet file whose cells are not one value each, or bytes.
    #[error(
        "column {column:?} of {} is of type {data_type}, which does not become a reading: name the columns wanted with --tags",
        file.display()
    )]
    ColumnType {
        /// The file.
        file: PathBuf,
        /// The column.
        column: String,
        /// Its type.
        data_type: String,
    },
    /// A cell is quoted from here to the end of the file: all rows in between would vanish into it.
    #[error("{}: the quote that opens on line {line} is never closed: close it, double it, or take it out", file.display())]
    OpenQuote {
        /// The file.
        file: PathBuf,
        /// The line of the quote, the first is 1.
        line: u64,
    },
    /// A quote ends in the middle of a cell, so it is not the end of the one that opened.
    #[error(
        "{}: the quote that opens on line {line} ends on line {end} in front of more text: close it on its own line, \
         double it, or take it out",
        file.display()
    )]
    StrayQuote {
        /// The file.
        file: PathBuf,
        /// The line of the opening quote, the first is 1.
        line: u64,
        /// The line of the next one.
        end: u64,
    },
    /// No such column.
    #[error("{} has no column {column:?}; it has: {columns}", file.display())]
    Column {
        /// As asked for.
        column: String,
        /// The file.
        file: PathBuf,
        /// The columns that it has.
        columns: String,
    },
    /// A name that two columns have.
    #[error(
        "{} has two columns {column:?}, column {first} and column {second}: rename one in the header, or name the \
         columns wanted with --tags",
        file.display()
    )]
    DoubledColumn {
        /// The file.
        file: PathBuf,
        /// The name.
        column: String,
        /// The first that has it, from 1.
        first: usize,
        /// The next.
        second: usize,
    },
    /// A tag that was asked for twice.
    #[error("--tags names {tag:?} twice")]
    DoubledTag {
        /// The tag.
        tag: String,
    },
    /// A column that holds something and has no name.
    #[error(
        "column {column} of {} has no name, but row {row} has {example:?} there: give it one in the header, or name \
         the columns wanted with --tags",
        file.display()
    )]
    UnnamedColumn {
        /// The file.
        file: PathBuf,
        /// Which column, from 1.
        column: usize,
        /// The first row with something in it, from 1 below the header.
        row: u64,
        /// What it is.
        example: String,
    },
    /// A header in another encoding.
    #[error(
        "the name of column {column} in the header of {} is not UTF-8: name the file's encoding, such as by \
         `--encoding windows-1252`",
        file.display()
    )]
    Encoding {
        /// The file.
        file: PathBuf,
        /// Which of its columns, the first is 1.
        column: usize,
    },
    /// Nothing but the time and the device.
    #[error("{} has no column beside the time's and the device's", file.display())]
    NoTags {
        /// The file.
        file: PathBuf,
    },
    /// A column whose name is no tag name.
    #[error("column {column} of {}: {source}", file.display())]
    Tag {
        /// The file.
        file: PathBuf,
        /// Which of its columns, the first is 1.
        column: usize,
        /// Why.
        source: InvalidName,
    },
    /// Every row is bad.
    #[error("none of the {rows} rows of {} could be read; the first: {why}", file.display())]
    AllBad {
        /// The file.
        file: PathBuf,
        /// How many.
        rows: u64,
        /// What is wrong with the first.
        why: String,
    },
    /// The tables.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// What is there already could not be asked.
    #[error("cannot determine which readings already exist: {0}")]
    Existing(#[source] CompactorError),
    /// The readings are committed, but their windows are not closed.
    #[error(
        "the readings are in the table, but their windows could not be closed: {0}; import the file again"
    )]
    Windows(#[source] CompactorError),
}

impl ImportError {
    /// What a caller may do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Lake(error) => error.kind(),
            Self::Windows(error) | Self::Existing(error) => error.kind(),
            Self::Open { .. } => ErrorKind::Retry,
            _ => ErrorKind::Reject,
        }
    }
}
