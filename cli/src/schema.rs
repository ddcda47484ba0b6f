//! Everything that may stand in `forebay.toml`, put together from the crates that read it.
//!
//! Kept here: each table that [`crate::config`] reads is a section, and a new kind of connector or job brings its keys with
//! its line in the registry. What a key means stands beside its reader and nowhere else.

mod json;
mod markdown;

use forebay_alerts::{ALERT, ALERTS, ROUTE, route_kinds};
#[cfg(feature = "lake")]
use forebay_compactor::{LAKE, RETENTION};
use forebay_config::{Describe as _, KeyInfo, Shape, TableKeys};
use forebay_gateway::{CONNECTOR, GATEWAY, SPOOL, STEP};
#[cfg(feature = "lake")]
use forebay_jobs::keys::{JOB, JOBS};
use forebay_keys::KEYS;
#[cfg(feature = "lake")]
use forebay_serve::SERVE;
use forebay_stream::kafka::STREAM;
use forebay_telemetry::TELEMETRY;

use crate::registry;

pub(crate) use json::json;
pub(crate) use markdown::markdown;

/// The key whose value decides which other keys there are.
const KIND: &str = "kind";

/// One table of the file's root.
pub(crate) struct Section {
    /// The table with the keys that it has in any case.
    pub(crate) table: KeyInfo,
    /// What more it has by `kind`; empty for a table that is always the same.
    pub(crate) kinds: Vec<Kind>,
}

/// One kind of connector or job.
pub(crate) struct Kind {
    /// The value of `kind`.
    pub(crate) name: &'static str,
    /// The table with this kind's own keys, some of which may be common too.
    pub(crate) table: KeyInfo,
}

/// The file's tables, in the order in which they are documented.
pub(crate) fn sections() -> Vec<Section> {
    let connectors = registry::CONNECTORS.iter().map(|kind| Kind {
        name: kind.name(),
        table: kind.keys().connector.describe(),
    });
    let mut sections: Vec<Section> = [GATEWAY, SPOOL, STREAM]
        .iter()
        .map(Section::alike)
        .collect();
    #[cfg(feature = "lake")]
    sections.push(Section::alike(&LAKE));
    #[cfg(feature = "lake")]
    sections.push(Section::alike(&RETENTION));
    sections.push(Section::alike(&KEYS));
    sections.push(Section {
        table: CONNECTOR.describe(),
        kinds: connectors.collect(),
    });
    sections.push(Section::alike(&STEP));
    #[cfg(feature = "lake")]
    sections.push(Section::alike(&JOBS));
    #[cfg(feature = "lake")]
    sections.push(Section {
        table: JOB.describe(),
        kinds: jobs(),
    });
    sections.extend([&ALERTS, &ALERT].map(Section::alike));
    let routes = route_kinds().into_iter().map(|(name, keys)| Kind {
        name,
        table: keys.describe(),
    });
    sections.push(Section {
        table: ROUTE.describe(),
        kinds: routes.collect(),
    });
    #[cfg(feature = "lake")]
    sections.push(Section::alike(&SERVE));
    sections.push(Section::alike(&TELEMETRY));
    sections
}

#[cfg(feature = "lake")]
fn jobs() -> Vec<Kind> {
    registry::JOBS
        .iter()
        .map(|kind| Kind {
            name: kind.name(),
            table: kind.keys().describe(),
        })
        .collect()
}

impl Section {
    fn alike(keys: &TableKeys) -> Self {
        Self {
            table: keys.describe(),
            kinds: Vec::new(),
        }
    }

    /// All keys of a table of this kind.
    fn keys_of(&self, kind: &Kind) -> Vec<KeyInfo> {
        KeyInfo::joined(keys(&self.table).to_vec(), keys(&kind.table).to_vec())
    }
}

/// A table's keys; a key that is no table has none.
fn keys(table: &KeyInfo) -> &[KeyInfo] {
    match &table.shape {
        Shape::Table { keys, .. } => keys,
        _ => &[],
    }
}
