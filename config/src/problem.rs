//! What is wrong with a file, and where.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use thiserror::Error;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong, what was expected, and the nearest valid name where there is one.
    pub message: String,
}

/// Everything that is wrong with one file, in the order of its lines.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct ConfigErrors {
    /// The file.
    pub file: PathBuf,
    /// Never empty.
    pub problems: Vec<Problem>,
}

impl ConfigErrors {
    /// What is wrong with a file as a whole.
    pub fn of_file(file: &Path, message: impl Into<String>) -> Self {
        let problem = Problem {
            line: 1,
            column: 1,
            message: message.into(),
        };
        Self {
            file: file.to_owned(),
            problems: vec![problem],
        }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (
            i,
            Problem {
                line,
                column,
                message,
            },
        ) in self.problems.iter().enumerate()
        {
            let between = if i == 0 { "" } else { "\n" };
            write!(
                f,
                "{between}{}:{line}:{column}: {message}",
                self.file.display()
            )?;
        }
        Ok(())
    }
}
