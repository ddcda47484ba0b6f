//! A connector from its configuration.

use std::{path::Path, sync::Arc};

use forebay_config::{ConfigErrors, Document, Table};
use forebay_connectors::{Connector, ConnectorKind, Context};
use forebay_schemas::{GatewayId, Timestamp};

/// The gateway's clock, in nanoseconds: 2026-11-18T11:06:40Z. Certificates that a connector makes are valid from then on.
const NOW_NANOS: i64 = 1_795_000_000_000_000_000;

/// Makes the connector of a `forebay.toml` with one `[[connector]]` as the gateway does: `name` and `kind` are required, and a key
/// that nobody reads is an error. The gateway's steps, such as `scale`, are not among the keys.
///
/// # Errors
/// Everything that is wrong with the text.
///
/// # Panics
/// The text has none or several `[[connector]]`.
pub fn configure(kind: &dyn ConnectorKind, text: &str) -> Result<Box<dyn Connector>, ConfigErrors> {
    let context = Context {
        gateway: GatewayId::new("g1").unwrap(),
        data_dir: "data".into(),
        clock: Arc::new(|| Timestamp::from_nanos(NOW_NANOS)),
        uniform: Arc::new(|| 0.0),
    };
    Document::new(Path::new("forebay.toml"), text, &|_| None).read(|root| {
        let mut connectors = root.tables("connector");
        assert_eq!(connectors.len(), 1, "one [[connector]] is expected in {text}");
        let mut table = connectors.remove(0);
        if !table.has("kind") {
            table.problem("kind", "is missing");
        }
        let named = table.choice("kind", &[(kind.name(), ())]);
        let name = table.required::<String>("name");
        let mut tags = table.tables("tag");
        let connector = kind.configure(&mut table, &mut tags, &context);
        tags.into_iter().for_each(Table::finish);
        table.finish();
        named.and(name).and(connector)
    })
}
