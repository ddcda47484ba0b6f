//! Payloads as they come, for people who look: `forebay tap --stage raw`.

use std::fmt::Debug;

use forebay_schemas::{DeviceId, TagName};

/// Of a longer payload only its beginning is shown.
pub const RAW_BYTES_MAX: usize = 16 * 1024;
/// Series of a payload that are named to who looks.
pub(crate) const RAW_SERIES_MAX: usize = 256;

/// A payload as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    /// Where it came from, for people: a topic, a path, registers.
    pub from: String,
    /// Its first bytes, at most [`RAW_BYTES_MAX`].
    pub payload: Vec<u8>,
    /// How many bytes it has.
    pub payload_bytes: usize,
    /// The series of its samples, by the names that the connector gives them.
    pub series: Vec<(DeviceId, TagName)>,
}

/// The gateway's end of what is shown: connectors know no gateway.
pub trait Watcher: Debug + Send + Sync {
    /// Whether anybody looks at payloads. Asked for each of them: it must cost next to nothing.
    fn looks(&self) -> bool;

    /// Shows a payload. Must not wait.
    fn show(&self, raw: Raw);
}
