//! The keys that each kind of connector has in the configuration.

use forebay_config::{Required, TableKeys};

/// The keys of one kind's tables.
pub struct ConnectorKeys {
    /// Those of `[[connector]]`; its `tag` is the table below.
    pub connector: TableKeys,
    /// Those of `[[connector.tag]]`.
    pub tag: TableKeys,
}

/// The connector's name; the gateway reads it, and some protocols use it.
pub const NAME: Required<String> = Required::new(
    "name",
    "The connector's name, unique in the file: in logs and metrics, and part of what the connector calls itself towards its device.",
);
