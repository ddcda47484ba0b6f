//! Why the plant cannot start.

use std::io;

use forebay_schemas::ErrorKind;
use thiserror::Error;

/// Why the plant cannot start.
#[derive(Debug, Error)]
pub enum PlantError {
    /// A file inside the program is not what was put there.
    #[error("recorded data {file} cannot be read: {reason}; build the program again")]
    Data {
        /// The file below `data/`.
        file: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// No port, thread or folder for a server.
    #[error(
        "the {server} server of the plant cannot start; see that 127.0.0.1 has free ports and try again"
    )]
    Start {
        /// "modbus", "opcua" or "mqtt".
        server: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The server's library refuses its settings.
    #[error("the {server} server of the plant refuses to start: {reason}")]
    Refused {
        /// "modbus", "opcua" or "mqtt".
        server: &'static str,
        /// Why.
        reason: String,
    },
}

impl PlantError {
    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Data { .. } => ErrorKind::Corrupt,
            Self::Start { .. } => ErrorKind::Retry,
            Self::Refused { .. } => ErrorKind::Fatal,
        }
    }
}
