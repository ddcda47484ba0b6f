//! A recorded file as rows, in the file's order.
//!
//! CSV and Parquet files are read row by row. A row whose time or cell cannot be read is a row that says so; only a file that is
//! not there, or is no table with the columns that are asked for, is an error.

mod cell;
mod csv_file;
#[cfg(feature = "parquet")]
mod parquet_file;

use std::path::{Path, PathBuf};

use forebay_schemas::{Status, Timestamp, Value};

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileForm {
    Csv,
    #[cfg(feature = "parquet")]
    Parquet,
}

/// A file, and what of it is replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recording {
    pub(super) path: PathBuf,
    pub(super) form: FileForm,
    pub(super) time_column: String,
    pub(super) columns: Vec<String>,
}

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// When it was recorded, or why that cannot be read.
    pub(super) at: Result<Timestamp, String>,
    /// A cell for each column of the recording.
    pub(super) cells: Vec<Cell>,
}

/// A value, or the status of a reading without one.
pub(super) type Cell = Result<Value, Status>;

/// The rows of a file; an error ends them.
pub(super) type Rows = Box<dyn Iterator<Item = Result<Row, String>> + Send>;

impl FileForm {
    /// By the end of a file's name; none where this build does not read such files.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let is_parquet = path
            .extension()
            .is_some_and(|end| end.eq_ignore_ascii_case("parquet"));
        if !is_parquet {
            return Some(Self::Csv);
        }
        #[cfg(feature = "parquet")]
        return Some(Self::Parquet);
        #[cfg(not(feature = "parquet"))]
        return None;
    }
}

impl Recording {
    /// Opens the file. Blocks, as its rows do.
    pub(super) fn open(&self) -> Result<Rows, String> {
        match self.form {
            FileForm::Csv => csv_file::rows(self),
            #[cfg(feature = "parquet")]
            FileForm::Parquet => parquet_file::rows(self),
        }
    }

    fn failed(&self, error: &dyn std::fmt::Display) -> String {
        format!("reading {} failed: {error}", self.path.display())
    }

    /// Places of the time and of the columns in a file's own columns.
    fn places(&self, own: &[String]) -> Result<(usize, Vec<usize>), String> {
        let place = |name: &String| {
            let found = own.iter().position(|column| column == name);
            found.ok_or_else(|| {
                let shown = self.path.display();
                format!("{shown} has no column {name:?}, but {}", own.join(", "))
            })
        };
        let columns = self.columns.iter().map(place).collect::<Result<_, _>>()?;
        Ok((place(&self.time_column)?, columns))
    }
}

/// A cell that the recording left empty.
fn nothing() -> Status {
    Status::bad(None, "the recording has no value")
}
