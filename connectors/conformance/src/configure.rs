//! A connector from its configuration.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use forebay_config::{ConfigErrors, Document, Required, Table, TableKeys};
use forebay_connectors::{Connector, ConnectorKind, Context, NAME};
use forebay_schemas::{GatewayId, Timestamp};

/// The gateway's clock, in nanoseconds: 2026-11-18T11:06:40Z. Certificates that a connector makes are valid from then on.
const NOW_NANOS: i64 = 1_795_000_000_000_000_000;

/// What the gateway reads of every connector.
const CONNECTOR: TableKeys = TableKeys::many("connector", "A connector.", &[&NAME, &KIND, &TAG]);
const KIND: Required<String> = Required::new("kind", "The protocol.");
const TAG: TableKeys = TableKeys::many("tag", "A tag.", &[]);

/// Makes the connector of a `forebay.toml` with one `[[connector]]` as the gateway does: `name` and `kind` are required, and a key
/// that nobody reads is an error. The gateway's steps, such as `scale`, are not among the keys.
///
/// # Errors
/// Everything that is wrong with the text.
///
/// # Panics
/// The text has none or several `[[connector]]`.
pub fn configure(kind: &dyn ConnectorKind, text: &str) -> Result<Box<dyn Connector>, ConfigErrors> {
    configure_in(Path::new("data"), kind, text)
}

/// As [`configure`], for a connector that writes into its gateway's data folder.
///
/// # Errors
/// As [`configure`].
///
/// # Panics
/// As [`configure`].
pub fn configure_in(
    data_dir: &Path,
    kind: &dyn ConnectorKind,
    text: &str,
) -> Result<Box<dyn Connector>, ConfigErrors> {
    let context = Context {
        gateway: GatewayId::new("g1").unwrap(),
        data_dir: PathBuf::from(data_dir),
        clock: Arc::new(|| Timestamp::from_nanos(NOW_NANOS)),
        uniform: Arc::new(|| 0.0),
    };
    Document::new(Path::new("forebay.toml"), text, &|_| None).read(|root| {
        let mut connectors = root.tables(&CONNECTOR);
        assert_eq!(
            connectors.len(),
            1,
            "one [[connector]] is expected in {text}"
        );
        let mut table = connectors.remove(0);
        if !table.has(&KIND) {
            table.problem(&KIND, "is missing");
        }
        let named = table.one_of(&KIND, &[(kind.name(), ())]);
        let name = table.read(&NAME);
        let mut tags = table.tables(&TAG);
        let own = kind.keys();
        table.also(&own.connector);
        tags.iter_mut().for_each(|tag| tag.also(&own.tag));
        let connector = kind.configure(&mut table, &mut tags, &context);
        tags.into_iter().for_each(Table::finish);
        table.finish();
        named.and(name).and(connector)
    })
}
