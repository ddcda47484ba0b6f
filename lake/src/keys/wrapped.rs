//! Keys under keys, as they may be stored.

use serde::{Deserialize, Serialize};

use super::MasterKeyId;

/// What a data key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUse {
    /// The footer, and with the uniform profile all columns.
    Footer,
    /// One column.
    Column,
}

/// A KEK as it may be stored: in a file's key metadata, and as a tag of the commit that adds the file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrappedKek {
    /// The master key that wraps it.
    #[serde(rename = "m")]
    pub master: MasterKeyId,
    /// Its id: 16 random bytes, in base64.
    #[serde(rename = "i")]
    pub kek_id: String,
    /// The KEK under the master key, as its provider gave it.
    #[serde(rename = "w")]
    pub wrapped: String,
}
