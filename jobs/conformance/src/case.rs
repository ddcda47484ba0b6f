//! A job of one kind, and what it is tried on.

use std::path::Path;

use forebay_config::{ConfigErrors, Document};
use forebay_jobs::{Fire, Job, JobKind};
use forebay_schemas::Timestamp;

/// One job of a kind, the readings of its lake, and the fires that it runs for.
pub struct Case<'a> {
    /// The kind.
    pub kind: &'a dyn JobKind,
    /// The kind's own keys, as they stand within the braces of an inline table: `tags = ["rpm"], limit = 3.5`.
    pub keys: &'a str,
    /// All readings, also those after the fires.
    pub readings: Vec<SeriesReadings>,
    /// In the order in which they are due. A case tells something only if at least one of them gives rows.
    pub fires: Vec<Fire>,
    /// Device and tag of the series of which rows after the fire may be read.
    pub known_ahead: &'a [(&'a str, &'a str)],
    /// A fire so long after the last reading that everything is silent: nothing may be called healthy by it.
    pub after_silence: Fire,
}

/// The good readings of one series: (event time, value).
pub struct SeriesReadings {
    /// The device.
    pub device: String,
    /// The tag.
    pub tag: String,
    /// Its readings.
    pub readings: Vec<(Timestamp, f64)>,
}

impl Case<'_> {
    pub(crate) fn job(&self) -> Box<dyn Job> {
        configured(self.kind, self.keys)
            .unwrap_or_else(|errors| panic!("{}: {errors}", self.kind.name()))
    }

    pub(crate) fn is_known_ahead(&self, series: &SeriesReadings) -> bool {
        self.known_ahead
            .contains(&(series.device.as_str(), series.tag.as_str()))
    }
}

/// A job of this kind, made from its own keys as `forebay.toml` has them.
///
/// # Errors
/// What is wrong with them.
pub fn configured(kind: &dyn JobKind, keys: &str) -> Result<Box<dyn Job>, ConfigErrors> {
    let text = format!("job = {{ {keys} }}");
    Document::new(Path::new("forebay.toml"), &text, &|_: &str| None).read(|root| {
        let mut table = root.table(kind.keys())?;
        let job = kind.configure(&mut table);
        table.finish();
        job
    })
}
