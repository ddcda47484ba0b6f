//! Where a measurement finds its readings, and where it puts them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A topic and what is in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Topic {
    pub(crate) broker: String,
    pub(crate) name: String,
    pub(crate) readings: u64,
}

/// Where a lake is to lie.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Place {
    Folder(PathBuf),
    Bucket {
        endpoint: String,
        name: String,
        folder: String,
    },
}

/// Whether its files are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Profile {
    Columns,
    None,
}
